# SPDX-License-Identifier: Apache-2.0
"""WebSockets: messages that say nothing, and frames that break the rules of RFC 6455."""
import json
import struct

import pytest

from conftest import Wire
from ws_client import (BINARY, CLOSE, PING, PONG, TEXT, WebSocket, frame_bytes,
                       open_ws)  # noqa: F401 (a fixture)

LIMIT = 2 ** 20  # BODY_LIMIT


def alive(ws):
    return ws.send({"type": "PING"}).read() == {"type": "PONG"}


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
    trigger = {"type": "TRIGGER", "tool": "nap", "args": {"ms": 25000}, "requestId": "same"}
    ws.send(trigger).read_until("PROGRESS")
    assert ws.send(trigger).read()["code"] == "INVALID_REQUEST"
    ws.send({"type": "CANCEL", "requestId": "same"}).read_until("RESULT")
    ws.send({**trigger, "args": {"ms": 1}})
    assert ws.read_until("RESULT")[-1]["status"] == "success"


def test_triggers_of_one_socket_are_bounded(open_ws):
    ws = open_ws()
    for i in range(65):
        ws.send({"type": "TRIGGER", "tool": "nap", "args": {"ms": 25000}, "requestId": str(i)})
    refused = ws.read_until("ERROR")[-1]
    assert (refused["code"], refused["requestId"]) == ("OVERLOADED", "64")


# ---- Bad frames --------------------------------------------------------------------------------------

RAW = {  # frames that the client's own functions do not write
    "a length of 2^63": b"\x81\xff" + struct.pack(">Q", 2 ** 63) + b"\0\0\0\0",
    "a long form of a short length": b"\x81\xfe\0\x02\0\0\0\0{}",
    "a longer form of it": b"\x81\xff" + struct.pack(">Q", 2) + b"\0\0\0\0{}",
}


@pytest.mark.parametrize("frames, code", [
    ([dict(opcode=TEXT, payload="{}", masked=False)], 1002),
    *[([dict(opcode=TEXT, payload="{}", rsv=rsv)], 1002) for rsv in (1, 2, 4)],
    *[([dict(opcode=opcode, payload="")], 1002) for opcode in (3, 7, 11, 15)],
    ([dict(opcode=PING, payload="x" * 126)], 1002),
    ([dict(opcode=PING, payload="x", fin=False)], 1002),
    ([dict(opcode=CLOSE, payload=b"", fin=False)], 1002),
    ([dict(opcode=0, payload="x")], 1002),
    ([dict(opcode=TEXT, payload="{", fin=False), dict(opcode=TEXT, payload="}")], 1002),
    ([dict(opcode=TEXT, payload=b"\xff\xfe")], 1007),
    ([dict(opcode=TEXT, payload=b"\xed\xa0\x80")], 1007),
    ([dict(opcode=TEXT, payload=b'"\xc3')], 1007),
    ([dict(opcode=TEXT, payload=b'"\xc3', fin=False), dict(opcode=0, payload=b'x"')], 1007),
    ([dict(opcode=BINARY, payload=b"\0")], 1003),
    ([dict(opcode=TEXT, payload=b"x", length=LIMIT + 1)], 1009),
    ([dict(opcode=TEXT, payload=b"x", length=2 ** 63 - 1)], 1009),
    ([dict(opcode=TEXT, payload=b"x" * LIMIT, fin=False), dict(opcode=0, payload=b"x")], 1009),
    ([dict(opcode=TEXT, payload=b"x" * 10, fin=False), dict(opcode=0, payload=b"x", length=2 ** 63 - 1)],
     1009),
    ([dict(opcode=CLOSE, payload=struct.pack(">H", 1005))], 1002),
    ([dict(opcode=CLOSE, payload=struct.pack(">H", 999))], 1002),
    ([dict(opcode=CLOSE, payload=b"\x03")], 1002),
    ([dict(opcode=CLOSE, payload=struct.pack(">H", 1000) + b"\xff")], 1007),
    *[([raw], 1002) for raw in RAW.values()],
])
def test_bad_frames_close_that_socket_alone(server, open_ws, frames, code):
    ws, other = open_ws(), open_ws()
    for frame in frames:
        ws.wire.send(frame if isinstance(frame, bytes) else frame_bytes(**frame))
    assert ws.read_close() == code
    if code == 1003:  # understood, not wanted: the server waits for the answer
        ws.send_frame(CLOSE, struct.pack(">H", code))
    assert ws.wire.at_end()
    assert alive(other)
    assert server.get("/health").status_code == 200


def test_the_same_frames_without_their_faults(open_ws):
    """The control of the test above."""
    ws = open_ws()
    assert alive(ws)
    ws.send_frame(PING, "x" * 125)
    assert ws.read_frame() == (PONG, b"x" * 125)
    ws.send_frame(TEXT, b'"\xc3', fin=False).send_frame(0, b'\xa9"')  # a character in two frames
    assert ws.read()["type"] == "ERROR"
    message = '{"type":"PING","padding":"'
    message += "x" * (LIMIT - len(message) - 2) + '"}'
    assert ws.send_frame(TEXT, message).read() == {"type": "PONG"}
    ws.send_frame(TEXT, message[:LIMIT // 2], fin=False).send_frame(0, message[LIMIT // 2:])
    assert ws.read() == {"type": "PONG"}
    ws.send_frame(CLOSE, struct.pack(">H", 4000) + "né".encode())
    assert ws.read_close() == 4000
    assert ws.wire.at_end()


def test_fragments_pings_and_the_closing_handshake(open_ws):
    ws = open_ws()
    ws.send_frame(TEXT, '{"type":', fin=False)
    ws.send_frame(PING, "between")
    ws.send_frame(0, b"", fin=False)
    ws.send_frame(0, '"PING"}')
    assert ws.read_frame() == (PONG, b"between")
    assert ws.read() == {"type": "PONG"}
    ws.send_frame(CLOSE, struct.pack(">H", 1000))
    assert ws.read_close() == 1000
    assert ws.wire.at_end()


def test_a_close_without_a_code_is_answered_alike(open_ws):
    ws = open_ws()
    ws.send_frame(CLOSE, b"")
    assert ws.read_frame() == (CLOSE, b"")
    assert ws.wire.at_end()


TRIGGER = frame_bytes(TEXT, json.dumps({"type": "TRIGGER", "tool": "increment"}))


@pytest.mark.parametrize("first, code", [
    (frame_bytes(CLOSE, struct.pack(">H", 1000)), 1000),  # the client's
    (frame_bytes(BINARY, b"\0"), 1003),                   # the server's
    (frame_bytes(TEXT, b"\xff"), 1007),
    (frame_bytes(PING, b"", fin=False), 1002),
])
def test_nothing_said_after_a_close_is_heard(server, open_ws, first, code):
    ws = open_ws()
    ws.wire.send(first + TRIGGER)
    assert ws.read_close() == code
    assert server.get("/panels/counter/state").json()["version"] == 1
    # The control: said alone, it is.
    open_ws().wire.send(TRIGGER)
    other = open_ws()
    assert other.send({"type": "TRIGGER", "tool": "increment"}).read_until("RESULT")[-1]["returnValue"] == 2


def test_frames_byte_by_byte(open_ws):
    ws = open_ws()
    for byte in frame_bytes(TEXT, '{"type":"PING"}') + frame_bytes(PING, "p"):
        ws.wire.send(bytes([byte]))
    # Control frames may overtake messages.
    assert sorted([ws.read_frame(), ws.read_frame()]) == [(TEXT, b'{"type":"PONG"}'), (PONG, b"p")]


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
