// SPDX-License-Identifier: Apache-2.0
// Panels given as JSON, and NXML wrapped in JSON.
#include "nxml_test.h"

#define ATTR    "INVALID_ATTRIBUTE"
#define MISSING "MISSING_ATTRIBUTE"

// Sources are written with ' for ".
static char *quoted(const char *text) {
    char *copy = strdup(text);
    assert_non_null(copy);
    for (char *at = copy; *at; at++)
        if (*at == '\'')
            *at = '"';
    return copy;
}

static void refuse(const char *text, const char *code, const char *part) {
    char *source = quoted(text);
    expect_message(source, code, part);
    expect_error(source, code, 0, 0);
    free(source);
}

static void accept(const char *text) {
    char *source = quoted(text);
    expect_valid(source);
    free(source);
}

static struct parsed accepted(const char *text) {
    char *source = quoted(text);
    struct parsed r = parse_valid(source);
    free(source);
    return r;
}

#define WITH(members)  "{'kind':'k','tools':[]," members "}"
#define TOOLS(list)    "{'kind':'k','tools':[" list "]}"
#define TOOL1(members) TOOLS("{'name':'t','handler':'x'," members "}")

static void test_whole_panel(void **state) {
    (void)state;
    struct parsed r = accepted(
        " \n{'id':'p1','panelId':'p1','kind':'counter','title':'T\\u00e4','tools':["
        "{'name':'inc','handler':'$state.n += $args.by\\nreturn 1','description':'D',"
        "'args':[{'name':'by','type':'number','required':false,'default':1,'description':'A'}],"
        "'capabilities':['state:read:n','state:write:n'],'trigger':{'type':'interval','ms':500},"
        "'timeoutMs':100},{'name':'other','handler':'1'}],"
        "'initialState':{'n': 1e2},'capabilities':['events:emit:*'],"
        "'lifecycle':{'mount':{'handler':'m'},'unmount':{'handler':'u','capabilities':[]}},"
        "'metadata':{'a':[1, 2]}}");
    const struct nx_panel_def *d = r.def;
    assert_string_equal(d->id, "p1");
    assert_string_equal(d->kind, "counter");
    assert_string_equal(d->title, "T\xC3\xA4");
    assert_string_equal(d->initial_state_json, "{\"n\": 1e2}");
    assert_string_equal(d->metadata_json, "{\"a\":[1, 2]}");
    assert_int_equal(d->tool_count, 2);
    const struct nx_tool_def *t = &d->tools[0];
    assert_string_equal(t->handler.code, "$state.n += $args.by\nreturn 1");
    assert_int_equal(t->handler.code_len, strlen(t->handler.code));
    assert_int_equal(t->trigger.kind, NX_TRIGGER_INTERVAL);
    assert_int_equal(t->trigger.interval_ms, 500);
    assert_int_equal(t->timeout_ms, 100);
    assert_int_equal(t->args[0].type, NX_TYPE_NUMBER);
    assert_false(t->args[0].required);
    assert_string_equal(t->args[0].default_json, "1");
    assert_true(nx_caps_allow(&t->handler.caps, NX_CAP_STATE_WRITE, nx_span_str("n")));
    assert_false(nx_caps_allow(&t->handler.caps, NX_CAP_EVENTS_EMIT, nx_span_str("e")));
    assert_true(nx_caps_allow(&d->tools[1].handler.caps, NX_CAP_EVENTS_EMIT, nx_span_str("e")));
    assert_true(nx_caps_allow(&d->mount->caps, NX_CAP_EVENTS_EMIT, nx_span_str("e")));
    assert_false(nx_caps_allow(&d->unmount->caps, NX_CAP_EVENTS_EMIT, nx_span_str("e")));
    assert_int_equal(t->handler.pos.line, 0);
    parsed_free(&r);
}

static void test_defaults(void **state) {
    (void)state;
    struct parsed r = accepted("{'kind':'k','tools':[{'name':'t','handler':''}]}");
    assert_string_equal(r.def->title, "Untitled Panel");
    assert_string_equal(r.def->initial_state_json, "{}");
    assert_null(r.def->id);
    assert_null(r.def->metadata_json);
    assert_false(r.def->tools[0].declares_args);
    assert_int_equal(r.def->tools[0].trigger.kind, NX_TRIGGER_MANUAL);
    parsed_free(&r);
    r = accepted("{'panelId':'p2','kind':'k','tools':[]}");
    assert_string_equal(r.def->id, "p2");
    parsed_free(&r);
}

static void test_no_panels(void **state) {
    (void)state;
    refuse("{", "INVALID_SYNTAX", "");
    refuse("{} x", "INVALID_SYNTAX", "");
    refuse("{'kind':'k','tools':[],}", "INVALID_SYNTAX", "");
    struct parsed r = {0};
    assert_int_equal(nx_panel_def_parse_json(nx_span_str("[]"), &r.def, &r.diags), NX_E_INVALID);
    assert_string_equal(r.diags.items[0].code, "INVALID_SYNTAX");
    parsed_free(&r);
}

static void test_members(void **state) {
    (void)state;
    accept("{'kind':'k','tools':[]}");
    refuse("{'tools':[]}", MISSING, "'kind'");
    refuse("{'kind':'k'}", MISSING, "'tools'");
    refuse(WITH("'tool':1"), ATTR, "tool: unknown");
    refuse(WITH("'kind':'k'"), ATTR, "kind: given twice");
    refuse(WITH("'k\\u0069nd':'k'"), ATTR, "given twice");
    refuse(WITH("'id':'a b'"), ATTR, "id: ");
    refuse(WITH("'id':null"), ATTR, "id: ");
    refuse(WITH("'id':'a','panelId':'b'"), ATTR, "differ");
    refuse(WITH("'title':''"), ATTR, "title: ");
    refuse(WITH("'title':'a\\u0000b'"), ATTR, "title: ");
    refuse(WITH("'title':'\\ud800'"), ATTR, "title: ");
    accept(WITH("'title':'\\ud83d\\ude00'"));
    refuse(WITH("'initialState':[]"), ATTR, "initialState: ");
    refuse(WITH("'metadata':'x'"), ATTR, "metadata: ");
    refuse(WITH("'capabilities':'x'"), ATTR, "capabilities: ");
    refuse(WITH("'capabilities':['events:emit:e',7]"), ATTR, "capabilities[1]: ");
    refuse(WITH("'capabilities':['events:emit:e','state:a']"), "INVALID_CAPABILITY",
           "capabilities[1]: ");
    accept(WITH("'capabilities':[]"));
}

static void test_state_keys(void **state) {
    (void)state;
    for (int len = 1024; len <= 1025; len++) {
        char *text = NULL, *key = calloc(1, (size_t)len + 1);
        assert_non_null(key);
        memset(key, 'k', (size_t)len);
        assert_true(asprintf(&text, WITH("'initialState':{'%s':1}"), key) > 0);
        if (len == 1024)
            accept(text);
        else
            refuse(text, ATTR, "initialState: a key");
        free(text);
        free(key);
    }
}

static void test_tools(void **state) {
    (void)state;
    accept(TOOL1("'timeoutMs':600000"));
    refuse(TOOL1("'handlr':'x'"), ATTR, "tools[0].handlr: unknown");
    refuse(TOOLS("7"), ATTR, "tools[0]: must be an object");
    refuse(TOOLS("{'name':'t'}"), MISSING, "tools[0]: the member 'handler'");
    refuse(TOOLS("{'handler':'t'}"), MISSING, "tools[0]: the member 'name'");
    refuse(TOOLS("{'name':'a-b','handler':'x'}"), "INVALID_IDENTIFIER", "tools[0].name: ");
    refuse(TOOLS("{'name':'t','handler':7}"), ATTR, "tools[0].handler: ");
    refuse(TOOLS("{'name':'t','handler':'a\\u0000b'}"), ATTR, "tools[0].handler: ");
    refuse(TOOLS("{'name':'t','handler':'x'},{'name':'t','handler':'x'}"), "DUPLICATE_TOOL",
           "tools[1].name: ");
    accept(TOOLS("{'name':'t','handler':'x'},{'name':'u','handler':'x'}"));
    refuse(TOOL1("'timeoutMs':'100'"), ATTR, "tools[0].timeoutMs: ");
    refuse(TOOL1("'timeoutMs':0"), ATTR, "tools[0].timeoutMs: ");
    refuse(TOOL1("'timeoutMs':600001"), ATTR, "tools[0].timeoutMs: ");
    refuse(TOOL1("'capabilities':['ext:']"), "INVALID_CAPABILITY", "tools[0].capabilities[0]: ");
    // A JSON panel declares no extensions and no states: what it uses is settled at run time.
    accept(TOOLS("{'name':'t','handler':'$ext.time.now()','capabilities':['ext:time'],"
                 "'trigger':{'type':'state_change','path':'k'}}"));
}

static void test_args(void **state) {
    (void)state;
    struct parsed r = accepted(TOOL1("'args':{'a':{'type':'list','default':[1]},'b':{}}"));
    const struct nx_tool_def *t = &r.def->tools[0];
    assert_int_equal(t->arg_count, 2);
    assert_string_equal(t->args[0].name, "a");
    assert_string_equal(t->args[0].default_json, "[1]");
    assert_true(t->args[1].required);
    parsed_free(&r);
    r = accepted(TOOL1("'args':[{'name':'a','default':'x\\n'}]"));
    assert_string_equal(r.def->tools[0].args[0].default_json, "\"x\\n\"");
    parsed_free(&r);
    accept(TOOL1("'args':[]"));
    accept(TOOL1("'args':{}"));
    refuse(TOOL1("'args':7"), ATTR, "tools[0].args: ");
    refuse(TOOL1("'args':[{}]"), MISSING, "tools[0].args[0]: the member 'name'");
    refuse(TOOL1("'args':['a']"), ATTR, "tools[0].args[0]: ");
    refuse(TOOL1("'args':{'a':{'name':'a'}}"), ATTR, "tools[0].args.a.name: unknown");
    refuse(TOOL1("'args':{'a-b':{}}"), "INVALID_IDENTIFIER", "tools[0].args.a-b: ");
    refuse(TOOL1("'args':{'a':{},'a':{}}"), "DUPLICATE_ELEMENT", "tools[0].args.a: ");
    refuse(TOOL1("'args':[{'name':'a'},{'name':'a'}]"), "DUPLICATE_ELEMENT", "args[1]: ");
    refuse(TOOL1("'args':{'a':{'type':'int'}}"), ATTR, "tools[0].args.a.type: ");
    refuse(TOOL1("'args':{'a':{'required':'no'}}"), ATTR, "tools[0].args.a.required: ");
    refuse(TOOL1("'args':{'a':{'default':7}}"), ATTR, "tools[0].args.a.default: ");
    refuse(TOOL1("'args':{'a':{'default':null}}"), ATTR, "tools[0].args.a.default: ");
    refuse(TOOL1("'args':{'a':{'default':'7','type':'number'}}"), ATTR, ".default: ");
}

static void expect_trigger(const char *json, enum nx_trigger_kind kind, const char *pattern) {
    char text[256];
    snprintf(text, sizeof text, TOOL1("'trigger':%s"), json);
    struct parsed r = accepted(text);
    assert_int_equal(r.def->tools[0].trigger.kind, kind);
    if (pattern)
        assert_string_equal(r.def->tools[0].trigger.pattern, pattern);
    parsed_free(&r);
}

static void test_triggers(void **state) {
    (void)state;
    expect_trigger("{'type':'manual'}", NX_TRIGGER_MANUAL, NULL);
    expect_trigger("'manual'", NX_TRIGGER_MANUAL, NULL);
    expect_trigger("{'ms':250,'type':'interval'}", NX_TRIGGER_INTERVAL, NULL);
    expect_trigger("{'type':'event','pattern':'a*'}", NX_TRIGGER_EVENT, "a*");
    expect_trigger("{'type':'cron','expression':'0 * * * 1-5'}", NX_TRIGGER_CRON, "0 * * * 1-5");
    expect_trigger("{'type':'state_change','path':'k'}", NX_TRIGGER_STATE, "k");
    static const struct {
        const char *json, *code, *part;
    } bad[] = {
        {"7", ATTR, "tools[0].trigger: "},
        {"{}", MISSING, "'type'"},
        {"{'type':'never'}", ATTR, "'never'"},
        {"{'type':'interval'}", MISSING, "'ms'"},
        {"{'type':'interval','ms':5}", ATTR, "tools[0].trigger.ms: "},
        {"{'type':'interval','ms':'500'}", ATTR, "tools[0].trigger.ms: "},
        {"{'type':'interval','ms':500,'path':'k'}", ATTR, "'path'"},
        {"{'type':'manual','ms':500}", ATTR, "'ms'"},
        {"{'type':'event','pattern':''}", ATTR, "tools[0].trigger.pattern: "},
        {"{'type':'cron','expression':'x'}", ATTR, "tools[0].trigger.expression: "},
        {"{'type':'manual','at':1}", ATTR, "tools[0].trigger.at: unknown"},
        {"'sometimes'", ATTR, "tools[0].trigger: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, TOOL1("'trigger':%s"), bad[i].json);
        refuse(text, bad[i].code, bad[i].part);
    }
}

static void test_lifecycle(void **state) {
    (void)state;
    struct parsed r = accepted(WITH("'lifecycle':[{'on':'unmount','handler':'u'},"
                                    "{'on':'mount','handler':'m','capabilities':['ext:*']}]"));
    assert_string_equal(r.def->mount->code, "m");
    assert_true(nx_caps_allow(&r.def->mount->caps, NX_CAP_EXT, nx_span_str("x")));
    assert_string_equal(r.def->unmount->code, "u");
    parsed_free(&r);
    accept(WITH("'lifecycle':{}"));
    refuse(WITH("'lifecycle':7"), ATTR, "lifecycle: ");
    refuse(WITH("'lifecycle':{'load':{'handler':'x'}}"), ATTR, "lifecycle.load: unknown");
    refuse(WITH("'lifecycle':{'mount':{}}"), MISSING, "lifecycle.mount: the member 'handler'");
    refuse(WITH("'lifecycle':{'mount':{'handler':7}}"), ATTR, "lifecycle.mount.handler: ");
    refuse(WITH("'lifecycle':[{'on':'load','handler':'x'}]"), ATTR, "lifecycle[0]: ");
    refuse(WITH("'lifecycle':[{'handler':'x'}]"), MISSING, "'on'");
    refuse(WITH("'lifecycle':[{'on':'mount','handler':'x'},{'on':'mount','handler':'x'}]"),
           "DUPLICATE_LIFECYCLE", "lifecycle[1]: ");
}

static void test_wrapped_source(void **state) {
    (void)state;
    struct parsed r = accepted("{'source':'<NexusPanel id=\\'inner\\' title=\\'T\\'/>'}");
    assert_string_equal(r.def->id, "inner");
    assert_string_equal(r.def->kind, "nxml");
    parsed_free(&r);
    r = accepted("{'id':'outer','kind':'nxml','source':'<NexusPanel id=\\'inner\\'/>'}");
    assert_string_equal(r.def->id, "outer");
    parsed_free(&r);
    refuse("{'source':'<NexusPanel/>','tools':[]}", ATTR, "tools: unknown");
    refuse("{'source':'<NexusPanel/>','kind':'other'}", ATTR, "nxml");
    refuse("{'source':'<NexusPanel/>','id':'a b'}", ATTR, "id: ");
    refuse("{'source':7}", ATTR, "source: ");
    // Places are those of the wrapped source.
    char *source = quoted("{'source':'<NexusPanel>\\n <Dta/></NexusPanel>'}");
    expect_error(source, "UNKNOWN_ELEMENT", 2, 2);
    free(source);
}

static void test_warnings(void **state) {
    (void)state;
    struct parsed r = accepted(TOOL1("'capabilities':['state:write:*']"));
    const struct nx_diagnostic *broad = find_code(&r, "BROAD_CAPABILITY");
    assert_non_null(broad);
    assert_true(broad->warning);
    assert_non_null(strstr(broad->message, "tools[0].capabilities[0]: "));
    assert_non_null(find_code(&r, "UNUSED_CAPABILITY"));
    parsed_free(&r);
    r = accepted(TOOLS("{'name':'t','handler':'$state.a','capabilities':['state:read:a']}"));
    assert_int_equal(r.diags.count, 0);
    parsed_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_panel), cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_no_panels),   cmocka_unit_test(test_members),
        cmocka_unit_test(test_state_keys),  cmocka_unit_test(test_tools),
        cmocka_unit_test(test_args),        cmocka_unit_test(test_triggers),
        cmocka_unit_test(test_lifecycle),   cmocka_unit_test(test_wrapped_source),
        cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
