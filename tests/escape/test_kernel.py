# SPDX-License-Identifier: Apache-2.0
"""Somebody has broken into the server itself: native code runs where requests are read. What the server
needs to serve is still there; everything else ends it or comes to nothing. The control is the same
program with KERNEL_LOCKDOWN=off."""
import errno
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time
import types

import pytest
import requests
import test_attacks
from owned import ORDINARY, SECRET, X86_64, Attack, Outcome, Victim, name_of, number, users
from served import Installation, blackbox
from test_attacks import (AT_FDCWD, MAP_ANONYMOUS, MAP_PRIVATE, O_CREAT, O_RDWR, PROT_EXEC, PROT_READ,
                          lives)

HTTP = {"HTTP_ALLOWED_DOMAINS": "example.com"}
OFF = {"KERNEL_LOCKDOWN": "off"}
CLONE_VM, CLONE_THREAD, THREAD = 0x100, 0x10000, 0x3D0F00
# A call that is not on the list is as if the system had none; files are Landlock's, which says EACCES.
REFUSED = (-errno.ENOSYS, -errno.EACCES, -errno.EPERM)


class Owned:
    """Servers of one user, each with its own settings, started when they are needed and again when an
    attack has ended them."""

    def __init__(self, user):
        self.user, self.installation, self.servers = user, Installation(nexus="escape-nexus"), {}

    def server(self, settings):
        key = tuple(sorted(settings.items()))
        server = self.servers.get(key)
        if server is None or server.process.poll() is not None:
            server = self.servers[key] = self.installation.serve(self.user, env=settings)
            assert server.create().status_code == 201
        return server

    def run(self, attack, settings=None):
        server = self.server(settings or {})
        try:
            answer = server.trigger("counter", "echo", {"attack": attack.encode()}).json()
        except requests.exceptions.ConnectionError:
            code = server.process.wait(10)
            return Outcome(attack, status=-code if code < 0 else code << 8)
        return Outcome(attack, answer)

    def end(self, settings):
        """What an attack that worked has left, like a process that is traced, goes with the server."""
        self.servers.pop(tuple(sorted(settings.items()))).kill()

    def stop(self):
        for server in self.servers.values():
            if server.process.poll() is None:
                server.stop_cleanly()
        self.installation.__exit__()


@pytest.fixture(name="user", scope="module", params=users())
def each_user(request):
    return request.param


@pytest.fixture(name="owned", scope="module")
def make_owned(user):
    one = Owned(user)
    yield one
    one.stop()


@pytest.fixture(name="ordinary", scope="module")
def make_ordinary():
    one = Owned(ORDINARY)
    yield one
    one.stop()


@pytest.fixture(name="world")
def make_world(user, listener):
    victim = Victim(user)
    with tempfile.TemporaryDirectory(prefix="escape-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o777)
        (folder / "file").write_bytes(test_attacks.CONTENT)
        yield types.SimpleNamespace(user=user, victim=victim, listener=listener, folder=folder,
                                    file=folder / "file", during=lambda worker: None)
    victim.stop()


def one_call(*arguments):
    attack = Attack()
    attack.call(*arguments)
    return attack


# ---- It still serves -------------------------------------------------------------------------------------

@pytest.mark.parametrize("settings", [{}, HTTP, {"KERNEL_LOCKDOWN": "strict"}], ids=["plain", "http", "strict"])
def test_in_force(owned, user, settings):
    server = owned.server(settings)
    kernel = server.get("/health").json()["kernel"]
    assert kernel == {"seccomp": "filter", "landlock": True, "noCapabilities": True, "noNewPrivs": True}
    status = dict(line.split(":\t", 1) for line in
                  pathlib.Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8").splitlines())
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", *(["CapBnd"] if user.uid == 0 else [])):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    # Two filters of its own: what is never needed, and what is allowed.
    own = dict(line.split(":\t", 1) for line in
               pathlib.Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    assert int(status["Seccomp_filters"]) == int(own["Seccomp_filters"]) + 2
    assert server.trigger("counter", "increment").json()["status"] == "success"


def test_off(owned):
    server = owned.server(OFF)
    assert server.logs("not locked down: KERNEL_LOCKDOWN=off")
    kernel = server.get("/health").json()["kernel"]
    assert kernel["landlock"] is False and kernel["noCapabilities"] is False
    # The workers' own lockdown does not depend on it.
    assert server.get("/health").json()["sandbox"]["seccomp"] == "filter"


def test_zygote_is_replaced(owned):
    """The one program there is to start, the launcher starts: also when the server cannot."""
    server = owned.server({})
    blackbox.wait_until(lambda: parents_of_workers(server))
    zygote, = parents_of_workers(server)
    os.kill(zygote, signal.SIGKILL)
    blackbox.wait_until(lambda: parents_of_workers(server) - {zygote})
    blackbox.wait_until(lambda: server.get("/health").status_code == 200)
    assert server.trigger("counter", "increment").json()["status"] == "success"


SLOW = """<NexusPanel><Logic><Tool name="spin"><Handler>for (;;) {}</Handler></Tool></Logic></NexusPanel>"""


def filters(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"^Seccomp_filters:\t(\d+)", text, re.M)[1])


@pytest.mark.parametrize("command, more", [(["run", "-", "spin"], 2), (["check", "-"], 1)], ids=["run", "check"])
def test_other_commands(owned, user, command, more):
    """A panel from anywhere is parsed and run behind the same walls; `check` may still read files."""
    nexus = owned.installation.command(user)
    with subprocess.Popen([*nexus, *command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        # `check` starts its sandbox before it reads, `run` after.
        if more == 2:
            process.stdin.write(SLOW.encode())
            process.stdin.close()
        deadline = time.monotonic() + 60
        while filters(process.pid) != filters("self") + more:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()


def parents_of_workers(server):
    every = blackbox.processes()
    return {every[pid][0] for pid in server.workers() if pid in every}


# ---- Every call ------------------------------------------------------------------------------------------

KILLED = """execve execveat fork vfork ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp
process_madvise userfaultfd perf_event_open unshare setns mount umount2 pivot_root chroot move_mount
open_tree fsopen fsconfig fsmount fspick mount_setattr open_by_handle_at name_to_handle_at setuid setgid
setreuid setregid setresuid setresgid setfsuid setfsgid setgroups personality bpf init_module
finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl keyctl add_key
request_key syslog sethostname setdomainname settimeofday clock_settime adjtimex clock_adjtime vhangup
""".split() + (["iopl", "ioperm", "modify_ldt"] if X86_64 else [])
ALLOWED = """epoll_wait epoll_pwait epoll_pwait2 epoll_ctl poll ppoll restart_syscall accept4 listen read
readv write writev recvfrom recvmsg sendto sendmsg shutdown close getsockname getpeername socketpair
getsockopt setsockopt fcntl ioctl openat fstat newfstatat statx lseek pread64 mmap mprotect munmap mremap
brk madvise clone futex set_robust_list rseq exit gettid getpid sched_yield sched_getaffinity rt_sigaction
rt_sigprocmask rt_sigreturn pidfd_send_signal waitid wait4 clock_gettime clock_nanosleep gettimeofday
getrandom getrusage sysinfo uname prlimit64 exit_group tgkill getuid geteuid getgid getegid getppid""".split()
WITH_HTTP = "socket connect sendmmsg recvmmsg eventfd2 pipe2".split()
NUMBERS = [*range(601), 1000, 2**30 - 1]
# See PROBES in test_filter.py.
PROBES = {335, 336} if X86_64 else set()


def numbers(names):
    return {number(name) for name in names}


@pytest.mark.parametrize("settings, more", [({}, []), (HTTP, WITH_HTTP)], ids=["plain", "http"])
def test_every_other_number_is_absent(owned, settings, more):
    rest = [n for n in NUMBERS if n not in numbers(KILLED + ALLOWED + more) | PROBES]
    wrong = {}
    for arguments in ((-1,) * 6, (0,) * 6):
        for start in range(0, len(rest), 60):
            attack = Attack()
            for call in rest[start:start + 60]:
                attack.call(call, *arguments)
            outcome = owned.run(attack, settings)
            assert outcome.survived, outcome
            wrong |= {name_of(call): result for call, result in zip(rest[start:], outcome.results)
                      if result != -errno.ENOSYS}
    assert not wrong


def test_every_other_number_control(ordinary):
    """Without the filter most of them do something else than not being there."""
    harmless = "getpgid getpgrp getpriority times alarm umask dup epoll_create1 inotify_init1 memfd_create".split()
    outcome = ordinary.run(calls(harmless, 0), OFF)
    assert -errno.ENOSYS not in outcome.results
    assert set(ordinary.run(calls(harmless, 0)).results) == {-errno.ENOSYS}


def calls(names, argument):
    attack = Attack()
    for name in names:
        attack.call(name, *(argument,) * 6)
    return attack


@pytest.mark.parametrize("name", KILLED)
def test_killed(ordinary, name):
    assert ordinary.run(one_call(name, *(-1,) * 6)).signal == signal.SIGSYS


@pytest.mark.parametrize("name", [n for n in KILLED if n not in ("fork", "vfork", "vhangup", "execve")])
def test_killed_control(ordinary, name):
    """Without the filter the system says no to these arguments, or yes; the server lives."""
    assert ordinary.run(one_call(name, *(-1,) * 6), OFF).survived


@pytest.mark.skipif(not X86_64, reason="needs the ABIs of x86-64")
def test_other_abis(ordinary):
    for step in ("call_x32", "call_i386"):
        attack = Attack()
        getattr(attack, step)("getpid")
        assert ordinary.run(attack).signal == signal.SIGSYS
        assert ordinary.run(attack, OFF).signal != signal.SIGSYS


TCP, IP, FIREWALL = 6, 0, 64  # IPT_SO_SET_REPLACE
CONDITIONS = [
    # settings, what is refused, and the same call as it is allowed
    ({}, ("mmap", 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
     ("mmap", 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
    ({}, ("mprotect", Attack.BASE, 4096, PROT_READ | PROT_EXEC), ("mprotect", Attack.BASE, 4096, 3)),
    ({}, ("openat", AT_FDCWD, b"/dev/null", O_RDWR), None),
    ({}, ("openat", AT_FDCWD, b"/proc/self/statm", 0o10000000), ("openat", AT_FDCWD, b"/proc/self/statm", 0)),
    ({}, ("socketpair", socket.AF_INET, 1, 0, 16), ("socketpair", socket.AF_UNIX, 1, 0, 16)),
    ({}, ("socket", socket.AF_INET, 1, 0), None),
    (HTTP, ("socket", socket.AF_UNIX, 1, 0), ("socket", socket.AF_INET, 1, 0)),
    (HTTP, ("socket", socket.AF_NETLINK, 3, 0), ("socket", socket.AF_INET6, 1, 0)),
    (HTTP, ("socket", socket.AF_PACKET, 3, 0), ("socket", socket.AF_INET, 2, 0)),
    ({}, ("fcntl", 0, 8, 1), ("fcntl", 0, 1)),                      # F_SETOWN, F_GETFD
    ({}, ("fcntl", 0, 0, 0), ("fcntl", 0, 3)),                      # F_DUPFD, F_GETFL
    ({}, ("ioctl", 0, 0x5412, 16), None),                           # TIOCSTI: typing for the operator
    ({}, ("setsockopt", 0, IP, FIREWALL, 16, 4), None),
    ({}, ("prlimit64", 0, 7, 16, 0), ("prlimit64", 0, 7, 0, 16)),
    ({}, ("prlimit64", 1, 7, 0, 16), None),
    ({}, ("tgkill", 1, 1, 0), None),
    ({}, ("madvise", Attack.BASE, 4096, 12), ("madvise", Attack.BASE + 40960, 4096, 4)),  # MERGEABLE, DONTNEED
    ({}, ("clone", CLONE_VM | CLONE_THREAD | 0x800, 0, 0, 0, 0), None),
    ({}, ("clone3", 16, 88), None),
]


@pytest.mark.parametrize("settings, refused, allowed", CONDITIONS, ids=lambda v: v[0] if isinstance(v, tuple) else "")
def test_conditions(owned, settings, refused, allowed):
    def laid(arguments):
        attack = Attack()
        name, *rest = arguments
        buffer = attack.data(64)
        rest = [attack.text(a) if isinstance(a, bytes) else buffer if a == 16 else a for a in rest]
        attack.call(name, *rest)
        return owned.run(attack, settings)
    assert laid(refused).results == [-errno.ENOSYS]
    if allowed:
        assert laid(allowed).results[0] >= 0


def test_processes(ordinary):
    """A thread is a clone; a process is one too."""
    assert ordinary.run(one_call("clone", signal.SIGCHLD, 0, 0, 0, 0)).signal == signal.SIGSYS
    assert ordinary.run(one_call("clone", signal.SIGCHLD, 0, 0, 0, 0), OFF).results[0] > 0


# ---- What somebody would try -----------------------------------------------------------------------------

def reads_a_system_file(attack, _):
    attack.call("openat", AT_FDCWD, attack.text("/etc/passwd"), 0)
    return lambda outcome: outcome.results[0] > 2


def runs_a_shell(attack, _):
    path = attack.text("/bin/sh")
    attack.call("execve", path, attack.words(path, 0), attack.words(0))
    return lambda outcome: outcome.status == 0


def binds_a_port(attack, _):
    address = attack.data(struct.pack("=H", socket.AF_INET) + bytes(14))
    attack.call("bind", attack.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0), address, 16)
    return lambda outcome: outcome.results[1] == 0


ATTEMPTS = [
    reads_a_system_file, runs_a_shell, binds_a_port, test_attacks.reads_a_file,
    test_attacks.reads_a_file_by_another_door, test_attacks.writes_a_file, test_attacks.deletes_a_file,
    test_attacks.lists_a_folder, test_attacks.reads_the_memory_of_another,
    test_attacks.reads_the_environment_of_another, test_attacks.copies_the_memory_of_another,
    test_attacks.changes_the_memory_of_another, test_attacks.traces_another,
    test_attacks.takes_a_descriptor_of_another, test_attacks.limits_another, test_attacks.pins_another,
    test_attacks.connects, test_attacks.listens, test_attacks.asks_the_system_over_netlink,
    test_attacks.runs_a_program_from_memory, test_attacks.makes_memory_a_file, test_attacks.multiplies,
    test_attacks.becomes_dumpable, test_attacks.allocates_executable_memory,
    test_attacks.makes_memory_executable, test_attacks.shares_pages_with_others,
    lives("io_uring_setup", 8, bytes(128)), lives("landlock_create_ruleset", 0, 0, 1),
    lives("shmget", 0, 4096, 0o1777), lives("mq_open", 0, 0, 0, 0), lives("pkey_mprotect", 0, 0, 0, -1),
]
KILLS = [test_attacks.kills_another, test_attacks.kills_a_thread_of_another,
         test_attacks.queues_a_signal_to_another]


def stopped(outcome, step=-1):
    """It ended the server, or the call that matters was refused."""
    return outcome.signal in (signal.SIGSYS, signal.SIGSEGV) if not outcome.survived \
        else outcome.results[step] in (*REFUSED, -errno.EBADF)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_attack(owned, world, attempt):
    attack = Attack()
    worked = attempt(attack, world)
    outcome = owned.run(attack, OFF)
    assert worked(outcome), f"the control does not work: {outcome}"
    owned.end(OFF)
    attack = Attack()
    attempt(attack, world)
    step = 0 if attempt in (test_attacks.makes_memory_executable,) else -1
    for settings in ({}, HTTP):
        outcome = owned.run(attack, settings)
        if attempt is test_attacks.connects and settings:
            continue  # that is what the extension is for; which addresses is ext/egress.c's
        assert stopped(outcome, step), outcome


@pytest.mark.parametrize("attempt", KILLS, ids=lambda attempt: attempt.__name__)
def test_signals(owned, world, attempt):
    attack = Attack()
    worked = attempt(attack, world)
    outcome = owned.run(attack)
    assert stopped(outcome) and world.victim.process.poll() is None
    assert worked(owned.run(attack, OFF))
    owned.end(OFF)


# ---- Files -----------------------------------------------------------------------------------------------

@pytest.fixture(name="folder")
def make_folder():
    with tempfile.TemporaryDirectory(prefix="escape-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        for part in ("panels", "policy", "beside"):
            (folder / part).mkdir()
            (folder / part / "file").write_text("x", encoding="utf-8")
        (folder / "policy/policy.json").write_text('{"default": {"grant": []}}', encoding="utf-8")
        yield folder


@pytest.mark.parametrize("lockdown", ["on", "off"])
def test_files_of_its_own(owned, user, folder, lockdown):
    """The rules let through what settings name, and nothing beside it; without them all is open that the
    user may open."""
    def opens(path, flags=0):
        attack = Attack()
        attack.call("openat", AT_FDCWD, attack.text(folder / path), flags, 0o600)
        answer = server.post("/panels/none/trigger/none", json={"attack": attack.encode()})
        return answer.json()["results"][0]

    server = owned.installation.serve(user, arguments=["--panels", folder / "panels"], env={
        "POLICY_FILE": str(folder / "policy/policy.json"), "KERNEL_LOCKDOWN": lockdown})
    for path in ("panels", "panels/file", "policy/policy.json", "policy/file"):
        assert opens(path) > 2, path
    for path in ("policy", "beside", "beside/file", "/etc/passwd"):
        assert opens(path) > 2 if lockdown == "off" else opens(path) == -errno.EACCES, path
    # Reading is all that the filter lets the server do to files, whoever owns them.
    if lockdown == "on":
        assert opens("panels/file", O_RDWR) == opens("panels/new", O_RDWR | O_CREAT) == -errno.ENOSYS
    server.stop_cleanly()
