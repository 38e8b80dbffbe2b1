# SPDX-License-Identifier: Apache-2.0
"""What panels may be granted, which pages may use the server, and settings that would leave it open."""
import json
import os
import signal
import subprocess

import pytest

from conftest import COUNTER, NEXUS, ROOT, Server, wait_until
from test_auth import SECRET, bearer, token

EVERYTHING = ["state:read:*", "state:write:*", "events:emit:*", "view:update:*", "ext:*"]
DECLARED = ["state:read:count", "state:write:count", "events:emit:done", "ext:time"]
HANDLER = """
const seen = {};
const tries = {
  'state:read:count': () => $state.count,
  'state:write:count': () => { $state.count = 2; },
  'state:write:other': () => { $state.other = 2; },
  'events:emit:done': () => $emit('done', 1),
  'ext:time': () => $ext.time.sleep(1),
};
for (const name of Object.keys(tries)) {
  try { await tries[name](); seen[name] = true; } catch (error) { seen[name] = error.capability || error.name; }
}
return seen;
"""


def panel(kind="k", declared=None, panel_id="p"):
    return {"id": panel_id, "kind": kind, "initialState": {"count": 1, "other": 1},
            "tools": [{"name": "try", "handler": HANDLER,
                       "capabilities": DECLARED if declared is None else declared}]}


def granted(server, source, headers=None):
    """Creates a panel and returns what its tool could really do, checked against what is shown."""
    made = server.post("/panels", json=source, headers=headers)
    assert made.status_code == 201, made.text
    admin = headers and bearer(token("*"))
    result = server.trigger(source["id"], "try", headers=admin).json()
    assert result["status"] == "success", result
    could = {name for name, outcome in result["returnValue"].items() if outcome is True}
    denied = {name: outcome for name, outcome in result["returnValue"].items() if outcome is not True}
    assert all(outcome == name for name, outcome in denied.items()), denied
    shown = server.get(f"/panels/{source['id']}", headers=admin).json()["tools"][0]["capabilities"]
    assert could == {name for name in result["returnValue"]
                     if name in shown or name.rsplit(":", 1)[0] + ":*" in shown}
    assert server.request("DELETE", f"/panels/{source['id']}", headers=admin).status_code == 204
    return could


def policy_file(folder, rules):
    path = folder / "policy.json"
    path.write_text(rules if isinstance(rules, str) else json.dumps(rules))
    return path


def wait_for_another(server, message, before):
    wait_until(lambda: len(server.logs(message)) > before)
    assert len(server.logs(message)) == before + 1


# ---- Declared ∩ policy ∩ token -----------------------------------------------------------------------

def test_policy_by_kind(start, tmp_path):
    rules = {"default": {"grant": ["state:read:*", "ext:time"]}, "open": {"grant": EVERYTHING},
             "shut": {"grant": []}, "narrow": {"grant": ["state:read:count", "events:emit:other"]}}
    server = start(env={"POLICY_FILE": str(policy_file(tmp_path, rules))})
    assert granted(server, panel("open")) == set(DECLARED)
    assert granted(server, panel("open", EVERYTHING)) == set(DECLARED) | {"state:write:other"}
    assert granted(server, panel("any")) == {"state:read:count", "ext:time"}
    assert granted(server, panel("any", EVERYTHING)) == {"state:read:count", "ext:time"}
    assert granted(server, panel("narrow")) == {"state:read:count"}
    assert granted(server, panel("shut")) == set()
    assert granted(server, panel("Open")) == {"state:read:count", "ext:time"}
    # A policy never adds to what is declared.
    assert granted(server, panel("open", [])) == set()
    server.stop_cleanly()


def test_without_policy_panels_get_what_they_declare(start):
    server = start()
    assert granted(server, panel()) == set(DECLARED)
    server.stop_cleanly()


def test_a_policy_without_default_grants_nothing(start, tmp_path):
    server = start(env={"POLICY_FILE": str(policy_file(tmp_path, {"k": {"grant": EVERYTHING}}))})
    assert granted(server, panel("k")) == set(DECLARED)
    assert granted(server, panel("other")) == set()
    server.stop_cleanly()


def test_declared_and_policy_and_token(start, tmp_path):
    rules = {"default": {"grant": ["state:read:*", "state:write:*", "ext:time"]}}
    server = start(env={"POLICY_FILE": str(policy_file(tmp_path, rules)), "AUTH_ENABLED": "true",
                        "JWT_SECRET": SECRET})

    def could(**more):
        return granted(server, panel(), bearer(token("panel:create", **more)))
    assert could() == {"state:read:count", "state:write:count", "ext:time"}
    assert could(capabilities=EVERYTHING) == {"state:read:count", "state:write:count", "ext:time"}
    assert could(capabilities=["state:read:*"]) == {"state:read:count"}
    assert could(capabilities=["state:write:count", "events:emit:done"]) == {"state:write:count"}
    assert could(capabilities=["state:read:counter", "state:write:other"]) == set()
    assert could(capabilities=[]) == set()
    server.stop_cleanly()


def test_token_without_policy(start):
    server = start(env={"AUTH_ENABLED": "true", "JWT_SECRET": SECRET})
    assert granted(server, panel(), bearer(token("panel:create"))) == set(DECLARED)
    assert granted(server, panel(), bearer(token("panel:create", capabilities=["ext:*"]))) == {"ext:time"}
    server.stop_cleanly()


def test_an_alias_is_not_another_extension(start, tmp_path):
    source = """<NexusPanel id="alias"><Logic><Extension name="time" alias="{alias}"/>
      <Tool name="try"><Capabilities><Capability type="ext" scope="{alias}"/></Capabilities>
      <Handler>await $ext.{alias}.sleep(1); return 'slept';</Handler></Tool></Logic></NexusPanel>"""
    rules = policy_file(tmp_path, {"default": {"grant": ["ext:http"]}})
    server = start(env={"POLICY_FILE": str(rules)})
    for allowed, status in (("ext:http", "error"), ("ext:time", "success")):
        policy_file(tmp_path, {"default": {"grant": [allowed]}})
        before = len(server.logs("policy read anew"))
        server.process.send_signal(signal.SIGHUP)
        wait_for_another(server, "policy read anew", before)
        for alias in ("http", "clock"):
            assert server.create(source.format(alias=alias)).status_code == 201
            result = server.trigger("alias", "try").json()
            assert result["status"] == status
            assert status == "success" or result["error"]["code"] == "PERMISSION_DENIED"
            server.request("DELETE", "/panels/alias")
    server.stop_cleanly()


def test_panel_files_and_reloading(start, tmp_path):
    (tmp_path / "panels").mkdir()
    (tmp_path / "panels" / "counter.nxml").write_text(COUNTER)
    path = policy_file(tmp_path, {"nxml": {"grant": ["state:read:*", "state:write:*"]}})
    server = start("--panels", tmp_path / "panels", env={"POLICY_FILE": str(path)})
    denied = server.trigger("counter", "increment").json()
    assert denied["error"]["code"] == "PERMISSION_DENIED"
    assert denied["error"]["capability"] == "events:emit:incremented"
    # A policy that is wrong changes nothing; a right one holds for panels made from then on.
    path.write_text('{"nxml": {"grant": ["events:emit:*", "typo"]}}')
    server.process.send_signal(signal.SIGHUP)
    wait_for_another(server, "the policy stays as it was", 0)
    assert any('"nxml".grant[1]' in line["msg"] for line in server.logs())
    server.create(COUNTER.replace('id="counter"', 'id="second"'))
    assert server.trigger("second", "increment").json()["status"] == "error"
    policy_file(tmp_path, {"nxml": {"grant": EVERYTHING}})
    server.process.send_signal(signal.SIGHUP)
    wait_for_another(server, "policy read anew", 0)
    server.create(COUNTER.replace('id="counter"', 'id="third"'))
    assert server.trigger("third", "increment").json()["status"] == "success"
    assert server.trigger("second", "increment").json()["status"] == "error"
    server.stop_cleanly()


def test_the_example_policy(start):
    server = start(env={"POLICY_FILE": str(ROOT / "examples" / "policy" / "policy.json")})
    assert granted(server, panel("nxml")) == {"state:read:count", "state:write:count", "events:emit:done",
                                              "ext:time"}
    assert granted(server, panel("report")) == {"state:read:count"}
    assert granted(server, panel("unheard-of")) == {"state:read:count", "state:write:count",
                                                    "events:emit:done"}
    server.stop_cleanly()


# ---- Settings that would leave it open ---------------------------------------------------------------

def run(**env):
    return subprocess.run([str(NEXUS), "serve"], env={"PATH": os.environ["PATH"], "HTTP_PORT": "0", **env},
                          capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("settings, names", [
    ({}, ["AUTH_ENABLED"]),
    ({"JWT_SECRET": "short"}, ["JWT_SECRET"]),
    ({"JWT_SECRET": SECRET[:31]}, ["JWT_SECRET"]),
    ({"JWT_SECRET": "change-me-change-me-change-me-change-me"}, ["JWT_SECRET"]),
    ({"JWT_SECRET": "your-256-bit-secret-your-256-bit-secret"}, ["JWT_SECRET"]),
    ({"JWT_SECRET": "z" * 64}, ["JWT_SECRET"]),
    ({"JWT_SECRET_FILE": "/does/not/exist"}, ["JWT_SECRET_FILE"]),
    ({"JWT_SECRET_FILE": "/dev/null"}, ["JWT_SECRET_FILE"]),
    ({"JWT_SECRET_FILE": "/"}, ["JWT_SECRET_FILE"]),
    ({"JWT_SECRET": SECRET, "JWT_SECRET_FILE": "/dev/null"}, ["JWT_SECRET", "JWT_SECRET_FILE"]),
    ({"JWT_SECRET": SECRET, "JWT_ALG": "none"}, ["JWT_ALG"]),
    ({"JWT_ALG": "RS256"}, ["AUTH_ENABLED"]),
    ({"JWT_ALG": "RS256", "JWT_PUBLIC_KEY_FILE": "/etc/hostname"}, ["JWT_PUBLIC_KEY_FILE"]),
    ({"JWT_SECRET": "short", "POLICY_FILE": "/does/not/exist", "CORS_ORIGINS": "*,null", "HTTP_PORT": "x"},
     ["JWT_SECRET", "POLICY_FILE", "CORS_ORIGINS", "CORS_ORIGINS", "HTTP_PORT"]),
])
def test_bad_keys_stop_the_start(settings, names):
    result = run(AUTH_ENABLED="true", **settings)
    assert result.returncode == 2
    assert sorted(line.split(": ")[2].split("=")[0] for line in result.stderr.splitlines()) == sorted(names)
    for value in settings.values():
        assert len(value) < 16 or value.startswith("/") or value not in result.stderr + result.stdout


def test_beyond_loopback(start):
    for host in ("0.0.0.0", "::"):
        refused = run(HOST=host)
        assert refused.returncode == 2 and f"HOST={host}" in refused.stderr
    server = start(env={"HOST": "0.0.0.0", "AUTH_ENABLED": "true", "JWT_SECRET": SECRET})
    assert server.url.startswith("http://0.0.0.0:")
    assert server.get("/panels").status_code == 401
    assert server.get("/panels", headers=bearer(token("panel:read"))).status_code == 200
    server.stop_cleanly()
    server = start(env={"HOST": "0.0.0.0", "ALLOW_INSECURE": "true"})
    assert server.get("/panels").status_code == 200
    server.stop_cleanly()


def test_a_workspace_needs_authentication():
    refused = run(WORKSPACE_ID="w")
    assert refused.returncode == 2 and "WORKSPACE_ID" in refused.stderr


def test_everything_wrong_with_a_policy_is_said(tmp_path):
    rules = '{"a": {"grant": ["state:reed:x", 7]}, "b": [], "c": {"grant": [], "x": 1}}'
    result = run(POLICY_FILE=str(policy_file(tmp_path, rules)))
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 4
    for text in ("state:reed:x", '"a".grant[1]', '"b": must be an object', '"c": holds something'):
        assert text in result.stderr


# ---- Pages of other origins --------------------------------------------------------------------------

def origin(text):
    return {"Origin": text}


@pytest.fixture(scope="module")
def shared_with():
    server = Server(env={"CORS_ORIGINS": "https://app.example, http://localhost:5173",
                         "AUTH_ENABLED": "true", "JWT_SECRET": SECRET})
    yield server
    server.stop_cleanly()


def cors_headers(answer):
    return {name.lower() for name in answer.headers if name.lower().startswith("access-control-")}


@pytest.mark.parametrize("page", ["https://app.example", "http://localhost:5173"])
def test_preflight(shared_with, page):
    answer = shared_with.request("OPTIONS", "/panels/x/trigger/t", headers={
        **origin(page), "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type"})
    assert answer.status_code == 204  # without a token: browsers send none
    assert answer.headers["Access-Control-Allow-Origin"] == page
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key", "prefer", "x-request-id"} <= set(allowed)
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("page", [
    "https://app.example.evil.example", "https://evil.example", "null", "http://app.example",
    "https://app.example:444", "https://APP.example", "https://app.example/", "https://xapp.example",
    "https://app.example https://evil.example", "*", "http://localhost:51730"])
def test_other_pages(shared_with, page):
    admin = bearer(token("*"))
    preflight = shared_with.request("OPTIONS", "/panels", headers={
        **origin(page), "Access-Control-Request-Method": "POST"})
    assert not cors_headers(preflight)
    body = {"id": "from-elsewhere", "kind": "k", "tools": []}
    refused = shared_with.post("/panels", json=body, headers={**origin(page), **admin})
    assert refused.status_code == 403 and not cors_headers(refused)
    assert shared_with.get("/panels/from-elsewhere", headers=admin).status_code == 404
    read = shared_with.get("/panels", headers={**origin(page), **admin})
    assert not cors_headers(read)  # the browser keeps it from the page


def test_listed_pages(shared_with):
    page, admin = origin("https://app.example"), bearer(token("*"))
    made = shared_with.post("/panels", json={"id": "mine", "kind": "k", "tools": []}, headers={**page, **admin})
    assert made.status_code == 201
    assert made.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Location" in made.headers["Access-Control-Expose-Headers"]
    # A page also gets to read what went wrong.
    for answer, status in ((shared_with.get("/panels", headers=page), 401),
                           (shared_with.get("/none", headers={**page, **admin}), 404),
                           (shared_with.post("/panels", data="x", headers={**page, **admin}), 415)):
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert shared_with.request("DELETE", "/panels/mine", headers={**page, **admin}).status_code == 204
    # Without an origin there is nothing to say.
    assert not cors_headers(shared_with.get("/panels", headers=admin))


def test_every_page(start):
    server = start(env={"CORS_ORIGINS": "*", "AUTH_ENABLED": "true", "JWT_SECRET": SECRET})
    for page in ("https://anything.example", "null"):
        answer = server.get("/panels", headers={**origin(page), **bearer(token("*"))})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
    server.stop_cleanly()


def test_no_page_by_default(start):
    server = start()
    answer = server.get("/panels", headers=origin("https://app.example"))
    assert answer.status_code == 200 and not cors_headers(answer)
    assert server.post("/panels", json={"kind": "k", "tools": []},
                       headers=origin("https://app.example")).status_code == 403
    own = server.post("/panels", json={"kind": "k", "tools": []}, headers=origin(server.url))
    assert own.status_code == 201
    server.stop_cleanly()


def test_every_page_without_authentication_is_warned_of(start):
    server = start(env={"CORS_ORIGINS": "*"})
    assert any("CORS_ORIGINS=*" in line["msg"] for line in server.logs())
    server.stop_cleanly()


@pytest.mark.parametrize("value", [
    "app.example", "https://app.example/", "https://app.example/path", "https://*.example", "null",
    "https://app.example,*", "HTTPS://app.example", "https://App.example", "https://app.example:443",
    "http://app.example:80", "https://u@app.example", "https://", "https://app.example:0",
    "https://app.example:99999", "://x", "https://a b", "https://[::1", "https://" + "a" * 300])
def test_bad_origins(value):
    result = run(CORS_ORIGINS=value)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1 and "CORS_ORIGINS" in result.stderr


def test_good_origins(start):
    server = start(env={"CORS_ORIGINS": "http://[::1]:8080,chrome-extension://abcdef, ,https://x.example:8443"})
    for page in ("http://[::1]:8080", "chrome-extension://abcdef", "https://x.example:8443"):
        answer = server.get("/health", headers=origin(page))
        assert answer.headers["Access-Control-Allow-Origin"] == page
    server.stop_cleanly()
