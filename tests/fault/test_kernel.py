# SPDX-License-Identifier: Apache-2.0
"""In the kernel, every allocation and every system call fails once, at every place: while it starts,
while clients use it, and while it stops. It answers, refuses or goes on, and loses nothing."""
import signal

import pytest

from control import ALLOC, CALL, EINTR, KERNEL, NAMES, SHORT, places, wait_for
from scenario import Client

KINDS = [ALLOC, CALL, EINTR, SHORT]
KIND_IDS = [NAMES[kind] for kind in KINDS]


def start_and_stop(installation, serve, kind, at, when):
    """One life of a server in which call number `at` fails. Returns how many there were."""
    control = installation.control
    control.arm(KERNEL, kind, at if when == "start" else 0)
    server = serve(wait=False)
    try:
        server.url = server.wait_for_log("listening")["url"]
    except AssertionError:
        # It did not start: then it ended, and said why.
        assert when == "start" and at, "does not start although nothing fails"
        assert wait_for(lambda: server.process.poll() is not None), "neither starts nor ends"
        server.wait()
        server.ended_well((1, 2))
        assert server.errors or server.lines, f"said nothing; failed at {control.where}"
        return control.disarm()
    if when == "start":
        count = control.disarm()
    client = Client(server)
    assert client.create().status_code == 201
    assert client.trigger("mark", "m")["status"] == "success"
    if when == "stop":
        control.arm(KERNEL, kind, at)
    assert server.stop(signal.SIGTERM) in (0, 1), f"failed at {control.where}: " + "\n".join(server.errors)
    server.ended_well((0, 1))
    if when == "stop":
        count = control.disarm()
    client.close()
    return count


@pytest.mark.parametrize("when", ["start", "stop"])
@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_starting_and_stopping(installation, serve, kind, when):
    count = start_and_stop(installation, serve, kind, 0, when)
    for at in places(count):
        try:
            start_and_stop(installation, serve, kind, at, when)
        except AssertionError as error:
            raise AssertionError(f"{NAMES[kind]} {at} of {count} at {installation.control.where}") from error
        assert installation.wait_until_gone(), "it left processes behind"


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_working(installation, serve, kind, times):
    control = installation.control
    server = serve()
    client = Client(server)
    client.settle("warm")
    control.arm(KERNEL, kind, 0)
    client.round("count")
    count = control.disarm()
    assert count > 0
    for at in places(count, times):
        control.arm(KERNEL, kind, at, times)
        try:
            client.round(at)
            control.disarm()
            server.check_alive()
            client.settle(at)
        except AssertionError as error:
            raise AssertionError(f"{NAMES[kind]} {at} of {count} at {control.where}") from error
        client.start_over()
    client.close()
    server.stop_cleanly()
