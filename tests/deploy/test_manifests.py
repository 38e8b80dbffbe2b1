# SPDX-License-Identifier: Apache-2.0
"""The overlays: valid by the API's schemas, ok by every item, and a server runs as they tell it to."""
import copy
import importlib.util
import os
import re
import subprocess
import sys

import pytest
import requests

import schemas
from conftest import BIN_DIR, EVERYTHING, K8S, OVERLAYS, ROOT, TOOLS, objects_of, parse, rendered
from manifests import cluster, items, pods
from manifests.objects import Manifests, dig

CHECK = ROOT / "scripts/check-manifests.py"
MAKE_SECRET = ROOT / "scripts/make-secret.sh"


def load_harness():
    """The black-box tests' own conftest, beside this folder's."""
    spec = importlib.util.spec_from_file_location("blackbox_conftest", ROOT / "tests/blackbox/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)


def check(*arguments, **options):
    rendered(EVERYTHING)  # makes sure of kubectl
    return run(sys.executable, "-B", CHECK, *arguments, **options)


def deployment(overlay):
    return next(one for one in objects_of(overlay) if one["kind"] == "Deployment")


# ---- Valid, and ok ----------------------------------------------------------------------------------

@pytest.mark.parametrize("overlay", [*OVERLAYS, EVERYTHING])
def test_every_object_is_one_of_the_api(overlay):
    assert schemas.findings(objects_of(overlay)) == []


def test_the_schemas_refuse_wrong_types_unknown_fields_and_unknown_kinds():
    good = deployment("dev")
    assert schemas.findings([good]) == []
    context = ("spec", "template", "spec", "containers", 0, "securityContext")
    for field, value, message in (("runAsUser", "1000", "must be integer"),
                                  ("readOnlyRootFileSystem", True, "is not a field of the API"),
                                  ("privileged", "no", "must be boolean")):
        bad = copy.deepcopy(good)
        dig(bad, *context)[field] = value
        assert [message in text and field in text for _, text in schemas.findings([bad])] == [True]
    assert schemas.findings([{"apiVersion": "apps/v1", "kind": "Deploymnet", "metadata": {"name": "x"}}]) != []
    assert schemas.findings([good, {**good, "apiVersion": "apps/v1beta9"}])[0][0] == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_item_is_ok_one_line_each(overlay):
    done = check(K8S / "overlays" / overlay)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[:4] for line in lines[:-1]] == ["ok  "] * len(items.ITEMS)
    assert [line.split()[1] for line in lines[:-1]] == [one.name for one in items.ITEMS]
    assert lines[-1].endswith(f"{len(items.ITEMS)} of {len(items.ITEMS)} items ok")


def test_the_checker_says_what_is_wrong():
    text = rendered("production")
    good = check("-", input=text)
    assert good.returncode == 0
    bad = check("-", input=text.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"))
    assert bad.returncode == 1
    assert re.search(r"^FAIL +read-only-root .*readOnlyRootFilesystem is not true$", bad.stdout, re.M)
    assert check("-", input="").returncode == 1
    assert check("-", input="{").returncode == 2
    assert check().returncode == check("--nonsense").returncode == 2
    assert check("/nowhere").returncode == 2
    assert check("--list").stdout.count("\n") == len(items.ITEMS)


@pytest.mark.parametrize("kind", ["CronJob", "Pod"])
def test_other_workloads_do_not_slip_through(kind):
    other = {"kind": kind, "metadata": {"name": "x", "namespace": "nexus"}, "spec": {"hostNetwork": True}}
    assert "workload" in {one.name for one, found in items.check(Manifests([*objects_of("dev"), other])) if found}


# ---- As the server has it ---------------------------------------------------------------------------

def test_the_time_to_stop_is_the_servers():
    limits = (ROOT / "src/base/limits.h").read_text()
    drain_ms = int(re.search(r"#define NX_DEFAULT_DRAIN_MS\s+(\d+)", limits)[1])
    assert pods.DRAIN_SECONDS == drain_ms // 1000 + 1


def test_ports_and_user_are_the_images():
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    container = deployment("production")["spec"]["template"]["spec"]["containers"][0]
    exposed = max(re.findall(r"^EXPOSE (.*)$", dockerfile, re.M), key=len).split()
    assert {str(port["containerPort"]) for port in container["ports"]} < set(exposed)
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.M)
    assert (str(container["securityContext"]["runAsUser"]), str(container["securityContext"]["runAsGroup"])) == user.groups()


def test_paths_of_probes_and_ingress_are_routes():
    routes = set(re.findall(r'^ *"(/[^"]*)"\}', (ROOT / "src/kernel/http_route.c").read_text(), re.M))
    routes |= set(re.findall(r'"(/[a-z{][^"]*)"\}', (ROOT / "src/kernel/http_route.c").read_text()))
    container = deployment("production")["spec"]["template"]["spec"]["containers"][0]
    asked = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert asked | cluster.PUBLIC_PATHS | {"/panels/{id}/ws"} <= routes
    # What clients use is under the prefix, what they do not is not.
    outside = {route for route in routes if not any(
        route == prefix or route.startswith(prefix + "/") for prefix in cluster.PUBLIC_PATHS)}
    assert outside == {"/metrics", "/health", "/ready", "/openapi.yaml"}


def volume_like_the_kubelets(folder, files):
    """Files as a ConfigMap's or Secret's volume holds them: links into a folder that a link names."""
    (folder / "..2026_01_01").mkdir(parents=True)
    (folder / "..data").symlink_to("..2026_01_01")
    for name, text in files.items():
        (folder / "..2026_01_01" / name).write_text(text)
        (folder / name).symlink_to(f"..data/{name}")
    return folder


def settings_for_here(overlay, folder):
    """The overlay's settings, with free ports, and volumes in `folder`."""
    secret = next(iter(parse(run(MAKE_SECRET).stdout)))["stringData"]["jwt-secret"]
    settings = Manifests(objects_of(overlay)).settings(deployment(overlay))
    jwt = volume_like_the_kubelets(folder / "jwt", {"jwt-secret": secret})
    return {**settings, "HTTP_PORT": "0", "METRICS_PORT": "0", "CACHE_DIR": str(folder / "cache/bytecode"),
            "JWT_SECRET_FILE": str(jwt / os.path.basename(settings["JWT_SECRET_FILE"]))}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_server_with_these_settings_serves_the_panels_of_the_volume(overlay, tmp_path):
    settings = settings_for_here(overlay, tmp_path)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o2777)  # as an emptyDir is
    panels = volume_like_the_kubelets(tmp_path / "panels", {
        name: text for one in objects_of(overlay) if one["kind"] == "ConfigMap"
        for name, text in one["data"].items() if name.endswith(".nxml")})
    server = load_harness().Server("--panels", panels, env=settings)
    server.url = f"http://127.0.0.1:{server.port}"
    assert server.get("/ready").status_code == 200
    assert server.get("/panels").status_code == 401
    token = run(BIN_DIR / "nexus", "token", "--sub", "test", "--permission", "*", env=settings).stdout.strip()
    headers = {"Authorization": f"Bearer {token}"}
    names = {one["id"] for one in server.get("/panels", headers=headers).json()["panels"]}
    assert names == {path.stem for path in panels.glob("*.nxml")}
    if names:
        result = server.trigger("hello", "greet", {"name": "you"}, headers=headers).json()
        assert result["returnValue"] == "Hello, you"
    metrics = server.logs("listening")[0]["metricsUrl"].rsplit(":", 1)[1]
    found = requests.get(f"http://127.0.0.1:{metrics}/metrics", timeout=60)
    assert found.status_code == 200 and "nexus_build_info" in found.text
    server.stop_cleanly()
    assert bool(names) == any((tmp_path / "cache/bytecode").iterdir())


def test_service_links_would_stop_the_start(tmp_path):
    settings = settings_for_here("dev", tmp_path)
    done = run(BIN_DIR / "nexus", "serve", env={**settings, "NEXUS_PORT": "tcp://10.96.0.1:80"}, timeout=60)
    assert done.returncode == 2 and "NEXUS_PORT" in done.stderr


# ---- The secret -------------------------------------------------------------------------------------

def test_secrets_are_new_each_time_and_fit_the_deployment():
    first, second = (parse(run(MAKE_SECRET).stdout)[0] for _ in range(2))
    volume = next(one["secret"] for one in deployment("production")["spec"]["template"]["spec"]["volumes"]
                  if "secret" in one)
    assert schemas.findings([first]) == []
    assert first["metadata"] == {"name": volume["secretName"], "namespace": "nexus"}
    assert set(first["stringData"]) == {entry["key"] for entry in volume["items"]}
    assert first["stringData"] != second["stringData"]
    assert len(first["stringData"]["jwt-secret"]) == 64


def test_a_secret_for_another_place_or_none():
    made = parse(run(MAKE_SECRET, "--namespace", "nexus-dev", "--name", "other").stdout)[0]
    assert made["metadata"] == {"name": "other", "namespace": "nexus-dev"}
    assert re.fullmatch(r"[A-Za-z0-9+/]{64}\n", run(MAKE_SECRET, "--raw").stdout)
    for bad in (["--name"], ["--nonsense"], ["--name", "x\ny: z"], ["--namespace", "A"]):
        done = run(MAKE_SECRET, *bad)
        assert done.returncode == 2 and done.stdout == ""


def test_a_secret_is_not_shown_on_a_terminal():
    shown, screen = os.openpty()
    done = subprocess.run([str(MAKE_SECRET)], stdout=screen, stderr=subprocess.PIPE, text=True, check=False)
    os.close(screen)
    assert done.returncode == 2 and "screen" in done.stderr
    os.close(shown)


def test_the_lock_file_has_a_hash_for_everything_and_no_address():
    import json
    lock = json.loads((ROOT / "tests/deploy/package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert len(packages) > 20
    assert all(one["integrity"].startswith("sha512-") and "resolved" not in one for one in packages.values())
    assert (TOOLS / ".installed").exists()
