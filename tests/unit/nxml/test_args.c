// SPDX-License-Identifier: Apache-2.0
// Binding a call's arguments to a tool's declarations.
#include "nxml_test.h"

#include "base/json.h"

static struct parsed panel;

static const struct nx_tool_def *tool(const char *name) {
    const struct nx_tool_def *t = nx_panel_def_find_tool(panel.def, nx_span_str(name));
    assert_non_null(t);
    return t;
}

static int setup(void **state) {
    (void)state;
    panel = parse_valid(LOGIC("<Tool name='typed'><Arg name='s'/>"
                              "<Arg name='n' type='number' required='false'/>"
                              "<Arg name='b' type='boolean' required='false' default='true'/>"
                              "<Arg name='l' type='list' required='false' default='[1]'/>"
                              "<Arg name='o' type='object' required='false'/>" HANDLER "</Tool>"
                              "<Tool name='free'>" HANDLER "</Tool>"));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    parsed_free(&panel);
    return 0;
}

static void bind(const char *name, const char *args, const char *expected) {
    struct nx_buf out;
    struct nx_error err = {0};
    nx_buf_init(&out, 4096);
    assert_int_equal(nx_tool_bind_args(tool(name), nx_span_str(args), &out, &err), 0);
    assert_string_equal(out.data, expected);
    assert_int_equal(nx_json_scan(nx_buf_span(&out), NULL, &err), 0);
    nx_buf_free(&out);
}

static void refuse(const char *name, const char *args, const char *part) {
    struct nx_buf out;
    struct nx_error err = {0};
    nx_buf_init(&out, 4096);
    assert_int_equal(nx_tool_bind_args(tool(name), nx_span_str(args), &out, &err), NX_E_INVALID);
    assert_int_equal(err.code, NX_E_INVALID);
    if (!strstr(err.message, part))
        fail_msg("'%s' is not in '%s'", part, err.message);
    nx_buf_free(&out);
}

static void test_valid(void **state) {
    (void)state;
    bind("typed", "{\"s\":\"x\"}", "{\"s\":\"x\",\"b\":true,\"l\":[1]}");
    bind("typed", " { \"l\" : [] , \"b\":false,\"n\":-1.5,\"s\":\"\",\"o\":{\"a\":[{}]} } ",
         "{\"s\":\"\",\"n\":-1.5,\"b\":false,\"l\":[],\"o\":{\"a\":[{}]}}");
    // Keys are compared after unescaping; of two the last counts.
    bind("typed", "{\"\\u0073\":\"x\"}", "{\"s\":\"x\",\"b\":true,\"l\":[1]}");
    bind("typed", "{\"s\":1,\"s\":\"y\"}", "{\"s\":\"y\",\"b\":true,\"l\":[1]}");
}

static void test_refused(void **state) {
    (void)state;
    refuse("typed", "", "missing argument 's'");
    refuse("typed", "{}", "missing argument 's'");
    refuse("typed", "{\"s\":\"x\",\"t\":1}", "unknown argument 't'");
    refuse("typed", "{\"s\":\"x\",\"S\":1}", "unknown argument 'S'");
    refuse("typed", "{\"s\":\"x\",\"\":1}", "unknown argument ''");
    refuse("typed", "{\"s\":\"x\",\"s\\u0000\":1}", "unknown argument 's\\u0000'");
    refuse("typed", "{\"s\":\"x\",\"__proto__\":{}}", "unknown argument '__proto__'");
    refuse("typed", "{\"s\":1}", "'s' must be a string");
    refuse("typed", "{\"s\":null}", "'s' must be a string");
    refuse("typed", "{\"s\":\"x\",\"n\":\"1\"}", "'n' must be a number");
    refuse("typed", "{\"s\":\"x\",\"b\":0}", "'b' must be a boolean");
    refuse("typed", "{\"s\":\"x\",\"l\":{}}", "'l' must be a list");
    refuse("typed", "{\"s\":\"x\",\"o\":[]}", "'o' must be an object");
    refuse("typed", "[]", "must be a JSON object");
    refuse("typed", "null", "must be a JSON object");
    refuse("free", "[]", "must be a JSON object");
    refuse("free", "\"{}\"", "must be a JSON object");
}

static void test_undeclared(void **state) {
    (void)state;
    bind("free", "", "{}");
    bind("free", " {\"any\": [null]} ", "{\"any\": [null]}");
}

static void test_output_cap(void **state) {
    (void)state;
    struct nx_span args = nx_span_str("{\"abc\":12}");
    for (size_t room = args.len - 1; room <= args.len; room++) {
        struct nx_buf out;
        struct nx_error err = {0};
        nx_buf_init(&out, room);
        int status = nx_tool_bind_args(tool("free"), args, &out, &err);
        assert_int_equal(status, room < args.len ? NX_E_LIMIT : 0);
        nx_buf_free(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_undeclared),
        cmocka_unit_test(test_output_cap),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
