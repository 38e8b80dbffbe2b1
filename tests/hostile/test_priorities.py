# SPDX-License-Identifier: Apache-2.0
"""What a handler that computes does to others: its worker stands back, and an ordinary one takes its place."""
import os
import threading

import harness

wait_until = harness.blackbox.wait_until
LOOP, QUICK = "for (;;) {}", "return 1"
SPIN_MS = 3000


def niceness(server):
    """{nice value, above the server's own: number of workers}"""
    found = {}
    for pid in server.workers():
        try:
            above = os.getpriority(os.PRIO_PROCESS, pid) - os.getpriority(os.PRIO_PROCESS, server.process.pid)
        except ProcessLookupError:
            continue
        found[above] = found.get(above, 0) + 1
    return found


def test_what_computes_stands_back(lowered):
    """The very first handler finds no spare worker: it runs where the others do."""
    server = lowered(WORKERS=2, TIMEOUT_MS=SPIN_MS)
    for name, handler in (("quick", QUICK), ("loops", LOOP)):
        server.make(name, [harness.tool(handler)])
    before = set(server.workers())
    assert niceness(server) == {0: 2}
    result = []
    loops = threading.Thread(target=lambda: result.append(server.run("loops")))
    loops.start()
    wait_until(lambda: niceness(server) == {0: 2, 15: 3})
    # The one that loops is one of the first, and another took its place.
    ordinary = [pid for pid in server.workers()
                if os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, server.process.pid)]
    assert len(before & set(server.workers())) == 2 and len(before & set(ordinary)) == 1
    while loops.is_alive():
        assert server.run("quick")["returnValue"] == 1
    loops.join()
    assert harness.code_of(result[0]) == "TIMEOUT"
    assert server.lost()["watchdog"] == "0" and niceness(server) == {0: 2, 15: 3}


def test_what_waits_does_not(lowered):
    """The control: no processor, no change."""
    server = lowered(WORKERS=2)
    server.make("sleeps", [harness.tool("await $ext.time.sleep(300)", ["ext:time"])])
    before = set(server.workers())
    assert harness.code_of(server.run("sleeps")) == "success"
    assert before <= set(server.workers()) and niceness(server)[0] == 2
