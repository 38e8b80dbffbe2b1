# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over our files in a build's compile_commands.json, and remembers what passed.

usage: tidy.py BUILD-DIR JOBS

A file is checked again only when its text, its compile command, any of our headers, the checks or
clang-tidy itself changed. Generated code and what is compiled for the guest are not judged.
"""
import concurrent.futures
import hashlib
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "bench")


def our_commands(build):
    """Path relative to the root -> entry of the compile commands, for the files that are ours. What
    several programs are made of, tests for one, counts as what it is first compiled for."""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["file"])
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in FOLDERS:
            commands.setdefault(path.relative_to(ROOT), entry)
    return commands


def common_key():
    """Hash of what every file's verdict depends on."""
    key = hashlib.sha256(subprocess.run(["clang-tidy", "--version"], check=True,
                                        capture_output=True).stdout)
    headers = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.h"))
    for path in [ROOT / ".clang-tidy", ROOT / "tests/.clang-tidy", *sorted(headers)]:
        key.update(path.read_bytes())
    return key.digest()


def check(path, command, common, passed):
    """None when the file passes, else what clang-tidy says. It finds the command beside the stamps."""
    stamp = passed / hashlib.sha256(
        common + command.encode() + (ROOT / path).read_bytes()).hexdigest()[:32]
    if stamp.exists():
        return None
    print(f"  {path}", flush=True)
    result = subprocess.run(["clang-tidy", "--quiet", "-p", passed, path], cwd=ROOT,
                            capture_output=True, text=True, check=False)
    if result.returncode == 0:
        stamp.touch()
        return None
    return result.stdout + result.stderr


def main(build, jobs):
    build = pathlib.Path(build).resolve()
    passed = build.parent / "tidy"
    passed.mkdir(exist_ok=True)
    commands = our_commands(build)
    if not commands:
        print(f"{build} compiles none of our files")
        return 1
    (passed / "compile_commands.json").write_text(json.dumps(list(commands.values())))
    common = common_key()
    with concurrent.futures.ThreadPoolExecutor(int(jobs)) as pool:
        complaints = list(filter(None, pool.map(
            lambda path: check(path, commands[path]["command"], common, passed), sorted(commands))))
    print("\n".join(complaints), end="")
    print(f"clang-tidy: {len(commands)} files, {len(complaints)} with findings")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
