# SPDX-License-Identifier: Apache-2.0
"""In the zygote and in workers, every allocation and every system call fails once, at every place. They
say why, or die and come back; the kernel goes on, and loses nothing."""
import pytest

from control import ALLOC, CALL, EINTR, NAMES, SHORT, WORKER, ZYGOTE, places, wait_for
from scenario import Client

KINDS = [ALLOC, CALL, EINTR, SHORT]
KIND_IDS = [NAMES[kind] for kind in KINDS]
ROLES = {"zygote": ZYGOTE, "worker": WORKER}


def start(installation, serve, role, kind, at):
    """A start during which call number `at` fails. Returns how many there were."""
    control = installation.control
    control.arm(role, kind, at)
    server = serve(wait=False)
    assert wait_for(lambda: server.logs("listening") or server.process.poll() is not None), "neither starts nor ends"
    count = control.disarm()
    if not server.logs("listening"):
        assert at, "does not start although nothing fails"
        server.wait()
        server.ended_well((1,))
        assert server.errors or server.lines, "said nothing"
        return count
    server.url = server.logs("listening")[0]["url"]
    client = Client(server)
    client.settle("start")
    client.close()
    server.stop_cleanly()
    return count


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_starting(installation, serve, role, kind):
    count = start(installation, serve, ROLES[role], kind, 0)
    for at in places(count):
        try:
            start(installation, serve, ROLES[role], kind, at)
        except AssertionError as error:
            raise AssertionError(f"{role} {NAMES[kind]} {at} of {count} at {installation.control.where}") from error
        assert installation.wait_until_gone(), "it left processes behind"


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_working(installation, serve, kind):
    control = installation.control
    server = serve(env={"WORKERS": "2"})
    client = Client(server)
    client.settle("warm")
    control.arm(WORKER, kind, 0)
    client.round("count")
    count = control.disarm()
    for at in places(count):
        control.arm(WORKER, kind, at)
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
