# SPDX-License-Identifier: Apache-2.0
"""Web servers on loopback for the tests of the http extension, well-behaved and otherwise, and a
runtime with a panel that calls them.

Loopback is what handlers may not reach: the servers that stand for the Internet are named to the
runtime by their exact address and port, and one more, `inside`, is not.
"""
import gzip
import functools
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
import zlib

import pytest

from conftest import Server


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path; parameters come in the query."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def any_method(self):
        size = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(size).decode()
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        web, self.gone = self.server.web, False
        with web.changed:
            self.round = web.requests
            web.requests.append(self)
            web.now += 1
            web.most = max(web.most, web.now)
            web.changed.notify_all()
        try:
            getattr(self, "at_" + url.path.strip("/"), self.at_missing)()
        finally:
            self.leave()

    def leave(self):
        """It is at work no more. Before its last byte: who gets that may come again at once."""
        with self.server.web.changed:
            # One that a test left behind does not count in the next.
            self.server.web.now -= not self.gone and self.round is self.server.web.requests
            self.gone = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = any_method

    def reply(self, body, status=200, **headers):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def at_missing(self):
        self.reply("nothing here", 404, Content_Type="text/plain")

    def at_echo(self):
        seen = {"method": self.command, "path": self.path, "body": self.body,
                "headers": {name.lower(): value for name, value in self.headers.items()}}
        self.reply(json.dumps(seen), Content_Type="application/json; charset=utf-8")

    def at_text(self):
        self.reply(self.query["body"], Content_Type=self.query.get("type", "text/plain"))

    def at_cookies(self):
        self.send_response(200)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("X-Twice", "1")
        self.send_header("X-Twice", "2")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def at_redirect(self):
        time.sleep(int(self.query.get("ms", 0)) / 1000)
        self.reply("moved", int(self.query.get("status", 302)), Location=self.query["to"])

    def at_chain(self):
        left = int(self.query["left"])
        self.reply("", 302, Location=f"/chain?left={left - 1}" if left else "/echo")

    def at_slow(self):
        time.sleep(int(self.query["ms"]) / 1000)
        self.leave()
        self.reply("late")

    def at_held(self):
        """Answers when it is let go, or when `together` requests have been at work at once."""
        with self.server.web.changed:
            self.server.web.changed.wait_for(lambda: self.server.web.open or self.server.web.most >= int(
                self.query.get("together", 1 << 30)), 60)
        self.leave()
        self.reply("late")

    def at_big(self):
        self.reply(b"x" * int(self.query["bytes"]))

    def at_zip(self):
        body = compressed(int(self.query["bytes"]))
        self.reply(body, Content_Encoding="gzip", X_Compressed=str(len(body)))

    def at_layers(self):
        """Compressed again and again; decompressed, it is `bytes` bytes that stand for nothing."""
        empty_block = b"\0\0\0\xff\xff"
        raw = zlib.compressobj(wbits=-15)
        body = b"\x1f\x8b\x08\0\0\0\0\0\0\3" + empty_block * (int(self.query["bytes"]) // 5)
        body += raw.compress(b"") + raw.flush() + b"\0" * 8
        layers = int(self.query["layers"])
        for _ in range(layers - 1):
            body = gzip.compress(body)
        name = self.query.get("header", "Content-Encoding")
        self.reply(body, **{name: ", ".join(["gzip"] * layers)})

    def at_headers(self):
        self.reply("", **{f"X-{i}": "v" * int(self.query.get("size", 1))
                          for i in range(int(self.query["count"]))})

    def forever(self, start, piece, seconds):
        """Sends `piece` until the client goes away; notes that it did."""
        self.close_connection = True
        self.wfile.write(start)
        try:
            for _ in range(int(30 / max(seconds, 0.001))):
                self.wfile.write(piece)
                time.sleep(seconds)
        except OSError:
            self.server.web.left.set()

    def at_drip(self):
        self.forever(b"HTTP/1.1 200 OK\r\n\r\n", b".", 0.05)

    def at_dripping_headers(self):
        self.forever(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100, 0)

    def at_interim(self):
        self.forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0)

    def at_endless(self):
        self.forever(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, 0)

    def at_raw(self):
        self.close_connection = True
        self.wfile.write(self.query["bytes"].encode("latin-1"))


@functools.lru_cache
def compressed(size):
    """Zeros. Large ones take long: a test that is about something else asks for them before."""
    return gzip.compress(b"\0" * size)


class Web:
    """A server on 127.0.0.1 (or `host`), with TLS if `certificate` names its two files."""

    def __init__(self, host="127.0.0.1", certificate=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server_class = type("Server", (http.server.ThreadingHTTPServer,),
                            {"address_family": family, "daemon_threads": True,
                             "request_queue_size": 128, "handle_error": lambda *_: None})
        self.server = server_class((host, 0), Handler)
        self.server.web = self
        self.port = self.server.server_address[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.changed = threading.Condition()
        self.reset()
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def reset(self):
        with self.changed:
            self.requests, self.now, self.most, self.left = [], 0, 0, threading.Event()
            self.open = False

    def let_go(self):
        """What is held is answered, and what comes."""
        with self.changed:
            self.open = True
            self.changed.notify_all()

    def url(self, path="/echo", host=None, **query):
        host = f"{host}:{self.port}" if host else self.address
        query = "?" + urllib.parse.urlencode(query) if query else ""
        return f"{self.scheme}://{host}{path}{query}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def make_certificates(folder):
    """A CA, and a certificate it signed for localhost and 127.0.0.2: not for 127.0.0.1."""
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
    ca, ca_key, key = folder / "ca.pem", folder / "ca.key", folder / "site.key"
    request, site, extra = folder / "site.csr", folder / "site.pem", folder / "site.ext"
    key_options = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key_options, "-keyout", ca_key, "-out", ca, "-subj", "/CN=Test CA",
            "-days", "2")
    openssl("req", *key_options, "-keyout", key, "-out", request, "-subj", "/CN=test")
    extra.write_text("subjectAltName=DNS:localhost,IP:127.0.0.2\n")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
            "-out", site, "-days", "2", "-extfile", extra)
    return ca, (site, key)


# ---- The runtime

PANEL = """<NexusPanel id="%s">
  <Logic>
    <Extension name="http"/>
    <Tool name="call">
      <Capabilities><Capability type="ext" scope="http"/></Capabilities>
      <Handler>
        try {
          return await $ext.http[$args.method](...$args.call);
        } catch (e) {
          return { error: e.message, code: e.code };
        }
      </Handler>
    </Tool>
    <Tool name="all">
      <Capabilities><Capability type="ext" scope="http"/></Capabilities>
      <Handler>
        const results = await Promise.allSettled($args.urls.map(url => $ext.http.get(url)));
        return results.map(r => r.status === 'fulfilled' ? r.value.data : r.reason.message);
      </Handler>
    </Tool>
    <Tool name="ungranted">
      <Handler>return await $ext.http.get($args.url);</Handler>
    </Tool>
  </Logic>
</NexusPanel>
"""


class Client:
    """A server with the panel on it."""

    def __init__(self, allow=(), domains="*", panel="web", **env):
        env = {"HTTP_ALLOWED_DOMAINS": domains, **env}
        if allow:
            env["HTTP_EXT_ALLOW_ADDRESSES"] = ",".join(web.address for web in allow)
        self.server = Server(env=env)
        self.add_panel(panel)

    def add_panel(self, panel):
        assert self.server.create(PANEL % panel).status_code == 201

    def call(self, method, *arguments, panel="web", **options):
        result = self.server.trigger(panel, "call", {"method": method, "call": arguments},
                                     **options).json()
        assert result["status"] == "success", result
        return result["returnValue"]

    def get(self, url, **options):
        return self.call("get", url, options)

    def error(self, method, *arguments):
        value = self.call(method, *arguments)
        assert value.get("code") == "EXTENSION_ERROR", value
        return value["error"]

    def all(self, urls, panel="web"):
        result = self.server.trigger(panel, "all", {"urls": urls}, timeout=60).json()
        assert result["status"] == "success", result
        return result["returnValue"]


@pytest.fixture(scope="module")
def webs():
    opened = [Web(), Web(), Web()]
    yield opened
    for one in opened:
        one.close()


@pytest.fixture
def web(webs):
    webs[0].reset()
    return webs[0]


@pytest.fixture
def other(webs):
    webs[1].reset()
    return webs[1]


@pytest.fixture
def inside(webs):
    """Reachable for the machine, not for handlers."""
    webs[2].reset()
    return webs[2]


@pytest.fixture
def start_client():
    started = []

    def start_one(*arguments, **options):
        started.append(Client(*arguments, **options))
        return started[-1]
    yield start_one
    for one in started:
        if one.server.process.poll() is None:
            one.server.stop_cleanly()
