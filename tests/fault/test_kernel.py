# SPDX-License-Identifier: Apache-2.0
"""In the kernel, every allocation and every system call fails once, at every place: while it starts,
while clients use it, and while it stops. It answers, refuses or goes on, and loses nothing."""
import threading

import pytest

from control import ALLOC, KERNEL, blackbox
from everywhere import KIND_IDS, KINDS, count_places, in_a_life, in_rounds
from scenario import Client

wait_until = blackbox.wait_until


@pytest.mark.parametrize("when", ["start", "stop"])
@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_starting_and_stopping(installation, serve, kind, when):
    in_a_life(installation, serve, KERNEL, kind, when)


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_working(installation, serve, kind, times):
    server = serve()
    client = Client(server)
    count = count_places(installation.control, client, KERNEL, kind)
    in_rounds(installation.control, server, client, KERNEL, kind, count, times)
    client.close()
    server.stop_cleanly()


SLEEPER = {"id": "sleeper", "kind": "test", "tools": [
    {"name": "t", "handler": "await $ext.time.sleep($args.ms);", "capabilities": ["ext:time"]}]}
LEAVING = {"id": "leaving", "kind": "test", "tools": [],
           "lifecycle": {"unmount": {"handler": "return 1;"}}}


def test_a_panel_that_cannot_unmount_is_gone_all_the_same(installation, serve):
    """Its handler waits for the only instance, and memory runs out when it is to have it."""
    server = serve(env={"MAX_INSTANCES": "1", "MIN_INSTANCES": "1"})
    control, failed = installation.control, 0
    for at in range(1, 9):
        for panel in (SLEEPER, LEAVING):
            assert server.post("/panels", json=panel).status_code == 201
        sleeper = threading.Thread(target=lambda: server.trigger("sleeper", "t", {"ms": 500}))
        sleeper.start()
        wait_until(lambda: server.get("/health").json()["panels"]["suspended"] == 1)
        gone = []
        leaving = threading.Thread(target=lambda: gone.append(server.request("DELETE", "/panels/leaving").status_code))
        leaving.start()
        wait_until(lambda: server.get("/panels/leaving").status_code == 404)
        control.arm(KERNEL, ALLOC, at)
        leaving.join(30)
        failed += control.failed
        control.disarm()
        assert gone == [204], f"allocation {at} at {control.where}"
        sleeper.join(30)
        assert server.request("DELETE", "/panels/sleeper").status_code == 204
    assert failed
    server.stop_cleanly()
