# SPDX-License-Identifier: Apache-2.0
"""The routes of the public API: shapes, statuses, headers."""
import pathlib
import re

import pytest

from conftest import wait_until

TOOL = {"name": "add", "handler": "$state.n = ($state.n || 0) + $args.by; return $state.n;",
        "capabilities": ["state:read:n", "state:write:n"]}


def assert_error(response, status, code):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["requestId"] == response.headers["X-Request-Id"]


def test_common_headers(server):
    for response in (server.get("/health"), server.get("/nothing"), server.trigger("counter", "echo")):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Type"] == "application/json"
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", response.headers["Date"])


def test_create_from_nxml(server):
    response = server.create('<NexusPanel id="p"><Data><State name="a" default="x"/></Data></NexusPanel>')
    assert response.status_code == 201
    assert response.headers["Location"] == "/panels/p"
    ws_url = server.url.replace("http", "ws") + "/panels/p/ws"
    assert response.json() == {"status": "ok", "id": "p", "panelId": "p", "wsUrl": ws_url,
                               "initialState": {"a": "x"}}


def test_create_from_json(server):
    response = server.post("/panels", json={
        "kind": "test", "panelId": "j", "title": "J", "tools": [TOOL], "initialState": {"n": 40}})
    assert response.status_code == 201, response.text
    assert response.json()["initialState"] == {"n": 40}
    assert server.trigger("j", "add", {"by": 2}).json()["returnValue"] == 42


def test_create_from_source_in_json(server):
    source = '<NexusPanel><Data><State name="a" default="x"/></Data></NexusPanel>'
    named = server.post("/panels", json={"id": "named", "source": source})
    assert (named.status_code, named.json()["id"]) == (201, "named")
    unnamed = server.post("/panels", json={"source": source})
    assert unnamed.status_code == 201
    assert re.fullmatch(r"[A-Za-z0-9_-]{8,128}", unnamed.json()["id"])


def test_ws_url_is_not_taken_from_the_host_header(server):
    response = server.post("/panels", json={"kind": "k", "id": "h", "tools": []},
                           headers={"Host": "evil", "X-Forwarded-Host": "evil.example"})
    assert "evil" not in response.text


def test_mount_runs_before_the_panel_appears(server):
    source = """<NexusPanel id="m"><Data><State name="a" default="x"/></Data><Logic>
      <Lifecycle on="mount"><Capabilities><Capability type="state:write" scope="a"/></Capabilities>
        <Handler>$state.a = 'mounted';</Handler></Lifecycle></Logic></NexusPanel>"""
    assert server.create(source).json()["initialState"] == {"a": "mounted"}


def test_failing_mount_is_reported_and_the_panel_stays(server):
    source = """<NexusPanel id="m"><Logic><Lifecycle on="mount"><Handler>throw new Error('no')</Handler>
      </Lifecycle></Logic></NexusPanel>"""
    response = server.create(source)
    assert response.status_code == 201
    assert response.json()["mount"]["error"]["code"] == "EXECUTION_ERROR"
    assert server.get("/panels/m").status_code == 200


def test_existing_id(server):
    assert_error(server.create(), 409, "PANEL_EXISTS")


def test_invalid_nxml_names_the_place(server):
    response = server.create('<NexusPanel id="p">\n  <Logic>\n    <Bad/>\n  </Logic>\n</NexusPanel>')
    assert_error(response, 400, "INVALID_NXML")
    details = response.json()["error"]["details"]
    assert (details["line"], details["column"]) == (3, 5)
    assert details["diagnostics"][0]["code"] == "UNKNOWN_ELEMENT"


def test_code_that_does_not_compile_names_the_place(server):
    response = server.create("""<NexusPanel id="p"><Logic><Tool name="t"><Handler>
  let a = 1;
  let b = = 2;
</Handler></Tool></Logic></NexusPanel>""")
    assert_error(response, 400, "INVALID_NXML")
    assert response.json()["error"]["details"]["line"] == 3
    assert server.get("/panels/p").status_code == 404


@pytest.mark.parametrize("body", ["", "{", "[]", "1", '{"a":1}x', '{"tools":"x"}', '{"kind":1}',
                                  '\ufeff{}', '{"id":"a b","kind":"k","tools":[]}'])
def test_bad_json_panels(server, body):
    response = server.post("/panels", data=body.encode(), headers={"Content-Type": "application/json"})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["code"] in ("INVALID_REQUEST", "INVALID_NXML")


def test_declared_type_is_held_against_the_body(server):
    xml = '<NexusPanel id="p"></NexusPanel>'
    assert_error(server.post("/panels", data=xml, headers={"Content-Type": "application/json"}),
                 400, "INVALID_REQUEST")
    assert_error(server.post("/panels", data="{}", headers={"Content-Type": "application/xml"}),
                 400, "INVALID_REQUEST")
    for content_type in ("application/xml", "text/xml; charset=utf-8", "Application/XML"):
        response = server.post("/panels", data=xml, headers={"Content-Type": content_type})
        assert response.status_code == 201
        server.request("DELETE", "/panels/p")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded",
                                          "multipart/form-data; boundary=x", "application/jsonx", None])
def test_other_media_types(server, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    assert_error(server.post("/panels", data=b"{}", headers=headers), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert_error(server.post("/panels/counter/trigger/echo", data=b"{}", headers=headers), 415,
                 "UNSUPPORTED_MEDIA_TYPE")


def test_list_in_pages(server):
    for name in ("a", "b", "c"):
        server.post("/panels", json={"id": name, "kind": "k", "tools": []})
    everything = server.get("/panels").json()
    assert [panel["id"] for panel in everything["panels"]] == ["a", "b", "c", "counter"]
    assert (everything["total"], everything["maxPanels"]) == (4, 10000)
    page = server.get("/panels?limit=2&after=a").json()
    assert [panel["id"] for panel in page["panels"]] == ["b", "c"]
    assert page["total"] == 4
    assert server.get("/panels?after=zzz").json()["panels"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=1001", "limit=", "limit=%3",
                                   "limit=99999999999999999999", "after=a.b", "after=" + "a" * 129])
def test_bad_pages(server, query):
    assert_error(server.get("/panels?" + query), 400, "INVALID_REQUEST")


def test_read_panel(server):
    panel = server.get("/panels/counter").json()
    assert panel["id"] == "counter"
    assert (panel["kind"], panel["title"], panel["status"], panel["clientCount"]) == (
        "nxml", "Counter", "active", 0)
    tool = panel["tools"][0]
    assert tool["name"] == "increment"
    assert tool["args"] == [{"name": "by", "type": "number", "required": False, "default": 1}]
    assert sorted(tool["capabilities"]) == ["events:emit:incremented", "state:read:count",
                                            "state:write:count"]
    for key in ("createdAt", "lastActivity"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", panel[key])


def test_read_view(server):
    server.create('<NexusPanel id="v"><View><Layout><Text value="hi"/></Layout></View></NexusPanel>')
    assert server.get("/panels/v").json()["view"]["type"] == "Layout"


def test_state_and_its_version(server):
    first = server.get("/panels/counter/state")
    body = first.json()
    assert body == {"panelId": "counter", "version": body["version"], "state": {"count": 0}}
    assert first.headers["ETag"] == f'"{body["version"]}"'
    server.trigger("counter", "increment", {"by": 5})
    second = server.get("/panels/counter/state").json()
    assert second == {"panelId": "counter", "version": body["version"] + 1, "state": {"count": 5}}


def test_state_not_modified(server):
    etag = server.get("/panels/counter/state").headers["ETag"]
    for condition in (etag, "W/" + etag, f'"other", {etag}', "*"):
        response = server.get("/panels/counter/state", headers={"If-None-Match": condition})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["ETag"] == etag
    for condition in ('"0"', etag.strip('"'), ""):
        assert server.get("/panels/counter/state",
                          headers={"If-None-Match": condition}).status_code == 200
    server.trigger("counter", "increment")
    assert server.get("/panels/counter/state", headers={"If-None-Match": etag}).status_code == 200


def test_trigger(server):
    response = server.trigger("counter", "increment", {"by": 3})
    assert response.status_code == 200
    result = response.json()
    assert (result["status"], result["returnValue"]) == ("success", 3)
    assert result["mutations"] == [{"operation": "set", "key": "count", "value": 3}]
    assert result["events"] == [{"name": "incremented", "payload": 3}]
    assert result["metrics"]["segments"] == 1
    assert "error" not in result and "suspension" not in result


def test_trigger_without_a_body(server):
    response = server.post("/panels/counter/trigger/increment")
    assert (response.status_code, response.json()["returnValue"]) == (200, 1)


def test_request_id_reaches_the_handler(server):
    response = server.trigger("counter", "echo", {"a": [1, "ü"]}, headers={"X-Request-Id": "my-1"})
    assert response.json()["returnValue"] == {"args": {"a": [1, "ü"]}, "requestId": "my-1"}
    assert response.headers["X-Request-Id"] == "my-1"


def test_failing_handler_is_not_a_failing_request(server):
    response = server.trigger("counter", "fail")
    assert response.status_code == 200
    result = response.json()
    assert (result["status"], result["error"]["code"]) == ("error", "EXECUTION_ERROR")
    assert "on purpose" in result["error"]["message"]


@pytest.mark.parametrize("body", ["[]", "1", "null", "{", '{"by":"x"}', '{"by":1,"other":2}', "  "])
def test_bad_arguments(server, body):
    response = server.post("/panels/counter/trigger/increment", data=body,
                           headers={"Content-Type": "application/json"})
    assert_error(response, 400, "INVALID_REQUEST")


def test_trigger_waits_across_suspensions(server):
    result = server.trigger("counter", "nap", {"ms": 50}).json()
    assert (result["status"], result["returnValue"]) == ("success", "rested")
    assert result["metrics"]["segments"] == 2


def test_respond_async(server):
    prefer = {"Prefer": "respond-async"}
    response = server.trigger("counter", "nap", {"ms": 100}, headers=prefer)
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "respond-async"
    result = response.json()
    assert result["status"] == "suspended"
    call = result["suspension"]["calls"][0]
    assert (call["extension"], call["method"], call["args"]) == ("time", "sleep", [100])
    # It goes on without us, and commits.
    wait_until(lambda: server.get("/panels/counter/state").json()["state"]["count"] == 1)


def test_respond_async_of_what_never_suspends(server):
    response = server.trigger("counter", "increment", headers={"Prefer": "respond-async"})
    assert (response.status_code, response.json()["status"]) == (200, "success")


def test_delete(server):
    response = server.request("DELETE", "/panels/counter")
    assert (response.status_code, response.content) == (204, b"")
    assert "Content-Length" not in response.headers
    assert_error(server.request("DELETE", "/panels/counter"), 404, "PANEL_NOT_FOUND")
    assert_error(server.get("/panels/counter"), 404, "PANEL_NOT_FOUND")
    assert server.create().status_code == 201


def test_not_found(server):
    assert_error(server.get("/"), 404, "NOT_FOUND")
    assert_error(server.get("/panels/none/state"), 404, "PANEL_NOT_FOUND")
    assert_error(server.trigger("none", "x"), 404, "PANEL_NOT_FOUND")
    assert_error(server.trigger("counter", "none"), 404, "TOOL_NOT_FOUND")
    assert_error(server.get("/panels/a.b"), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("method, path, allow", [
    ("PUT", "/panels", "GET, HEAD, POST, OPTIONS"),
    ("DELETE", "/panels", "GET, HEAD, POST, OPTIONS"),
    ("POST", "/panels/counter", "GET, HEAD, DELETE, OPTIONS"),
    ("PATCH", "/panels/counter/state", "GET, HEAD, OPTIONS"),
    ("GET", "/panels/counter/trigger/increment", "POST, OPTIONS"),
    ("TRACE", "/health", "GET, HEAD, OPTIONS"),
    ("POST", "/ready", "GET, HEAD, OPTIONS"),
])
def test_methods(server, method, path, allow):
    response = server.request(method, path)
    assert_error(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == allow
    options = server.request("OPTIONS", path)
    assert (options.status_code, options.headers["Allow"]) == (204, allow)


def test_method_override_is_ignored(server):
    response = server.get("/panels/counter", headers={"X-HTTP-Method-Override": "DELETE"})
    assert response.json()["id"] == "counter"
    assert server.get("/panels/counter").status_code == 200


def test_head(server):
    for path in ("/panels", "/panels/counter", "/panels/counter/state", "/health", "/ready"):
        get, head = server.get(path), server.request("HEAD", path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["Content-Length"].isdigit()
        assert head.headers.get("ETag") == get.headers.get("ETag")


def test_foreign_pages_cannot_change_anything(server):
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", server.url + ".evil.example"):
        response = server.trigger("counter", "increment", headers={"Origin": origin})
        assert_error(response, 403, "FORBIDDEN")
        assert "Access-Control-Allow-Origin" not in response.headers
        response = server.get("/panels", headers={"Origin": origin})
        assert response.status_code == 200
        assert "Access-Control-Allow-Origin" not in response.headers
    for origin in (server.url, f"http://localhost:{server.port}"):
        assert server.trigger("counter", "increment", headers={"Origin": origin}).status_code == 200
    assert server.get("/panels/counter/state").json()["state"]["count"] == 2


def test_health(server):
    server.trigger("counter", "increment")
    response = server.get("/health")
    assert response.status_code == 200
    health = response.json()
    assert health["status"] == "healthy"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", health["version"])
    assert health["uptime"] > 0
    assert health["panels"] == {"active": 1, "suspended": 0}
    runtime = health["runtime"]
    assert 1 <= runtime["workers"] <= 3  # two spare ones where one was slow
    assert runtime["activeInstances"] == 0 and runtime["availableInstances"] > 0
    assert 0 <= runtime["cacheHitRate"] <= 1
    assert runtime["memoryBytes"] > 1024 * 1024


def test_health_reports_the_sandbox_as_it_is(server):
    sandbox = server.get("/health").json()["sandbox"]
    # What /proc does not show, or only in part.
    assert isinstance(sandbox.pop("landlock"), bool) and isinstance(sandbox.pop("namespaces"), bool)

    def seen(worker):
        folder = pathlib.Path(f"/proc/{worker}")
        try:
            status = dict(re.findall(r"^(\w+):\t(.*)$", (folder / "status").read_text(), re.M))
            score = int((folder / "oom_score_adj").read_text())
        except OSError:  # one that nobody wants any more
            return None
        return {"seccomp": ["off", "strict", "filter"][int(status["Seccomp"])],
                "noCapabilities": not any(int(status[kind], 16) for kind in ("CapPrm", "CapEff", "CapInh")),
                "noNewPrivs": status["NoNewPrivs"] == "1", "oomScoreAdj": score}

    def all_seen():
        found = [seen(worker) for worker in server.workers()]
        return found and all(one == sandbox for one in found)
    wait_until(all_seen)  # one that has just been forked is not locked in yet
    # Workers go first when memory runs out, and the server is not among them.
    assert sandbox["oomScoreAdj"] == 1000
    own, servers = (int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in ("self", server.process.pid))
    assert own == servers


def test_ready(server):
    response = server.get("/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})
