# SPDX-License-Identifier: Apache-2.0
"""The manifests as Kustomize renders them, and the checks of scripts/check-manifests.py."""
import functools
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN_DIR = pathlib.Path(os.environ.get("NX_BUILD_DIR", ROOT / "build/release")) / "bin"
TOOLS = ROOT / "build/deploy-tools"
K8S = ROOT / "deploy/k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
# All that there is in one: an overlay that no user would want, so it is made here.
EVERYTHING = "everything"
EVERYTHING_YAML = """\
namespace: nexus
resources: [{overlay}]
components: [{component}]
"""
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests/blackbox")]

from manifests import items, pods, cluster  # noqa: E402,F401  (they register their items, in this order)
from manifests.objects import Manifests, parse, render  # noqa: E402


@functools.cache
def install_tools():
    done = subprocess.run([ROOT / "scripts/deploy-tools.sh"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"no tools to check manifests with: {done.stderr}"
        if os.environ.get("NX_MUST_WORK") == "1":
            pytest.fail(message)
        pytest.skip(message)


@functools.cache
def rendered(overlay):
    """The YAML of an overlay, by the kubectl that the lock file pins."""
    install_tools()
    os.environ["KUBECTL"] = str(TOOLS / "kubectl/kubectl")
    folder = K8S / "overlays" / overlay
    if overlay == EVERYTHING:
        folder = TOOLS / EVERYTHING
        folder.mkdir(exist_ok=True)
        (folder / "kustomization.yaml").write_text(EVERYTHING_YAML.format(
            overlay=os.path.relpath(K8S / "overlays/production-scaled", folder),
            component=os.path.relpath(K8S / "components/servicemonitor", folder)))
    return render(folder)


def objects_of(overlay):
    return parse(rendered(overlay))


def failing(objects):
    """The names of the items that are not ok."""
    return {one.name for one, findings in items.check(Manifests(objects)) if findings}
