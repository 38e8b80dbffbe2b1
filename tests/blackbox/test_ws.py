# SPDX-License-Identifier: Apache-2.0
"""WebSockets: what clients may say, what they hear, and what breaks no server."""
import asyncio
import json
import signal
import struct
import time

import pytest
import websockets

from conftest import COUNTER, Server, Wire
from test_auth import SECRET, bearer, token
from ws_client import BINARY, CLOSE, PING, PONG, TEXT, WebSocket


@pytest.fixture
def open_ws(server):
    """Opens sockets on the counter panel and takes CONNECTED off."""
    opened = []

    def open_one(**options):
        ws = WebSocket(server, **options)
        opened.append(ws)
        assert ws.opened, ws.reply.body
        assert ws.read()["type"] == "CONNECTED"
        return ws
    yield open_one
    for ws in opened:
        ws.close()


# ---- The conversation --------------------------------------------------------------------------------

def test_connected_tells_the_state(server):
    with WebSocket(server, protocols="nexus.v1") as ws:
        assert ws.reply.headers["sec-websocket-protocol"] == "nexus.v1"
        assert ws.read() == {"type": "CONNECTED", "panelId": "counter", "version": 1,
                             "state": {"count": 0}}


def test_trigger_gives_patch_event_and_result_in_order(open_ws):
    ws, other = open_ws(), open_ws()
    ws.send({"type": "TRIGGER", "tool": "increment", "args": {"by": 5}, "requestId": "r1"})
    patch, event, result = ws.read(), ws.read(), ws.read()
    assert (patch["type"], patch["version"]) == ("PATCH", 2)
    assert patch["mutations"] == [{"operation": "set", "key": "count", "value": 5}]
    assert (event["type"], event["name"], event["payload"]) == ("EVENT", "incremented", 5)
    assert (result["type"], result["requestId"], result["returnValue"]) == ("RESULT", "r1", 5)
    # The other one watches, and gets no RESULT.
    assert [other.read()["type"] for _ in range(2)] == ["PATCH", "EVENT"]
    assert other.send({"type": "PING"}).read() == {"type": "PONG"}


def test_http_triggers_reach_watchers_with_versions_without_gaps(server, open_ws):
    ws = open_ws()
    for _ in range(20):
        assert server.trigger("counter", "increment").status_code == 200
    versions = [m["version"] for m in (ws.read() for _ in range(40)) if m["type"] == "PATCH"]
    assert versions == list(range(2, 22))


def test_suspension_gives_progress(open_ws):
    ws = open_ws()
    ws.send({"type": "TRIGGER", "tool": "nap", "args": {"ms": 20}, "requestId": "n"})
    progress = ws.read()
    assert (progress["type"], progress["status"]) == ("PROGRESS", "suspended")
    assert progress["suspension"]["calls"]
    assert [m["type"] for m in ws.read_until("RESULT")] == ["PATCH", "RESULT"]


def test_cancel_ends_a_suspended_trigger(open_ws, server):
    ws = open_ws()
    ws.send({"type": "TRIGGER", "tool": "nap", "args": {"ms": 20000}, "requestId": "n"})
    ws.read_until("PROGRESS")
    ws.send({"type": "CANCEL", "requestId": "n"})
    result = ws.read()
    assert (result["type"], result["error"]["code"]) == ("RESULT", "CANCELLED")
    assert server.get("/panels/counter/state").json()["state"] == {"count": 0}
    assert ws.send({"type": "CANCEL", "requestId": "n"}).read()["code"] == "INVALID_REQUEST"


def test_topics_and_keys(server, open_ws):
    ws = open_ws()
    ws.send({"type": "UNSUBSCRIBE", "topics": ["events"]})
    ws.send({"type": "SUBSCRIBE", "keys": ["other"]})
    ws.send({"type": "PING"})
    assert ws.read()["type"] == "PONG"
    server.trigger("counter", "increment")
    patch = ws.read()
    assert (patch["version"], patch["mutations"]) == (2, [])
    ws.send({"type": "SUBSCRIBE", "keys": ["count"]}).send({"type": "PING"})
    assert ws.read()["type"] == "PONG"
    server.trigger("counter", "increment")
    assert ws.read()["mutations"] == [{"operation": "set", "key": "count", "value": 2}]
    ws.send({"type": "UNSUBSCRIBE", "topics": ["state"]}).send({"type": "PING"})
    assert ws.read()["type"] == "PONG"
    server.trigger("counter", "increment")
    assert ws.send({"type": "PING"}).read()["type"] == "PONG"


def test_client_count_is_shown(server, open_ws):
    open_ws()
    second = open_ws()
    assert server.get("/panels/counter").json()["clientCount"] == 2
    second.close()
    deadline = time.monotonic() + 5
    while server.get("/panels/counter").json()["clientCount"] != 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_deleting_the_panel_closes_with_1000(server, open_ws):
    ws = open_ws()
    assert server.request("DELETE", "/panels/counter").status_code == 204
    assert ws.read()["type"] == "CLOSED"
    assert ws.read_close() == 1000


def test_server_stop_closes_with_1001(start):
    server = start()
    assert server.create().status_code == 201
    idle, busy = WebSocket(server), WebSocket(server)
    idle.read(), busy.read()
    busy.send({"type": "TRIGGER", "tool": "nap", "args": {"ms": 300}, "requestId": "n"})
    busy.read_until("PROGRESS")
    server.process.send_signal(signal.SIGTERM)
    assert idle.read_close() == 1001
    # What is in flight finishes first.
    assert busy.read_until("RESULT")[-1]["status"] == "success"
    assert busy.read_close() == 1001
    assert server.wait() == 0


# ---- Bad messages ------------------------------------------------------------------------------------

@pytest.mark.parametrize("message", [
    "", "nonsense", "[]", "1", '{"type":1}', '{"type":"TRIGGER"}', '{"type":"TRIGGER","tool":5}',
    '{"type":"TRIGGER","tool":""}', '{"type":"TRIGGER","tool":"increment","args":5}',
    '{"type":"TRIGGER","tool":"increment","requestId":5}',
    '{"type":"TRIGGER","tool":"increment","requestId":""}',
    json.dumps({"type": "TRIGGER", "tool": "increment", "requestId": "x" * 257}),
    '{"type":"TRIGGER","tool":"increment","args":{"by":"no number"}}',
    '{"type":"TRIGGER","tool":"missing"}', '{"type":"CANCEL"}', '{"type":"CANCEL","requestId":"x"}',
    '{"type":"SUBSCRIBE"}', '{"type":"SUBSCRIBE","topics":["all"]}',
    '{"type":"SUBSCRIBE","topics":"state"}', '{"type":"SUBSCRIBE","keys":[5]}',
    json.dumps({"type": "SUBSCRIBE", "keys": [f"k{i}" for i in range(257)]}),
    '{"type":"HELLO"}', "{" * 3000, "[" * 100000,
])
def test_bad_messages_get_an_error_and_change_nothing(server, open_ws, message):
    ws = open_ws()
    reply = ws.send_frame(TEXT, message).read()
    assert reply["type"] == "ERROR" and reply["code"] and reply["message"]
    assert ws.send({"type": "PING"}).read()["type"] == "PONG"
    assert server.get("/panels/counter/state").json()["version"] == 1


def test_a_request_id_is_used_once_at_a_time(open_ws):
    ws = open_ws()
    trigger = {"type": "TRIGGER", "tool": "nap", "args": {"ms": 100}, "requestId": "same"}
    ws.send(trigger).read_until("PROGRESS")
    assert ws.send(trigger).read()["code"] == "INVALID_REQUEST"
    ws.read_until("RESULT")
    ws.send({**trigger, "args": {"ms": 1}})
    assert ws.read_until("RESULT")[-1]["status"] == "success"


def test_triggers_of_one_socket_are_bounded(open_ws):
    ws = open_ws()
    for i in range(65):
        ws.send({"type": "TRIGGER", "tool": "nap", "args": {"ms": 300}, "requestId": str(i)})
    refused = ws.read_until("ERROR")[-1]
    assert (refused["code"], refused["requestId"]) == ("OVERLOADED", "64")


# ---- Bad frames --------------------------------------------------------------------------------------

@pytest.mark.parametrize("frame, code", [
    (dict(opcode=TEXT, payload="{}", masked=False), 1002),
    (dict(opcode=TEXT, payload="{}", rsv=4), 1002),
    (dict(opcode=3, payload=""), 1002),
    (dict(opcode=PING, payload="x" * 126), 1002),
    (dict(opcode=PING, payload="x", fin=False), 1002),
    (dict(opcode=0, payload="x"), 1002),
    (dict(opcode=TEXT, payload=b"\xff\xfe"), 1007),
    (dict(opcode=TEXT, payload=b"\xed\xa0\x80"), 1007),
    (dict(opcode=BINARY, payload=b"\0"), 1003),
    (dict(opcode=TEXT, payload=b"x", length=2 ** 20 + 1), 1009),
    (dict(opcode=TEXT, payload=b"x", length=2 ** 63 - 1), 1009),
    (dict(opcode=CLOSE, payload=struct.pack(">H", 1005)), 1002),
    (dict(opcode=CLOSE, payload=b"\x03"), 1002),
])
def test_bad_frames_close_that_socket_alone(server, open_ws, frame, code):
    ws, other = open_ws(), open_ws()
    ws.send_frame(**frame)
    # A frame that cannot be one at all ends the connection without a word.
    assert ws.read_end() in (code, None)
    assert other.send({"type": "PING"}).read()["type"] == "PONG"
    assert server.get("/health").status_code == 200


def test_fragments_pings_and_the_closing_handshake(open_ws):
    ws = open_ws()
    ws.send_frame(TEXT, '{"type":', fin=False)
    ws.send_frame(PING, "between")
    ws.send_frame(0, '"PING"}')
    assert ws.read_frame() == (PONG, b"between")
    assert ws.read() == {"type": "PONG"}
    ws.send_frame(CLOSE, struct.pack(">H", 1000))
    assert ws.read_close() == 1000
    assert ws.wire.at_end()


def test_a_flood_of_pings_is_answered_or_closed(server, open_ws):
    ws = open_ws()
    ws.wire.socket.settimeout(10)
    try:
        for _ in range(2000):
            ws.send_frame(PING, "x" * 100)
    except OSError:
        pass
    assert server.get("/health").status_code == 200


def test_messages_behind_the_request_are_not_lost(server):
    """Frames in the same bytes as the upgrade."""
    ws = WebSocket.__new__(WebSocket)
    ws.wire = Wire(server)
    mask = b"\0\0\0\0"
    frame = bytes([0x81, 0x80 | 15]) + mask + b'{"type":"PING"}'
    ws.wire.send(b"GET /panels/counter/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                 b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + frame)
    assert ws.wire.read().status == 101
    assert ws.read()["type"] == "CONNECTED"
    assert ws.read()["type"] == "PONG"
    ws.close()


# ---- Who may -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("headers, status", [
    (["Origin: http://evil.example"], 403), (["Origin: null"], 403), ([], 101),
])
def test_origins(server, headers, status):
    with WebSocket(server, headers=headers) as ws:
        assert ws.reply.status == status


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


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    secret = tmp_path_factory.mktemp("ws") / "secret"
    secret.write_text(SECRET + "\n")
    server = Server(env={"AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(secret),
                         "ALLOW_QUERY_TOKEN": "true", "LOG_LEVEL": "debug",
                         "CORS_ORIGINS": "https://app.example"})
    answer = server.post("/panels", data=COUNTER.encode(), headers={
        "Content-Type": "application/xml", **bearer(token("*"))})
    assert answer.status_code == 201
    yield server
    server.stop_cleanly()


def test_nobody_learns_which_panels_exist(guarded):
    for panel in ("counter", "missing"):
        with WebSocket(guarded, panel=panel, headers=["Origin: http://evil.example"]) as ws:
            assert ws.reply.status == 403
        with WebSocket(guarded, panel=panel) as ws:
            assert ws.reply.status == 401
        with WebSocket(guarded, panel=panel, protocols="bearer." + token()) as ws:
            assert ws.reply.status == 403
    with WebSocket(guarded, panel="missing", protocols="bearer." + token("panel:read")) as ws:
        assert ws.reply.status == 404


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
    assert not any(text in line for line in guarded.lines)


def test_a_ticket_is_for_one_panel(guarded):
    ticket = guarded.post("/panels/counter/ws-ticket", headers=bearer(token("panel:read"))).json()
    with WebSocket(guarded, path=f"/panels/other/ws?ticket={ticket['ticket']}") as ws:
        assert ws.reply.status == 401


def test_reading_is_not_executing(guarded):
    with WebSocket(guarded, protocols="bearer." + token("panel:read")) as ws:
        ws.read()
        error = ws.send({"type": "TRIGGER", "tool": "increment", "requestId": "1"}).read()
        assert (error["code"], error["requestId"]) == ("FORBIDDEN", "1")


def test_a_socket_ends_with_its_token(guarded):
    # 30 s of leeway: a token that has been over for 28 is good for two more.
    text = token("panel:read", exp=int(time.time()) - 28)
    with WebSocket(guarded, protocols="bearer." + text, seconds=20) as ws:
        assert ws.read()["type"] == "CONNECTED"
        assert ws.read_close() == 4401


def test_allowed_origins_may(guarded):
    with WebSocket(guarded, headers=["Origin: https://app.example"],
                   protocols="bearer." + token("panel:read")) as ws:
        assert ws.reply.status == 101


# ---- A client that somebody else wrote -------------------------------------------------------------------

def test_python_websockets(server):
    async def talk():
        url = server.url.replace("http", "ws") + "/panels/counter/ws"
        async with websockets.connect(url, subprotocols=["nexus.v1"]) as ws:
            assert ws.subprotocol == "nexus.v1"
            assert json.loads(await ws.recv())["type"] == "CONNECTED"
            await ws.send(json.dumps({"type": "TRIGGER", "tool": "increment", "requestId": "p"}))
            types = [json.loads(await ws.recv())["type"] for _ in range(3)]
            assert types == ["PATCH", "EVENT", "RESULT"]
            await asyncio.wait_for(await ws.ping(), 5)
    asyncio.run(talk())


def test_ws_port_serves_sockets_alone(start):
    server = start(env={"WS_PORT": "0"})
    assert server.create().status_code == 201
    url = server.wait_for_log("listening")["wsUrl"]
    assert url.startswith("ws://") and not url.endswith(f":{server.port}")

    class Second:
        port = int(url.rsplit(":", 1)[1])
        connect = Server.connect
    with WebSocket(Second()) as ws:
        assert ws.read()["type"] == "CONNECTED"
    import requests
    base = url.replace("ws://", "http://")
    assert requests.get(base + "/panels", timeout=5).status_code == 404
    assert requests.get(base + "/health", timeout=5).status_code == 200
