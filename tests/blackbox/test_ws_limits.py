# SPDX-License-Identifier: Apache-2.0
"""WebSockets: clients that do not read, that say too much, that are many. They pay for it themselves:
beside each of them another one, and HTTP, go on."""
import json
import os
import resource
import signal
import socket
import struct

import prometheus
import pytest
import requests

from conftest import Wire, processes, wait_until
from ws_client import CLOSE, PING, PONG, TEXT, WebSocket, frame_bytes, open_ws  # noqa: F401 (a fixture)

BLOB = 100_000  # bytes of what `fill` and `shout` send
LOUD = """<NexusPanel id="loud"><Data><State name="blob" type="string"/></Data><Logic>
  <Capabilities>
    <Capability type="state:read" scope="*"/><Capability type="state:write" scope="*"/>
    <Capability type="events:emit" scope="*"/>
  </Capabilities>
  <Tool name="fill"><Handler>
    $state.blob = String($args.n).padStart(8) + 'x'.repeat(%d);
  </Handler></Tool>
  <Tool name="shout"><Handler>$emit('shouted', 'x'.repeat(%d));</Handler></Tool>
  <Tool name="whisper"><Handler>
    for (let i = 0; i != $args.times; i++) $emit('whispered', i);
  </Handler></Tool>
</Logic></NexusPanel>
""" % (BLOB, BLOB)


class Deaf(WebSocket):
    """A client that has room for little and reads nothing until it is told to."""

    class Connect:
        def __init__(self, server):
            self.port = server.port

        def connect(self, seconds):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
            one.settimeout(seconds)
            one.connect(("127.0.0.1", self.port))
            return one

    def __init__(self, server, panel="loud", **options):
        super().__init__(self.Connect(server), panel=panel, seconds=30, **options)
        assert self.opened
        self.connected = self.read()


@pytest.fixture
def loud(server):
    assert server.create(LOUD).status_code == 201
    return server


@pytest.fixture
def call(loud):
    with requests.Session() as session:
        def call_one(tool, **arguments):
            answer = session.post(f"{loud.url}/panels/loud/trigger/{tool}", json=arguments, timeout=60)
            assert answer.json()["status"] == "success", answer.text
        yield call_one


def dropped(server):
    return prometheus.read(server.get("/metrics").text)["nexus_ws_dropped_total"].value()


def memory_bytes(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def sanitized():
    return "asan" in os.environ.get("NX_BUILD_DIR", "")


def test_many_that_listen_all_hear_all(loud, call):
    """More sockets, and more for each, than is written in one turn of the loop; others go on meanwhile."""
    sockets = [WebSocket(loud, panel="loud") for _ in range(150)]
    for _ in range(3):
        call("shout")
        call("whisper", times=100)
        assert loud.get("/ready").status_code == 200
    for one in sockets:
        one.read()
        for _ in range(3):
            assert one.read()["name"] == "shouted"
            assert [one.read()["payload"] for _ in range(100)] == list(range(100))
        one.close()
    assert dropped(loud) == 0


# ---- Clients that do not read ------------------------------------------------------------------------

def test_patches_that_nobody_takes_become_one_resync(loud, call):
    with Deaf(loud) as deaf, WebSocket(loud, panel="loud") as other:
        other.read()
        for n in range(60):
            call("fill", n=n)
            assert other.read()["version"] == n + 2
        heard = deaf.read_until("RESYNC")
        # First what had been on its way, without a gap; then the state as it is, in one message.
        assert [m["version"] for m in heard[:-1]] == list(range(2, len(heard) + 1))
        assert len(heard) < 40
        assert heard[-1]["version"] == 61 and heard[-1]["state"]["blob"].startswith("      59x")
        call("fill", n=60)
        assert (deaf.read()["version"], other.read()["version"]) == (62, 62)
    assert dropped(loud) == 0


def test_who_takes_nothing_at_all_is_closed_with_1013(loud, call):
    call("shout")  # its connection stays
    before = loud.fds_at_rest()
    with Deaf(loud) as deaf, WebSocket(loud, panel="loud") as other:
        other.read()
        for _ in range(30):
            call("shout")
            assert other.read()["name"] == "shouted"
        wait_until(lambda: dropped(loud) == 1)
        assert deaf.read_close() == 1013
        assert other.send({"type": "PING"}).read() == {"type": "PONG"}
    loud.wait_for_fds(before)


def test_the_queue_is_capped_in_messages_too(loud, call):
    """Small ones: a thousand of them are few bytes."""
    count = dropped(loud)
    with Deaf(loud) as deaf:
        for _ in range(3):  # the socket is full, and less than the cap is queued
            call("shout")
        for _ in range(9):
            call("whisper", times=100)
        assert dropped(loud) == count
        call("whisper", times=100)
        call("whisper", times=100)
        wait_until(lambda: dropped(loud) == count + 1)
        assert deaf.read_close() == 1013


def test_nothing_is_read_from_who_does_not_read(loud, call):
    """So it cannot have the server make ever more answers for it."""
    with Deaf(loud) as deaf:
        for _ in range(5):
            call("shout")
        deaf.wire.socket.settimeout(1)
        pings = frame_bytes(TEXT, '{"type":"PING"}') * 1000
        with pytest.raises(TimeoutError):
            for _ in range(1000):  # far more than the system holds for it
                deaf.wire.send(pings)
        assert loud.get("/health").status_code == 200


@pytest.mark.parametrize("keys", [[], ["blob"]])
def test_many_deaf_clients_hold_what_waits_once(loud, call, keys):
    """All wait for the same frames, also those who have narrowed to them."""
    call("fill", n=0)
    deaf = [Deaf(loud) for _ in range(200)]
    for number, one in enumerate(deaf):
        if keys:  # no two have quite the same
            subscribe = json.dumps({"type": "SUBSCRIBE", "keys": [*keys, f"key-{number}"]})
            one.wire.send(frame_bytes(TEXT, subscribe) + frame_bytes(TEXT, '{"type":"PING"}'))
            assert one.read() == {"type": "PONG"}
    base = memory_bytes(loud)
    for n in range(8):
        call("fill", n=n)
    assert memory_bytes(loud) - base < 20e6  # each its own would be 160 MB
    for one in deaf:
        one.close()


# ---- Clients that say much ---------------------------------------------------------------------------

@pytest.mark.parametrize("frame, answer", [
    (frame_bytes(PING, "p"), (PONG, b"p")),
    (frame_bytes(TEXT, '{"type":"PING"}'), (TEXT, b'{"type":"PONG"}')),
    (frame_bytes(TEXT, "?"), None),
], ids=["pings", "messages", "errors"])
def test_a_flood_is_answered_in_full(server, open_ws, frame, answer):
    """Whoever reads its answers may ask as fast as it likes, and nobody else waits."""
    ws, other = open_ws(), open_ws()
    ws.wire.socket.setblocking(False)
    count, received, unsent = 20000, b"", frame * 20000
    answers = None
    while answers is None or len(received) < answers:
        try:
            unsent = unsent[ws.wire.socket.send(unsent):]
        except BlockingIOError:
            pass
        try:
            some = ws.wire.socket.recv(1 << 20)
            assert some, "closed"
            received += some
        except BlockingIOError:
            pass
        if answers is None and len(received) > 2:
            answers = count * (2 + (received[1] if received[1] < 126 else 2 + received[3]))
    one = received[:len(received) // count]
    assert received == one * count
    if answer:
        assert one == frame_bytes(*answer, masked=False)
    assert other.send({"type": "PING"}).read() == {"type": "PONG"}


def test_others_come_in_between_many_messages(server, open_ws):
    """A single read holds three thousand of them: who asks meanwhile does not wait for all."""
    ws = open_ws()
    with Wire(server) as other:
        assert other.send("GET /ready HTTP/1.1\r\nHost: h\r\n\r\n").read().status == 200
        # The last one that was told of is the first to be told of again.
        assert ws.send({"type": "PING"}).read() == {"type": "PONG"}
        server.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: processes()[server.process.pid][1] == "T")
        ws.wire.send(frame_bytes(TEXT, '{"type":"PING"}') * 3000 +
                     frame_bytes(TEXT, '{"type":"TRIGGER","tool":"increment"}'))
        other.send("POST /panels/counter/trigger/increment HTTP/1.1\r\nHost: h\r\n"
                   "Content-Type: application/json\r\nContent-Length: 0\r\n\r\n")
        server.process.send_signal(signal.SIGCONT)
        assert other.read().json()["returnValue"] == 1
        assert ws.read_until("RESULT")[-1]["returnValue"] == 2


def test_a_hundred_thousand_subscriptions(server, open_ws):
    ws, other = open_ws(), open_ws()
    base = memory_bytes(server)
    for i in range(400):
        keys = [f"key-{i}-{k}" for k in range(250)]
        ws.send({"type": "SUBSCRIBE", "keys": keys})
        if i > 0:
            assert ws.read()["code"] == "RESOURCE_LIMIT"
    assert memory_bytes(server) - base < 5e6 or sanitized()
    # What was refused changed nothing; what was accepted is in force.
    ws.send({"type": "UNSUBSCRIBE", "keys": [f"key-0-{k}" for k in range(249)]})
    assert ws.send({"type": "SUBSCRIBE", "keys": ["count"]}).read()["state"] == {"count": 0}
    server.trigger("counter", "increment")
    assert ws.read()["mutations"] == other.read()["mutations"]


def test_long_keys_are_fewer(server, open_ws):
    ws = open_ws()
    keys = [f"{n:04}" * 256 for n in range(17)]  # as long as a key may be
    assert ws.send({"type": "SUBSCRIBE", "keys": keys}).read()["code"] == "RESOURCE_LIMIT"
    ws.send({"type": "SUBSCRIBE", "keys": keys[:16]})
    assert ws.send({"type": "SUBSCRIBE", "keys": ["count"]}).read()["code"] == "RESOURCE_LIMIT"
    ws.send({"type": "UNSUBSCRIBE", "keys": keys[:1]})
    assert ws.send({"type": "SUBSCRIBE", "keys": ["count"]}).read()["state"] == {"count": 0}
    server.trigger("counter", "increment")
    assert [m["key"] for m in ws.read()["mutations"]] == ["count"]


def test_fragments_cost_no_more_than_their_bytes(server, open_ws):
    ws = open_ws()
    base = memory_bytes(server)
    first, more = b"\x01\x81\0\0\0\0x", b"\x00\x81\0\0\0\0x"
    ws.wire.send(first + more * 1_000_000)
    assert ws.send_frame(PING).read_frame() == (PONG, b"")
    assert memory_bytes(server) - base < 10e6 or sanitized()
    ws.send_frame(0, "x")  # all of it is one message after all
    assert ws.read()["type"] == "ERROR"


def test_messages_that_never_end_are_held_up_to_a_cap(start):
    """Past it those that have kept the server waiting for longest are closed."""
    server = start(env={"BODY_LIMIT": "16mb"})
    assert server.create().status_code == 201
    frame = b"\x81\xff" + struct.pack(">Q", 16 << 20) + b"\0" * 4 + b"x" * (15 << 20)
    with WebSocket(server) as bystander:
        bystander.read()
        clients = []
        for _ in range(18):  # 270 MiB
            clients.append(WebSocket(server))
            clients[-1].read()
            clients[-1].wire.send(frame)
        wait_until(lambda: dropped(server) >= 1, seconds=60)
        assert clients[0].read_frame() is None
        assert bystander.send({"type": "PING"}).read() == {"type": "PONG"}
        assert server.trigger("counter", "increment").status_code == 200
        clients[-1].wire.send(b"x" * (1 << 20))  # the youngest one is there still
        assert clients[-1].read_until("ERROR")
        assert dropped(server) <= 3
        for one in clients:
            one.close()
    server.stop_cleanly()


def test_no_more_are_closed_for_what_is_on_its_way_than_have_to_be(start):
    """A frame that is on its way goes with its socket, but only when the loop has closed that."""
    server = start(env={"MAX_STATE_KB": "16384"})
    assert server.create(LOUD.replace("</Logic>", """<Tool name="widen"><Handler>
                           const text = 'x'.repeat(1000000);
                           for (let i = 0; i != $args.to; i++) $state['blob' + i] = text;
                         </Handler></Tool><Tool name="narrow"><Handler>
                           for (let i = $args.to; i != $args.from; i++) delete $state['blob' + i];
                         </Handler></Tool></Logic>""")).status_code == 201
    together = [Deaf(server), Deaf(server)]  # one frame of ten megabytes is on its way to both
    assert server.trigger("loud", "widen", {"to": 10}).json()["status"] == "success"
    assert server.trigger("loud", "narrow", {"from": 10, "to": 8}).json()["status"] == "success"
    with WebSocket(server, panel="loud") as bystander:
        bystander.read()
        deaf = []
        while dropped(server) == 0:
            assert len(deaf) < 50
            deaf.append(WebSocket(Deaf.Connect(server), panel="loud", seconds=30))
            assert deaf[-1].opened
        assert len(deaf) > 28  # 256 MiB of eight megabytes each
        assert dropped(server) == 2
        assert bystander.send({"type": "PING"}).read() == {"type": "PONG"}
        for one in together + deaf:
            one.close()
    server.stop_cleanly()


# ---- Many clients ------------------------------------------------------------------------------------

def test_a_storm_of_reconnects(server, open_ws):
    ws = open_ws()
    before = server.fds_at_rest()
    reset = struct.pack("ii", 1, 0)
    for i in range(600):
        one = WebSocket(server)
        assert one.opened
        if i % 3 == 0:  # some go without a word, some while a message is half there
            one.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        elif i % 3 == 1:
            one.wire.send(frame_bytes(TEXT, b"{", length=100))
        one.close()
    server.wait_for_fds(before)
    assert ws.send({"type": "PING"}).read() == {"type": "PONG"}
    wait_until(lambda: server.get("/panels/counter").json()["clientCount"] == 1)


def test_idle_sockets_are_small(start):
    """Ten thousand of them are to hold in 200 MB; make bench opens as many."""
    count = 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    server = start()
    assert server.create().status_code == 201
    request = ("GET /panels/counter/ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode()

    def open_many():
        wires = [Wire(server).send(request) for _ in range(count)]
        for wire in wires:
            assert wire.read().status == 101
        return wires
    first = open_many()  # what the server needs once is in use now
    base = memory_bytes(server)
    more = open_many()
    each = (memory_bytes(server) - base) / count
    assert each * 10_000 < 200e6 or sanitized(), each
    assert server.get("/panels/counter").json()["clientCount"] == 2 * count
    for wire in first + more:
        wire.close()
    wait_until(lambda: server.get("/panels/counter").json()["clientCount"] == 0)
    server.stop_cleanly()


@pytest.mark.parametrize("descriptors, enough", [(256, False), (4096, True)])
def test_too_few_descriptors_are_said_at_start(start, descriptors, enough):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    server = start(env={"MAX_CLIENTS": "1000"}, wrapper=["prlimit", f"--nofile=200:{descriptors}"])
    lines = [line for line in server.logs() if "MAX_CLIENTS" in line["msg"]]
    assert hard >= 4096 and [line["level"] for line in lines] == ([] if enough else ["warn"])
    # The soft limit was raised: more clients than it allowed get an answer, up to what was said.
    most = 1000 if enough else lines[0]["maxClients"]
    assert enough or 100 < most < descriptors
    assert server.create().status_code == 201
    sockets = [WebSocket(server) for _ in range(min(most, 250))]
    assert all(one.opened for one in sockets)
    if not enough:
        refused = WebSocket(server)
        assert refused.reply.status == 503
    for one in sockets:
        one.close()
    server.stop_cleanly()
