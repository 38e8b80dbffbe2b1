# SPDX-License-Identifier: Apache-2.0
"""WebSockets: who may open one, how, on which port; tokens and tickets."""
import time

import pytest
import requests

from conftest import COUNTER, Server, wait_until
from test_auth import SECRET, bearer, token
from ws_client import CLOSE, WebSocket, open_ws  # noqa: F401 (a fixture)


class WsPort:
    """A server as seen through its WS_PORT."""

    def __init__(self, server):
        self.url = server.wait_for_log("listening")["wsUrl"].replace("ws://", "http://")
        self.port = int(self.url.rsplit(":", 1)[1])
        assert self.port != server.port

    connect = Server.connect


@pytest.mark.parametrize("headers, status", [
    (["Origin: http://evil.example"], 403), (["Origin: null"], 403), ([], 101),
])
def test_origins(server, headers, status):
    with WebSocket(server, headers=headers) as ws:
        assert ws.reply.status == status


@pytest.mark.parametrize("path, status", [
    ("/panels/counter/ws", 101), ("/panels/counter/ws?", 101), ("/panels/c%6funter/ws", 101),
    ("//panels/counter/ws", 404), ("//", 404), ("///panels/counter/ws", 404), ("/panels//ws", 400),
    ("/panels/counter//ws", 404), ("/panels/counter/ws/", 404), ("/panels/counter%2fws", 400),
    ("/panels/../panels/counter/ws", 404), ("/panels/%2e%2e/ws", 400), ("/panels/counter/WS", 404),
    ("panels/counter/ws", 404), ("//127.0.0.1/panels/counter/ws", 404), ("/panels/%2563ounter/ws", 400),
])
def test_one_path_leads_to_a_panel(server, path, status):
    with WebSocket(server, path=path) as ws:
        assert ws.reply.status == status
    assert server.get("/health").status_code == 200


@pytest.mark.parametrize("head, status", [
    ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 12\r\n"
     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", 426),
    ("Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", 426),
    ("Upgrade: websocket\r\nConnection: keep-alive\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", 426),
    ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Key: short", 400),
    ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13", 400),
])
def test_bad_handshakes(wire, head, status):
    answer = wire(f"GET /panels/counter/ws HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n").read()
    assert answer.status == status
    if status == 426:
        assert answer.headers["upgrade"] == "websocket"


def test_unknown_panel(server):
    with WebSocket(server, panel="missing") as ws:
        assert ws.reply.status == 404


def start_guarded(tmp_path_factory, **settings):
    secret = tmp_path_factory.mktemp("ws") / "secret"
    secret.write_text(SECRET + "\n")
    server = Server(env={"AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(secret), "LOG_LEVEL": "debug",
                         **settings})
    answer = server.post("/panels", data=COUNTER.encode(), headers={
        "Content-Type": "application/xml", **bearer(token("*"))})
    assert answer.status_code == 201
    return server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    server = start_guarded(tmp_path_factory, ALLOW_QUERY_TOKEN="true", WS_PORT="0",
                           CORS_ORIGINS="https://app.example")
    yield server
    server.stop_cleanly()


@pytest.fixture(params=["HTTP_PORT", "WS_PORT"])
def port(request, guarded):
    return guarded if request.param == "HTTP_PORT" else WsPort(guarded)


def test_nobody_learns_which_panels_exist(port):
    """The checks come in this order, on both ports: origin, token, permission, panel."""
    good = token("panel:read")
    refused = {}
    for panel in ("counter", "missing"):
        for name, status, options in (
                ("origin", 403, dict(headers=["Origin: http://evil.example"], protocols="bearer." + good)),
                ("origin before token", 403, dict(headers=["Origin: http://evil.example"])),
                ("token", 401, {}),
                ("bad token", 401, dict(protocols="bearer." + good[:-2] + "xx")),
                ("permission", 403, dict(protocols="bearer." + token("panel:execute")))):
            with WebSocket(port, panel=panel, **options) as ws:
                assert (name, ws.reply.status) == (name, status)
                body = ws.reply.json()["error"]
                body.pop("requestId")
                assert refused.setdefault(name, body) == body  # the same for either panel
                assert ("www-authenticate" in ws.reply.headers) == (status == 401)
    with WebSocket(port, panel="missing", protocols="bearer." + good) as ws:
        assert ws.reply.status == 404
    with WebSocket(port, protocols="bearer." + good, headers=["Origin: https://app.example"]) as ws:
        assert ws.reply.status == 101


@pytest.mark.parametrize("how", ["header", "subprotocol", "query", "ticket"])
def test_every_way_to_bring_a_token(guarded, how):
    text = token("panel:read", "panel:execute")
    options = {"header": dict(headers=[f"Authorization: Bearer {text}"]),
               "subprotocol": dict(protocols=f"nexus.v1, bearer.{text}"),
               "query": dict(path=f"/panels/counter/ws?token={text}")}
    if how == "ticket":
        answer = guarded.post("/panels/counter/ws-ticket", headers=bearer(text))
        ticket = answer.json()["ticket"]
        options["ticket"] = dict(path=f"/panels/counter/ws?ticket={ticket}")
    with WebSocket(guarded, **options[how]) as ws:
        assert ws.reply.status == 101
        assert text not in str(ws.reply.headers)
        ws.read()
        ws.send({"type": "TRIGGER", "tool": "increment", "requestId": "1"})
        assert ws.read_until("RESULT")[-1]["status"] == "success"
    if how == "ticket":  # once
        with WebSocket(guarded, **options[how]) as ws:
            assert ws.reply.status == 401
        assert not any(ticket in line for line in guarded.lines)
    assert not any(text in line for line in guarded.lines)


def test_a_token_in_the_query_only_where_that_is_allowed(tmp_path_factory):
    """Its control is above."""
    server = start_guarded(tmp_path_factory)
    text = token("panel:read")
    with WebSocket(server, path=f"/panels/counter/ws?token={text}") as ws:
        assert ws.reply.status == 401
    assert not any(text in line for line in server.lines)
    server.stop_cleanly()


def ask_ticket(server, *permissions):
    answer = server.post("/panels/counter/ws-ticket", headers=bearer(token(*permissions)))
    assert answer.status_code == 201
    assert answer.json()["expiresInMs"] == 30000
    return "/panels/{}/ws?ticket=" + answer.json()["ticket"]


def test_a_ticket_is_for_one_panel(port, guarded):
    with WebSocket(port, path=ask_ticket(guarded, "panel:read").format("counter")) as ws:
        assert ws.reply.status == 101
    path = ask_ticket(guarded, "panel:read")
    with WebSocket(port, path=path.format("other")) as ws:
        assert ws.reply.status == 401
    with WebSocket(port, path=path.format("counter")) as ws:  # it was tried: it is gone
        assert ws.reply.status == 401


def test_a_ticket_ends_with_its_token(guarded):
    # 30 s of leeway: a token that has been over for 28 is good for two more.
    short = bearer(token("panel:read", exp=int(time.time()) - 28))
    answers = [guarded.post("/panels/counter/ws-ticket", headers=short).json() for _ in range(2)]
    paths = ["/panels/counter/ws?ticket=" + answer["ticket"] for answer in answers]
    with WebSocket(guarded, path=paths[0]) as ws:
        assert ws.reply.status == 101
    wait_until(lambda: guarded.get("/panels", headers=short).status_code == 401)
    with WebSocket(guarded, path=paths[1]) as ws:
        assert ws.reply.status == 401


def test_a_ticket_can_do_what_its_token_can(guarded):
    assert guarded.post("/panels/counter/ws-ticket").status_code == 401
    answer = guarded.post("/panels/counter/ws-ticket", headers=bearer(token("panel:execute")))
    assert answer.status_code == 403
    for permissions, kind in ((["panel:read"], "ERROR"), (["panel:read", "panel:execute"], "RESULT")):
        with WebSocket(guarded, path=ask_ticket(guarded, *permissions).format("counter")) as ws:
            ws.read()
            ws.send({"type": "TRIGGER", "tool": "increment"})
            assert ws.read_until(kind)[-1]["type"] == kind


def test_one_bearer_cannot_take_all_tickets(guarded):
    """Past so many, its own oldest one goes."""
    greedy = token("panel:read", sub="greedy")
    first = guarded.post("/panels/counter/ws-ticket", headers=bearer(greedy)).json()["ticket"]
    other = ask_ticket(guarded, "panel:read")
    with requests.Session() as session:
        for _ in range(100):
            answer = session.post(guarded.url + "/panels/counter/ws-ticket", json={},
                                  headers=bearer(greedy))
            assert answer.status_code == 201
    last = answer.json()["ticket"]
    for path, status in ((f"/panels/counter/ws?ticket={first}", 401),
                         (f"/panels/counter/ws?ticket={last}", 101), (other.format("counter"), 101)):
        with WebSocket(guarded, path=path) as ws:
            assert ws.reply.status == status


def test_reading_is_not_executing(guarded):
    with WebSocket(guarded, protocols="bearer." + token("panel:read")) as ws:
        ws.read()
        error = ws.send({"type": "TRIGGER", "tool": "increment", "requestId": "1"}).read()
        assert (error["code"], error["requestId"]) == ("FORBIDDEN", "1")


def test_a_socket_ends_with_its_token(guarded):
    # 30 s of leeway: a token that has been over for 25 is good for five more.
    text = token("panel:read", exp=int(time.time()) - 25)
    with WebSocket(guarded, protocols="bearer." + text) as ws, \
            WebSocket(guarded, protocols="bearer." + token("panel:read")) as other:
        assert ws.read()["type"] == "CONNECTED" == other.read()["type"]
        assert ws.read_close() == 4401
        assert other.send({"type": "PING"}).read() == {"type": "PONG"}


def test_a_busy_socket_ends_with_its_token_as_well(guarded):
    text = token("panel:read", "panel:execute", exp=int(time.time()) - 25)
    with WebSocket(guarded, protocols="bearer." + text) as ws:
        succeeded = 0
        while True:
            try:
                ws.send({"type": "TRIGGER", "tool": "echo"})
            except ConnectionError:
                break
            opcode, payload = ws.read_frame()
            if opcode == CLOSE:
                assert int.from_bytes(payload[:2], "big") == 4401
                break
            succeeded += b'"success"' in payload
        assert succeeded  # the control: until then it could


def test_allowed_origins_may(guarded):
    with WebSocket(guarded, headers=["Origin: https://app.example"],
                   protocols="bearer." + token("panel:read")) as ws:
        assert ws.reply.status == 101


def test_ws_port_serves_sockets_alone(start):
    server = start(env={"WS_PORT": "0"})
    assert server.create().status_code == 201
    second = WsPort(server)
    with WebSocket(second) as ws, WebSocket(server) as first:
        assert ws.read() == first.read()
        ws.send({"type": "TRIGGER", "tool": "increment"})
        assert first.read()["type"] == "PATCH"
    assert requests.get(second.url + "/panels", timeout=60).status_code == 404
    assert requests.get(second.url + "/health", timeout=60).status_code == 200
