#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Everything that is judged without running the product: format, static analysis, and builds with
# gcc and with clang in which a warning is an error. Runs every check, then fails if one failed.
# usage: lint.sh [format|shell|gcc|analyzer|clang|cppcheck|tidy]...   (default: all)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export NX_WERROR=ON
jobs=${NX_JOBS:-$(nproc)}

# own_sources PATTERN...: our C files, not what a build generates.
own_sources() {
    local -a names=()
    local pattern
    for pattern in "$@"; do names+=(-o -name "$pattern"); done
    find src tests bench \( "${names[@]:1}" \) -type f | LC_ALL=C sort
}

# Each clang-format lays out a few things in its own way; the one of Debian 12 decides.
check_format() {
    local version
    version=$(clang-format --version | sed -n 's/.*version \([0-9]*\)\..*/\1/p')
    own_sources '*.c' '*.h' | xargs -r clang-format --dry-run -Werror && return
    [ "$version" != 14 ] || return 1
    echo "This is clang-format $version; clang-format 14 decides, so what it says above does not count."
}

check_shell() {
    { find scripts tests bench deploy -name '*.sh' 2>/dev/null; echo .ci/run; } | xargs shellcheck
}

check_gcc() {
    scripts/build.sh release || return 1
    grep -q 'CMAKE_C_COMPILER_ID "GNU"' build/release/CMakeFiles/*/CMakeCCompiler.cmake && return
    echo "build/release was configured with another compiler: run 'make clean', unset CC" >&2
    return 1
}

# Each gcc's analyzer errs in its own places; what the one of Debian 12 errs in is answered there.
check_analyzer() {
    [ -f build/release/compile_commands.json ] || scripts/build.sh release || return 1
    python3 scripts/analyze.py build/release "$jobs" && return
    [ "$(gcc -dumpversion)" != 12 ] || return 1
    echo "This is gcc $(gcc -dumpversion); gcc 12 decides, so what it says above does not count."
}

check_clang() { scripts/build.sh clang; }

check_cppcheck() {
    mkdir -p build/cppcheck
    # The guest's C files are compiled for wasm32 against QuickJS, which is not ours to judge.
    cppcheck --quiet -j "$jobs" --cppcheck-build-dir=build/cppcheck --std=c11 --error-exitcode=1 \
        --enable=warning,performance,portability --inline-suppr --suppressions-list=.cppcheck \
        --library=posix -D_GNU_SOURCE -D__linux__ -D__x86_64__ -I src -i src/guest src tests bench
}

check_tidy() {
    [ -f build/clang/compile_commands.json ] || scripts/build.sh clang || return 1
    python3 scripts/tidy.py build/clang "$jobs"
}

scripts/install-deps.sh build lint || exit 1
[ $# -gt 0 ] || set -- format shell gcc analyzer clang cppcheck tidy
failed=()
for check in "$@"; do
    echo "== lint: $check"
    "check_$check" || failed+=("$check")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "lint failed: ${failed[*]}" >&2
    exit 1
fi
echo "lint passed"
