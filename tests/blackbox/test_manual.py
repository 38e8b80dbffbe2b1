# SPDX-License-Identifier: Apache-2.0
"""The manual page: well-formed, and in step with what the program says of itself."""
import re
import subprocess

import pytest

from conftest import NEXUS, ROOT

PAGE = ROOT / "docs/man/nexus.1"
VERBS = ("serve", "run", "check", "token", "health", "version")


def lint(text):
    return subprocess.run(["mandoc", "-T", "lint", "-W", "style"], input=text, capture_output=True,
                          text=True, timeout=30).stdout


def page_text():
    rendered = subprocess.run(["mandoc", "-T", "ascii", str(PAGE)], capture_output=True, text=True,
                              timeout=30, check=True).stdout
    return re.sub(r".\x08", "", rendered)


def usage(verb):
    return subprocess.run([str(NEXUS), verb, "--help"], capture_output=True, text=True, timeout=30,
                          check=True).stdout


def settings():
    """The settings that have an effect: those of the table in config.c that are read into a field."""
    table = (ROOT / "src/kernel/config.c").read_text()
    kinds = dict(re.findall(r'^    \{"(\w+)", (\w+), AT\(', table, re.M))
    assert len(kinds) > 20
    return kinds


def test_no_finding():
    text = PAGE.read_text()
    assert lint(text) == ""
    assert lint(text.replace(".SH NAME", ".SH NAME\n.XX", 1)) != ""


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_described(verb):
    text = page_text()
    section = re.search(rf"^   nexus {verb}\n(.*?)(?=^   nexus|^\S)", text, re.M | re.S).group(1)
    options = set(re.findall(r"^  (--[a-z-]+)", usage(verb), re.M)) - {"--help"}
    assert options == set(re.findall(r"^     +(--[a-z-]+)", section, re.M)), verb
    synopsis = text[text.index("SYNOPSIS"):text.index("DESCRIPTION")]
    assert options <= set(re.findall(r"--[a-z-]+", synopsis))


def test_every_setting_is_described():
    section = re.search(r"^ENVIRONMENT\n(.*?)^\S", page_text(), re.M | re.S).group(1)
    described = set(re.findall(r"^       ([A-Z]+(?:_[A-Z]+)+|HOST|WORKERS|AUDIT)\b", section, re.M))
    assert set(settings()) <= described
    assert described - set(settings()) == {"NO_COLOR"}
