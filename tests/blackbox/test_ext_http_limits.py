# SPDX-License-Identifier: Apache-2.0
"""The http extension under load and against servers that mean harm: time, sizes, turns, TLS, ends."""
import json
import os
import socket
import subprocess
import threading
import time
import types

import pytest

from conftest import NEXUS, wait_until
from web import (PANEL, Client, Web, compressed, inside, make_certificates, other, start_client,  # noqa: F401
                 web, webs)


@pytest.fixture(scope="module")
def module_client(webs):  # noqa: F811
    one = Client(allow=webs[:2], HTTP_TIMEOUT="20000", HTTP_MAX_RESPONSE_KB="64")
    yield one
    one.server.stop_cleanly()


@pytest.fixture
def client(module_client):
    return module_client


@pytest.fixture(scope="module")
def hasty(webs):  # noqa: F811
    """One whose calls end soon."""
    one = Client(allow=webs[:2], HTTP_TIMEOUT="1500")
    yield one
    one.server.stop_cleanly()


def timed(call):
    start = time.monotonic()
    value = call()
    return value, time.monotonic() - start


# ---- What is kept for the handler -----------------------------------------------------------------------

def test_answers_that_wait_are_bounded(start_client, web):
    """A panel whose sleepers hold almost all they may has room for small answers only."""
    client = start_client(allow=[web], MAX_INSTANCES="32")
    hold = """
      const s = 'x'.repeat(1000000);
      for (let i = 0; i < 10; i++) {
        for (let j = 0; j < (i < 9 ? 7 : 4); j++) $emit('e', s);
        await $ext.time.sleep(1);
      }
      $state.held = true;
      await $ext.time.sleep(25000);"""
    ask = "try { return (await $ext.http.get($args.url)).data.length; } catch (e) { return [e.code, e.message]; }"
    tools = [{"name": name, "handler": handler, "capabilities": ["events:emit:e", "state:write:held", "ext:*"]}
             for name, handler in (("hold", hold), ("ask", ask))]
    for panel in ("full", "neighbour"):
        reply = client.server.post("/panels", json={"id": panel, "kind": "test", "tools": tools,
                                                    "initialState": {"held": False}})
        assert reply.status_code == 201, reply.text

    def asked(panel, size):
        return client.server.trigger(panel, "ask", {"url": web.url("/big", bytes=size)}).json()["returnValue"]

    client.server.trigger("full", "hold", headers={"Prefer": "respond-async"})
    wait_until(lambda: client.server.get("/panels/full/state").json()["state"]["held"])
    assert asked("full", 1000) == 1000
    code, message = asked("full", 200000)
    assert code == "RESOURCE_LIMIT" and "hold too many bytes" in message
    assert asked("neighbour", 200000) == 200000


# ---- Time --------------------------------------------------------------------------------------------

def test_time_limits(client, hasty, web):
    assert client.get(web.url("/slow", ms=300))["data"] == "late"
    error, seconds = timed(lambda: hasty.error("get", web.url("/held")))
    assert "within 1500 ms" in error and 1.4 < seconds
    assert "within 200 ms" in hasty.error("get", web.url("/held"), {"timeoutMs": 200})
    # A handler cannot ask for more than the setting.
    assert "within 1500 ms" in hasty.error("get", web.url("/held"), {"timeoutMs": 60000})
    web.let_go()
    assert hasty.get(web.url("/held"))["data"] == "late"


def test_a_drip_does_not_hold_a_call(hasty, web):
    assert "within 1500 ms" in hasty.error("get", web.url("/drip"))
    assert web.left.wait(30)


def test_the_limit_is_for_all_hops(start_client, web):
    """Two that take 1.6 s each: one alone is in time."""
    client = start_client(allow=[web], HTTP_TIMEOUT="3000")
    quick, slow = (web.url("/redirect", to="/slow?ms=1600", ms=ms) for ms in (0, 1600))
    assert client.get(quick)["data"] == "late"
    assert "within 3000 ms" in client.error("get", slow)
    assert "within 3000 ms" in client.error("get", web.url("/redirect", to=web.url("/drip")))


# ---- Sizes -------------------------------------------------------------------------------------------

def test_size_of_a_response(client, web):
    result = client.get(web.url("/big", bytes=65536))
    assert len(result["data"]) == 65536
    assert "larger than 64 KB" in client.error("get", web.url("/big", bytes=65537))
    assert "larger than 64 KB" in client.error("get", web.url("/endless"))
    assert web.left.wait(30)


def test_size_after_decompression(client, web):
    result = client.get(web.url("/zip", bytes=65536))
    assert result["data"] == "\0" * 65536
    assert int(result["headers"]["x-compressed"]) < 1000
    assert len(compressed(50_000_000)) < 65536
    assert "larger than 64 KB" in client.error("get", web.url("/zip", bytes=50_000_000))


def test_layers_of_compression(client, web):
    """A body that is mostly work: its layers unpack to much, and to nothing in the end."""
    assert client.get(web.url("/layers", bytes=10000, layers=1))["data"] == ""
    assert "compressed" in client.error("get", web.url("/layers", bytes=10000, layers=2))
    error = client.error("get", web.url("/layers", bytes=10000, layers=1, header="Transfer-Encoding"))
    assert "compressed" in error or "Transfer-Encoding" in error  # newer libcurl refuses it by itself


def test_size_of_headers(client, web):
    assert len(client.get(web.url("/headers", count=200))["headers"]) > 200
    assert "headers" in client.error("get", web.url("/headers", count=300))
    assert len(client.get(web.url("/headers", count=1, size=30000))["headers"]["x-0"]) == 30000
    assert "headers" in client.error("get", web.url("/headers", count=3, size=30000))
    assert "headers" in client.error("get", web.url("/dripping_headers"))
    assert "headers" in client.error("get", web.url("/interim"))


def test_the_value_limit_holds_too(start_client, web):
    client = start_client(allow=[web], HTTP_MAX_RESPONSE_KB="4096", MAX_VALUE_KB="16")
    assert len(client.get(web.url("/big", bytes=10000))["data"]) == 10000
    assert "larger than a value" in client.error("get", web.url("/big", bytes=100000))


# ---- Servers that break the rules --------------------------------------------------------------------

@pytest.mark.parametrize("answer", [
    "", "garbage\r\n\r\n", "\0" * 100, "HTTP/1.1\r\n\r\n", "HTTP/1.1 99999 X\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip",
    "HTTP/1.1 200 OK\r\nContent-Encoding: " + "gzip," * 50 + "gzip\r\n\r\nx",
    "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "HTTP/1.1 302 Found\r\nLocation: http://\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n",
])
def test_broken_answers(client, web, answer):
    error = client.error("get", web.url("/raw", bytes=answer))
    assert "within" not in error and len(web.requests) == 1
    assert client.get(web.url())["status"] == 200


def test_odd_answers(client, web):
    result = client.get(web.url("/raw", bytes="HTTP/1.0 200 Fine\r\n\r\nuntil the end"))
    assert (result["statusText"], result["data"]) == ("Fine", "until the end")
    result = client.get(web.url("/raw", bytes="HTTP/1.1 302 Found\r\nContent-Length: 1\r\n\r\nx"))
    assert (result["status"], result["data"]) == (302, "x")
    result = client.get(web.url("/raw", bytes="HTTP/1.1 200 \xff\r\n__proto__: a\r\n\r\n\xfe"))
    assert (result["statusText"], result["data"]) == ("\ufffd", "\ufffd")


def test_nobody_listens(start_client):
    with socket.socket() as taken:  # so that nobody else comes to listen there
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        client = start_client(allow=[types.SimpleNamespace(address=address)])
        assert "connect" in client.error("get", f"http://{address}/").lower()


# ---- Turns -------------------------------------------------------------------------------------------

def test_turns_of_a_panel(start_client, web):
    client = start_client(allow=[web], HTTP_MAX_CONCURRENT="2")
    results, seconds = timed(lambda: client.all([web.url("/slow", ms=200)] * 7))
    assert results == ["late"] * 7
    assert web.most == 2 and seconds > 0.75
    # Control: the limit is what held them.
    web.reset()
    client = start_client(allow=[web], HTTP_MAX_CONCURRENT="7")
    assert client.all([web.url("/held", together=7)] * 7) == ["late"] * 7
    assert web.most == 7


def test_a_busy_panel_does_not_hold_up_another(start_client, web, other):
    client = start_client(allow=[web, other], HTTP_MAX_CONCURRENT="1")
    client.add_panel("neighbour")
    busy = threading.Thread(target=client.all, args=([web.url("/held")] * 6,))
    busy.start()
    wait_until(lambda: web.requests)
    assert client.call("get", other.url(), panel="neighbour")["status"] == 200
    assert len(web.requests) == 1  # it had not ended
    web.let_go()
    busy.join()
    assert web.most == 1 and len(web.requests) == 6


def test_busy_panels_leave_room_for_a_first_request(start_client, web, other):
    """Four panels hold all that panels may hold together; a fifth still gets one through, not two."""
    client = start_client(allow=[web, other], HTTP_MAX_CONCURRENT="2")
    panels = ["web", "b", "c", "d"]
    for panel in panels[1:] + ["neighbour"]:
        client.add_panel(panel)
    busy = [threading.Thread(target=client.all, args=([web.url("/held")] * 2, panel)) for panel in panels]
    for thread in busy:
        thread.start()
    wait_until(lambda: len(web.requests) == 8)
    assert client.all([other.url("/slow", ms=200)] * 2, "neighbour") == ["late"] * 2
    assert other.most == 1 and web.now == 8
    web.let_go()
    for thread in busy:
        thread.join()


def test_waiting_counts_as_time(start_client, web):
    client = start_client(allow=[web], HTTP_MAX_CONCURRENT="1", HTTP_TIMEOUT="3000")
    results = client.all([web.url("/slow", ms=1600)] * 3)
    assert results[0] == "late"
    assert all("within 3000 ms" in result for result in results[1:])
    assert client.get(web.url())["status"] == 200


def test_requests_that_wait_are_counted(start_client, web):
    client = start_client(allow=[web], HTTP_MAX_CONCURRENT="1", HTTP_TIMEOUT="5000")
    first = threading.Thread(target=client.all, args=([web.url("/held")] * 64,))
    first.start()
    wait_until(lambda: web.requests)
    results = client.all([web.url("/slow", ms=10)] * 4)
    assert sum("too many HTTP requests" in result for result in results) >= 3, results
    first.join()
    assert client.get(web.url())["status"] == 200


# ---- TLS ---------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    ca, certificate = make_certificates(tmp_path_factory.mktemp("tls"))
    site = Web(certificate=certificate)
    yield ca, site
    site.close()


def test_tls(start_client, tls, web):
    ca, site = tls
    client = start_client(allow=[site, web], HTTP_CA_FILE=str(ca))
    assert client.get(site.url(host="localhost"))["data"]["method"] == "GET"
    assert client.get(site.url("/redirect", host="localhost", to="/echo"))["status"] == 200
    # Valid, but not for this name.
    assert "127.0.0.1" in client.error("get", site.url())
    # To https, but never back.
    up = web.url("/redirect", to=site.url(host="localhost"))
    assert client.get(up)["status"] == 200
    down = site.url("/redirect", host="localhost", to=web.url())
    web.reset()
    assert "from https to http" in client.error("get", down)
    assert not web.requests


def test_tls_of_an_unknown_authority(start_client, tls, web):
    _, site = tls
    client = start_client(allow=[site, web])
    site.reset()
    assert "certificate" in client.error("get", site.url(host="localhost")).lower()
    assert "localhost" in client.error("get", web.url("/redirect", to=site.url(host="localhost")))
    assert not site.requests


# ---- Ends --------------------------------------------------------------------------------------------

def test_a_deleted_panel_gives_its_calls_up(start_client, web):
    client = start_client(allow=[web])
    client.get(web.url())
    fds = client.server.fds_at_rest()
    client.add_panel("doomed")
    result = {}

    def call():
        result.update(client.server.trigger("doomed", "all", {"urls": [web.url("/drip")] * 3}).json())
    thread = threading.Thread(target=call)
    thread.start()
    wait_until(lambda: len(web.requests) == 4)
    assert client.server.request("DELETE", "/panels/doomed").status_code == 204
    thread.join(60)
    assert result["error"]["code"] == "CANCELLED"
    assert web.left.wait(30)
    client.server.wait_for_fds(fds)
    assert client.get(web.url())["status"] == 200


def test_a_suspension_that_times_out_gives_its_call_up(start_client, web):
    client = start_client(allow=[web], SUSPEND_TIMEOUT_MS="300")
    args = {"method": "get", "call": [web.url("/drip")]}
    result = client.server.trigger("web", "call", args).json()
    assert result["error"]["code"] == "SUSPENSION_TIMEOUT"
    assert web.left.wait(30)


def test_stop_with_calls_under_way(start_client, web):
    client = start_client(allow=[web])
    thread = threading.Thread(target=lambda: client.server.trigger(
        "web", "all", {"urls": [web.url("/slow", ms=700)]}))
    thread.start()
    wait_until(lambda: web.requests)
    client.server.stop_cleanly()
    thread.join(60)


def test_calls_leave_nothing_open(hasty, web):
    client = hasty  # the name that does not exist may take its time
    client.all([web.url()] * 10)
    fds = client.server.fds_at_rest()
    for _ in range(5):
        client.all([web.url(), web.url("/big", bytes=70000), "http://127.0.0.1:1/",
                    web.url("/raw", bytes=""), "http://no-such-host.invalid/"] * 4)
    client.server.wait_for_fds(fds + 10)  # connections kept for reuse


# ---- Settings ----------------------------------------------------------------------------------------

BAD = {"HTTP_ALLOWED_DOMAINS": "http://a.org", "HTTP_EXT_ALLOW_ADDRESSES": "127.0.0.1",
       "HTTP_CA_FILE": "/does/not/exist", "HTTP_USER_AGENT": "a\tb", "HTTP_MAX_CONCURRENT": "0",
       "HTTP_TIMEOUT": "1s", "HTTP_MAX_RESPONSE_KB": "x"}


def run(*arguments, **env):
    return subprocess.run([str(NEXUS), *map(str, arguments)], timeout=60, capture_output=True,
                          text=True, env={"PATH": os.environ["PATH"], **env})


def test_bad_settings(tmp_path):
    (tmp_path / "panel.nxml").write_text(PANEL % "web")
    for arguments in (["serve"], ["run", tmp_path / "panel.nxml", "call"]):
        result = run(*arguments, HTTP_PORT="0", **BAD)
        assert result.returncode == 2
        assert len(result.stderr.splitlines()) == len(BAD)
        assert all(name in result.stderr for name in BAD)


def test_nexus_run(tmp_path, web):
    (tmp_path / "panel.nxml").write_text(PANEL % "web")
    args = ["run", tmp_path / "panel.nxml", "call", "--args",
            json.dumps({"method": "get", "call": [web.url()]})]
    value = json.loads(run(*args).stdout)["returnValue"]
    assert value["code"] == "EXTENSION_NOT_FOUND"
    value = json.loads(run(*args, HTTP_ALLOWED_DOMAINS="*").stdout)["returnValue"]
    assert "loopback" in value["error"]
    # What only the server needs does not concern it.
    value = json.loads(run(*args, HTTP_ALLOWED_DOMAINS="*", HTTP_EXT_ALLOW_ADDRESSES=web.address,
                           HTTP_USER_AGENT="mine/1", HOST="nonsense").stdout)["returnValue"]
    assert value["data"]["headers"]["user-agent"] == "mine/1"
