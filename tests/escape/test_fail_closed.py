# SPDX-License-Identifier: Apache-2.0
"""A system that refuses a protection. Without one that is required the server does not start, says
which one it is, and leaves nothing behind; without one that is not it starts, and /health says so."""
import os
import subprocess
import time

import pytest
from owned import BIN_DIR
from served import Installation

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
RLIMITS = {"STACK": 3, "NPROC": 6, "MEMLOCK": 8, "MSGQUEUE": 12}


def prctl(option):
    return f"prctl:0={option}"


def setrlimit(name):
    return [f"setrlimit:0={RLIMITS[name]}", f"prlimit64:1={RLIMITS[name]}"]


# AddressSanitizer asks for the limit of the stack before main does, and gives up by itself.
SANITIZED = b"__asan_init" in (BIN_DIR / "nexus").read_bytes()
REQUIRED = [
    (["seccomp", prctl(PR_SET_SECCOMP)], "seccomp filter"),
    (["seccomp:0=1", prctl(PR_SET_SECCOMP)], "seccomp filter"),  # it can be asked about, not set
    (["capset"], "drop the capabilities"),
    (["capget"], "drop the capabilities"),
    ([prctl(PR_SET_NO_NEW_PRIVS)], "no_new_privs"),
    ([prctl(PR_SET_DUMPABLE)], "PR_SET_DUMPABLE"),
    ([prctl(PR_SET_PDEATHSIG)], "end with nexus"),
    (["close_range"], "descriptors"),
    *([] if SANITIZED else [(setrlimit("STACK"), "limit the stack")]),
    (setrlimit("NPROC"), "resource limit"),
    (setrlimit("MEMLOCK"), "resource limit"),
    (setrlimit("MSGQUEUE"), "resource limit"),
]
LANDLOCK, NAMESPACES = ["landlock_create_ruleset"], ["unshare"]
# refused -> (landlock, namespaces) as far as the refusal decides
OPTIONAL = [(LANDLOCK, (False, None)), (["landlock_restrict_self"], (False, None)),
            (NAMESPACES, (None, False)), (LANDLOCK + NAMESPACES, (False, False))]


@pytest.fixture(scope="module", name="installation")
def make_installation():
    with Installation() as one:
        yield one


def environment():
    return {"PATH": os.environ["PATH"], "HTTP_PORT": "0", "WORKERS": "2",
            **{name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}}


def gone(installation):
    deadline = time.monotonic() + 60
    while installation.processes() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not installation.processes()


@pytest.mark.parametrize("refused, named", REQUIRED, ids=lambda value: " ".join(value).replace("/", "-")
                         if isinstance(value, list) else "")
def test_required(installation, user, refused, named):
    done = subprocess.run([*installation.command(user, refused), "serve"], env=environment(), timeout=60,
                          capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert named in said
    assert "Operation not permitted" in said or "refuses seccomp(2)" in said
    assert "listening" not in said
    assert gone(installation)


@pytest.mark.parametrize("refused, expected", OPTIONAL, ids=["landlock", "landlock-later", "namespaces", "both"])
def test_optional(installation, user, refused, expected):
    server = installation.serve(user, refused)
    sandbox = server.get("/health").json()["sandbox"]
    assert server.get("/ready").status_code == 200
    for name, value in zip(("landlock", "namespaces"), expected):
        assert value is None or sandbox[name] is value, name
    assert (sandbox["seccomp"], sandbox["noNewPrivs"], sandbox["noCapabilities"]) == ("filter", True, True)
    works(server)
    assert installation.processes()
    server.stop_cleanly()
    assert gone(installation)


def test_control(installation, user):
    """The same with a call refused that nobody makes: all is in force that the system has."""
    server = installation.serve(user, ["reboot"])
    sandbox = server.get("/health").json()["sandbox"]
    assert (sandbox["seccomp"], sandbox["noNewPrivs"], sandbox["noCapabilities"]) == ("filter", True, True)
    if os.path.exists("/sys/kernel/security/landlock") or _has_landlock():
        assert sandbox["landlock"] is True
    works(server)
    server.stop_cleanly()


def _has_landlock():
    try:
        with open("/sys/kernel/security/lsm", encoding="utf-8") as file:
            return "landlock" in file.read().split(",")
    except OSError:
        return False


def works(server):
    assert server.create().status_code == 201
    assert server.trigger("counter", "increment").json()["status"] == "success"
