# SPDX-License-Identifier: Apache-2.0
"""The Deployment's pod, as podman runs it. That says more than a schema does, and less than a cluster: podman
knows nothing of seccompProfile, runAsNonRoot, probes, policies and sizes of volumes, which
scripts/check-manifests.py holds against the text instead."""
import json

import pytest
import requests

from container import PATIENCE, engine, statuses, until
from kube import Pod

pytestmark = pytest.mark.engine("podman")


@pytest.fixture(scope="module", name="pod")
def playing_pod(folder):
    pod = Pod(folder, "dev")
    try:
        # Before anything runs: handlers that nobody knows bring spare workers. WORKERS, MEMORY_BUDGET_MB / 32.
        until(lambda: (runtime(pod)["workers"], runtime(pod)["availableInstances"]) == (2, 8),
              "the settings of the ConfigMap to be in force")
        yield pod
    finally:
        pod.remove()


def runtime(pod):
    return pod.request("GET", "/health").json()["runtime"]


def test_it_serves_the_panels_of_the_configmap(pod):
    until(pod.healthy, "the pod to be healthy")
    assert requests.get(pod.url() + "/panels", timeout=PATIENCE).status_code == 401
    result = pod.request("POST", "/panels/hello/trigger/greet", json={"name": "pod"}).json()
    assert result["returnValue"] == "Hello, pod"
    assert pod.metric('nexus_executions_total{status="success"}') >= 1


def test_it_reads_the_settings_of_the_configmap(pod):
    found = runtime(pod)
    assert found["activeInstances"] + found["availableInstances"] == 8  # MEMORY_BUDGET_MB / 32
    assert pod.logs("listening")[0]["metricsUrl"].endswith(":9090")


@pytest.mark.root
def test_every_process_is_confined_as_the_manifest_says(pod):
    processes = {pod.pid: statuses(pod.pid), **pod.processes()}
    assert len(processes) >= 4
    for status in processes.values():
        assert status["Uid"].split()[0] == status["Gid"].split()[0] == "1000", status["Name"]
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, status["Name"]
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status["Name"]


def test_limits_and_mounts_are_the_manifests(pod):
    found = pod.inspect()
    wanted = pod.deployment["spec"]["template"]["spec"]["containers"][0]
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert found["HostConfig"]["Memory"] == 512 << 20 and wanted["resources"]["limits"]["memory"] == "512Mi"
    assert {one["Destination"]: one["RW"] for one in found["Mounts"]} == {
        one["mountPath"]: not one.get("readOnly", False) for one in wanted["volumeMounts"]}


@pytest.mark.root
def test_only_the_cache_can_be_written_to(pod):
    def writable():
        found = []
        for place in ("/", "/etc/nexus/panels", "/run/secrets/nexus", "/usr/bin", "/tmp/nexus-cache"):
            try:
                open(f"{place}/probe", "w", encoding="utf-8").close()
                found.append(place)
            except OSError:
                pass
        return found
    assert pod.inside(writable, uid=1000) == ["/tmp/nexus-cache"]


def test_what_the_manifest_takes_away_it_takes_away(folder):
    """The control: without the lines the same pod is not confined."""
    def open_up(deployment):
        del deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"]

    pod = Pod(folder, "dev", open_up)
    try:
        assert pod.inspect()["HostConfig"]["ReadonlyRootfs"] is False
        assert json.dumps(pod.inspect()["BoundingCaps"]) != "[]"
    finally:
        pod.remove()


def test_it_drains_when_it_is_told_to_stop(folder):
    pod = Pod(folder, "dev")
    try:
        until(pod.healthy, "the pod to be healthy")
        grace = pod.deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        engine("stop", "-t", grace, pod.name)  # SIGTERM, and what would be SIGKILL
        assert pod.inspect()["State"]["ExitCode"] == 0
        assert pod.logs("stopped")
    finally:
        pod.remove()
