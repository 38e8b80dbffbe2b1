# SPDX-License-Identifier: Apache-2.0
"""Runs gcc's analyzer over src/, as a build's compile_commands.json compiles it.

usage: analyze.py BUILD-DIR JOBS

A finding that is none is answered at its place: a comment `analyzer: why` on its line or the one above.
Left out as a whole is -Wanalyzer-malloc-leak: gcc 12 follows neither what moves into a list or a
callback's user data nor __attribute__((cleanup)). LeakSanitizer and clang's analyzer look for leaks.
"""
import concurrent.futures
import json
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FINDING = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+):\d+: (?:warning|error): .*\[-W(?:error=)?analyzer-[\w-]+\]$",
                     re.M)
OPTIONS = ["-fanalyzer", "-Wno-analyzer-malloc-leak", "-fdiagnostics-path-format=none"]


def our_commands(build):
    """File -> how it is compiled."""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["file"])
        if path.is_relative_to(ROOT / "src") and path not in commands:
            words = shlex.split(entry["command"])
            words = words[1:] if words[0].endswith("ccache") else words
            at = words.index("-o")
            words = words[:at] + words[at + 2:]
            commands[path] = ([w for w in words if w != "-Werror"], entry["directory"])
    return commands


def is_answered(finding, folder):
    lines = (folder / finding["file"]).resolve().read_text(encoding="utf-8").splitlines()
    at = int(finding["line"]) - 1
    return any("analyzer: " in line for line in lines[max(0, at - 1):at + 1])


def check(command, folder):
    """What is left to say about a file."""
    result = subprocess.run([*command, *OPTIONS, "-o", "/dev/null"], cwd=folder, capture_output=True, text=True,
                            check=False)
    if result.returncode != 0:
        return [result.stderr]
    return [found[0] for found in FINDING.finditer(result.stderr) if not is_answered(found, pathlib.Path(folder))]


def main(build, jobs):
    commands = our_commands(pathlib.Path(build).resolve())
    if not commands:
        print(f"{build} compiles none of our files")
        return 1
    with concurrent.futures.ThreadPoolExecutor(int(jobs)) as pool:
        findings = [one for found in pool.map(lambda item: check(*item), commands.values()) for one in found]
    print("\n".join(findings))
    print(f"gcc -fanalyzer: {len(commands)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
