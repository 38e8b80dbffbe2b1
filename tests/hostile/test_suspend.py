# SPDX-License-Identifier: Apache-2.0
"""Extension calls: a handler suspends and goes on. What it sees, what is committed when, and what
errors, limits and other triggers in between do to it."""
import json
import threading
import time

import pytest

import harness

ALL = harness.EVERYTHING


def sleeping(world, panel_id, name="t", args=None):
    """Starts the tool in the background; returns a function that waits for its result."""
    box = []
    thread = threading.Thread(target=lambda: box.append(world.run(panel_id, name, args)))
    thread.start()

    def result():
        thread.join(60)
        return box[0]
    return result


def wait_for_state(world, panel_id, key, value, seconds=60):
    deadline = time.monotonic() + seconds
    while world.state(panel_id).get(key) != value:
        assert time.monotonic() < deadline, world.state(panel_id)
        time.sleep(0.002)


def mocked(tmp_path, handler, answers, grants=ALL, state=None, options=()):
    """One execution on the command line with canned answers: (result, standard error)."""
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(answers))
    definition = harness.panel("p", [harness.tool(handler, grants)], state)
    _, result, errors = harness.run_cli(definition, "--ext-mock", str(path), *options)
    return harness.check_shape(result), errors


# ---- several calls ------------------------------------------------------------------------------


def test_calls_overlap(world):
    handler = """
      const done = await Promise.all([1, 2, 3, 4, 5].map(async (i) => {
        await $ext.time.sleep(600);
        return i;
      }));
      return done;"""
    begun = time.monotonic()
    result, _ = world.once(handler, ALL)
    assert result["returnValue"] == [1, 2, 3, 4, 5]
    assert 0.6 <= time.monotonic() - begun < 0.6 * 5  # one after the other
    assert result["metrics"]["hostCalls"] == {"ext_call": 5}
    assert result["metrics"]["durationUs"] < 600000


def test_chain(tmp_path):
    handler = """
      const user = await $ext.db.user(7);
      const orders = await $ext.db.orders({ of: user.id, limit: 2 });
      return [user.name, orders.length];"""
    result, _ = mocked(tmp_path, handler, {"db.user": {"result": {"id": 7, "name": "Ada"}},
                                           "db.orders": {"result": [1, 2], "delayMs": 5}})
    assert result["returnValue"] == ["Ada", 2]
    assert result["metrics"]["segments"] == 3


@pytest.mark.parametrize("expression, expected", [
    ("Promise.race([slow(), quick()])", "quick"),
    ("Promise.any([fails(), slow(), quick()])", "quick"),
    ("Promise.all([slow(), quick()])", ["slow", "quick"]),
    ("Promise.allSettled([fails(), quick()]).then((all) => all.map((one) => one.status))",
     ["rejected", "fulfilled"]),
    ("Promise.race([fails(), slow()]).catch((e) => e.code)", "EXTENSION_ERROR"),
    ("Promise.any([fails(), fails()]).catch((e) => [e.name, e.errors.length])", ["AggregateError", 2]),
    ("quick().then(slow).finally(quick)", "slow"),
    ("(async () => { for await (const one of [slow(), quick()]) return one; })()", "slow"),
])
def test_combinators(tmp_path, expression, expected):
    handler = f"""
      const slow = () => $ext.x.slow(), quick = () => $ext.x.quick(), fails = () => $ext.x.fails();
      return await {expression};"""
    result, _ = mocked(tmp_path, handler, {
        "x.slow": {"result": "slow", "delayMs": 60}, "x.quick": {"result": "quick", "delayMs": 10},
        "x.fails": {"error": {"code": "EXTENSION_ERROR", "message": "no"}}})
    assert result.get("returnValue") == expected, result


def test_answers_in_any_order(tmp_path):
    handler = """
      const order = [];
      await Promise.all(['a', 'b', 'c'].map((name) => $ext.x[name]().then(() => order.push(name))));
      return order;"""
    result, _ = mocked(tmp_path, handler, {f"x.{name}": {"result": 1, "delayMs": delay}
                                           for name, delay in (("a", 60), ("b", 30), ("c", 5))})
    assert result["returnValue"] == ["c", "b", "a"]


def test_unawaited_calls_are_dropped(world):
    """The handler is done: nobody waits for what it did not wait for, and nothing of it runs."""
    world.make("drop", [harness.tool(
        "$ext.time.sleep(50).then(() => { $state.late = true; }); return 'done';", ALL)], {"late": False})
    result = world.run("drop")
    assert result.get("returnValue") == "done" and result["metrics"]["segments"] == 1
    time.sleep(0.15)
    assert world.state("drop") == {"late": False}


def test_unawaited_call_while_another_is_awaited(tmp_path):
    handler = """
      const seen = [];
      $ext.x.quick().then((v) => seen.push(v));
      $ext.x.fails().then(() => seen.push('never'));
      seen.push(await $ext.x.slow());
      return seen;"""
    result, _ = mocked(tmp_path, handler, {
        "x.slow": {"result": "slow", "delayMs": 50}, "x.quick": {"result": "quick"},
        "x.fails": {"error": {"code": "EXTENSION_ERROR", "message": "no"}}})
    assert result["returnValue"] == ["quick", "slow"]


# ---- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer, code, message", [
    ({"error": {"code": "EXTENSION_ERROR", "message": "down"}}, "EXTENSION_ERROR", "down"),
    ({"error": {"message": "no code"}}, "EXTENSION_ERROR", "no code"),
    ({"error": {"code": "ENOENT", "message": "gone"}}, "EXTENSION_ERROR", "ENOENT: gone"),
])
def test_failing_call(tmp_path, answer, code, message):
    answers = {"x.f": answer}
    caught = "try { await $ext.x.f(); } catch (e) { return [e.code, e.message, e.name, e instanceof Error]; }"
    result, _ = mocked(tmp_path, caught, answers)
    assert result["returnValue"] == [code, message, "ExtensionError", True]
    result, _ = mocked(tmp_path, "\n  await $ext.x.f();", answers)
    assert harness.code_of(result) == code and message in result["error"]["message"]


@pytest.mark.parametrize("call, code", [
    ("$ext.nosuch.f()", "EXTENSION_NOT_FOUND"), ("$ext.time.nosuch()", "METHOD_NOT_FOUND"),
    ("$ext.time.sleep('soon')", "EXTENSION_ERROR"), ("$ext.time.sleep(-1)", "EXTENSION_ERROR"),
    ("$ext.time.sleep()", "EXTENSION_ERROR"), ("$ext.time.sleep(NaN)", "EXTENSION_ERROR"),
])
def test_call_that_cannot_work(world, call, code):
    result, _ = world.once(f"try {{ await {call}; }} catch (e) {{ return e.code; }}", ALL)
    assert result.get("returnValue") == code, result
    result, _ = world.once(f"await {call};", ALL)
    assert harness.code_of(result) == code, result


def test_denied_call_throws_at_once(world):
    """Before any promise: a caught denial does not suspend."""
    handler = "try { $ext.time.sleep(1); } catch (e) { return [e.code, e.capability]; }"
    result, _ = world.once(handler, ["ext:other"])
    assert result["returnValue"] == ["PERMISSION_DENIED", "ext:time"]
    assert result["metrics"]["segments"] == 1


def test_arguments_that_are_no_json(world):
    for argument in ("1n", "(() => { const o = {}; o.o = o; return o; })()",
                     "{ toJSON() { throw new Error('hostile'); } }"):
        result, _ = world.once(f"await $ext.time.sleep({argument});", ALL)
        assert harness.code_of(result) == "EXECUTION_ERROR", result


def test_error_after_suspension_keeps_earlier_commits(world):
    handler = """
      $state.a = 1;
      $emit('first', 1);
      await $ext.time.sleep(1);
      $state.a = 2;
      $state.b = 2;
      $emit('second', 2);
      throw new Error('after');"""
    result, state = world.once(handler, ALL, {"a": 0, "b": 0})
    assert harness.code_of(result) == "EXECUTION_ERROR"
    assert result["error"]["location"]["line"] == 8
    assert state == {"a": 1, "b": 0}
    assert [(m["key"], m["value"]) for m in result["mutations"]] == [("a", 1)]
    assert [e["name"] for e in result["events"]] == ["first"]


@pytest.mark.parametrize("body, code", [
    ("for (;;) {}", "TIMEOUT"), ("const a = []; for (;;) a.push(new Uint8Array(1 << 20));", "MEMORY_LIMIT"),
    ("for (;;) $emit('e');", "RESOURCE_LIMIT"), ("$state.a = 2; await new Promise(() => {});", "EXECUTION_ERROR"),
    ("const f = () => f(); f();", None), ("$state.a = 1n;", "EXECUTION_ERROR"),
])
def test_every_failure_after_suspension(world, body, code):
    handler = f"$state.a = 1; await $ext.time.sleep(1); {body}"
    result, state = world.once(handler, ALL, {"a": 0}, timeoutMs=800 if code == "TIMEOUT" else 5000)
    assert result["status"] == "error" and harness.code_of(result) == (code or harness.code_of(result))
    assert state == {"a": 1}
    assert world.once("return 1;")[0]["returnValue"] == 1


# ---- state over suspensions ---------------------------------------------------------------------


def test_commits_at_each_suspension(world):
    world.make("steps", [harness.tool("""
      for (let i = 1; i <= 3; i++) {
        $state.step = i;
        $state.list.push(i);
        do { await $ext.time.sleep(5); } while ($state.go < i);
      }
      return 'end';""", ALL), harness.tool("$state.go = $args.n;", ALL, name="go"),
    ], {"step": 0, "go": 0, "list": []})
    result = sleeping(world, "steps")
    for i in (1, 2, 3):
        wait_for_state(world, "steps", "step", i)
        assert world.state("steps")["list"] == list(range(1, i + 1))
        world.run("steps", "go", {"n": i})
    assert result()["returnValue"] == "end"


def test_suspended_does_not_block_its_panel(world):
    """Another trigger runs in between, and the sleeper sees what it committed."""
    world.make("latest", [
        harness.tool("""
          const before = [$state.n, $state.o.x];
          const kept = $state.o;
          $state.asleep = true;
          do { await $ext.time.sleep(20); } while ($state.n === 1);
          kept.x = 'written to an old object';
          return [before, [$state.n, $state.o.x], Object.keys($state).sort()];""", ALL),
        harness.tool("$state.n = 2; $state.o = { x: 'new' }; $state.more = 1; delete $state.gone;", ALL,
                     name="other"),
    ], {"n": 1, "o": {"x": "old"}, "gone": 1, "asleep": False})
    result = sleeping(world, "latest")
    wait_for_state(world, "latest", "asleep", True)
    # It would wait for ever if the sleeper held the panel.
    assert world.run("latest", "other")["status"] == "success"
    assert result()["returnValue"] == [[1, "old"], [2, "new"], ["asleep", "more", "n", "o"]]
    assert world.state("latest")["o"] == {"x": "new"}


def test_value_that_nobody_changed_stays_linked(world):
    result, state = world.once("""
      const list = $state.list;
      list.push(1);
      await $ext.time.sleep(1);
      list.push(2);
      return list === $state.list;""", ALL, {"list": []})
    assert result["returnValue"] is True
    assert state == {"list": [1, 2]} or state == {"list": [1]}, state
    assert state == {"list": [1, 2]}


def test_increments_in_parallel_lose_nothing(world):
    """Read, sleep, read again and write: the second read is fresh, so nothing is lost."""
    world.make("sum", [harness.tool("await $ext.time.sleep(20); $state.n = $state.n + 1;", ALL)], {"n": 0})
    results = [sleeping(world, "sum") for _ in range(8)]
    assert all(one()["status"] == "success" for one in results)
    assert world.state("sum") == {"n": 8}


def test_clock_moves_between_segments(world):
    result, _ = world.once("""
      const a = Date.now();
      await $ext.time.sleep(30);
      const b = Date.now();
      return [b - a, Date.now() - b];""", ALL)
    passed, within = result["returnValue"]
    assert 25 <= passed < 60000 and within == 0


def test_grants_hold_after_suspension(world):
    handler = """
      const codes = [];
      for (let i = 0; i < 2; i++) {
        for (const fn of [() => { $state.b = 1; }, () => $state.b, () => $emit('no'), () => $ext.no.f()]) {
          try { fn(); codes.push('done'); } catch (e) { codes.push(e.capability); }
        }
        $state.a = i;
        await $ext.time.sleep(1);
      }
      return codes;"""
    result, state = world.once(handler, ["state:write:a", "ext:time"], {"a": 9, "b": 9})
    assert result["returnValue"] == ["state:write:b", "state:read:b", "events:emit:no", "ext:no"] * 2
    assert state == {"a": 1, "b": 9}


def test_nested_read_only_after_suspension(world):
    """What was handed out read-only stays so."""
    handler = """
      const o = $state.o;
      await $ext.time.sleep(1);
      try { o.x = 2; } catch (e) { return [e.capability, $state.o.x]; }"""
    result, _ = world.once(handler, ["state:read:*", "ext:time"], {"o": {"x": 1}})
    assert result["returnValue"] == ["state:write:o", 1]


# ---- hostile ------------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", [
    "Promise.prototype.then = function () { throw new Error('poison'); };",
    "Promise.resolve = Promise.reject = null; globalThis.Promise = null;",
    "Object.prototype.then = function (resolve) { resolve('poison'); };",
    "Array.prototype[Symbol.iterator] = null; JSON.parse = null; Function.prototype.call = null;",
    "Object.defineProperty(Promise.prototype, 'constructor', { get() { throw new Error('poison'); } });",
])
def test_poisoned_while_suspended(world, poison):
    """Only its own call suffers; the panel and the next one are as they were."""
    world.make("poison", [harness.tool(poison + "await $ext.time.sleep(1); return 'own';", ALL),
                          harness.tool("await $ext.time.sleep(1); return 'clean';", ALL, name="next")])
    assert world.run("poison")["status"] in ("success", "error")
    assert world.run("poison", "next").get("returnValue") == "clean"


def test_answer_is_data(tmp_path):
    """An extension's answer has no life of its own."""
    hostile = {"then": "function", "__proto__": {"polluted": 1}, "toJSON": 1, "constructor": {"name": "x"}}
    handler = """
      const answer = await $ext.x.f();
      return [Object.keys(answer), ({}).polluted ?? null, Object.getPrototypeOf(answer) === Object.prototype];"""
    result, _ = mocked(tmp_path, handler, {"x.f": {"result": hostile}})
    assert result["returnValue"] == [list(hostile), None, True]


def test_many_sleepers_leave_room(lowered):
    """One panel full of sleepers does not keep another one from working."""
    server = lowered(MAX_INSTANCES=32)
    server.make("sleepers", [harness.tool("await $ext.time.sleep(2000); return 1;", ALL)])
    server.make("neighbour", [harness.tool("return 1;")])
    results = [sleeping(server, "sleepers") for _ in range(12)]  # more than a panel may have
    harness.blackbox.wait_until(lambda: server.get("/health").json()["panels"]["suspended"] == 1)
    assert server.run("neighbour")["returnValue"] == 1
    assert server.get("/health").json()["panels"]["suspended"] == 1  # they sleep on
    assert {harness.code_of(one()) for one in results} == {"success"}


HOLD = """
  const s = 'x'.repeat(1000000);
  for (let i = 0; i < $args.times; i++) {
    for (let j = 0; j < 7; j++) $emit('e', s);
    await $ext.time.sleep(1);
  }
  $state.held = true;
  await $ext.time.sleep($args.ms);
  return 'end';"""
ASK = "const s = 'x'.repeat(1000000); for (let i = 0; i < 7; i++) $ext.time.sleep(0, s); await $ext.time.sleep(0);"


def test_what_sleepers_hold_is_bounded(lowered):
    """The server keeps what each has done so far, and what its calls were made with."""
    server = lowered(MAX_INSTANCES=32)
    tools = [harness.tool(HOLD, ALL, name="hold"), harness.tool(ASK, ALL, name="ask")]
    server.make("full", tools, {"held": False})
    server.make("neighbour", tools, {"held": False})
    first = sleeping(server, "full", "hold", {"times": 9, "ms": 25000})
    wait_for_state(server, "full", "held", True)
    for result in (server.run("full", "hold", {"times": 2, "ms": 1}), server.run("full", "ask")):
        assert harness.code_of(result) == "RESOURCE_LIMIT" and "hold too many bytes" in result["error"]["message"]
    assert server.run("full", "hold", {"times": 0, "ms": 1})["returnValue"] == "end"  # a little is always left
    assert server.run("neighbour", "hold", {"times": 2, "ms": 1})["returnValue"] == "end"
    assert server.run("neighbour", "ask")["status"] == "success"
    # What ends gives back all it held.
    server.make("full", tools, {"held": False})
    assert harness.code_of(first()) == "CANCELLED"
    for _ in range(4):
        assert len(server.run("full", "hold", {"times": 4, "ms": 1})["events"]) == 28


def test_deleting_the_panel_cancels(world):
    world.make("cancel", [harness.tool("$state.a = 1; await $ext.time.sleep(20000); return 1;", ALL)], {"a": 0})
    result = sleeping(world, "cancel")
    wait_for_state(world, "cancel", "a", 1)
    assert world.request("DELETE", "/panels/cancel").status_code == 204
    assert harness.code_of(result()) == "CANCELLED"


def test_result_holds_all_segments(world):
    handler = """
      $state.a = 1; $emit('e', 1); $view.focus('v'); $log('one');
      await $ext.time.sleep(1);
      $state.a = 2; $state.b = 1; $emit('e', 2); $log('two');
      await $ext.time.sleep(1);
      delete $state.b; $log('three');
      return 'end';"""
    result, state = world.once(handler, ALL)
    assert state == {"a": 2}
    assert [e["payload"] for e in result["events"]] == [1, 2]
    assert [l["message"] for l in result["logs"]] == ["one", "two", "three"]
    assert len(result["viewCommands"]) == 1 and result["metrics"]["segments"] == 3
    final = {}
    for mutation in result["mutations"]:
        if mutation["operation"] == "set":
            final[mutation["key"]] = mutation["value"]
        else:
            final.pop(mutation["key"], None)
    assert final == state
