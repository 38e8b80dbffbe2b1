#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Looks at how programs were compiled and linked, one line for each item and program.

usage: check-binaries.py BUILD        the programs of a build, and the flags its compiler got
       check-binaries.py --file FILE...   any programs; without what only the flags tell
exit status: 0 all ok, 1 not, 2 wrong usage
"""
import json
import os
import pathlib
import re
import stat
import subprocess
import sys

PROGRAMS = ("bin/nexus", "bin/nexus-sandbox")
FLAGS = {
    "fortify-3": ("-D_FORTIFY_SOURCE=3", "copies and formats of known size are checked at run time"),
    "stack-clash": ("-fstack-clash-protection", "large frames are probed page by page"),
    "canary-flag": ("-fstack-protector-strong", "functions with buffers check their return address"),
    "cet": ("-fcf-protection=full", "every indirect jump of ours lands on a marked instruction"),
}


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def segments(path):
    """[(type, flags)] of the program headers."""
    found = re.findall(r"^  (\w+) +0x\S+ 0x\S+ 0x\S+ 0x\S+ 0x\S+ ([RWE ]{3})", readelf("-l", path), re.M)
    return [(kind, flags.replace(" ", "")) for kind, flags in found]


def items(path):
    """(name, holds, what holds then) of one program."""
    header, dynamic, symbols = readelf("-h", path), readelf("-d", path), readelf("--dyn-syms", path)
    parts = segments(path)
    mode = os.stat(path).st_mode
    yield "pie", "DYN (Position-Independent" in header, "loaded at a random address"
    yield ("relro", any(kind == "GNU_RELRO" for kind, _ in parts) and re.search(r"\bBIND_NOW\b|Flags:.*\bNOW\b", dynamic),
           "addresses of functions are resolved at the start, then read-only")
    yield "nx-stack", ("GNU_STACK", "RW") in parts, "no code runs on the stack"
    yield ("no-w+x", parts and not any("W" in flags and "E" in flags for _, flags in parts),
           "no segment is both writable and executable")
    yield "no-rpath", "PATH)" not in dynamic and "NEEDED" in dynamic, "libraries come from the system's places only"
    yield "no-textrel", "TEXTREL" not in dynamic and "NEEDED" in dynamic, "code is not written to when it is loaded"
    yield "canary", "__stack_chk_fail" in symbols, "canaries are checked"
    yield "fortify", re.search(r"\b__\w+_chk\b", symbols.replace("__stack_chk_fail", "")), "checked calls are used"
    yield ("no-setid", not mode & (stat.S_ISUID | stat.S_ISGID) and "security.capability" not in os.listxattr(path),
           "who runs it gains nothing")


def flags_of(build):
    """(name, holds, what holds then), of every C file under src/ that is native code."""
    commands = [one for one in json.loads((build / "compile_commands.json").read_text())
                if "/src/" in one["file"] and one["file"].endswith(".c")]
    for name, (flag, says) in FLAGS.items():
        lacking = [one["file"] for one in commands if flag not in one["command"].split()]
        yield name, len(commands) > 50 and not lacking, f"{says} ({flag})"


def report(what, found):
    """Prints the lines; whether all hold."""
    lines = [(bool(holds), name, says) for name, holds, says in found]
    for holds, name, says in lines:
        print(f"{'ok' if holds else 'FAIL':4}  {what:14} {name:12} {says}")
    return all(holds for holds, *_ in lines)


def main(arguments):
    try:
        if len(arguments) >= 2 and arguments[0] == "--file":
            good = [report(pathlib.Path(one).name, items(one)) for one in arguments[1:]]
        elif len(arguments) == 1 and not arguments[0].startswith("-"):
            build = pathlib.Path(arguments[0])
            good = [report(pathlib.Path(one).name, items(build / one)) for one in PROGRAMS]
            good.append(report("compiler", flags_of(build)))
        else:
            print(__doc__.strip(), file=sys.stderr)
            return 2
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"check-binaries: {error}", file=sys.stderr)
        return 2
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
