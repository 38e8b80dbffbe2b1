# SPDX-License-Identifier: Apache-2.0
"""Hostile and honest panels at the same time, hostile life cycles, hostile inputs: the honest ones
get right answers throughout."""
import json
import threading
import time

import pytest

import harness

ALL = harness.EVERYTHING
HOSTILE = [
    "for (;;) {}", "const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1));",
    "const f = () => f() + 1; f();", "for (;;) $log('x');", "throw null;",
    "Promise.prototype.then = null; Array.prototype.push = null; return 'x'.repeat(1 << 20).length;",
    "return /^(a+)+$/.test('a'.repeat(40) + 'b');", "await $ext.time.sleep(5); for (;;) {}",
    "await Promise.all(Array.from({ length: 60 }, () => $ext.time.sleep(5))); for (;;) $emit('e');",
    "$state.stolen = Object.keys($state); await new Promise(() => {});",
    "return JSON.stringify(Array.prototype.lastIndexOf.call({ length: 2 ** 53 - 1 }, 1));",
]
HONEST = """
  const before = $state.n;
  $state.n = before + 1;
  $state.list.push($args.i);
  if ($args.i % 5 === 0) await $ext.time.sleep(1);
  $emit('counted', $state.n);
  return [before + 1, [1, 2, 3].map((x) => x * 2), Object.keys(globalThis).length, $state.list.length > 0];
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_honest_among_hostile(lowered, workers):
    server = lowered(WORKERS=workers, TIMEOUT_MS=100, MAX_EVENTS=20)
    for i, code in enumerate(HOSTILE):
        server.make(f"hostile{i}", [harness.tool(code, ALL)], {"secret": i})
    names = ["honest0", "honest1"]
    for name in names:
        server.make(name, [harness.tool(HONEST, ALL)], {"n": 0, "list": []})
    stop, wrong, codes, lost = threading.Event(), [], set(), server.lost()

    def attack(first):
        i = first
        while not stop.is_set():
            codes.add(harness.code_of(server.run(f"hostile{i % len(HOSTILE)}")))
            i += 1

    def work(name):
        for i in range(60):
            result = server.run(name, args={"i": i})
            value = result.get("returnValue")
            if not value or value[1:] != [[2, 4, 6], 0, True]:
                wrong.append(result)

    attackers = [threading.Thread(target=attack, args=(i,)) for i in (0, 4, 8)]
    honest = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in attackers + honest:
        thread.start()
    for thread in honest:
        thread.join(200)
    stop.set()
    for thread in attackers:
        thread.join(60)
    assert not any(thread.is_alive() for thread in honest)
    # An honest call that the attackers kept from its processor may run out of its own 100 ms.
    late = [one for one in wrong if harness.code_of(one) == "TIMEOUT"]
    assert wrong == late and len(late) <= 6, wrong
    done = 60 - len([one for one in late])
    for name in names:
        state = server.state(name)
        assert done <= state["n"] <= 60 and done <= len(state["list"]) <= 60
        assert sorted(state["list"]) == sorted(set(state["list"]))
    assert {"TIMEOUT", "RESOURCE_LIMIT", "EXECUTION_ERROR"} <= codes <= {
        "TIMEOUT", "RESOURCE_LIMIT", "EXECUTION_ERROR", "MEMORY_LIMIT", "success"}
    # Loops are slow: they called every spare worker, and none is lost. Those replaced, because nobody
    # wanted what they computed, are back.
    assert server.lost() | {"watchdog": 0} == lost | {"watchdog": 0}
    harness.blackbox.wait_until(lambda: len(server.workers()) == 2 * workers + 1)


# ---- life cycle ---------------------------------------------------------------------------------

LIFE = """<NexusPanel id="life"><Data><State name="a" type="number" default="1"/></Data><Logic>
<Extension name="time"/>
<Capabilities><Capability type="state:write" scope="*"/><Capability type="ext" scope="time"/></Capabilities>
<Lifecycle on="mount"><Handler>%s</Handler></Lifecycle>
<Lifecycle on="unmount"><Handler>%s</Handler></Lifecycle>
<Tool name="t"><Handler>return 'alive';</Handler></Tool></Logic></NexusPanel>"""
ENDINGS = ["for (;;) {}", "throw new Error('no');", "const f = () => f() + 1; f();", "throw null;",
           "await new Promise(() => {});", "const a = []; for (;;) a.push(new Uint8Array(1 << 20));",
           "await $ext.time.sleep(60000);", "for (;;) $state.a = 2;"]


@pytest.fixture(scope="module")
def quick(lowered):
    return lowered(TIMEOUT_MS=200, SUSPEND_TIMEOUT_MS=150, MAX_STATE_MUTATIONS=50)


def create_anew(server, source):
    server.request("DELETE", "/panels/life")
    return server.create(source)


@pytest.mark.parametrize("code", ENDINGS)
def test_hostile_mount(quick, code):
    """Creation answers in time, says what became of the handler, and leaves a panel that works."""
    reply = quick.in_time(lambda: create_anew(quick, LIFE % (code, "return;")), 0.5 * harness.SLOWER)
    assert reply.status_code == 201, reply.text
    assert harness.check_shape(reply.json()["mount"])["status"] == "error"
    assert quick.run("life")["returnValue"] == "alive"
    assert quick.state("life") == {"a": 1}
    assert quick.request("DELETE", "/panels/life").status_code == 204
    assert quick.get("/panels/life").status_code == 404


@pytest.mark.parametrize("code", ENDINGS)
def test_hostile_unmount(quick, code):
    """A panel cannot keep itself from being deleted."""
    assert quick.create(LIFE % ("$state.a = 2;", code)).status_code == 201
    assert quick.state("life") == {"a": 2}
    with quick.waits() as waits:
        begun = time.monotonic()
        assert quick.request("DELETE", "/panels/life").status_code == 204
        taken_s = time.monotonic() - begun
    assert taken_s - waits.seconds < 0.5 * harness.SLOWER
    harness.blackbox.wait_until(lambda: quick.get("/panels/life").status_code == 404)
    assert quick.create(LIFE % ("return;", "return;")).status_code == 201  # the id is free again
    assert quick.request("DELETE", "/panels/life").status_code == 204


# ---- inputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("body, status, returned", [
    ('{"a": 1}', 200, '{"a":1}'),
    ('{"a": 1e999, "b": -1e999, "c": 1e-999}', 200, '{"a":null,"b":null,"c":0}'),
    ('{"a": 12345678901234567890, "b": 0.1}', 200, '{"a":12345678901234567000,"b":0.1}'),
    ('{"a": "\\ud800", "\\udfff": "\\u0000"}', 200, '{"a":"\\ud800","\\udfff":"\\u0000"}'),
    ('{"toJSON": 1, "then": 2, "__proto__": 3, "constructor": 4}', 200,
     '{"toJSON":1,"then":2,"__proto__":3,"constructor":4}'),
    ('{"a":' + "[" * 255 + "]" * 255 + "}", 200, None),
    ('{"a":' + "[" * 256 + "]" * 256 + "}", 413, None),
    ('{"a":' + "[" * 100000 + "]" * 100000 + "}", 413, None),
    ('{"a": NaN}', 400, None), ("{'a': 1}", 400, None), ('{"a": 1,}', 400, None), ("[]", 400, None),
    ("null", 400, None), ('"text"', 400, None), ('{"a": 1} {"b": 2}', 400, None), ('{"a": 01}', 400, None),
    ('{"a": "\x01"}', 400, None), ('{"a": "\\x41"}', 400, None),
], ids=lambda value: repr(value)[:40])
def test_arguments(world, body, status, returned):
    world.make("args", [harness.tool("return JSON.stringify($args);")])
    reply = world.post("/panels/args/trigger/t", data=body.encode(),
                       headers={"Content-Type": "application/json"})
    assert reply.status_code == status, reply.text
    if returned is not None:
        assert reply.json()["returnValue"] == returned


@pytest.mark.parametrize("body", [b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b'{"a": "\xc0\x80"}', b'{"a\x00": 1}'])
def test_arguments_that_are_no_text(world, body):
    world.make("args", [harness.tool("return JSON.stringify($args);")])
    reply = world.post("/panels/args/trigger/t", data=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400, reply.text


def test_arguments_larger_than_memory_allows(lowered):
    """An input is the handler's cost: what does not fit its memory is its error."""
    server = lowered(MEMORY_LIMIT_MB=8, BODY_LIMIT="16mb")
    server.make("args", [harness.tool("return Object.keys($args).length;")])
    for size, expected in ((1000, "success"), (12 << 20, "MEMORY_LIMIT")):
        result = server.run("args", args={"text": "x" * size})
        assert harness.code_of(result) == expected, result
    many = {"list": [[] for _ in range(1000000)]}
    assert harness.code_of(server.run("args", args=many)) == "MEMORY_LIMIT"
    assert harness.code_of(server.run("args")) == "success"


def test_answers_larger_than_a_value(tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({"x.fits": {"result": "y" * 1000000}, "x.large": {"result": "y" * 1100000}}))
    definition = harness.panel("p", [harness.tool("""
      const fits = (await $ext.x.fits()).length;
      try { await $ext.x.large(); } catch (e) { return [fits, e.code, e.message]; }""", ALL)])
    _, result, _ = harness.run_cli(definition, "--ext-mock", str(path))
    fits, code, message = result["returnValue"]
    assert fits == 1000000 and code == "EXTENSION_ERROR" and "larger" in message
