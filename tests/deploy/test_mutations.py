# SPDX-License-Identifier: Apache-2.0
"""Every line of the manifests matters to the checks, or is listed here as one that need not.

Each member of each object is taken out in turn, each boolean turned round, and things are added that
must not be there. The API's schemas or an item of check-manifests.py has to notice.
"""
import copy
import fnmatch

import pytest

import schemas
from conftest import EVERYTHING, failing, objects_of

# kind/path of what may be left out, with what holds then.
NEED_NOT_BE = {
    "*/metadata/labels": "for people and for selectors of their own",
    "*/metadata/labels/app.kubernetes.io/*": "the same",
    "*/metadata/name": "of objects that nothing refers to by name; the others are noticed",
    "ConfigMap/data": "panels: none is fine",
    "ConfigMap/data/hello.nxml": "the same",
    "Service/spec/ipFamilyPolicy": "one family",
    "Service/spec/type": "ClusterIP is the default",
    "Service/spec/clusterIP": "an address of its own does no harm",
    "*/ports/*/protocol": "TCP is the default",
    "Deployment/spec/progressDeadlineSeconds": "how soon a bad update is reported",
    "Deployment/spec/revisionHistoryLimit": "how many old versions are kept",
    "Deployment/*/containers/0/imagePullPolicy": "a version does not change",
    "Deployment/*Probe/timeoutSeconds": "1 is the default, and enough on a node with room",
    "Deployment/*/readinessProbe/failureThreshold": "3 is the default",
    "Deployment/*/securityContext/fsGroupChangePolicy": "a matter of speed",
    "Deployment/*/volumes/1/secret/optional": "false is the default",
    "Deployment/*/volumes/2/configMap/*": "no panels from files",
    "HorizontalPodAutoscaler/spec/behavior/*/selectPolicy": "Max is the default; there is one policy to scale down",
    "HorizontalPodAutoscaler/spec/behavior/scaleUp/policies/*": "either will do",
    "ServiceMonitor/spec/endpoints/0/*": "Prometheus has defaults",
    "ServiceMonitor/spec/jobLabel": "the job is called after the Service",
    "ServiceMonitor/spec/selector/matchLabels/app.kubernetes.io/name": "the other label is enough here",
    "NetworkPolicy/spec/policyTypes": "of those that allow: default-deny closes both directions",
    "NetworkPolicy/spec/policyTypes/0": "the same",
}
# (kind and name, path, new value, the item that must notice)
CHANGED = [
    ("Namespace nexus", "metadata/labels/pod-security.kubernetes.io~enforce", "baseline", "namespace"),
    ("Namespace nexus", "metadata/labels/pod-security.kubernetes.io~warn", "privileged", "namespace"),
    ("Deployment nexus", "spec/replicas", 3, "replicas"),
    ("Deployment nexus", "spec/strategy/type", "Recreate", "rolling-update"),
    ("Deployment nexus", "spec/strategy/rollingUpdate/maxUnavailable", "25%", "rolling-update"),
    ("Deployment nexus", "POD/hostNetwork", True, "host"),
    ("Deployment nexus", "POD/serviceAccountName", "default", "service-account"),
    ("Deployment nexus", "POD/terminationGracePeriodSeconds", 20, "stopping"),
    ("Deployment nexus", "POD/securityContext/runAsUser", 0, "non-root"),
    ("Deployment nexus", "POD/securityContext/sysctls", [{"name": "kernel.msgmax", "value": "1"}], "kernel-settings"),
    ("Deployment nexus", "POD/securityContext/seccompProfile/type", "Unconfined", "seccomp"),
    ("Deployment nexus", "POD/volumes/0/emptyDir/sizeLimit", "1Gi", "cache"),
    ("Deployment nexus", "POD/volumes/0", {"name": "cache", "hostPath": {"path": "/tmp"}}, "volumes"),
    ("Deployment nexus", "POD/volumes/1/secret/defaultMode", 0o444, "secret-files"),
    ("Deployment nexus", "POD/volumes/2", {"name": "panels", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token"}}]}}, "no-token"),
    ("Deployment nexus", "BOX/securityContext/runAsUser", 0, "non-root"),
    ("Deployment nexus", "BOX/securityContext/runAsGroup", 0, "non-root"),
    ("Deployment nexus", "BOX/securityContext/seccompProfile/type", "Unconfined", "seccomp"),
    ("Deployment nexus", "BOX/securityContext/procMount", "Unmasked", "kernel-settings"),
    ("Deployment nexus", "BOX/securityContext/capabilities/drop", ["NET_RAW"], "capabilities"),
    ("Deployment nexus", "BOX/securityContext/capabilities/add", ["NET_BIND_SERVICE"], "capabilities"),
    ("Deployment nexus", "BOX/ports/0/hostPort", 3000, "host"),
    ("Deployment nexus", "BOX/image", "nexus-runtime", "image"),
    ("Deployment nexus", "BOX/image", "registry.example.com:5000/nexus-runtime:latest", "image"),
    ("Deployment nexus", "BOX/env", [{"name": "JWT_SECRET", "valueFrom": {"secretKeyRef": {
        "name": "nexus-jwt", "key": "jwt-secret"}}}], "secret-files"),
    ("Deployment nexus", "BOX/env", [{"name": "AUTH_ENABLED", "value": "false"}], "authentication"),
    ("Deployment nexus", "BOX/resources/limits/memory", "512Mi", "memory-adds-up"),
    ("Deployment nexus", "BOX/resources/limits/cpu", "500m", "workers"),
    ("Deployment nexus", "BOX/readinessProbe/httpGet/path", "/health", "probes"),
    ("Deployment nexus", "BOX/livenessProbe/httpGet/path", "/ready", "probes"),
    ("Deployment nexus", "BOX/livenessProbe/httpGet/port", "metrics", "probes"),
    ("Deployment nexus", "BOX/lifecycle/preStop", {"exec": {"command": ["sleep", "5"]}}, "stopping"),
    ("Service nexus", "spec/type", "LoadBalancer", "services"),
    ("Service nexus", "spec/ports/0/targetPort", "metrics", "services"),
    ("Ingress nexus", "spec/rules/0/http/paths/0/path", "/", "ingress"),
    ("Ingress nexus", "spec/rules/0/http/paths/0/path", "/metrics", "ingress"),
    ("Ingress nexus", "spec/rules/0/host", "other.example.com", "ingress"),
    ("HorizontalPodAutoscaler nexus", "spec/behavior/scaleDown/stabilizationWindowSeconds", 0, "replicas"),
    ("PodDisruptionBudget nexus", "spec/maxUnavailable", 0, "disruption"),
    ("NetworkPolicy default-deny", "spec/ingress", [{}], "default-deny"),
    ("NetworkPolicy default-deny", "spec/egress", [{}], "default-deny"),
    ("NetworkPolicy http-from-ingress-controller", "spec/ingress/0/from/0/podSelector", {}, "ways-in"),
    ("NetworkPolicy http-from-ingress-controller", "spec/ingress/0/from/0/namespaceSelector", {}, "ways-in"),
    ("NetworkPolicy http-from-ingress-controller", "spec/ingress/0/ports/0/port", "metrics", "ways-in"),
    ("NetworkPolicy dns-to-cluster", "spec/egress/0/to/0/podSelector", {}, "ways-out"),
    ("NetworkPolicy web-to-public-addresses", "spec/egress/0/ports/1/port", 22, "egress"),
    ("NetworkPolicy web-to-public-addresses", "spec/egress/0/to/1/ipBlock/cidr", "::/0", "egress"),
    ("NetworkPolicy web-to-public-addresses", "spec/egress/0/to/0/ipBlock/except/1", "10.0.0.0/9", "egress"),
]
ADDED = [
    ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "nexus"}}, "no-secret"),
    ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "nexus"},
      "data": {"JWT_SECRET": "x"}}, "no-secret"),
    ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "nexus"},
      "data": {"key": "-----BEGIN PRIVATE KEY-----"}}, "no-secret"),
    ({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
      "metadata": {"name": "x", "namespace": "nexus"}}, "service-account"),
    ({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": "default"}}, "namespace"),
    ({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x", "namespace": "nexus"},
      "spec": {"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]}}, "ways-out"),
    ({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x", "namespace": "nexus"},
      "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}}, "ways-in"),
]
SHORT = {"POD": ("spec", "template", "spec"), "BOX": ("spec", "template", "spec", "containers", 0)}


def name_of(one):
    return f"{one['kind']} {one['metadata']['name']}"


def paths_in(value, path=()):
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield path + (key,)
        yield from paths_in(inner, path + (key,))


def text_of(one, path):
    return "/".join(map(str, (one["kind"], *path)))


def with_change(objects, place, path, change):
    """The objects, with a copy of one of them changed by `change(container, key)`."""
    changed = list(objects)
    changed[place] = inside = copy.deepcopy(objects[place])
    for step in path[:-1]:
        inside = inside[step]
    change(inside, path[-1])
    return changed


def remove(container, key):
    del container[key]


def invert(container, key):
    container[key] = not container[key]


def path_of(text):
    steps = []
    for step in text.split("/"):
        steps += SHORT.get(step, [int(step) if step.isdigit() else step.replace("~", "/")])
    return tuple(steps)


@pytest.fixture(scope="module", name="objects")
def all_objects():
    return objects_of(EVERYTHING)


def test_the_manifests_themselves_are_fine(objects):
    assert failing(objects) == set()


def test_each_line_that_is_removed_is_noticed(objects):
    unnoticed = []
    for place, one in enumerate(objects):
        for path in paths_in(one):
            changed = with_change(objects, place, path, remove)
            if not failing(changed):
                unnoticed.append((text_of(one, path), changed[place]))
    # All at once: a schema check each would start Node a hundred times.
    by_schema = schemas.places_with_findings([one for _, one in unnoticed])
    unnoticed = {text for place, (text, _) in enumerate(unnoticed) if place not in by_schema}
    unexplained = {text for text in unnoticed
                   if not any(fnmatch.fnmatch(text, pattern) for pattern in NEED_NOT_BE)}
    assert unexplained == set()
    # And the list does not grow stale.
    assert {pattern for pattern in NEED_NOT_BE if not fnmatch.filter(unnoticed, pattern)} == set()


def test_each_boolean_that_is_turned_round_is_noticed(objects):
    turned = 0
    for place, one in enumerate(objects):
        for path in paths_in(one):
            value = one
            for step in path:
                value = value[step]
            if isinstance(value, bool) and path[-1] != "optional":
                turned += 1
                assert failing(with_change(objects, place, path, invert)), text_of(one, path)
    assert turned >= 12


@pytest.mark.parametrize("name, path, value, item", CHANGED, ids=[f"{n}-{p}-{i}" for n, p, _, i in CHANGED])
def test_a_change_for_the_worse_is_noticed_by_its_item(objects, name, path, value, item):
    def change(container, key):
        container[key] = value

    place = [name_of(one) for one in objects].index(name)
    assert item in failing(with_change(objects, place, path_of(path), change))


@pytest.mark.parametrize("added, item", ADDED, ids=[f"{one['kind']}-{item}" for one, item in ADDED])
def test_what_must_not_be_there_is_noticed_by_its_item(objects, added, item):
    assert item in failing([*objects, added])


def test_each_item_can_fail(objects):
    """No item is one that nothing makes fail."""
    failed = set()
    for place, one in enumerate(objects):
        for path in paths_in(one):
            failed |= failing(with_change(objects, place, path, remove))
    failed |= {item for *_, item in CHANGED} | {item for _, item in ADDED}
    from manifests.items import ITEMS
    assert {one.name for one in ITEMS} - failed == set()
