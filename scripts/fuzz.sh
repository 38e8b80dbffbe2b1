#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzz targets (tests/fuzz) with libFuzzer and runs each for a while, as many at once as
# there are CPUs. Starts from the committed corpora; what it learns is kept in build/fuzz/work and used
# the next time. Prints a table; fails if anything was found, or a target did not run.
# usage: fuzz.sh [--minimise] [TARGET]...     (default: all targets)
#          --minimise  afterwards replaces the committed corpora by the smallest set of inputs that
#                      covers as much
# environment: FUZZ_SECONDS=N  for each target (default 60; 0: only builds)
#              FUZZ_SEED_TARGET=N  that target tries the same inputs each time, if build/fuzz/work holds the same
#              NX_JOBS=N       targets at once (default: the number of CPUs)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

seconds=${FUZZ_SECONDS:-60}
jobs=${NX_JOBS:-$(nproc)}
build=build/fuzz
minimise=no
[ "${1:-}" != --minimise ] || { minimise=yes && shift; }

scripts/install-deps.sh build test || exit 1
scripts/build.sh fuzz || exit 1
# "NAME LIBFUZZER-OPTION..." a line, written by tests/fuzz/CMakeLists.txt.
mapfile -t all <"$build/fuzz-targets"
targets=()
for line in "${all[@]}"; do
    [ $# -eq 0 ] || [[ " $* " == *" ${line%% *} "* ]] || continue
    targets+=("$line")
done
[ ${#targets[@]} -gt 0 ] || {
    echo "fuzz.sh: no such target: $*; there are: ${all[*]%% *}" >&2
    exit 2
}
[ "$seconds" -gt 0 ] || exit 0

# each FUNCTION: calls it with the name and options of each target, so many at once. The last one does
# not wait for its place: all CPUs but one would stand still for its time.
each() {
    local -a words
    local left=${#targets[@]}
    for line in "${targets[@]}"; do
        read -ra words <<<"$line"
        "$1" "${words[@]}" &
        left=$((left - 1))
        while [ "$left" -ne 1 ] && [ "$(jobs -pr | wc -l)" -ge "$jobs" ]; do wait -n; done
    done
    wait
}

# shellcheck disable=SC2317  # `each` calls it
# run_target NAME OPTION...: its log goes to build/fuzz/work/NAME.log, what it finds to
# build/fuzz/findings/NAME.
run_target() {
    local name=$1 work=$build/work/$1 findings=$build/findings/$1 seed=FUZZ_SEED_$1
    local -a flags=(-rss_limit_mb=2560 -timeout=20 "${@:2}")
    [ -z "${!seed:-}" ] || flags+=("-seed=${!seed}")
    [ ! -f "tests/fuzz/dict/$name.dict" ] || flags+=("-dict=tests/fuzz/dict/$name.dict")
    mkdir -p "$work" "$findings"
    # Twice the time and some to spare: a target that hangs where libFuzzer cannot see it is found, too.
    timeout --kill-after=10 $((2 * seconds + 120)) "$build/bin/fuzz_$name" "$work" \
        "tests/fuzz/corpus/$name" "${flags[@]}" "-max_total_time=$seconds" \
        -print_final_stats=1 "-artifact_prefix=$findings/" >"$work.log" 2>&1
    local status=$?
    echo "$status" >"$work.status"
    [ "$status" -eq 0 ] || tell "$name" >&2
}

# shellcheck disable=SC2317  # likewise
# tell NAME: what happened, and with which input: elsewhere the output may be all that is kept.
tell() {
    echo "fuzz: $1 failed, see $build/work/$1.log; what it says beside its progress:"
    grep -aEv '^(#[0-9]|INFO: |\s+NEW_FUNC)' "$build/work/$1.log" | tail -50 | cut -c -2000
    for finding in "$build/findings/$1"/*; do
        [ ! -f "$finding" ] || echo "$finding in base64: $(base64 -w 0 "$finding" | cut -c -8000)"
    done
}

# shellcheck disable=SC2317  # likewise
minimise_target() {
    local name=$1 fresh=$build/work/$1.minimised
    rm -rf "$fresh" && mkdir -p "$fresh"
    # By edges alone: how often each was taken would keep several times as many inputs.
    "$build/bin/fuzz_$name" -set_cover_merge=1 -use_counters=0 "${@:2}" "$fresh" \
        "tests/fuzz/corpus/$name" "$build/work/$name" >"$fresh.log" 2>&1 || return
    # What once failed stays whatever it covers.
    cp -f "tests/fuzz/corpus/$name"/regress-* "$fresh" 2>/dev/null
    rm -rf "tests/fuzz/corpus/$name" && mv "$fresh" "tests/fuzz/corpus/$name"
}

each run_target
status=0
printf '\n%-10s %12s %9s %7s %7s %9s\n' target executions exec/s edges inputs findings
for line in "${targets[@]}"; do
    name=${line%% *}
    log=$build/work/$name.log
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    last=$(grep -o 'cov: .*' "$log" | tail -1)
    edges=$(sed -n 's/cov: \([0-9]*\).*/\1/p' <<<"$last")
    inputs=$(sed -n 's/.*corp: \([0-9]*\).*/\1/p' <<<"$last")
    findings=$(find "$build/findings/$name" -type f | wc -l)
    printf '%-10s %12s %9s %7s %7s %9s\n' "$name" "${executions:--}" "${rate:--}" "${edges:--}" \
        "${inputs:--}" "$findings"
    [ "$(cat "$build/work/$name.status")" = 0 ] && [ "$findings" -eq 0 ] || status=1
done
if [ "$status" -ne 0 ]; then
    echo
    echo "Findings are in $build/findings. To see one again: $build/bin/fuzz_TARGET FILE"
fi
if [ "$minimise" = yes ] && [ "$status" -eq 0 ]; then
    each minimise_target
    du -sb tests/fuzz/corpus | sed 's/\t.*/ bytes of corpora/'
fi
exit "$status"
