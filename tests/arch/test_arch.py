# SPDX-License-Identifier: Apache-2.0
"""Keeps the repository to its rules, and shows of each rule that it fires on a bad example and leaves
a good one alone."""
import pathlib

import pytest
import rules

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def found(rule, root):
    return list(rule(root))


@pytest.mark.parametrize("rule", [rules.include_violations, rules.length_violations,
                                  rules.banned_call_violations, rules.spdx_violations,
                                  rules.text_violations])
def test_repository_keeps(rule):
    assert not found(rule, ROOT), "\n" + "\n".join(rule(ROOT))


def test_walk_sees_the_repository():
    names = {str(path.relative_to(ROOT)) for path in rules.files(ROOT)}
    assert {"src/base/error.h", "scripts/build.sh", "Makefile", ".ci/run"} <= names
    assert not any(name.startswith(("build/", ".git/")) for name in names)


def test_walk_skips_only_the_top_build_folder(tmp_path):
    for name in ("build/a.c", "src/build/b.c", ".git/c.c", "src/__pycache__/d.c"):
        write(tmp_path, name, "")
    assert [path.name for path in rules.files(tmp_path)] == ["b.c"]


@pytest.mark.parametrize("includer, included", [
    ("src/base/a.c", '"nxml/parse.h"'),
    ("src/nxml/a.c", '"store/store.h"'),
    ("src/store/a.c", '"kernel/runtime.h"'),
    ("src/ext/a.h", '"sandbox/client.h"'),
    ("src/guest/a.c", '"base/buf.h"'),
    ("src/sandbox/a.c", '"kernel/runtime.h"'),
    ("src/sandbox/a.c", '"store/store.h"'),
    ("src/sandbox/a.c", '"guest/glue.h"'),
    ("src/base/a.c", '"guest/abi.h"'),
    ("src/kernel/a.c", '"guest/glue.h"'),
    ("src/kernel/a.c", '"../base/buf.h"'),
    ("src/nxml/a.c", "<kernel/runtime.h>"),
    ("src/sandbox/a.c", "<jansson.h>"),
    ("src/base/a.c", "<openssl/evp.h>"),
    ("src/guest/a.c", "<libwebsockets.h>"),
    ("src/elsewhere/a.c", '"base/buf.h"'),
])
def test_wrong_arrow_is_found(tmp_path, includer, included):
    write(tmp_path, includer, f"#include <stdio.h>\n  #  include {included}\n")
    violations = found(rules.include_violations, tmp_path)
    assert len(violations) >= 1 and f"{includer}:2: " in "".join(violations)


@pytest.mark.parametrize("includer, included", [
    ("src/base/a.c", '"base/buf.h"'),
    ("src/nxml/a.c", '"base/buf.h"'),
    ("src/nxml/a.c", '"nxml/parse.h"'),
    ("src/guest/a.c", '"glue.h"'),
    ("src/guest/a.c", '"guest/abi.h"'),
    ("src/guest/a.c", '"quickjs.h"'),
    ("src/sandbox/a.c", '"guest/abi.h"'),
    ("src/sandbox/a.c", "<sys/socket.h>"),
    ("src/kernel/a.c", '"sandbox/client.h"'),
    ("src/kernel/a.c", "<jansson.h>"),
    ("src/kernel/a.c", "<openssl/evp.h>"),
])
def test_right_arrow_is_left_alone(tmp_path, includer, included):
    write(tmp_path, includer, f"#include {included}\n")
    assert not found(rules.include_violations, tmp_path)


@pytest.mark.parametrize("name", ["src/base/a.c", "tests/unit/base/test_a.c", "scripts/a.sh",
                                  "tests/a.py", "Makefile", ".ci/run", "src/CMakeLists.txt"])
def test_long_file_is_found(tmp_path, name):
    write(tmp_path, name, "x\n" * rules.MAX_LINES)
    assert not found(rules.length_violations, tmp_path)
    write(tmp_path, name, "x\n" * (rules.MAX_LINES + 1))
    assert len(found(rules.length_violations, tmp_path)) == 1


@pytest.mark.parametrize("call", rules.BANNED_CALLS)
def test_banned_call_is_found(tmp_path, call):
    write(tmp_path, "src/base/a.c", f"int f(void) {{\n    return {call} (0);\n}}\n")
    assert found(rules.banned_call_violations, tmp_path) == [f"src/base/a.c:2: calls {call}"]


def test_banned_call_is_found_beside_literals(tmp_path):
    write(tmp_path, "src/base/a.c", "char q = '\"'; int x = atoi(p); char r = '\\'';\n")
    assert len(found(rules.banned_call_violations, tmp_path)) == 1


@pytest.mark.parametrize("text", [
    "snprintf(a, sizeof a, b);", "strtok_r(a, b, &c);", "// never strcpy(a, b)",
    "/* sprintf(\n a) */", 'log("system(x)");', "ops->system(x);", "ops.rand(x);", "my_atoi(x);"])
def test_like_names_are_left_alone(tmp_path, text):
    write(tmp_path, "src/base/a.c", text + "\n")
    assert not found(rules.banned_call_violations, tmp_path)


@pytest.mark.parametrize("name, text", [
    ("src/base/a.c", "int x;\n"), ("src/base/a.h", "\n// SPDX-License-Identifier: Apache-2.0\n"),
    ("tests/a.py", ""), ("scripts/a.sh", "#!/bin/sh\necho\n"), (".ci/run", "#!/bin/sh\n")])
def test_missing_licence_is_found(tmp_path, name, text):
    write(tmp_path, name, text)
    assert len(found(rules.spdx_violations, tmp_path)) == 1


@pytest.mark.parametrize("name, text", [
    ("src/base/a.c", "// SPDX-License-Identifier: Apache-2.0\n"),
    ("scripts/a.sh", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"),
    ("README.md", "Words.\n")])
def test_licence_is_seen(tmp_path, name, text):
    write(tmp_path, name, text)
    assert not found(rules.spdx_violations, tmp_path)


@pytest.mark.parametrize("text", ["TO" + "DO: later", "// FIX" + "ME", "XX" + "X", "HA" + "CK",
                                  "http://deb.debian" + ".org/debian", "https://registry.npmjs" + ".org",
                                  "cd /wor" + "k/main"])
def test_forbidden_text_is_found(tmp_path, text):
    write(tmp_path, "docs/a.md", f"one\n{text}\n")
    violations = found(rules.text_violations, tmp_path)
    assert len(violations) == 1 and violations[0].startswith("docs/a.md:2: ")


@pytest.mark.parametrize("text", ["a todo list", "mktemp a.XX" + "XXXX", "hacker", "debian.org", "work/main"])
def test_plain_text_is_left_alone(tmp_path, text):
    write(tmp_path, "docs/a.md", text + "\n")
    assert not found(rules.text_violations, tmp_path)


def test_binary_files_are_passed_over(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\0TO" + b"DO\xff")
    (tmp_path / "b.bin").write_bytes(b"TO" + b"DO\xff")
    assert not found(rules.text_violations, tmp_path)
