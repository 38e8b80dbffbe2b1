# SPDX-License-Identifier: Apache-2.0
"""What a panel's callers notice of a neighbour that takes what it can get: the latency of one
connection's triggers beside it, against the latency without it, in turn. Twice: of a client that asks
again as soon as it has its answer, and of one that asks at a steady rate, counted from when each request
was due (so that one wait delays all that come due in it)."""
import os
import pathlib
import statistics
import subprocess
import sys
import time

import hog
from load import Load
from report import Figure, number
from server import COUNTER, Server

HERE = pathlib.Path(__file__).parent
ROUNDS = 5
SECONDS = 1      # of load, of each kind of client in each round
STEADY_RATE = 1000
SETTLE_S = 0.5


# For comparison: what the machine does to whoever shares it with a program that only ever takes what is left over.
LEFTOVERS = "a loop elsewhere"
LOOP = ("import os, hog; hog.stand_back(); os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
        "print(flush=True)\nwhile True: pass")
# The client that measures must not wait for a processor itself: elsewhere it would have its own.
AT_ONCE = ["chrt", "--fifo", "1"] if os.geteuid() == 0 else []


def start(server, kind):
    if kind == LEFTOVERS:
        command = [sys.executable, "-c", LOOP]
    else:
        command = [sys.executable, HERE / "hog.py", kind, server.address.hostname, str(server.address.port)]
    # In a session of its own, for systems that share the processors between sessions first.
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE, start_new_session=True)


def ask(bench_load, server):
    """Latencies in microseconds: (median, 99th percentile, 99th percentile at a steady rate)"""
    again = Load(bench_load, "http", server, 1, 1, 0, SECONDS, runner=AT_ONCE)
    steady = Load(bench_load, "http", server, 1, 1, STEADY_RATE, SECONDS, runner=AT_ONCE)
    return again.p50, again.p99, steady.p99


def beside(bench_load, server, kind):
    """One measurement with the hog at work."""
    process = start(server, kind)
    try:
        process.stdout.readline()
        time.sleep(SETTLE_S)
        return ask(bench_load, server)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        for panel in range(hog.KINDS[kind][0] if kind in hog.KINDS else 0):
            server.request("DELETE", f"/panels/hog{panel}")


def measure_kind(program, bench_load, kind):
    alone, noisy = [], []
    with Server(program) as server:
        server.wait_until_healthy()
        if server.request("POST", "/panels", {"id": "counter0", **COUNTER}) != 201:
            sys.exit("bench: a panel could not be created")
        ask(bench_load, server)
        for _ in range(ROUNDS):
            alone.append(ask(bench_load, server))
            noisy.append(beside(bench_load, server, kind))
    return alone, noisy


def measure(program, bench_load):
    found = []
    kinds = {LEFTOVERS: "no panel: another program, of the lowest scheduling class"}
    kinds |= {kind: about for kind, (*_, about) in hog.KINDS.items()}
    for kind, about in kinds.items():
        print(f"   beside {kind}", file=sys.stderr, flush=True)
        alone, noisy = measure_kind(program, bench_load, kind)
        for index, name in enumerate(("median", "99th percentile",
                                      f"99th percentile of {number(STEADY_RATE)} a second")):
            one, other = [sample[index] for sample in alone], [sample[index] for sample in noisy]
            ratio = statistics.median(other) / statistics.median(one)
            found.append(Figure("one connection's triggers beside a hog", f"{kind} ({about}): {name}", "µs",
                                other, goal=2 * statistics.median(one),
                                note=f"alone {number(statistics.median(one))}, ratio {ratio:.2f}"))
    return found
