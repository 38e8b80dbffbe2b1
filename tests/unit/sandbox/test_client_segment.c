// SPDX-License-Identifier: Apache-2.0
// What an owned worker can put into its frames: everything the handler was not granted, and
// everything that is not as wire.h says, costs the worker its life and fails that one execution.
// Beside each forgery stands the frame that differs from it only in being allowed.
#include "client_test.h"

#include "base/limits.h"

static int setup(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_GOOD, CHECK_WORKERS, 64);
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    pool_stop();
    return 0;
}

static void nothing_without_its_grant(void **unused) {
    (void)unused;
    static const struct check checks[] = {
        {.name = "set",
         .forged = {.items = {{.kind = 's', .a = "k", .b = "1"}}},
         .caps = "state:read:* events:emit:* view:update:* ext:* state:write:kk state:write:K",
         .control_caps = "state:write:k",
         .expected = "done \nset k=1"},
        {.name = "set, by the wildcard",
         .forged = {.items = {{.kind = 's', .a = "k", .b = "1"}}},
         .control_caps = "state:write:*",
         .expected = "done \nset k=1"},
        {.name = "the second of two",
         .forged = {.items = {{.kind = 's', .a = "k", .b = "1"},
                              {.kind = 's', .a = "l", .b = "2"}}},
         .caps = "state:write:k",
         .control_caps = "state:write:k state:write:l",
         .expected = "done \nset k=1\nset l=2"},
        {.name = "delete",
         .forged = {.items = {{.kind = 'd', .a = "k"}}},
         .caps = "state:read:k",
         .control_caps = "state:write:k",
         .expected = "done \ndelete k"},
        {.name = "event",
         .forged = {.items = {{.kind = 'e', .a = "saved", .b = "{}"}}},
         .caps = "state:write:* view:update:* ext:* events:emit:save",
         .control_caps = "events:emit:saved",
         .expected = "done \nemit saved={}"},
        {.name = "view command",
         .forged = {.items = {{.kind = 'v', .a = "focus", .b = "list", .c = "{}"}}},
         .caps = "state:write:* events:emit:* ext:* view:update:lists",
         .control_caps = "view:update:list",
         .expected = "done \nview focus list={}"},
        {.name = "extension call",
         .forged = {.status = NX_SEGMENT_SUSPENDED,
                    .items = {{.kind = 'c', .n = 1, .a = "http", .b = "get", .c = "[]"}}},
         .caps = "state:write:* events:emit:* view:update:* ext:time",
         .control_caps = "ext:http",
         .expected = "suspended\ncall 1 http.get=[]"},
        {.name = "extension call of a handler that does not wait for it",
         .forged = {.items = {{.kind = 'c', .n = 1, .a = "http", .b = "get", .c = "[]"}}},
         .control_caps = "ext:http", // nobody would hear the answer: it is not even made
         .expected = "done "},
    };
    RUN_CHECKS(checks);
}

#define BAD_UTF8 "\xff"

static void values_are_json_of_the_right_kind(void **unused) {
    (void)unused;
    static const char all[] = "state:write:* events:emit:* view:update:* ext:*";
    static const struct check checks[] = {
        {.name = "a mutation that is not JSON",
         .forged = {.items = {{.kind = 's', .a = "k", .b = "{\"a\":}"}}},
         .caps = all,
         .control = {.items = {{.kind = 's', .a = "k", .b = "{\"a\":0}"}}},
         .control_caps = all,
         .expected = "done \nset k={\"a\":0}"},
        {.name = "two values in one",
         .forged = {.items = {{.kind = 's', .a = "k", .b = "1,\"admin\":true"}}},
         .caps = all,
         .control = {.items = {{.kind = 's', .a = "k", .b = "[1,true]"}}},
         .control_caps = all,
         .expected = "done \nset k=[1,true]"},
        {.name = "a set without a value",
         .forged = {.items = {{.kind = 's', .a = "k"}}},
         .caps = all,
         .control = {.items = {{.kind = 's', .a = "k", .b = "null"}}},
         .control_caps = all,
         .expected = "done \nset k=null"},
        {.name = "JSON that is not UTF-8",
         .forged = {.items = {{.kind = 's', .a = "k", .b = "\"" BAD_UTF8 "\""}}},
         .caps = all,
         .control = {.items = {{.kind = 's', .a = "k", .b = "\"\xc3\xbf\""}}},
         .control_caps = all,
         .expected = "done \nset k=\"\xc3\xbf\""},
        {.name = "an event's payload that is not JSON",
         .forged = {.items = {{.kind = 'e', .a = "x", .b = "undefined"}}},
         .caps = all,
         .control = {.items = {{.kind = 'e', .a = "x", .b = "\"undefined\""}}},
         .control_caps = all,
         .expected = "done \nemit x=\"undefined\""},
        {.name = "a view command with an array",
         .forged = {.items = {{.kind = 'v', .a = "focus", .b = "i", .c = "[]"}}},
         .caps = all,
         .control = {.items = {{.kind = 'v', .a = "setFilter", .b = "i", .c = "{\"a\":[]}"}}},
         .control_caps = all,
         .expected = "done \nview setFilter i={\"a\":[]}"},
        {.name = "a view command with nothing",
         .forged = {.items = {{.kind = 'v', .a = "focus", .b = "i"}}},
         .caps = all,
         .control = {.items = {{.kind = 'v', .a = "scrollTo", .b = "i", .c = "{}"}}},
         .control_caps = all,
         .expected = "done \nview scrollTo i={}"},
        {.name = "a view command that there is not",
         .forged = {.items = {{.kind = 'v', .a = "destroy", .b = "i", .c = "{}"}}},
         .caps = all,
         .control = {.items = {{.kind = 'v', .a = "custom", .b = "i", .c = "{}"}}},
         .control_caps = all,
         .expected = "done \nview custom i={}"},
        {.name = "call arguments that are not an array",
         .forged = {.status = NX_SEGMENT_SUSPENDED,
                    .items = {{.kind = 'c', .n = 1, .a = "http", .b = "get", .c = "{}"}}},
         .caps = all,
         .control = {.status = NX_SEGMENT_SUSPENDED,
                     .items = {{.kind = 'c', .n = 1, .a = "http", .b = "get", .c = "[{}]"}}},
         .control_caps = all,
         .expected = "suspended\ncall 1 http.get=[{}]"},
        {.name = "a result that is not JSON",
         .forged = {.json = "NaN"},
         .caps = all,
         .control = {.json = "[null]"},
         .control_caps = all,
         .expected = "done [null]"},
        {.name = "a result that is not UTF-8",
         .forged = {.json = "\"" BAD_UTF8 "\""},
         .caps = all,
         .control = {.json = "\"\xc3\xbf\""},
         .control_caps = all,
         .expected = "done \"\xc3\xbf\""},
        {.name = "a log line that is not UTF-8",
         .forged = {.items = {{.kind = 'l', .n = 1, .a = BAD_UTF8}}},
         .caps = all,
         .control = {.items = {{.kind = 'l', .n = 1, .a = "\xc3\xbf"}}},
         .control_caps = all,
         .expected = "done \nlog info \xc3\xbf"},
        {.name = "an error message that is not UTF-8",
         .forged = {.status = NX_SEGMENT_ERROR,
                    .code = NX_RESULT_EXECUTION_ERROR,
                    .message = BAD_UTF8},
         .caps = all,
         .control = {.status = NX_SEGMENT_ERROR,
                     .code = NX_RESULT_EXECUTION_ERROR,
                     .message = "\xc3\xbf"},
         .control_caps = all,
         .expected = "error EXECUTION_ERROR"},
        {.name = "a capability that is not UTF-8",
         .forged = {.status = NX_SEGMENT_ERROR,
                    .code = NX_RESULT_PERMISSION_DENIED,
                    .capability = BAD_UTF8},
         .caps = all,
         .control = {.status = NX_SEGMENT_ERROR,
                     .code = NX_RESULT_PERMISSION_DENIED,
                     .capability = "ext:x"},
         .control_caps = all,
         .expected = "error PERMISSION_DENIED ext:x"},
        {.name = "a stack that is not UTF-8",
         .forged = {.status = NX_SEGMENT_ERROR,
                    .code = NX_RESULT_EXECUTION_ERROR,
                    .stack = BAD_UTF8},
         .caps = all,
         .control = {.status = NX_SEGMENT_ERROR,
                     .code = NX_RESULT_EXECUTION_ERROR,
                     .stack = "at <handler>:1:1"},
         .control_caps = all,
         .expected = "error EXECUTION_ERROR"},
    };
    RUN_CHECKS(checks);
}

static void names_are_names(void **unused) {
    (void)unused;
    static const char all[] = "state:write:* events:emit:* view:update:* ext:*";
    static char longest[NX_MAX_KEY_BYTES + 1], too_long[NX_MAX_KEY_BYTES + 2];
    static char expected[NX_MAX_KEY_BYTES + 16];
    memset(longest, 'k', sizeof(longest) - 1);
    memset(too_long, 'k', sizeof(too_long) - 1);
    snprintf(expected, sizeof(expected), "done \nset %s=1", longest);
    const struct check checks[] = {
        {.name = "a key that is too long",
         .forged = {.items = {{.kind = 's', .a = too_long, .b = "1"}}},
         .caps = all,
         .control = {.items = {{.kind = 's', .a = longest, .b = "1"}}},
         .control_caps = all,
         .expected = expected},
        {.name = "no key",
         .forged = {.items = {{.kind = 's', .a = "", .b = "1"}}},
         .caps = all,
         .control = {.items = {{.kind = 's', .a = " ", .b = "1"}}},
         .control_caps = all,
         .expected = "done \nset  =1"},
        {.name = "a key that is not UTF-8",
         .forged = {.items = {{.kind = 's', .a = BAD_UTF8, .b = "1"}}},
         .caps = all,
         .control = {.items = {{.kind = 's', .a = "\xc3\xbf", .b = "1"}}},
         .control_caps = all,
         .expected = "done \nset \xc3\xbf=1"},
        {.name = "the same key twice",
         .forged = {.items = {{.kind = 's', .a = "k", .b = "1"},
                              {.kind = 's', .a = "k", .b = "2"}}},
         .caps = all,
         .control = {.items = {{.kind = 's', .a = "k", .b = "1"},
                               {.kind = 's', .a = "l", .b = "2"}}},
         .control_caps = all,
         .expected = "done \nset k=1\nset l=2"},
        {.name = "a key set and deleted",
         .forged = {.items = {{.kind = 's', .a = "k", .b = "1"}, {.kind = 'd', .a = "k"}}},
         .caps = all,
         .control = {.items = {{.kind = 's', .a = "k", .b = "1"}, {.kind = 'd', .a = "l"}}},
         .control_caps = all,
         .expected = "done \nset k=1\ndelete l"},
        {.name = "an event without a name",
         .forged = {.items = {{.kind = 'e', .a = ""}}},
         .caps = all,
         .control = {.items = {{.kind = 'e', .a = "e"}}},
         .control_caps = all,
         .expected = "done \nemit e="},
        {.name = "an event's name that is not UTF-8",
         .forged = {.items = {{.kind = 'e', .a = BAD_UTF8}}},
         .caps = all,
         .control = {.items = {{.kind = 'e', .a = "\xc3\xbf"}}},
         .control_caps = all,
         .expected = "done \nemit \xc3\xbf="},
        {.name = "an event's name that is too long",
         .forged = {.items = {{.kind = 'e', .a = too_long}}},
         .caps = all,
         .control = {.items = {{.kind = 'e', .a = "e"}}},
         .control_caps = all,
         .expected = "done \nemit e="},
        {.name = "a component that is not UTF-8",
         .forged = {.items = {{.kind = 'v', .a = "focus", .b = BAD_UTF8, .c = "{}"}}},
         .caps = all,
         .control = {.items = {{.kind = 'v', .a = "focus", .b = "i", .c = "{}"}}},
         .control_caps = all,
         .expected = "done \nview focus i={}"},
        {.name = "a component without an id",
         .forged = {.items = {{.kind = 'v', .a = "focus", .b = "", .c = "{}"}}},
         .caps = all,
         .control = {.items = {{.kind = 'v', .a = "focus", .b = "i", .c = "{}"}}},
         .control_caps = all,
         .expected = "done \nview focus i={}"},
        {.name = "a denial that is too long",
         .forged = {.items = {{.kind = 'x', .n = NX_CAP_EXT, .a = too_long}}},
         .caps = all,
         .control = {.items = {{.kind = 'x', .n = NX_CAP_EXT, .a = "x"}}},
         .control_caps = all,
         .expected = "done \ndenied ext:x"},
        {.name = "a denial that is not UTF-8",
         .forged = {.items = {{.kind = 'x', .n = NX_CAP_EXT, .a = BAD_UTF8}}},
         .caps = all,
         .control = {.items = {{.kind = 'x', .n = NX_CAP_EXT, .a = "\xc3\xbf"}}},
         .control_caps = all,
         .expected = "done \ndenied ext:\xc3\xbf"},
        {.name = "a call of a method without a name",
         .forged = {.status = NX_SEGMENT_SUSPENDED,
                    .items = {{.kind = 'c', .n = 1, .a = "http", .b = "", .c = "[]"}}},
         .caps = all,
         .control = {.status = NX_SEGMENT_SUSPENDED,
                     .items = {{.kind = 'c', .n = 1, .a = "http", .b = "g", .c = "[]"}}},
         .control_caps = all,
         .expected = "suspended\ncall 1 http.g=[]"},
        {.name = "a method that is not UTF-8",
         .forged = {.status = NX_SEGMENT_SUSPENDED,
                    .items = {{.kind = 'c', .n = 1, .a = "http", .b = BAD_UTF8, .c = "[]"}}},
         .caps = all,
         .control = {.status = NX_SEGMENT_SUSPENDED,
                     .items = {{.kind = 'c', .n = 1, .a = "http", .b = "g", .c = "[]"}}},
         .control_caps = all,
         .expected = "suspended\ncall 1 http.g=[]"},
    };
    RUN_CHECKS(checks);
}

static void numbers_are_in_range(void **unused) {
    (void)unused;
    static const char all[] = "state:write:* events:emit:* view:update:* ext:*";
    static const struct check checks[] = {
        {.name = "a status that there is not",
         .forged = {.status = 3, .code = NX_RESULT_EXECUTION_ERROR},
         .control = {.json = "0"},
         .expected = "done 0"},
        {.name = "an error without a code",
         .forged = {.status = NX_SEGMENT_ERROR, .code = NX_RESULT_NONE},
         .control = {.status = NX_SEGMENT_ERROR, .code = NX_RESULT_TIMEOUT},
         .expected = "error TIMEOUT"},
        {.name = "an error code that there is not",
         .forged = {.status = NX_SEGMENT_ERROR, .code = NX_RESULT_CODE_COUNT},
         .control = {.status = NX_SEGMENT_ERROR, .code = NX_RESULT_MEMORY_LIMIT},
         .expected = "error MEMORY_LIMIT"},
        {.name = "a mutation that is neither set nor delete",
         .forged = {.items = {{.kind = 'd', .n = 2, .a = "k", .b = "1"}}},
         .caps = all,
         .control = {.items = {{.kind = 'd', .n = 1, .a = "k"}}},
         .control_caps = all,
         .expected = "done \ndelete k"},
        {.name = "a delete with a value",
         .forged = {.items = {{.kind = 'd', .a = "k", .b = "1"}}},
         .caps = all,
         .control = {.items = {{.kind = 'd', .a = "k"}}},
         .control_caps = all,
         .expected = "done \ndelete k"},
        {.name = "a log level that there is not",
         .forged = {.items = {{.kind = 'l', .n = 4, .a = "x"}}},
         .control = {.items = {{.kind = 'l', .n = 3, .a = "x"}}},
         .expected = "done \nlog error x"},
        {.name = "a denial of a kind that there is not",
         .forged = {.items = {{.kind = 'x', .n = NX_CAP_KINDS, .a = "x"}}},
         .control = {.items = {{.kind = 'x', .n = NX_CAP_EXT, .a = "x"}}},
         .expected = "done \ndenied ext:x"},
        {.name = "a call id of 0",
         .forged = {.status = NX_SEGMENT_SUSPENDED,
                    .items = {{.kind = 'c', .n = 0, .a = "e", .b = "m", .c = "[]"}}},
         .caps = all,
         .control = {.status = NX_SEGMENT_SUSPENDED,
                     .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}},
         .control_caps = all,
         .expected = "suspended\ncall 1 e.m=[]"},
        {.name = "a call id left out",
         .forged = {.status = NX_SEGMENT_SUSPENDED,
                    .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"},
                              {.kind = 'c', .n = 3, .a = "e", .b = "m", .c = "[]"}}},
         .caps = all,
         .control = {.status = NX_SEGMENT_SUSPENDED,
                     .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"},
                               {.kind = 'c', .n = 2, .a = "e", .b = "m", .c = "[]"}}},
         .control_caps = all,
         .expected = "suspended\ncall 1 e.m=[]\ncall 2 e.m=[]"},
        {.name = "a call id twice",
         .forged = {.status = NX_SEGMENT_SUSPENDED,
                    .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"},
                              {.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}},
         .caps = all,
         .control = {.status = NX_SEGMENT_SUSPENDED,
                     .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}},
         .control_caps = all,
         .expected = "suspended\ncall 1 e.m=[]"},
        {.name = "suspended on nothing",
         .forged = {.status = NX_SEGMENT_SUSPENDED},
         .caps = all,
         .control = {.status = NX_SEGMENT_SUSPENDED,
                     .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}},
         .control_caps = all,
         .expected = "suspended\ncall 1 e.m=[]"},
    };
    RUN_CHECKS(checks);
}

// What followed in a chain and was suspended has begun: "not run" would have its caller run it a
// second time.
static void what_was_suspended_has_run(void **unused) {
    (void)unused;
    const struct forged not_run = {.status = NX_SEGMENT_NOT_RUN};
    struct nx_code *first_code = code_that_returns("1", 20);
    struct nx_code *control_code = code_of_segment(&not_run);
    struct nx_buf *program = program_new();
    program_segment(program, &forged_one_call);
    program_segment(program, &not_run);
    struct nx_code *code = code_of_program(program);
    struct run first, control, run;
    refresh_pool();
    pool_settle(CHECK_WORKERS);
    const uint64_t kills = pool_stats().protocol_kills;
    run_start(&first, first_code, &(struct run_options){.chain = 1});
    run_start(&control, control_code,
              &(struct run_options){.chain = 1, .follows = first.execution});
    run_wait(&control, 1);
    assert_int_equal(control.status, NX_SEGMENT_NOT_RUN);
    run_free(&first);
    run_free(&control);
    run_start(&first, first_code, &(struct run_options){.chain = 2});
    run_start(&run, code,
              &(struct run_options){.caps = "ext:e", .chain = 2, .follows = first.execution});
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "suspended\ncall 1 e.m=[]");
    assert_int_equal(pool_stats().protocol_kills, kills);
    run_resume(&run, 1, "null");
    run_wait(&run, 2);
    assert_string_equal(run_text(&run), "error INTERNAL_ERROR");
    assert_int_equal(pool_stats().protocol_kills, kills + 1);
    run_free(&first);
    run_free(&run);
    nx_code_unref(first_code);
    nx_code_unref(control_code);
    nx_code_unref(code);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_without_its_grant),
        cmocka_unit_test(values_are_json_of_the_right_kind),
        cmocka_unit_test(names_are_names),
        cmocka_unit_test(numbers_are_in_range),
        cmocka_unit_test(what_was_suspended_has_run),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
