# SPDX-License-Identifier: Apache-2.0
"""The API's schemas, by validate.js."""
import json
import os
import pathlib
import subprocess

from conftest import TOOLS, install_tools


def findings(objects):
    """[(place in the list, what is wrong)]"""
    install_tools()
    done = subprocess.run(
        ["node", str(pathlib.Path(__file__).with_name("validate.js"))], input=json.dumps(objects), text=True,
        capture_output=True, check=True, env={**os.environ, "NODE_PATH": str(TOOLS / "node_modules")})
    return [(int(place), text) for place, text in (line.split("\t", 1) for line in done.stdout.splitlines())]


def places_with_findings(objects):
    return {place for place, _ in findings(objects)}
