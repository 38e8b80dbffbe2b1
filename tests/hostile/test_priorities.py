# SPDX-License-Identifier: Apache-2.0
"""What a handler that computes does to others: its worker stands back, and an ordinary one takes its place."""
import os
import threading

import harness

wait_until = harness.blackbox.wait_until
LOOP, QUICK = "for (;;) {}", "return 1"
SPIN_MS = 3000


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


def all_there(found):
    return sorted(found.values()) == [0, 0, 15, 15, 15]


def test_what_computes_stands_back(lowered):
    """The very first handler finds no spare worker: it runs where the others do."""
    server = lowered(WORKERS=2, TIMEOUT_MS=SPIN_MS)
    for name, handler in (("quick", QUICK), ("loops", LOOP)):
        server.make(name, [harness.tool(handler)])
    wait_for_ordinary_ones(server)
    before = niceness(server)
    crowded = len(before) > 2  # on a busy machine: one that compiled took long, so that spare ones came
    result = []
    loops = threading.Thread(target=lambda: result.append(server.run("loops")))

    def another_took_its_place():
        now = niceness(server)
        return all_there(now) and (crowded or sorted(now.get(pid) for pid in before) == [0, 15])
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
