#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the release and the sanitizer build, runs every test on both, and closes with one line,
# "N passed, N failed". Fails on any failure, on a preset that does not build, and on no test at all.
# usage: test.sh [CTEST-OPTION]...     e.g. test.sh -R unit/base
# environment: NX_MUST_WORK=1  a test that would skip for lack of something fails instead
#              NX_PRESETS      which builds to test (default: "release asan")
#              NX_TEST_JOBS=N  tests at once (default: twice the CPUs, as most wait most of the time)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

scripts/install-deps.sh build test || exit 1
read -ra presets <<<"${NX_PRESETS:-release asan}"
results=()
for preset in "${presets[@]}"; do
    result=build/$preset.junit.xml
    results+=("$preset=$result")
    rm -f "$result"
    scripts/build.sh "$preset" || continue # a missing result counts as a failure
    echo "== testing $preset"
    # The limits are on how much of a test's output the result file keeps: all of it.
    ctest --test-dir "build/$preset" -j "${NX_TEST_JOBS:-$((2 * $(nproc)))}" --output-on-failure --no-tests=error \
        --test-output-size-passed 67108864 --test-output-size-failed 67108864 \
        --output-junit "$PWD/$result" "$@"
done
exec python3 scripts/count_tests.py "${results[@]}"
