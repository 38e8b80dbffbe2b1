# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the fault suites."""
import pytest

from control import Installation, blackbox

Wire = blackbox.Wire  # for ws_client.py


@pytest.fixture
def installation():
    one = Installation()
    yield one
    one.control.disarm()
    left = one.processes()
    one.remove()
    assert not left, f"processes are left: {left}"


@pytest.fixture
def serve(installation):
    """Starts servers from the installation; what is left of them is killed at the end."""
    started = []

    def start(*arguments, **options):
        started.append(installation.serve(*arguments, **options))
        return started[-1]
    yield start
    installation.control.disarm()
    for one in started:
        if one.process.poll() is None:
            one.kill()
    installation.wait_until_gone()
