# SPDX-License-Identifier: Apache-2.0
"""What a locked worker is and has, seen from outside; and what calls that its filter lets through come
to when an attacker makes them."""
import errno
import fcntl
import os
import pathlib
import re
import signal
import subprocess

import pytest
from owned import LOCKED, UNLOCKED, Attack, BIN_DIR, Failed, Sandbox, needs_root, needs_x86_64

O_ACCMODE, PROT_WRITE, MAP_SHARED = 3, 2, 1
CHANNEL, IMAGES, PAGE_MAP = 3, (4, 5), 6
SEALED = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
ZERO_LIMITS = ["open files", "processes", "file size", "locked memory", "core file size", "msgqueue size"]
REQUIRED = 7  # enum nx_protection


def at_work(sandbox):
    """A new worker that has reached the point at which guests run."""
    one = sandbox.spawn()
    assert one.run(Attack()).results == []
    return one


@pytest.fixture
def worker(locked):
    with at_work(locked) as one:
        yield one


@pytest.fixture
def free_worker(unlocked):
    with at_work(unlocked) as one:
        yield one


# ---- What it is ------------------------------------------------------------------------------------------

def test_status(worker, free_worker, user):
    status, control = worker.status(), free_worker.status()
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert control["Seccomp"] != "2" or "Seccomp_filters" in control
    assert int(status["Seccomp_filters"]) == int(control["Seccomp_filters"]) + 1
    assert status["Threads"] == "1"
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    if user.uid == 0:
        assert int(control["CapEff"], 16) != 0 and int(control["CapBnd"], 16) != 0


def test_protections(locked, unlocked, worker, free_worker):
    """What the zygote says is in force, which /health passes on, is what can be seen."""
    assert locked.protections & REQUIRED == REQUIRED
    own = os.readlink("/proc/self/ns/user")
    try:
        theirs, control = (os.readlink(f"/proc/{one.pid}/ns/user") for one in (worker, free_worker))
    except PermissionError:
        assert os.getuid() != 0
        return
    assert bool(locked.protections & 16) == (theirs != own)
    assert control == own and unlocked.protections & 24 == 0


@needs_root
def test_namespaces(locked, worker, free_worker):
    if not locked.protections & 16:
        pytest.skip("the system does not permit namespaces")
    for name in ("user", "net", "ipc", "uts", "cgroup", "mnt"):
        own = os.readlink(f"/proc/self/ns/{name}")
        assert os.readlink(f"/proc/{worker.pid}/ns/{name}") != own
        assert os.readlink(f"/proc/{free_worker.pid}/ns/{name}") == own
    links = [line.split(":")[0].strip() for line in worker.proc("net/dev").splitlines()[2:]]
    assert links == ["lo"]


def test_limits(worker, free_worker):
    limits, control = worker.proc("limits"), free_worker.proc("limits")
    for name in ZERO_LIMITS:
        row = re.search(rf"^Max {name} +(\S+) +(\S+)", limits, re.M)
        assert row.groups() == ("0", "0"), name
    assert re.search(r"^Max open files +(\S+)", control, re.M)[1] != "0"
    soft, hard = re.search(r"^Max stack size +(\S+) +(\S+)", limits, re.M).groups()
    assert soft == hard != "unlimited"


@needs_root
def test_descriptors(worker):
    folder = pathlib.Path(f"/proc/{worker.pid}/fd")
    found = {int(one.name): os.readlink(one) for one in folder.iterdir()}
    assert set(found) == {0, 1, 2, CHANNEL, *IMAGES, PAGE_MAP}
    assert {found[n] for n in (0, 1, 2)} == {"/dev/null"}
    assert found[CHANNEL].startswith("socket:")
    assert found[PAGE_MAP] == f"/proc/{worker.pid}/pagemap"
    flags = re.search(r"^flags:\t(\d+)", worker.proc(f"fdinfo/{PAGE_MAP}"), re.M)[1]
    assert int(flags, 8) & O_ACCMODE == os.O_RDONLY
    for image in IMAGES:
        assert found[image] == "/memfd:nexus-image (deleted)"
        with open(folder / str(image), "rb") as file:
            assert fcntl.fcntl(file, fcntl.F_GET_SEALS) & SEALED == SEALED


def test_descriptors_from_inside(locked):
    """The same, for whom /proc does not show it: which numbers are open."""
    attack = Attack()
    for number in range(40):
        attack.call("pread64", number, Attack.BASE + 2048, 0, 0)
    results = locked.run(attack).results
    assert [n for n, got in enumerate(results) if got != -errno.EBADF] == [0, 1, 2, CHANNEL, *IMAGES, PAGE_MAP]


def test_nothing_is_inherited(user):
    """Whatever whoever starts it has open."""
    extra = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(extra, True)
    try:
        with Sandbox(user) as sandbox:
            attack = Attack()
            attack.call("pread64", extra, Attack.BASE + 2048, 1, 0)
            assert extra > PAGE_MAP and sandbox.run(attack).results == [-errno.EBADF]
    finally:
        os.close(extra)


def test_environment(user):
    """There is none: it does not start with one."""
    with pytest.raises(Failed, match="environment"):
        Sandbox(user, environment={"PASSWORD": "secret"})


@needs_root
def test_environment_is_empty(worker):
    assert worker.proc("environ") == ""


@needs_root
def test_memory_map(worker):
    """Nothing that is executable can be written, and nothing executable is anonymous."""
    rows = [line.split(maxsplit=5) for line in worker.proc("maps").splitlines()]
    assert len(rows) > 10
    executable = [row for row in rows if "x" in row[1]]
    assert executable and not [row for row in executable if "w" in row[1]]
    assert all(len(row) == 6 and (row[5].startswith("/") or row[5] in ("[vdso]", "[vsyscall]"))
               for row in executable)


LOOK = """
import sys
try:
    open(f"/proc/{sys.argv[1]}/{sys.argv[2]}", "rb").close()
    print("open")
except PermissionError:
    print("refused")
"""


@pytest.mark.parametrize("name", ["mem", "environ", "pagemap", "maps"])
def test_not_dumpable(worker, free_worker, user, name):
    """Its own user cannot look into it, without capabilities."""
    without = ["/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []

    def look(pid):
        command = [*(user.command or without), "/usr/bin/python3", "-I", "-c", LOOK, str(pid), name]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    # An unlocked worker of root's has capabilities that its onlooker lacks.
    if user.uid != 0:
        assert look(free_worker.pid) == "open"
        assert os.stat(f"/proc/{worker.pid}/{name}").st_uid == 0
    assert look(worker.pid) == "refused"


# ---- What the filter lets through ------------------------------------------------------------------------

@pytest.mark.parametrize("image", IMAGES)
def test_images_cannot_be_changed(locked, unlocked, image):
    """Not even by a worker that has the descriptor of what all others start from."""
    def write(attack):
        attack.call("write", image, attack.text("owned"), 5)

    def map_shared(attack):
        attack.call("mmap", 0, 4096, PROT_WRITE, MAP_SHARED, image, 0)

    def content(sandbox):
        attack = Attack()
        buffer = attack.data(64)
        attack.call("pread64", image, buffer, 64, 0)
        outcome = sandbox.run(attack)
        assert outcome.results == [64]
        return outcome.at(buffer, 64)

    before = content(locked)
    outcomes = []
    for act in (write, map_shared):
        attack = Attack()
        act(attack)
        outcomes.append(locked.run(attack))
        assert unlocked.run(attack).results[0] > 0
    # The limit on the size of files may come before the seal; its signal may be ignored.
    assert outcomes[0].signal == signal.SIGXFSZ or outcomes[0].results[0] in (-errno.EPERM, -errno.EFBIG)
    assert outcomes[1].results == [-errno.EPERM]
    assert content(locked) == before
    assert content(unlocked)[:5] == b"owned"


def test_page_map_shows_no_addresses(user):
    """Where in the machine's memory its pages are would help against other tenants of that memory. The
    page map of a process tells the privileged, and it is opened early."""
    with Sandbox(user, LOCKED, [BIN_DIR / "refuse-calls", "unshare", "--"]) as sandbox:
        assert frame_number(sandbox) == 0
        assert not sandbox.protections & 16
    with Sandbox(user, UNLOCKED) as sandbox:
        assert (frame_number(sandbox) != 0) == (user.uid == 0)


def frame_number(sandbox):
    attack = Attack()
    buffer = attack.data(16)
    attack.call("pread64", PAGE_MAP, buffer, 8, Attack.BASE // 4096 * 8)
    outcome = sandbox.run(attack)
    assert outcome.results == [8]
    entry = int.from_bytes(outcome.at(buffer, 8), "little")
    assert entry >> 63 == 1  # present
    return entry & (1 << 55) - 1


def test_page_map_is_read_only(locked):
    attack = Attack()
    attack.call("write", PAGE_MAP, attack.text("x"), 1)
    assert locked.run(attack).results[:1] in ([-errno.EBADF], [])


@pytest.mark.parametrize("descriptor", [0, CHANNEL, *IMAGES])
def test_the_one_ioctl_is_for_page_maps(locked, descriptor):
    attack = Attack()
    attack.call("ioctl", descriptor, 0xC0606610, attack.data(96))
    assert locked.run(attack).results == [-errno.ENOTTY]


def test_data_is_not_code(locked, unlocked):
    for sandbox in (locked, unlocked):  # no switch of ours: so it is with every program
        attack = Attack()
        attack.jump(attack.data(b"\x90" * 16))
        assert sandbox.run(attack).signal == signal.SIGSEGV


@needs_x86_64
def test_vsyscalls(locked):
    """The page of old calls at a fixed address: getcpu, which is not on the list. Newer systems have no
    such page."""
    attack = Attack()
    attack.jump(0xFFFFFFFFFF600800 - 2**64)
    assert locked.run(attack).signal in (signal.SIGSYS, signal.SIGSEGV)


def test_signals_that_are_ignored_still_kill(locked):
    """A handler for SIGSYS does not keep a worker alive."""
    attack = Attack()
    attack.call("rt_sigaction", signal.SIGSYS, attack.words(1, 0, 0, 0), 0, 8)  # SIG_IGN
    attack.call("rt_sigprocmask", 0, attack.words(2**64 - 1), 0, 8)             # block everything
    with locked.spawn() as worker:
        assert worker.run(attack).results == [0, 0]
        attack.call("getpid")
        assert worker.run(attack).signal == signal.SIGSYS


def test_worker_ends_with_its_zygote(user):
    with Sandbox(user) as sandbox:
        with sandbox.spawn() as worker:
            os.kill(sandbox.pid, signal.SIGKILL)
            assert worker.channel.recv(1) == b""
