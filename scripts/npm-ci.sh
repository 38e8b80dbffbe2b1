#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Puts what a package-lock.json lists into a folder below build/: those versions, checked by their
# hashes, nothing of it run at installation. Does only what is not there yet.
# usage: npm-ci.sh FOLDER OUT    e.g. npm-ci.sh tests/clients build/js-tools
set -euo pipefail
cd "$(dirname "$0")/.."

from=${1:?usage: npm-ci.sh FOLDER OUT} out=${2:?usage: npm-ci.sh FOLDER OUT}
files=("$from/package.json" "$from/package-lock.json" "$from/.npmrc")
mkdir -p "$out"
# Two tests may ask for it at once: one installs, the other waits.
exec 9>"$out/.lock"
flock 9
wanted=$(cat "${files[@]}" | sha256sum)
[ "$(cat "$out/.installed" 2>/dev/null)" != "$wanted" ] || exit 0

command -v npm >/dev/null || {
    echo "npm-ci: error: npm is missing; scripts/install-deps.sh test installs it" >&2
    exit 1
}
rm -f "$out/.installed"
cp "${files[@]}" "$out/"
(cd "$out" && npm ci --no-progress >npm.log 2>&1) || {
    tail -n 20 "$out/npm.log" >&2
    echo "npm-ci: error: npm could not install what $from/package-lock.json lists" >&2
    exit 1
}
printf '%s\n' "$wanted" >"$out/.installed"
