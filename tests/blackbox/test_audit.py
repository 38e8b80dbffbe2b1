# SPDX-License-Identifier: Apache-2.0
"""What the log says: who did what, whose request it was, and no more lines than are allowed."""
import json
import re
import time

import pytest

from conftest import COUNTER, ROOT
from test_auth import SECRET, bearer, token

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

DENIED = """<NexusPanel id="denied"><Data><State name="s" type="number"/></Data><Logic>
<Tool name="t"><Handler>for (let i = 0; i < $args.n; i++) { try { $state.s = i; } catch (e) {} }</Handler></Tool>
<Tool name="named"><Handler>try { $emit($args.name, 1); } catch (e) {}</Handler></Tool>
<Tool name="busy"><Capabilities><Capability type="events:emit" scope="*"/></Capabilities>
<Handler>for (let i = 0; i < 100; i++) $emit('e' + i, i);</Handler></Tool>
</Logic></NexusPanel>"""


def limit(name):
    return int(re.search(rf"#define {name}\s+(\d+)", (ROOT / "src/base/limits_net.h").read_text())[1])


@pytest.fixture(name="server_of")
def make_server(start, tmp_path):
    def make(**env):
        (tmp_path / "secret").write_text(SECRET)
        server = start(env={"AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(tmp_path / "secret"), **env})
        for source in (COUNTER, DENIED):
            assert server.post("/panels", data=source.encode(), headers={
                "Content-Type": "application/xml", **bearer(token("*"))}).status_code == 201
        return server
    return make


def ask(server, panel, tool, args=None, **headers):
    answer = server.trigger(panel, tool, args, headers={**bearer(token("*")), "X-Request-Id": "find-me", **headers})
    assert answer.status_code == 200
    return answer


def audit(server, message):
    server.stop_cleanly()
    lines = [line for line in server.logs(message) if line["audit"] is True]
    assert all(line["component"] == "audit" for line in lines)
    return lines


def test_a_denial_says_whose_it_was(server_of):
    server = server_of()
    ask(server, "denied", "t", {"n": 1}, traceparent=TRACE)
    line, = audit(server, "capability denied")
    assert line["level"] == "warn"
    assert (line["panelId"], line["handler"], line["requestId"], line["subject"], line["traceparent"],
            line["capability"]) == ("denied", "t", "find-me", "ada", TRACE, "state:write:s")


def test_a_failure_says_whose_it_was(server_of):
    server = server_of()
    ask(server, "counter", "fail", traceparent=TRACE)
    server.stop_cleanly()
    line, = server.logs("execution failed")
    assert (line["subject"], line["traceparent"], line["requestId"]) == ("ada", TRACE, "find-me")


@pytest.mark.parametrize("bad", [
    TRACE.upper(), TRACE[:-1], TRACE + "0", "01" + TRACE[2:], TRACE.replace("-", "_"),
    "00-" + "0" * 32 + TRACE[35:], TRACE[:36] + "0" * 16 + "-01", "x"])
def test_what_is_no_traceparent_is_not_carried(server_of, bad):
    server = server_of()
    ask(server, "counter", "fail", traceparent=bad)
    server.stop_cleanly()
    line, = server.logs("execution failed")
    assert "traceparent" not in line


def test_requests_are_logged_with_subject_and_trace(server_of):
    server = server_of(LOG_LEVEL="debug")
    ask(server, "counter", "increment", traceparent=TRACE)
    server.stop_cleanly()
    line, = [line for line in server.logs("request") if line["requestId"] == "find-me"]
    assert (line["subject"], line["traceparent"]) == ("ada", TRACE)


def test_what_is_allowed_is_not_logged_unless_asked_for(server_of):
    server = server_of()
    ask(server, "counter", "increment")
    server.stop_cleanly()
    assert not [line for line in server.logs() if line.get("audit")]


def test_all(server_of):
    server = server_of(AUDIT="all")
    ask(server, "counter", "increment", traceparent=TRACE)
    ask(server, "counter", "nap", {"ms": 1})
    server.request("DELETE", "/panels/counter", headers=bearer(token("*", sub="bob")))
    used = audit(server, "capability used")
    assert [(line["handler"], line["capability"]) for line in used] == [
        ("increment", "state:write:count"), ("increment", "events:emit:incremented"), ("nap", "ext:time"),
        ("nap", "state:write:count")]
    assert {(line["panelId"], line["subject"], line["requestId"], line["level"]) for line in used} == {
        ("counter", "ada", "find-me", "info")}
    assert used[0]["traceparent"] == TRACE and "traceparent" not in used[2]
    assert [(line["route"], line["panelId"], line["subject"]) for line in server.logs("request allowed")] == [
        ("/panels", "", "ada"), ("/panels", "", "ada"),
        ("/panels/{id}/trigger/{tool}", "counter", "ada"), ("/panels/{id}/trigger/{tool}", "counter", "ada"),
        ("/panels/{id}", "counter", "bob")]
    assert [(line["panelId"], line["subject"]) for line in server.logs("panel created")] == [
        ("counter", "ada"), ("denied", "ada")]


def test_a_refused_request_is_not_called_allowed(server_of):
    server = server_of(AUDIT="all")
    assert server.trigger("counter", "increment", headers=bearer(token("panel:read", sub="eve"))).status_code == 403
    assert [line["subject"] for line in audit(server, "request refused")] == ["eve"]
    assert not [line for line in server.logs("request allowed") if line["subject"] == "eve"]


@pytest.mark.parametrize("name", ["\n{\"forged\":true}\n", "\x1b[31mred", "a\0b", "\u2028", "\"\\"])
def test_nothing_in_a_name_makes_another_line(server_of, name):
    server = server_of()
    ask(server, "denied", "named", {"name": name})
    line, = audit(server, "capability denied")
    assert line["capability"] == "events:emit:" + name.replace("\0", "?")
    raw = [text for text in server.lines if "capability denied" in text]
    assert len(raw) == 1 and not re.search(r"[\x00-\x1f]", raw[0])
    assert all(json.loads(text) for text in server.lines)


def test_a_subject_cannot_forge_either(server_of):
    server = server_of()
    ask(server, "denied", "t", {"n": 1}, **bearer(token("*", sub="eve\n\x1b[2J\"")))
    assert audit(server, "capability denied")[0]["subject"] == "eve\n\x1b[2J\""
    assert all(json.loads(text) for text in server.lines)


def seconds_begun(since):
    """Of those that are bounded, as many as may have begun by now: runs may take longer than one."""
    return int(time.monotonic() - since) + 2


def test_denials_are_bounded(server_of):
    server = server_of()
    began = time.monotonic()
    for _ in range(30):
        ask(server, "denied", "t", {"n": 200})
    most = seconds_begun(began) * limit("NX_MAX_DENIALS_LOGGED")
    assert limit("NX_MAX_DENIALS_LOGGED") <= len(audit(server, "capability denied")) <= most


def test_those_left_out_are_counted(server_of):
    server = server_of()
    for _ in range(30):
        ask(server, "denied", "t", {"n": 200})
    time.sleep(1.1)
    ask(server, "denied", "t", {"n": 1})
    lines = audit(server, "capability denied")
    assert len(lines) + sum(line.get("notLogged", 0) for line in lines) == 30 * 200 + 1
    assert lines[-1]["notLogged"] > 0


def test_what_is_allowed_is_bounded_apart_from_denials(server_of):
    server = server_of(AUDIT="all")
    began = time.monotonic()
    for _ in range(15):
        ask(server, "denied", "busy")
    most = seconds_begun(began) * limit("NX_MAX_AUDIT_LOGGED")
    ask(server, "denied", "t", {"n": 1})
    assert len(audit(server, "capability denied")) == 1
    assert len(server.logs("capability used")) <= most
