# SPDX-License-Identifier: Apache-2.0
"""Handlers and workers that mean harm, in the container."""
import importlib.util
import os
import pathlib
import sys

import pytest

from container import OUT, ROOT, until

pytestmark = pytest.mark.root
SANDBOX = "/usr/libexec/nexus/nexus-sandbox"
ESCAPES = """<NexusPanel id="escape"><Logic><Tool name="try"><Handler>
  const tries = [
    () => [].constructor.constructor('return 1')(),
    () => (async () => {}).constructor('return 1')(),
    () => eval('1'),
    () => require('fs'),
    () => process.env,
    () => std.loadFile('/etc/passwd'),
    () => os.exec(['/bin/sh']),
    () => $state.secret,
  ];
  return tries.map(one => { try { one(); return 'did it'; } catch (e) { return e.name; } });
</Handler></Tool></Logic></NexusPanel>"""


def load_attack():
    """The language of the attacks that escape-sandbox carries out."""
    path = ROOT / "tests/escape/owned.py"
    spec = importlib.util.spec_from_file_location("owned", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["owned"] = module
    spec.loader.exec_module(module)
    return module.Attack


def test_handlers_stay_inside(start):
    container = start()
    assert container.create(ESCAPES).status_code == 201
    result = container.trigger("try", panel="escape")
    assert result["status"] == "success" and len(result["returnValue"]) == 8
    assert "did it" not in result["returnValue"]
    assert container.healthy()


def owned(start, **options):
    """A container whose workers do what a tool's arguments say (tests/escape/owned.c)."""
    program = OUT / "escape-sandbox"
    program.chmod(0o755)
    container = start(mounts=[(program, SANDBOX)], **options)
    container.create()
    return container


@pytest.mark.parametrize("name, arguments", [
    ("openat", (-100, "/etc/passwd", 0)),
    ("socket", (2, 1, 0)),
    ("execve", ("/usr/bin/nexus", 0, 0)),
    ("kill", (1, 9)),
    ("ptrace", (16, 1, 0, 0)),
    ("unshare", (0x10000000,)),
    ("mount", ("none", "/tmp", "tmpfs", 0, 0)),
])
def test_owned_worker_is_contained(start, name, arguments):
    """Native code in a worker: the call ends it, and nobody else."""
    container = owned(start)
    kernel = container.pid
    attack = load_attack()()
    attack.call(name, *(attack.text(one) if isinstance(one, str) else one for one in arguments))
    result = container.trigger("echo", {"attack": attack.encode()})
    assert result["status"] == "error" and result["error"]["code"] == "INTERNAL_ERROR"
    assert container.pid == kernel and container.healthy()
    assert container.trigger("increment")["returnValue"] == 1


def test_owned_worker_can_do_something(start):
    """The control: a call that workers may make does come back with its result."""
    container = owned(start)
    attack = load_attack()()
    attack.call("getrandom", attack.data(16), 16, 0)
    result = container.trigger("echo", {"attack": attack.encode()})
    assert result["status"] == "success" and result["returnValue"]["results"] == [16]


def test_memory_hog_kills_its_worker(start):
    """More memory than the container has, because the operator promised too much: the worker dies, the
    server does not, and goes on with another."""
    container = start(env={"WORKERS": "1", "MEMORY_LIMIT_MB": "1024", "MEMORY_BUDGET_MB": "4096",
                           "TIMEOUT_MS": "60000"})
    container.create()
    kernel = container.pid
    result = container.trigger("hoard", {"mb": 400})
    assert result["status"] == "error" and result["error"]["code"] == "INTERNAL_ERROR", result
    # Which one it was is the server's choice: what it does not know may run in a spare one.
    until(lambda: container.metric('nexus_worker_restarts_total{reason="died"}') >= 1, "the death to be counted")
    until(container.workers, "a worker")
    assert container.pid == kernel and container.running() and container.healthy()
    assert container.trigger("increment")["returnValue"] == 1


def test_memory_is_enough(start):
    """The control: the same in a container with room."""
    container = start(memory="2g", memory_swap="2g", env={
        "WORKERS": "1", "MEMORY_LIMIT_MB": "1024", "MEMORY_BUDGET_MB": "4096", "TIMEOUT_MS": "60000"})
    container.create()
    assert container.trigger("hoard", {"mb": 400})["returnValue"] == 400


def test_owned_kernel_cannot_leave(production):
    """What somebody with the server's own user and rights finds: nothing to run, nothing to become."""
    def look():
        found = [name for name in ("/bin/sh", "/usr/bin/sh", "/bin/bash", "/usr/bin/apt", "/usr/bin/dpkg",
                                   "/usr/bin/python3", "/usr/bin/perl", "/busybox") if os.path.exists(name)]
        setuid = [os.path.join(folder, name) for folder, below, names in os.walk("/usr") for name in names
                  if os.lstat(os.path.join(folder, name)).st_mode & 0o6000]
        return found + setuid
    assert production.inside(look, uid=1000) == []
    assert pathlib.Path("/bin/sh").exists()
