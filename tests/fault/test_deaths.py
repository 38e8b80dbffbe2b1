# SPDX-License-Identifier: Apache-2.0
"""Workers and zygotes that are killed from outside: what they held ends with an error, and nothing is left
of them."""
import contextlib
import os
import signal
import threading

import pytest

from control import WORKER, ZYGOTE, wait_for
from scenario import Client


def test_suspended_executions_die_with_their_worker(installation, serve):
    """Each ends with an error that says what of it was committed; the panel goes on."""
    server = serve()
    client = Client(server)
    assert client.create().status_code == 201
    sleepers = []

    def sleep(number):
        sleepers.append(client_of[number].ask("POST", "/panels/p/trigger/rest", json={"id": f"napr{number}"}).json())
    client_of = [Client(server) for _ in range(4)]
    threads = [threading.Thread(target=sleep, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    assert wait_for(lambda: len(client.state()["marks"]) == 4)
    for pid in server.workers():
        with contextlib.suppress(ProcessLookupError):  # it went by itself, and held nothing
            os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    for result in sleepers:
        assert result["status"] == "error" and result["error"]["code"] == "INTERNAL_ERROR", result
        assert [m["key"] for m in result["mutations"]] == ["marks"]
    assert client.ask("GET", "/panels/p").json()["status"] == "active"
    assert len(client.state()["marks"]) == 4
    assert wait_for(lambda: client.trigger("mark", "after")["status"] == "success")
    assert client.delete().status_code == 204
    server.stop_cleanly()


@pytest.mark.parametrize("role", [WORKER, ZYGOTE], ids=["worker", "zygote"])
def test_nothing_is_left_of_many_deaths(installation, serve, role):
    """No zombies, no descriptors."""
    server = serve(env={"WORKERS": "2"})
    client = Client(server)
    client.settle("warm")
    before = server.fds_at_rest()
    for number in range(10 if role == WORKER else 4):
        victims = server.workers() if role == WORKER else [server.sandbox_zygote()]
        for pid in victims[:1]:
            with contextlib.suppress(ProcessLookupError):  # it went by itself
                os.kill(pid, signal.SIGKILL)
        client.settle(number)
    server.wait_for_fds(before)
    assert wait_for(lambda: all(state != "Z" for _, state in server.children()))
    client.close()
    server.stop_cleanly()
