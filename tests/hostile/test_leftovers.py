# SPDX-License-Identifier: Apache-2.0
"""Nothing that a handler does is there in the next call, whatever way the call ended: not in its own
panel, not in another one, not in what the process holds."""
import os
import pathlib
import time

import pytest

import harness

ALL = harness.EVERYTHING

# What a call leaves in its own world.
MARKS = """
  globalThis.left = 'left';
  globalThis.console2 = $log;
  Object.prototype.left = 'left';
  Array.prototype.left = 'left';
  Array.prototype.push = () => 'left';
  Promise.prototype.then = () => 'left';
  JSON.stringify = () => '"left"';
  Math.random = () => 0.5;
  Date.now = () => 0;
  Object.freeze(String.prototype);
  Object.preventExtensions(globalThis);
  (handler.memo ??= []).push('left');
"""
# Whether anything of that is visible.
LOOK = """
  const found = [];
  const note = (name, is) => { if (is) found[found.length] = name; };
  note('global', typeof left !== 'undefined' || 'console2' in globalThis);
  note('prototypes', ({}).left !== undefined || [].left !== undefined);
  note('push', [].push.call([], 1) !== 1);
  note('then', Promise.resolve().then(() => 1) === 'left');
  note('stringify', JSON.stringify(1) !== '1');
  note('random', Math.random() === 0.5 && Math.random() === 0.5);
  note('date', Date.now() === 0);
  note('frozen', Object.isFrozen(String.prototype) || !Object.isExtensible(globalThis));
  note('function', handler.memo !== undefined);
  return found;
"""
# How a call may end.
ENDINGS = {
    "success": "return 1;",
    "error": "throw new Error('x');",
    "denied": "$state.no = 1;",
    "timeout": "for (;;) {}",
    "timeout in a builtin": "'x'.repeat(1 << 20).split('').sort(() => { for (;;); });",
    "hard timeout": "return JSON.stringify(Array.prototype.lastIndexOf.call({ length: 2 ** 53 - 1 }, 1));",
    "memory": "const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(7));",
    "stack": "const f = () => f() + 1; f();",
    "host calls": "for (;;) $log('');",
    "pending": "return new Promise(() => {});",
    "many pages": "globalThis.big = new Uint8Array(8 << 20).fill(7); return 1;",
    "null thrown": "throw null;",
}


@pytest.fixture(scope="module")
def pair(world):
    """Two panels that look for leftovers, and one that leaves them."""
    tools = [harness.tool(LOOK, name="look")]
    tools += [harness.tool(MARKS + code, name=f"mark{i}", timeoutMs=80)
              for i, code in enumerate(ENDINGS.values())]
    tools += [harness.tool(MARKS + "await $ext.time.sleep(30);" + code, ALL, name=f"slept{i}", timeoutMs=80)
              for i, code in enumerate(ENDINGS.values())]
    world.make("marks", tools)
    world.make("bystander", [harness.tool(LOOK, name="look")])
    return world


@pytest.mark.parametrize("tool", ["mark", "slept"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_marks(pair, ending, tool):
    pair.run("marks", f"{tool}{list(ENDINGS).index(ending)}")
    for panel in ("marks", "bystander"):
        result = pair.run(panel, "look")
        assert result.get("returnValue") == [], (panel, result)


def test_marks_are_visible_within_a_call(world):
    """The control: the look finds what there is to find."""
    result, _ = world.once(MARKS + LOOK)
    assert result["returnValue"] == ["global", "prototypes", "push", "then", "stringify", "random", "date",
                                     "frozen", "function"], result


@pytest.mark.parametrize("ending", ["return 1;", "throw new Error('x');", "for (;;) {}"])
def test_state_cache_does_not_outlive_its_call(world, ending):
    """A value read or written, and not committed, is not what the next call reads."""
    world.make("cache", [
        harness.tool(f"$state.o.x = 'dirty'; $state.n = 'dirty'; {ending}", ALL, timeoutMs=80),
        harness.tool("return [$state.o.x, $state.n];", ALL, name="look"),
        harness.tool("$state.o = { x: $args.x }; $state.n = $args.x;", ALL, name="put"),
    ], {"o": {"x": "clean"}, "n": "clean"})
    failed = harness.code_of(world.run("cache")) != "success"
    expected = "clean" if failed else "dirty"
    assert world.run("cache", "look")["returnValue"] == [expected, expected]
    world.run("cache", "put", {"x": "new"})
    assert world.run("cache", "look")["returnValue"] == ["new", "new"]


def test_inputs_are_fresh(world):
    """$args and $scope of a call are not those of the last, also where both were empty."""
    world.make("inputs", [harness.tool(
        "const seen = [Object.keys($args), $scope.left ?? null]; $args.left = 1; $scope.left = 1; return seen;")])
    for _ in range(3):
        assert world.run("inputs")["returnValue"] == [[], None]
    assert world.run("inputs", args={"a": 1})["returnValue"] == [["a"], None]
    assert world.run("inputs")["returnValue"] == [[], None]


def test_random_differs_in_each_execution(world):
    world.make("random", [harness.tool("return [Math.random(), Math.random()];")])
    world.make("random2", [harness.tool("return [Math.random(), Math.random()];")])
    seen = [number for _ in range(20) for panel in ("random", "random2")
            for number in world.run(panel)["returnValue"]]
    assert len(set(seen)) == len(seen)
    assert all(0 <= number < 1 for number in seen)
    assert 0.25 < sum(seen) / len(seen) < 0.75


def test_clock_goes_on_between_executions(world):
    world.make("clock", [harness.tool("return Date.now();")])
    before = time.time() * 1000
    times = [world.run("clock")["returnValue"] for _ in range(3)]
    time.sleep(0.02)
    times.append(world.run("clock")["returnValue"])
    assert before - 5 <= times[0] and times == sorted(times) and times[3] - times[2] >= 15
    assert times[3] <= time.time() * 1000 + 5


def test_panels_do_not_meet(world):
    """A handler of the same text in another panel has its own state and world."""
    code = "globalThis.n = (globalThis.n ?? 0) + 1; $state.n = $state.n + 1; return [n, $state.n, $scope.panelId];"
    for panel in ("one", "two"):
        world.make(panel, [harness.tool(code, ALL)], {"n": 0})
    for i in (1, 2, 3):
        assert world.run("one")["returnValue"][:2] == [1, i]
    assert world.run("two")["returnValue"][:2] == [1, 1]


def used(pid):
    """Descriptors and resident bytes of a process; nothing if it is gone."""
    try:
        resident = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return len(os.listdir(f"/proc/{pid}/fd")), resident
    except OSError:
        return 0, 0


def test_nothing_grows(lowered):
    """Hundreds of calls that end in every way: the same worker, no descriptors, no memory."""
    server = lowered(TIMEOUT_MS=20, MAX_HOST_CALLS=100)
    server.make("grow", [harness.tool(MARKS + code, name=f"mark{i}") for i, code in
                         enumerate(ENDINGS.values())])

    def rounds_of_calls(count):
        for i in [*range(len(ENDINGS))] * count:
            server.run("grow", f"mark{i}")

    def measure():
        rounds_of_calls(3)
        workers = server.workers()
        before = [used(pid) for pid in workers], used(server.process.pid)
        rounds_of_calls(10)
        return before, ([used(pid) for pid in workers], used(server.process.pid))
    (workers_before, kernel_before), (workers, kernel) = server.in_time(measure, 60)
    # None was lost; one that stood by idle may have been replaced.
    stayed = [(before, after) for before, after in zip(workers_before, workers) if 0 not in (before[0], after[0])]
    assert stayed and all(after[0] == before[0] for before, after in stayed), stayed
    before, after = stayed[0]
    assert after[1] <= before[1] + (8 << 20)
    assert kernel[1] <= kernel_before[1] + (8 << 20)
