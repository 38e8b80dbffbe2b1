# SPDX-License-Identifier: Apache-2.0
"""Every limit of an execution, just under and just over: what fits works, what does not ends with the
documented code and a message that names the limit. First with settings lowered, then the defaults."""
import time

import pytest

import harness

LOWERED = {"MAX_HOST_CALLS": 20, "MAX_STATE_MUTATIONS": 10, "MAX_EVENTS": 5, "MAX_LOG_KB": 1,
           "MAX_VALUE_KB": 2, "MAX_STATE_KB": 4, "TIMEOUT_MS": 20000, "SUSPEND_TIMEOUT_MS": 400,
           "MEMORY_LIMIT_MB": 16, "STACK_LIMIT_KB": 128}
GRACE_S = 0.2 * harness.SLOWER
DEFAULTS = {"MAX_HOST_CALLS": 1000, "MAX_STATE_MUTATIONS": 1000, "MAX_EVENTS": 100, "MAX_LOG_KB": 64,
            "MAX_VALUE_KB": 1024}
ALL = ["state:read:*", "state:write:*", "events:emit:*", "view:update:*", "ext:*"]
REPEAT = "for (let i = 0; i < $args.n; i++) { %s }"

# Setting, what one of it is, the words of the message, and handlers that use up `$args.n` of it.
COUNTED = [
    ("MAX_HOST_CALLS", 1, "host calls", {
        "log": REPEAT % "$log('');",
        "has": REPEAT % "'k' in $state;",
        "emit": REPEAT % "try { $emit('denied', 1); } catch {}",
        "refused": REPEAT % "try { $state['x'.repeat(2000)] = 1; } catch {}",
    }),
    ("MAX_STATE_MUTATIONS", 1, "state mutations", {
        "one key": REPEAT % "$state.k = i;",
        "many keys": REPEAT % "$state['k' + i] = i;",
        "deletions": REPEAT % "delete $state.k;",
        "nested": "for (let i = 0; i < $args.n; i++) $state['o' + i] = {};",
    }),
    ("MAX_EVENTS", 1, "events", {
        "events": REPEAT % "$emit('e', i);",
        "view commands": REPEAT % "$view.focus('id');",
        "both": REPEAT % "if (i % 2) $emit('e', i); else $view.command('id', 'c');",
    }),
    ("MAX_LOG_KB", 1024, "log size", {
        "one line": "$log('x'.repeat($args.n));",
        "console": "console.error('x'.repeat($args.n));",
        "many lines": "let left = $args.n; for (; left > 100; left -= 100) $log('x'.repeat(100)); "
                      "$log('x'.repeat(left));",
        "joined": "$log('x'.repeat($args.n - 4), 'abc');",
    }),
    ("MAX_VALUE_KB", 1024, "value size", {
        # A string's JSON has two quotes.
        "state": "$state.k = 'x'.repeat($args.n - 2);",
        "nested": "$state.k = {}; $state.k.s = 'x'.repeat($args.n - 8);",
        "event": "$emit('e', 'x'.repeat($args.n - 2));",
        "view": "$view.setFilter('id', 'x'.repeat($args.n - 13));",
        "returned": "return 'x'.repeat($args.n - 2);",
        "escaped": "return '\\u0001'.repeat(Math.floor(($args.n - 2) / 6)) + 'x'.repeat(($args.n - 2) % 6);",
        "extension": "try { await $ext.none.f('x'.repeat($args.n - 4)); } catch (e) { return e.code; }",
    }),
]


@pytest.fixture(scope="module")
def small(lowered):
    return lowered(**LOWERED)


HURRY_MS = 1000


@pytest.fixture(scope="module")
def hurried(lowered):
    """One with little time: what is about something else may need more on a busy machine."""
    return lowered(**{**LOWERED, "TIMEOUT_MS": HURRY_MS})


def cases(settings):
    for setting, unit, words, actions in COUNTED:
        for name, code in actions.items():
            yield pytest.param(code, settings[setting] * unit, words, id=f"{setting}-{name}")


def run_at(server, code, size, limits_apart=()):
    server.make("limit", [harness.tool(code, [g for g in ALL if g not in limits_apart])], {"k": 0})
    before = server.state("limit")
    result = server.run("limit", args={"n": size})
    return result, before, server.state("limit")


def check_limit(server, code, limit, words):
    grants_apart = ("events:emit:*",) if "denied" in code else ()
    result, _, _ = run_at(server, code, limit, grants_apart)
    assert result["status"] == "success", result["error"]
    result, before, after = run_at(server, code, limit + 1, grants_apart)
    assert harness.code_of(result) == "RESOURCE_LIMIT", result
    assert words in result["error"]["message"] and str(limit) in result["error"]["message"]
    assert not result["mutations"] and not result["events"] and not result["viewCommands"]
    assert before == after


@pytest.mark.parametrize("code, limit, words", list(cases(LOWERED)))
def test_lowered(small, code, limit, words):
    check_limit(small, code, limit, words)


@pytest.fixture(scope="module")
def roomy(lowered):
    """As by default, but for the host calls: as many mutations would use them up."""
    return lowered(MAX_HOST_CALLS=10000, TIMEOUT_MS=harness.PATIENCE_MS)


@pytest.mark.parametrize("code, limit, words", list(cases(DEFAULTS)))
def test_default(world, roomy, code, limit, words):
    check_limit(roomy if words == "state mutations" else world, code, limit, words)


@pytest.mark.parametrize("grants", [["state:write:*"], ["state:write:*", "state:read:*"],
                                    ["state:write:*", "state:read:a"]])
@pytest.mark.parametrize("server, limit", [("small", 4096), ("world", 8192 * 1024)])
def test_state_size(request, server, limit, grants):
    """Keys and values count, also those the handler may not read, and those that were there."""
    server = request.getfixturevalue(server)
    step = min(limit // 4, 1000000)
    # keys a, b, …: one byte each; values of `step` bytes with their quotes; the last takes the rest.
    whole = limit // (step + 1)
    initial = {"a": "x" * (step - 2)}
    code = """
      const { whole, step, rest } = $args;
      for (let i = 1; i < whole; i++) $state[String.fromCharCode(97 + i)] = 'x'.repeat(step - 2);
      $state.z = 'x'.repeat(rest - 3);"""
    for extra, expected in ((0, "success"), (1, "RESOURCE_LIMIT")):
        server.make("size", [harness.tool(code, grants)], initial)
        rest = limit - whole * (step + 1) + extra
        result = server.run("size", args={"whole": whole, "step": step, "rest": rest})
        assert harness.code_of(result) == expected, result.get("error")
        if extra:
            assert "state" in result["error"]["message"]
            assert server.state("size") == initial
    # Deleting makes room again.
    server.make("size", [harness.tool("delete $state.a; $state.b = 'x'.repeat($args.n);", grants)], initial)
    assert server.run("size", args={"n": step - 3})["status"] == "success"


def test_writing_a_large_value_again_and_again(world):
    """Only what the segment leaves counts, not what it has written in between."""
    code = """
      for (let i = 0; i < 40; i++) $state.k = 'x'.repeat(1000000 - i % 3);
      delete $state.k;
      $state.k = 'y';
      for (let i = 0; i < 100; i++) $state.n = i;
      return [$state.k, $state.n];"""
    result, state = world.once(code, ALL, {"k": 0})
    assert result.get("returnValue") == ["y", 99], result
    assert state == {"k": "y", "n": 99}
    assert [m["key"] for m in result["mutations"]] == ["k", "n"]


def test_what_one_segment_may_send(world):
    """Many values that each fit, and together do not."""
    for code in ("$emit('e', 'x'.repeat(1000000));", "$view.setFilter('e', 'x'.repeat(1000000));",
                 "$ext.time.now('x'.repeat(1000000));"):
        result, _ = world.once(REPEAT.replace("$args.n", "5") % code, ALL)
        assert result["status"] == "success", result["error"]
        result, _ = world.once(REPEAT.replace("$args.n", "50") % code, ALL)
        assert harness.code_of(result) == "RESOURCE_LIMIT", result
        assert "bytes sent to the host" in result["error"]["message"]


def test_everything_at_once(world):
    """Each kind of effect within its own bounds, and all together more than one answer may hold."""
    code = """
      const big = 'x'.repeat(1047900);
      $log('y'.repeat(65000));
      for (let i = 0; i < 8; i++) {
        $emit('e', big);
        $view.setFilter('v', big.slice(100));
        $state['k' + i] = big;
        if (i < $args.calls) $ext.time.now(big);
      }
      await $ext.time.now();
      return 'sent';"""
    world.make("all", [harness.tool(code, ALL)])
    workers = world.workers()
    assert world.run("all", args={"calls": 4}).get("returnValue") == "sent"
    result = world.run("all", args={"calls": 8})
    assert harness.code_of(result) == "RESOURCE_LIMIT", result["error"]
    assert set(workers) <= set(world.workers())


@pytest.mark.parametrize("swallow", [
    "try { over(); } catch { after('catch'); } finally { after('finally'); }",
    "for (;;) { try { over(); } finally { continue; } }",
    "new Promise(over).catch(() => after('rejected')); after('executor');",
    "await new Promise(over).catch(() => after('awaited')); after('executor');",
    "const f = async () => over(); try { await f(); } catch { after('async'); }",
    "[1, 2].sort(() => { over(); return 0; }); after('sort');",
    "Promise.resolve().then(over).then(() => after('then'), () => after('else')); await null; await null; after('job');",
    "function* g() { try { yield 1; } finally { after('return'); } } for (const x of g()) over();",
    "$state.k = { toJSON() { over(); return 1; } }; after('toJSON');",
    "JSON.stringify({ get x() { over(); } }); after('getter');",
])
def test_limits_cannot_be_caught(small, swallow):
    """Whatever stands around the call that goes over a limit, nothing runs after it."""
    code = """
      const over = () => { for (let i = 0; i < 6; i++) $emit('e', i); };
      const after = (where) => { $log(where); $state.k = where; for (;;) {} };
    """ + swallow
    result, state = small.once(code, ALL, {"k": 0})
    assert harness.code_of(result) == "RESOURCE_LIMIT", result
    assert "events" in result["error"]["message"]
    assert result["logs"] == [] and state == {"k": 0}
    assert result["metrics"]["durationUs"] < LOWERED["TIMEOUT_MS"] * 1000


def test_limit_has_a_place(small):
    result, _ = small.once("const f = () => {\n  for (;;) $emit('e');\n};\nf();", ALL)
    assert result["error"]["location"]["line"] == 2
    assert "at f (handler:2:" in result["error"]["stack"]


def test_counts_go_on_over_suspensions(small):
    """Limits are an execution's, not a segment's."""
    code = """
      for (let i = 0; i < $args.n; i++) { $emit('e', i); await $ext.time.sleep(1); }"""
    small.make("over", [harness.tool(code, ALL)])
    assert small.run("over", args={"n": 5})["status"] == "success"
    result = small.run("over", args={"n": 6})
    assert harness.code_of(result) == "RESOURCE_LIMIT"
    # The segments before the one that failed stay.
    assert [event["payload"] for event in result["events"]] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("timeout, setting_holds", [(None, True), (400, False), (600000, True)])
def test_time_a_tool_may_lower_it_never_raise_it(hurried, timeout, setting_holds):
    more = {} if timeout is None else {"timeoutMs": timeout}
    limit_ms = HURRY_MS if setting_holds else timeout
    hurried.make("time", [harness.tool("for (;;) {}", **more),
                        harness.tool("return 1;", name="quick", **more)])
    assert hurried.run("time", "quick")["status"] == "success"
    result = hurried.in_time(lambda: hurried.run("time"), limit_ms / 1000 + GRACE_S, limit_ms)
    assert harness.code_of(result) == "TIMEOUT"
    assert limit_ms <= result["metrics"]["durationUs"] / 1000


def test_time_is_running_time(hurried):
    """Sleeping does not count; all segments together do. The first is short: it ends before the limit
    on a busy machine, too."""
    code = """
      const work = () => { for (let i = 0; i < $args.size; i++); };
      for (let i = 0; i < $args.n; i++) { if (i > 0) work(); await $ext.time.sleep($args.ms); }
      return 'done';"""
    hurried.make("running", [harness.tool(code, ALL)])
    result = hurried.run("running", args={"n": 4, "ms": 300, "size": 50000})
    assert result.get("returnValue") == "done", result
    result = hurried.in_time(lambda: hurried.run("running", args={"n": 18, "ms": 0, "size": 4000000}),
                             HURRY_MS / 1000 + GRACE_S, HURRY_MS)
    assert harness.code_of(result) == "TIMEOUT"
    assert result["metrics"]["segments"] > 1


def test_time_place_in_a_file(tmp_path):
    """Line and column of an endless loop are those of the panel's file."""
    source = """<NexusPanel id="p">
  <Logic>
    <Tool name="t" timeoutMs="100"><Handler>
      let n = 0;
        while (true) {}
    </Handler></Tool>
  </Logic>
</NexusPanel>
"""
    path = tmp_path / "p.nxml"
    path.write_text(source)
    done = harness.subprocess.run([str(harness.NEXUS), "run", str(path), "t"], capture_output=True,
                                  text=True, timeout=60, check=False)
    error = harness.json.loads(done.stdout)["error"]
    assert error["code"] == "TIMEOUT"
    assert error["location"] == {"line": 5, "column": 9}
    assert error["stack"].strip() == "at handler (handler:5:9)"
    assert error["snippet"]["code"].split("\n")[error["snippet"]["highlightLine"] - 1] == \
        "        while (true) {}"


def test_memory(small, world):
    code = "const a = []; for (let i = 0; i < $args.mb; i++) a.push(new Uint8Array(1 << 20).fill(1)); return a.length;"
    for server, limit_mb in ((small, 16), (world, 32)):
        server.make("memory", [harness.tool(code)])
        fits = limit_mb - 7  # the image takes 5 MiB, the heap around the buffers a little
        result = server.run("memory", args={"mb": fits})
        assert result.get("returnValue") == fits, result
        assert fits << 20 <= result["metrics"]["memoryPeakBytes"] <= limit_mb << 20
        result = server.run("memory", args={"mb": limit_mb - 4})
        assert harness.code_of(result) == "MEMORY_LIMIT" and "memory" in result["error"]["message"]
        assert result["metrics"]["memoryPeakBytes"] <= limit_mb << 20


def test_stack(small, world):
    code = "let depth = 0; const f = () => { depth++; f(); }; try { f(); } catch {} return depth;"
    depths = []
    for server in (small, world):
        result, _ = server.once(code)
        depths.append(result["returnValue"])
        over, _ = server.once("const f = () => f() + 1; f();")
        assert harness.code_of(over) == "RESOURCE_LIMIT" and "stack" in over["error"]["message"]
        assert over["error"]["location"]["line"] == 1
    # 128 KiB against 1,024: the depth follows the setting.
    assert 4 < depths[1] / depths[0] < 16 and depths[0] > 100


def test_outstanding_calls(world):
    code = "await Promise.all(Array.from({ length: $args.n }, () => $ext.time.sleep(1))); return $args.n;"
    world.make("calls", [harness.tool(code, ALL)])
    assert world.run("calls", args={"n": 64}).get("returnValue") == 64
    result = world.run("calls", args={"n": 65})
    assert harness.code_of(result) == "RESOURCE_LIMIT", result
    assert "outstanding" in result["error"]["message"]
    # One after the other there is no such limit.
    code = "for (let i = 0; i < 70; i++) await $ext.time.sleep(0); return 70;"
    result, _ = world.once(code, ALL)
    assert result.get("returnValue") == 70, result


def test_suspension_time(small):
    code = "$state.k = 1; await $ext.time.sleep($args.ms); $state.k = 2; return 'awake';"
    small.make("sleep", [harness.tool(code, ALL)], {"k": 0})
    limit_ms = LOWERED["SUSPEND_TIMEOUT_MS"]
    assert small.run("sleep", args={"ms": limit_ms / 4}).get("returnValue") == "awake"
    begun = time.monotonic()
    result = small.in_time(lambda: small.run("sleep", args={"ms": limit_ms * 20}), limit_ms / 1000 + GRACE_S)
    assert harness.code_of(result) == "SUSPENSION_TIMEOUT", result
    assert limit_ms / 1000 <= time.monotonic() - begun
    assert small.state("sleep") == {"k": 1}  # committed before it slept


def test_each_suspension_has_its_own_time(small):
    code = "for (let i = 0; i < 4; i++) await $ext.time.sleep($args.ms); return 'awake';"
    small.make("naps", [harness.tool(code, ALL)])
    result = small.run("naps", args={"ms": LOWERED["SUSPEND_TIMEOUT_MS"] / 2})
    assert result.get("returnValue") == "awake", result
