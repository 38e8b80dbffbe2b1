# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.yaml and the server say the same: every operation with every status it may have, and
every example."""
import base64
import os
import signal

import jsonschema
import openapi
import pytest
import requests

from conftest import ROOT, Server, Wire, processes, wait_until
from test_auth import SECRET, bearer, token
from ws_client import WebSocket

JSON = {"Content-Type": "application/json"}
ADMIN = bearer(token("*"))
STRANGER = {"Authorization": ""}
NOBODY = bearer(token())
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
           "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Protocol": "nexus.v1"}
HUGE = b'{"text":"' + b"x" * (6 * 1024 * 1024) + b'"}'


def panel(name):
    return {"json": {"id": name, "kind": "k", "tools": []}}


# (operation, status) -> the request: path (the document's, with examples filled in, if none), and what
# `requests` takes. A list of requests: only the last one's answer counts.
CASES = {
    ("listPanels", 200): {"path": "/panels?limit=2&after=counter"},
    ("listPanels", 400): {"path": "/panels?limit=0"},
    ("createPanel", 201): panel("new"),
    ("createPanel", 400): {"data": "<NexusPanel>\n <Bad/>\n</NexusPanel>", "headers": {"Content-Type": "text/xml"}},
    ("createPanel", 409): panel("counter"),
    ("createPanel", 413): {"data": HUGE, "headers": JSON},
    ("createPanel", 415): {"data": "x", "headers": {"Content-Type": "text/plain"}},
    ("createPanel", 429): [panel(f"p{i}") for i in range(12)],
    ("getPanel", 200): {},
    ("getPanel", 400): {"path": "/panels/a.b"},
    ("getPanel", 404): {"path": "/panels/none"},
    ("deletePanel", 204): {"path": "/panels/todo"},
    ("deletePanel", 400): {"path": "/panels/a.b"},
    ("deletePanel", 404): {"path": "/panels/none"},
    ("getState", 200): {},
    ("getState", 304): {"headers": {"If-None-Match": "*"}},
    ("getState", 400): {"path": "/panels/a.b/state"},
    ("getState", 404): {"path": "/panels/none/state"},
    ("triggerTool", 200): {"json": {"by": 1}},
    ("triggerTool", 202): {"path": "/panels/fanout/trigger/together", "json": {"count": 2, "ms": 50},
                           "headers": {"Prefer": "respond-async"}},
    ("triggerTool", 400): {"json": {"by": "x"}},
    ("triggerTool", 404): {"path": "/panels/counter/trigger/none"},
    ("triggerTool", 409): [{"path": "/panels/tools/trigger/echo", "data": b'{"x":"' + b"y" * 4_300_000 + b'"}',
                            "headers": {"Idempotency-Key": "big", **JSON}}] * 2,
    ("triggerTool", 413): {"data": HUGE, "headers": JSON},
    ("triggerTool", 415): {"data": "x", "headers": {"Content-Type": "text/plain"}},
    ("triggerTool", 422): [{"json": {"by": 1}, "headers": {"Idempotency-Key": "k"}},
                           {"json": {"by": 2}, "headers": {"Idempotency-Key": "k"}}],
    ("openWebSocket", 101): {"headers": UPGRADE},
    ("openWebSocket", 400): {"headers": {**UPGRADE, "Sec-WebSocket-Key": "short"}},
    ("openWebSocket", 404): {"path": "/panels/none/ws", "headers": UPGRADE},
    ("openWebSocket", 426): {},
    ("createTicket", 201): {},
    ("createTicket", 400): {"path": "/panels/a.b/ws-ticket"},
    ("createTicket", 404): {"path": "/panels/none/ws-ticket"},
    ("createTicket", 413): {"data": HUGE, "headers": JSON},
    ("createTicket", 415): {"data": "x", "headers": {"Content-Type": "text/plain"}},
    ("getMetrics", 200): {},
    ("getHealth", 200): {"headers": STRANGER},
    ("getReady", 200): {"headers": STRANGER},
    ("getOpenapi", 200): {"headers": STRANGER},
    **{(name, status): {"headers": {**(UPGRADE if name == "openWebSocket" else {}), **who}}
       for name, (_, _, operation) in openapi.BY_ID.items() if operation.get("security") != []
       for status, who in ((401, STRANGER), (403, NOBODY))},
}
# Those that need more than a request, with the tests that show them.
ELSEWHERE = {("createPanel", 503), ("triggerTool", 503), ("openWebSocket", 503), ("getReady", 503),  # stopping
             ("triggerTool", 429),  # a full queue
             ("getHealth", 503)}    # no worker
TOOLS = {"id": "tools", "kind": "k", "tools": [
    {"name": "echo", "handler": "return $args;"}, {"name": "spin", "handler": "for (;;) {}"},
    {"name": "nap", "handler": "await $ext.time.sleep($args.ms); return 'rested'",
     "capabilities": ["ext:time"]}]}


def start_guarded(folder, **env):
    secret = folder / "secret"
    secret.write_text(SECRET)
    server = Server("--panels", ROOT / "examples", env={
        "AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(secret), "BODY_LIMIT": "5mb", "MAX_VALUE_KB": "8192",
        **env})
    assert server.post("/panels", json=TOOLS, headers=ADMIN).status_code == 201
    return server


@pytest.fixture(name="guarded", scope="module")
def open_guarded(tmp_path_factory):
    server = start_guarded(tmp_path_factory.mktemp("openapi"), MAX_PANELS="14", MAX_QUEUE="1", TIMEOUT_MS="60000")
    yield server
    server.stop_cleanly()


def example_path(operation_id):
    path = openapi.BY_ID[operation_id][0]
    for parameter in openapi.parameters(operation_id):
        if parameter["in"] == "path":
            path = path.replace("{%s}" % parameter["name"], parameter["example"])
    return path


def ask(server, operation_id, request):
    """(status, headers with names in lower case, body)"""
    method = openapi.BY_ID[operation_id][1].upper()
    path = request.get("path", example_path(operation_id))
    headers = {**ADMIN, **request.get("headers", {})}
    if "Upgrade" in headers:  # what comes after 101 is not for `requests`
        with Wire(server) as wire:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
            answer = wire.send(f"{method} {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n").read()
            return answer.status, answer.headers, answer.body
    headers = {name: value or None for name, value in headers.items()}
    rest = {name: value for name, value in request.items() if name in ("json", "data")}
    answer = server.request(method, path, headers=headers, **rest)
    return answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content


def check(server, operation_id, request, status):
    found = ask(server, operation_id, request)
    assert found[0] == status, found[2][:2000]
    openapi.check(openapi.BY_ID[operation_id][2], *found)
    return found


@pytest.mark.parametrize("operation_id, status", sorted(CASES), ids=lambda value: str(value))
def test_answer(guarded, operation_id, status):
    steps = CASES[operation_id, status]
    *before, last = steps if isinstance(steps, list) else [steps]
    for step in before:
        ask(guarded, operation_id, step)
    check(guarded, operation_id, last, status)
    for name in [f"p{i}" for i in range(12)] + ["new"]:
        guarded.request("DELETE", f"/panels/{name}", headers=ADMIN)


def test_every_documented_status_is_seen():
    documented = {(name, int(status)) for name, (_, _, operation) in openapi.BY_ID.items()
                  for status in operation["responses"] if status != "default"}
    assert set(CASES) | ELSEWHERE == documented


def test_a_full_queue(guarded):
    def post(wire, tool):
        return wire.send(f"POST /panels/tools/trigger/{tool} HTTP/1.1\r\nHost: h\r\n"
                         f"Authorization: {ADMIN['Authorization']}\r\n\r\n")
    with WebSocket(guarded, "tools", headers=[f"Authorization: {ADMIN['Authorization']}"]) as running, \
            Wire(guarded) as one, Wire(guarded) as other:
        running.send({"type": "TRIGGER", "tool": "spin", "requestId": "1"})
        wait_until(lambda: guarded.get("/health").json()["runtime"]["activeInstances"] == 1)
        post(one, "echo")
        wait_until(lambda: "\nnexus_queue_depth 1\n" in guarded.get("/metrics", headers=ADMIN).text)
        # That one waits, so there is no room for another.
        refused = post(other, "echo").read()
        assert refused.status == 429
        openapi.check(openapi.BY_ID["triggerTool"][2], refused.status, refused.headers, refused.body)
        running.send({"type": "CANCEL", "requestId": "1"})
        assert one.read().status == 200


def test_while_stopping(tmp_path):
    server = start_guarded(tmp_path)
    headers = "".join(f"{name}: {value}\r\n" for name, value in {**ADMIN, **JSON}.items())
    with Wire(server) as busy:
        busy.send(f"POST /panels/tools/trigger/nap HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: 11\r\n\r\n"
                  '{"ms":6000}')
        wait_until(lambda: server.get("/panels/tools", headers=ADMIN).json()["status"] == "suspended")
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("stopping")
        check(server, "createPanel", panel("late"), 503)
        check(server, "triggerTool", {}, 503)
        check(server, "openWebSocket", {"headers": UPGRADE}, 503)
        check(server, "getReady", {}, 503)
        assert busy.read().json()["returnValue"] == "rested"
    assert server.wait() == 0


def test_without_a_worker(start):
    server = start()
    worker = server.only_worker()
    zygote, _ = processes()[worker]
    os.kill(zygote, signal.SIGSTOP)  # nobody makes another worker
    try:
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.get("/health").status_code != 200)
        answer = check(server, "getHealth", {}, 503)
        assert b'"unhealthy"' in answer[2]
        check(server, "getReady", {}, 503)
    finally:
        os.kill(zygote, signal.SIGCONT)
    wait_until(lambda: server.get("/ready").status_code == 200)
    server.stop_cleanly()


# ---- Results -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("panel_id, tool, args, status", [
    ("counter", "reset", {}, "success"), ("counter", "increment", {"by": 2}, "success"),
    ("denied", "write", {}, "error"), ("denied", "careful", {}, "success"),
    ("timeout", "spin", {}, "error"), ("fanout", "oneByOne", {"count": 2, "ms": 1}, "success"),
    ("todo", "add", {"text": "x"}, "success"), ("todo", "add", {"text": ""}, "error"),
    ("monitor", "count", {}, "success"),
])
def test_results(server, panel_id, tool, args, status):
    assert server.create((ROOT / f"examples/{panel_id}.nxml").read_text().replace(
        f'id="{panel_id}"', 'id="it"')).status_code == 201
    answer = check(server, "triggerTool", {"path": f"/panels/it/trigger/{tool}", "json": args}, 200)
    assert f'"status":"{status}"'.encode() in answer[2]
    check(server, "getPanel", {"path": "/panels/it"}, 200)
    check(server, "getState", {"path": "/panels/it/state"}, 200)


def test_everything_a_result_may_hold(server):
    handler = """$state.a = 1; delete $state.b; $emit('bare'); $emit('full', [1]);
      $view.setFilter('l', { a: 1 }); $view.scrollTo('l', 3); $view.focus('l'); $view.command('l', 'x', {});
      $log('plain'); $log.debug('d'); console.error({ a: 1 });
      return { has: 'a' in $state, keys: Object.keys($state), slept: await $ext.time.sleep(1) };"""
    grants = ["state:read:*", "state:write:*", "events:emit:*", "view:update:*", "ext:time"]
    for trigger in ("manual", "interval:1h", "cron:0 9 * * 1", "event:a*", "state:a"):
        definition = {"kind": "k", "id": "all", "initialState": {"a": 0, "b": 2}, "capabilities": grants,
                      "metadata": {"x": [1]}, "lifecycle": {"mount": {"handler": "throw new Error('no')"}},
                      "tools": [{"name": "all", "handler": handler, "trigger": trigger, "timeoutMs": 4900}]}
        check(server, "createPanel", {"json": definition}, 201)
        path = {"path": "/panels/all/trigger/all"}
        answer = check(server, "triggerTool", path, 200)
        assert b'"success"' in answer[2] and b'"payload"' in answer[2] and b'"custom"' in answer[2]
        check(server, "triggerTool", {**path, "headers": {"Prefer": "respond-async"}}, 202)
        check(server, "getPanel", {"path": "/panels/all"}, 200)
        check(server, "listPanels", {}, 200)
        check(server, "deletePanel", {"path": "/panels/all"}, 204)


# ---- Requests that are not understood ------------------------------------------------------------------

@pytest.mark.parametrize("request_text, status", [
    ("GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    ("GET /health HTTP/1.1\r\nHost: h\r\nX: " + "x" * 17000 + "\r\n\r\n", 431),
    ("GET /health HTTP/1.1\r\nHost: h\r\nExpect: more\r\n\r\n", 417),
    ("GET /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ("GET /health HTTP/3.0\r\nHost: h\r\n\r\n", 505),
    ("GET /health HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413),
])
def test_default_answers(wire, request_text, status):
    answer = wire(request_text).read()
    assert answer.status == status
    openapi.check(openapi.BY_ID["getHealth"][2], answer.status, answer.headers, answer.body)


@pytest.mark.parametrize("name, method, path, status", [
    ("NotFound", "GET", "/nothing", 404), ("MethodNotAllowed", "PATCH", "/panels", 405)])
def test_answers_of_no_operation(server, name, method, path, status):
    answer = server.request(method, path)
    assert answer.status_code == status
    response = {"responses": {str(status): {"$ref": f"#/components/responses/{name}"}}}
    openapi.check(response, status, {key.lower(): value for key, value in answer.headers.items()}, answer.content)


# ---- HEAD, OPTIONS, security ----------------------------------------------------------------------------

@pytest.mark.parametrize("path", openapi.DOCUMENT["paths"])
def test_other_methods_and_security(guarded, path):
    item = openapi.DOCUMENT["paths"][path]
    real = path.replace("{id}", "counter").replace("{tool}", "increment")
    options = guarded.request("OPTIONS", real)
    openapi.check(item["options"], options.status_code,
                  {key.lower(): value for key, value in options.headers.items()}, options.content)
    assert set(options.headers["Allow"].lower().split(", ")) == openapi.METHODS & set(item)
    for method in openapi.METHODS & set(item) - {"options"}:
        headers = UPGRADE if path.endswith("/ws") else {}
        open_to_all = guarded.request(method.upper(), real, headers=headers).status_code != 401
        security = item["get" if method == "head" else method].get("security", openapi.DOCUMENT["security"])
        assert open_to_all == (security == [])
    if "head" in item:
        get, head = (guarded.request(method, real, headers=ADMIN) for method in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert set(head.headers) == set(get.headers)


# ---- Examples --------------------------------------------------------------------------------------------

def examples_of_requests():
    for name, (_, _, operation) in openapi.BY_ID.items():
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            for title, example in content.get("examples", {}).items():
                yield pytest.param(name, media_type, content["schema"], example["value"], id=f"{name}-{title}")


@pytest.mark.parametrize("name, media_type, schema, value", examples_of_requests())
def test_example_of_a_request(server, name, media_type, schema, value):
    """As printed, with the examples of the parameters beside it."""
    assert openapi.problem(schema, value) is None
    headers = {one["name"]: one["example"] for one in openapi.parameters(name)
               if one["in"] == "header" and "example" in one}
    body = {"json": value} if media_type == "application/json" else {"data": value}
    path, method, operation = openapi.BY_ID[name]
    answer = ask(server, name, {"headers": {"Content-Type": media_type, **headers}, **body})
    assert 200 <= answer[0] < 300, answer
    openapi.check(operation, *answer)
    assert answer[1]["x-request-id"] == headers["X-Request-Id"]


def test_every_operation_works_with_its_example_parameters(server):
    for name, (path, method, operation) in openapi.BY_ID.items():
        headers = {one["name"]: one["example"] for one in openapi.parameters(name)
                   if one["in"] == "header" and "example" in one}
        if "requestBody" not in operation and name != "deletePanel":
            answer = ask(server, name, {"headers": headers})
            assert answer[0] < 300, (name, answer)
            openapi.check(operation, *answer)


def test_examples_of_answers_have_their_schemas():
    found = 0
    for _, _, operation in openapi.operations():
        for response in operation["responses"].values():
            for content in openapi.resolve(response).get("content", {}).values():
                for example in content.get("examples", {}).values():
                    assert openapi.problem(content["schema"], example["value"]) is None
                    found += 1
    assert found


# ---- The document -------------------------------------------------------------------------------------------

def test_it_is_served(server):
    answer = server.get("/openapi.yaml")
    assert answer.headers["Content-Type"] == "application/yaml"
    assert answer.content == openapi.PATH.read_bytes()
    head = server.request("HEAD", "/openapi.yaml")
    assert head.headers["Content-Length"] == str(len(answer.content)) and head.content == b""


def test_other_ports_do_not_serve_it(start):
    server = start(env={"WS_PORT": "0", "METRICS_PORT": "0"})
    for name in ("wsUrl", "metricsUrl"):
        url = server.logs("listening")[0][name].replace("ws:", "http:")
        assert requests.get(url + "/health", timeout=60).status_code == 200
        assert requests.get(url + "/openapi.yaml", timeout=60).status_code == 404
    server.stop_cleanly()


def references(item):
    if isinstance(item, dict):
        if "$ref" in item:
            yield item["$ref"]
        for value in item.values():
            yield from references(value)
    elif isinstance(item, list):
        for value in item:
            yield from references(value)


def test_it_is_sound():
    found = set(references(openapi.DOCUMENT))
    for reference in found:
        assert reference.startswith("#/components/")
        openapi.resolve({"$ref": reference})
    # Nothing is described that nothing refers to, but for the answers of no operation.
    kinds = ("schemas", "responses", "parameters", "headers")
    described = {f"#/components/{kind}/{name}" for kind in kinds for name in openapi.DOCUMENT["components"][kind]}
    assert described - found == {"#/components/responses/NotFound", "#/components/responses/MethodNotAllowed"}
    for schema in openapi.CLOSED.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for path, _, operation in openapi.operations():
        assert operation["summary"] and operation["responses"]
        assert ("{id}" in path) == ("parameters" in openapi.DOCUMENT["paths"][path])


@pytest.mark.parametrize("schema, value", [
    ("Ticket", {"ticket": "a", "expiresInMs": 0}), ("Ticket", {"ticket": "a", "expiresInMs": 1, "more": 1}),
    ("PanelState", {"panelId": "p", "version": 1}), ("SuccessResult", {"status": "error"}),
    ("ForbiddenError", {"error": {"code": "NOT_FOUND", "message": "m", "requestId": "r"}}),
    ("ForbiddenError", {"error": {"code": "FORBIDDEN", "message": "m", "requestId": "r", "more": 1}})])
def test_the_check_can_fail(schema, value):
    assert openapi.problem({"$ref": f"#/components/schemas/{schema}"}, value)


def test_the_check_sees_status_header_and_body():
    operation = openapi.BY_ID["createTicket"][2]
    headers = {"x-request-id": "r", "x-content-type-options": "nosniff", "cache-control": "no-store",
               "content-type": "application/json"}
    body = b'{"ticket":"a","expiresInMs":1}'
    openapi.check(operation, 201, headers, body)
    for wrong in ((200, headers, body), (201, {**headers, "etag": "1"}, body), (201, headers, b"{}"),
                  (201, {**headers, "content-type": "text/plain"}, body),
                  (201, {key: value for key, value in headers.items() if key != "x-request-id"}, body)):
        with pytest.raises(AssertionError):
            openapi.check(operation, *wrong)
