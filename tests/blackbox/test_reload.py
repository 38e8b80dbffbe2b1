# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: new keys, policies and log levels take effect; wrong ones change nothing and are named."""
import itertools
import signal
import time

import jwt
import pytest

from conftest import COUNTER, wait_until
from test_auth import OTHER_SECRET, SECRET, bearer, claims, make_pair, public_pem, token
from ws_client import WebSocket


def hang_up(server, *messages):
    """Sends SIGHUP and waits until each message has been logged once more; returns the lines since."""
    seen = len(server.logs())
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = server.logs()[seen:]
        if all(any(line["msg"] == message for line in lines) for message in messages):
            return lines
        time.sleep(0.01)
    raise AssertionError(f"{messages} not among {server.logs()[seen:]}")


def status(server, text):
    return server.get("/panels", headers=bearer(text)).status_code


@pytest.fixture(name="secret_file")
def make_secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def guarded(start, secret_file, **env):
    return start(env={"AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(secret_file), **env})


# ---- Keys --------------------------------------------------------------------------------------------

def test_a_new_secret(start, secret_file):
    server = guarded(start, secret_file)
    old, new = token("*"), token("*", secret=OTHER_SECRET)
    assert [status(server, one) for one in (old, old, new)] == [200, 200, 401]  # the old one is remembered
    secret_file.write_text(OTHER_SECRET)
    assert [status(server, one) for one in (old, new)] == [200, 401]  # not before it is told
    hang_up(server, "key read anew")
    assert [status(server, one) for one in (old, new, old, new)] == [401, 200, 401, 200]
    server.stop_cleanly()
    text = "\n".join(server.lines + server.errors)
    assert SECRET not in text and OTHER_SECRET not in text


@pytest.mark.parametrize("content, why", [
    ("short", "32 to 1024 bytes"), ("changeme" * 8, "text that examples use"), ("", "32 to 1024 bytes"),
    ("ab" * 40, "repeats itself"), (None, "No such file")], ids=["short", "placeholder", "empty", "weak", "gone"])
def test_a_bad_secret_changes_nothing(start, secret_file, content, why):
    server = guarded(start, secret_file)
    if content is None:
        secret_file.unlink()
    else:
        secret_file.write_text(content)
    lines = hang_up(server, "the key stays as it was")
    assert any(line["msg"].startswith("JWT_SECRET_FILE=") and why in line["msg"] and line["level"] == "warn"
               for line in lines)
    assert lines[-1]["level"] == "error"
    assert status(server, token("*")) == 200
    assert not content or content not in "\n".join(server.lines)
    secret_file.write_text(OTHER_SECRET)
    hang_up(server, "key read anew")
    assert [status(server, token("*", secret=one)) for one in (SECRET, OTHER_SECRET)] == [401, 200]
    server.stop_cleanly()


def test_a_mounted_secret(start, tmp_path):
    """As Kubernetes replaces one: the file is a link into a folder that a link stands for, which changes."""
    def publish(number, secret):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        (folder / "secret").write_text(secret)
        (tmp_path / "..new").symlink_to(folder.name)
        (tmp_path / "..new").rename(tmp_path / "..data")
    publish(1, SECRET)
    path = tmp_path / "secret"
    path.symlink_to("..data/secret")
    server = guarded(start, path)
    publish(2, OTHER_SECRET)
    hang_up(server, "key read anew")
    assert [status(server, token("*", secret=one)) for one in (SECRET, OTHER_SECRET)] == [401, 200]
    server.stop_cleanly()


def test_a_new_public_key(start, tmp_path):
    first, second, path = make_pair("ES256"), make_pair("ES256"), tmp_path / "public.pem"
    path.write_bytes(public_pem(first))
    server = start(env={"AUTH_ENABLED": "true", "JWT_ALG": "ES256", "JWT_PUBLIC_KEY_FILE": str(path)})
    signed = [jwt.encode(claims("panel:read"), pair, algorithm="ES256") for pair in (first, second)]
    assert [status(server, one) for one in signed] == [200, 401]
    path.write_bytes(public_pem(make_pair("RS256")))  # of another kind: not what JWT_ALG says
    hang_up(server, "the key stays as it was")
    assert [status(server, one) for one in signed] == [200, 401]
    path.write_bytes(public_pem(second))
    hang_up(server, "key read anew")
    assert [status(server, one) for one in signed] == [401, 200]
    server.stop_cleanly()


def test_open_sockets_stay(start, secret_file):
    server = guarded(start, secret_file)
    server.post("/panels", data=COUNTER.encode(), headers={"Content-Type": "application/xml", **bearer(token("*"))})
    authorization = "Authorization: Bearer " + token("*")
    tickets = [server.post("/panels/counter/ws-ticket", headers=bearer(token("*"))).json()["ticket"]
               for _ in range(2)]
    hang_up(server, "key read anew")  # it is the same
    with WebSocket(server, path="/panels/counter/ws?ticket=" + tickets[0]) as socket:
        assert socket.reply.status == 101
    with WebSocket(server, headers=[authorization]) as socket:
        assert socket.read()["type"] == "CONNECTED"
        secret_file.write_text(OTHER_SECRET)
        hang_up(server, "key read anew")
        socket.send({"type": "PING"})
        assert socket.read()["type"] == "PONG"
    for options in ({"headers": [authorization]}, {"path": "/panels/counter/ws?ticket=" + tickets[1]}):
        with WebSocket(server, **options) as socket:
            assert socket.reply.status == 401
    server.stop_cleanly()


def test_the_cache_goes_with_the_secret(start, secret_file, tmp_path):
    def read(server):
        with_other = bearer(token("*", secret=OTHER_SECRET))
        assert server.post("/panels", data=COUNTER.encode(),
                           headers={"Content-Type": "application/xml", **with_other}).status_code == 201
        text = server.get("/metrics", headers=with_other).text
        return {outcome: f'nexus_disk_cache_reads_total{{outcome="{outcome}"}} 7' in text
                for outcome in ("hit", "refused")}
    env = {"CACHE_DIR": str(tmp_path / "cache")}
    server = guarded(start, secret_file, **env)
    secret_file.write_text(OTHER_SECRET)
    hang_up(server, "key read anew")
    read(server)
    server.stop_cleanly()
    server = guarded(start, secret_file, **env)  # started with what the other one changed to
    assert read(server) == {"hit": True, "refused": False}
    server.stop_cleanly()


# ---- Log level ---------------------------------------------------------------------------------------

def logs_requests(server, numbers=itertools.count()):
    """Whether it does. The warning behind a request shows that its line would have come."""
    name = f"request-{next(numbers)}"
    before = len(server.logs("execution failed"))
    server.get("/panels", headers={"X-Request-Id": name})
    server.trigger("counter", "fail")
    wait_until(lambda: len(server.logs("execution failed")) > before)
    return any(line["requestId"] == name for line in server.logs("request"))


def wait_for_requests(server):
    before = len(server.logs("request"))
    server.get("/panels")
    wait_until(lambda: len(server.logs("request")) > before)


def test_log_level(start, tmp_path):
    path = tmp_path / "level"
    path.write_text("info\n")
    server = start(env={"LOG_LEVEL_FILE": str(path), "LOG_LEVEL": "error"})  # the file decides
    server.create()
    assert server.logs("listening") and not logs_requests(server)
    path.write_text("debug")
    hang_up(server, "log level read anew")
    wait_for_requests(server)
    for wrong in ("verbose", "", "debug info", "x" * 1000):
        path.write_text(wrong)
        lines = hang_up(server, "the log level stays as it was")
        assert any(line["msg"].startswith("LOG_LEVEL_FILE=") for line in lines)
    wait_for_requests(server)
    path.write_text("warn\r\n")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not logs_requests(server))
    assert not logs_requests(server)
    server.stop_cleanly()
    assert not server.logs("stopped")


# ---- Together ----------------------------------------------------------------------------------------

def test_one_that_is_wrong_does_not_hold_up_the_others(start, secret_file, tmp_path):
    policy, level = tmp_path / "policy.json", tmp_path / "level"
    policy.write_text('{"default": {"grant": ["state:read:*"]}}')
    level.write_text("info")
    server = guarded(start, secret_file, POLICY_FILE=str(policy), LOG_LEVEL_FILE=str(level))
    policy.write_text('{"default": {"grant": ["nonsense"]}}')
    secret_file.write_text(OTHER_SECRET)
    level.write_text("debug")
    hang_up(server, "the policy stays as it was", "key read anew", "log level read anew")
    assert [status(server, token("*", secret=one)) for one in (SECRET, OTHER_SECRET)] == [401, 200]
    server.stop_cleanly()


def test_what_comes_from_the_environment_stays(start, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text("{}")
    server = start(env={"AUTH_ENABLED": "true", "JWT_SECRET": SECRET, "POLICY_FILE": str(policy)})
    lines = hang_up(server, "policy read anew")
    assert not [line for line in lines if "key" in line["msg"]]
    assert status(server, token("*")) == 200
    server.stop_cleanly()


def test_without_files_the_signal_means_what_it_always_does(start):
    assert start().stop(signal.SIGHUP) == -signal.SIGHUP


def test_under_load(start, secret_file):
    """Keys change while requests come in: each is answered by the one key or the other."""
    server = guarded(start, secret_file)
    texts = [token("*"), token("*", secret=OTHER_SECRET)]
    for i in range(20):
        secret_file.write_text([OTHER_SECRET, SECRET][i % 2])
        server.process.send_signal(signal.SIGHUP)
        assert {status(server, text) for text in texts} <= {200, 401}
    secret_file.write_text(SECRET)
    hang_up(server, "key read anew")
    assert [status(server, text) for text in texts] == [200, 401]
    server.stop_cleanly()
