# SPDX-License-Identifier: Apache-2.0
"""Running a server: what it may use, what it refuses and when to come back, when it is ready, what it never logs."""
import contextlib
import json
import os
import signal

import pytest
import requests

import prometheus
from cli import nexus
from conftest import COUNTER, Server, Wire, processes, wait_until
from test_auth import SECRET, bearer, token
from ws_client import WebSocket

POST = "POST /panels/{}/trigger/{} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}"


def send_trigger(server, panel, tool, args=None, seconds=60):
    body = json.dumps(args or {})
    return Wire(server, seconds).send(POST.format(panel, tool, len(body), body))


def metric(server, name, **labels):
    return prometheus.read(server.get("/metrics").text)[name].value(**labels)


# ---- Memory ------------------------------------------------------------------------------------------

MIB = 1024 * 1024
SEE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
       'mount --bind "$0" /sys/fs/cgroup && exec "$@"')


def available(start, **env):
    server = start(**env)
    count = metric(server, "nexus_instances", state="available")
    server.stop_cleanly()
    return count


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"], ids=["v2", "v1"])
def test_three_quarters_of_the_cgroup_are_for_instances(start, tmp_path, name):
    file = tmp_path / "cgroup" / name
    file.parent.mkdir(parents=True)
    wrapper = (*SEE, str(tmp_path / "cgroup"))
    file.write_text(f"{200 * MIB}\n")
    assert available(start, wrapper=wrapper) == 4  # 150 MB, by 32
    assert available(start, wrapper=wrapper, env={"MEMORY_LIMIT_MB": "64"}) == 2
    assert available(start, wrapper=wrapper, env={"MAX_INSTANCES": "3"}) == 3
    assert available(start, wrapper=wrapper, env={"MEMORY_BUDGET_MB": "320"}) == 10
    file.write_text("max\n" if name == "memory.max" else "9223372036854771712\n")
    assert available(start, wrapper=wrapper) == 256


def test_a_budget_for_no_instance_is_a_bad_setting(start):
    bad = nexus("serve", env={"PATH": os.environ["PATH"], "HTTP_PORT": "0", "MEMORY_BUDGET_MB": "31", "MAX_QUEUE": "x"})
    assert bad.code == 2 and len(bad.err.splitlines()) == 2 and "MEMORY_BUDGET_MB" in bad.err
    assert available(start, env={"MEMORY_BUDGET_MB": "32"}) == 1


# ---- Limits ------------------------------------------------------------------------------------------

def test_instances_that_are_all_taken_make_others_wait(start):
    """With one instance, an execution of another panel waits until the first one's has ended."""
    server = start(env={"MAX_INSTANCES": "1", "MAX_QUEUE": "2"})
    server.create()
    server.create(COUNTER.replace('"counter"', '"other"'))
    sleeper = send_trigger(server, "counter", "nap", {"ms": 5000})
    wait_until(lambda: metric(server, "nexus_instances", state="suspended") == 1)
    waiting = []
    for depth in (1, 2):  # one after the other, so that they are in this order in the queue
        waiting.append(send_trigger(server, "other", "increment"))
        wait_until(lambda: metric(server, "nexus_queue_depth") == depth)
    assert metric(server, "nexus_instances", state="available") == 0
    refused = server.trigger("other", "increment")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "OVERLOADED")
    assert int(refused.headers["Retry-After"]) >= 1
    assert sleeper.read().json()["returnValue"] == "rested"
    assert [one.read().json()["returnValue"] for one in waiting] == [1, 2]
    wait_until(lambda: metric(server, "nexus_instances", state="available") == 1)
    assert server.trigger("other", "increment").json()["returnValue"] == 3
    for one in (sleeper, *waiting):
        one.close()
    server.stop_cleanly()


def test_every_refusal_says_when_to_come_back(start):
    server = start(env={"MAX_CLIENTS": "4", "MAX_PANELS": "1"})
    server.create()
    before = server.fds_at_rest()  # with the descriptor that the first connection makes it keep in reserve
    full = server.create(COUNTER.replace('"counter"', '"one-more"'))
    assert full.status_code == 429 and int(full.headers["Retry-After"]) >= 1
    health = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
    server.wait_for_fds(before)
    inside = [Wire(server).send(health) for _ in range(4)]
    assert [one.read().status for one in inside] == [200] * 4
    with Wire(server) as outside:
        refused = outside.read()
        assert refused.status == 503 and int(refused.headers["retry-after"]) >= 1
    inside[0].send(POST.format("counter", "nap", 13, '{"ms": 25000}'))
    wait_until(lambda: '"suspended"} 1' in inside[1].send(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n").read().body.decode())
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("stopping")
    for i, request in enumerate(("GET /ready HTTP/1.1\r\nHost: h\r\n\r\n", POST.format("counter", "increment", 2, "{}"),
                                 "POST /panels HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                                 "Content-Length: 2\r\n\r\n{}")):
        stopping = inside[i + 1].send(request).read()
        assert stopping.status == 503 and int(stopping.headers["retry-after"]) >= 1, request
    assert server.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    for one in inside:
        one.close()


# ---- Ready and healthy -------------------------------------------------------------------------------

def test_without_a_worker_neither_ready_nor_healthy(start):
    server = start()
    worker = server.only_worker()
    parent = processes()[worker][0]
    assert (server.get("/ready").json(), server.get("/health").json()["status"]) == ({"status": "ready"}, "healthy")
    os.kill(parent, signal.SIGSTOP)  # nobody makes a new one
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: server.get("/ready").status_code == 503)
    ready, health = server.get("/ready"), server.get("/health")
    assert ready.json() == {"status": "not ready", "reason": "no worker is alive"}
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    assert int(ready.headers["Retry-After"]) >= 1 and int(health.headers["Retry-After"]) >= 1
    os.kill(parent, signal.SIGCONT)
    wait_until(lambda: server.get("/ready").status_code == 200)
    assert server.get("/health").status_code == 200
    server.create()
    assert server.trigger("counter", "increment").json()["returnValue"] == 1
    server.stop_cleanly()


def test_lost_processes_are_logged(start):
    """A worker that is killed, one that does not answer, and the zygote, with which its workers go."""
    server = start(env={"TIMEOUT_MS": "1000"})
    killed = server.only_worker()

    def warned(start_of_message, *pids):
        return [line for line in server.logs() if line["msg"].startswith(start_of_message) and line["pid"] in pids
                and (line["level"], line["component"], line["audit"]) == ("warn", "sandbox", False)]
    assert not [line for line in server.logs() if line["component"] == "sandbox"]
    parent = processes()[killed][0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: warned("a worker ended unexpectedly", killed))
    wait_until(lambda: set(server.workers()) - {killed} and server.get("/ready").status_code == 200)
    server.create()
    os.kill(parent, signal.SIGSTOP)  # nobody makes a new one
    stopped = server.workers()
    for worker in stopped:
        with contextlib.suppress(ProcessLookupError):  # one that nobody wants any more
            os.kill(worker, signal.SIGSTOP)
    assert server.trigger("counter", "echo").json()["error"]["code"] == "TIMEOUT"
    wait_until(lambda: warned("a worker that did not answer was killed", *stopped))
    os.kill(parent, signal.SIGKILL)
    wait_until(lambda: server.logs("the zygote was started again"))
    lost, = warned("the zygote was lost", parent)
    assert lost["error"] == "the sandbox process ended unexpectedly"
    assert server.logs("the zygote was started again")[0]["pid"] not in (0, parent)
    wait_until(lambda: server.get("/ready").status_code == 200)
    assert server.trigger("counter", "increment").json()["returnValue"] == 1
    count = len(server.logs())
    server.stop_cleanly()
    assert not [line for line in server.logs()[count:] if line["component"] == "sandbox"], "an orderly end is no loss"


def test_draining_is_not_ready_but_healthy(start):
    server = start()
    server.create()
    busy = send_trigger(server, "counter", "nap", {"ms": 5000})
    wait_until(lambda: metric(server, "nexus_instances", state="suspended") == 1)
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("stopping")
    ready = server.get("/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "not ready", "reason": "draining"})
    assert (server.get("/health").status_code, server.get("/health").json()["status"]) == (200, "healthy")
    assert busy.read().json()["returnValue"] == "rested"
    assert server.wait() == 0
    busy.close()


# ---- What is never logged ----------------------------------------------------------------------------

TALKER = """<NexusPanel id="talker"><Data><State name="kept" type="string" default="MARK-default"/></Data><Logic>
  <Extension name="time"/>
  <Tool name="talk"><Capabilities><Capability type="state:read" scope="*"/><Capability type="state:write" scope="kept"/>
    <Capability type="events:emit" scope="said"/><Capability type="ext" scope="time"/></Capabilities>
  <Handler>$state.kept = $args.text; $emit('said', $args.text); await $ext.time.sleep(1, $args.text);
    return $args.text + $state.kept;</Handler></Tool>
  <Tool name="fail"><Handler>throw new Error($args.text);</Handler></Tool>
  <Tool name="denied"><Handler>$state.kept = $args.text;</Handler></Tool>
  <Tool name="typed"><Arg name="text" type="number"/><Handler>return 1;</Handler></Tool>
  <Tool name="say"><Handler>$log('CONTROL said'); return 1;</Handler></Tool>
</Logic></NexusPanel>"""


def test_no_argument_state_secret_or_token_in_any_log(start, tmp_path):
    """At the most talkative levels, over every way in; what is meant to be there shows that lines were looked at."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    server = start(env={"AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(secret), "LOG_LEVEL": "debug", "AUDIT": "all",
                        "ALLOW_QUERY_TOKEN": "true", "CACHE_DIR": str(tmp_path / "cache")})
    good, bad = token("*"), token("*", secret="another-secret-of-no-meaning-at-all")
    headers = {**bearer(good), "X-Request-Id": "CONTROL-request", "Cookie": "MARK-cookie=1", "User-Agent": "MARK-agent",
               "Idempotency-Key": "MARK-idempotency"}
    created = requests.post(server.url + "/panels", data=TALKER, timeout=20,
                            headers={**bearer(good), "Content-Type": "application/xml"})
    assert created.status_code == 201
    results = {tool: server.trigger("talker", tool, {"text": "MARK-argument"}, headers=headers)
               for tool in ("talk", "fail", "denied", "typed", "say")}
    assert results["talk"].json()["returnValue"] == "MARK-argumentMARK-argument"
    assert results["denied"].json()["error"]["code"] == "PERMISSION_DENIED"
    assert results["typed"].status_code == 400
    assert server.get("/panels", headers=bearer(bad)).status_code == 401
    server.get("/panels/talker/state?text=MARK-query", headers=headers)
    server.post("/panels", data='{"kind": "MARK-kind", "tools": "MARK-tools"', headers={**headers, "Content-Type": "application/json"})
    ticket = server.post("/panels/talker/ws-ticket", headers=headers).json()["ticket"]
    for path in (f"/panels/talker/ws?ticket={ticket}", f"/panels/talker/ws?token={good}", f"/panels/talker/ws?token={bad}"):
        with WebSocket(server, path=path) as socket:
            if socket.opened:
                assert socket.read()["type"] == "CONNECTED"
                socket.send({"type": "TRIGGER", "tool": "fail", "args": {"text": "MARK-argument"}, "requestId": "1"})
                socket.read_until("RESULT")
    with Wire(server) as broken:
        broken.send("GET /MARK-target HTTP/1.1\r\nMARK-header\r\n\r\n").read()
    server.stop_cleanly()
    text = "\n".join(server.lines + server.errors)
    for control in ("CONTROL said", "CONTROL-request", '"execution failed"', '"capability denied"', '"request refused"'):
        assert control in text, control
    found = [line for line in text.splitlines() if "MARK" in line]
    assert not found, found
    for hidden in (SECRET, ticket, *good.split(".")[1:], *bad.split(".")[1:]):
        assert hidden not in text
