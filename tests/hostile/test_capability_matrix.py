# SPDX-License-Identifier: Apache-2.0
"""Every host call against every kind of grant: exact, wildcard, and all the near misses. A refusal
must name the capability, change nothing and be on record; where it is granted, the same action works.
"""
import time

import pytest

import harness

# Each action on the scope SCOPE: the capability's kind, the handler, what else it needs, and the host
# call it is counted as. `returns` is what it gives when allowed.
STATE = {"x": 1, "list": [1]}
LIST = [1, 2]
ACTIONS = {
    "get": ("state:read:", "return $state[SCOPE];", [], "state_get"),
    "has": ("state:read:", "return SCOPE in $state;", [], "state_has"),
    "descriptor": ("state:read:", "return Object.getOwnPropertyDescriptor($state, SCOPE).value;", [],
                   "state_get"),
    "set": ("state:write:", "$state[SCOPE] = 5;", [], "state_set"),
    "define": ("state:write:", "Object.defineProperty($state, SCOPE, { value: 5 });", [], "state_set"),
    "delete": ("state:write:", "delete $state[SCOPE];", [], "state_delete"),
    "nested write": ("state:write:", "$state[SCOPE].x = 5;", ["state:read:"], "state_set"),
    "nested push": ("state:write:", "$state[SCOPE].list.push(5);", ["state:read:"], "state_set"),
    "nested delete": ("state:write:", "delete $state[SCOPE].x;", ["state:read:"], "state_set"),
    "emit": ("events:emit:", "$emit(SCOPE, 5);", [], "emit"),
    "setFilter": ("view:update:", "$view.setFilter(SCOPE, 'f');", [], "view"),
    "scrollTo": ("view:update:", "$view.scrollTo(SCOPE, 'bottom');", [], "view"),
    "focus": ("view:update:", "$view.focus(SCOPE);", [], "view"),
    "command": ("view:update:", "$view.command(SCOPE, 'c', { a: 1 });", [], "view"),
    "ext": ("ext:", "return await $ext[SCOPE].now();", [], "ext_call"),
}
KINDS = ["state:read:", "state:write:", "events:emit:", "view:update:", "ext:"]
# `time` is an extension that exists; the others are only names to the host.
SCOPES = ["time", "a:b", "a*b", "caf\u00e9", "\U0001f600", "a b"]


def grants_for(kind, scope):
    """Grants under test by name: (tokens, whether they allow)."""
    yield "none", [], False
    yield "exact", [kind + scope], True
    yield "wildcard", [kind + "*"], True
    yield "wrong scope", [kind + "other"], False
    yield "wrong kinds", [one + scope for one in KINDS if one != kind], False
    yield "wrong wildcards", [one + "*" for one in KINDS if one != kind], False
    yield "prefix of the scope", [kind + scope[:-1]] if len(scope) > 1 else [], False
    yield "scope and more", [kind + scope + "x", kind + scope + ":*", kind + scope + "*"], False
    yield "pattern", [kind + scope[:1] + "*", kind + "**", kind + "*" + scope[-1:], kind + "?"], False
    yield "other case", [kind + scope.swapcase() + "!", kind + scope.upper() + " "], False
    yield "spaces", [kind + " " + scope, kind + scope + " "], False
    yield "decomposed", [kind + scope.replace("\u00e9", "e\u0301") + "\u200b"], False


def cases():
    for name, (kind, code, needs, call) in ACTIONS.items():
        for scope in SCOPES:
            if name == "ext" and scope == "a b":
                continue
            yield pytest.param(kind, code, needs, call, scope, id=f"{name}-{SCOPES.index(scope)}")


def quoted(scope):
    return '"' + scope + '"'


@pytest.mark.parametrize("kind, code, needs, call, scope", list(cases()))
def test_matrix(world, kind, code, needs, call, scope):
    variants = list(grants_for(kind, scope))
    handler = code.replace("SCOPE", quoted(scope))
    tools = [harness.tool(handler, tokens + [need + scope for need in needs], name=f"v{i}")
             for i, (_, tokens, _) in enumerate(variants)]
    state = {scope: STATE, "other": STATE}
    denied_before = len(world.logs("capability denied"))
    for i, (name, tokens, allowed) in enumerate(variants):
        world.make("matrix", tools, state)
        result = world.run("matrix", f"v{i}")
        if name in ("wrong kinds", "wrong wildcards") and needs and "state:read:" in needs:
            tokens = [token for token in tokens if not token.startswith("state:write:")]
        if allowed:
            check_allowed(world, result, kind, call, scope, state)
        else:
            check_refused(world, result, kind, scope, state, name)
            assert result["metrics"]["hostCalls"].get(call, 0) <= 1
    refused = sum(not allowed for _, _, allowed in variants)
    on_record = records(world, denied_before, refused)
    assert len(on_record) == refused
    assert all(line["audit"] and line["capability"] == kind + scope and line["panelId"] == "matrix"
               for line in on_record)


def records(world, before, expected):
    """The audit lines of this test. They come through a pipe, later than the answers."""
    deadline = time.monotonic() + 60
    while len(world.logs("capability denied")) < before + expected and time.monotonic() < deadline:
        time.sleep(0.002)
    return world.logs("capability denied")[before:]


def check_refused(world, result, kind, scope, state, name):
    assert result["status"] == "error", name
    assert result["error"]["code"] == "PERMISSION_DENIED", (name, result)
    assert result["error"]["capability"] == kind + scope, (name, result)
    assert kind + scope in result["error"]["message"]
    assert not result["mutations"] and not result["events"] and not result["viewCommands"]
    assert world.state("matrix") == state, name


def check_allowed(world, result, kind, call, scope, state):
    if call == "ext_call" and scope != "time":
        # Past the grant, there is no such extension.
        assert result["error"]["code"] == "EXTENSION_NOT_FOUND", result
        return
    assert result["status"] == "success", result
    assert result["metrics"]["hostCalls"][call] >= 1
    effects = {"state:write:": "mutations", "events:emit:": "events", "view:update:": "viewCommands"}
    if kind in effects:
        assert len(result[effects[kind]]) == 1, result
    else:
        assert result["returnValue"]
    if kind == "state:write:":
        mutation = result["mutations"][0]
        assert mutation["key"] == scope
        after = dict(state, **{scope: mutation.get("value")})
        if mutation["operation"] == "delete":
            del after[scope]
        assert world.state("matrix") == after != state
    else:
        assert world.state("matrix") == state


@pytest.mark.parametrize("grants, listed", [
    ([], []), (["state:read:a"], ["a"]), (["state:read:*"], ["a", "b", "c:d"]),
    (["state:write:*"], []), (["state:read:c"], []), (["state:read:c:d", "state:write:b"], ["c:d"]),
])
def test_keys_lists_what_may_be_read(world, grants, listed):
    """Listing is no denial: it shows the keys that may be read."""
    state = {"a": 1, "b": 2, "c:d": 3}
    for code in ("Object.keys($state)", "Reflect.ownKeys($state)", "Object.entries({ ...$state }).map((e) => e[0])",
                 "(() => { const k = []; for (const key in $state) k.push(key); return k; })()"):
        result, _ = world.once(f"return {code};", grants, state)
        assert result.get("returnValue") == listed, (code, result)


@pytest.mark.parametrize("grants", [[], ["state:read:x"], ["ext:*"]])
def test_log_needs_no_grant(world, grants):
    result, _ = world.once("$log.warn('a', 1); console.log('b');", grants)
    assert result["logs"] == [{"level": "warn", "message": "a 1"}, {"level": "info", "message": "b"}]


def test_unreadable_values_never_reach_the_handler(world):
    """Neither directly nor in what it sends, whichever way it looks."""
    looks = ["JSON.stringify($state)", "JSON.stringify({ ...$state })", "String(Object.entries($state))",
             "JSON.stringify(Object.assign({}, $state))", "JSON.stringify([$args, $scope])"]
    for code in looks:
        result, _ = world.once(f"return {code};", ["state:read:a", "state:write:*"],
                               {"a": 1, "secret": "hunter2"})
        assert "hunter2" not in str(result), code


def test_caught_denial_leaves_other_effects(world):
    handler = """
      $state.a = 2;
      $emit('before', 1);
      const caught = [];
      for (const action of [() => { $state.b = 1; }, () => $state.c, () => $emit('no', 1),
                            () => $view.focus('no'), () => $ext.no.f()]) {
        try { action(); } catch (e) { caught.push(e.capability); }
      }
      $emit('after', caught.length);
      $state.d = 4;
      return caught;"""
    grants = ["state:write:a", "state:write:d", "events:emit:before", "events:emit:after"]
    result, state = world.once(handler, grants, {"a": 1, "b": 0, "c": 3})
    assert result["returnValue"] == ["state:write:b", "state:read:c", "events:emit:no",
                                     "view:update:no", "ext:no"]
    assert [m["key"] for m in result["mutations"]] == ["a", "d"]
    assert [e["name"] for e in result["events"]] == ["before", "after"]
    assert state == {"a": 2, "b": 0, "c": 3, "d": 4}


def test_trying_again_changes_nothing(world):
    handler = """
      let denied = 0;
      for (let i = 0; i < 500; i++) { try { $state.b = i; } catch { denied++; } }
      return denied;"""
    result, state = world.once(handler, ["state:write:a"], {"a": 1, "b": 0})
    assert result["returnValue"] == 500 and state == {"a": 1, "b": 0}
    assert result["metrics"]["hostCalls"] == {"state_set": 500}


def test_own_grants_replace_those_of_the_panel(world):
    definition = harness.panel("own", [
        {"name": "inherits", "handler": "$state.a = 2;"},
        harness.tool("$state.a = 3;", ["state:write:b"], name="declares"),
        harness.tool("$state.a = 4;", [], name="declares_none"),
    ], {"a": 1})
    definition["capabilities"] = ["state:write:a"]
    world.request("DELETE", "/panels/own")
    assert world.post("/panels", json=definition).status_code == 201
    assert world.run("own", "inherits")["status"] == "success"
    for name in ("declares", "declares_none"):
        assert harness.code_of(world.run("own", name)) == "PERMISSION_DENIED"
    assert world.state("own") == {"a": 2}


@pytest.mark.parametrize("token", ["", "*", "state", "state:*", "state:read", "state:read:", "state:all:x",
                                   "STATE:READ:x", " state:read:x", "events:emit:", "ext:", "fs:read:x",
                                   "view:*", "state:read:" + "x" * 2000, "ext\u0000:x"])
def test_unknown_tokens_refuse_the_panel(world, token):
    reply = world.post("/panels", json=harness.panel("bad", [harness.tool("return 1;", [token])]))
    assert reply.status_code == 400, reply.text
    assert world.get("/panels/bad").status_code == 404


@pytest.mark.parametrize("options, code", [
    (["--deny-all"], "PERMISSION_DENIED"), (["--grant", "state:write:b"], "PERMISSION_DENIED"),
    (["--grant", "state:read:*"], "PERMISSION_DENIED"), (["--grant", "state:write:a"], "success"),
    (["--grant", "state:write:*"], "success"), ([], "success"),
])
def test_on_the_command_line(options, code):
    definition = harness.panel("p", [harness.tool("$state.a = 2;", ["state:write:a"])], {"a": 1})
    status, result, errors = harness.run_cli(definition, *options)
    assert harness.code_of(result) == code
    assert status == (0 if code == "success" else 1)
    assert ("denied: state:write:a" in errors) == (code == "PERMISSION_DENIED")
