#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the release build and puts it under mixed load while its processes are killed.
# usage: soak.sh
# environment: SOAK_MINUTES  how long (default: 30)
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-deps.sh build test
scripts/build.sh release
exec /usr/bin/python3 -B tests/fault/soak.py "${SOAK_MINUTES:-30}"
