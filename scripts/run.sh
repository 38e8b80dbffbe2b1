#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the server, prints what to try, and serves the example panels until interrupted.
# Settings of the server pass through the environment (HTTP_PORT, LOG_LEVEL, ...).
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-deps.sh build
scripts/build.sh release

host=${HOST:-127.0.0.1}
case $host in
*:*) host=[$host] ;; # IPv6
esac
url=http://$host:${HTTP_PORT:-3000}
cat <<END

Starting the server with the panels of examples/. Ctrl-C stops it. In another terminal, try:

  curl -s -X POST $url/panels/counter/trigger/increment -H 'Content-Type: application/json' -d '{}'
  curl -s $url/panels/counter/state
  curl -s -X POST $url/panels/todo/trigger/add -H 'Content-Type: application/json' -d '{"text":"try it"}'
  curl -s $url/health

END
exec build/release/bin/nexus serve --panels examples
