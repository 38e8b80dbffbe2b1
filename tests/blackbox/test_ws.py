# SPDX-License-Identifier: Apache-2.0
"""WebSockets: the conversation. Bad messages and frames: test_ws_frames.py; who may: test_ws_access.py;
slow, greedy and many clients: test_ws_limits.py; time: test_ws_time.py."""
import asyncio
import json
import signal
import time

import pytest
import websockets

import prometheus
from conftest import COUNTER, wait_until
from ws_client import WebSocket, open_ws  # noqa: F401 (a fixture)

# What handlers can do to be seen, and tools that run by themselves.
BUSY = """<NexusPanel id="busy"><Data>
  <State name="step" type="number"/><State name="ticks" type="number"/><State name="echoed" type="list"/>
</Data><Logic>
  <Extension name="time"/>
  <Capabilities>
    <Capability type="state:read" scope="*"/><Capability type="state:write" scope="*"/>
    <Capability type="events:emit" scope="*"/><Capability type="view:update" scope="list"/>
    <Capability type="ext" scope="time"/>
  </Capabilities>
  <Tool name="steps"><Handler>
    $state.step = 1; $emit('stepped', 1); await $ext.time.sleep(5);
    $state.step = 2; $emit('stepped', 2); await $ext.time.sleep($args.ms);
    $state.step = 3; $emit('stepped', 3); return 'done';
  </Handler></Tool>
  <Tool name="show"><Handler>
    $view.setFilter('list', {only: 'open'}); $log.warn('shown'); return 1;
  </Handler></Tool>
  <Tool name="spin"><Handler>for (;;) {}</Handler></Tool>
  <Tool name="tick" trigger="interval:20ms"><Handler>$state.ticks += 1;</Handler></Tool>
  <Tool name="echo" trigger="event:stepped"><Handler>
    $state.echoed.push($scope.trigger.type);
  </Handler></Tool>
</Logic><View><List id="list"/></View></NexusPanel>
"""


@pytest.fixture
def busy(server):
    """A socket on that panel that hears nothing yet but answers."""
    assert server.create(BUSY).status_code == 201, server.create(BUSY).text
    with WebSocket(server, panel="busy") as ws:
        assert ws.read()["type"] == "CONNECTED"
        yield ws


def say(ws, *messages):
    """Sends them, and a PING behind, and returns what comes before the PONG."""
    for message in messages:
        ws.send(message)
    ws.send({"type": "PING"})
    return ws.read_until("PONG")[:-1]


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


def test_every_suspension_tells_what_took_effect_so_far(busy):
    say(busy, {"type": "UNSUBSCRIBE", "topics": ["state", "events"]})
    busy.send({"type": "TRIGGER", "tool": "steps", "args": {"ms": 5}, "requestId": "s"})
    first, second, result = busy.read(), busy.read(), busy.read()
    for progress, step in ((first, 1), (second, 2)):
        assert (progress["type"], progress["requestId"]) == ("PROGRESS", "s")
        assert progress["mutations"] == [{"operation": "set", "key": "step", "value": step}]
        assert [e["payload"] for e in progress["events"]] == list(range(1, step + 1))
        call = progress["suspension"]["calls"][0]
        assert (call["extension"], call["method"]) == ("time", "sleep")
    assert first["suspension"]["suspensionId"] != second["suspension"]["suspensionId"]
    assert (result["type"], result["returnValue"], result["metrics"]["segments"]) == ("RESULT", "done", 3)
    assert [m["value"] for m in result["mutations"] if m["key"] == "step"] == [3]
    assert [e["payload"] for e in result["events"]] == [1, 2, 3]


def test_much_is_not_told_again_at_every_suspension(server, open_ws):
    handler = """
      for (const bytes of $args.sizes) {
        $emit('e', 'x'.repeat(bytes));
        await $ext.time.sleep(1);
      }"""
    reply = server.post("/panels", json={"id": "much", "kind": "test", "tools": [
        {"name": "t", "handler": handler, "capabilities": ["events:emit:e", "ext:time"]}]})
    assert reply.status_code == 201, reply.text
    ws = open_ws(panel="much")
    ws.send({"type": "UNSUBSCRIBE", "topics": ["events"]})
    for sizes, told in (([100000, 100000, 10], 3), ([100000, 200000, 10], 1)):
        ws.send({"type": "TRIGGER", "tool": "t", "args": {"sizes": sizes}, "requestId": "m"})
        heard = ws.read_until("RESULT")
        assert [m["type"] for m in heard] == ["PROGRESS"] * told + ["RESULT"]
        assert [len(e["payload"]) for e in heard[-1]["events"]] == sizes


def test_tools_that_run_by_themselves_are_watched_across_a_suspension(busy):
    """PATCHes of an interval and of an event's listener come while the client's own trigger is
    suspended, in one order of versions, and CANCEL ends that trigger alone."""
    busy.send({"type": "TRIGGER", "tool": "steps", "args": {"ms": 30000}, "requestId": "s"})
    heard = busy.read_until("PROGRESS") + busy.read_until("PROGRESS")

    def changes(key):
        return sum(m["key"] == key for one in heard if one["type"] == "PATCH" for m in one["mutations"])
    while changes("ticks") < 5 or changes("echoed") < 2:
        heard.append(busy.read())
    busy.send({"type": "CANCEL", "requestId": "s"})
    heard += busy.read_until("RESULT")
    assert heard[-1]["error"]["code"] == "CANCELLED"
    assert heard[-1]["mutations"] == [{"operation": "set", "key": "step", "value": 2}]
    heard += busy.read_until("PATCH") + busy.read_until("PATCH")  # the interval goes on
    patches = [m for m in heard if m["type"] == "PATCH"]
    versions = [m["version"] for m in patches]
    assert versions == list(range(versions[0], versions[0] + len(versions)))
    echoed = [m["value"] for patch in patches for m in patch["mutations"] if m["key"] == "echoed"]
    assert echoed == [["event"], ["event"] * 2]


def test_cancel_ends_a_suspended_trigger(open_ws, server):
    ws = open_ws()
    ws.send({"type": "TRIGGER", "tool": "nap", "args": {"ms": 20000}, "requestId": "n"})
    ws.read_until("PROGRESS")
    ws.send({"type": "CANCEL", "requestId": "n"})
    result = ws.read()
    assert (result["type"], result["error"]["code"]) == ("RESULT", "CANCELLED")
    assert server.get("/panels/counter/state").json()["state"] == {"count": 0}
    assert ws.send({"type": "CANCEL", "requestId": "n"}).read()["code"] == "INVALID_REQUEST"


def test_cancel_ends_what_runs_and_what_waits(busy):
    ws = busy
    say(ws, {"type": "UNSUBSCRIBE", "topics": ["state"]})
    ws.send({"type": "TRIGGER", "tool": "spin", "requestId": "runs"})
    ws.send({"type": "TRIGGER", "tool": "show", "requestId": "waits"})
    for request_id in ("waits", "runs"):
        result = ws.send({"type": "CANCEL", "requestId": request_id}).read()
        assert (result["type"], result["requestId"], result["error"]["code"]) == \
            ("RESULT", request_id, "CANCELLED")
    # Neither has left anything, and the panel's turn is free.
    result = ws.send({"type": "TRIGGER", "tool": "show", "requestId": "after"}).read()
    assert (result["requestId"], result["returnValue"]) == ("after", 1)


def test_cancel_gives_the_worker_back(start):
    """Long before the handler's time is over, and as often as one likes."""
    server = start(env={"TIMEOUT_MS": "60000"})
    assert server.create().status_code == 201
    with WebSocket(server, "counter") as ws:
        ws.read()
        for i in range(4):
            ws.send({"type": "TRIGGER", "tool": "spin", "requestId": str(i)})
            wait_until(lambda: running(server) == 1)
            ws.send({"type": "CANCEL", "requestId": str(i)})
            assert ws.read()["error"]["code"] == "CANCELLED"
            wait_until(lambda: running(server) == 0)
    assert server.trigger("counter", "increment").json()["returnValue"] == 1
    # Nothing was lost: only the watchdog may have found one that the machine did not let answer.
    lost = [line for line in server.logs() if line["component"] == "sandbox"]
    assert len(lost) <= 1 and all("did not answer" in line["msg"] for line in lost), lost
    server.stop_cleanly()


def test_what_is_cancelled_is_paid_for(start):
    """Two panels that let handlers run and cancel them have had their share of the processors, as if
    those had ended: from then on only one of both gets a place, for the last one is others'."""
    server = start(env={"TIMEOUT_MS": "60000"})
    for name in ("a", "b"):
        assert server.create(COUNTER.replace('id="counter"', f'id="{name}"')).status_code == 201
    with WebSocket(server, "a") as a, WebSocket(server, "b") as b:
        for ws in (a, b):
            ws.read()
            ws.send({"type": "TRIGGER", "tool": "spin", "requestId": "0"})
        wait_until(lambda: running(server) == 2)  # the control: there is a place for each
        time.sleep(2)  # what they owe takes four times as long to make up for
        for ws in (a, b):
            ws.send({"type": "CANCEL", "requestId": "0"})
            assert ws.read()["error"]["code"] == "CANCELLED"
        # Their workers are replaced: without spare ones there would be no places to leave free.
        wait_until(lambda: running(server) == 0 and server.get("/health").json()["runtime"]["workers"] == 3)
        for ws in (a, b):
            ws.send({"type": "TRIGGER", "tool": "spin", "requestId": "1"})
        wait_until(lambda: running(server) == 1)
        for _ in range(20):
            assert running(server) == 1
            time.sleep(0.01)
    assert server.create().status_code == 201
    assert server.trigger("counter", "increment").json()["returnValue"] == 1
    server.kill()


def running(server):
    return prometheus.read(server.get("/metrics").text)["nexus_instances"].value(state="running")


def test_cancel_reaches_ones_own_triggers_alone(open_ws):
    ws, other = open_ws(), open_ws()
    ws.send({"type": "TRIGGER", "tool": "nap", "args": {"ms": 300}, "requestId": "n"})
    ws.read_until("PROGRESS")
    assert other.send({"type": "CANCEL", "requestId": "n"}).read()["code"] == "INVALID_REQUEST"
    assert ws.read_until("RESULT")[-1]["returnValue"] == "rested"


def test_what_a_closed_socket_has_triggered_runs_on(server, open_ws):
    ws, other = open_ws(), open_ws()
    ws.send({"type": "TRIGGER", "tool": "nap", "args": {"ms": 50}, "requestId": "n"})
    ws.read_until("PROGRESS")
    ws.close()
    assert other.read_until("PATCH")[-1]["mutations"][0]["value"] == 1


def test_keys_narrow_the_state(server, open_ws):
    ws = open_ws()
    assert say(ws, {"type": "UNSUBSCRIBE", "topics": ["events"]},
               {"type": "SUBSCRIBE", "keys": ["other"]}) == []
    server.trigger("counter", "increment")
    patch = ws.read()
    assert (patch["version"], patch["mutations"]) == (2, [])
    # Who sees more than before is told what it has not seen.
    assert say(ws, {"type": "SUBSCRIBE", "keys": ["count"]}) == \
        [{"type": "RESYNC", "version": 2, "state": {"count": 1}}]
    server.trigger("counter", "increment")
    assert ws.read()["mutations"] == [{"operation": "set", "key": "count", "value": 2}]
    assert say(ws, {"type": "SUBSCRIBE", "keys": ["count", "other"]},
               {"type": "UNSUBSCRIBE", "keys": ["count", "missing"]}) == []
    server.trigger("counter", "increment")
    assert ws.read()["mutations"] == []
    assert say(ws, {"type": "UNSUBSCRIBE", "keys": ["other"]}) == \
        [{"type": "RESYNC", "version": 4, "state": {"count": 3}}]


def test_a_narrowed_resync_has_its_keys_alone(busy):
    ws = busy
    say(ws, {"type": "UNSUBSCRIBE", "topics": ["state", "events"], "keys": []})
    heard = say(ws, {"type": "SUBSCRIBE", "keys": ["step", "echoed", "none"]},
                {"type": "SUBSCRIBE", "topics": ["state"]})
    assert heard[0]["type"] == "RESYNC" and heard[0]["state"] == {"step": 0, "echoed": []}


def test_topics(server, open_ws):
    ws = open_ws()
    assert say(ws, {"type": "UNSUBSCRIBE", "topics": ["state"]}) == []
    server.trigger("counter", "increment")
    assert ws.read()["type"] == "EVENT"
    assert say(ws, {"type": "UNSUBSCRIBE", "topics": ["events"]}) == []
    server.trigger("counter", "increment")
    assert say(ws) == []
    assert say(ws, {"type": "SUBSCRIBE", "topics": ["state", "events"]}) == \
        [{"type": "RESYNC", "version": 3, "state": {"count": 2}}]
    server.trigger("counter", "increment")
    assert [ws.read()["type"] for _ in range(2)] == ["PATCH", "EVENT"]


def test_view_and_logs_are_for_those_who_ask(server, busy):
    say(busy, {"type": "UNSUBSCRIBE", "topics": ["state", "events"]})
    server.trigger("busy", "show")
    assert say(busy) == []
    assert say(busy, {"type": "SUBSCRIBE", "topics": ["view", "logs"]}) == []
    server.trigger("busy", "show")
    heard = {m.pop("type"): m for m in (busy.read(), busy.read())}
    assert heard["VIEW"] == {"command": "setFilter", "componentId": "list", "args": {"filter": {"only": "open"}}}
    assert heard["LOG"].pop("timestamp")
    assert heard["LOG"] == {"handler": "show", "level": "warn", "message": "shown"}


def test_client_count_is_shown(server, open_ws):
    open_ws()
    second = open_ws()
    assert server.get("/panels/counter").json()["clientCount"] == 2
    second.close()
    wait_until(lambda: server.get("/panels/counter").json()["clientCount"] == 1)


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
            await asyncio.wait_for(await ws.ping(), 30)
    asyncio.run(talk())


