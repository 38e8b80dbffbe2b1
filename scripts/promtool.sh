#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Puts promtool of Debian's package prometheus into build/promtool, for the tests of metrics and alerts.
# The package itself is not installed: it would start a server. apt checks what it downloads.
# usage: promtool.sh
set -euo pipefail
cd -P "$(dirname "$0")/.."

out=build/promtool
mkdir -p "$out"
# Two tests may ask for it at once: one downloads, the other waits.
exec 9>"$out/.lock"
flock 9
[ ! -x "$out/promtool" ] || exit 0

scratch=$(mktemp -d "$out/.download.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
download() { (cd "$scratch" && apt-get -q -o APT::Sandbox::User="$(id -un)" download prometheus) >"$out/apt.log" 2>&1; }
# Images of containers come without package lists.
download || { [ "$(id -u)" -eq 0 ] && apt-get -q update >>"$out/apt.log" 2>&1 && download; } || {
    tail -n 10 "$out/apt.log" >&2
    echo "promtool: error: apt-get could not download the package prometheus" >&2
    exit 1
}
dpkg-deb --fsys-tarfile "$scratch"/prometheus_*.deb | tar -x -C "$scratch" ./usr/bin/promtool
mv "$scratch/usr/bin/promtool" "$out/promtool"
