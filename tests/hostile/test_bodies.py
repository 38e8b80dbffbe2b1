# SPDX-License-Identifier: Apache-2.0
"""Handler bodies and expressions that try to leave the function they are put into. What is compiled
is that function and nothing else; everything that would run when it is loaded is refused."""
import pytest

import harness

EVIL = "globalThis.escaped = 1"
# Each closes the function's body; FORM is what opens another one, so that the tail fits again.
CLOSING = [
    "}), %s, (FORM () {",
    "}), (%s), (FORM x() {",
    "}); %s; (FORM () {",
    "})(); %s; (FORM () {",
    "} || %s || FORM () {",
    "}, %s, FORM () {",
    "} ? FORM () {} : (%s, FORM () {})) ; (FORM () {",
    "}).name; { %s } (FORM () {",
    "});\n%s\n;(FORM () {",
    "})\n`${%s}`\n(FORM () {",
    "}); class X { static { %s } } (FORM () {",
    "}); for (%s;;) break; (FORM () {",
    "}); try { %s } finally {} (FORM () {",
    "}); export default (FORM () {",
    "}); import 'x'; (FORM () {",
    "}); //%s\n(FORM () {",
    "}, FORM ($state = (%s)) {",
    "})/*%s*/(FORM () {",
    "}); label: (FORM () {",
    "}); 'use strict'; (FORM () {",
    "}); ((FORM () {}))(FORM () {",
    "}.constructor(%s), FORM () {",
]
UNFINISHED = ["{", "(", "[", "`", "'", "\"", "/*", "/", "`${", "<!--\n{", "if (1)", "return function () {",
              "})", "}", "]", ")", "return 1; }", "\\", "#!x", "@x", "\u2028}"]


def bodies():
    for template in CLOSING:
        code = template.replace("%s", EVIL)
        yield code.replace("FORM", "function")
        # The word makes the handler an async function; what it closes must then be one too.
        yield code.replace("FORM", "async function").replace(EVIL, EVIL + "/*await*/") + "/*await*/"
    yield from UNFINISHED
    yield from (one + "//await" for one in UNFINISHED if one != "/")  # which would be a comment


@pytest.mark.parametrize("body", list(bodies()))
def test_refused(world, body):
    world.request("DELETE", "/panels/body")
    reply = world.post("/panels", json=harness.panel("body", [harness.tool(body)]))
    assert reply.status_code == 400, (body, reply.text)
    codes = {one["code"] for one in reply.json()["error"]["details"]["diagnostics"]
             if one["severity"] == "error"}
    assert codes == {"COMPILATION_ERROR"}, reply.text
    assert world.get("/panels/body").status_code == 404


@pytest.mark.parametrize("body, returned", [
    ("return 1; // a comment at the end", 1),
    ("return 1; /* another */", 1),
    ("return 1 <!-- and one more", 1),
    ("\n--> at the start of a line\nreturn 1;", 1),
    ("{ } return 1;", 1),
    ("return '})'", "})"),
    ("return `})`", "})"),
    ("return /}\\)/.test('})')", True),
    ("return (function () {})() ?? 1", 1),
    ("return typeof escaped", "undefined"),
    ("var handler = 1; return handler;", 1),
    ("function handler() { return 1; } return handler();", 1),
    ("const $state = 1; return $state;", None),  # a parameter may not be declared again
    ("{ const $state = 1; return $state; }", 1),
    ("return arguments.length", 7),
    ("return new.target === undefined", True),
    ("label: { break label; } return 1;", 1),
    ("return 'await'.length;", 5),
    ("return await 1;", 1),
    ("return await (async () => await 1)();", 1),
    ("", None),
    (";", None),
    ("\ufeffreturn 1;", 1),
    ("\r\nreturn 1;\r\n", 1),
])
def test_odd_but_harmless(world, body, returned):
    world.request("DELETE", "/panels/body")
    reply = world.post("/panels", json=harness.panel("body", [harness.tool(body)]))
    if reply.status_code == 201:
        result = world.run("body")
        assert result["status"] == "success" and result.get("returnValue") == returned, result
    else:
        assert returned is None and "COMPILATION_ERROR" in reply.text, reply.text


NXML = """<NexusPanel id="c"><Data><State name="a" type="number"/><Computed name="c" value="%s"/></Data>
<Logic><Tool name="t"><Capabilities><Capability type="state:read" scope="a"/></Capabilities>
<Handler>return typeof escaped;</Handler></Tool></Logic></NexusPanel>"""


@pytest.mark.parametrize("expression, fine", [
    ("$state.a + 1", True), ("($state.a)", True), ("[$state.a].map((x) =&gt; { return x; })", True),
    ("function () { return $state.a; }", True), ("$state.a // comment", True),
    ("0)}), (escaped = 1), (function () { return (0", False),
    ("0); escaped = 1; return (0", False), ("0)}); escaped = 1; (function () { return (0", False),
    ("0, ", False), ("", False), ("return 1", False), ("$state.a;", False), ("0) + (0", None),
    ("0)} + function () { return (0", False), ("await 1", False), ("import('x')", None),
])
def test_computed_expressions(world, expression, fine):
    """`fine` is None where both are acceptable: what is accepted is one expression all the same."""
    world.request("DELETE", "/panels/c")
    reply = world.create(NXML % expression)
    if fine is not None:
        assert reply.status_code == (201 if fine else 400), reply.text
    if reply.status_code == 201:
        assert world.run("c")["returnValue"] == "undefined"
