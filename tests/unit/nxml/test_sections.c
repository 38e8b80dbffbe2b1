// SPDX-License-Identifier: Apache-2.0
// The elements of <Data>, <Logic> and <View>: what they mean and what they refuse.
#include "nxml_test.h"

#define ATTR     "INVALID_ATTRIBUTE"
#define CHARS_64 "a234567890123456789012345678901234567890123456789012345678901234"

static void test_panel_attributes(void **state) {
    (void)state;
    struct parsed r = parse_valid("<NexusPanel id='p-1' title='T' description='D' version='1.0' "
                                  "author='A' tags='x,y'/>");
    assert_string_equal(r.def->id, "p-1");
    assert_string_equal(r.def->title, "T");
    assert_string_equal(r.def->description, "D");
    assert_string_equal(r.def->version, "1.0");
    assert_string_equal(r.def->author, "A");
    assert_string_equal(r.def->tags, "x,y");
    parsed_free(&r);
    expect_error("<NexusPanel name='x'/>", ATTR, 1, 13);
    expect_error("<NexusPanel id=''/>", ATTR, 1, 17);
    expect_error("<NexusPanel id='../x'/>", ATTR, 1, 17);
    expect_error("<NexusPanel title=''/>", ATTR, 1, 20);
    expect_error(PANEL("<Data/><View><Text/></View><Data/>"), "DUPLICATE_ELEMENT", 1, 40);
    expect_valid(PANEL("<View><Text/></View><Logic/><Data/>"));
    expect_error(PANEL("<Dta/>"), "UNKNOWN_ELEMENT", 1, 13);
    expect_error(PANEL("<Data x='1'/>"), ATTR, 1, 19);
    expect_error(PANEL("<Data> hi </Data>"), "INVALID_SYNTAX", 1, 20);
}

// A panel whose `attr` is `count` times "ä": two bytes, one character.
static int parse_long(const char *attr, size_t count) {
    struct nx_buf b;
    nx_buf_init(&b, 8192);
    nx_buf_printf(&b, "<NexusPanel %s='", attr);
    for (size_t i = 0; i < count; i++)
        nx_buf_append_str(&b, "\xC3\xA4");
    nx_buf_append_str(&b, "'/>");
    struct parsed r = parse_bytes(b.data, b.len);
    int status = r.status;
    parsed_free(&r);
    nx_buf_free(&b);
    return status;
}

static void test_text_lengths(void **state) {
    (void)state;
    assert_int_equal(parse_long("title", 128), 0);
    assert_int_equal(parse_long("title", 129), NX_E_INVALID);
    assert_int_equal(parse_long("description", 1024), 0);
    assert_int_equal(parse_long("description", 1025), NX_E_INVALID);
}

static void test_states(void **state) {
    (void)state;
    struct parsed r = parse_valid(DATA("<State name='s'/><State name='n' type='number'/>"
                                       "<State name='b' type='boolean'/>"
                                       "<State name='l' type='list'/>"
                                       "<State name='o' type='object'/>"
                                       "<State name='s2' default='a\"b'/>"
                                       "<State name='n2' type='number' default=' -1.5e3 '/>"
                                       "<State name='b2' type='boolean' default/>"
                                       "<State name='l2' type='list' default='[1, \"x\"]'/>"
                                       "<State name='o2' type='object' default='{\"a\":{}}'/>"));
    assert_string_equal(r.def->initial_state_json,
                        "{\"s\":\"\",\"n\":0,\"b\":false,\"l\":[],\"o\":{},\"s2\":\"a\\\"b\","
                        "\"n2\":-1.5e3,\"b2\":true,\"l2\":[1, \"x\"],\"o2\":{\"a\":{}}}");
    assert_int_equal(r.def->state_count, 10);
    assert_int_equal(r.def->states[4].type, NX_TYPE_OBJECT);
    assert_int_equal(r.def->states[1].pos.column, 36);
    parsed_free(&r);
}

static void test_bad_states(void **state) {
    (void)state;
    expect_error(DATA("<State/>"), "MISSING_ATTRIBUTE", 1, 19);
    expect_error(DATA("<State name='a' type='int'/>"), ATTR, 1, 41);
    expect_error(DATA("<State name='a' kind='x'/>"), ATTR, 1, 35);
    expect_error(DATA("<State name='a'>0</State>"), "INVALID_SYNTAX", 1, 35);
    expect_error(DATA("<State name='a'><Arg/></State>"), "UNKNOWN_ELEMENT", 1, 35);
    static const char *const bad[] = {
        "number' default=''",       "number' default='0x10'", "number' default='1e999'",
        "number' default='\"1\"'",  "number' default='1 2'",  "number' default='null'",
        "boolean' default='yes'",   "boolean' default='1'",   "list' default='{}'",
        "list' default='[1,]'",     "object' default='[]'",   "object' default='{a:1}'",
        "object' default='\"{}\"'", "list' default=''",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char source[256];
        snprintf(source, sizeof source, DATA("<State name='a' type='%s/>"), bad[i]);
        const char *value = strstr(source, "default='") + strlen("default='");
        expect_error(source, ATTR, 1, (uint32_t)(value - source) + 1);
    }
}

static void test_identifiers(void **state) {
    (void)state;
    static const char *const bad[] = {"",    "1a",        "a-b",      "a b",
                                      "a.b", "__proto__", "\xC3\xA4", CHARS_64 "X"};
    static const char *const good[] = {"a", "_", "$x", "A9", "constructor", "__proto", CHARS_64};
    char source[256];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(source, sizeof source, DATA("<State name='%s'/>"), bad[i]);
        expect_error(source, "INVALID_IDENTIFIER", 1, 32);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(source, sizeof source, DATA("<State name='%s'/>"), good[i]);
        expect_valid(source);
    }
    expect_error(DATA("<Computed name='a-b' value='1'/>"), "INVALID_IDENTIFIER", 1, 35);
    expect_error(LOGIC("<Tool name='a-b'>" HANDLER "</Tool>"), "INVALID_IDENTIFIER", 1, 32);
    expect_error(TOOL("<Arg name='a-b'/>" HANDLER), "INVALID_IDENTIFIER", 1, 46);
    expect_error(LOGIC("<Extension name='x' alias='a-b'/>"), "INVALID_IDENTIFIER", 1, 47);
    expect_error(LOGIC("<Extension name='nexus.a-b'/>"), "INVALID_IDENTIFIER", 1, 37);
}

static void test_computed(void **state) {
    (void)state;
    struct parsed r = parse_valid(DATA("<State name='n'/>\n"
                                       "<Computed name='c' value='$state.n &lt; 2'/>"));
    assert_int_equal(r.def->computed_count, 1);
    assert_string_equal(r.def->computed[0].expression, "$state.n < 2");
    assert_int_equal(r.def->computed[0].pos.line, 2);
    assert_int_equal(r.def->computed[0].pos.column, 27);
    assert_string_equal(r.def->initial_state_json, "{\"n\":\"\"}");
    parsed_free(&r);
    expect_error(DATA("<Computed name='c'/>"), "MISSING_ATTRIBUTE", 1, 19);
    expect_error(DATA("<Computed value='1'/>"), "MISSING_ATTRIBUTE", 1, 19);
    expect_error(DATA("<Computed name='c' value=' '/>"), ATTR, 1, 45);
}

static void test_extensions(void **state) {
    (void)state;
    struct parsed r = parse_valid(LOGIC("<Extension name='nexus.http' source='builtin'/>"
                                        "<Extension name='time' alias='clock'/>"));
    assert_int_equal(r.def->extension_count, 2);
    assert_string_equal(r.def->extensions[0].name, "nexus.http");
    assert_string_equal(r.def->extensions[0].alias, "http");
    assert_string_equal(r.def->extensions[0].source, "builtin");
    assert_string_equal(r.def->extensions[1].alias, "clock");
    assert_null(r.def->extensions[1].source);
    parsed_free(&r);
    expect_error(LOGIC("<Extension/>"), "MISSING_ATTRIBUTE", 1, 20);
    static const char *const bad[] = {"", ".a", "a.", "a..b", "a/b", "a b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char source[128];
        snprintf(source, sizeof source, LOGIC("<Extension name='%s' alias='ok'/>"), bad[i]);
        expect_error(source, ATTR, 1, 37);
    }
}

static void test_tools(void **state) {
    (void)state;
    struct parsed r =
        parse_valid(LOGIC("<Tool name='go' description='D' trigger='interval:5s' timeoutMs='250'>"
                          "<Arg name='n' type='number' default='5' description='N'/>"
                          "<Arg name='s' required='false'/><Handler>x</Handler></Tool>"
                          "<Tool name='bare'><Handler>y</Handler></Tool>"
                          "<Lifecycle on='mount'><Handler>m</Handler></Lifecycle>"
                          "<Lifecycle on='unmount'><Handler>u</Handler></Lifecycle>"));
    const struct nx_tool_def *t = nx_panel_def_find_tool(r.def, nx_span_str("go"));
    assert_ptr_equal(t, &r.def->tools[0]);
    assert_string_equal(t->description, "D");
    assert_int_equal(t->timeout_ms, 250);
    assert_true(t->declares_args);
    assert_int_equal(t->arg_count, 2);
    assert_string_equal(t->args[0].default_json, "5");
    assert_string_equal(t->args[0].description, "N");
    assert_true(t->args[0].required);
    assert_false(t->args[1].required);
    assert_int_equal(t->args[1].type, NX_TYPE_STRING);
    assert_false(r.def->tools[1].declares_args);
    assert_int_equal(r.def->tools[1].trigger.kind, NX_TRIGGER_MANUAL);
    assert_null(nx_panel_def_find_tool(r.def, nx_span_str("g")));
    assert_string_equal(r.def->mount->code, "m");
    assert_string_equal(r.def->unmount->code, "u");
    parsed_free(&r);
}

static void test_bad_tools(void **state) {
    (void)state;
    expect_error(TOOL(""), "INVALID_SYNTAX", 1, 20);
    expect_error(TOOL(HANDLER HANDLER), "DUPLICATE_ELEMENT", 1, 62);
    expect_error(TOOL(HANDLER "<Capabilities/><Capabilities/>"), "DUPLICATE_ELEMENT", 1, 77);
    expect_error(LOGIC("<Capabilities/><Capabilities/>"), "DUPLICATE_ELEMENT", 1, 35);
    expect_error(LOGIC("<Tool>" HANDLER "</Tool>"), "MISSING_ATTRIBUTE", 1, 20);
    expect_error(TOOL("<Handler lang='js'>x</Handler>"), ATTR, 1, 44);
    expect_error(TOOL("text" HANDLER), "INVALID_SYNTAX", 1, 35);
    expect_error(TOOL("<Arg/>" HANDLER), "MISSING_ATTRIBUTE", 1, 35);
    expect_error(TOOL("<Arg name='a'/><Arg name='a'/>" HANDLER), "DUPLICATE_ELEMENT", 1, 50);
    expect_error(TOOL("<Arg name='a' required='no'/>" HANDLER), ATTR, 1, 59);
    expect_error(TOOL("<Arg name='a' type='number' default='x'/>" HANDLER), ATTR, 1, 72);
    expect_error(LOGIC("<Tool name='a' timeoutMs='0'>" HANDLER "</Tool>"), ATTR, 1, 46);
    expect_error(LOGIC("<Tool name='a' timeoutMs='1.5'>" HANDLER "</Tool>"), ATTR, 1, 46);
    expect_error(LOGIC("<Tool name='a' timeoutMs='600001'>" HANDLER "</Tool>"), ATTR, 1, 46);
    expect_valid(LOGIC("<Tool name='a' timeoutMs='600000'>" HANDLER "</Tool>"));
    expect_error(LOGIC("<Lifecycle>" HANDLER "</Lifecycle>"), "MISSING_ATTRIBUTE", 1, 20);
    expect_error(LOGIC("<Lifecycle on='load'>" HANDLER "</Lifecycle>"), ATTR, 1, 35);
    expect_error(LOGIC("<Lifecycle on='mount'/>"), "INVALID_SYNTAX", 1, 20);
    expect_error(LOGIC("<Lifecycle on='mount'>" HANDLER "</Lifecycle>\n"
                       "<Lifecycle on='mount'>" HANDLER "</Lifecycle>"),
                 "DUPLICATE_LIFECYCLE", 2, 1);
}

static void expect_trigger(const char *text, enum nx_trigger_kind kind, uint32_t ms,
                           const char *pattern) {
    char source[256];
    snprintf(source, sizeof source,
             PANEL("<Data><State name='k'/></Data><Logic><Tool name='t' trigger='%s'>" HANDLER
                   "</Tool></Logic>"),
             text);
    struct parsed r = parse_valid(source);
    const struct nx_trigger_def *t = &r.def->tools[0].trigger;
    assert_int_equal(t->kind, kind);
    assert_int_equal(t->interval_ms, ms);
    if (pattern)
        assert_string_equal(t->pattern, pattern);
    else
        assert_null(t->pattern);
    parsed_free(&r);
}

static void test_triggers(void **state) {
    (void)state;
    expect_trigger("manual", NX_TRIGGER_MANUAL, 0, NULL);
    expect_trigger("interval:250ms", NX_TRIGGER_INTERVAL, 250, NULL);
    expect_trigger("interval:5s", NX_TRIGGER_INTERVAL, 5000, NULL);
    expect_trigger("interval:10m", NX_TRIGGER_INTERVAL, 600000, NULL);
    expect_trigger("interval:1h", NX_TRIGGER_INTERVAL, 3600000, NULL);
    expect_trigger("cron:*/5  0-6,22-23 * 1-12/2 7", NX_TRIGGER_CRON, 0,
                   "*/5 0-6,22-23 * 1-12/2 7");
    expect_trigger("event:job:*", NX_TRIGGER_EVENT, 0, "job:*");
    expect_trigger("state:k", NX_TRIGGER_STATE, 0, "k");
    static const char *const bad[] = {
        "",
        "auto",
        "Manual",
        "manual:x",
        "interval",
        "interval:",
        "interval:5",
        "interval:s",
        "interval:-5s",
        "interval:9ms",
        "interval:745h",
        "interval:99999999999999999999ms",
        "interval:5 s",
        "cron:",
        "cron:* * * *",
        "cron:* * * * * *",
        "cron:60 * * * *",
        "cron:* 24 * * *",
        "cron:* * 0 * *",
        "cron:* * * 13 *",
        "cron:* * * * 8",
        "cron:5-1 * * * *",
        "cron:*/0 * * * *",
        "cron:1/2 * * * *",
        "cron:1,,2 * * * *",
        "cron:a * * * *",
        "event:",
        "state:",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char source[256];
        snprintf(source, sizeof source, LOGIC("<Tool name='t' trigger='%s'>" HANDLER "</Tool>"),
                 bad[i]);
        expect_error(source, ATTR, 1, 44);
    }
}

static void test_argument_cap(void **state) {
    (void)state;
    for (int count = 64; count <= 65; count++) {
        struct nx_buf b;
        nx_buf_init(&b, 65536);
        nx_buf_append_str(&b, "<NexusPanel><Logic><Tool name='t'>");
        for (int i = 0; i < count; i++)
            nx_buf_printf(&b, "<Arg name='a%d'/>", i);
        nx_buf_append_str(&b, HANDLER "</Tool></Logic></NexusPanel>");
        struct parsed r = parse_bytes(b.data, b.len);
        assert_int_equal(r.status, count == 64 ? 0 : NX_E_INVALID);
        parsed_free(&r);
        nx_buf_free(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_panel_attributes), cmocka_unit_test(test_text_lengths),
        cmocka_unit_test(test_states),           cmocka_unit_test(test_bad_states),
        cmocka_unit_test(test_identifiers),      cmocka_unit_test(test_computed),
        cmocka_unit_test(test_extensions),       cmocka_unit_test(test_tools),
        cmocka_unit_test(test_bad_tools),        cmocka_unit_test(test_triggers),
        cmocka_unit_test(test_argument_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
