# SPDX-License-Identifier: Apache-2.0
"""In the kernel, every allocation and every system call fails once, at every place: while it starts,
while clients use it, and while it stops. It answers, refuses or goes on, and loses nothing."""
import pytest

from control import KERNEL
from everywhere import KIND_IDS, KINDS, count_places, in_a_life, in_rounds
from scenario import Client


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
