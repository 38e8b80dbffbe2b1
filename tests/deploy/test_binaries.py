# SPDX-License-Identifier: Apache-2.0
"""scripts/check-binaries.py: all ok for the build, and each item fails for a program that lacks it. And
docs/hardening.md lists every item there is."""
import re
import struct
import subprocess
import sys

import pytest

from conftest import BIN_DIR, ROOT
from manifests.items import ITEMS

CHECK = ROOT / "scripts/check-binaries.py"
SOURCE = """#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) { char text[64]; strcpy(text, argv[argc - 1]); return printf("%s", text) < 0; }
"""
GOOD = ["-O2", "-fPIE", "-pie", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3", "-fstack-protector-strong",
        "-Wl,-z,relro,-z,now,-z,noexecstack"]
# What breaks which item.
BROKEN = [
    ("pie", ["-no-pie", "-fno-pie"]),
    ("relro", ["-Wl,-z,lazy"]),
    ("relro", ["-Wl,-z,norelro"]),
    ("nx-stack", ["-Wl,-z,execstack"]),
    ("no-rpath", ["-Wl,-rpath,/tmp"]),
    ("canary", ["-fno-stack-protector"]),
    ("fortify", ["-U_FORTIFY_SOURCE"]),
]


def check(*arguments):
    return subprocess.run([sys.executable, "-B", str(CHECK), *map(str, arguments)], capture_output=True, text=True,
                          check=False)


def build(folder, *flags):
    (folder / "main.c").write_text(SOURCE)
    subprocess.run(["cc", *GOOD, *flags, "-o", folder / "program", folder / "main.c"], check=True, capture_output=True)
    return folder / "program"


def test_the_build_is_hardened():
    done = check(BIN_DIR.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 22 and "FAIL" not in done.stdout


def test_a_good_program_is_ok(tmp_path):
    done = check("--file", build(tmp_path))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("item, flags", BROKEN, ids=[f"{item}-{flags[0]}" for item, flags in BROKEN])
def test_what_is_lacking_is_noticed(tmp_path, item, flags):
    done = check("--file", build(tmp_path, *flags))
    assert done.returncode == 1
    assert item in re.findall(r"^FAIL +program +(\S+)", done.stdout, re.M)


def test_a_segment_that_is_writable_and_executable_is_noticed(tmp_path):
    program = build(tmp_path)
    image = bytearray(program.read_bytes())
    table, size, count = struct.unpack_from("<Q", image, 0x20)[0], *struct.unpack_from("<HH", image, 0x36)
    for place in range(table, table + size * count, size):
        kind, flags = struct.unpack_from("<II", image, place)
        if kind == 1 and flags & 1:  # PT_LOAD, PF_X
            struct.pack_into("<I", image, place + 4, flags | 2)
    program.write_bytes(image)
    assert re.findall(r"^FAIL +program +(\S+)", check("--file", program).stdout, re.M) == ["no-w+x"]


def test_set_ids_are_noticed(tmp_path):
    program = build(tmp_path)
    program.chmod(0o4755)
    assert re.findall(r"^FAIL +program +(\S+)", check("--file", program).stdout, re.M) == ["no-setid"]


def test_flags_are_read_of_every_file(tmp_path):
    """One file without a flag is enough."""
    import json
    commands = json.loads((BIN_DIR.parent / "compile_commands.json").read_text())
    victim = next(one for one in commands if one["file"].endswith("/src/kernel/main.c"))
    victim["command"] = victim["command"].replace("-fcf-protection=full", "")
    (tmp_path / "compile_commands.json").write_text(json.dumps(commands))
    (tmp_path / "bin").symlink_to(BIN_DIR)
    done = check(tmp_path)
    assert done.returncode == 1 and re.findall(r"^FAIL +compiler +(\S+)", done.stdout, re.M) == ["cet"]


def test_wrong_usage():
    assert [check(*one).returncode for one in ([], ["--file"], ["--x"], ["/nowhere"])] == [2, 2, 2, 2]


def test_the_scoreboard_has_every_item():
    text = (ROOT / "docs/hardening.md").read_text()
    first_cells = " ".join(re.findall(r"^\| ([^|]*`[^|]*) \|", text, re.M))
    named = set(re.findall(r"`([\w+-]+)`", first_cells))
    assert {one.name for one in ITEMS} <= named
    assert set(re.findall(r"^ok +\S+ +(\S+)", check(BIN_DIR.parent).stdout, re.M)) <= named
    assert f"{len(ITEMS)} of {len(ITEMS)} items ok" in text
