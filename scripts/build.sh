#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Configures and builds one preset of CMakePresets.json into build/PRESET. Does only what changed.
# usage: build.sh PRESET
# environment: NX_WERROR=ON|OFF  warnings as errors (kept from the last time when unset)
#              NX_JOBS=N         parallel compile jobs (default: the number of CPUs)
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:?usage: build.sh PRESET}
log=build/$preset.configure.log
configure=(cmake --preset "$preset")
[ -z "${NX_WERROR:-}" ] || configure+=("-DNX_WERROR=$NX_WERROR")

mkdir -p build
[ -f "build/$preset/build.ninja" ] || echo "== configuring $preset"
if ! "${configure[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
echo "== building $preset"
exec cmake --build --preset "$preset" --parallel "${NX_JOBS:-$(nproc)}"
