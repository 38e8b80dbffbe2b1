# SPDX-License-Identifier: Apache-2.0
"""Many triggers of one panel at once: they are sent to a worker ahead of each other's answers, and
still take effect one at a time, each on the state that the one before left. With much state they
are sent one by one, and other panels get in between."""
import contextlib
import os
import random
import signal
import threading
import time

import pytest
import requests

from conftest import Server

CLIENTS = 24
CAPS = """<Capabilities><Capability type="state:read" scope="*"/>
<Capability type="state:write" scope="*"/><Capability type="ext" scope="time"/></Capabilities>"""
PANEL = f"""<NexusPanel id="hot" title="Hot">
  <Data><State name="n" type="number" default="0"/><State name="list" type="list" default="[]"/></Data>
  <Logic><Extension name="time"/>{CAPS}
    <Tool name="add"><Handler>$state.n = $state.n + 1; return $state.n;</Handler></Tool>
    <Tool name="fail"><Handler>$state.n = $state.n + 100000; throw new Error('no');</Handler></Tool>
    <Tool name="sometimes"><Handler>
      $state.n = $state.n + 1;
      if ($args.fail) throw new Error('no');
      return $state.n;
    </Handler></Tool>
    <Tool name="slow"><Handler>
      const end = $args.rounds; let x = 0;
      for (let i = 0; i < end; i++) x += i;
      $state.n = $state.n + 1; return $state.n;
    </Handler></Tool>
    <Tool name="rest"><Handler>
      $state.n = $state.n + 1;
      await $ext.time.sleep(2);
      $state.n = $state.n + 1;
      return $state.n;
    </Handler></Tool>
    <Tool name="push"><Handler>
      $state.list.push($args.tag);
      if ($state.list.length > 40) $state.list = $state.list.slice(-20);
      return $state.list.length;
    </Handler></Tool>
    <Tool name="grow"><Handler>$state['k' + $args.i] = 'x'.repeat(2000); return 1;</Handler></Tool>
    <Tool name="vanish"><Handler>delete $state['k' + $args.i]; return Object.keys($state).length;</Handler></Tool>
    <Tool name="load"><Handler>$state.ballast = 'x'.repeat($args.bytes);</Handler></Tool>
  </Logic>
</NexusPanel>"""


BALLAST = 300_000  # bytes: over NX_LARGE_STATE_BYTES


@pytest.fixture
def server(request):
    running = Server(env={"WORKERS": "2"})
    assert running.create(PANEL).status_code == 201
    ballast = getattr(request, "param", 0)
    if ballast:
        assert trigger(running, requests, "load", {"bytes": ballast})["status"] == "success"
    yield running
    running.stop_cleanly()


def run_clients(server, work, clients=CLIENTS):
    """Calls work(session, client, results) from `clients` threads at once."""
    results, errors = [], []

    def one(client):
        try:
            with requests.Session() as session:
                mine = []
                work(session, client, mine)
                results.extend(mine)
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    return results


def trigger(server, session, tool, args=None):
    reply = session.post(f"{server.url}/panels/hot/trigger/{tool}", json=args or {}, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()


def state(server):
    return server.get("/panels/hot/state").json()["state"]


def test_every_increment_counts_once(server):
    def work(session, _, mine):
        for _ in range(60):
            mine.append(trigger(server, session, "add"))

    results = run_clients(server, work)
    values = sorted(result["returnValue"] for result in results)
    assert values == list(range(1, len(results) + 1))
    assert state(server)["n"] == len(results)


@pytest.mark.parametrize("server", [BALLAST], indirect=True)
def test_the_same_with_much_state(server):
    def work(session, _, mine):
        for _ in range(20):
            mine.append(trigger(server, session, "add"))

    results = run_clients(server, work)
    good = [result["returnValue"] for result in results if result["status"] == "success"]
    # On a busy machine whoever takes much of it may run out of time; what was taken counts once.
    assert good and {r["error"]["code"] for r in results if r["status"] == "error"} <= {"TIMEOUT"}
    assert sorted(good) == list(range(1, len(good) + 1))
    assert state(server)["n"] == len(good)


def test_failures_leave_nothing_to_those_behind(server):
    rng = random.Random(7)

    def work(session, _, mine):
        for _ in range(50):
            mine.append(trigger(server, session, "sometimes", {"fail": rng.random() < 0.3}))

    results = run_clients(server, work)
    good = [result["returnValue"] for result in results if result["status"] == "success"]
    assert 0 < len(good) < len(results)
    assert sorted(good) == list(range(1, len(good) + 1))
    assert state(server)["n"] == len(good)


def test_a_mix_of_tools_slow_ones_and_suspensions(server):
    def work(session, client, mine):
        for i in range(25):
            tool = ("add", "slow", "rest", "fail", "push")[(i + client) % 5]
            result = trigger(server, session, tool, {"rounds": 60000, "tag": f"{client}.{i}"})
            mine.append((tool, result))

    results = run_clients(server, work)
    expected = sum({"add": 1, "slow": 1, "rest": 2}.get(tool, 0) for tool, _ in results)
    for tool, result in results:
        assert result["status"] == ("error" if tool == "fail" else "success"), result
    assert state(server)["n"] == expected
    values = [r["returnValue"] for tool, r in results if tool in ("add", "slow", "rest")]
    assert len(set(values)) == len(values)


def test_state_that_outgrows_a_chain_is_not_lost(server):
    def work(session, client, mine):
        for i in range(8):
            mine.append(trigger(server, session, "grow", {"i": client * 8 + i}))
        for i in range(4):
            mine.append(trigger(server, session, "vanish", {"i": client * 8 + i}))

    results = run_clients(server, work)
    assert all(result["status"] == "success" for result in results)
    keys = [key for key in state(server) if key.startswith("k")]
    assert len(keys) == CLIENTS * 4


def test_clients_that_leave_do_not_disturb(server):
    """A client's end detaches its trigger: it still counts."""
    def leave(_):
        raw = server.connect()
        body = b"{}"
        raw.sendall(b"POST /panels/hot/trigger/add HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        raw.close()

    def work(session, client, mine):
        for i in range(30):
            if (i + client) % 3 == 0:
                leave(client)
            else:
                mine.append(trigger(server, session, "add"))

    results = run_clients(server, work)
    left = sum(1 for c in range(CLIENTS) for i in range(30) if (i + c) % 3 == 0)
    deadline = time.monotonic() + 20
    # A connection that is gone before its request was read does not trigger anything.
    while state(server)["n"] < len(results) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(results) <= state(server)["n"] <= len(results) + left
    values = [result["returnValue"] for result in results]
    assert len(set(values)) == len(values)


def test_killed_workers_lose_nothing_that_was_acknowledged(server):
    stop, killed, acknowledged = threading.Event(), [], []

    def kill():
        seen = 0
        while not stop.wait(0.15):
            if len(acknowledged) == seen:
                continue  # on a busy machine new ones take their time: so that something gets done
            seen = len(acknowledged)
            for pid in server.workers()[:1]:
                with contextlib.suppress(ProcessLookupError):  # it went by itself
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()

    def work(session, _, mine):
        for _ in range(60):
            mine.append(trigger(server, session, "add"))
            acknowledged.append(mine[-1])

    try:
        results = run_clients(server, work)
    finally:
        stop.set()
        killer.join()
    assert killed
    good = [result["returnValue"] for result in results if result["status"] == "success"]
    assert sorted(good) == list(range(1, len(good) + 1))
    assert state(server)["n"] == len(good)
    assert all(result["error"]["code"] == "INTERNAL_ERROR" for result in results
               if result["status"] == "error")
    assert trigger(server, requests, "add")["status"] == "success"


@pytest.mark.parametrize("server", [0, BALLAST], indirect=True)
def test_deleting_a_busy_panel_ends_every_trigger(server):
    codes = []

    def work(session, client, _):
        for i in range(40):
            if client == 0 and i == 20:
                assert session.delete(f"{server.url}/panels/hot").status_code == 204
                return
            reply = session.post(f"{server.url}/panels/hot/trigger/add", json={}, timeout=60)
            codes.append((reply.status_code, reply.json().get("status")))
            if reply.status_code != 200:
                return

    run_clients(server, work)
    assert {code for code, _ in codes} <= {200, 404, 503}
    assert (200, "success") in codes
    assert server.get("/health").status_code == 200
