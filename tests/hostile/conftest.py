# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the hostile suites."""
import pytest

from harness import PATIENCE_MS, World


@pytest.fixture(scope="module")
def world():
    """One server for the module, with one worker, so that every handler runs where the others did. What is to be
    stopped says so itself: on a busy machine the rest may take long."""
    one = World(env={"TIMEOUT_MS": str(PATIENCE_MS)})
    yield one
    one.stop_cleanly()


@pytest.fixture(scope="module")
def lowered():
    """Starts servers with settings of their own; they end with the module."""
    started = []

    def start(**settings):
        started.append(World(env={name: str(value) for name, value in settings.items()}))
        return started[-1]
    yield start
    for one in started:
        one.stop_cleanly()
