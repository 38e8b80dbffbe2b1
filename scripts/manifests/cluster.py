# SPDX-License-Identifier: Apache-2.0
"""Items about what surrounds the pods: namespace, network, ways in from outside, number of replicas."""
import re

from . import network
from .items import item
from .objects import dig, name_of, selects

MODES = ("enforce", "audit", "warn")
DNS = network.Pod("kube-system", (("k8s-app", "kube-dns"),))
PORTS = [("TCP", 22), ("TCP", 53), ("UDP", 53), ("TCP", 80), ("TCP", 443), ("UDP", 443), ("TCP", 3000),
         ("TCP", 3001), ("TCP", 6443), ("TCP", 9090), ("TCP", 10250)]
# Routes that clients need, and no others: src/kernel/http_route.c has them all.
PUBLIC_PATHS = {"/panels"}
NOT_SECRETS = {"JWT_SECRET_FILE"}
SECRET_TEXT = re.compile(r"-----BEGIN|\beyJ[\w-]{10,}\.|^[A-Za-z0-9+/=_-]{40,}$")


@item("namespace", "PSS restricted", "a namespace of its own that enforces, audits and warns of `restricted`")
def namespace(m):
    spaces = m.of("Namespace")
    if len(spaces) != 1:
        yield f"{len(spaces)} Namespaces"
    for one in spaces:
        for mode in MODES:
            label = f"pod-security.kubernetes.io/{mode}"
            if dig(one, "metadata", "labels", label) != "restricted":
                yield f"{name_of(one)}: {label} is not restricted"
            if not dig(one, "metadata", "labels", f"{label}-version"):
                yield f"{name_of(one)}: {label}-version"
    names = {dig(one, "metadata", "name") for one in spaces}
    for one in m.items:
        if one["kind"] != "Namespace" and dig(one, "metadata", "namespace") not in names - {"default"}:
            yield f"{name_of(one)} is in namespace {dig(one, 'metadata', 'namespace')}"


@item("no-secret", "CIS Kubernetes 5.4", "no secret in the manifests")
def no_secret(m):
    for one in m.of("Secret"):
        yield f"{name_of(one)}: make it where it is used (scripts/make-secret.sh)"
    for one in m.of("ConfigMap"):
        for key, value in (one.get("data") or {}).items():
            named = re.search(r"SECRET|PASSWORD|TOKEN|PRIVATE", key) and key not in NOT_SECRETS | {"ALLOW_QUERY_TOKEN"}
            if named or SECRET_TEXT.search(str(value)):
                yield f"{name_of(one)}: {key} looks like a secret"


@item("authentication", "server", "tokens are asked for, and not taken from URLs")
def authentication(m):
    for one, _ in m.pods():
        settings = m.settings(one)
        if settings.get("AUTH_ENABLED") != "true":
            yield f"{name_of(one)}: AUTH_ENABLED is not true"
        for name in ("ALLOW_INSECURE", "ALLOW_QUERY_TOKEN"):
            if settings.get(name, "false") != "false":
                yield f"{name_of(one)}: {name}"
        if settings.get("CORS_ORIGINS") == "*":
            yield f"{name_of(one)}: CORS_ORIGINS=*"


def _targets(m):
    for one in m.workloads():
        yield one, network.Target(dig(one, "metadata", "namespace", default="default"),
                                  tuple(m.labels_of_pods(one).items()), tuple(m.ports(one).items()))


def _named_peers(policies, target=None):
    """The pods that rules name (for the target, or at all): both selectors, each with labels."""
    for spec in (policy.get("spec") or {} for policy in policies):
        if target and not selects(spec.get("podSelector"), dict(target.labels)):
            continue
        for one in (peer for side, field in (("ingress", "from"), ("egress", "to")) for rule in spec.get(side) or []
                    for peer in rule.get(field) or []):
            space = dig(one, "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name")
            labels = dig(one, "podSelector", "matchLabels", default={})
            if space and labels:
                yield network.Pod(space, tuple(labels.items()))


@item("default-deny", "CIS Kubernetes 5.3.2", "whatever else runs in the namespace: nothing in, nothing out")
def default_deny(m):
    policies = m.of("NetworkPolicy")
    for one, target in _targets(m):
        other = network.Target(target.namespace, (("app", "other"),), target.ports)
        peers = {network.Address("1.1.1.1"), network.Address("2606:4700::1"),
                 network.Pod(target.namespace, target.labels), DNS, *_named_peers(policies)}
        for direction in ("Ingress", "Egress"):
            if any(network.open_ports(policies, other, direction, peer, PORTS) for peer in peers):
                yield f"{name_of(one)}'s namespace: {direction} is open to other pods"


def _strangers(peer, target):
    """Peers that lack one of what a rule asks of `peer`, and ones that no rule names."""
    yield network.Pod("elsewhere", peer.labels)
    yield network.Pod(peer.namespace, (("app", "other"),))
    yield network.Pod(target.namespace, target.labels)
    yield network.Pod("default")
    yield from (network.Address(ip) for ip in ("1.1.1.1", "10.1.2.3", "169.254.169.254", "2606:4700::1", "fd00::1"))


@item("ways-in", "CIS Kubernetes 5.3.2", "in: the Ingress's controller to http, monitoring to metrics, each alone")
def ways_in(m):
    policies = m.of("NetworkPolicy")
    for one, target in _targets(m):
        numbers, opened = dict(target.ports), set()
        for peer in _named_peers(policies, target):
            here = network.open_ports(policies, target, "Ingress", peer, PORTS)
            opened |= here
            if len(here) > 1:
                yield f"{name_of(one)}: {peer.namespace} reaches {sorted(here)}"
            for other in _strangers(peer, target):
                for protocol, port in network.open_ports(policies, target, "Ingress", other, PORTS):
                    yield f"{name_of(one)}: {other} reaches {protocol} {port}"
        wanted = {("TCP", numbers.get("metrics"))} | ({("TCP", numbers.get("http"))} if m.of("Ingress") else set())
        if opened != wanted:
            yield f"{name_of(one)}: reachable are {sorted(opened)}, needed {sorted(wanted, key=str)}"


@item("ways-out", "CIS Kubernetes 5.3.2", "out, inside: the cluster's DNS over UDP and TCP if names are needed")
def ways_out(m):
    policies = m.of("NetworkPolicy")
    for one, target in _targets(m):
        wanted = {("UDP", 53), ("TCP", 53)} if m.settings(one).get("HTTP_ALLOWED_DOMAINS") else set()
        here = network.open_ports(policies, target, "Egress", DNS, PORTS)
        if here != wanted:
            yield f"{name_of(one)}: reaches the cluster's DNS on {sorted(here)}, needed {sorted(wanted)}"
        for peer in _strangers(DNS, target):
            if isinstance(peer, network.Pod):
                for protocol, port in network.open_ports(policies, target, "Egress", peer, PORTS):
                    yield f"{name_of(one)}: reaches {peer} on {protocol} {port}"


@item("egress", "server", "out, to the world: public addresses on TCP 80 and 443 if handlers may, of both families")
def egress(m):
    policies = m.of("NetworkPolicy")
    for one, target in _targets(m):
        wanted = {("TCP", 80), ("TCP", 443)} if m.settings(one).get("HTTP_ALLOWED_DOMAINS") else set()
        for ip in network.edges(network.NOT_PUBLIC):
            for protocol, port in network.open_ports(policies, target, "Egress", network.Address(ip), PORTS):
                yield f"{name_of(one)}: reaches {ip} on {protocol} {port}"
        for ip in network.PUBLIC:
            here = network.open_ports(policies, target, "Egress", network.Address(ip), PORTS)
            if here != wanted:
                yield f"{name_of(one)}: reaches {ip} on {sorted(here)}, needed {sorted(wanted)}"


@item("services", "server", "Services are inside the cluster and lead to ports that exist; metrics have their own")
def services(m):
    found = m.of("Service")
    for one in found:
        if dig(one, "spec", "type", default="ClusterIP") != "ClusterIP" or dig(one, "spec", "externalIPs"):
            yield f"{name_of(one)}: open to the outside"
        targets = {port.get("targetPort") for port in dig(one, "spec", "ports", default=[])}
        for work in m.workloads():
            if not dig(one, "spec", "selector") or not selects(
                    {"matchLabels": one["spec"]["selector"]}, m.labels_of_pods(work)):
                yield f"{name_of(one)}: does not select {name_of(work)}"
            if not targets <= set(m.ports(work)):
                yield f"{name_of(one)}: ports {sorted(map(str, targets - set(m.ports(work))))}"
        if len(targets) != 1:
            yield f"{name_of(one)}: leads to {sorted(map(str, targets))}"
    if {dig(one, "spec", "ports", 0, "targetPort") for one in found} != {"http", "metrics"}:
        yield "http and metrics are not a Service each"


@item("ingress", "server", "TLS for every host, redirected to; only routes that clients need; PUBLIC_URL is that host")
def ingress(m):
    services = {dig(one, "metadata", "name"): {port["name"]: port["targetPort"] for port in one["spec"]["ports"]}
                for one in m.of("Service")}
    for one in m.of("Ingress"):
        hosts = {rule.get("host") for rule in dig(one, "spec", "rules", default=[])}
        covered = {host for tls in dig(one, "spec", "tls", default=[]) if tls.get("secretName")
                   for host in tls.get("hosts") or []}
        if not hosts or None in hosts or not hosts <= covered:
            yield f"{name_of(one)}: no TLS for {sorted(map(str, hosts - covered))}"
        paths = [path for rule in dig(one, "spec", "rules", default=[])
                 for path in dig(rule, "http", "paths", default=[])]
        if {path.get("path") for path in paths} != PUBLIC_PATHS:
            yield f"{name_of(one)}: no way to {sorted(PUBLIC_PATHS)}"
        for path in paths:
            if path.get("path") not in PUBLIC_PATHS or path.get("pathType") not in ("Prefix", "Exact"):
                yield f"{name_of(one)}: path {path.get('path')}"
            backend = dig(path, "backend", "service", default={})
            if services.get(backend.get("name"), {}).get(dig(backend, "port", "name")) != "http":
                yield f"{name_of(one)}: {path.get('path')} does not lead to http"
        yield from _ingress_annotations(one)
        for work in m.workloads():
            url = m.settings(work).get("PUBLIC_URL", "")
            if url.removeprefix("https://") not in hosts or not url.startswith("https://"):
                yield f"{name_of(work)}: PUBLIC_URL={url} is not the Ingress's host over https"


def _annotations(one):
    """By their names without the controller's prefix."""
    return {key.rsplit("/", 1)[-1]: value for key, value in dig(one, "metadata", "annotations", default={}).items()}


def _ingress_annotations(one):
    notes = _annotations(one)
    if not dig(one, "spec", "ingressClassName"):
        yield f"{name_of(one)}: no class"
    if notes.get("ssl-redirect") != "true":
        yield f"{name_of(one)}: no redirect to https"
    for name in ("proxy-read-timeout", "proxy-send-timeout"):
        if not 60 <= int(notes.get(name, 0)) <= 3600:
            yield f"{name_of(one)}: {name} does not outlast a suspension and a WebSocket's silence"
    if "proxy-body-size" not in notes:
        yield f"{name_of(one)}: proxy-body-size"
    if notes.get("proxy-next-upstream") != "off":
        yield f"{name_of(one)}: a trigger might be sent twice"


@item("replicas", "server", "one replica, or an autoscaler that is slow to take one away, with clients kept to theirs")
def replicas(m):
    scaled = {dig(one, "spec", "scaleTargetRef", "name"): one for one in m.of("HorizontalPodAutoscaler")}
    for one in m.of("Deployment"):
        number, scaler = dig(one, "spec", "replicas"), scaled.get(dig(one, "metadata", "name"))
        if scaler is None:
            if number not in (None, 1):
                yield f"{name_of(one)}: {number} replicas, each with a state of its own"
            continue
        if number is not None:
            yield f"{name_of(one)}: replicas is set, which undoes the autoscaler's decision at each update"
        yield from _scaler_findings(scaler)
        for service in m.of("Service"):
            if dig(service, "spec", "ports", 0, "targetPort") == "http" and not (
                    dig(service, "spec", "sessionAffinity") == "ClientIP" and
                    dig(service, "spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds")):
                yield f"{name_of(service)}: no session affinity"
        for entry in m.of("Ingress"):
            notes = _annotations(entry)
            if notes.get("affinity") != "cookie" or not notes.get("session-cookie-name"):
                yield f"{name_of(entry)}: no session affinity"
            if notes.get("session-cookie-secure") != "true" or notes.get("session-cookie-samesite") != "Strict":
                yield f"{name_of(entry)}: a cookie that leaves https or follows other sites' requests"
    for name in set(scaled) - {dig(one, "metadata", "name") for one in m.of("Deployment")}:
        yield f"an autoscaler of {name}, which is not there"


def _scaler_findings(scaler):
    spec = scaler.get("spec") or {}
    if not 2 <= spec.get("minReplicas", 1) <= spec.get("maxReplicas", 0):
        yield f"{name_of(scaler)}: from {spec.get('minReplicas')} to {spec.get('maxReplicas')}"
    if dig(spec, "scaleTargetRef", "apiVersion") != "apps/v1":
        yield f"{name_of(scaler)}: scaleTargetRef.apiVersion"
    if not any(dig(metric, "resource", "target", "averageUtilization") for metric in spec.get("metrics") or []):
        yield f"{name_of(scaler)}: no metric"
    up, down = (dig(spec, "behavior", direction, default={}) for direction in ("scaleUp", "scaleDown"))
    if not 300 <= down.get("stabilizationWindowSeconds", 0):
        yield f"{name_of(scaler)}: scaleDown does not wait"
    if down.get("policies") != [{"type": "Pods", "value": 1, "periodSeconds": 60}]:
        yield f"{name_of(scaler)}: scaleDown takes more than one a minute"
    if not 0 < up.get("stabilizationWindowSeconds", 0) <= 120 or not up.get("policies"):
        yield f"{name_of(scaler)}: scaleUp"


@item("disruption", "server", "a budget for evictions that lets nodes be drained")
def disruption(m):
    for work in m.workloads():
        fitting = [one for one in m.of("PodDisruptionBudget") if dig(one, "spec", "selector", "matchLabels") and
                   selects(one["spec"]["selector"], m.labels_of_pods(work))]
        if len(fitting) != 1:
            yield f"{name_of(work)}: {len(fitting)} budgets"
        for one in fitting:
            if dig(one, "spec", "maxUnavailable") != 1 or "minAvailable" in one["spec"]:
                yield f"{name_of(one)}: maxUnavailable is not 1"
            if dig(one, "spec", "unhealthyPodEvictionPolicy") != "AlwaysAllow":
                yield f"{name_of(one)}: a broken pod could hold up a drain"


@item("monitoring", "server", "a ServiceMonitor, if there is one, finds the metrics' Service")
def monitoring(m):
    for one in m.of("ServiceMonitor"):
        ports = {entry.get("port") for entry in dig(one, "spec", "endpoints", default=[])}
        fitting = [service for service in m.of("Service") if dig(one, "spec", "selector", "matchLabels") and
                   selects(one["spec"]["selector"], dig(service, "metadata", "labels", default={}))]
        if len(fitting) != 1 or {dig(service, "spec", "ports", 0, "name") for service in fitting} != ports:
            yield f"{name_of(one)}: selects {[name_of(service) for service in fitting]}"
