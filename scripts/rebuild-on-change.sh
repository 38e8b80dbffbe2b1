#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the development image runs: builds, serves, and does both anew whenever a source changes. A build
# that fails leaves the last server running.
# usage: rebuild-on-change.sh [SERVE-OPTION]...
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

server=
stop_server() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server"; }
    server=
}
trap 'stop_server; exit 0' TERM INT

while :; do
    if scripts/build.sh dev; then
        stop_server
        build/dev/bin/nexus serve "$@" &
        server=$!
    fi
    # In the background, so that a signal is heard at once.
    inotifywait -q -r -e close_write,create,delete,move --exclude '/\.' src cmake examples CMakeLists.txt &
    wait $! || sleep 1
done
