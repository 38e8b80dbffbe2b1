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


def all_there(found):
    return sorted(found.values()) == [0, 0, 15, 15, 15]


def test_what_computes_stands_back(lowered):
    """The very first handler finds no spare worker: it runs where the others do."""
    server = lowered(WORKERS=2, TIMEOUT_MS=SPIN_MS)
    for name, handler in (("quick", QUICK), ("loops", LOOP)):
        server.make(name, [harness.tool(handler)])
    before = niceness(server)
    assert list(before.values()) == [0, 0]
    result = []
    loops = threading.Thread(target=lambda: result.append(server.run("loops")))
    loops.start()

    def another_took_its_place():
        now = niceness(server)
        return all_there(now) and sorted(now.get(pid) for pid in before) == [0, 15]
    wait_until(another_took_its_place)
    while loops.is_alive():
        assert server.run("quick")["returnValue"] == 1
    loops.join()
    assert harness.code_of(result[0]) == "TIMEOUT"
    assert server.lost()["watchdog"] == "0" and all_there(niceness(server))


def test_what_waits_does_not(lowered):
    """The control: no processor, no change."""
    server = lowered(WORKERS=2)
    server.make("sleeps", [harness.tool("await $ext.time.sleep(300)", ["ext:time"])])
    before = niceness(server)
    assert harness.code_of(server.run("sleeps")) == "success"
    assert {pid: niceness(server)[pid] for pid in before} == dict.fromkeys(before, 0)
