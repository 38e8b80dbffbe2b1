# SPDX-License-Identifier: Apache-2.0
"""Measures the release build and prints one table; `make bench` runs it.

Every figure is the median of several rounds, with the smallest and the largest. What is compared runs
in turn within each round, so that a machine whose speed drifts does not favour one side. The same
figures, with every sample, go to build/bench/results.json.

usage: run.py [engine|js|server|load|others|neighbours]...   (default: all)
"""
import pathlib
import subprocess
import sys

import engine
import js
import load
import neighbours
import others
import report
import server

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
GUEST = ROOT / "build/guest"
OUT = ROOT / "build/bench/results.json"


def build():
    """The programs that only benchmarks need; the rest is built already (scripts/bench.sh)."""
    for command in (["cmake", "--build", BUILD, "--target", "bench_engine", "bench_load"],
                    ["flock", GUEST / ".lock", "cmake", "--build", GUEST, "--target", "qjs_native"]):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"bench: {' '.join(map(str, command))} failed:\n{result.stdout}{result.stderr}")


def main(wanted):
    sections = {"engine": lambda: engine.measure(BUILD / "bench/bench_engine"),
                "js": lambda: js.measure(BUILD / "bench/bench_engine", GUEST / "qjs_native"),
                "server": lambda: server.measure(BUILD / "bin/nexus"),
                "load": lambda: load.measure(BUILD / "bin/nexus", BUILD / "bench/bench_load"),
                "others": lambda: others.measure(BUILD / "bin/nexus", ROOT / "build/bench/others"),
                "neighbours": lambda: neighbours.measure(BUILD / "bin/nexus", BUILD / "bench/bench_load")}
    unknown = [name for name in wanted if name not in sections]
    if unknown:
        sys.exit(f"bench: no such part: {' '.join(unknown)} (there are: {' '.join(sections)})")
    build()
    figures = []
    for name in wanted or sections:
        print(f"== measuring: {name}", file=sys.stderr, flush=True)
        figures += sections[name]()
    print(report.table(figures))
    report.write(OUT, figures)
    print(f"\nsamples: {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
