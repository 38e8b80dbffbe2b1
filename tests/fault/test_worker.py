# SPDX-License-Identifier: Apache-2.0
"""In the zygote and in workers, every allocation and every system call fails once, at every place. They
say why, or die and come back; the kernel goes on, and loses nothing."""
import os
import signal

import pytest

from control import STOP, WORKER, ZYGOTE, wait_for
from everywhere import KIND_IDS, KINDS, count_places, in_a_life, in_rounds
from scenario import Client


@pytest.mark.parametrize("role", [ZYGOTE, WORKER], ids=["zygote", "worker"])
@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_starting(installation, serve, role, kind):
    in_a_life(installation, serve, role, kind)


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_working(installation, serve, kind):
    server = serve(env={"WORKERS": "2"})
    client = Client(server)
    count = count_places(installation.control, client, WORKER, kind)
    in_rounds(installation.control, server, client, WORKER, kind, count)
    client.close()
    server.stop_cleanly()


def test_a_worker_that_hangs_as_it_starts(installation, serve):
    """It is given up, and does not keep others from starting: the first of a server, and the first that is
    to take another's place."""
    control = installation.control
    control.arm(WORKER, STOP, 1)
    server = serve()
    assert control.disarm() > 1, "another was tried"
    client = Client(server)
    client.settle("begun")
    assert wait_for(lambda: len(server.workers()) == 3)  # two spare ones, for what nobody knew
    # The zygote stands still until they are dead: none of those that are makes the call.
    zygote, workers = server.sandbox_zygote(), server.workers()
    os.kill(zygote, signal.SIGSTOP)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert wait_for(lambda: all(state == "Z" for pid, state in server.children() if pid in workers))
    control.arm(WORKER, STOP, 1)
    os.kill(zygote, signal.SIGCONT)
    client.settle("replaced")
    assert control.disarm() > 1
    assert wait_for(lambda: sum("did not start in time" in line for line in server.errors) >= 2), server.errors
    assert wait_for(lambda: all(state not in "ZT" for _, state in server.children()))
    client.close()
    server.stop_cleanly()
