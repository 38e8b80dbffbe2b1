# SPDX-License-Identifier: Apache-2.0
"""Runs every file of handlers/: one hostile handler each, whose first comment lines say what is to
come of it. After each one the same panel, and another one, must find the world as new.

Header lines (`// name: value`):
  expect   success JSON | success absent | error CODE|CODE pattern | refused CODE|CODE pattern
           | success|error (only that it ends, and leaves nothing behind)
  grants   capability tokens (default: none)
  state    initial state (default: {"a": 1})
  after    state afterwards (default: the initial state if it fails, anything if it succeeds)
  args     arguments
  events   names of the events emitted
  line     where the error is
  timeout  timeoutMs of the tool (default: 5000)
  repeat   TEXT N: puts N copies of TEXT in front of the body
Lines that begin otherwise are prose.
"""
import json
import pathlib
import re

import pytest

import harness

HANDLERS = pathlib.Path(__file__).parent / "handlers"
FILES = sorted(HANDLERS.glob("*/*.js"))
NAMES = {"expect", "grants", "state", "after", "args", "events", "line", "timeout", "repeat"}
# A handler ends at its deadline + 50 ms, and the answer has to come back.
GRACE_S = 0.05 + 0.2 * harness.SLOWER


class Case:
    """A file of handlers/."""

    def __init__(self, path):
        text = path.read_text()
        head = dict(re.findall(r"^// ([a-z]+): (.*)$", text, re.M))
        assert set(head) <= NAMES and "expect" in head, f"{path}: {set(head) - NAMES}"
        self.outcome, _, self.expected = head["expect"].partition(" ")
        codes, _, self.pattern = self.expected.partition(" ")
        self.codes = codes.split("|")
        self.line = int(head["line"]) if "line" in head else None
        self.state = json.loads(head.get("state", '{"a": 1}'))
        after = self.state if self.outcome == "error" else None
        self.after = json.loads(head["after"]) if "after" in head else after
        self.args = json.loads(head.get("args", "{}"))
        self.events = head["events"].split() if "events" in head else None
        self.timeout_ms = int(head.get("timeout", 5000))
        # Others than those that are to be stopped may take longer for a machine's sake, which is taken off.
        stopped = "timeout" in head or "TIMEOUT" in self.codes or self.outcome not in ("success", "error")
        if "repeat" in head:
            piece, count = head["repeat"].rsplit(" ", 1)
            text += piece * int(count)
        self.tool = harness.tool(text, head.get("grants", "").split(),
                                 timeoutMs=self.timeout_ms if stopped else harness.PATIENCE_MS)
        self.panel = harness.panel("case", [self.tool, harness.tool(harness.FINGERPRINT, name="look")],
                                   self.state)

    def check(self, result):
        if self.outcome == "success":
            self.check_success(result)
        elif self.outcome == "error":
            self.check_error(result)

    def check_success(self, result):
        assert result["status"] == "success", result
        if self.expected == "absent":
            assert "returnValue" not in result
        elif self.expected:
            assert result["returnValue"] == json.loads(self.expected), result
        if self.events is not None:
            assert [event["name"] for event in result["events"]] == self.events

    def check_error(self, result):
        assert result["status"] == "error", result
        error = result["error"]
        assert error["code"] in self.codes, error
        assert re.search(self.pattern, error.get("capability", "") + error["message"]), error
        if self.line is not None:
            assert error["location"]["line"] == self.line, error
            assert error["location"]["column"] >= 1
            lines = error["snippet"]["code"].split("\n")
            wanted = self.tool["handler"].split("\n")[self.line - 1]
            assert lines[error["snippet"]["highlightLine"] - 1] == wanted
        assert not result["mutations"] and not result["events"] and not result["viewCommands"]


def name_of(path):
    return str(path.relative_to(HANDLERS).with_suffix(""))


@pytest.fixture(scope="module")
def pristine(world):
    """The fingerprint of a world in which nothing has run yet."""
    world.make("look", [harness.tool(harness.FINGERPRINT)])
    return world.run("look")["returnValue"]


def test_there_are_handlers():
    assert len(FILES) > 200


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_over_http(world, pristine, path):
    case = Case(path)

    def create():
        world.request("DELETE", "/panels/case")
        return world.post("/panels", json=case.panel)

    def run():
        reply = create()
        assert reply.status_code == 201, reply.text
        return world.run("case", args=case.args)
    if case.outcome == "refused":
        reply = create()
        assert reply.status_code == 400, reply.text
        found = [one for one in reply.json()["error"]["details"]["diagnostics"]
                 if one["severity"] == "error"][0]
        assert found["code"] in case.codes and re.search(case.pattern, found["message"]), found
        if case.line is not None:
            assert found["line"] == case.line, found
        return
    case.check(world.in_time(run, case.timeout_ms / 1000 + GRACE_S, case.timeout_ms))
    if case.after is not None:
        assert world.state("case") == case.after
    for panel in ("case", "look"):
        found = world.run(panel, "look" if panel == "case" else "t")
        assert found["returnValue"] == pristine


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name != "time"], ids=name_of)
def test_on_the_command_line(path):
    case = Case(path)
    code, result, errors = harness.run_cli(case.panel, "--args", json.dumps(case.args),
                                           "--timeout", str(harness.PATIENCE_MS))
    if case.outcome == "refused":
        assert code == 2 and result is None, result
        assert re.search("|".join(case.codes), errors), errors
        return
    harness.check_shape(result)
    case.check(result)
    assert code == (0 if result["status"] == "success" else 1)


@pytest.fixture(scope="module", params=["MEMORY_LIMIT_MB=256 STACK_LIMIT_KB=4096",
                                        "MEMORY_LIMIT_MB=8 STACK_LIMIT_KB=64"])
def edge(request, lowered):
    """A server whose settings are at the ends of what is allowed."""
    server = lowered(**dict(one.split("=") for one in request.param.split()))
    server.make("look", [harness.tool(harness.FINGERPRINT)])
    server.expected = server.run("look")["returnValue"]
    return server


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name in ("stack", "memory")],
                         ids=name_of)
def test_at_the_edges_of_settings(edge, path):
    """With more or less room a handler may end otherwise, but it ends, and its worker stays."""
    case = Case(path)
    case.tool["timeoutMs"] = min(case.timeout_ms, 500)

    def run():
        edge.make("case", [case.tool], case.state)
        return edge.run("case")
    result = edge.in_time(run, case.tool["timeoutMs"] / 1000 + GRACE_S, case.tool["timeoutMs"])
    assert harness.code_of(result) in ("success", "MEMORY_LIMIT", "RESOURCE_LIMIT", "TIMEOUT",
                                       "EXECUTION_ERROR"), result
    assert edge.run("look")["returnValue"] == edge.expected
