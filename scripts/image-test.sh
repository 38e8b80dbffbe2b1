#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the image, runs it as production does, and attacks it (tests/image).
# usage: image-test.sh [PYTEST-OPTION]...
# environment: NX_IMAGE, NX_CONTAINER_ENGINE: as for image.sh
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/image.sh production
# shellcheck source=scripts/container-engine.sh
. scripts/container-engine.sh
export NX_CONTAINER_ENGINE=$engine NX_IMAGE=${NX_IMAGE:-localhost/nexus-runtime}
# Most of the time of a test goes into starting containers: two files of tests at a time.
/usr/bin/python3 -B -m pytest -p no:cacheprovider -q -n 2 --dist loadfile "$@" tests/image || {
    explain_failure
    exit 1
}
