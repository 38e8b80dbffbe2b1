# SPDX-License-Identifier: Apache-2.0
"""An installation whose calls fail on demand, and servers started from it. See fault.h."""
import importlib.util
import mmap
import os
import pathlib
import shutil
import struct
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def _load(path, name):
    spec = importlib.util.spec_from_file_location(name, HERE.parent / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


blackbox = _load("blackbox/conftest.py", "blackbox_harness")
BIN_DIR = blackbox.BIN_DIR
KERNEL, ZYGOTE, WORKER = 1, 2, 3
NONE, ALLOC, CALL, EINTR, SHORT, DIE, HOLD, STOP = range(8)
NAMES = ["none", "alloc", "call", "eintr", "short", "die", "hold", "stop"]
FOR_EVER = 2**63

# Every n-th of the places where something can fail; 1: all of them.
MOST_PLACES = 25
STRIDE = int(os.environ.get("NX_FAULT_STRIDE", "11"))


def places(count, times=1):
    """Which of `count` places are tried; in the end one past them, where nothing is left to fail. Where
    several calls in a row fail, as many fewer."""
    step = 1 if STRIDE == 1 and times == 1 else max(STRIDE * times, count // MOST_PLACES)
    return [*range(1, count + 1, step), count + 1]


class Control:
    """The file that a program under test and the test both map."""
    FIELDS = {"role": (0, "I"), "kind": (4, "I"), "at": (8, "Q"), "times": (16, "Q"), "seen": (24, "Q"),
              "failed": (32, "Q"), "held": (40, "Q"), "clock_ms": (48, "q")}
    WHERE, SIZE = 56, 56 + 512

    def __init__(self, path):
        path.write_bytes(bytes(self.SIZE))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), self.SIZE)

    def __getattr__(self, name):
        at, form = self.FIELDS[name]
        return struct.unpack_from("=" + form, self.map, at)[0]

    def set(self, **values):
        for name, value in values.items():
            at, form = self.FIELDS[name]
            struct.pack_into("=" + form, self.map, at, value)

    def arm(self, role, kind, at, times=1):
        """The calls number at, at + 1, … of the role fail from now on; 0: they are counted."""
        self.map[self.WHERE:self.SIZE] = bytes(512)
        self.set(role=0, kind=kind, at=at, times=times, seen=0, failed=0, held=0)
        self.set(role=role)

    def disarm(self):
        """Returns how many there were."""
        self.set(role=0, kind=0, held=0)
        return self.seen

    @property
    def where(self):
        return bytes(self.map[self.WHERE:self.SIZE]).split(b"\0")[0].decode()


class Installation:
    """Copies of the programs, with the control file beside them. Under sanitizers nexus-sandbox is the
    ordinary one: its run-time library wants to be the first to see every call."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fault-"))
        sandbox = "nexus-sandbox" if blackbox.is_sanitized() else "fault-sandbox"
        for source, name in (("nexus", "nexus"), (sandbox, "nexus-sandbox")):
            shutil.copy(BIN_DIR / source, self.folder / name)
        # wslay loses a message, or a part of one, for which there is no memory.
        (self.folder / "leaks").write_text("leak:libwslay\n")
        self.control = Control(self.folder / "fault.control")

    def serve(self, *arguments, env=None, limits=":", **options):
        """Starts `nexus serve`; `limits` goes in front of it in a shell."""
        inject = BIN_DIR / "libfault-inject.so"
        environment = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
                       "LSAN_OPTIONS": f"suppressions={self.folder}/leaks:print_suppressions=0", **(env or {})}
        return Server(*arguments, env=environment, program=self.folder / "nexus",
                      wrapper=("sh", "-c", f'{limits}\nexport LD_PRELOAD={inject}\nexec "$0" "$@"'), **options)

    def processes(self):
        return blackbox.running_from(self.folder)

    def wait_until_gone(self, seconds=60):
        return wait_for(lambda: not self.processes(), seconds)

    def remove(self):
        shutil.rmtree(self.folder)


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Server(blackbox.Server):
    """A server that may refuse to start."""

    def check_alive(self):
        assert self.process.poll() is None, (
            f"the kernel ended with {self.process.returncode}:\n" + "\n".join(self.errors[-40:]))

    def children(self):
        """(pid, state) of every process below the kernel."""
        every = blackbox.processes()
        family, more = {self.process.pid}, True
        while more:
            more = {pid for pid, (parent, _) in every.items() if parent in family} - family
            family |= more
        return [(pid, every[pid][1]) for pid in family - {self.process.pid}]

    def direct_children(self):
        found = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def sandbox_zygote(self):
        """The child that makes the workers."""
        def program(pid):
            try:
                return os.readlink(f"/proc/{pid}/exe")
            except OSError:
                return ""  # it has ended
        found = []
        assert wait_for(lambda: found.extend(pid for pid in self.direct_children()
                                             if program(pid).endswith("nexus-sandbox")) or found)
        return found[0]

    def ended_well(self, allowed=(0,)):
        """It ended by itself, with one of the codes, and said nothing that only a sanitizer says."""
        said = "\n".join(self.errors)
        assert self.process.returncode in allowed, f"exit code {self.process.returncode}:\n{said}"
        assert "Sanitizer" not in said and "runtime error" not in said, said
