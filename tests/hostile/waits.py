# SPDX-License-Identifier: Apache-2.0
"""What a busy machine cost: how long processes waited for a processor while they could have run.

A test that holds the server to a time takes that off, instead of trying until it fits: what is left is
the server's own, on any machine."""
import os
import pathlib
import threading
import time

# Linux counts a wait when it ends. One that is under way, which the watchdog may end with the process,
# is seen by looking in between: it could run at both looks, and had no processor.
LOOK_S = 0.02
SCAN_EVERY = 5  # looks between two searches for new workers
LATE_S = 0.01  # that a look may come late for other reasons, such as the interpreter's other threads
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class _Process:
    def __init__(self, pid, is_new):
        self.pid = pid
        self.first_wait_s, self.last, self.stuck_s = None, None, 0
        if is_new:
            self.first_wait_s = 0
        self.look()

    def look(self):
        try:
            # ran, waited (nanoseconds), times
            ran, waited = (int(text) / 1e9 for text in
                           pathlib.Path(f"/proc/{self.pid}/schedstat").read_text().split()[:2])
            runnable = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
        except OSError:
            return  # it has ended: what was seen stays
        now = time.monotonic()
        if self.first_wait_s is None:
            self.first_wait_s = waited
        if self.last is not None and self.last[0] and runnable:
            self.stuck_s += max(0, now - self.last[1] - (ran - self.last[2]))
        self.last = runnable, now, ran, waited

    def waited_s(self):
        return max(self.last[3] - self.first_wait_s, self.stuck_s) if self.last else 0


def _stolen_s():
    """Time that the machine's processors were not its own, all together."""
    with open("/proc/stat", encoding="ascii") as stat:
        return int(stat.readline().split()[8]) * TICK_S


class Waits:
    """A context in which the waits of some processes are added up. `pids` says which they are now."""

    def __init__(self, pids):
        self.pids, self.processes, self.done = pids, {}, threading.Event()
        self.late_s = 0
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _scan(self, are_new):
        for pid in self.pids():
            if pid not in self.processes:
                self.processes[pid] = _Process(pid, are_new)

    def _watch(self):
        looks, due = 0, time.monotonic() + LOOK_S
        while not self.done.wait(LOOK_S):
            # Where everything stands still (a machine, or all of a container, that is paused), so does this.
            self.late_s += max(0, time.monotonic() - due - LATE_S)
            looks += 1
            if looks % SCAN_EVERY == 0:
                self._scan(True)
            for process in self.processes.values():
                process.look()
            due = time.monotonic() + LOOK_S

    def __enter__(self):
        self.stolen_before_s = _stolen_s()
        self._scan(False)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        for process in self.processes.values():
            process.look()
        self.stolen_s = _stolen_s() - self.stolen_before_s

    @property
    def seconds(self):
        """The waits of all together, of which at most one holds an answer up at a time. After the context."""
        return max(self.late_s, sum(process.waited_s() for process in self.processes.values()) + self.stolen_s)

    def __str__(self):
        each = {process.pid: round(process.waited_s(), 3) for process in self.processes.values()}
        return f"waits of {self.seconds:.3f} s: by process {each}, stolen {self.stolen_s}, looks late by {self.late_s:.3f}"
