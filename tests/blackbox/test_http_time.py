# SPDX-License-Identifier: Apache-2.0
"""Clients that take their time: what each may take, and that nobody else waits for them. The server's
clock is made to run fast, so that its minutes pass in seconds."""
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import Wire, wait_until

HEAD = b"POST /panels/counter/trigger/measure HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="session", name="fast_clock")
def build_fast_clock(tmp_path_factory):
    library = tmp_path_factory.mktemp("clock") / "fast_clock.so"
    source = pathlib.Path(__file__).with_name("fast_clock.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, source], check=True)
    return library


@pytest.fixture(name="hurry")
def start_server_in_a_hurry(start, fast_clock):
    """(server, what makes its clock run fast, and as it should again): it starts in its own time."""
    server = start(env={"LD_PRELOAD": str(fast_clock),
                        # The sanitizer's run-time library does not mind to come second.
                        "ASAN_OPTIONS": "verify_asan_link_order=0"})
    assert server.create().status_code == 201
    return server, lambda: server.process.send_signal(signal.SIGUSR2)


def dripping(wire, stop):
    """Sends a byte now and then: that extends no limit."""
    while not stop.wait(0.02):
        try:
            wire.socket.send(b"x")
        except OSError:
            return


@pytest.mark.parametrize("beginning", [
    b"G", b"GET /health HTTP/1.1\r\nX: ", b"GET /health HTTP/1.1\r\nHost: h\r\n",
    HEAD + b"Content-Length: 100000\r\n\r\n{", HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n{"],
    ids=["line", "header", "headers", "body", "chunk"])
def test_slow_requests(hurry, beginning):
    server, change_pace = hurry
    stop = threading.Event()
    with Wire(server, 60) as slow:
        slow.send(beginning)
        drip = threading.Thread(target=dripping, args=(slow, stop))
        drip.start()
        try:
            assert server.trigger("counter", "increment").json()["returnValue"] == 1
            change_pace()
            answer = slow.read()
            change_pace()
        finally:
            stop.set()
            drip.join()
        assert (answer.status, answer.code, answer.headers["connection"]) == (408, "REQUEST_TIMEOUT", "close")
        assert slow.at_end()
    assert server.trigger("counter", "increment").json()["returnValue"] == 2
    server.stop_cleanly()


def test_idle_connections_end_without_a_word(hurry):
    server, change_pace = hurry
    with Wire(server, 60) as fresh, Wire(server, 60) as used:
        assert used.send(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n").read().status == 200
        change_pace()
        assert fresh.at_end() and used.at_end()
    server.stop_cleanly()


def test_clients_that_never_read(hurry):
    server, change_pace = hurry
    before = server.fds_at_rest()
    body = b'{"size":900000}'
    request = HEAD.replace(b"measure", b"big") + b"Content-Length: %d\r\n\r\n" % len(body) + body
    deaf = []
    for _ in range(3):
        wire = Wire(server, 60)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.append(wire.send(request * 20))
    assert server.trigger("counter", "increment").json()["returnValue"] == 1
    wait_until(lambda: server.fd_count() >= before + 3)
    change_pace()
    server.wait_for_fds(before + 1)
    change_pace()
    assert server.trigger("counter", "increment").json()["returnValue"] == 2
    for wire in deaf:
        wire.close()
    server.stop_cleanly()


def test_time_that_is_given(hurry):
    """The control: who is quick enough is served, and a handler's own time does not count."""
    server, _ = hurry
    with Wire(server, 60) as one:
        for _ in range(2):
            one.send(HEAD + b"Content-Length: 12\r\n\r\n")
            time.sleep(0.3)
            assert one.send(b'{"text":"x"}').read().json()["returnValue"] == 1
    server.stop_cleanly()
