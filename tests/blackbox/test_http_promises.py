# SPDX-License-Identifier: Apache-2.0
"""What the HTTP interface promises beside its routes: bodies where none is awaited, early answers, lists in
headers, methods, panels that come and go, sizes of state."""
import itertools
import json

import pytest
import requests

import openapi
from conftest import COUNTER, Wire, wait_until
from ws_client import WebSocket

STATE = b"GET /panels/counter/state HTTP/1.1\r\nHost: h\r\n"
INNER = b"DELETE /panels/counter HTTP/1.1\r\nHost: h\r\n\r\n"


def count(server):
    return server.get("/panels/counter/state").json()["state"]["count"]


# ---- Arguments ------------------------------------------------------------------------------------------

TYPED = {"id": "typed", "kind": "k", "tools": [{"name": "t", "handler": "return $args;", "args": {
    "text": {"type": "string"}, "number": {"type": "number", "default": 1}, "flag": {"type": "boolean", "required": False},
    "list": {"type": "list", "required": False}, "object": {"type": "object", "required": False}}}]}


@pytest.mark.parametrize("args, named", [
    ({}, "text"), ({"text": 1}, "text"), ({"text": None}, "text"), ({"text": "", "number": "1"}, "number"),
    ({"text": "", "flag": 0}, "flag"), ({"text": "", "list": {}}, "list"), ({"text": "", "object": []}, "object"),
    ({"text": "", "other": 1}, "other"), ({"text": "", "Text": ""}, "Text")])
def test_missing_unknown_and_mistyped_arguments(server, args, named):
    assert server.post("/panels", json=TYPED).status_code == 201
    answer = server.trigger("typed", "t", args)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    assert f"'{named}'" in answer.json()["error"]["message"]
    with WebSocket(server, "typed") as socket:
        socket.read()
        message = socket.send({"type": "TRIGGER", "tool": "t", "args": args, "requestId": "r"}).read()
        assert (message["type"], message["code"], message["requestId"]) == ("ERROR", "INVALID_REQUEST", "r")
    full = {"text": "", "flag": True, "list": [], "object": {}}
    assert server.trigger("typed", "t", full).json()["returnValue"] == {**full, "number": 1}


def test_a_tool_that_declares_no_arguments_takes_any_object(server):
    args = {"a": [1, {"b": None}], "": "", "ü": 1e300}
    assert server.trigger("counter", "echo", args).json()["returnValue"]["args"] == args


# ---- Panels that come and go -----------------------------------------------------------------------------

def test_deleting_runs_unmount(server):
    listener = {"id": "listener", "kind": "k", "initialState": {"heard": []}, "tools": [
        {"name": "hear", "trigger": "event:bye", "handler": "$state.heard = [...$state.heard, $scope.trigger.name];",
         "capabilities": ["state:read:heard", "state:write:heard"]}]}
    leaver = {"id": "leaver", "kind": "k", "tools": [], "lifecycle": {
        "unmount": {"handler": "$emit('bye');", "capabilities": ["events:emit:bye"]}}}
    for panel in (listener, leaver):
        assert server.post("/panels", json=panel).status_code == 201
    assert server.request("DELETE", "/panels/leaver").status_code == 204
    # The event was emitted before the answer; the listener runs when its turn comes.
    wait_until(lambda: server.get("/panels/listener/state").json()["state"]["heard"] == ["bye"])


def test_a_state_that_is_too_large(start):
    server = start(env={"MAX_STATE_KB": "64"})
    panel = {"kind": "k", "tools": [], "initialState": {"a": "x" * 70_000}}
    answer = server.post("/panels", json=panel)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "RESOURCE_LIMIT")
    assert server.get("/panels").json()["total"] == 0
    panel["initialState"]["a"] = "x" * 60_000
    assert server.post("/panels", json=panel).status_code == 201
    server.stop_cleanly()


# ---- Methods ------------------------------------------------------------------------------------------------

METHODS = {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "Get"}


@pytest.mark.parametrize("path", openapi.DOCUMENT["paths"])
def test_every_method_of_every_route(wire, path):
    taken = {method.upper() for method in openapi.METHODS & set(openapi.DOCUMENT["paths"][path])}
    real = path.replace("{id}", "counter").replace("{tool}", "increment")
    for method in METHODS - taken:
        answer = wire(f"{method} {real} HTTP/1.1\r\nHost: h\r\nX-Secret: s3cret\r\n\r\n").read(method != "HEAD")
        assert answer.status == 405, method
        assert set(answer.headers["allow"].split(", ")) == taken
        assert b"s3cret" not in answer.body  # TRACE tells nothing back


@pytest.mark.parametrize("headers, query", [
    ({"X-HTTP-Method-Override": "DELETE"}, ""), ({"X-HTTP-Method": "DELETE"}, ""), ({"X-Method-Override": "DELETE"}, ""),
    ({}, "?_method=DELETE"), ({"X-Original-URL": "/metrics", "X-Rewrite-URL": "/metrics"}, "")])
def test_nothing_overrides_method_or_path(server, headers, query):
    assert server.get("/panels/counter" + query, headers=headers).json()["id"] == "counter"
    assert server.get("/panels/counter").status_code == 200


@pytest.mark.parametrize("headers", [
    {"Host": "evil"}, {"X-Forwarded-Host": "evil.example"}, {"Forwarded": "host=evil.example"},
    {"X-Forwarded-Proto": "https", "X-Forwarded-For": "evil.example"}])
def test_answers_do_not_depend_on_who_the_client_says_it_asks(server, headers):
    server.request("DELETE", "/panels/counter")
    headers["Content-Type"] = "application/xml"
    answer = server.post("/panels", data=COUNTER.encode(), headers=headers)
    assert answer.status_code == 201
    assert answer.json()["wsUrl"] == server.url.replace("http", "ws") + "/panels/counter/ws"
    assert answer.headers["Location"] == "/panels/counter"
    assert "evil" not in answer.text + str(answer.headers)


def test_no_site_makes_this_machine_its_own(start):
    """A page of evil.example whose name means 127.0.0.1 now would read all that this server answers."""
    server = start(env={"PUBLIC_URL": "https://panels.example:8443/base"})

    def answer(host, method="GET", path="/panels", more=""):
        with Wire(server) as one:
            return one.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").read(method != "HEAD")
    for host in ("127.0.0.1", f"127.0.0.1:{server.port}", "localhost", "LOCALHOST:3000", "panels.localhost:1", "[::1]:3000",
                 "nexus", "nexus:3000", "panels.example", "Panels.Example:8443", "localhost.", "Panels.Example.:8443", ""):
        assert answer(host).status == 200, host
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1.evil.example", "localhost.evil.example",
                 "panels.example.evil.example", "xpanels.example", "evil.example.", "127.1.", "1.2.3.4.5", ".localhost",
                 "a." * 100, "evil.example:", "panels.example@evil.example"):
        refused = answer(host)
        assert refused.status == 403 and b"PUBLIC_URL" in refused.body, host
    for path in ("/panels/counter", "/panels/counter/state", "/health", "/ready", "/metrics", "/openapi.yaml"):
        assert [answer(host, "GET", path).status for host in ("evil.example", "localhost")] in ([403, 200], [403, 404])
    assert answer("evil.example", "HEAD").status == answer("evil.example", "OPTIONS").status == 403
    assert answer("evil.example", path="/panels/counter/ws", more="Upgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n").status == 403
    # Where others than those on this machine are let in, names are whatever the network calls it.
    open_to_all = start(env={"HOST": "0.0.0.0", "ALLOW_INSECURE": "true"})
    assert requests.get(f"http://127.0.0.1:{open_to_all.port}/panels", headers={"Host": "nexus.default.svc"},
                        timeout=20).status_code == 200


# ---- Lists in headers ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("lines, status", [
    (b'If-None-Match: "1"\r\n', 304), (b'If-None-Match: "0", W/"1"\r\n', 304), (b'If-None-Match: "0"\r\n', 200),
    # Of several lines the last one counts: the state itself is always a right answer.
    (b'If-None-Match: "1"\r\nIf-None-Match: "0"\r\n', 200), (b'If-None-Match: "0"\r\nIf-None-Match: "1"\r\n', 304),
    (b"if-none-match:*\r\n", 304), (b"If-None-Match: 1\r\n", 200), (b'If-None-Match: "1\r\n', 200)])
def test_entity_tags(wire, lines, status):
    one = wire(STATE + lines + b"\r\n")
    assert one.read(status == 200).status == status
    assert one.send(STATE + b"\r\n").read().status == 200


@pytest.mark.parametrize("lines, status", [
    (b"Prefer: respond-async\r\n", 202), (b"Prefer: wait=1, Respond-Async; x=y\r\n", 202),
    (b"Prefer: wait=1\r\nPrefer: respond-async\r\n", 202), (b"Prefer: respond-asynchronously\r\n", 200),
    (b"Prefer: \"respond-async\"\r\n", 200)])
def test_preferences(wire, lines, status):
    body = b'{"ms":1}'
    one = wire(b"POST /panels/counter/trigger/nap HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n" + lines +
               b"Content-Length: %d\r\n\r\n" % len(body) + body)
    answer = one.read()
    assert answer.status == status
    assert answer.headers.get("preference-applied") == ("respond-async" if status == 202 else None)


@pytest.mark.parametrize("value, stays", [
    (b"close", False), (b"Close", False), (b"keep-alive, close", False), (b"x, close", False), (b"keep-alive", True),
    (b"closed", True), (b"upgrade", True)])
def test_connection_options(wire, value, stays):
    one = wire(STATE + b"Connection: " + value + b"\r\n\r\n")
    answer = one.read()
    assert (answer.headers.get("connection") == "close") == (not stays)
    if stays:
        assert one.send(STATE + b"\r\n").read().status == 200
    else:
        assert one.at_end()


# ---- Bodies ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method, path, status, early", [
    ("GET", "/panels/counter/state", 200, False), ("GET", "/health", 200, False), ("DELETE", "/panels/none", 404, False),
    ("OPTIONS", "/panels", 204, True), ("PUT", "/panels", 405, True), ("POST", "/nothing", 404, True)])
def test_a_body_that_nobody_reads_is_no_request(server, wire, method, path, status, early):
    head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(INNER)}\r\n\r\n".encode()
    whole = wire(head + INNER + STATE + b"\r\n")
    assert whole.read().status == status
    assert whole.read().json()["state"] == {"count": 0}
    # Where the answer comes before the body, the connection ends: what comes is no request either way.
    parts = wire(head)
    answer = parts.read() if early else parts.send(INNER).read()
    assert (answer.status, answer.headers.get("connection") == "close") == (status, early)
    if early:
        parts.send(INNER)
        assert parts.at_end()
    assert server.get("/panels/counter").status_code == 200


def test_a_chunked_body_that_nobody_reads_is_no_request(server, wire):
    one = wire(b"POST /nothing HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2c\r\n" + INNER + b"\r\n0\r\n\r\n")
    answer = one.read()
    assert (answer.status, answer.headers["connection"]) == (404, "close")
    assert one.at_end()
    assert server.get("/panels/counter").status_code == 200


def test_pipelined_errors_keep_their_places(wire):
    requests = [(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", 404), (STATE + b"\r\n", 200),
                (b"PUT /panels HTTP/1.1\r\nHost: h\r\n\r\n", 405), (b"GET /panels/a.b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
                (b"POST /panels HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx", 415),
                (b"POST /panels HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{", 400)]
    for order in itertools.permutations(range(len(requests)), 3):
        one = wire(b"".join(requests[i][0] for i in order) + STATE + b"\r\n")
        assert [one.read().status for _ in order] == [requests[i][1] for i in order]
        assert one.read().status == 200
        one.close()


def test_as_many_headers_as_allowed(wire):
    def head(lines, size=0):
        return b"GET /health HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * (lines - 1) + b"Y: " + b"z" * size + b"\r\n\r\n"
    assert wire(head(99)).read().status == 200
    assert wire(head(100)).read().status == 431
    room = 16 * 1024 - len(head(1))
    assert wire(head(1, room)).read().status == 200
    assert wire(head(1, room + 1)).read().status == 431


def test_the_longest_target(wire):
    for size, status in ((8192, 404), (8193, 414)):
        assert wire(b"GET /" + b"a" * (size - 1) + b" HTTP/1.1\r\nHost: h\r\n\r\n").read().status == status


# ---- Errors ---------------------------------------------------------------------------------------------------------

def test_bad_input_changes_nothing(server):
    before = (server.get("/panels").json(), server.get("/panels/counter/state").json())
    for body in (b"", b"{", b"[]", b'{"kind":"k"}', b'{"kind":"k","tools":[{"name":"a","handler":"return ("}]}', b"\xff\xfe",
                 b'{"kind":"k","tools":[],"more":1}', b"<NexusPanel><Logic></NexusPanel>", b"{" * 5000):
        for media_type in ("application/json", "application/xml"):
            answer = server.post("/panels", data=body, headers={"Content-Type": media_type})
            assert answer.status_code == 400 and answer.json()["error"]["message"], (body, answer.text)
    for args in (b"[", b"nul", b'"x"', b'{"by":1}}', b'{"by":NaN}', b'{"a":"\xff"}', b"[" * 5000, b'{"by":"1"}'):
        answer = server.post("/panels/counter/trigger/increment", data=args, headers={"Content-Type": "application/json"})
        assert answer.status_code == (413 if args.startswith(b"[[") else 400), args
    after = (server.get("/panels").json(), server.get("/panels/counter/state").json())
    for panels, _ in (before, after):
        panels["panels"][0].pop("lastActivity")
    assert json.dumps(before) == json.dumps(after)
    assert count(server) == 0
