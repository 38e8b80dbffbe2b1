# SPDX-License-Identifier: Apache-2.0
"""HTTP on the wire: framing, pipelining, limits, and clients that mean harm."""
import json
import signal
import socket
import threading
import time

import pytest

from conftest import Wire, processes, wait_until

GET = b"GET /panels/counter/state HTTP/1.1\r\nHost: h\r\n\r\n"
JSON = b"Content-Type: application/json\r\n"


def post(body=b"{}", path=b"/panels/counter/trigger/increment", headers=b""):
    return (b"POST " + path + b" HTTP/1.1\r\nHost: h\r\n" + JSON + headers +
            b"Content-Length: %d\r\n\r\n" % len(body) + body)


def count(server):
    return server.get("/panels/counter/state").json()["state"]["count"]


def test_keep_alive(wire):
    one = wire()
    for i in range(1, 6):
        response = one.send(post()).read()
        assert (response.status, response.json()["returnValue"]) == (200, i)
        assert "connection" not in response.headers


def test_close_is_honoured(wire):
    one = wire(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    response = one.read()
    assert (response.status, response.headers["connection"]) == (200, "close")
    assert one.at_end()


def test_http_1_0(wire):
    one = wire(b"GET /health HTTP/1.0\r\n\r\n")
    assert one.read().headers["connection"] == "close"
    assert one.at_end()


def test_any_cut_of_a_request(server, wire):
    request = post(b'{"by": 1}')
    for cut in range(1, len(request), 7):
        one = wire(request[:cut])
        time.sleep(0.002)
        assert one.send(request[cut:]).read().status == 200
        one.close()
    assert count(server) == len(range(1, len(request), 7))


def test_byte_by_byte(wire):
    one = wire()
    for byte in post() + GET:
        one.send(bytes([byte]))
    assert one.read().json()["returnValue"] == 1
    assert one.read().json()["state"] == {"count": 1}


def test_pipelining_keeps_order(wire):
    one = wire((post() + GET) * 50)
    for i in range(1, 51):
        assert one.read().json()["returnValue"] == i
        assert one.read().json()["state"] == {"count": i}


def test_pipelining_more_than_is_read_ahead(wire):
    padding = b"X-Padding: " + b"x" * 4000 + b"\r\n"
    one = wire(post(b'{"ms": 300}', b"/panels/counter/trigger/nap"))
    total = 200  # 800 KB while the first request is at work
    one.socket.setblocking(False)
    data, sent = post(headers=padding) * total, 0
    while sent < len(data):
        try:
            sent += one.socket.send(data[sent:])
        except BlockingIOError:
            time.sleep(0.01)
    one.socket.settimeout(30)
    assert one.read().json()["returnValue"] == "rested"
    for i in range(2, total + 2):
        assert one.read().json()["returnValue"] == i


def test_others_come_in_between_what_is_pipelined(start):
    """A single read holds a thousand requests: who asks meanwhile does not wait for all of them."""
    server = start(env={"LOG_LEVEL": "debug"})
    count = 1000
    with Wire(server) as flood, Wire(server) as other:
        for one in (other, flood):  # the last one is the first to be told of again
            assert one.send(b"GET /ready HTTP/1.1\r\nHost: h\r\n\r\n").read().status == 200
        server.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: processes()[server.process.pid][1] == "T")
        flood.send(b"".join(b"GET /health HTTP/1.1\r\nHost: h\r\nX-Request-Id: f%d\r\n\r\n" % i
                            for i in range(count)))
        other.send(b"GET /ready HTTP/1.1\r\nHost: h\r\nX-Request-Id: other\r\n\r\n")
        server.process.send_signal(signal.SIGCONT)
        assert other.read().status == 200
        assert [flood.read().headers["x-request-id"] for _ in range(count)] == [f"f{i}" for i in range(count)]
        wait_until(lambda: len(server.logs("request")) == count + 3)
    answered = [line["requestId"] for line in server.logs("request")]
    assert answered.index("other") < count // 2
    server.stop_cleanly()


def test_a_refused_body_keeps_no_connection(server, wire):
    """One that says nothing more, but does not go either, is closed soon: not when a body would be late."""
    before = server.fds_at_rest()
    chunked = post(headers=b"Transfer-Encoding: chunked\r\n").replace(b"Content-Length: 2\r\n", b"")
    one = wire(chunked.replace(b"{}", b"x"))
    assert one.read().status == 400
    server.wait_for_fds(before, seconds=20)


def test_pipelining_more_than_a_connection_may_keep(wire):
    """Each request goes through the sandbox: many come meanwhile, of which only so many are read ahead."""
    one = wire(seconds=20)
    data, total = post(headers=b"X-Padding: " + b"x" * 8000 + b"\r\n"), 3000
    sender = threading.Thread(target=lambda: one.send(data * total))
    sender.start()
    answers = [one.read().json()["returnValue"] for _ in range(total)]
    sender.join()
    assert answers == list(range(1, total + 1))


def long_text(size, seed):
    """Text in which every place differs from what stands a piece or a buffer further on."""
    return "".join(f"{seed + at:x}." for at in range(0, size * 7, 7))[:size]


@pytest.mark.parametrize("piece", [7000, 16384, 65536, 1 << 20])
def test_large_bodies_come_in_pieces(wire, piece):
    """Whatever of a body is read at once, and wherever it is put, the handler gets it as it was."""
    one = wire()
    for size in (16000, 16384, 65400, 65536, 200000, 900000):
        text = long_text(size, piece)
        data = post(json.dumps({"text": text}).encode(), b"/panels/counter/trigger/echo") + GET
        for at in range(0, len(data), piece):
            one.send(data[at:at + piece])
        assert one.read().json()["returnValue"]["args"] == {"text": text}
        assert one.read().json()["state"] == {"count": 0}  # what came right behind it


def test_many_large_bodies_at_once(wire):
    texts = [long_text(300000, number << 24) for number in range(16)]
    bodies = [post(json.dumps({"text": text}).encode(), b"/panels/counter/trigger/echo") for text in texts]
    every = [wire() for _ in bodies]
    for at in range(0, max(map(len, bodies)), 30000):
        for one, body in zip(every, bodies):
            one.send(body[at:at + 30000])
    for one, text in zip(every, texts):
        assert one.read().json()["returnValue"]["args"] == {"text": text}


def test_bodies_that_never_end_are_held_up_to_a_cap(server, wire):
    """Past it those that have kept the server waiting for longest are closed, not those who come."""
    text = b"x" * 900000
    whole = post(b'{"text":"' + text + b'"}', b"/panels/counter/trigger/measure")
    hogs = []
    while len(hogs) < 300:  # a megabyte is kept for each
        hogs.append(wire(whole[:300000], seconds=20))
        if len(hogs) % 10 == 0:  # a head that comes in two pieces has to be kept as well
            between = wire(post()[:30])
            time.sleep(0.001)
            assert between.send(post()[30:]).read().status == 200
    assert hogs[0].at_end()
    assert hogs[-1].send(whole[300000:]).read().json()["returnValue"] == len(text)


def test_what_comes_behind_requests_at_work_is_held_up_to_the_same_cap(wire):
    """A byte behind a large request keeps all its room, for as long as its result takes: that shuts out nobody."""
    for size in [1 << 20] * 125 + [400000] * 25:  # two megabytes are kept for each, then half a one
        body = b'{"ms": 60000}'.ljust(size)
        chunked = post(b"", b"/panels/counter/trigger/nap",
                       b"Idempotency-Key: k%d\r\nTransfer-Encoding: chunked\r\n" % size)
        wire(chunked.replace(b"Content-Length: 0\r\n", b"") + b"%x\r\n%s\r\n0\r\n\r\nP" % (size, body))
        between = wire(GET[:30])
        time.sleep(0.001)
        assert between.send(GET[30:]).read().status == 200
    text = b"x" * 900000
    whole = post(b'{"text":"' + text + b'"}', b"/panels/counter/trigger/measure")
    other = wire(whole[:300000])
    time.sleep(0.001)
    assert other.send(whole[300000:]).read().json()["returnValue"] == len(text)


def test_others_come_in_between_large_bodies_that_are_there_at_once(start):
    """Of the first much is read, of the others little: those who ask for little are not behind them."""
    server = start(env={"LOG_LEVEL": "debug"})
    assert server.create().status_code == 201
    body = b'{"text":"' + b"x" * 50000 + b'"}'
    every, ids = [Wire(server) for _ in range(20)], set()
    with Wire(server) as other:
        for one in (other, *every, *[every[0]] * 100):  # all are accepted, and the others idle for long
            assert one.send(b"GET /ready HTTP/1.1\r\nHost: h\r\n\r\n").read().status == 200
        server.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: processes()[server.process.pid][1] == "T")
        for number, one in enumerate(every):
            ids.add(f"body{number}")
            one.send(post(body, b"/panels/counter/ws-ticket", b"X-Request-Id: body%d\r\n" % number))
        other.send(b"GET /ready HTTP/1.1\r\nHost: h\r\nX-Request-Id: other\r\n\r\n")
        server.process.send_signal(signal.SIGCONT)
        assert [one.read().status for one in (other, *every)] == [200] + [201] * len(every)
        wait_until(lambda: ids < {line["requestId"] for line in server.logs("request")})
    answered = [line["requestId"] for line in server.logs("request")]
    assert len(ids.intersection(answered[:answered.index("other")])) < len(every) // 2
    for one in every:
        one.close()
    server.stop_cleanly()


def test_many_who_connect_at_once(server, wire):
    """More than are accepted in one turn of the loop; one who was there goes on meanwhile."""
    there = wire(GET)
    assert there.read().status == 200
    every = [wire() for _ in range(300)]
    for one in every:
        one.send(post())
    assert there.send(GET).read().status == 200
    assert sorted(one.read().json()["returnValue"] for one in every) == list(range(1, 301))


def test_half_closed_client_gets_its_replies(wire):
    one = wire(post() + post())
    one.socket.shutdown(socket.SHUT_WR)
    assert [one.read().json()["returnValue"] for _ in range(2)] == [1, 2]
    assert one.at_end()


def test_chunked_body(wire):
    head = (b"POST /panels/counter/trigger/increment HTTP/1.1\r\nHost: h\r\n" + JSON +
            b"Transfer-Encoding: chunked\r\n\r\n")
    one = wire(head + b"4\r\n{\"by\r\n5\r\n\": 7}\r\n0\r\n\r\n" + GET)
    assert one.read().json()["returnValue"] == 7
    assert one.read().json()["state"] == {"count": 7}
    body = b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    for i in range(len(body)):
        one.send(head + body[:i])
        time.sleep(0.002)
        assert one.send(body[i:]).read().json()["returnValue"] == 8 + i


def test_expect_continue(wire):
    one = wire(post(b'{"by": 2}', headers=b"Expect: 100-continue\r\n")[:-9])
    assert one.received.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert one.received.readline() == b"\r\n"
    assert one.send(b'{"by": 2}').read().json()["returnValue"] == 2


def test_expect_continue_is_refused_before_the_body(wire):
    request = post(headers=b"Expect: 100-continue\r\n").replace(b"/counter/", b"/c.c/")[:-2]
    assert wire(request).read().status == 400


def test_head_and_empty_bodies_keep_framing(wire):
    head = GET.replace(b"GET", b"HEAD")
    options = GET.replace(b"GET", b"OPTIONS")
    not_modified = GET.replace(b"\r\n\r\n", b"\r\nIf-None-Match: *\r\n\r\n")
    one = wire(head + options + not_modified + GET)
    assert one.read(has_body=False).status == 200
    assert one.read().status == 204
    assert one.read(has_body=False).status == 304
    assert one.read().json()["state"] == {"count": 0}


SMUGGLED = b"DELETE /panels/counter HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("headers", [
    b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
    b"Content-Length: 2\r\nContent-Length: 2\r\n",
    b"Content-Length: 2\r\nContent-Length: 0\r\n",
    b"Content-Length: 2, 2\r\n",
    b"Content-Length: +2\r\n",
    b"Content-Length: 0x2\r\n",
    b"Content-Length : 2\r\n",
    b"X: y\r\n Content-Length: 2\r\n",
    b"X: y\nContent-Length: 2\r\n",
    b"X: y\rContent-Length: 2\r\n",
    b"X: y\0\r\nContent-Length: 2\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Host: other\r\n",
    b"Content-Length: 18446744073709551618\r\n",
])
def test_ambiguous_requests_end_the_connection(server, wire, headers):
    for body in (b"{}", b"0\r\n\r\n"):
        one = wire(b"POST /panels/counter/trigger/increment HTTP/1.1\r\nHost: h\r\n" + JSON + headers +
                   b"\r\n" + body + SMUGGLED)
        response = one.read()
        assert response.status in (400, 501), response.body
        assert response.headers["connection"] == "close"
        assert response.code == "INVALID_REQUEST"
        assert one.at_end()
    assert count(server) == 0  # neither ran, and the panel is still there


@pytest.mark.parametrize("chunks", [
    b"2;x=y\r\n{}\r\n0\r\n\r\n", b"2\n{}\r\n0\r\n\r\n", b"ffffffffffffffff\r\n{}", b"2\r\n{}0\r\n\r\n",
    b"2\r\n{}\r\n0\r\nX: y\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n",
])
def test_bad_chunks_end_the_connection(server, wire, chunks):
    one = wire(b"POST /panels/counter/trigger/increment HTTP/1.1\r\nHost: h\r\n" + JSON +
               b"Transfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED)
    assert one.read().status in (400, 413)
    assert one.at_end()
    assert count(server) == 0


@pytest.mark.parametrize("request_line, status", [
    (b"GET //panels HTTP/1.1", 404),
    (b"GET /panels/../health HTTP/1.1", 404),
    (b"GET /panels/%2e%2e%2fhealth HTTP/1.1", 400),
    (b"GET /panels/counter%2fstate HTTP/1.1", 400),
    (b"GET /panels/%63ounter HTTP/1.1", 200),
    (b"GET /panels/%2563ounter HTTP/1.1", 400),
    (b"GET http://evil.example/panels/counter HTTP/1.1", 200),
    (b"GET ftp://evil.example/panels/counter HTTP/1.1", 404),
    (b"GET panels HTTP/1.1", 404),
    (b"GET /panels/counter HTTP/1.1 x", 400),
    (b"GET /panels/counter", 400),
    (b"GET /panels/counter HTTP/3.0", 505),
    (b"CONNECT h:1 HTTP/1.1", 404),
    (b"OPTIONS * HTTP/1.1", 204),
    (b"GET * HTTP/1.1", 400),
    (b"PRI * HTTP/2.0", 505),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1", 414),
])
def test_request_lines(wire, request_line, status):
    assert wire(request_line + b"\r\nHost: h\r\n\r\n").read().status == status


def test_oversized_heads(wire):
    for request, status in ((b"GET /health HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 17000, 431),
                            (b"GET /health HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
                            (b"G" * 17000, 414)):
        one = wire(request)
        response = one.read()
        assert (response.status, response.headers["connection"]) == (status, "close")
        assert one.at_end()


def test_body_limit_is_judged_by_its_announcement(wire):
    one = wire(b"POST /panels HTTP/1.1\r\nHost: h\r\n" + JSON + b"Content-Length: 1048577\r\n\r\n")
    response = one.read()
    assert (response.status, response.code) == (413, "RESOURCE_LIMIT")
    assert one.at_end()


def test_body_limit_is_exact(wire):
    body = json.dumps({"text": ""}).encode()
    full = body[:-2] + b"x" * (1048576 - len(body)) + body[-2:]
    measure = b"/panels/counter/trigger/measure"
    response = wire(post(full, measure)).read()
    assert response.status == 200
    assert response.json()["returnValue"] == 1048576 - len(body)
    assert wire(post(full + b" ", measure)).read().status == 413


def test_body_limit_of_chunked_bodies(wire):
    one = wire(b"POST /panels/counter/trigger/echo HTTP/1.1\r\nHost: h\r\n" + JSON +
               b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    response = None
    for _ in range(17):
        one.send(chunk)
    response = one.read()
    assert (response.status, response.code) == (413, "RESOURCE_LIMIT")
    assert one.at_end()


def test_large_reply_to_a_slow_reader(wire):
    size = 900 * 1024
    one = wire()
    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    one.send(post(b'{"size": %d}' % size, b"/panels/counter/trigger/big") * 5 + GET)
    time.sleep(0.3)
    for _ in range(5):
        assert len(one.read().json()["returnValue"]) == size
    assert one.read().json()["state"] == {"count": 0}


@pytest.mark.parametrize("given", ["a" * 129, "a b", "a\x7fb", "\u00e9", ""])
def test_request_ids_that_cannot_be_echoed(wire, given):
    one = wire(b"GET /health HTTP/1.1\r\nHost: h\r\nX-Request-Id: " + given.encode() + b"\r\n\r\n")
    response = one.read()
    if response.status == 200:
        assert response.headers["x-request-id"] != given
        assert len(response.headers["x-request-id"]) == 24


def test_request_ids_are_echoed_or_made(wire):
    longest = "~!" * 64
    one = wire(b"GET /health HTTP/1.1\r\nHost: h\r\nX-Request-Id: " + longest.encode() + b"\r\n\r\n")
    assert one.read().headers["x-request-id"] == longest
    made = {one.send(GET).read().headers["x-request-id"] for _ in range(20)}
    assert len(made) == 20


# ---- Clients that go away ----------------------------------------------------------------------------

def test_execution_goes_on_without_its_client(server, wire):
    for number, linger in enumerate((False, True)):
        one = wire(post(b'{"ms": 500}', b"/panels/counter/trigger/nap"))
        # It has begun, and is not over unless this came late.
        wait_until(lambda: server.figure('nexus_instances{state="suspended"}') == 1 or count(server) > number)
        if linger:  # a reset instead of an orderly end
            one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()
        wait_until(lambda: count(server) > number)
    assert count(server) == 2


def test_clients_that_leave_at_any_moment_leave_nothing_behind(server, wire):
    before = server.fds_at_rest()
    request = post()
    for cut in list(range(0, len(request) + 1, 5)) * 3:
        one = wire(request[:cut])
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()
    one = None
    server.wait_for_fds(before + 1)
    assert server.get("/health").status_code == 200


def test_panel_deleted_under_its_triggers(server, wire):
    waiting = [wire(post(b'{"ms": 25000}', b"/panels/counter/trigger/nap")) for _ in range(5)]
    wait_until(lambda: server.get("/panels/counter").json()["status"] == "suspended")
    assert server.request("DELETE", "/panels/counter").status_code == 204
    for one in waiting:
        result = one.read().json()
        assert (result["status"], result["error"]["code"]) == ("error", "CANCELLED")
