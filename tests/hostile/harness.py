# SPDX-License-Identifier: Apache-2.0
"""What the hostile suites share: the black-box tests' server, panels made of handlers, and a look at
the world a handler finds."""
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import time

from waits import Waits

HERE = pathlib.Path(__file__).resolve().parent


def _load_blackbox():
    path = HERE.parent / "blackbox/conftest.py"
    spec = importlib.util.spec_from_file_location("blackbox_harness", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


blackbox = _load_blackbox()
NEXUS, Server = blackbox.NEXUS, blackbox.Server

EVERYTHING = ["state:read:*", "state:write:*", "events:emit:*", "view:update:*", "ext:*"]


# Bounds on time hold for the release build; sanitizers slow the host's half down. What a busy machine
# lets it wait is measured, and taken off.
SLOWER = 3 if blackbox.is_sanitized() else 1


def limit(name):
    """A cap of src/base/limits.h, in its own unit."""
    text = (blackbox.ROOT / "src/base/limits.h").read_text()
    return int(re.search(rf"^#define {name}\s+(\d+)$", text, re.M)[1])


# What a segment may take past its time limit: until it is stopped where it is, and for the stopping.
RUNNING_GRACE_US = limit("NX_HARD_DEADLINE_GRACE_MS") * 1000 + 5000 * SLOWER
# For handlers that a test does not want stopped.
PATIENCE_MS = 60000
# The watchdog kills a worker that did not answer for so long. An honest one waited for a processor
# most of it. That happens, rarely: so often in one run of a suite at most.
WATCHDOG_GRACE_S = limit("NX_WATCHDOG_GRACE_MS") / 1000
MOST_STARVED = 3
starved = []


def tool(handler, grants=(), name="t", **more):
    return {"name": name, "handler": handler, "capabilities": list(grants), **more}


def panel(panel_id, tools, state=None):
    return {"id": panel_id, "kind": "hostile", "tools": tools, "initialState": state or {}}


class World(Server):
    """A server with ways to run a handler once."""

    def make(self, panel_id, tools, state=None):
        """Creates the panel anew."""
        self.request("DELETE", f"/panels/{panel_id}")
        reply = self.post("/panels", json=panel(panel_id, tools, state))
        assert reply.status_code == 201, reply.text
        return reply

    def run(self, panel_id, name="t", args=None):
        reply = self.trigger(panel_id, name, args)
        assert reply.status_code == 200, reply.text
        return check_shape(reply.json())

    def lost(self):
        """How many workers were lost so far, by reason."""
        return dict(re.findall(r'^nexus_worker_restarts_total\{reason="(\w+)"\} (\d+)$', self.get("/metrics").text,
                               re.M))

    def family(self):
        """The processes that have a part in an answer, the test's own among them."""
        every = blackbox.processes()
        children = [pid for pid, (parent, _) in every.items() if parent == self.process.pid]
        return [os.getpid(), self.process.pid, *children,
                *(pid for pid, (parent, _) in every.items() if parent in children)]

    def waits(self):
        """A context that adds up what the machine lets this server's processes wait."""
        return Waits(self.family)

    def in_time(self, attempt, most_s, running_ms=None):
        """What `attempt` returns, which must take at most so long and cost no worker its life; if it is
        the result of an execution, that must have run no longer than `running_ms`. What the machine let
        everybody wait is taken off.

        There is a second try only where the watchdog killed a worker that got no processor."""
        while True:
            before = self.lost()
            with self.waits() as waits:
                begun = time.monotonic()
                result = attempt()
                taken_s = time.monotonic() - begun
            after = self.lost()
            if after == before:
                break
            assert after | {"watchdog": 0} == before | {"watchdog": 0}, f"it killed its worker: {before}, {after}"
            assert waits.seconds > WATCHDOG_GRACE_S / 2, f"it hung, not for {waits}"
            starved.append(waits.seconds)
            assert len(starved) <= MOST_STARVED, f"this machine is too busy to say what hangs: {starved}"
        assert taken_s - waits.seconds <= most_s, f"took {taken_s} s, {waits}"
        if running_ms is not None:
            run_us = result["metrics"]["durationUs"]
            assert run_us - waits.seconds * 1e6 <= running_ms * 1000 + RUNNING_GRACE_US, \
                f"ran {run_us} us of {running_ms} ms, {waits}"
        return result

    def state(self, panel_id):
        return self.get(f"/panels/{panel_id}/state").json()["state"]

    def once(self, handler, grants=(), state=None, args=None, **more):
        """The result of one execution in a panel of its own, and the state it left."""
        self.make("once", [tool(handler, grants, **more)], state)
        return self.run("once", args=args), self.state("once")


def check_shape(result):
    """What every result must be, whatever the handler did."""
    assert result["status"] in ("success", "error"), result
    for key in ("mutations", "events", "viewCommands", "logs"):
        assert isinstance(result[key], list), key
    assert ("error" in result) == (result["status"] == "error")
    assert isinstance(result["metrics"]["durationUs"], int)
    if result["status"] == "error":
        assert result["error"]["code"] and isinstance(result["error"]["message"], str)
    return result


def code_of(result):
    return result.get("error", {}).get("code", result["status"])


def run_cli(definition, *options, seconds=120):
    """`nexus run` of the panel's tool `t`: (exit code, result, standard error)."""
    environment = {name: value for name, value in os.environ.items()
                   if name == "PATH" or name.endswith("SAN_OPTIONS")}
    done = subprocess.run([str(NEXUS), "run", "-", "t", *options], input=json.dumps(definition),
                          env=environment, capture_output=True, text=True, timeout=seconds,
                          errors="replace", check=False)
    assert "Sanitizer" not in done.stderr and "runtime error:" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


# Returns a text that names every object a handler can reach from its globals and inputs, with its
# attributes and the source of its functions. Two calls give the same text unless one of them finds
# something that another call left behind.
FINGERPRINT = r"""
const ids = new Map(), lines = [];
const todo = [['global', globalThis], ['emit', $emit], ['view', $view], ['log', $log],
  ['generator', Object.getPrototypeOf(function* () {})],
  ['async', Object.getPrototypeOf(async () => {})],
  ['asyncGenerator', Object.getPrototypeOf(async function* () {})],
  ['arrayIterator', Object.getPrototypeOf([][Symbol.iterator]())],
  ['mapIterator', Object.getPrototypeOf(new Map().entries())],
  ['setIterator', Object.getPrototypeOf(new Set().values())],
  ['stringIterator', Object.getPrototypeOf(''[Symbol.iterator]())],
  ['regexIterator', Object.getPrototypeOf('a'.matchAll(/a/g))]];
const show = (value, path) => {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) {
    return typeof value === 'symbol' ? value.toString() : typeof value + ':' + String(value);
  }
  if (!ids.has(value)) { ids.set(value, path); todo.push([path, value]); }
  return '->' + ids.get(value);
};
for (const [path, object] of todo) ids.set(object, path);
while (todo.length > 0) {
  const [path, object] = todo.pop();
  const line = [path, Object.isExtensible(object), show(Object.getPrototypeOf(object), path + '^')];
  if (typeof object === 'function') line.push(Function.prototype.toString.call(object));
  for (const key of Reflect.ownKeys(object)) {
    const d = Object.getOwnPropertyDescriptor(object, key);
    const name = path + '.' + String(key);
    line.push(String(key), d.writable, d.enumerable, d.configurable,
      'value' in d ? show(d.value, name) : [show(d.get, name + '<'), show(d.set, name + '>')]);
  }
  lines.push(line.join(' '));
}
return lines.sort();
"""
