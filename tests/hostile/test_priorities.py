# SPDX-License-Identifier: Apache-2.0
"""What a handler that computes does to others: its worker stands back, and an ordinary one takes its place."""
import os
import pathlib
import threading
import time

import harness

wait_until = harness.blackbox.wait_until
LOOP, QUICK = "for (;;) {}", "return 1"
SPIN_MS = 6000


def niceness(server):
    """{worker: nice value, above the server's own}"""
    found = {}
    for pid in server.workers():
        try:
            found[pid] = os.getpriority(os.PRIO_PROCESS, pid) - os.getpriority(os.PRIO_PROCESS, server.process.pid)
        except ProcessLookupError:
            continue
    return found


def wait_for_ordinary_ones(server):
    """Both are through their start: what runs before that finds one place less."""
    wait_until(lambda: server.get("/health").json()["runtime"]["workers"] >= 2
               and list(niceness(server).values()).count(0) == 2)


def busiest(server, seconds=0.2):
    """The worker that uses the most processor time, where one does."""
    def used_ns():
        found = {}
        for pid in server.workers():
            try:
                found[pid] = int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])
            except OSError:
                continue
        return found
    before = used_ns()
    time.sleep(seconds)
    now = used_ns()
    more = {pid: now[pid] - before[pid] for pid in before if pid in now}
    pid = max(more, key=more.get, default=None)
    return pid if pid and more[pid] > 1_000_000 else None


def all_there(found):
    return sorted(found.values()) == [0, 0, 15, 15, 15]


def test_what_computes_stands_back(lowered):
    """The very first handler finds no spare worker and runs where the others do; on a busy machine there may
    be one already. Either way what loops ends up behind the others, of which there are as many as before."""
    server = lowered(WORKERS=2, TIMEOUT_MS=SPIN_MS)
    for name, handler in (("quick", QUICK), ("loops", LOOP)):
        server.make(name, [harness.tool(handler)])
    wait_for_ordinary_ones(server)
    result = []
    loops = threading.Thread(target=lambda: result.append(server.run("loops")))

    def another_took_its_place():
        loops_in, now = busiest(server), niceness(server)
        return all_there(now) and now.get(loops_in) == 15
    with server.waits() as waits:
        loops.start()
        wait_until(another_took_its_place)
        while loops.is_alive():
            assert server.run("quick")["returnValue"] == 1
        loops.join()
    assert harness.code_of(result[0]) == "TIMEOUT"
    assert server.lost()["watchdog"] == "0" or waits.seconds > harness.WATCHDOG_GRACE_S / 2, waits
    wait_until(lambda: all_there(niceness(server)))


def test_what_waits_does_not(lowered):
    """The control: no processor, no change."""
    server = lowered(WORKERS=2)
    server.make("sleeps", [harness.tool("await $ext.time.sleep(300)", ["ext:time"])])
    wait_for_ordinary_ones(server)
    before = [pid for pid, nice in niceness(server).items() if nice == 0]
    assert harness.code_of(server.run("sleeps")) == "success"
    now = niceness(server)
    assert {pid: now.get(pid) for pid in before} == dict.fromkeys(before, 0)
