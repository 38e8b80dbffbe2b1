# SPDX-License-Identifier: Apache-2.0
"""A set of Kubernetes objects, and the few questions that the checks ask of one."""
import os
import pathlib
import re
import shutil
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The kubectl that the tests use; scripts/deploy-tools.sh puts it there.
PINNED_KUBECTL = ROOT / "build/deploy-tools/kubectl/kubectl"

UNITS = {"": 1, "m": 0.001, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


class CannotRender(Exception):
    """No program to render with, or it refused."""


def renderer():
    """The command that renders a folder: $KUBECTL, the pinned kubectl, or what PATH has."""
    if os.environ.get("KUBECTL"):
        return [os.environ["KUBECTL"], "kustomize"]
    if PINNED_KUBECTL.exists():
        return [str(PINNED_KUBECTL), "kustomize"]
    for name, command in (("kustomize", "build"), ("kubectl", "kustomize")):
        if shutil.which(name):
            return [name, command]
    raise CannotRender("neither kustomize nor kubectl is there; scripts/deploy-tools.sh gets a kubectl")


def render(folder):
    """The YAML that Kustomize makes of an overlay."""
    done = subprocess.run([*renderer(), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotRender(done.stderr.strip() or f"{renderer()[0]} failed")
    return done.stdout


def parse(text):
    return [item for item in yaml.safe_load_all(text) if item]


def quantity(value):
    """A Kubernetes quantity as a number; None if it is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", str(value))
    return float(match[1]) * UNITS[match[2]] if match and match[2] in UNITS else None


def dig(value, *path, default=None):
    """The value at a path of keys and indices, or the default where it ends early."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return default
    return default if value is None else value


def name_of(item):
    return f"{item.get('kind')} {dig(item, 'metadata', 'name', default='?')}"


class Manifests:
    """The objects of one installation."""

    def __init__(self, items):
        self.items = items

    def of(self, *kinds):
        return [item for item in self.items if item.get("kind") in kinds]

    def workloads(self):
        return self.of("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod")

    def pods(self):
        """(workload, pod spec) of everything that makes pods."""
        return [(item, dig(item, "spec", "template", "spec", default={})) for item in self.workloads()]

    def containers(self):
        """(where, container, pod spec), init containers included."""
        for item, pod in self.pods():
            for one in [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]:
                yield f"{name_of(item)}, container {one.get('name')}", one, pod

    def settings(self, item):
        """The environment of a workload's first container, from its ConfigMaps and its own list."""
        container = dig(item, "spec", "template", "spec", "containers", 0, default={})
        maps = {dig(one, "metadata", "name"): one.get("data") or {} for one in self.of("ConfigMap")}
        found = {}
        for source in container.get("envFrom") or []:
            found.update(maps.get(dig(source, "configMapRef", "name"), {}))
        for entry in container.get("env") or []:
            if "value" in entry:
                found[entry["name"]] = entry["value"]
        return found

    def labels_of_pods(self, item):
        return dig(item, "spec", "template", "metadata", "labels", default={})

    def ports(self, item):
        """name -> number of the ports that a workload's pods declare."""
        return {port["name"]: port["containerPort"]
                for one in dig(item, "spec", "template", "spec", "containers", default=[])
                for port in one.get("ports") or [] if "name" in port}


def selects(selector, labels):
    """Whether a label selector (matchLabels, matchExpressions; {} is everything) takes these labels."""
    selector = selector or {}
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        here, values = labels.get(rule["key"]), rule.get("values") or []
        good = {"In": here in values, "NotIn": here not in values,
                "Exists": here is not None, "DoesNotExist": here is None}[rule["operator"]]
        if not good:
            return False
    return True
