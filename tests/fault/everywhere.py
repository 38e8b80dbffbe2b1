# SPDX-License-Identifier: Apache-2.0
"""A failure at every place: in the life of a server, and in a round of work on one that runs."""
import contextlib

from control import ALLOC, CALL, EINTR, KERNEL, NAMES, SHORT, places, wait_for
from scenario import Client

KINDS = [ALLOC, CALL, EINTR, SHORT]
KIND_IDS = [NAMES[kind] for kind in KINDS]


@contextlib.contextmanager
def _telling(control, kind, at, count):
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{NAMES[kind]} {at} of {count} at {control.where}") from error


def _life(installation, serve, role, kind, at, when):
    """One life of a server, in which call number `at` fails. Returns how many there were."""
    control = installation.control
    control.arm(role, kind, at if when == "start" else 0)
    server = serve(wait=False)
    assert wait_for(lambda: server.logs("listening") or server.process.poll() is not None), "neither starts nor ends"
    count = control.disarm()
    if not server.logs("listening"):
        # It did not start: then it ended, and said why.
        assert when == "start" and at, "does not start although nothing fails"
        server.wait()
        server.ended_well((1, 2) if role == KERNEL else (1,))
        assert server.errors or server.lines, "said nothing"
        return count
    server.url = server.logs("listening")[0]["url"]
    client = Client(server)
    client.settle(when)
    if when == "stop":
        control.arm(role, kind, at)
    server.stop()
    server.ended_well((0, 1) if role == KERNEL else (0,))
    client.close()
    return control.disarm() if when == "stop" else count


def in_a_life(installation, serve, role, kind, when="start"):
    """Calls fail while the server starts, or while it stops."""
    count = _life(installation, serve, role, kind, 0, when)
    for at in places(count):
        with _telling(installation.control, kind, at, count):
            _life(installation, serve, role, kind, at, when)
        assert installation.wait_until_gone(), "it left processes behind"


def count_places(control, client, role, kind):
    """How many calls of the kind a round has."""
    client.settle("warm")
    control.arm(role, kind, 0)
    client.round("count")
    count = control.disarm()
    assert count > 0
    return count


def in_rounds(control, server, client, role, kind, count, times=1):
    """So many calls in a row fail while clients are at work."""
    for at in places(count, times):
        with _telling(control, kind, at, count):
            control.arm(role, kind, at, times)
            client.round(at)
            control.disarm()
            server.check_alive()
            client.settle(at)
        client.start_over()
