# SPDX-License-Identifier: Apache-2.0
"""The server as a process: start-up, memory, and triggers over HTTP by wrk."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

from report import Figure

HERE = pathlib.Path(__file__).parent
PANELS = 64
STARTS = 11
ROUNDS = 5
SECONDS = 2      # of load in each round and arrangement
SETTLE_S = 1.0   # after start, until memory is read
COUNTER = {"kind": "bench", "initialState": {"counter": 0},
           "tools": [{"name": "increment", "handler": "$state.counter = ($state.counter || 0) + 1",
                      "capabilities": ["state:read:counter", "state:write:counter"]}]}


class Server:
    """`nexus serve` on a free port; used as a context."""

    def __init__(self, program):
        self.began = time.monotonic()
        # To a file: for the reader of a pipe the server would wait. Appending, as both hold the same offset.
        self.log = tempfile.TemporaryFile("a+", encoding="utf-8")
        # Nothing of the caller's settings, so that every run measures the defaults.
        self.process = subprocess.Popen(
            [program, "serve"], stdout=self.log, start_new_session=True,
            env={"HTTP_PORT": "0", "WS_PORT": "off", "PATH": os.environ["PATH"]})
        self.address = self._address()

    def _address(self):
        """Where it listens, from its log."""
        while self.process.poll() is None:
            self.log.seek(0)
            for line in self.log:
                entry = json.loads(line) if line.endswith("\n") else {}
                if entry.get("msg") == "listening":
                    return urllib.parse.urlsplit(entry["url"])
            time.sleep(0.0005)
        sys.exit("bench: the server ended before it listened")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.log.close()
        if self.process.wait(timeout=20) != 0:
            sys.exit(f"bench: the server ended with status {self.process.returncode}")

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"})
            return connection.getresponse().status
        finally:
            connection.close()

    def wait_until_healthy(self):
        """Seconds from the start to the first good answer."""
        while self.request("GET", "/health") != 200:
            if time.monotonic() - self.began > 10:
                sys.exit("bench: the server is not healthy after 10 s")
        return time.monotonic() - self.began

    def memory_mb(self):
        """Resident memory of all its processes; pages they share count once."""
        return sum(pss_bytes(pid) for pid in family(self.process.pid)) / 1e6


def family(pid):
    """The process and its descendants."""
    found = [pid]
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        found += family(int(child))
    return found


def pss_bytes(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except PermissionError:
        sys.exit("bench: the server's processes hide their memory from other users: run this as root, "
                 "or name the other parts: run.py engine js")
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def load(server, panels, connections):
    """(requests per second, median and 99th percentile of the latency in microseconds)"""
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", HERE / "trigger.lua",
         f"http://{server.address.netloc}"],
        env={**os.environ, "PANELS": str(panels)}, capture_output=True, text=True, check=True).stdout
    fields = next(line for line in out.splitlines() if line.startswith("RESULT")).split("\t")[1:]
    done, failed, microseconds, p50, p99 = map(int, fields)
    if failed or not done:
        sys.exit(f"bench: {failed} of {done} triggers failed")
    return done / (microseconds / 1e6), p50, p99


def measure(program):
    if shutil.which("wrk") is None:
        sys.exit("bench: wrk is missing: scripts/install-deps.sh bench")
    starts, idle = [], []
    for number in range(STARTS):
        with Server(program) as server:
            starts.append(server.wait_until_healthy() * 1000)
            if number < 3:
                time.sleep(SETTLE_S)
                idle.append(server.memory_mb())
    arrangements = [(1, 1), (1, 64), (PANELS, 64)]
    results = {arrangement: [] for arrangement in arrangements}
    with Server(program) as server:
        server.wait_until_healthy()
        for number in range(PANELS):
            if server.request("POST", "/panels", {"id": f"counter{number}", **COUNTER}) != 201:
                sys.exit("bench: a panel could not be created")
        for _ in range(ROUNDS):
            for arrangement in arrangements:
                results[arrangement].append(load(server, *arrangement))
        loaded = [server.memory_mb()]
    return figures(starts, idle, loaded, results)


def figures(starts, idle, loaded, results):
    process, http_ = "the server", f"triggers over HTTP ({os.cpu_count()} CPUs, wrk's included)"
    found = [Figure(process, "start to first answered request", "ms", starts, goal=50),
             Figure(process, "resident memory, idle, no panels", "MB", idle, goal=20),
             Figure(process, f"resident memory after the load below, {PANELS} panels", "MB", loaded)]
    for (panels, connections), samples in results.items():
        where = f"{connections} connection{'s' * (connections > 1)}, {panels} panel{'s' * (panels > 1)}"
        rate, p50, p99 = zip(*samples)
        found += [Figure(http_, f"{where}: rate", "1/s", list(rate),
                         goal=45000 if connections > 1 else None, at_least=True),
                  Figure(http_, f"{where}: latency, median", "µs", list(p50)),
                  Figure(http_, f"{where}: latency, 99th percentile", "µs", list(p99))]
    return found
