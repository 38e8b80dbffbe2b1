#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the release build and runs the benchmarks on it.
# usage: bench.sh [BENCHMARK-OPTION]...
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-deps.sh build bench
scripts/build.sh release
exec /usr/bin/python3 bench/run.py "$@"
