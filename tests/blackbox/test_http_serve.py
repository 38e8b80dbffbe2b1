# SPDX-License-Identifier: Apache-2.0
"""`nexus serve` as a process: settings, panel files, limits, start and stop."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

from conftest import COUNTER, NEXUS, Wire, wait_until
from ws_client import WebSocket

POST_NAP = (b"POST /panels/counter/trigger/nap HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Content-Length: 11\r\n\r\n{\"ms\":%4d}")


def run(*arguments, **env):
    return subprocess.run([str(NEXUS), "serve", *arguments], env={"PATH": os.environ["PATH"], **env},
                          capture_output=True, text=True, timeout=60)


# ---- Settings ----------------------------------------------------------------------------------------

def test_every_bad_setting_is_listed():
    result = run(HTTP_PORT="99999", AUTH_ENABLED="true", NEXUS_FOO="1", HOST="here", WORKERS="many")
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 5
    for name in ("HTTP_PORT", "AUTH_ENABLED", "NEXUS_FOO", "HOST", "WORKERS"):
        assert any(name in line for line in lines)
    assert result.stdout == ""


def test_instances_are_made_ahead(start):
    """Each worker reserves the addresses of its share before anything runs there."""
    instance_kb = 8 * 1024 * 1024

    def reserved_kb(server):
        """What the one of two workers has that has less; none while they begin."""
        sizes = [re.search(r"^VmSize:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
                 for pid in server.workers()]
        return min(int(size[1]) for size in sizes) if len(sizes) == 2 and all(sizes) else 0

    without = start(env={"WORKERS": "2", "MIN_INSTANCES": "0"})
    wait_until(lambda: reserved_kb(without))
    ahead = start(env={"WORKERS": "2", "MIN_INSTANCES": "9"})  # nine shared by two
    wait_until(lambda: reserved_kb(ahead) - reserved_kb(without) >= 5 * instance_kb)


def test_bad_arguments():
    assert run("--bogus").returncode == 2
    assert run("extra").returncode == 2
    assert run("--panels", "/does/not/exist").returncode == 2
    help_text = run("--help")
    assert help_text.returncode == 0 and "--panels" in help_text.stdout


def test_insecure_address_has_to_be_asked_for(start):
    assert run(HOST="0.0.0.0", HTTP_PORT="0").returncode == 2
    server = start(env={"HOST": "0.0.0.0", "ALLOW_INSECURE": "true"})
    assert requests.get(f"http://127.0.0.1:{server.port}/health", timeout=60).status_code == 200
    server.stop_cleanly()


def test_ipv6(start):
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    server = start(env={"HOST": "::1"})
    assert server.url.startswith("http://[::1]:")
    assert server.get("/health").status_code == 200
    server.stop_cleanly()


def test_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run(HTTP_PORT=str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert "in use" in result.stdout


def test_public_url(start):
    server = start(env={"PUBLIC_URL": "https://panels.example/base"})
    response = server.create()
    assert response.json()["wsUrl"] == "wss://panels.example/base/panels/counter/ws"
    server.stop_cleanly()


def test_settings_without_effect_are_named_but_not_shown(start):
    server = start(env={"JWT_SECRET": "a-secret-nobody-may-see"})
    assert any("JWT_SECRET" in line["msg"] for line in server.logs())
    server.stop_cleanly()
    assert not any("nobody-may-see" in line for line in server.lines + server.errors)


def test_pretty_log(start):
    server = start(env={"LOG_PRETTY": "true"}, wait=False)
    wait_until(lambda: any("listening" in line for line in server.lines))
    line = next(line for line in server.lines if "listening" in line)
    assert "http://127.0.0.1:" in line and not line.startswith("{")
    assert server.stop() == 0


def test_requests_are_logged_at_debug_only(start):
    for level, expected in (("info", 0), ("debug", 1)):
        server = start(env={"LOG_LEVEL": level})
        server.get("/panels", headers={"X-Request-Id": "find-me"})
        server.stop_cleanly()
        found = server.logs("request")
        assert len(found) == expected
        if expected:
            assert (found[0]["requestId"], found[0]["route"], found[0]["status"]) == (
                "find-me", "/panels", 200)


# ---- Panel files -------------------------------------------------------------------------------------

def test_panels_of_a_directory(start, tmp_path):
    (tmp_path / "counter.nxml").write_text(COUNTER)
    (tmp_path / "nameless.nxml").write_text("<NexusPanel/>")
    (tmp_path / "listed.json").write_text('{"kind":"k","id":"from-json","tools":[]}')
    (tmp_path / "notes.txt").write_text("not a panel")
    server = start("--panels", tmp_path)
    panels = [panel["id"] for panel in server.get("/panels").json()["panels"]]
    assert panels == ["counter", "from-json", "nameless"]
    assert server.trigger("counter", "increment").json()["returnValue"] == 1
    server.stop_cleanly()


def test_broken_panels_do_not_stop_the_others(start, tmp_path):
    (tmp_path / "a.nxml").write_text("<NexusPanel>\n <Bad/>\n</NexusPanel>")
    (tmp_path / "b.nxml").write_text(COUNTER)
    (tmp_path / "c.json").write_text("{")
    (tmp_path / "d.nxml").write_text('<NexusPanel id="counter"/>')
    (tmp_path / "e.nxml").write_text(
        '<NexusPanel><Logic><Tool name="t"><Handler>\nlet 1;\n</Handler></Tool></Logic></NexusPanel>')
    os.mkfifo(tmp_path / "f.nxml")
    (tmp_path / "g.nxml").symlink_to("/does/not/exist")
    server = start("--panels", tmp_path)
    assert [panel["id"] for panel in server.get("/panels").json()["panels"]] == ["counter"]
    assert len(server.logs("panel not loaded")) == 6
    summary = server.logs("panels loaded")[0]
    assert (summary["loaded"], summary["failed"]) == (1, 6)
    server.stop_cleanly()
    assert f"{tmp_path}/a.nxml:2:2: error UNKNOWN_ELEMENT: " in "\n".join(server.errors)
    assert any(line.startswith(f"{tmp_path}/e.nxml:2:") for line in server.errors)
    assert any(line.startswith(f"{tmp_path}/d.nxml:1:1: error PANEL_EXISTS") for line in server.errors)


# ---- Limits ------------------------------------------------------------------------------------------

def test_too_many_panels(start):
    server = start(env={"MAX_PANELS": "2"})
    for name in ("a", "b"):
        assert server.post("/panels", json={"id": name, "kind": "k", "tools": []}).status_code == 201
    response = server.post("/panels", json={"id": "c", "kind": "k", "tools": []})
    assert (response.status_code, response.json()["error"]["code"]) == (429, "RESOURCE_LIMIT")
    assert int(response.headers["Retry-After"]) >= 1
    server.request("DELETE", "/panels/a")
    assert server.post("/panels", json={"id": "c", "kind": "k", "tools": []}).status_code == 201
    server.stop_cleanly()


def test_too_many_triggers(start):
    server = start(env={"MAX_QUEUE": "3", "TIMEOUT_MS": "600000"})
    server.create()
    with WebSocket(server) as busy:
        busy.send({"type": "TRIGGER", "tool": "spin", "requestId": "busy"})
        server.wait_for_instances("running")
        waiting = []
        for depth in range(1, 5):  # one after the other: each has its place in the queue
            waiting.append(Wire(server).send(b"POST /panels/counter/trigger/increment HTTP/1.1\r\nHost: h\r\n\r\n"))
            if depth <= 3:
                wait_until(lambda: server.figure("nexus_queue_depth") == depth)
        refused = waiting[3].read()
        assert (refused.status, refused.code) == (429, "OVERLOADED")
        assert int(refused.headers["retry-after"]) >= 1
        busy.send({"type": "CANCEL", "requestId": "busy"})
        assert busy.read_until("RESULT")[-1]["error"]["code"] == "CANCELLED"
        assert [one.read().json()["returnValue"] for one in waiting[:3]] == [1, 2, 3]
        for one in waiting:
            one.close()
    server.stop_cleanly()


def test_too_many_connections(start):
    server = start(env={"MAX_CLIENTS": "5"})
    health = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
    inside = [Wire(server).send(health) for _ in range(5)]
    assert all(one.read().status == 200 for one in inside)
    full = server.fds_at_rest()
    with Wire(server) as outside:
        response = outside.read()
        assert (response.status, response.code) == (503, "OVERLOADED")
        assert outside.at_end()
    assert all(one.send(health).read().status == 200 for one in inside)
    inside.pop().close()
    server.wait_for_fds(full - 1)
    with Wire(server) as again:
        assert again.send(health).read().status == 200
    for one in inside:
        one.close()
    server.stop_cleanly()


# ---- Stopping ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_idle_server_stops_at_once(start, signum):
    server = start()
    server.create()
    idle = Wire(server)
    started = time.monotonic()
    assert server.stop(signum) == 0
    assert time.monotonic() - started < 10  # what those at work are given
    assert idle.at_end()
    assert server.logs("stopped")
    idle.close()


def test_work_under_way_is_finished(start):
    server = start()
    server.create()
    busy = Wire(server).send(POST_NAP % 6000)
    kept = Wire(server)
    server.wait_for_instances("suspended")
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("stopping")
    # Probes and late clients get an answer, on old connections and on new ones.
    ready = kept.send(b"GET /ready HTTP/1.1\r\nHost: h\r\n\r\n").read()
    assert (ready.status, ready.headers["connection"]) == (503, "close")
    assert server.get("/ready").status_code == 503
    assert server.get("/health").status_code == 200
    refused = server.trigger("counter", "increment")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "UNAVAILABLE")
    assert server.create(COUNTER.replace('"counter"', '"late"')).status_code == 503
    result = busy.read()
    assert (result.status, result.json()["returnValue"]) == (200, "rested")
    assert server.wait() == 0
    busy.close()
    kept.close()


def test_waiting_has_an_end(start):
    server = start()
    server.create()
    busy = Wire(server).send(POST_NAP.replace(b"%4d", b"29000").replace(b"11", b"12"))
    server.wait_for_instances("suspended")
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert busy.read().json()["error"]["code"] == "CANCELLED"
    assert server.wait() == 0
    assert 8 < time.monotonic() - started
    busy.close()


def test_second_signal_ends_it_at_once(start):
    server = start()
    server.create()
    busy = Wire(server).send(POST_NAP % 9000)
    server.wait_for_instances("suspended")
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(server.process.pid)],
                              capture_output=True, text=True, check=False).stdout.split()
    assert children
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("stopping")
    started = time.monotonic()
    assert server.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert time.monotonic() - started < 8  # what is under way, and what it is given, take longer
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children))
    busy.close()


def test_load_while_stopping(start):
    """Every request sent is answered or its connection closed; nothing hangs, nothing crashes."""
    server = start()
    server.create()
    outcomes = []

    def client():
        with requests.Session() as session:
            for _ in range(100000):
                try:
                    answer = session.post(server.url + "/panels/counter/trigger/increment", json={},
                                          timeout=60)
                except requests.ConnectionError:
                    return
                outcomes.append(answer.status_code)
    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    wait_until(lambda: outcomes.count(200) > 50)
    assert server.stop() == 0
    for one in clients:
        one.join(60)
        assert not one.is_alive()
    assert set(outcomes) <= {200, 503}
