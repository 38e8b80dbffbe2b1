// SPDX-License-Identifier: Apache-2.0
// The checks over a whole NXML panel: duplicates, references, capabilities, extensions, warnings.
#include "nxml_test.h"

#include "base/caps.h"

#define STATE_REF "UNDEFINED_STATE_REFERENCE"
#define NO_EXT    "UNDECLARED_EXTENSION"

static void test_duplicates(void **state) {
    (void)state;
    expect_error(DATA("<State name='a'/>\n<State name='b'/><State name='a'/>"), "DUPLICATE_STATE",
                 2, 18);
    expect_error(DATA("<State name='a'/>\n<Computed name='a' value='1'/>"), "DUPLICATE_STATE", 2,
                 27);
    expect_valid(DATA("<State name='a'/><State name='A'/><Computed name='b' value='1'/>"));
    expect_error(LOGIC("<Tool name='t'>" HANDLER "</Tool>\n<Tool name='t'>" HANDLER "</Tool>"),
                 "DUPLICATE_TOOL", 2, 1);
    expect_valid(LOGIC("<Tool name='t'>" HANDLER "</Tool>\n<Tool name='u'>" HANDLER "</Tool>"));
    expect_error(LOGIC("<Extension name='a.http'/>\n<Extension name='b.http'/>"),
                 "DUPLICATE_EXTENSION_ALIAS", 2, 1);
    expect_valid(LOGIC("<Extension name='a.http'/>\n<Extension name='b.http' alias='h2'/>"));
    expect_error(VIEW("<Layout id='r'>\n<Text id='x'/><Text id='r'/></Layout>"),
                 "DUPLICATE_VIEW_ID", 2, 21);
    expect_valid(VIEW("<Layout id='r'>\n<Text id='x'/><Text id='{r}'/><Text id='{r}'/></Layout>"));
}

// A panel with the state `n`, the computed value `c`, the tool `t` and this View.
#define WITH_VIEW(inside)                                                                          \
    PANEL("<Data><State name='n'/><Computed name='c' value='$state.n'/></Data>"                    \
          "<Logic><Tool name='t'>" HANDLER "</Tool></Logic>\n<View>" inside "</View>")

static void test_view_references(void **state) {
    (void)state;
    expect_valid(WITH_VIEW("<Text a='{$state.n + $state.c}' bind='$state[\"n\"]'/>"));
    expect_error(WITH_VIEW("<Text a='{$state.n + $state.m}'/>"), STATE_REF, 2, 28);
    expect_error(WITH_VIEW("<Text a='{\n  $state.m }'/>"), STATE_REF, 3, 3);
    expect_error(WITH_VIEW("<Text a='{1 &lt; $state.m}'/>"), STATE_REF, 2, 16);
    expect_error(WITH_VIEW("<Input bind='$state.m'/>"), STATE_REF, 2, 20);
    expect_error(WITH_VIEW("<Input bind='$state[\"m\"]'/>"), STATE_REF, 2, 20);
    expect_error(WITH_VIEW("<Button trigger='t' args='[$state.m.k]'/>"), STATE_REF, 2, 34);
    // Neither strings nor plain text refer to anything.
    expect_valid(WITH_VIEW("<Text a='{\"$state.m\" /* $state.m */}' b='costs $state.m'/>"));
    expect_valid(WITH_VIEW("<Text a='{$scope.$state.m}' b='{$state[k]}'/>"));
    expect_error(WITH_VIEW("<Button trigger='u'/>"), "UNDEFINED_TOOL_REFERENCE", 2, 24);
    expect_error(WITH_VIEW("<Button trigger=''/>"), "UNDEFINED_TOOL_REFERENCE", 2, 24);
    expect_valid(WITH_VIEW("<Button trigger='t'/>"));
    expect_valid(WITH_VIEW("<Button trigger='{$scope.tool}'/>"));
}

static void test_other_references(void **state) {
    (void)state;
    expect_error(DATA("<State name='a'/>\n<Computed name='c' value='$state.b'/>"), STATE_REF, 2,
                 27);
    expect_valid(DATA("<State name='a'/>\n<Computed name='c' value='$state.a + $state?.a'/>"));
    expect_error(PANEL("<Data><State name='a'/></Data><Logic>\n"
                       "<Tool name='t' trigger='state:b'>" HANDLER "</Tool></Logic>"),
                 STATE_REF, 2, 1);
    expect_valid(PANEL("<Data><State name='a'/></Data><Logic>\n"
                       "<Tool name='t' trigger='state:a'>" HANDLER "</Tool></Logic>"));
    // A handler may write keys that no <State> declares.
    expect_valid(TOOL("<Handler>$state.fresh = 1</Handler>"));
}

static void test_extension_use(void **state) {
    (void)state;
#define USING(code) LOGIC("<Tool name='t'>\n<Handler>" code "</Handler></Tool>")
#define DECLARED(code)                                                                             \
    LOGIC("<Extension name='nexus.time'/><Tool name='t'>\n<Handler>" code "</Handler></Tool>")
    expect_error(USING("\n  await $ext.time.now()"), NO_EXT, 3, 9);
    expect_valid(DECLARED("\n  await $ext.time.now()"));
    expect_error(USING("$ext['time'].now()"), NO_EXT, 2, 10);
    expect_valid(DECLARED("$ext['time'].now()"));
    expect_error(USING("`${`${$ext.time}`} $ext.b`"), NO_EXT, 2, 16);
    expect_error(USING("f(...[1], ...$ext.time)"), NO_EXT, 2, 23);
    expect_error(USING("/\"/.test(x); $ext?.time"), NO_EXT, 2, 23);
    expect_error(USING("a = b / c; \"/\"; $ext.time"), NO_EXT, 2, 26);
    expect_error(USING("<![CDATA[a; $ext.time]]>"), NO_EXT, 2, 22);
    // What only looks like use.
    expect_valid(
        USING("'$ext.time'; \"\\\"$ext.time\"; `$ext.time`; /* $ext.time */ // $ext.time"));
    expect_valid(USING("/[/'] $ext.time/.test(s); return /$ext.time/"));
    expect_valid(USING("a.$ext.time; my$ext.time; $ext[name]; const e = $ext"));
    // In the mount handler as well.
    expect_error(LOGIC("<Lifecycle on='mount'>\n<Handler>$ext.http.get()</Handler></Lifecycle>"),
                 NO_EXT, 2, 10);
}

static void test_extension_capabilities(void **state) {
    (void)state;
    const char *cap = "<Capabilities>\n<Capability type='ext' scope='http'/></Capabilities>";
    char source[512];
    snprintf(source, sizeof source, LOGIC("%s"), cap);
    expect_error(source, NO_EXT, 2, 1);
    snprintf(source, sizeof source, LOGIC("<Extension name='nexus.http'/>%s"), cap);
    expect_valid(source);
    snprintf(source, sizeof source, LOGIC("<Extension name='http' alias='web'/>%s"), cap);
    expect_valid(source);
    expect_valid(LOGIC("<Capabilities><Capability type='ext' scope='*'/></Capabilities>"));
}

// ---- Capabilities

#define CAPS(inside) LOGIC("<Extension name='http'/><Capabilities>\n" inside "</Capabilities>")

static void test_capability_tokens(void **state) {
    (void)state;
    struct parsed r = parse_valid(CAPS("<Capability type='state:read' scope='a:b'/>"
                                       "<Capability type='state:write' scope='*'/>"
                                       "<Capability type='events:emit' scope='e'/>"
                                       "<Capability type='view:update' scope='v'/>"
                                       "<Capability type='ext:http'/>"));
    const struct nx_cap_set *caps = &r.def->caps;
    assert_true(nx_caps_allow(caps, NX_CAP_STATE_READ, nx_span_str("a:b")));
    assert_false(nx_caps_allow(caps, NX_CAP_STATE_READ, nx_span_str("a")));
    assert_true(nx_caps_allow(caps, NX_CAP_STATE_WRITE, nx_span_str("anything")));
    assert_true(nx_caps_allow(caps, NX_CAP_EVENTS_EMIT, nx_span_str("e")));
    assert_true(nx_caps_allow(caps, NX_CAP_VIEW_UPDATE, nx_span_str("v")));
    assert_true(nx_caps_allow(caps, NX_CAP_EXT, nx_span_str("http")));
    assert_false(nx_caps_allow(caps, NX_CAP_EXT, nx_span_str("time")));
    parsed_free(&r);
    expect_valid(CAPS("<Capability type='ext:http' scope='*'/>"));
}

static void test_bad_capabilities(void **state) {
    (void)state;
    const char *code = "INVALID_CAPABILITY";
    expect_error(CAPS("<Capability type='state' scope='a'/>"), code, 2, 19);
    expect_error(CAPS("<Capability type='state:read:a'/>"), code, 2, 19);
    expect_error(CAPS("<Capability type='State:read' scope='a'/>"), code, 2, 19);
    expect_error(CAPS("<Capability type='state:delete' scope='a'/>"), code, 2, 19);
    expect_error(CAPS("<Capability type='*' scope='*'/>"), code, 2, 19);
    expect_error(CAPS("<Capability type='' scope='a'/>"), code, 2, 19);
    expect_error(CAPS("<Capability type='ext:http' scope='get'/>"), code, 2, 19);
    expect_error(CAPS("<Capability type='ext:'/>"), code, 2, 19);
    expect_error(CAPS("<Capability type='ext:*'/>"), code, 2, 19);
    expect_error(CAPS("<Capability type='state:read' scope=''/>"), code, 2, 1);
    expect_error(CAPS("<Capability scope='a'/>"), "MISSING_ATTRIBUTE", 2, 1);
    expect_error(CAPS("<Capability type='state:read'/>"), "MISSING_ATTRIBUTE", 2, 1);
    expect_error(CAPS("<Capability type='ext'/>"), "MISSING_ATTRIBUTE", 2, 1);
    expect_error(CAPS("<Capability type='ext:http' name='x'/>"), "INVALID_ATTRIBUTE", 2, 29);
    expect_error(CAPS("<Grant/>"), "UNKNOWN_ELEMENT", 2, 1);
}

static void test_own_capabilities_replace(void **state) {
    (void)state;
    // The panel's list stands after the tools it is for.
    struct parsed r = parse_valid(
        LOGIC("<Tool name='inherits'>" HANDLER "</Tool>"
              "<Tool name='own'><Capabilities><Capability type='state:read' scope='b'/>"
              "</Capabilities>" HANDLER "</Tool>"
              "<Tool name='none'><Capabilities/>" HANDLER "</Tool>"
              "<Lifecycle on='mount'>" HANDLER "</Lifecycle>"
              "<Capabilities><Capability type='state:read' scope='a'/></Capabilities>"));
    const struct nx_tool_def *t = r.def->tools;
    struct nx_span a = nx_span_str("a"), b = nx_span_str("b");
    assert_true(nx_caps_allow(&t[0].handler.caps, NX_CAP_STATE_READ, a));
    assert_false(t[0].handler.has_own_caps);
    assert_true(nx_caps_allow(&t[1].handler.caps, NX_CAP_STATE_READ, b));
    assert_false(nx_caps_allow(&t[1].handler.caps, NX_CAP_STATE_READ, a));
    assert_true(t[2].handler.has_own_caps);
    assert_false(nx_caps_allow(&t[2].handler.caps, NX_CAP_STATE_READ, a));
    assert_true(nx_caps_allow(&r.def->mount->caps, NX_CAP_STATE_READ, a));
    parsed_free(&r);
}

// ---- Warnings

static void test_unused_states(void **state) {
    (void)state;
    const char *code = "UNUSED_STATE";
#define STATE_AND(logic, view) PANEL("<Data>\n<State name='a'/></Data>" logic view)
    expect_warning(STATE_AND("", ""), code, 2, 1);
    expect_warning(STATE_AND("", "<View><Text>a</Text></View>"), code, 2, 1);
    expect_no_warning(STATE_AND("", "<View><Text>{$state.a}</Text></View>"), code);
    expect_no_warning(STATE_AND("", "<View><Text b='x {$state.a}-{1}'/></View>"), code);
    expect_no_warning(STATE_AND("", "<View><Text b='{$state.a}'/></View>"), code);
#define RUN(code_) "<Logic><Tool name='t'><Handler>" code_ "</Handler></Tool></Logic>"
    expect_no_warning(STATE_AND(RUN("$state.a++"), ""), code);
    expect_no_warning(STATE_AND(RUN("for (const k in $state) f(k)"), ""), code);
    expect_warning(STATE_AND(RUN("$state.b++"), ""), code, 2, 1);
}

static void test_unused_tools(void **state) {
    (void)state;
    const char *code = "UNUSED_TOOL";
#define TOOL_AND(trigger, view)                                                                    \
    PANEL("<Logic>\n<Tool name='t'" trigger ">" HANDLER "</Tool></Logic>" view)
    expect_warning(TOOL_AND("", "<View><Text/></View>"), code, 2, 1);
    expect_no_warning(TOOL_AND("", ""), code);
    expect_no_warning(TOOL_AND(" trigger='interval:1s'", "<View><Text/></View>"), code);
    expect_no_warning(TOOL_AND("", "<View><Button trigger='t'/></View>"), code);
    expect_no_warning(TOOL_AND("", "<View><Button trigger='{$scope.x}'/></View>"), code);
}

static void expect_cap_use(const char *type, const char *scope, const char *code, bool used) {
    char source[512];
    snprintf(source, sizeof source,
             LOGIC("<Extension name='http'/><Tool name='t'><Capabilities>\n<Capability type='%s' "
                   "scope='%s'/></Capabilities><Handler>%s</Handler></Tool>"),
             type, scope, code);
    if (used)
        expect_no_warning(source, "UNUSED_CAPABILITY");
    else
        expect_warning(source, "UNUSED_CAPABILITY", 2, 1);
}

static void test_unused_capabilities(void **state) {
    (void)state;
    expect_cap_use("state:read", "a", "return $state.a", true);
    expect_cap_use("state:read", "a", "return $state.b", false);
    expect_cap_use("state:read", "*", "return $state.b", true);
    expect_cap_use("state:write", "*", "return 1", false);
    expect_cap_use("state:write", "a", "$state[k] = 1", true);
    expect_cap_use("events:emit", "e", "$emit('e', 1)", true);
    expect_cap_use("events:emit", "e", "$emit('f')", false);
    expect_cap_use("events:emit", "e", "$emit(name)", true);
    expect_cap_use("view:update", "v", "$view.focus('v')", true);
    expect_cap_use("view:update", "v", "$emit('v')", false);
    expect_cap_use("ext", "http", "$ext.http.get(u)", true);
    expect_cap_use("ext", "http", "1", false);
    // The panel's count as used by a tool that runs with them, not by one that has its own.
#define PANEL_CAP(own)                                                                             \
    LOGIC("<Capabilities>\n<Capability type='state:read' scope='a'/></Capabilities>"               \
          "<Tool name='t'>" own "<Handler>$state.a</Handler></Tool>")
    expect_no_warning(PANEL_CAP(""), "UNUSED_CAPABILITY");
    expect_warning(PANEL_CAP("<Capabilities/>"), "UNUSED_CAPABILITY", 2, 1);
}

static void test_broad_capabilities(void **state) {
    (void)state;
    expect_warning(CAPS("<Capability type='state:write' scope='*'/>"), "BROAD_CAPABILITY", 2, 1);
    expect_no_warning(CAPS("<Capability type='state:write' scope='a'/>"), "BROAD_CAPABILITY");
    expect_no_warning(CAPS("<Capability type='ext:http' scope='*'/>"), "BROAD_CAPABILITY");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_view_references),
        cmocka_unit_test(test_other_references),
        cmocka_unit_test(test_extension_use),
        cmocka_unit_test(test_extension_capabilities),
        cmocka_unit_test(test_capability_tokens),
        cmocka_unit_test(test_bad_capabilities),
        cmocka_unit_test(test_own_capabilities_replace),
        cmocka_unit_test(test_unused_states),
        cmocka_unit_test(test_unused_tools),
        cmocka_unit_test(test_unused_capabilities),
        cmocka_unit_test(test_broad_capabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
