# SPDX-License-Identifier: Apache-2.0
"""The JavaScript client's own tests (clients/js/test), against the build under test."""
import os
import re
import subprocess

import pytest

from conftest import BIN_DIR, BUILD_DIR, ROOT
from test_clients import NODE_OPTIONS, install_js_tools  # pylint: disable=unused-import

SANITIZED = "NX_SANITIZE:BOOL=ON" in (BUILD_DIR / "CMakeCache.txt").read_text(encoding="utf-8")
# Types are the same whatever the server was built with.
FILES = sorted(path for path in (ROOT / "clients/js/test").glob("*.test.mjs")
               if path.name != "types.test.mjs" or not SANITIZED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file(path, js_tools):
    done = subprocess.run(["node", *(NODE_OPTIONS or []), "--test", str(path)], capture_output=True, text=True,
                          timeout=280, check=False,
                          env={**os.environ, "NX_BIN_DIR": str(BIN_DIR), "NX_JS_TOOLS": str(js_tools)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"^\W+ pass (\d+)$", done.stdout, re.M)[1]) > 2
    assert re.search(r"^\W+ (?:skipped|todo) [1-9]", done.stdout, re.M) is None
