# SPDX-License-Identifier: Apache-2.0
"""Containers of the image."""
import os

import pytest

from container import ENGINE, Container


@pytest.fixture(scope="session", name="folder")
def shared_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and path.name.startswith(("pytest-", "popen-", "image")):
            path.chmod(0o755)  # other users' processes are going to read it
    return folder


@pytest.fixture(name="start")
def starter(folder):
    """Starts containers, removed at the end."""
    started = []

    def start(**options):
        started.append(Container(folder, **options))
        return started[-1]
    yield start
    for one in started:
        one.remove()


@pytest.fixture(scope="session", name="production")
def shared_container(folder):
    """One as production has it, for whoever leaves it as it is."""
    container = Container(folder)
    yield container
    container.remove()


def pytest_collection_modifyitems(config, items):
    # Nothing is missing where the engine has no such thing.
    others = [item for item in items if any(mark.args != (ENGINE,) for mark in item.iter_markers("engine"))]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
    if os.getuid() != 0 and not os.environ.get("NX_MUST_WORK"):
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="looks inside the container: needs root"))


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("NX_MUST_WORK") and reporter.stats.get("skipped"):
        print("\nskipped, and NX_MUST_WORK is set: that counts as failed")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config):
    config.addinivalue_line("markers", "root: enters the container's file system, which takes root")
    config.addinivalue_line("markers", "engine(name): of what this engine alone can do")
