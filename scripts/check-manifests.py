#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds Kubernetes manifests against what makes an installation hardened, one line for each item.

usage: check-manifests.py [--list] WHAT...
  WHAT   a Kustomize folder, a YAML file, or - for standard input; several are checked one by one
  --list print the items and where each is from, and check nothing
exit status: 0 all ok, 1 not, 2 wrong usage or nothing could be rendered
"""
import pathlib
import sys

try:
    import yaml
except ImportError:
    sys.exit("check-manifests: needs Python's yaml (Debian: python3-yaml)")

from manifests import items, pods, cluster  # noqa: F401  (they register their items)
from manifests.objects import CannotRender, Manifests, parse, render


def read(what):
    if what == "-":
        return sys.stdin.read()
    path = pathlib.Path(what)
    return render(path) if path.is_dir() else path.read_text(encoding="utf-8")


def report(what):
    """Prints the lines of one installation; True if all is well."""
    results = items.check(Manifests(parse(read(what))))
    for one, findings in results:
        print(f"{'FAIL' if findings else 'ok':4}  {one.name:16} {one.source:22} {'; '.join(findings) or one.says}")
    failed = sum(bool(findings) for _, findings in results)
    print(f"{what}: {len(results) - failed} of {len(results)} items ok")
    return failed == 0


def main(arguments):
    if arguments == ["--list"]:
        for one in items.ITEMS:
            print(f"{one.name:16} {one.source:22} {one.says}")
        return 0
    if not arguments or any(one.startswith("--") for one in arguments):
        print(__doc__.strip(), file=sys.stderr)
        return 0 if arguments in (["--help"], ["-h"]) else 2
    try:
        return 0 if all([report(what) for what in arguments]) else 1
    except (OSError, CannotRender, yaml.YAMLError) as error:
        print(f"check-manifests: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
