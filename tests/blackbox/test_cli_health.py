# SPDX-License-Identifier: Apache-2.0
"""`nexus health`: what a container asks to know whether its server lives."""
import os
import signal
import socket
import threading
import time

import pytest

from cli import nexus, refused


def health(*arguments, **env):
    return nexus("health", *arguments, env={"PATH": os.environ["PATH"], **env})


def test_a_healthy_server(module_server):
    outcome = health("--url", module_server.url)
    assert (outcome.code, outcome.out, outcome.err) == (0, "healthy\n", "")
    assert health("--url", module_server.url + "/").code == 0


def test_the_server_of_the_settings(module_server):
    for host in ("", "127.0.0.1", "localhost", "0.0.0.0"):
        assert health(HOST=host, HTTP_PORT=str(module_server.port)).code == 0, host
    # What else the server was told is no business of this.
    assert health(HTTP_PORT=str(module_server.port), AUTH_ENABLED="true", MAX_QUEUE="bad",
                  CACHE_DIR="/nowhere").code == 0


def test_ipv6(start):
    if not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    server = start(env={"HOST": "::1"})
    assert health(HOST="::1", HTTP_PORT=str(server.port)).code == 0
    assert health(HOST="::", HTTP_PORT=str(server.port)).code == 0
    server.stop_cleanly()


def test_a_proxy_is_not_asked(module_server):
    env = {name: "http://127.0.0.1:9" for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy")}
    assert health("--url", module_server.url, **env).code == 0


def test_with_tokens(start):
    server = start(env={"AUTH_ENABLED": "true", "JWT_SECRET": "Xq3vT9kLm2Rw8YpZ5sUd7GhJ4bNc6Aef"})
    assert health("--url", server.url).code == 0
    server.stop_cleanly()


def test_nobody_there():
    with socket.socket() as taken:  # so that nobody else comes to listen there
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        outcome = health(HTTP_PORT=str(port))
    assert outcome.code == 1 and outcome.out == "" and f":{port}/health" in outcome.err


def test_a_server_that_hangs(start):
    server = start()
    server.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    outcome = health("--url", server.url)
    assert outcome.code == 1 and 2 < time.monotonic() - started
    server.process.send_signal(signal.SIGCONT)
    server.stop_cleanly()


@pytest.mark.parametrize("status", ["503 Service Unavailable", "404 Not Found", "302 Found"])
def test_other_answers(status):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def answer():
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: /\r\n\r\n".encode())
            connection.close()
        thread = threading.Thread(target=answer)
        thread.start()
        outcome = health(HTTP_PORT=str(listener.getsockname()[1]))
        thread.join()
    assert outcome.code == 1 and f"answered {status[:3]}" in outcome.err


@pytest.mark.parametrize("settings, said", [
    ({"HTTP_PORT": "0"}, "--url"), ({"HTTP_PORT": "off"}, "--url"), ({"HTTP_PORT": "http"}, "HTTP_PORT=http"),
    ({"HOST": "example.com"}, "HOST=example.com")])
def test_bad_settings(settings, said):
    refused(health(**settings), said)


def test_wrong_usage():
    refused(health("--bogus"), "--help")
    refused(health("extra"), "extra")
    refused(health("--url", "x" * 2000), "too long")
    assert health("--url", "file:///etc/passwd").code == 1
    assert "--url" in health("--help").out
