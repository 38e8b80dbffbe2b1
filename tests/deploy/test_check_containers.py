# SPDX-License-Identifier: Apache-2.0
"""scripts/check-containers.sh: what a kernel refuses is said by name, and what it grants is not."""
import os
import subprocess

import pytest

from conftest import ROOT

SCRIPT = ROOT / "scripts/check-containers.sh"
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root, whose rights are taken away")


def check(*before, arguments=()):
    return subprocess.run([*before, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def without(capability, *arguments):
    return check("setpriv", "--bounding-set", f"-{capability}", "--inh-caps", f"-{capability}", arguments=arguments)


def failed(done):
    return [line.removeprefix("FAIL").split(":")[0].strip() for line in done.stdout.splitlines()
            if line.startswith("FAIL")]


def test_what_is_refused_is_named():
    granted, refused = check(), without("sys_chroot")
    assert set(failed(refused)) - set(failed(granted)) == {"changing the root directory"}
    assert refused.returncode == 1 and "this machine refuses" in refused.stderr
    assert "Operation not permitted" in refused.stdout
    assert "an overlay of directories" in failed(without("sys_admin"))


def test_quiet_says_what_fails_only():
    lines = without("sys_chroot", "--quiet").stdout.splitlines()
    assert lines and all(line.startswith("FAIL") for line in lines)
    assert any(line.startswith("ok") for line in without("sys_chroot").stdout.splitlines())


def test_what_a_user_may_is_not_what_is_looked_at():
    done = check("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    assert done.returncode == 2 and "run it as root" in done.stderr
