# SPDX-License-Identifier: Apache-2.0
"""The whole server, of copies that any user may run: with a worker that attackers own, or on a system
that refuses what protects."""
import importlib.util
import os
import pathlib
import shlex
import shutil
import tempfile

from owned import BIN_DIR, ROOT


def _load_blackbox():
    spec = importlib.util.spec_from_file_location("blackbox_harness", ROOT / "tests/blackbox/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
        blackbox = _load_blackbox()
        blackbox.NEXUS = self.folder / "start"
        blackbox.NEXUS.write_text(f'#!/bin/sh\nexec {shlex.join(self.command(user, refused))} "$@"\n')
        blackbox.NEXUS.chmod(0o755)
        return blackbox.Server(*arguments, **options)

    def processes(self):
        """The process numbers of whatever runs from here."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                target = os.readlink(process / "exe")
            except OSError:  # somebody else's, or ended
                try:
                    target = (process / "comm").read_text(encoding="utf-8")
                except OSError:
                    continue
            if target.startswith(str(self.folder)):
                found.append(int(process.name))
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)
