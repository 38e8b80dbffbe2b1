# SPDX-License-Identifier: Apache-2.0
"""The command line: run, version, help. Success and every documented failure, with its exit code; and
the outcomes of the example panels."""
import json
import re
import shutil
import subprocess
import time

import pytest

from cli import (COUNTER, EXAMPLES, Outcome, capability, fail, nexus, panel, refused, run, run_source,
                 succeed)
from conftest import NEXUS


# ---- The examples ------------------------------------------------------------------------------------

def test_counter_starts_from_the_state_given():
    outcome = run(COUNTER, "increment", "--state", '{"count":41}')
    result = succeed(outcome)
    assert result["returnValue"] == 42
    assert result["mutations"] == [{"operation": "set", "key": "count", "value": 42}]
    assert result["events"] == [{"name": "incremented", "payload": 42}]
    assert result["metrics"]["hostCalls"] == {"state_get": 1, "state_set": 1, "emit": 1}
    assert outcome.err == ""


def test_counter_starts_from_the_defaults():
    assert succeed(run(COUNTER, "increment"))["returnValue"] == 1
    assert succeed(run(COUNTER, "increment", "--args", '{"by": 2.5}'))["returnValue"] == 2.5


def test_todo_writes_in_place():
    todos = EXAMPLES / "todo.nxml"
    result = succeed(run(todos, "add", "--args", '{"text":" milk "}'))
    milk = {"id": 1, "text": "milk", "done": False}
    assert {"operation": "set", "key": "todos", "value": [milk]} in result["mutations"]
    assert result["viewCommands"] == [
        {"type": "scrollTo", "componentId": "list", "args": {"target": 1}}]
    state = json.dumps({"todos": [milk]})
    result = succeed(run(todos, "toggle", "--args", '{"id":1}', "--state", state))
    assert result["mutations"][0]["value"] == [{**milk, "done": True}]
    fail(run(todos, "toggle", "--args", '{"id":2}', "--state", state), "EXECUTION_ERROR")


def test_fanout_sleeps_at_once():
    def timed(tool):
        start = time.monotonic()
        arguments = ("--args", '{"count":20,"ms":150}')
        assert succeed(run(EXAMPLES / "fanout.nxml", tool, *arguments))["returnValue"] == 20
        return time.monotonic() - start
    together, one_by_one = timed("together"), timed("oneByOne")
    assert together >= 0.15 and one_by_one >= 3
    assert together < one_by_one - 0.15


def test_denied_leaves_the_state_alone():
    denied = EXAMPLES / "denied.nxml"
    outcome = run(denied, "write")
    result = fail(outcome, "PERMISSION_DENIED")
    assert result["error"]["capability"] == "state:write:secret"
    assert result["mutations"] == []
    assert "denied: state:write:secret" in outcome.err
    # The control: granted, the same handler does both.
    result = succeed(run(denied, "write", "--grant", "state:write:note", "--grant", "state:write:secret"))
    assert {m["key"]: m["value"] for m in result["mutations"]} == {"note": "changed", "secret": "mine"}


def test_denied_can_be_caught():
    outcome = run(EXAMPLES / "denied.nxml", "careful")
    result = succeed(outcome)
    assert result["returnValue"] == {"name": "PermissionDenied", "code": "PERMISSION_DENIED",
                                     "capability": "state:read:secret"}
    assert result["mutations"] == [{"operation": "set", "key": "note", "value": "changed"}]
    assert "denied: state:read:secret" in outcome.err
    granted = ("--grant", "state:read:*", "--grant", "state:write:note")
    assert succeed(run(EXAMPLES / "denied.nxml", "careful", *granted))["returnValue"] == "out of reach"


@pytest.mark.parametrize("tool", ["spin", "builtin"])
def test_time_limit(tool):
    result = fail(run(EXAMPLES / "timeout.nxml", tool), "TIMEOUT")
    assert result["mutations"] == []
    assert 200_000 <= result["metrics"]["durationUs"] < 5_000_000  # what it would be by default


def test_time_limit_counts_running_time_only():
    start = time.monotonic()
    result = succeed(run(EXAMPLES / "timeout.nxml", "patient"))
    assert time.monotonic() - start > 0.4
    assert result["returnValue"] == "in time"
    assert result["metrics"]["segments"] == 2


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.nxml")), ids=lambda path: path.stem)
def test_examples_are_valid_without_a_warning(example):
    outcome = nexus("check", example)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"{example}: valid\n"


# ---- run ---------------------------------------------------------------------------------------------

def test_deny_all():
    fail(run(COUNTER, "increment", "--deny-all"), "PERMISSION_DENIED")
    assert succeed(run_source(panel("return 1"), "--deny-all"))["returnValue"] == 1


def test_grants_replace_what_is_declared():
    result = fail(run(COUNTER, "increment", "--grant", "state:read:count"), "PERMISSION_DENIED")
    assert result["error"]["capability"] == "state:write:count"
    every = ["state:read:*", "state:write:count", "events:emit:*"]
    succeed(run(COUNTER, "increment", *(word for token in every for word in ("--grant", token))))


def test_timeout_option():
    spin = panel("for (;;) {}")
    assert fail(run_source(spin, "--timeout", "100"), "TIMEOUT")["metrics"]["durationUs"] < 5_000_000  # without it
    # It cannot raise a tool's own limit, and allows what is short enough.
    lower = fail(run(EXAMPLES / "timeout.nxml", "spin", "--timeout", "600000"), "TIMEOUT")
    assert lower["metrics"]["durationUs"] < 5_000_000
    succeed(run_source(panel("return 1"), "--timeout", "4000"))


def test_the_error_has_its_place_in_the_file(tmp_path):
    file = tmp_path / "p.nxml"
    file.write_text(panel("\n  const a = null;\n  return a.b;\n"))
    error = fail(run(file, "t"), "EXECUTION_ERROR")["error"]
    assert error["location"]["line"] == 3
    assert error["snippet"]["code"].splitlines()[error["snippet"]["highlightLine"] - 1] == "  return a.b;"
    assert "TypeError" in error["message"]


def test_logs_go_to_standard_error_and_cannot_steer_a_terminal():
    outcome = run_source(panel(r"$log('one'); console.error('a\u001b[2Jb\nc\u009b', {d: 'é'})"))
    result = succeed(outcome)
    assert outcome.err == 'info: one\nerror: a\\x1b[2Jb\\nc\\xc2\\x9b {"d":"é"}\n'
    assert [log["level"] for log in result["logs"]] == ["info", "error"]


def test_mount_does_not_run():
    mount = ('<Lifecycle on="mount"><Capabilities><Capability type="state:write" scope="n"/>'
             "</Capabilities><Handler>$state.n = 7;</Handler></Lifecycle>")
    source = panel("return $state.n", capability("state:read:n"), logic=mount)
    assert succeed(run_source(source))["returnValue"] == 0


def test_pretty_is_the_same_result():
    outcome = run(COUNTER, "increment", "--pretty", "--state", '{"count": 1e2}')
    assert outcome.code == 0
    assert '\n  "returnValue": 101,\n' in outcome.out
    assert '"viewCommands": [],\n' in outcome.out
    plain = succeed(run(COUNTER, "increment", "--state", '{"count": 1e2}'))
    pretty = json.loads(outcome.out)
    assert {**plain, "metrics": 0} == {**pretty, "metrics": 0}
    assert outcome.out == json.dumps(pretty, indent=2) + "\n"


def test_pretty_keeps_strings_as_they_are():
    text = 'a "b" \\ , : { [ ] } \u2028 \n'
    outcome = run_source(panel(f"return [{json.dumps(text)}, '', {{}}, []]"), "--pretty")
    assert json.loads(outcome.out)["returnValue"] == [text, "", {}, []]


def test_standard_input():
    source = COUNTER.read_text()
    assert succeed(run("-", "increment", stdin=source))["returnValue"] == 1
    assert succeed(run(COUNTER, "increment", "--args", "-", stdin='{"by":3}'))["returnValue"] == 3
    assert succeed(run(COUNTER, "increment", "--state", "-", stdin='{"count":3}'))["returnValue"] == 4
    refused(run("-", "increment", "--args", "-", stdin=source), "standard input")


def test_json_panel():
    tool = {"name": "t", "handler": "return $state.n + $args.by", "capabilities": ["state:read:n"]}
    source = json.dumps({"kind": "k", "tools": [tool], "initialState": {"n": 40}})
    assert succeed(run_source(source, "--args", '{"by":2}'))["returnValue"] == 42


def test_large_state_and_result(tmp_path):
    result = succeed(run_source(panel("return 'y'.repeat(900000)")))
    assert len(result["returnValue"]) == 900_000
    file = tmp_path / "p.nxml"
    file.write_text(panel("$state.n.push('z'); return $state.n.length",
                          capability("state:read:n") + capability("state:write:n"),
                          data='<State name="n" type="list"/>'))
    state = json.dumps({"n": ["x" * 1000] * 900})
    assert succeed(run(file, "t", "--state", "-", stdin=state))["returnValue"] == 901


@pytest.mark.parametrize("arguments, said", [
    ((), "usage: nexus run"),
    ((COUNTER,), "usage: nexus run"),
    ((COUNTER, "increment", "more"), "unexpected argument 'more'"),
    ((COUNTER, "increment", "--bogus"), "--bogus"),
    ((COUNTER, "increment", "--args"), "--args"),
    (("/does/not/exist.nxml", "t"), "/does/not/exist.nxml: No such file or directory"),
    (("/", "t"), "/: not a regular file"),
    ((COUNTER, "decrement"), "has no tool 'decrement'; it has: increment, reset"),
    ((COUNTER, "increment", "--args", '{"by":'), "--args: JSON, byte 6"),
    ((COUNTER, "increment", "--args", ""), "--args: JSON, byte 0"),
    ((COUNTER, "increment", "--args", "[1]"), "--args: must be a JSON object"),
    ((COUNTER, "increment", "--args", '{"by":"1"}'), "argument 'by' must be a number"),
    ((COUNTER, "increment", "--args", '{"to":1}'), "unknown argument 'to'"),
    ((EXAMPLES / "todo.nxml", "add"), "missing argument 'text'"),
    ((COUNTER, "increment", "--state", "{'count':1}"), "--state: JSON, byte 1"),
    ((COUNTER, "increment", "--state", "3"), "--state: must be a JSON object"),
    ((COUNTER, "increment", "--grant", "state:all"), "--grant state:all: "),
    ((COUNTER, "increment", "--grant", "state:read:"), "--grant state:read:: "),
    ((COUNTER, "increment", "--deny-all", "--grant", "ext:http"), "exclude each other"),
    ((COUNTER, "increment", "--timeout", "0"), "--timeout 0: must be"),
    ((COUNTER, "increment", "--timeout", "-5"), "--timeout -5: must be"),
    ((COUNTER, "increment", "--timeout", "5s"), "--timeout 5s: must be"),
    ((COUNTER, "increment", "--timeout", "600001"), "--timeout 600001: must be"),
    ((COUNTER, "increment", "--timeout", "99999999999999999999"), "must be"),
    ((COUNTER, "increment", "--ext-mock", "/does/not/exist"), "--ext-mock: /does/not/exist: No such"),
])
def test_wrong_calls(arguments, said):
    refused(run(*arguments), said)


@pytest.mark.parametrize("source, said", [
    ("", "<stdin>:1:1: error INVALID_SYNTAX: "),
    ("<NexusPanel>\n  <Bad/>\n  <Worse/>\n</NexusPanel>", "<stdin>:3:3: error UNKNOWN_ELEMENT: "),
    (panel("\nlet a = ;\n"), "<stdin>:2:9: error COMPILATION_ERROR: "),
    (panel("return 1", capability("state:steal:n")), "error INVALID_CAPABILITY: "),
    ('{"kind":"k","tools":[{"name":"t"}]}', "<stdin>:1:1: error "),
    ("{", "<stdin>:1:1: error INVALID_SYNTAX: JSON, byte 1"),
    ("<NexusPanel>\x1b[31m</NexusPanel>", "<stdin>:1:13: error INVALID_SYNTAX: "),
])
def test_invalid_panels(source, said):
    assert "\x1b" not in refused(run_source(source), said)


def test_output_that_cannot_be_written():
    with open("/dev/full", "w", encoding="utf-8") as full:
        outcome = run(COUNTER, "increment", stdout=full)
    assert outcome.code == 1
    assert "cannot write to standard output" in outcome.err


def test_without_standard_descriptors():
    # The shell closes them; the file takes descriptor 0 if nothing else does.
    process = subprocess.run(["/bin/sh", "-c", 'exec "$0" run "$1" increment <&- >&- 2>&-', str(NEXUS),
                              str(COUNTER)], timeout=60, check=False)
    assert process.returncode in (0, 1)


def test_sandbox_that_is_missing(tmp_path):
    alone = shutil.copy(NEXUS, tmp_path / "nexus")
    outcome = Outcome(subprocess.run([alone, "run", str(COUNTER), "increment"], text=True,
                                     capture_output=True, timeout=60))
    assert (outcome.code, outcome.out) == (1, "")
    assert "nexus-sandbox" in outcome.err
    # The control: where an installation has it, it is found.
    (tmp_path / "bin").mkdir()
    (tmp_path / "libexec/nexus").mkdir(parents=True)
    shutil.copy(NEXUS.with_name("nexus-sandbox"), tmp_path / "libexec/nexus/nexus-sandbox")
    installed = shutil.copy(NEXUS, tmp_path / "bin/nexus")
    outcome = Outcome(subprocess.run([installed, "run", str(COUNTER), "increment"], text=True,
                                     capture_output=True, timeout=60))
    assert succeed(outcome)["returnValue"] == 1


# ---- Canned answers ----------------------------------------------------------------------------------

FETCH = panel("""
    try { return await $ext.http.get($args.url); }
    catch (error) { return { code: error.code, message: error.message }; }
  """, capability("ext:http"), logic='<Extension name="http"/>')


@pytest.fixture
def mock(tmp_path):
    def write(answers):
        file = tmp_path / "mock.json"
        file.write_text(answers if isinstance(answers, str) else json.dumps(answers))
        return "--ext-mock", file
    return write


def test_canned_result(mock):
    answer = {"http.get": {"result": {"status": 200, "body": ["a", None]}}}
    result = succeed(run_source(FETCH, *mock(answer)))
    assert result["returnValue"] == {"status": 200, "body": ["a", None]}
    assert result["metrics"]["segments"] == 2
    # The control: without the file, this panel's call has no answer.
    assert succeed(run_source(FETCH))["returnValue"]["code"] == "EXTENSION_NOT_FOUND"


def test_canned_errors(mock):
    error = {"http.get": {"error": {"message": "no route", "code": "EXTENSION_ERROR"}}}
    assert succeed(run_source(FETCH, *mock(error)))["returnValue"] == {
        "code": "EXTENSION_ERROR", "message": "no route"}
    uncaught = panel("await $ext.http.get()", capability("ext:http"), logic='<Extension name="http"/>')
    fail(run_source(uncaught, *mock(error)), "EXTENSION_ERROR")


def test_canned_list_and_delay(mock):
    twice = panel("return [await $ext.http.get(), await $ext.http.get(), await $ext.http.get()]",
                  capability("ext:http"), logic='<Extension name="http"/>')
    start = time.monotonic()
    answers = {"http.get": [{"result": 1, "delayMs": 300}, {"result": 2}]}
    assert succeed(run_source(twice, *mock(answers)))["returnValue"] == [1, 2, 2]
    assert time.monotonic() - start >= 0.3


def test_canned_answers_replace_every_extension(mock):
    nap = panel("return await $ext.time.now()", capability("ext:time"), logic='<Extension name="time"/>')
    assert fail(run_source(nap, *mock({"http.get": {"result": 1}})), "EXTENSION_NOT_FOUND")
    assert fail(run_source(nap, *mock({"time.sleep": {"result": 1}})), "METHOD_NOT_FOUND")
    assert succeed(run_source(nap, *mock({"time.now": {"result": 1}})))["returnValue"] == 1
    assert succeed(run_source(nap))["returnValue"] > 1


def test_canned_answers_do_not_grant(mock):
    answers = mock({"http.get": {"result": 1}})
    result = succeed(run_source(FETCH, "--deny-all", *answers))
    assert result["returnValue"]["code"] == "PERMISSION_DENIED"


@pytest.mark.parametrize("text, said", [
    ("", "JSON, byte 0"),
    ("{", "JSON, byte 1"),
    ("[]", "must be a JSON object"),
    ('{"get": {"result": 1}}', '"get" is not name.method'),
    ('{"http.get": 1}', '"http.get" needs'),
    ('{"http.get": []}', '"http.get" needs'),
])
def test_bad_canned_answers(mock, text, said):
    refused(run_source(FETCH, *mock(text)[:1], mock(text)[1]), "--ext-mock", said)


# ---- version, help -----------------------------------------------------------------------------------

def test_version():
    outcome = nexus("version")
    assert (outcome.code, outcome.err) == (0, "")
    names = [re.match(r"(.+?) \S*\d", line).group(1) for line in outcome.out.splitlines()]
    assert names == ["nexus", "quickjs", "wabt", "guest compiler clang", "compiler gcc", "build id"] or \
        names == ["nexus", "quickjs", "wabt", "guest compiler clang", "compiler clang", "build id"]
    assert re.search(r"^build id [0-9a-f]{16,}$", outcome.out, re.M)
    assert nexus("--version").out == outcome.out
    refused(nexus("version", "more"), "more")


def test_help():
    overview = nexus("--help")
    assert (overview.code, overview.err) == (0, "")
    for verb in ("serve", "run", "check", "token", "version"):
        assert f"\n  {verb} " in overview.out
        usage = nexus(verb, "--help")
        assert (usage.code, usage.err) == (0, "")
        assert usage.out.startswith(f"usage: nexus {verb}")
        assert nexus("help", verb).out == usage.out


def test_unknown_commands():
    refused(nexus(), "usage: nexus")
    refused(nexus("fly"), "unknown command 'fly'", "nexus --help")
    refused(nexus("--bogus"), "unknown command '--bogus'")
