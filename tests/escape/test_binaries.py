# SPDX-License-Identifier: Apache-2.0
"""The hardening of the two programs, as the files have it; and that each check here fails on a program
that lacks what it looks for. Read with readelf and objdump: flags that were asked for prove nothing."""
import json
import os
import re
import shutil
import subprocess

import pytest
from owned import BIN_DIR, X86_64

NEEDED = {
    # What meets untrusted code: no network, TLS, tokens, JSON library, event loop.
    "nexus-sandbox": {"libc", "libm", "libseccomp", "ld-linux-x86-64", "ld-linux-aarch64"},
    "nexus": {"libc", "libm", "libseccomp", "libuv", "libwslay", "libcrypto", "libjansson", "libcurl",
              "ld-linux-x86-64", "ld-linux-aarch64"},
}


def read(tool, *arguments):
    return subprocess.run([tool, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True,
                          env={"PATH": os.environ["PATH"], "LC_ALL": "C"}).stdout


class Binary:
    def __init__(self, path):
        self.header = read("readelf", "-hW", path)
        self.dynamic = read("readelf", "-dW", path)
        self.notes = read("readelf", "-nW", path)
        # (type, flags) of each segment
        self.segments = [(row[0], row[1].replace(" ", "")) for row in re.findall(
            r"^  ([A-Z_]+) +(?:0x[0-9a-f]+ +){5}([RWE ]{3})", read("readelf", "-lW", path), re.M)]
        self.imports = set(re.findall(r" UND (\w+)", read("readelf", "-W", "--dyn-syms", path)))
        self.code = read("objdump", "-d", "--no-show-raw-insn", path)

    def flags(self, kind):
        return [flags for name, flags in self.segments if name == kind]


# ---- The checks: each says whether the protection is there -----------------------------------------------

def pie(binary):
    return "Type:" in binary.header and re.search(r"Type: +DYN", binary.header) \
        and re.search(r"\(FLAGS_1\).*\bPIE\b", binary.dynamic)


def full_relro(binary):
    return binary.flags("GNU_RELRO") and re.search(r"\(FLAGS_1\).*\bNOW\b", binary.dynamic)


def stack_not_executable(binary):
    return binary.flags("GNU_STACK") == ["RW"]


def nothing_both_writable_and_executable(binary):
    return binary.flags("LOAD") and not [f for f in binary.flags("LOAD") if "W" in f and "E" in f]


def canaries(binary):
    return "__stack_chk_fail" in binary.imports


def fortified(binary):
    return [name for name in binary.imports if re.fullmatch(r"__\w+_chk", name)]


def stack_clash_probes(binary):
    """Frames over a page are touched page by page."""
    return re.search(r"orq +\$0x0,(?:0x[0-9a-f]+)?\(%rsp\)" if X86_64 else r"str\s+xzr, \[sp", binary.code)


def shadow_stack(binary):
    return not X86_64 or re.search(r"x86 feature:.*SHSTK", binary.notes)


def no_run_path(binary):
    return not re.search(r"\((RPATH|RUNPATH)\)", binary.dynamic)


def no_text_relocations(binary):
    return "TEXTREL" not in binary.dynamic


CHECKS = [pie, full_relro, stack_not_executable, nothing_both_writable_and_executable, canaries, fortified,
          stack_clash_probes, shadow_stack, no_run_path, no_text_relocations]


def missing(path):
    binary = Binary(path)
    return {check.__name__ for check in CHECKS if not check(binary)}


# ---- What ships ------------------------------------------------------------------------------------------

PROGRAMS = ["nexus", "nexus-sandbox"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_hardened(name):
    assert missing(BIN_DIR / name) == set()


@pytest.mark.parametrize("name", PROGRAMS)
def test_libraries(name):
    needed = set(re.findall(r"\(NEEDED\).*\[([\w+-]+)\.so", read("readelf", "-dW", BIN_DIR / name)))
    assert {"libc", "libseccomp"} <= needed <= NEEDED[name]


def test_libraries_control():
    """The list is not empty talk: the one program has what the other must not."""
    assert "libcurl" in read("readelf", "-dW", BIN_DIR / "nexus")


def test_every_source_is_compiled_hardened():
    """A file that is not would hide among those that are: the checks above find one of many."""
    commands = json.loads((BIN_DIR.parent / "compile_commands.json").read_text(encoding="utf-8"))
    ours = [one["command"] for one in commands if "/src/" in one["file"]]
    assert len(ours) > 100
    wanted = ["-D_FORTIFY_SOURCE=3", "-fstack-protector-strong"] + (
        ["-fstack-clash-protection", "-fcf-protection=full"] if X86_64 else [])
    assert not [(flag, command) for command in ours for flag in wanted if flag not in command.split()]


@pytest.mark.skipif(not X86_64, reason="CET is x86-64's")
def test_landing_pads():
    """Indirect branches end at ENDBR64, also in translated guest code. The program as a whole cannot be
    marked so: the C library's start files are not."""
    archives = sorted((BIN_DIR.parent / "src").rglob("libnx_*.a"))
    guest = BIN_DIR.parents[1] / "guest/libnx_guest.a"
    assert len(archives) > 5 and guest.exists()
    for archive in [*archives, guest]:
        members = re.split(r"^File: ", read("readelf", "-nW", archive), flags=re.M)[1:]
        assert members
        assert not [one.splitlines()[0] for one in members if not re.search(r"x86 feature: .*IBT", one)]
    code = read("objdump", "-d", "--no-show-raw-insn", "-j", "nx_guest_text", BIN_DIR / "nexus-sandbox")
    assert code.count("endbr64") > 100


# ---- The checks fail -------------------------------------------------------------------------------------

SOURCE = """
#include <stdio.h>
#include <string.h>
extern char **environ;
void touch(char *);
#ifdef BOTH
__asm__(".pushsection .both,\\"awx\\",@progbits\\n.byte 0\\n.popsection");
#endif
void touch(char *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
int main(int n, char **args) {
    char large[65536], small[16];
    touch(large);
    memcpy(small, args[0], (size_t)n);
    touch(small);
    return printf("%s", small) + large[0];
}
"""
GOOD = ["-O2", "-fPIE", "-pie", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3",
        "-fstack-clash-protection", "-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code", "-w",
        *(["-fcf-protection=full", "-Wl,-z,shstk"] if X86_64 else [])]
BAD = [
    (["-fno-PIE", "-no-pie"], {"pie"}),
    (["-Wl,-z,lazy"], {"full_relro"}),
    (["-Wl,-z,norelro"], {"full_relro"}),
    (["-Wl,-z,execstack"], {"stack_not_executable"}),
    (["-DBOTH"], {"nothing_both_writable_and_executable"}),
    (["-fno-stack-protector"], {"canaries"}),
    (["-U_FORTIFY_SOURCE"], {"fortified"}),
    (["-fno-stack-clash-protection"], {"stack_clash_probes"}),
    (["-Wl,-rpath,/tmp"], {"no_run_path"}),
    (["-Wl,-rpath,/tmp,--disable-new-dtags"], {"no_run_path"}),
    *([(["-Wl,-z,noshstk", "without -Wl,-z,shstk"], {"shadow_stack"}),
       (["-fno-PIE", "-Wl,-z,notext", "-mcmodel=large"], {"no_text_relocations"})] if X86_64 else []),
]


def build(folder, options):
    left_out = [option.removeprefix("without ") for option in options if option.startswith("without ")]
    compiler = os.environ.get("CC") or shutil.which("gcc") or "cc"
    source, program = folder / "program.c", folder / "program"
    source.write_text(SOURCE, encoding="utf-8")
    subprocess.run([compiler, *(o for o in GOOD if o not in left_out), str(source), "-o", str(program),
                    *(o for o in options if not o.startswith("without "))], check=True)
    return program


def test_nothing_is_missed_in_a_good_program(tmp_path):
    assert missing(build(tmp_path, [])) == set()


@pytest.mark.parametrize("options, expected", BAD, ids=[" ".join(options) for options, _ in BAD])
def test_what_is_missing_is_found(tmp_path, options, expected):
    assert missing(build(tmp_path, options)) >= expected
