# SPDX-License-Identifier: Apache-2.0
"""An owned worker inside the whole server, reached as a client reaches it: the tool's arguments carry
the attack. What is left of it is an error for that call."""
import pytest
from owned import LOCKED, UNLOCKED, Attack
from served import Installation, blackbox


def attacked(server, attack):
    return server.trigger("counter", "echo", {"attack": attack.encode()}).json()


@pytest.fixture(name="server", scope="module")
def make_server(user):
    with Installation(LOCKED) as installation:
        server = installation.serve(user)
        yield server
        server.stop_cleanly()


@pytest.fixture(name="open_server", scope="module")
def make_open_server(user):
    """The control: with workers that are not locked in."""
    with Installation(UNLOCKED) as installation:
        server = installation.serve(user)
        yield server
        server.stop_cleanly()


ENDED = "a worker ended unexpectedly; another takes its place"


def opens_a_file():
    attack = Attack()
    attack.call("openat", -100, attack.text("/etc/passwd"), 0)
    return attack


def test_attack_is_an_error(server, open_server):
    for one in (server, open_server):
        assert one.create().status_code == 201
    result = attacked(open_server, opens_a_file())
    assert result["status"] == "success" and result["returnValue"]["results"][0] > 2

    assert server.trigger("counter", "increment").json()["status"] == "success"
    result = attacked(server, opens_a_file())
    assert result["status"] == "error" and result["error"]["code"] == "INTERNAL_ERROR"
    # The next call finds another worker, and the state as it was committed.
    assert server.trigger("counter", "increment").json()["returnValue"] == 2
    dead = server.wait_for_log(ENDED)["pid"]
    blackbox.wait_until(lambda: dead not in server.workers())


def test_many_attacks(server):
    """Nothing of the dead workers stays: descriptors, processes."""
    server.create()
    attacked(server, opens_a_file())
    assert server.trigger("counter", "echo").json()["status"] == "success"
    descriptors = server.fds_at_rest()
    for _ in range(3):  # each waits longer for its worker than the one before
        assert attacked(server, opens_a_file())["status"] == "error"
    assert server.trigger("counter", "echo").json()["status"] == "success"
    server.wait_for_fds(descriptors)

    def dead():
        return {line["pid"] for line in server.logs(ENDED)}
    blackbox.wait_until(lambda: len(dead()) >= 4 and not dead() & set(server.workers()))
    assert server.get("/health").json()["status"] == "healthy"


def test_kernel_is_out_of_reach(server, open_server, user):
    """The kernel's memory: its own protection holds an ordinary user's worker off even where the
    worker's fails. Root's worker, which only the second wall holds, gets there in the control."""
    for one in (server, open_server):
        one.create()
    attack = Attack()
    attack.call("openat", -100, attack.text(f"/proc/{open_server.process.pid}/mem"), 0)
    result = attacked(open_server, attack)
    assert (result["returnValue"]["results"][0] > 2) == (user.uid == 0)
    attack = Attack()
    attack.call("openat", -100, attack.text(f"/proc/{server.process.pid}/mem"), 0)
    assert attacked(server, attack)["error"]["code"] == "INTERNAL_ERROR"
