// SPDX-License-Identifier: Apache-2.0
// What an owned worker cannot do although the handler was granted it: go over the execution's
// limits, in one segment or over several, give ids of its own, or let a failed segment have
// effects.
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

// Refused under `limits`; passes under the defaults.
static void check_limit(const char *name, const struct forged *forged,
                        const struct nx_exec_limits *limits, const char *expected) {
    static const char all[] = "state:write:* events:emit:* view:update:* ext:*";
    struct nx_code *code = code_of_segment(forged);
    print_message("  %s\n", name);
    expect_killed(code, &(struct run_options){.caps = all, .limits = *limits});
    expect_passed(code, &(struct run_options){.caps = all}, expected);
    nx_code_unref(code);
}

static struct nx_exec_limits defaults(void) {
    struct nx_exec_limits limits;
    nx_exec_limits_default(&limits);
    return limits;
}

static void limits_hold_against_the_worker(void **unused) {
    (void)unused;
    struct nx_exec_limits limits = defaults();
    limits.max_mutations = 1;
    check_limit(
        "mutations",
        &(struct forged){.items = {{.kind = 's', .a = "k", .b = "1"}, {.kind = 'd', .a = "l"}}},
        &limits, "done \nset k=1\ndelete l");
    limits = defaults();
    limits.max_events = 1;
    check_limit("events",
                &(struct forged){.items = {{.kind = 'e', .a = "k"}, {.kind = 'e', .a = "l"}}},
                &limits, "done \nemit k=\nemit l=");
    check_limit("events and view commands together",
                &(struct forged){.items = {{.kind = 'e', .a = "k"},
                                           {.kind = 'v', .a = "focus", .b = "i", .c = "{}"}}},
                &limits, "done \nemit k=\nview focus i={}");
    limits = defaults();
    limits.max_log_bytes = 5;
    check_limit("log bytes",
                &(struct forged){.items = {{.kind = 'l', .n = 0, .a = "abc"},
                                           {.kind = 'l', .n = 2, .a = "def"}}},
                &limits, "done \nlog debug abc\nlog warn def");
    limits = defaults();
    limits.max_value_bytes = 4;
    check_limit("a value", &(struct forged){.items = {{.kind = 's', .a = "k", .b = "12345"}}},
                &limits, "done \nset k=12345");
    check_limit("an event's payload",
                &(struct forged){.items = {{.kind = 'e', .a = "k", .b = "12345"}}}, &limits,
                "done \nemit k=12345");
    check_limit("a view command's arguments",
                &(struct forged){.items = {{.kind = 'v', .a = "focus", .b = "i", .c = "{    }"}}},
                &limits, "done \nview focus i={    }");
    check_limit(
        "a call's arguments",
        &(struct forged){.status = NX_SEGMENT_SUSPENDED,
                         .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[   ]"}}},
        &limits, "suspended\ncall 1 e.m=[   ]");
}

static void figures_are_possible(void **unused) {
    (void)unused;
    const uint64_t limit = FAKE_MEMORY_BYTES(FAKE_GOOD);
    const struct check checks[] = {
        {.name = "a peak over the memory there is",
         .forged = {.memory_peak = limit + 1},
         .control = {.json = "1", .memory_peak = limit},
         .expected = "done 1"},
        {.name = "more memory in use than there is",
         .forged = {.memory_used = limit + 1},
         .control = {.json = "1", .memory_used = limit},
         .expected = "done 1"},
        {.name = "more resets than are told at once",
         .forged = {.resets = NX_MAX_RESETS_TOLD + 1},
         .control = {.json = "1", .resets = NX_MAX_RESETS_TOLD},
         .expected = "done 1"},
        {.name = "more host calls than the limit",
         .forged = {.host_calls = NX_DEFAULT_MAX_HOST_CALLS / NX_HOST_CALL_COUNT + 1},
         .control = {.json = "1", .host_calls = NX_DEFAULT_MAX_HOST_CALLS / NX_HOST_CALL_COUNT},
         .expected = "done 1"},
        {.name = "host calls whose sum would wrap",
         .forged = {.host_calls = UINT32_MAX / NX_HOST_CALL_COUNT + 1},
         .control = {.json = "1"},
         .expected = "done 1"},
    };
    RUN_CHECKS(checks);
}

// A program of two segments: the execution suspends with one call, and is resumed.
static struct nx_code *two_segments(const struct forged *first, const struct forged *second) {
    struct nx_buf *program = program_new();
    program_segment(program, first);
    program_segment(program, second);
    return code_of_program(program);
}

static void expect_second(struct nx_code *code, const struct run_options *options,
                          const char *expected) {
    struct run run;
    run_start(&run, code, options);
    run_wait(&run, 1);
    assert_int_equal(run.status, NX_SEGMENT_SUSPENDED);
    run_resume(&run, 1, "null");
    run_wait(&run, 2);
    assert_string_equal(run_text(&run), expected);
    run_free(&run);
}

// Counts go on over the segments of an execution.
static void limits_hold_over_all_segments(void **unused) {
    (void)unused;
    static const char all[] = "state:write:* events:emit:* view:update:* ext:*";
    static const struct forged first = {
        .status = NX_SEGMENT_SUSPENDED,
        .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"},
                  {.kind = 's', .a = "k", .b = "1"},
                  {.kind = 'e', .a = "x"},
                  {.kind = 'l', .a = "abc"}}};
    static const struct {
        struct forged second;
        const char *expected;
    } rows[] = {
        {{.items = {{.kind = 's', .a = "k", .b = "2"}}}, "done \nset k=2"},
        {{.items = {{.kind = 'e', .a = "y"}}}, "done \nemit y="},
        {{.items = {{.kind = 'l', .a = "def"}}}, "done \nlog debug def"},
    };
    struct nx_exec_limits limits = defaults();
    limits.max_mutations = 1;
    limits.max_events = 1;
    limits.max_log_bytes = 5;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        refresh_pool();
        struct nx_code *code = two_segments(&first, &rows[i].second);
        const uint64_t kills = pool_stats().protocol_kills;
        expect_second(code, &(struct run_options){.caps = all, .limits = limits},
                      "error INTERNAL_ERROR");
        assert_int_equal(pool_stats().protocol_kills, kills + 1);
        pool_settle(CHECK_WORKERS);
        expect_second(code, &(struct run_options){.caps = all}, rows[i].expected);
        nx_code_unref(code);
    }
}

// A forged second segment takes the committed first one with it in no way.
static void later_segments_are_checked_as_the_first(void **unused) {
    (void)unused;
    static const struct forged first = {
        .status = NX_SEGMENT_SUSPENDED,
        .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}};
    static const struct {
        struct forged second;
        const char *expected;
    } rows[] = {
        {{.items = {{.kind = 's', .a = "k", .b = "1"}}}, "done \nset k=1"},
        {{.status = NX_SEGMENT_SUSPENDED,
          .items = {{.kind = 'c', .n = 2, .a = "e", .b = "m", .c = "[]"}}},
         "suspended\ncall 2 e.m=[]"},
        // A call id that was used before, and nothing outstanding: nobody could ever answer.
        {{.status = NX_SEGMENT_SUSPENDED,
          .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}},
         NULL},
        {{.status = NX_SEGMENT_SUSPENDED}, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nx_code *code = two_segments(&first, &rows[i].second);
        const bool refused_anyway = rows[i].expected == NULL;
        const bool needs_write = i == 0;
        expect_second(code, &(struct run_options){.caps = "ext:e state:write:k"},
                      refused_anyway ? "error INTERNAL_ERROR" : rows[i].expected);
        if (needs_write) {
            expect_second(code, &(struct run_options){.caps = "ext:e state:read:k"},
                          "error INTERNAL_ERROR");
        }
        nx_code_unref(code);
    }
}

// What a failed segment did is not reported, even if the worker sends it.
static void a_failed_segment_has_no_effects(void **unused) {
    (void)unused;
    static const struct item effects[] = {{.kind = 's', .a = "k", .b = "1"},
                                          {.kind = 'e', .a = "x"},
                                          {.kind = 'v', .a = "focus", .b = "i", .c = "{}"},
                                          {.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}};
    for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++) {
        struct nx_code *failing =
            code_of_segment(&(struct forged){.status = NX_SEGMENT_ERROR,
                                             .code = NX_RESULT_EXECUTION_ERROR,
                                             .message = "boom",
                                             .items = {effects[i]}});
        expect_killed(failing, &(struct run_options){
                                   .caps = "state:write:* events:emit:* view:update:* ext:*"});
        nx_code_unref(failing);
    }

    // The control: logs and denials of a failed segment are.
    static const struct forged honest = {
        .status = NX_SEGMENT_ERROR,
        .code = NX_RESULT_PERMISSION_DENIED,
        .message = "boom",
        .capability = "state:read:k",
        .line = 3,
        .column = 4,
        .items = {{.kind = 'l', .n = 1, .a = "here"},
                  {.kind = 'x', .n = NX_CAP_STATE_READ, .a = "k"}}};
    struct nx_code *code = code_of_segment(&honest);
    struct run run;
    run_start(&run, code, NULL);
    run_wait(&run, 1);
    assert_string_equal(run_text(&run),
                        "error PERMISSION_DENIED state:read:k\nlog info here\ndenied state:read:k");
    assert_string_equal(run.message, "boom");
    assert_int_equal(run.line, 3);
    assert_int_equal(run.column, 4);
    run_free(&run);
    nx_code_unref(code);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_hold_against_the_worker),
        cmocka_unit_test(figures_are_possible),
        cmocka_unit_test(limits_hold_over_all_segments),
        cmocka_unit_test(later_segments_are_checked_as_the_first),
        cmocka_unit_test(a_failed_segment_has_no_effects),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
