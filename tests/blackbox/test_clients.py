# SPDX-License-Identifier: Apache-2.0
"""Clients that nobody here wrote: curl, Python's requests and websockets, and of Node.js fetch, the package
ws, undici and the WebSocket of the platform, where there is one."""
import asyncio
import json
import os
import pathlib
import subprocess

import pytest
import requests
import websockets

from conftest import COUNTER, ROOT, Server
from test_auth import SECRET, bearer, token

TOOLS = ROOT / "build/js-tools"


def node_options():
    """What makes this Node.js have a WebSocket, or None: before 20 there is none, from 22 on it needs nothing."""
    for option in ([], ["--experimental-websocket"]):
        shown = subprocess.run(["node", *option, "-p", "typeof WebSocket"], capture_output=True, text=True, check=False)
        if shown.stdout.strip() == "function":
            return option
    return None


NODE_OPTIONS = node_options()


@pytest.fixture(name="js_tools", scope="session")
def install_js_tools():
    subprocess.run([ROOT / "scripts/npm-ci.sh", "tests/clients", "build/js-tools"], check=True)
    return TOOLS


@pytest.fixture(name="guarded", scope="module")
def open_guarded(tmp_path_factory):
    secret = tmp_path_factory.mktemp("clients") / "secret"
    secret.write_text(SECRET)
    server = Server(env={"AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(secret)})
    yield server
    server.stop_cleanly()


@pytest.fixture(name="counter")
def fresh_counter(guarded):
    guarded.request("DELETE", "/panels/counter", headers=bearer(token("*")))
    headers = {"Content-Type": "application/xml", **bearer(token("*"))}
    assert guarded.post("/panels", data=COUNTER.encode(), headers=headers).status_code == 201
    return guarded


# ---- curl ---------------------------------------------------------------------------------------------------

def curl(server, *arguments, path="", stdin=None):
    """What it printed. It fails on statuses from 400 on."""
    done = subprocess.run(["curl", "-sS", "--fail-with-body", "--noproxy", "*", *map(str, arguments),
                           server.url + path], input=stdin, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


def test_curl(server, tmp_path):
    panel = tmp_path / "panel.nxml"
    panel.write_text(COUNTER.replace('"counter"', '"mine"'))
    code, out, _ = curl(server, "-H", "Content-Type: application/xml", "--data-binary", f"@{panel}", path="/panels")
    assert (code, json.loads(out)["id"]) == (0, "mine")
    code, out, _ = curl(server, "-H", "Content-Type: application/xml", "--data-binary", f"@{panel}", path="/panels")
    assert (code, json.loads(out)["error"]["code"]) == (22, "PANEL_EXISTS")
    code, out, _ = curl(server, "--json", '{"by":4}', path="/panels/mine/trigger/increment")
    assert (code, json.loads(out)["returnValue"]) == (0, 4)
    # A state that has not changed is not sent again.
    etag = ("--etag-save", tmp_path / "etag", "--etag-compare", tmp_path / "etag", "-w", "%{http_code}")
    assert curl(server, *etag, path="/panels/mine/state")[1].endswith("200")
    assert curl(server, *etag, path="/panels/mine/state")[1] == "304"
    code, out, _ = curl(server, "-I", path="/panels/mine")
    assert code == 0 and out.startswith("HTTP/1.1 200 OK\n") and out.endswith("\n\n")
    assert curl(server, "-X", "DELETE", "-w", "%{http_code}", path="/panels/mine") == (0, "204", "")


@pytest.mark.parametrize("options", [
    ("--http1.0",), ("--http2",), ("--compressed",), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue"),
    ("-H", "Connection: close"), ("--tcp-nodelay",), ("-H", "Expect:")])
def test_curl_in_other_ways(server, options):
    """HTTP/1.0, an upgrade to HTTP/2 that is not taken, chunks, 100-continue."""
    body = '{"text":"' + "x" * 300_000 + '"}'
    code, out, errors = curl(server, *options, "-H", "Content-Type: application/json", "--data-binary", "@-",
                             path="/panels/counter/trigger/measure", stdin=body)
    assert code == 0, errors
    assert json.loads(out)["returnValue"] == 300_000


def test_curl_keeps_its_connection(server):
    done = subprocess.run(["curl", "-sS", "-w", "%{num_connects} ", *[server.url + "/health"] * 5, *["-o", "/dev/null"] * 5],
                          capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["1", "0", "0", "0", "0"]


def test_curl_and_tokens(counter):
    assert curl(counter, path="/panels")[0] == 22
    code, out, _ = curl(counter, "--oauth2-bearer", token("panel:read"), path="/panels")
    assert (code, json.loads(out)["total"]) == (0, 1)


@pytest.mark.parametrize("path, status", [("/panels/../metrics", 404), ("/panels/%2e%2e/metrics", 404),
                                          ("//panels", 404), ("/panels/..%2fmetrics", 400)])
def test_curl_with_paths_as_they_are(server, path, status):
    assert curl(server, "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", path=path)[1] == str(status)


# ---- requests -------------------------------------------------------------------------------------------------

def test_requests(counter):
    with requests.Session() as session:
        session.headers.update(bearer(token("*")))
        panel = counter.url + "/panels/counter"
        for i in range(1, 21):
            assert session.post(panel + "/trigger/increment", json={}, timeout=20).json()["returnValue"] == i
        parts = (part for part in (b'{"te', b'xt":"', b"x" * 100_000, b'"}'))  # sent in chunks
        answer = session.post(panel + "/trigger/measure", data=parts, timeout=20, headers={"Content-Type": "application/json"})
        assert answer.json()["returnValue"] == 100_000
        state = session.get(panel + "/state", timeout=20)
        assert state.json()["state"] == {"count": 20}
        assert session.get(panel + "/state", headers={"If-None-Match": state.headers["ETag"]}, timeout=20).status_code == 304
        with session.get(panel, stream=True, timeout=20) as streamed:
            assert b"".join(streamed.iter_content(7)) == session.get(panel, timeout=20).content
        with pytest.raises(requests.ReadTimeout):
            session.post(panel + "/trigger/nap", json={"ms": 5000}, timeout=0.2)
        assert session.get(panel, timeout=20).status_code == 200
    with pytest.raises(requests.HTTPError, match="401"):
        requests.get(counter.url + "/panels", timeout=20).raise_for_status()


# ---- websockets ------------------------------------------------------------------------------------------------

def test_websockets(counter):
    url = counter.url.replace("http", "ws") + "/panels/counter/ws"

    async def converse():
        async with websockets.connect(url, subprotocols=["nexus.v1", "bearer." + token("*")]) as socket:
            assert socket.subprotocol == "nexus.v1"
            assert json.loads(await socket.recv())["type"] == "CONNECTED"
            await (await socket.ping())
            await socket.send(iter(['{"type":"TRIG', 'GER","tool":"increment"}']))  # fragments
            assert [json.loads(await socket.recv())["type"] for _ in range(3)] == ["PATCH", "EVENT", "RESULT"]
            await socket.send("x" * (1024 * 1024 + 1))
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 1009
        for protocols in (["nexus.v1"], ["nexus.v1", "bearer.x"]):
            with pytest.raises(websockets.InvalidHandshake, match="401"):
                await websockets.connect(url, subprotocols=protocols)
    asyncio.run(asyncio.wait_for(converse(), 30))


# ---- Node.js ----------------------------------------------------------------------------------------------------

def node(script, *arguments, options=()):
    done = subprocess.run(["node", *options, str(ROOT / "tests/clients" / script), *arguments], capture_output=True,
                          text=True, timeout=60, check=False, env={**os.environ, "NX_JS_TOOLS": str(TOOLS)})
    assert done.returncode == 0, done.stdout + done.stderr


def test_node_fetch(server):
    node("fetch.mjs", server.url)


@pytest.mark.parametrize("which", ["ws", "undici"] + (["platform"] if NODE_OPTIONS is not None else []))
def test_node_websocket(counter, js_tools, which):
    assert js_tools.exists()
    node("websocket.mjs", which, counter.url, token("*"), options=NODE_OPTIONS or ())
