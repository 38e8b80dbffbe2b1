# SPDX-License-Identifier: Apache-2.0
"""WebSockets: what time does to them. The server's clock is libfaketime's, which the tests set on."""
import glob
import os
import struct
import time

import pytest
import requests

from conftest import COUNTER
from test_auth import SECRET, bearer, token
from ws_client import CLOSE, PING, PONG, WebSocket

LIBRARY = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")


@pytest.fixture
def later(tmp_path, start):
    """A server with tokens, and a function that lets seconds pass for it."""
    assert LIBRARY, "libfaketime is missing: scripts/install-deps.sh test"
    clock, secret = tmp_path / "clock", tmp_path / "secret"
    clock.write_text("+0\n")
    secret.write_text(SECRET + "\n")
    server = start(env={
        "AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(secret),
        "LD_PRELOAD": LIBRARY[0], "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        # Sanitizers want to be first, and need not be.
        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"})
    answer = server.post("/panels", data=COUNTER.encode(), headers={
        "Content-Type": "application/xml", **bearer(token("*"))})
    assert answer.status_code == 201, answer.text
    passed = 0

    def pass_seconds(seconds):
        nonlocal passed
        passed += seconds
        new = tmp_path / "new"
        new.write_text(f"+{passed}\n")
        new.rename(clock)
    server.pass_seconds = pass_seconds
    yield server
    server.stop_cleanly()


def open_socket(server, **options):
    ws = WebSocket(server, protocols="bearer." + token("panel:read", "panel:execute", **options))
    assert ws.opened
    assert ws.read()["type"] == "CONNECTED"
    return ws


def answer_ping(ws):
    """And until the server has that, no time passes."""
    assert ws.read_frame() == (PING, b"")
    assert ws.send_frame(PONG).send({"type": "PING"}).read() == {"type": "PONG"}


def test_silent_sockets_are_pinged_and_then_closed(later):
    silent, answering = open_socket(later), open_socket(later)
    for _ in range(3):
        later.pass_seconds(31)
        answer_ping(answering)
    assert silent.read_frame() == (PING, b"")
    assert silent.read_frame() is None  # no word to somebody who is not there
    assert later.get("/panels/counter", headers=bearer(token("*"))).json()["clientCount"] == 1


def test_a_silent_close_is_not_waited_for(later):
    """A client that does not answer the server's close frame."""
    ws = open_socket(later)
    ws.send_frame(2, b"")
    assert ws.read_close() == 1003
    later.pass_seconds(6)
    assert ws.read_frame() is None


def test_a_token_ends_its_socket_when_it_ends(later):
    short, long = open_socket(later, exp=token_time(60)), open_socket(later, exp=token_time(3600))
    later.pass_seconds(60)  # the leeway is 30 s
    answer_ping(short), answer_ping(long)
    later.pass_seconds(31)
    assert short.read_close() == 4401
    short.send_frame(CLOSE, struct.pack(">H", 4401))
    assert short.wire.at_end()
    assert long.read_frame() == (PING, b"")


def token_time(seconds):
    return int(time.time()) + seconds


@pytest.mark.parametrize("seconds, status", [(20, 101), (31, 401)])  # some pass by themselves
def test_a_ticket_is_good_for_thirty_seconds(later, seconds, status):
    answer = requests.post(later.url + "/panels/counter/ws-ticket", headers=bearer(token("panel:read")),
                           timeout=60)
    later.pass_seconds(seconds)
    with WebSocket(later, path="/panels/counter/ws?ticket=" + answer.json()["ticket"]) as ws:
        assert ws.reply.status == status
