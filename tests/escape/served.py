# SPDX-License-Identifier: Apache-2.0
"""The whole server, of copies that any user may run: with a worker that attackers own, or on a system
that refuses what protects."""
import importlib.util
import pathlib
import shutil
import tempfile

from owned import BIN_DIR, ROOT


def _load_blackbox():
    spec = importlib.util.spec_from_file_location("blackbox_harness", ROOT / "tests/blackbox/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


blackbox = _load_blackbox()


class Installation:
    """nexus, and beside it a program that takes the place of nexus-sandbox."""

    def __init__(self, sandbox="nexus-sandbox", nexus="nexus"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="escape-"))
        self.folder.chmod(0o755)
        for source, name in ((nexus, "nexus"), (sandbox, "nexus-sandbox"), ("refuse-calls", "refuse-calls")):
            shutil.copy(BIN_DIR / source, self.folder / name)

    def command(self, user, refused=()):
        """What runs nexus as `user`, without the system calls in `refused`."""
        refusal = [self.folder / "refuse-calls", *refused, "--"] if refused else []
        return [*user.command, *map(str, refusal), str(self.folder / "nexus")]

    def serve(self, user, refused=(), arguments=(), **options):
        """Starts `nexus serve`: the Server of the black-box tests."""
        *wrapper, program = self.command(user, refused)
        return blackbox.Server(*arguments, wrapper=wrapper, program=program, **options)

    def processes(self):
        return blackbox.running_from(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)
