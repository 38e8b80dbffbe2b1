# SPDX-License-Identifier: Apache-2.0
"""The server under other loads: WebSockets, many subscribers, many panels, a steady half of what it can do.
By bench_load.c."""
import http.client
import json
import os
import pathlib
import subprocess
import sys
import time

from report import Figure
from server import COUNTER, Server, family

ROUNDS = 5
SECONDS = 2
PANELS = 64
CONNECTIONS = 64
SUBSCRIBERS = 1000
IDLE = 10000
MANY_PANELS = 10000
# Panels that there are, and of them those that are triggered.
SPREADS = [(PANELS, PANELS), (MANY_PANELS, PANELS), (MANY_PANELS, MANY_PANELS)]


class Load:
    """What one run of bench_load has to say."""

    def __init__(self, program, mode, server, *arguments, runner=()):
        before = cpu_seconds(server)
        out = subprocess.run([*runner, program, mode, str(server.address.port), *map(str, arguments)],
                             text=True, stdout=subprocess.PIPE, check=True).stdout
        done, failed, microseconds, *latencies = map(int, out.rstrip("\n").split("\t")[1:])
        if failed or not done:
            sys.exit(f"bench: {failed} of {done} triggers failed")
        self.rate = done / (microseconds / 1e6)
        self.p50, self.p99, self.largest = latencies
        self.cpu_us = (cpu_seconds(server) - before) * 1e6 / done


def cpu_seconds(server):
    """Processor time of all the server's processes until now."""
    ticks = 0
    for pid in family(server.process.pid):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def create(server, numbers):
    """Seconds that creating these panels takes, one after the other on one connection."""
    connection = http.client.HTTPConnection(server.address.hostname, server.address.port, timeout=10)
    bodies = [json.dumps({"id": f"counter{number}", **COUNTER}) for number in numbers]
    began = time.monotonic()
    for body in bodies:
        connection.request("POST", "/panels", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            sys.exit(f"bench: a panel could not be created: {answer.status}")
    took = time.monotonic() - began
    connection.close()
    return took


def measure_idle(program, server):
    """Bytes of memory that each of many idle sockets takes."""
    before = server.memory_mb()
    with subprocess.Popen([program, "idle", str(server.address.port), str(IDLE)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        if client.stdout.readline() != "OPEN\n":
            sys.exit("bench: the sockets could not be opened")
        after = server.memory_mb()
        client.stdin.close()
    return after, (after - before) * 1e6 / IDLE


def measure_sockets(program, bench_load):
    """A server of their own, and the figures."""
    loads = {"http": [], "ws": [], "one": [], "half http": [], "half ws": [], "fanout": []}
    with Server(program) as server:
        server.wait_until_healthy()
        create(server, range(PANELS))
        for _ in range(ROUNDS):
            for name, mode, connections in (("http", "http", CONNECTIONS), ("ws", "ws", CONNECTIONS),
                                            ("one", "ws", 1)):
                loads[name].append(Load(bench_load, mode, server, connections, PANELS, 0, SECONDS))
            for mode in ("http", "ws"):
                loads[f"half {mode}"].append(Load(bench_load, mode, server, CONNECTIONS, PANELS,
                                                  loads[mode][-1].rate / 2, SECONDS))
            loads["fanout"].append(Load(bench_load, "fanout", server, SUBSCRIBERS, SECONDS))
        total, each = measure_idle(bench_load, server)
    return loads, total, each


def measure_panels(program, bench_load):
    took, size, costs = [], [], {spread: [] for spread in SPREADS}
    with Server(program) as server:
        server.wait_until_healthy()
        create(server, range(PANELS))
        for _ in range(ROUNDS):
            costs[SPREADS[0]].append(Load(bench_load, "http", server, CONNECTIONS, PANELS, 0, SECONDS))
        before = server.memory_mb()
        rest = MANY_PANELS - PANELS
        took.append(create(server, range(PANELS, MANY_PANELS)) * 1e6 / rest)
        size.append((server.memory_mb() - before) * 1e3 / rest)
        for _ in range(ROUNDS):
            for spread in SPREADS[1:]:
                costs[spread].append(Load(bench_load, "http", server, CONNECTIONS, spread[1], 0, SECONDS))
    return took, size, costs


def measure(program, bench_load):
    loads, total, each = measure_sockets(program, bench_load)
    took, size, costs = measure_panels(program, bench_load)
    return figures_of_sockets(loads, total, each) + figures_of_panels(took, size, costs)


def figures_of_sockets(loads, total, each):
    def of(name, value):
        return [getattr(load, value) for load in loads[name]]
    closed = f"triggers, {CONNECTIONS} connections, {PANELS} panels"
    found = [Figure(closed, "over HTTP: rate", "1/s", of("http", "rate"), goal=45000, at_least=True),
             Figure(closed, "over WebSocket: rate", "1/s", of("ws", "rate"), goal=45000, at_least=True),
             Figure(closed, "over WebSocket, one connection: latency, median", "µs", of("one", "p50"))]
    half = "the same at half that rate, from when a request was due"
    for mode, name in (("http", "HTTP"), ("ws", "WebSocket")):
        found += [Figure(half, f"over {name}: latency, median", "µs", of(f"half {mode}", "p50")),
                  Figure(half, f"over {name}: latency, 99th percentile", "µs", of(f"half {mode}", "p99"),
                         goal=5000),
                  Figure(half, f"over {name}: latency, largest", "µs", of(f"half {mode}", "largest"))]
    fanout = f"a commit to {SUBSCRIBERS:,} subscribers"
    found += [Figure(fanout, "PATCHes delivered", "1/s", [rate * SUBSCRIBERS for rate in of("fanout", "rate")]),
              Figure(fanout, "from the trigger to the last PATCH, median", "ms",
                     [us / 1000 for us in of("fanout", "p50")]),
              Figure(fanout, "the server's processor time for one PATCH", "µs",
                     [us / SUBSCRIBERS for us in of("fanout", "cpu_us")])]
    sockets = f"{IDLE:,} idle WebSockets"
    return found + [Figure(sockets, "resident memory, all processes", "MB", [total], goal=200),
                    Figure(sockets, "of it for each", "bytes", [each])]


def figures_of_panels(took, size, costs):
    name = f"{MANY_PANELS:,} panels"
    found = [Figure(name, "creating one, one after the other", "µs", took),
             Figure(name, "resident memory for each", "kB", size)]
    for (there, used), loads in costs.items():
        where = f"{used:,} of {there:,} panels triggered"
        found += [Figure(name, f"{where}: rate", "1/s", [load.rate for load in loads]),
                  Figure(name, f"{where}: processor time for one", "µs", [load.cpu_us for load in loads])]
    return found
