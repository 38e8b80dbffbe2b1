# SPDX-License-Identifier: Apache-2.0
"""Drives the programs of owned.c as the kernel drives nexus-sandbox: starts the zygote with nothing but
its channel, has it fork workers, and sends each an execution that carries an attack."""
import array
import ctypes
import json
import os
import pathlib
import pwd
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN_DIR = pathlib.Path(os.environ.get("NX_BUILD_DIR", ROOT / "build/release")) / "bin"
LOCKED, UNLOCKED = "escape-sandbox", "escape-unlocked"
PATIENCE = 60

# What wire.h calls them.
CONFIG, SPAWN, READY, SPAWNED, FAILED, RUN, SEGMENT = 1, 2, 3, 4, 5, 9, 13
HEADER = struct.Struct("=IBBHI")

# ---- System calls by name --------------------------------------------------------------------------------

_SECCOMP = ctypes.CDLL("libseccomp.so.2")
_SECCOMP.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
_SECCOMP.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
_SECCOMP.seccomp_arch_native.restype = ctypes.c_uint32
_SECCOMP.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
_LIBC = ctypes.CDLL(None)
_LIBC.free.argtypes = [ctypes.c_void_p]
NATIVE, I386 = _SECCOMP.seccomp_arch_native(), 0x40000003
X86_64 = NATIVE == 0xC000003E


def number(name, arch=NATIVE):
    """The number of a system call; a number stands for itself."""
    if isinstance(name, int):
        return name
    found = _SECCOMP.seccomp_syscall_resolve_name_arch(arch, name.encode())
    assert found >= 0, f"no system call {name}"
    return found


def name_of(call):
    text = _SECCOMP.seccomp_syscall_resolve_num_arch(NATIVE, call)
    if not text:
        return str(call)
    name = ctypes.string_at(text).decode()
    _LIBC.free(text)
    return name


# ---- Attacks ---------------------------------------------------------------------------------------------

class Attack:
    """A program of owned.c, built step by step."""
    BASE = 0x10000000

    def __init__(self):
        self.memory, self.steps = bytearray(), []

    def data(self, content):
        """Lays bytes into the attack's memory and returns their address."""
        if isinstance(content, int):
            content = bytes(content)
        self.memory += bytes(-len(self.memory) % 16)
        self.memory += content
        return self.BASE + len(self.memory) - len(content)

    def text(self, value):
        return self.data(os.fsencode(value) + b"\0")

    def words(self, *values):
        return self.data(struct.pack(f"={len(values)}Q", *(v % 2**64 for v in values)))

    def _step(self, kind, values):
        self.steps.append(" ".join([kind, *(v if isinstance(v, str) else str(v % 2**64) for v in values)]))
        return f"${len(self.steps) - 1}"

    def call(self, name, *arguments):
        """A system call; what it returns stands for its result in later steps."""
        return self._step("s", [number(name), *arguments])

    def call_x32(self, name, *arguments):
        return self._step("s", [number(name) | 0x40000000, *arguments])

    def call_i386(self, name, *arguments):
        return self._step("i", [number(name, I386), *arguments])

    def jump(self, address):
        return self._step("j", [address])

    def store(self, address, value):
        return self._step("w", [address - self.BASE, value])

    def ask_rules(self):
        return self._step("f", [])

    def encode(self):
        return f"{self.memory.hex()}|{';'.join(self.steps)}"


class Outcome:
    """How it went: the steps' results for a survivor, else the status it ended with."""

    def __init__(self, attack, answer=None, status=None):
        self.status = status
        if answer is not None:
            self.results = answer["results"]
            self.memory = bytes.fromhex(answer["memory"])
            self.rules = answer["rules"]
            self.base = attack.BASE

    @property
    def survived(self):
        return self.status is None

    @property
    def signal(self):
        return os.WTERMSIG(self.status) if not self.survived and os.WIFSIGNALED(self.status) else 0

    def at(self, address, count):
        return self.memory[address - self.base:address - self.base + count]

    def __repr__(self):
        if self.survived:
            return f"survived with {self.results}"
        return f"ended by {signal.Signals(self.signal).name}" if self.signal else f"ended, status {self.status}"


# ---- Users -----------------------------------------------------------------------------------------------

class User:
    """As whom the zygote runs: the test's own user, or an ordinary one without any capability."""

    def __init__(self, name):
        self.name = name
        self.uid = os.getuid() if name == "self" else 1000
        self.command = [] if name == "self" else [
            shutil.which("setpriv") or "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups",
            "--inh-caps=-all", "--bounding-set=-all", "--"]


def users():
    """root and an ordinary user. A test run that is not root's cannot be root: that case skips, which
    counts as a failure where nothing may skip."""
    if os.getuid() == 0:
        return [pytest.param(User("self"), id="root"), pytest.param(User("other"), id="user")]
    mark = pytest.mark.skip(reason="needs root")
    return [pytest.param(None, id="root", marks=mark), pytest.param(User("self"), id="user")]


ORDINARY = User("other" if os.getuid() == 0 else "self")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")
needs_x86_64 = pytest.mark.skipif(not X86_64, reason="needs the ABIs of x86-64")


# ---- The zygote and its workers --------------------------------------------------------------------------

class Failed(Exception):
    """The zygote said why it cannot go on."""


def _frame(kind, payload=b"", ident=0):
    return HEADER.pack(len(payload), 1, kind, 0, ident) + payload


def _text(value):
    return struct.pack("=I", len(value)) + value


class Sandbox:
    """A zygote of one of the two programs, and the workers it forks."""

    def __init__(self, user, program=LOCKED, wrapper=(), environment=None):
        # A copy that everyone may reach, wherever the build is.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="escape-"))
        self.folder.chmod(0o755)
        shutil.copy(BIN_DIR / program, self.folder)
        command = [*user.command, *map(str, wrapper), str(self.folder / program)]
        self.channel, theirs = socket.socketpair()
        self.log, errors = os.pipe()
        null = os.open("/dev/null", os.O_RDONLY)
        actions = self._places([null, null, errors, theirs.fileno()])
        self.pid = os.posix_spawn(command[0], command, environment or {}, file_actions=actions)
        for descriptor in (errors, null):
            os.close(descriptor)
        theirs.close()
        self.channel.settimeout(PATIENCE)
        self.said, self.ended = b"", {}
        self.protections = None
        try:
            try:
                self.channel.send(_frame(CONFIG, struct.pack("=III", 64 << 20, 1 << 20, 0)))
            except BrokenPipeError:
                pass  # it has already said why
            self._expect(READY)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _places(sources):
        """What puts descriptor sources[n] at n, by way of numbers that nobody uses."""
        free = max(*sources, len(sources)) + 1
        return [*((os.POSIX_SPAWN_DUP2, source, free + i) for i, source in enumerate(sources)),
                *((os.POSIX_SPAWN_DUP2, free + i, i) for i in range(len(sources))),
                *((os.POSIX_SPAWN_CLOSE, free + i) for i in range(len(sources)))]

    def _receive(self):
        data, ancillary, _, _ = self.channel.recvmsg(HEADER.size, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        if len(data) != HEADER.size:
            raise Failed("the zygote is gone: " + self.said.decode())
        size, _, kind, _, _ = HEADER.unpack(data)
        payload = self.channel.recv(size, socket.MSG_WAITALL) if size else b""
        descriptors = array.array("i")
        for _, _, content in ancillary:
            descriptors.frombytes(content)
        return kind, payload, list(descriptors)

    def _expect(self, wanted):
        kind, payload, descriptors = self._receive()
        if kind == FAILED:
            raise Failed(payload[4:].decode())
        assert kind == wanted, (kind, payload)
        return payload, descriptors

    def spawn(self):
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.channel, [_frame(SPAWN)], [theirs.fileno()])
        payload, descriptors = self._expect(SPAWNED)
        for descriptor in descriptors:
            os.close(descriptor)
        pid, self.protections = struct.unpack("=II", payload)
        return Worker(self, pid, ours)

    def run(self, attack):
        """The attack's outcome in a worker of its own."""
        with self.spawn() as worker:
            return worker.run(attack)

    def status_of(self, pid):
        """Waits for the end of a worker."""
        deadline = time.monotonic() + PATIENCE
        while pid not in self.ended:
            ready = select.select([self.log], [], [], max(0, deadline - time.monotonic()))[0]
            data = os.read(self.log, 65536) if ready else b""
            assert data, f"worker {pid} does not end: {self.said}"
            self.said += data
            for one, status in re.findall(rb"\nended (\d+) (\d+)(?=\n)", self.said):
                self.ended[int(one)] = int(status)
            self.said = self.said[self.said.rfind(b"\nended"):]
        return self.ended.pop(pid)

    def stop(self):
        self.channel.close()  # the zygote ends with its channel, the workers with the zygote
        try:
            os.kill(self.pid, signal.SIGKILL)
        finally:
            os.waitpid(self.pid, 0)
            os.close(self.log)
            shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Worker:
    def __init__(self, sandbox, pid, channel):
        self.sandbox, self.pid, self.channel = sandbox, pid, channel
        channel.settimeout(PATIENCE)

    def proc(self, name):
        return pathlib.Path(f"/proc/{self.pid}/{name}").read_text(encoding="utf-8")

    def status(self):
        """/proc/PID/status as a dictionary."""
        return dict(re.findall(r"^(\w+):\t(.*)$", self.proc("status"), re.M))

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self.channel.recv(size - len(data))
            if not part:
                return None
            data += part
        return data

    def send(self, attack):
        arguments = json.dumps({"attack": attack.encode()}, separators=(",", ":")).encode()
        payload = struct.pack("=8I", *[0] * 8) + struct.pack("=II", 0, 0) + _text(arguments) + _text(b"{}")
        self.channel.sendall(_frame(RUN, payload, 1))

    def run(self, attack):
        self.send(attack)
        return self.outcome(attack)

    def outcome(self, attack):
        try:
            header = self._read(HEADER.size)
            payload = self._read(HEADER.unpack(header)[0]) if header else None
        except ConnectionResetError:
            payload = None
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            raise
        if payload is None:
            return Outcome(attack, status=self.sandbox.status_of(self.pid))
        assert HEADER.unpack(header)[2] == SEGMENT
        return Outcome(attack, answer=json.loads(payload[payload.index(b'{"results"'):]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()


# ---- A victim --------------------------------------------------------------------------------------------

VICTIM = r"""
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.prctl(4, 1, 0, 0, 0)           # PR_SET_DUMPABLE: ids were changed before the exec
libc.prctl(0x59616d61, -1, 0, 0, 0) # PR_SET_PTRACER_ANY, where Yama asks for it
secret = ctypes.create_string_buffer(b"the victim's secret")
print(ctypes.addressof(secret), flush=True)
sys.stdin.read()
"""
SECRET = b"the victim's secret"


class Victim:
    """Another process of the same user, with a secret in its memory and its environment: what the kernel
    or another worker would be to an attacker. It is willing to be looked into."""

    def __init__(self, user):
        self.process = subprocess.Popen([*user.command, "/usr/bin/python3", "-I", "-c", VICTIM],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env={"PASSWORD": SECRET.decode()})
        self.address = int(self.process.stdout.readline())
        self.pid = self.process.pid

    def stop(self):
        self.process.kill()
        self.process.communicate()
