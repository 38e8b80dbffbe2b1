# SPDX-License-Identifier: Apache-2.0
"""What somebody would try who owns a worker. Each attack works in the control, a worker that is not
locked in, and ends a locked one with SIGSYS, or comes to nothing in the way the row says."""
import errno
import fcntl
import os
import pathlib
import signal
import socket
import struct
import tempfile
import termios
import time
import types

import pytest
from owned import PATIENCE, SECRET, X86_64, Attack

AT_FDCWD = -100
O_RDWR, O_CREAT = 2, 0o100
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 1, 2, 0x10, 0x20
CHANNEL, IMAGE = 3, 4
CONTENT = b"what is in the file"
# A function that returns 42.
RETURN = {"x86_64": b"\xb8\x2a\x00\x00\x00\xc3\x90\x90",
          "aarch64": b"\x40\x05\x80\xd2\xc0\x03\x5f\xd6"}[os.uname().machine]


@pytest.fixture(name="world")
def make_world(user, victim, listener):
    """What attacks are told: whom and what there is to reach. `during` is run while the attack is."""
    with tempfile.TemporaryDirectory(prefix="escape-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o777)
        (folder / "file").write_bytes(CONTENT)
        yield types.SimpleNamespace(user=user, victim=victim, listener=listener, folder=folder,
                                    file=folder / "file", during=lambda worker: None)


# ---- The attacks: each builds its steps, and returns what tells that the control worked ------------------

def reads_a_file(attack, world):
    buffer = attack.data(64)
    file = attack.call("openat", AT_FDCWD, attack.text(world.file), 0)
    attack.call("read", file, buffer, 64)
    return lambda outcome: outcome.at(buffer, len(CONTENT)) == CONTENT


def reads_a_file_by_another_door(attack, world):
    buffer = attack.data(64)
    how = attack.words(0, 0, 0)
    file = attack.call("openat2", AT_FDCWD, attack.text(world.file), how, 24)
    attack.call("read", file, buffer, 64)
    return lambda outcome: outcome.at(buffer, len(CONTENT)) == CONTENT


def writes_a_file(attack, world):
    path = world.folder / "left"
    file = attack.call("openat", AT_FDCWD, attack.text(path), O_RDWR | O_CREAT, 0o644)
    attack.call("write", file, attack.text("something"), 9)
    return lambda outcome: path.read_text() == "something"


def deletes_a_file(attack, world):
    path = world.folder / "gone"
    path.touch()
    path.chmod(0o666)
    attack.call("unlinkat", AT_FDCWD, attack.text(path), 0)
    return lambda outcome: not path.exists()


def lists_a_folder(attack, world):
    buffer = attack.data(512)
    folder = attack.call("openat", AT_FDCWD, attack.text(world.folder), 0)
    attack.call("getdents64", folder, buffer, 512)
    return lambda outcome: b"file\0" in outcome.at(buffer, 512)


def opens_an_image_again(attack, _):
    """The descriptor is of a sealed file; a new one through /proc would be another open file of it."""
    return opened(attack, f"/proc/self/fd/{IMAGE}", O_RDWR)


def opened(attack, path, flags=0):
    attack.call("openat", AT_FDCWD, attack.text(path), flags)
    return lambda outcome: outcome.results[-1] > 2


def reads_its_own_environment(attack, _):
    return opened(attack, "/proc/self/environ")


def opens_its_own_memory(attack, _):
    return opened(attack, "/proc/self/mem", O_RDWR)


def opens_its_executable(attack, _):
    return opened(attack, "/proc/self/exe")


def reads_the_memory_of_another(attack, world):
    buffer = attack.data(64)
    file = attack.call("openat", AT_FDCWD, attack.text(f"/proc/{world.victim.pid}/mem"), 0)
    attack.call("pread64", file, buffer, len(SECRET), world.victim.address)
    return lambda outcome: outcome.at(buffer, len(SECRET)) == SECRET


def reads_the_environment_of_another(attack, world):
    buffer = attack.data(64)
    file = attack.call("openat", AT_FDCWD, attack.text(f"/proc/{world.victim.pid}/environ"), 0)
    attack.call("read", file, buffer, 64)
    return lambda outcome: SECRET in outcome.at(buffer, 64)


def copies_the_memory_of_another(attack, world):
    buffer = attack.data(64)
    local, remote = attack.words(buffer, len(SECRET)), attack.words(world.victim.address, len(SECRET))
    attack.call("process_vm_readv", world.victim.pid, local, 1, remote, 1, 0)
    return lambda outcome: outcome.at(buffer, len(SECRET)) == SECRET


def changes_the_memory_of_another(attack, world):
    content = attack.text("x")
    local, remote = attack.words(content, 1), attack.words(world.victim.address, 1)
    attack.call("process_vm_writev", world.victim.pid, local, 1, remote, 1, 0)
    return lambda outcome: outcome.results == [1]


def traces_another(attack, world):
    attack.call("ptrace", 0x4206, world.victim.pid, 0, 0)  # PTRACE_SEIZE
    return lambda outcome: outcome.results == [0]


def takes_a_descriptor_of_another(attack, world):
    pidfd = attack.call("pidfd_open", world.victim.pid, 0)
    attack.call("pidfd_getfd", pidfd, 0, 0)
    return lambda outcome: outcome.results[1] > 2


def kills_another(attack, world):
    attack.call("kill", world.victim.pid, signal.SIGKILL)
    return lambda outcome: world.victim.process.wait(5) == -signal.SIGKILL


def kills_a_thread_of_another(attack, world):
    attack.call("tgkill", world.victim.pid, world.victim.pid, signal.SIGKILL)
    return lambda outcome: world.victim.process.wait(5) == -signal.SIGKILL


def queues_a_signal_to_another(attack, world):
    info = attack.data(struct.pack("=iiiiii", signal.SIGTERM, 0, -1, 0, 0, 0) + bytes(104))
    attack.call("rt_sigqueueinfo", world.victim.pid, signal.SIGTERM, info)
    return lambda outcome: world.victim.process.wait(5) == -signal.SIGTERM


def reaches_its_zygote(attack, _):
    attack.call("kill", attack.call("getppid"), 0)
    return lambda outcome: outcome.results[1] == 0


def limits_another(attack, world):
    attack.call("prlimit64", world.victim.pid, 7, attack.words(3, 3), 0)
    return lambda outcome: outcome.results == [0]


def reads_the_clock_of_another(attack, world):
    buffer = attack.data(16)
    attack.call("clock_gettime", ~world.victim.pid << 3 | 2, buffer)
    return lambda outcome: outcome.results == [0] and outcome.at(buffer, 16) != bytes(16)


def pins_another(attack, world):
    attack.call("sched_setaffinity", world.victim.pid, 8, attack.words(1))
    return lambda outcome: outcome.results == [0]


def connects(attack, world):
    address = attack.data(struct.pack("=H", socket.AF_INET) + struct.pack(">HI", world.listener.getsockname()[1], 0x7F000001) + bytes(8))
    connection = attack.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
    attack.call("connect", connection, address, 16)
    return lambda outcome: world.listener.accept()[0].close() is None


def listens(attack, _):
    name = attack.data(struct.pack("=H", socket.AF_UNIX) + b"\0escape-" + str(os.getpid()).encode())
    connection = attack.call("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0)
    attack.call("bind", connection, name, 12)
    attack.call("listen", connection, 1)
    return lambda outcome: outcome.results[1:] == [0, 0]


def asks_the_system_over_netlink(attack, _):
    attack.call("socket", socket.AF_NETLINK, socket.SOCK_RAW, 0)
    return lambda outcome: outcome.results[0] > 2


def makes_a_pair_of_sockets(attack, _):
    attack.call("socketpair", socket.AF_UNIX, socket.SOCK_STREAM, 0, attack.data(8))
    return lambda outcome: outcome.results == [0]


def message(attack, byte):
    vector = attack.words(byte, 1)
    control = attack.data(struct.pack("=QiiI", 20, socket.SOL_SOCKET, socket.SCM_RIGHTS, 0) + bytes(4))
    return attack.words(0, 0, vector, 1, control, 24, 0)


def sends_a_descriptor(attack, world):
    came = []

    def during(worker):
        _, descriptors, _, _ = socket.recv_fds(worker.channel, 1, 1)
        came.extend(descriptors)
        for one in descriptors:
            os.close(one)
    world.during = during
    attack.call("sendmsg", CHANNEL, message(attack, attack.text("x")), 0)
    return lambda outcome: outcome.results == [1] and len(came) == 1


def wait_until_read(channel):
    deadline = time.monotonic() + PATIENCE
    while struct.unpack("i", fcntl.ioctl(channel, termios.TIOCOUTQ, bytes(4))) != (0,):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def receives_a_descriptor(attack, world):
    def during(worker):
        wait_until_read(worker.channel)  # so that it does not come with the frame
        try:
            socket.send_fds(worker.channel, [b"x"], [0])
        except BrokenPipeError:
            pass  # a locked one is dead
    world.during = during
    where = message(attack, attack.data(1))
    attack.call("recvmsg", CHANNEL, where, 0)
    attack.call("fcntl", CHANNEL + 4, 1)
    return lambda outcome: outcome.results == [1, 0]  # the next free number is open


def asks_for_more_workers(attack, _):
    """Its channel has taken the zygote's place: there is nobody to ask."""
    attack.call("dup", CHANNEL)
    return lambda outcome: outcome.results[0] > 2


def runs_a_program(attack, _):
    path = attack.text("/bin/true")
    attack.call("execve", path, attack.words(path, 0), attack.words(0))
    return lambda outcome: outcome.status == 0


def runs_a_program_from_memory(attack, _):
    file = attack.call("memfd_create", attack.text("program"), 0)
    attack.call("write", file, attack.text("#!/bin/true\n"), 12)
    path = attack.text("")
    attack.call("execveat", file, path, attack.words(path, 0), attack.words(0), 0x1000)
    return lambda outcome: outcome.status == 0


def makes_memory_a_file(attack, _):
    attack.call("memfd_create", attack.text("x"), 0)
    return lambda outcome: outcome.results[0] > 2


def multiplies(attack, _):
    attack.call("clone", signal.SIGCHLD, 0, 0, 0, 0)
    return lambda outcome: outcome.results[0] > 0


def changes_its_settings(attack, _):
    attack.call("prctl", 1, 0, 0, 0, 0)  # PR_SET_PDEATHSIG: outlive the zygote
    return lambda outcome: outcome.results == [0]


def becomes_dumpable(attack, _):
    attack.call("prctl", 4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
    return lambda outcome: outcome.results == [0]


def allocates_executable_memory(attack, _):
    page = Attack.BASE + 32768
    attack.call("mmap", page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    for i in range(0, len(RETURN), 4):
        attack.store(page + i, int.from_bytes(RETURN[i:i + 4], "little"))
    attack.jump(page)
    return lambda outcome: outcome.results[-1] == 42


def makes_memory_executable(attack, _):
    code = attack.data(RETURN)
    attack.call("mprotect", Attack.BASE, 4096, PROT_READ | PROT_EXEC)
    attack.jump(code)
    attack.call("mprotect", Attack.BASE, 4096, PROT_READ | PROT_WRITE)
    return lambda outcome: outcome.results == [0, 42, 0]


def maps_a_file_executable(attack, _):
    attack.call("mmap", 0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, IMAGE, 0)
    return lambda outcome: outcome.results[0] > 0


def shares_pages_with_others(attack, _):
    attack.call("madvise", Attack.BASE, 4096, 12)  # MADV_MERGEABLE
    return lambda outcome: outcome.results in ([0], [-errno.EINVAL])  # without it in the system


def makes_the_channel_signal(attack, _):
    attack.call("fcntl", CHANNEL, 4, 0o20000)  # F_SETFL, O_ASYNC
    return lambda outcome: outcome.results == [0]


def controls_a_descriptor(attack, _):
    attack.call("ioctl", CHANNEL, 0x541B, attack.data(4))  # FIONREAD
    return lambda outcome: outcome.results == [0]


def moves_its_thread_storage(attack, _):
    attack.call("arch_prctl", 0x1003, attack.data(8))  # ARCH_GET_FS
    return lambda outcome: outcome.results == [0]


def lives(name, *arguments):
    """The system may refuse this for reasons of its own; the control shows that it does not kill."""
    def attempt(attack, _):
        attack.call(name, *(attack.data(a) if isinstance(a, bytes) else a for a in arguments))
        return lambda outcome: outcome.survived
    attempt.__name__ = "tries_" + name
    return attempt


ATTACKS = [
    reads_a_file, reads_a_file_by_another_door, writes_a_file, deletes_a_file, lists_a_folder,
    opens_an_image_again, reads_its_own_environment, opens_its_own_memory, opens_its_executable,
    reads_the_memory_of_another, reads_the_environment_of_another, copies_the_memory_of_another,
    changes_the_memory_of_another, traces_another, takes_a_descriptor_of_another, kills_another,
    kills_a_thread_of_another, queues_a_signal_to_another, reaches_its_zygote, limits_another, pins_another,
    reads_the_clock_of_another, connects, listens, asks_the_system_over_netlink, makes_a_pair_of_sockets,
    sends_a_descriptor, receives_a_descriptor, asks_for_more_workers, runs_a_program,
    runs_a_program_from_memory, makes_memory_a_file, multiplies, changes_its_settings, becomes_dumpable,
    allocates_executable_memory, makes_memory_executable, maps_a_file_executable, shares_pages_with_others,
    makes_the_channel_signal, controls_a_descriptor,
    *([moves_its_thread_storage] if X86_64 else []),
    lives("unshare", 0x10000000), lives("unshare", 0x40000000), lives("setns", 3, 0), lives("clone3", bytes(88), 88),
    lives("io_uring_setup", 8, bytes(128)), lives("io_uring_enter", 4, 1, 0, 0, 0),
    lives("userfaultfd", 0), lives("bpf", 0, bytes(64), 64), lives("perf_event_open", bytes(128), 0, -1, -1, 0),
    lives("keyctl", 0, -3, 1), lives("add_key", 0, 0, 0, 0, -3), lives("personality", -1),
    lives("seccomp", 1, 0, bytes(16)), lives("mount", 0, 0, 0, 0, 0), lives("chroot", 0), lives("pivot_root", 0, 0),
    lives("setuid", -1), lives("capset", 0, 0), lives("shmget", 0, 4096, 0o1777), lives("mq_open", 0, 0, 0, 0),
    lives("timer_create", 1, 0, 0), lives("landlock_create_ruleset", 0, 0, 1), lives("pkey_mprotect", 0, 0, 0, -1),
    lives("kcmp", 1, 1, 0, 0, 0), lives("init_module", 0, 0, 0), lives("reboot", 0, 0, 0, 0),
]
IDS = [attempt.__name__ + (f"_{i}" if attempt.__name__.startswith("tries") else "")
       for i, attempt in enumerate(ATTACKS)]


def perform(sandbox, attempt, world):
    """The outcome, and the look at whether it worked."""
    attack = Attack()
    worked = attempt(attack, world)
    with sandbox.spawn() as worker:
        worker.send(attack)
        world.during(worker)
        return worker.outcome(attack), worked


@pytest.mark.parametrize("attempt", ATTACKS, ids=IDS)
def test_attack(locked, unlocked, world, attempt):
    outcome, worked = perform(unlocked, attempt, world)
    assert worked(outcome), f"the control does not work: {outcome}"
    outcome, _ = perform(locked, attempt, world)
    assert outcome.signal == signal.SIGSYS, outcome
