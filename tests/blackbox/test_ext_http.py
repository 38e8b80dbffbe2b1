# SPDX-License-Identifier: Apache-2.0
"""The http extension, from handlers to real servers on loopback: requests, addresses, redirects."""
import json
import os
import socket
import subprocess

import pytest

from web import PANEL, Client, inside, other, start_client, web, webs  # noqa: F401 (fixtures)

@pytest.fixture(scope="module")
def module_client(webs):
    one = Client(allow=webs[:2], HTTP_TIMEOUT="20000", HTTP_MAX_RESPONSE_KB="64")
    yield one
    one.server.stop_cleanly()


@pytest.fixture
def client(module_client):
    return module_client


# ---- Requests ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["get", "delete", "options"])
def test_methods_without_a_body(client, web, method):
    result = client.call(method, web.url("/echo", q="1"))
    assert (result["status"], result["statusText"], result["ok"]) == (200, "OK", True)
    seen = result["data"]
    assert (seen["method"], seen["path"], seen["body"]) == (method.upper(), "/echo?q=1", "")
    assert "content-type" not in seen["headers"]
    assert "transfer-encoding" not in seen["headers"]


@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_methods_with_a_body(client, web, method):
    seen = client.call(method, web.url(), {"a": [1, "ü"]})["data"]
    assert (seen["method"], json.loads(seen["body"])) == (method.upper(), {"a": [1, "ü"]})
    assert seen["headers"]["content-type"] == "application/json"
    seen = client.call(method, web.url(), "a=b", {"headers": {"content-type": "text/x"}})["data"]
    assert (seen["body"], seen["headers"]["content-type"]) == ("a=b", "text/x")
    seen = client.call(method, web.url())["data"]
    assert (seen["body"], seen["headers"]["content-length"]) == ("", "0")
    assert "content-type" not in seen["headers"]


def test_large_bodies_go_out_at_once(client, web):
    body = "x" * 500_000
    seen = client.call("post", web.url("/text", body="small"), body)
    assert seen["data"] == "small"
    assert web.requests[0].body == body and "Expect" not in web.requests[0].headers


def test_head_and_request(client, web):
    result = client.call("head", web.url("/big", bytes=70_000))
    assert (result["status"], result["data"]) == (200, "")
    assert result["headers"]["content-length"] == "70000"
    assert web.requests[0].command == "HEAD"
    result = client.call("request", {"method": "Delete", "url": web.url(), "body": [1],
                                     "headers": {"X-A": "b"}})
    assert (result["data"]["method"], result["data"]["body"]) == ("DELETE", "[1]")
    assert result["data"]["headers"]["x-a"] == "b"


def test_results(client, web):
    result = client.get(web.url("/missing"))
    assert (result["status"], result["statusText"], result["ok"]) == (404, "Not Found", False)
    assert result["data"] == "nothing here"
    assert client.get(web.url("/text", body="[1]", type="application/json"))["data"] == [1]
    assert client.get(web.url("/text", body="[1", type="application/json"))["data"] == "[1"
    assert client.get(web.url("/text", body="[1]", type="text/plain"))["data"] == "[1]"
    forged = '1,"ok":false,"status":500'
    result = client.get(web.url("/text", body=forged, type="application/json"))
    assert (result["data"], result["ok"], result["status"]) == (forged, True, 200)
    headers = client.get(web.url("/cookies"))["headers"]
    assert (headers["set-cookie"], headers["x-twice"]) == (["a=1", "b=2"], "1, 2")


def test_what_the_runtime_sends(client, web):
    result = client.call("get", web.url(), {"headers": {"X-Mine": "yes"}},
                         headers={"X-Request-Id": "trace-me"})
    headers = result["data"]["headers"]
    assert set(headers) == {"host", "user-agent", "accept", "accept-encoding", "x-mine",
                            "x-request-id"}
    assert headers["host"] == web.address
    assert headers["user-agent"].startswith("Nexus-Runtime/")
    assert headers["x-request-id"] == "trace-me"


def test_traceparent_is_carried_on(client, web):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    own = trace.replace("b7ad", "0bad")

    def sent(given, **headers):
        result = client.call("get", web.url(), {"headers": headers}, headers={"traceparent": given})
        return result["data"]["headers"].get("traceparent")
    assert sent(trace) == trace
    assert sent(trace[1:]) is None
    assert sent(trace, Traceparent=own) == own


def test_ungranted(client, web):
    result = client.server.trigger("web", "ungranted", {"url": web.url()}).json()
    assert result["error"]["code"] == "PERMISSION_DENIED"
    assert not web.requests
    assert client.get(web.url())["status"] == 200


# ---- What the environment and earlier calls leave behind ---------------------------------------------

def test_no_proxy_netrc_or_cookies(start_client, web, other, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    proxies = {name: other.url("") for name in ("http_proxy", "all_proxy", "ALL_PROXY", "https_proxy")}
    client = start_client(allow=[web, other], HOME=str(tmp_path), NETRC=str(tmp_path / ".netrc"),
                          **proxies)
    # Controls: the same environment moves curl, and the proxy can be reached.
    curl = subprocess.run(["curl", "-s", "--netrc", "http://127.0.0.1:1/echo"], timeout=20,
                          capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **proxies})
    assert "authorization" in curl.stdout.lower() or len(other.requests) == 1
    other.reset()
    assert client.get(other.url())["status"] == 200
    other.reset()
    client.get(web.url("/cookies"))
    headers = client.get(web.url())["data"]["headers"]
    assert not other.requests
    assert not {"authorization", "cookie", "proxy-connection"} & set(headers)
    # A handler's own are its own affair.
    sent = {"Authorization": "Basic eA==", "Cookie": "a=1"}
    headers = client.get(web.url(), headers=sent)["data"]["headers"]
    assert (headers["authorization"], headers["cookie"]) == ("Basic eA==", "a=1")


# ---- Hosts and addresses -----------------------------------------------------------------------------

def test_allowed_domains(start_client, web):
    client = start_client(allow=[web], domains="localhost,*.example.com")
    assert client.get(web.url(host="localhost"))["status"] == 200
    assert client.get(web.url(host="LocalHost"))["status"] == 200
    for host in ("127.0.0.1", "localhost.example.org", "example.com", "0x7f.1", "evil.localhost"):
        assert "HTTP_ALLOWED_DOMAINS" in client.error("get", web.url(host=host))
    assert len(web.requests) == 2


def test_off_without_domains(start, web):
    server = start(env={"HTTP_EXT_ALLOW_ADDRESSES": web.address})
    server.create(PANEL % "web")
    result = server.trigger("web", "call", {"method": "get", "call": [web.url()]}).json()
    assert result["returnValue"]["code"] == "EXTENSION_NOT_FOUND"
    server.stop_cleanly()


LOOPBACK_SPELLINGS = ["127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001",
                      "localhost", "LocalHost", "%31%32%37.0.0.1"]


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
def test_loopback_by_any_name(client, web, inside, host):
    # Control first: with an exception for the address, the spelling leads there.
    assert client.get(web.url(host=host))["status"] == 200
    error = client.error("get", inside.url(host=host))
    assert "loopback" in error and "refused" in error
    assert not inside.requests


@pytest.mark.parametrize("host", ["127.0.0.1.", "localhost.", "2130706433.", "127.0.0.1%2e"])
def test_a_dot_at_the_end(client, inside, host):
    """Where the C library takes such a name for the address, it is refused; else it is unknown."""
    error = client.error("get", inside.url(host=host))
    assert "loopback" in error or "resolve" in error, error
    assert not inside.requests


def test_the_exception_is_for_one_address_and_port(client, web):
    for host in ("127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "0", "[::]",
                 "[64:ff9b::7f00:1]", "[2002:7f00:1::]"):
        assert "refused" in client.error("get", web.url(host=host)), host
    assert not web.requests


@pytest.mark.parametrize("host,why", [
    ("10.0.0.1", "private"), ("172.16.0.1", "private"), ("192.168.0.1", "private"),
    ("169.254.169.254", "link-local"), ("100.100.100.200", "shared"), ("224.0.0.1", "multicast"),
    ("168.63.129.16", "metadata"), ("255.255.255.255", "reserved"), ("[fe80::1%25lo]", "link-local"),
    ("[fd00:ec2::254]", "private"), ("[ff02::1]", "multicast")])
def test_other_addresses(client, host, why):
    assert why in client.error("get", f"http://{host}/")


def test_a_refused_address_is_not_touched(client):
    """Not even a connection is made: nothing to learn from timing or from the peer's log."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        port = listener.getsockname()[1]
        assert "loopback" in client.error("get", f"http://127.0.0.1:{port}/")
        with pytest.raises(TimeoutError):
            listener.accept()


def test_unknown_names(client):
    assert "resolve" in client.error("get", "http://no-such-host.invalid/")


# ---- Redirects ---------------------------------------------------------------------------------------

def test_redirects_are_followed(client, web, other):
    for to in ("/echo", other.url()):
        result = client.get(web.url("/redirect", to=to))
        assert (result["status"], result["data"]["path"]) == (200, "/echo")
    result = client.get(web.url("/redirect", to="/echo"), followRedirects=False)
    assert (result["status"], result["headers"]["location"]) == (302, "/echo")
    assert client.get(web.url("/chain", left=4))["status"] == 200
    assert "5 redirects" in client.error("get", web.url("/chain", left=5))
    assert client.call("head", web.url("/redirect", to="/echo"))["status"] == 200


@pytest.mark.parametrize("status,method,body", [
    (301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "b"), (308, "POST", "b")])
def test_method_after_a_redirect(client, web, status, method, body):
    seen = client.call("post", web.url("/redirect", to="/echo", status=status), "b")["data"]
    assert (seen["method"], seen["body"]) == (method, body)
    assert ("content-type" in seen["headers"]) == bool(body)


def test_secrets_stay_with_their_origin(client, web, other):
    secrets = {"Authorization": "s", "Cookie": "s", "X-Other": "x"}
    kept = client.get(web.url("/redirect", to="/echo"), headers=secrets)["data"]["headers"]
    assert (kept["authorization"], kept["cookie"], kept["x-other"]) == ("s", "s", "x")
    for to in (other.url(), web.url(host="localhost")):
        seen = client.get(web.url("/redirect", to=to), headers=secrets)["data"]["headers"]
        assert not {"authorization", "cookie"} & set(seen)
        assert seen["x-other"] == "x"


def test_redirects_to_where_one_may_not_go(client, web, inside):
    for to, why in [(inside.url(), "loopback"), (inside.url(host="localhost"), "loopback"),
                    ("http://169.254.169.254/", "link-local"), ("file:///etc/passwd", "http://"),
                    ("gopher://127.0.0.1/", "http://"), (web.url(host="u:p@localhost"), "user"),
                    ("http://[::ffff:127.0.0.1]/", "mapped")]:
        assert why in client.error("get", web.url("/redirect", to=to)), to
    assert not inside.requests


def test_redirects_to_domains_that_are_not_allowed(start_client, web):
    client = start_client(allow=[web], domains="127.0.0.1")
    assert client.get(web.url("/redirect", to="/echo"))["status"] == 200
    web.reset()
    error = client.error("get", web.url("/redirect", to=web.url(host="localhost")))
    assert "HTTP_ALLOWED_DOMAINS" in error and len(web.requests) == 1
