# SPDX-License-Identifier: Apache-2.0
"""In the zygote and in workers, every allocation and every system call fails once, at every place. They
say why, or die and come back; the kernel goes on, and loses nothing."""
import pytest

from control import WORKER, ZYGOTE
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
