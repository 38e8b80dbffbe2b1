# SPDX-License-Identifier: Apache-2.0
"""What the container may not do, each with a control in which it may."""
import ctypes
import os
import pathlib

import pytest

from container import CACHE, CACHE_BYTES, MEMORY, PIDS, statuses, until

pytestmark = pytest.mark.root
# Not files on a disk: the kernel's own trees, and POSIX message queues, which have limits of their own.
NOT_FILES = ("/proc", "/sys", "/dev/mqueue", "/dev/pts")


def writable_folders():
    """The error of creating a file, or None, for every folder."""
    found = {}
    for folder, below, _ in os.walk("/"):
        below[:] = [name for name in below if os.path.join(folder, name) not in NOT_FILES]
        try:
            path = os.path.join(folder, "written-by-a-test")
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            os.unlink(path)
            found[folder] = None
        except OSError as error:
            found[folder] = os.strerror(error.errno)
    return found


def flood():
    """Fills the cache's folder and says how much went in."""
    path, written = f"{CACHE}/flood", 0
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        while written < 4 * CACHE_BYTES:
            written += os.write(descriptor, bytes(1 << 20))
        error = None
    except OSError as problem:
        error = os.strerror(problem.errno)
    os.close(descriptor)
    return written, error


def confined(pid):
    status = statuses(pid)
    return {name: status[name] for name in
            ("Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")}


def test_no_privileges(production):
    """Kernel, its helpers and its workers."""
    nothing = "0" * 16
    expected = {"Uid": "1000\t1000\t1000\t1000", "NoNewPrivs": "1", "Seccomp": "2",
                **{name: nothing for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}}
    def all_confined():
        try:
            seen = [confined(pid) for pid in (production.pid, *production.processes())]
        except (OSError, KeyError):  # one that has just ended
            return False
        return production.workers() and all(one == expected for one in seen)
    until(all_confined, "processes that are all confined")  # one that has just been forked is not yet
    workers = production.workers()
    # Server and workers have filters of their own above the container's.
    filters = [int(statuses(pid)["Seccomp_filters"]) for pid in (production.pid, *workers)]
    assert min(filters) > 1


def test_the_server_says_so(production):
    """Nothing of what locks server and workers in is lost for being in a container."""
    health = production.request("GET", "/health").json()
    for part in ("sandbox", "kernel"):
        assert health[part]["seccomp"] == "filter", health
        assert health[part]["noCapabilities"] and health[part]["noNewPrivs"], health
    # Landlock is the host's to have; where it does, the container's own filter does not take it away.
    if ctypes.CDLL(None).syscall(444, None, 0, 1) > 0:  # landlock_create_ruleset, asked for its version
        assert health["kernel"]["landlock"] is True and health["sandbox"]["landlock"] is True, health
    assert health["sandbox"]["oomScoreAdj"] > 0


def test_privileges_can_be_seen(start):
    """The control: what the test above looks for is there when it is asked for."""
    container = start(cap_drop=None, security_opt="seccomp=unconfined", user="0:0",
                      env={"WORKERS": "1", "KERNEL_LOCKDOWN": "off"})
    seen = confined(container.pid)
    assert seen["Uid"].startswith("0\t") and int(seen["CapBnd"], 16) != 0


def test_nothing_can_be_written(production):
    """Read-only even to root, save the cache and what the engine makes of memory for devices."""
    found = production.inside(writable_folders)
    assert found.pop("/dev") is None  # a tmpfs of root's
    writable = {folder for folder, error in found.items() if error is None}
    assert writable == {CACHE, f"{CACHE}/bytecode"}
    assert {found[folder] for folder in found if folder not in writable} == {"Read-only file system"}
    as_server = production.inside(writable_folders, uid=1000)
    assert {folder for folder, error in as_server.items() if error is None} == writable


def test_writing_can_be_seen(start):
    container = start(read_only=None, read_only_tmpfs=None)
    assert container.inside(writable_folders)["/usr/bin"] is None


def test_programs_do_not_start_from_the_cache(start):
    container = start()
    pid = container.pid
    mounts = pathlib.Path(f"/proc/{pid}/mounts").read_text().splitlines()
    options = next(line.split()[3].split(",") for line in mounts if f" {CACHE} " in line)
    assert {"noexec", "nosuid", "nodev"} <= set(options)


def test_cache_is_bounded(start):
    """A flooded cache is full at its size; the server goes on without."""
    container = start()
    written, error = container.inside(flood, uid=1000)
    assert error == "No space left on device"
    assert CACHE_BYTES - (2 << 20) <= written <= CACHE_BYTES
    assert container.create().status_code == 201
    assert container.trigger("increment")["returnValue"] == 1
    until(lambda: container.metric('nexus_disk_cache_writes_total{outcome="failed"}') > 0, "a failed write")
    assert container.trigger("increment")["returnValue"] == 2 and container.healthy()


def test_cache_without_bound(start):
    """The control: with more room the same flood is not stopped there."""
    container = start(tmpfs=f"{CACHE}:size=1g,noexec,nosuid,nodev", memory="1g", memory_swap="1g")
    written, error = container.inside(flood)
    assert error is None and written == 4 * CACHE_BYTES


def control_group(container, version1, version2):
    """A limit as the kernel has it for the container's processes."""
    for line in pathlib.Path(f"/proc/{container.pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if version1.split("/")[0] in controllers.split(","):
            return pathlib.Path("/sys/fs/cgroup", version1.split("/")[0], path[1:],
                                version1.split("/")[1]).read_text().strip()
        if not controllers and pathlib.Path("/sys/fs/cgroup", path[1:], version2).exists():
            return pathlib.Path("/sys/fs/cgroup", path[1:], version2).read_text().strip()
    raise AssertionError("no control group")


def test_limits_are_set(production):
    assert control_group(production, "memory/memory.limit_in_bytes", "memory.max") == str(MEMORY)
    assert control_group(production, "pids/pids.max", "pids.max") == str(PIDS)


def test_processes_are_limited(start):
    """With room for too few processes the server says so and does not start half."""
    container = start(pids_limit="4", env={"WORKERS": "16"}, wait=False)
    until(lambda: not container.running() or container.logs(), "a verdict")
    few = len(container.processes()) if container.running() else 0
    assert few < 4
    container = start(env={"WORKERS": "16"})
    until(lambda: len(container.workers()) == 16, "the workers")
