# SPDX-License-Identifier: Apache-2.0
"""Items about pods and containers: what a process in one may be and do, and what it is given."""
from .items import item
from .objects import dig, name_of, quantity, selects

PSS = "PSS restricted"
SAFE_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
                "secret", "name"}
RESOURCES = ("cpu", "memory", "ephemeral-storage")
CACHE_BYTES = 128 * 2**20
# What a server with no panels takes beside instances and caches, with room for state.
OTHER_BYTES = 64 * 2**20


@item("workload", "server", "one Deployment of the server, whose selector is its own pods', whose volumes exist")
def workload(m):
    if [one["kind"] for one in m.workloads()] != ["Deployment"]:
        yield f"workloads: {[name_of(one) for one in m.workloads()]}"
    if len(list(m.containers())) != 1:
        yield f"{len(list(m.containers()))} containers"
    for one, pod in m.pods():
        wanted = dig(one, "spec", "selector", "matchLabels", default={})
        if not wanted or not selects({"matchLabels": wanted}, m.labels_of_pods(one)):
            yield f"{name_of(one)}: its selector does not select its pods"
        names = {volume["name"] for volume in pod.get("volumes") or []}
        mounts = dig(pod, "containers", 0, "volumeMounts", default=[])
        if {mount["name"] for mount in mounts} != names:
            yield f"{name_of(one)}: volumes {sorted(names)}, mounts {sorted(mount['name'] for mount in mounts)}"
        arguments = dig(pod, "containers", 0, "args", default=[])
        if arguments[:2] != ["serve", "--panels"] or arguments[2:] != [
                mount["mountPath"] for mount in mounts if mount["name"] == "panels"]:
            yield f"{name_of(one)}: args {arguments} do not serve the volume of panels"


@item("address", "server", "it listens on every address of the pod, on the ports that the container declares")
def address(m):
    for one in m.workloads():
        settings, ports = m.settings(one), m.ports(one)
        if settings.get("HOST") not in ("0.0.0.0", "::"):
            yield f"{name_of(one)}: HOST={settings.get('HOST')}: nobody else reaches it"
        for name, setting in (("http", "HTTP_PORT"), ("metrics", "METRICS_PORT")):
            if settings.get(setting) != str(ports.get(name)):
                yield f"{name_of(one)}: {setting}={settings.get(setting)}, port {name} is {ports.get(name)}"
        if settings.get("WS_PORT") != "off":
            yield f"{name_of(one)}: WS_PORT is a port that no Service leads to"


@item("host", PSS, "no namespace, path or port of the node")
def host(m):
    for one, pod in m.pods():
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(name) is not False:
                yield f"{name_of(one)}: {name} is not false"
        if pod.get("shareProcessNamespace") is not False:
            yield f"{name_of(one)}: shareProcessNamespace is not false"
    for where, one, _ in m.containers():
        if any("hostPort" in port for port in one.get("ports") or []):
            yield f"{where}: hostPort"


@item("volumes", PSS, "only kinds of volumes that cannot be the node's")
def volumes(m):
    for one, pod in m.pods():
        for volume in pod.get("volumes") or []:
            for kind in set(volume) - SAFE_VOLUMES:
                yield f"{name_of(one)}: volume {volume['name']} is a {kind}"
            if len(volume) < 2:
                yield f"{name_of(one)}: volume {volume['name']} has no source"


@item("privileged", PSS, "no container is privileged")
def privileged(m):
    for where, one, _ in m.containers():
        if dig(one, "securityContext", "privileged") is not False:
            yield f"{where}: privileged is not false"


@item("no-escalation", PSS, "no process gains privileges (no_new_privs)")
def no_escalation(m):
    for where, one, _ in m.containers():
        if dig(one, "securityContext", "allowPrivilegeEscalation") is not False:
            yield f"{where}: allowPrivilegeEscalation is not false"


@item("capabilities", PSS, "all capabilities dropped, none added")
def capabilities(m):
    for where, one, _ in m.containers():
        if dig(one, "securityContext", "capabilities", "drop") != ["ALL"]:
            yield f"{where}: capabilities.drop is not [ALL]"
        if dig(one, "securityContext", "capabilities", "add"):
            yield f"{where}: capabilities are added"


def _user_findings(where, context):
    if context.get("runAsNonRoot") is not True:
        yield f"{where}: runAsNonRoot is not true"
    for name in ("runAsUser", "runAsGroup"):
        if not isinstance(context.get(name), int) or isinstance(context[name], bool) or context[name] < 1000:
            yield f"{where}: {name} is not a number from 1000 on"


@item("non-root", PSS, "user and group are numbers and not root's, said of the pod and of the container")
def non_root(m):
    for one, pod in m.pods():
        context = pod.get("securityContext") or {}
        yield from _user_findings(name_of(one), context)
        if context.get("fsGroup") != context.get("runAsGroup"):
            yield f"{name_of(one)}: fsGroup is not the group it runs as, which has to read the secret"
    for where, one, pod in m.containers():
        yield from _user_findings(where, one.get("securityContext") or {})
        if dig(one, "securityContext", "runAsUser") != dig(pod, "securityContext", "runAsUser"):
            yield f"{where}: another user than the pod's"


@item("seccomp", PSS, "the runtime's seccomp profile, for the pod and for the container")
def seccomp(m):
    for one, pod in m.pods():
        if dig(pod, "securityContext", "seccompProfile", "type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name_of(one)}: no seccompProfile"
    for where, one, _ in m.containers():
        if dig(one, "securityContext", "seccompProfile", "type") not in ("RuntimeDefault", "Localhost"):
            yield f"{where}: no seccompProfile"


@item("kernel-settings", PSS, "no sysctl, unmasked /proc, SELinux user or role, or AppArmor opt-out")
def kernel_settings(m):
    for one, pod in m.pods():
        if dig(pod, "securityContext", "sysctls"):
            yield f"{name_of(one)}: sysctls"
        for where, context in ((name_of(one), pod.get("securityContext") or {}),
                               *((w, c.get("securityContext") or {}) for w, c, p in m.containers() if p is pod)):
            if context.get("procMount", "Default") != "Default":
                yield f"{where}: procMount"
            if any(dig(context, "seLinuxOptions", name) for name in ("user", "role")):
                yield f"{where}: seLinuxOptions"
            if dig(context, "appArmorProfile", "type") == "Unconfined":
                yield f"{where}: appArmorProfile"


@item("read-only-root", "CIS Docker 5.12", "the root filesystem is read-only; of the volumes only the cache is not")
def read_only_root(m):
    for where, one, _ in m.containers():
        if dig(one, "securityContext", "readOnlyRootFilesystem") is not True:
            yield f"{where}: readOnlyRootFilesystem is not true"
        for mount in one.get("volumeMounts") or []:
            if mount.get("readOnly") is not True and mount["name"] != "cache":
                yield f"{where}: {mount['mountPath']} is writable"


@item("cache", "server", "CACHE_DIR is inside a volume in memory of at most 128Mi, and MAX_CACHE_MB fits in")
def cache(m):
    for one, pod in m.pods():
        settings = m.settings(one)
        sources = {volume["name"]: volume for volume in pod.get("volumes") or []}
        mounts = {mount["mountPath"]: mount["name"] for mount in dig(pod, "containers", 0, "volumeMounts", default=[])}
        # Inside, not the volume itself: that is open to every user, which the server does not accept.
        where = settings.get("CACHE_DIR", "")
        empty = dig(sources, mounts.get(where.rpartition("/")[0]), "emptyDir")
        if empty is None:
            yield f"{name_of(one)}: CACHE_DIR={where} is not a folder in an emptyDir"
            continue
        limit = quantity(empty.get("sizeLimit"))
        if empty.get("medium") != "Memory":
            yield f"{name_of(one)}: the cache is not in memory"
        if not limit or limit > CACHE_BYTES:
            yield f"{name_of(one)}: the cache's sizeLimit is not at most 128Mi"
        elif int(settings.get("MAX_CACHE_MB", 0)) * 2**20 not in range(1, int(limit / 2) + 1):
            yield f"{name_of(one)}: MAX_CACHE_MB is not set, or more than half of the volume"


@item("resources", "server", "requests and limits of CPU, memory and ephemeral storage")
def resources(m):
    for where, one, _ in m.containers():
        for resource in RESOURCES:
            request, limit = (quantity(dig(one, "resources", kind, resource)) for kind in ("requests", "limits"))
            if not request or not limit or request > limit:
                yield f"{where}: {resource}: request {request}, limit {limit}"


@item("memory-adds-up", "server", "the memory limit holds the cache's volume, all instances, bytecode and the rest")
def memory_adds_up(m):
    for one, pod in m.pods():
        settings = m.settings(one)
        limit = quantity(dig(pod, "containers", 0, "resources", "limits", "memory")) or 0
        in_memory = sum(quantity(dig(volume, "emptyDir", "sizeLimit")) or 0 for volume in pod.get("volumes") or []
                        if dig(volume, "emptyDir", "medium") == "Memory")
        if "MEMORY_BUDGET_MB" not in settings:
            yield f"{name_of(one)}: MEMORY_BUDGET_MB is not set: its default does not know of the cache's volume"
            continue
        need = in_memory + OTHER_BYTES + 2**20 * sum(
            int(settings.get(name, default)) for name, default in (("MEMORY_BUDGET_MB", 0), ("MAX_CACHE_MB", 64)))
        if need > limit:
            yield f"{name_of(one)}: {need / 2**20:.0f} MiB needed, limit {limit / 2**20:.0f} MiB"


@item("workers", "server", "WORKERS is set, to no more than the CPU limit")
def workers(m):
    for one, pod in m.pods():
        limit = quantity(dig(pod, "containers", 0, "resources", "limits", "cpu")) or 0
        wanted = m.settings(one).get("WORKERS")
        if wanted is None or int(wanted) > max(1, limit):
            yield f"{name_of(one)}: WORKERS={wanted}, CPU limit {limit:g}"


@item("service-account", "CIS Kubernetes 5.1.5", "an account of its own, with no role")
def service_account(m):
    known = {dig(one, "metadata", "name") for one in m.of("ServiceAccount")}
    for one, pod in m.pods():
        name = pod.get("serviceAccountName", "default")
        if name == "default" or name not in known:
            yield f"{name_of(one)}: serviceAccountName {name}"
    for one in m.of("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        yield f"{name_of(one)}: the server asks nothing of the cluster"


@item("no-token", "CIS Kubernetes 5.1.6", "no token of the cluster's API, neither by the account nor by the pod")
def no_token(m):
    for one in m.of("ServiceAccount"):
        if one.get("automountServiceAccountToken") is not False:
            yield f"{name_of(one)}: automountServiceAccountToken is not false"
    for one, pod in m.pods():
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name_of(one)}: automountServiceAccountToken is not false"
        for volume in pod.get("volumes") or []:
            if any("serviceAccountToken" in source for source in dig(volume, "projected", "sources", default=[])):
                yield f"{name_of(one)}: volume {volume['name']} holds a token"


@item("service-links", "server", "no service links: they would set NEXUS_ names, which the server refuses")
def service_links(m):
    for one, pod in m.pods():
        if pod.get("enableServiceLinks") is not False:
            yield f"{name_of(one)}: enableServiceLinks is not false"


@item("secret-files", "CIS Kubernetes 5.4.1", "the secret comes as a file, of a volume that others cannot read")
def secret_files(m):
    for where, one, _ in m.containers():
        for entry in one.get("env") or []:
            if dig(entry, "valueFrom", "secretKeyRef") or entry["name"] == "JWT_SECRET":
                yield f"{where}: {entry['name']} is a secret in the environment"
        if any("secretRef" in source for source in one.get("envFrom") or []):
            yield f"{where}: a Secret in the environment"
    for one, pod in m.pods():
        secrets = {volume["name"]: volume["secret"] for volume in pod.get("volumes") or [] if "secret" in volume}
        mounts = {mount["name"]: mount for mount in dig(pod, "containers", 0, "volumeMounts", default=[])}
        files = {f"{mounts[name]['mountPath']}/{entry['path']}" for name, secret in secrets.items() if name in mounts
                 for entry in secret.get("items") or []}
        settings = m.settings(one)
        wanted = settings.get("JWT_SECRET_FILE") or settings.get("JWT_PUBLIC_KEY_FILE")
        if wanted not in files:
            yield f"{name_of(one)}: {wanted} is not in a Secret's volume"
        for name, secret in secrets.items():
            if not secret.get("secretName") or not all(entry.get("key") for entry in secret.get("items") or [{}]):
                yield f"{name_of(one)}: volume {name}: which key of which Secret"
            if not isinstance(secret.get("defaultMode"), int) or secret["defaultMode"] & 0o337:
                yield f"{name_of(one)}: volume {name}: mode is not 0440"


@item("image", "server", "the image has a version or a digest")
def image(m):
    for where, one, _ in m.containers():
        name = one.get("image", "")
        tag = name.rsplit("/", 1)[-1].partition(":")[2]
        if "@sha256:" not in name and tag in ("", "latest"):
            yield f"{where}: image {name}"


@item("probes", "server", "three probes, readiness and liveness asking different questions")
def probes(m):
    for where, one, _ in m.containers():
        paths = {kind: dig(one, f"{kind}Probe", "httpGet", "path") for kind in ("startup", "readiness", "liveness")}
        for kind, path in paths.items():
            if path != ("/health" if kind == "liveness" else "/ready"):
                yield f"{where}: {kind} probe asks {path}"
            if dig(one, f"{kind}Probe", "httpGet", "port") != "http":
                yield f"{where}: {kind} probe does not ask the port that clients use"
        for kind, least in (("startup", 20), ("liveness", 20)):
            seconds = dig(one, f"{kind}Probe", "periodSeconds", default=0) * dig(
                one, f"{kind}Probe", "failureThreshold", default=0)
            if not least <= seconds <= 120:
                yield f"{where}: {kind} probe gives up after {seconds} s"
        if dig(one, "readinessProbe", "periodSeconds", default=10) > 5:
            yield f"{where}: readiness probe asks too seldom"


# How long the server takes at most from SIGTERM to its end, in seconds: it waits for executions
# (NX_DEFAULT_DRAIN_MS), then for unsent replies.
DRAIN_SECONDS = 11


@item("stopping", "server", "SIGTERM comes when traffic has gone, and the drain fits into the grace period")
def stopping(m):
    for where, one, pod in m.containers():
        hook = dig(one, "lifecycle", "preStop", default={})
        if set(hook) != {"sleep"}:
            yield f"{where}: preStop is not `sleep` (the image has no program for it)"
        wait = dig(hook, "sleep", "seconds", default=0)
        grace = pod.get("terminationGracePeriodSeconds")
        if not 3 <= wait <= 15:
            yield f"{where}: preStop waits {wait} s"
        if not isinstance(grace, int) or grace < wait + DRAIN_SECONDS + 5:
            yield f"{where}: {grace} s to stop; {wait + DRAIN_SECONDS + 5} needed"


@item("rolling-update", "server", "the new pod is ready before the old one goes")
def rolling_update(m):
    for one in m.of("Deployment"):
        rolling = dig(one, "spec", "strategy", "rollingUpdate", default={})
        if dig(one, "spec", "strategy", "type") != "RollingUpdate" or rolling.get("maxUnavailable") not in (0, "0%"):
            yield f"{name_of(one)}: maxUnavailable is not 0"
        if not rolling.get("maxSurge"):
            yield f"{name_of(one)}: maxSurge"


@item("spread", "server", "replicas keep apart, on nodes and zones")
def spread(m):
    for one, pod in m.pods():
        labels = m.labels_of_pods(one)
        anti = dig(pod, "affinity", "podAntiAffinity", default={})
        terms = [dig(term, "podAffinityTerm", default={}) for term in
                 anti.get("preferredDuringSchedulingIgnoredDuringExecution") or []]
        terms += anti.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        if not any(term.get("topologyKey") == "kubernetes.io/hostname" and _own(term, labels) for term in terms):
            yield f"{name_of(one)}: no anti-affinity by node to its own pods"
        spreads = pod.get("topologySpreadConstraints") or []
        if not any(term.get("topologyKey") == "topology.kubernetes.io/zone" and term.get("maxSkew") == 1 and
                   term.get("whenUnsatisfiable") and _own(term, labels) for term in spreads):
            yield f"{name_of(one)}: not spread by zone"


def _own(term, labels):
    wanted = dig(term, "labelSelector", "matchLabels", default={})
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())
