# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client that can break every rule: the tests write its frames themselves."""
import base64
import json
import os
import struct

import pytest

from conftest import Wire

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame_bytes(opcode, payload=b"", fin=True, rsv=0, masked=True, length=None):
    """A frame; `length` is what it says of itself, if not the truth."""
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65536:
        head += bytes([mask_bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + data
    key = os.urandom(4)
    repeated = (key * (len(data) // 4 + 1))[:len(data)]
    return head + key + (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(
        len(data), "big")


class WebSocket:
    """A socket on a panel. `opened` is false if the server answered with something else."""

    def __init__(self, server, panel="counter", path=None, headers=(), protocols=None, seconds=30):
        self.wire = Wire(server, seconds)
        path = path or f"/panels/{panel}/ws"
        lines = [f"GET {path} HTTP/1.1", "Host: test", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(), *headers]
        if protocols:
            lines.append("Sec-WebSocket-Protocol: " + protocols)
        self.wire.send("\r\n".join(lines) + "\r\n\r\n")
        self.reply = self.wire.read()
        self.opened = self.reply.status == 101

    def send_frame(self, *arguments, **options):
        self.wire.send(frame_bytes(*arguments, **options))
        return self

    def send(self, message):
        return self.send_frame(TEXT, json.dumps(message))

    def read_frame(self):
        """(opcode, payload), or None at the end of the connection."""
        try:
            head = self.wire.received.read(2)
            if len(head) < 2:
                return None
            assert head[0] & 0x70 == 0, "a reserved bit"
            assert head[1] & 0x80 == 0, "a server masks nothing"
            size = head[1] & 0x7f
            if size == 126:
                size = struct.unpack(">H", self.wire.received.read(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.wire.received.read(8))[0]
            return head[0] & 15, self.wire.received.read(size)
        except ConnectionResetError:
            return None

    def read(self):
        """The next message, as JSON."""
        opcode, payload = self.read_frame()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    def read_until(self, kind):
        """Messages up to the first of type `kind`, which comes last."""
        messages = [self.read()]
        while messages[-1]["type"] != kind:
            messages.append(self.read())
        return messages

    def read_close(self):
        """The close code, past whatever comes before it."""
        while True:
            frame = self.read_frame()
            assert frame is not None, "the connection ended without a close frame"
            if frame[0] == CLOSE:
                return struct.unpack(">H", frame[1][:2])[0] if frame[1] else None

    def close(self):
        self.wire.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


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
