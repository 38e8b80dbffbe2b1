# SPDX-License-Identifier: Apache-2.0
"""`nexus check`: findings, exit codes, JSON, suggested capabilities."""
import json
import re

from cli import COUNTER, EXAMPLES, capability, fail, nexus, panel, refused, run, succeed


def check(*arguments, **options):
    return nexus("check", *arguments, **options)


def test_check_lists_every_finding(tmp_path):
    file = tmp_path / "p.nxml"
    file.write_text("<NexusPanel>\n"
                    "  <Data><State name='a'/><State name='a'/></Data>\n"
                    "  <Logic><Tool name='t'><Handler>\nlet x = ;</Handler></Tool>\n"
                    "  <Bad/></Logic>\n"
                    "</NexusPanel>")
    outcome = check(file)
    assert (outcome.code, outcome.out) == (1, "")
    found = re.findall(rf"^{re.escape(str(file))}:(\d+):\d+: (\w+) (\w+): .+$", outcome.err, re.M)
    assert len(found) == len(outcome.err.splitlines())
    assert ("2", "error", "DUPLICATE_STATE") in found
    assert ("5", "error", "UNKNOWN_ELEMENT") in found


def test_check_compiles_every_handler(tmp_path):
    file = tmp_path / "p.nxml"
    file.write_text("<NexusPanel><Logic>\n<Tool name='a'><Handler>return 1 +;</Handler></Tool>\n"
                    "<Tool name='b'><Handler>return 2;</Handler></Tool>\n"
                    "<Lifecycle on='unmount'><Handler>await = 3</Handler></Lifecycle>\n"
                    "</Logic></NexusPanel>")
    outcome = check(file)
    assert outcome.code == 1
    lines = re.findall(r":(\d+):\d+: error COMPILATION_ERROR: ", outcome.err)
    assert lines == ["2", "4"]


def test_check_warnings_leave_a_panel_valid():
    outcome = check("-", stdin=panel("return 1", capability("state:read:*")))
    assert outcome.code == 0
    assert "<stdin>:1:" in outcome.err and "warning BROAD_CAPABILITY: " in outcome.err
    assert re.fullmatch(r"<stdin>: valid, \d warnings\n", outcome.out)


def test_check_goes_on_after_a_bad_file(tmp_path):
    bad = tmp_path / "bad.nxml"
    bad.write_text("<NexusPanel")
    outcome = check("/does/not/exist", bad, COUNTER)
    assert outcome.code == 1
    assert "/does/not/exist: No such file or directory" in outcome.err
    assert f"{bad}:1:" in outcome.err
    assert outcome.out == f"{COUNTER}: valid\n"


def test_check_usage():
    refused(check(), "usage: nexus check")
    refused(check("--bogus", COUNTER), "--bogus")


def test_check_sizes():
    too_long = "<NexusPanel>" + " " * (1024 * 1024) + "</NexusPanel>"
    outcome = check("-", stdin=too_long)
    assert outcome.code == 1 and "error INVALID_SYNTAX: the source has" in outcome.err
    assert check("-", stdin=too_long.replace("  ", " ")).code == 0
    assert check("/dev/zero").code == 1


def test_check_json(tmp_path):
    bad = tmp_path / "bad.nxml"
    bad.write_text("<NexusPanel>\n <Bad/>\n</NexusPanel>")
    outcome = check("--json", COUNTER, bad, "/does/not/exist")
    assert outcome.code == 1
    good, bad_one, missing = json.loads(outcome.out)
    assert good == {"file": str(COUNTER), "valid": True, "diagnostics": []}
    assert bad_one["valid"] is False
    finding, = bad_one["diagnostics"]
    assert (finding["severity"], finding["code"], finding["line"], finding["column"]) == (
        "error", "UNKNOWN_ELEMENT", 2, 2)
    assert missing["valid"] is False and "No such file" in missing["error"]


def test_suggest_prints_what_to_paste():
    outcome = check("--suggest", COUNTER)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"""<!-- {COUNTER}: increment -->
<Capabilities>
  <Capability type="state:read" scope="count"/>
  <Capability type="state:write" scope="count"/>
  <Capability type="events:emit" scope="incremented"/>
</Capabilities>
<!-- {COUNTER}: reset -->
<Capabilities>
  <Capability type="state:write" scope="count"/>
</Capabilities>
"""


def test_suggestions_suffice():
    """What --suggest prints is accepted as it stands, and enough: the examples run with it alone."""
    calls = {("counter", "increment"): "{}", ("todo", "add"): '{"text":"x"}',
             ("todo", "tidy"): "{}", ("denied", "write"): "{}", ("fanout", "together"): '{"ms":1}',
             ("fanout", "oneByOne"): '{"ms":1}', ("timeout", "patient"): "{}"}
    for (example, tool), arguments in calls.items():
        file = EXAMPLES / f"{example}.nxml"
        suggestions, = json.loads(check("--suggest", "--json", file).out)
        tokens = {s["handler"]: s["capabilities"] for s in suggestions["suggestions"]}[tool]
        grants = [word for token in tokens for word in ("--grant", token)]
        succeed(run(file, tool, "--args", arguments, *grants))
        # None is one too many, either.
        for missing in tokens:
            rest = [word for token in tokens if token != missing for word in ("--grant", token)]
            outcome = run(file, tool, "--args", arguments, *(rest or ["--deny-all"]))
            assert fail(outcome, "PERMISSION_DENIED")["error"]["capability"] == missing


def test_suggest_says_when_it_cannot_see():
    source = panel("\n$emit($args.name);\n$state['a&<\"' + $args.k] = $state['a&<\"'];",
                   capability("events:emit:*") + capability("state:read:*") + capability("state:write:*"))
    outcome = check("--suggest", "-", stdin=source)
    assert outcome.code == 0, outcome.err
    assert "<!-- <stdin>:2: events:emit: the scope is only known when the code runs" in outcome.out
    assert "<!-- <stdin>:3: state:write: the scope" in outcome.out
    assert '<Capability type="state:read" scope="a&amp;&lt;&quot;"/>' in outcome.out
    one, = json.loads(check("--suggest", "--json", "-", stdin=source).out)
    assert one["suggestions"] == [{
        "handler": "t", "capabilities": ['state:read:a&<"'],
        "unclear": [{"type": "state:write", "line": 3}, {"type": "events:emit", "line": 2}]}]


def test_suggest_for_json_panels():
    tool = {"name": "t", "handler": "$state.a = $state[k]"}
    source = json.dumps({"kind": "k", "tools": [tool], "lifecycle": {
        "mount": {"handler": "$emit('b')"}}})
    outcome = check("--suggest", "-", stdin=source)
    assert outcome.code == 0, outcome.err
    assert '// <stdin>: t\n' in outcome.out
    assert '"capabilities": ["state:write:a"]\n' in outcome.out
    assert "// <stdin>:1: state:read: the scope" in outcome.out
    assert '// <stdin>: mount\n"capabilities": ["events:emit:b"]\n' in outcome.out


def test_no_suggestion_for_a_panel_that_is_invalid():
    outcome = check("--suggest", "-", stdin=panel("let a = ;"))
    assert (outcome.code, outcome.out) == (1, "")
