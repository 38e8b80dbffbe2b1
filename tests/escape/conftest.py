# SPDX-License-Identifier: Apache-2.0
"""Fixtures: zygotes of a module, and something for attackers to reach for."""
import socket

import pytest

from owned import LOCKED, UNLOCKED, ORDINARY, Sandbox, Victim, users


@pytest.fixture(scope="module", name="user", params=users())
def each_user(request):
    return request.param


@pytest.fixture(scope="module")
def locked(user):
    with Sandbox(user, LOCKED) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def unlocked(user):
    """The control: as locked, without anything that locks."""
    with Sandbox(user, UNLOCKED) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def ordinary_unlocked():
    """The control for what may harm the machine when it works."""
    with Sandbox(ORDINARY, UNLOCKED) as sandbox:
        yield sandbox


@pytest.fixture
def victim(user):
    one = Victim(user)
    yield one
    one.stop()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server
