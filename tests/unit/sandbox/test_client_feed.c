// SPDX-License-Identifier: Apache-2.0
// What reaches a worker and what never does: state that may be read, warm code beyond its slots.
#include "client_test.h"

#include "base/limits.h"

static int setup(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_GOOD, 1, 400);
    return 0;
}

static const struct forged one_call = {
    .status = NX_SEGMENT_SUSPENDED,
    .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}};

static void put_hex(struct nx_buf *out, const char *text) {
    for (; *text != '\0'; text++) {
        nx_buf_printf(out, "%02x", (unsigned char)*text);
    }
}

static bool frame_has(const struct run *run, const char *text) {
    struct nx_buf hex;
    nx_buf_init(&hex, 4096);
    put_hex(&hex, text);
    const bool has = strstr(run_text(run), hex.data) != NULL;
    nx_buf_free(&hex);
    return has;
}

static const struct nx_state_entry state[] = {
    {{"open", 4}, {"\"OPEN VALUE\"", 12}},
    {{"secret", 6}, {"\"TOP SECRET\"", 12}},
    {{"other", 5}, {"\"OTHER VALUE\"", 13}},
};

// The frames as the worker got them: of what may not be read, neither value nor name.
static void unreadable_state_never_leaves_the_kernel(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_order(program, FAKE_ECHO);
    struct nx_code *echo = code_of_program(program);
    program = program_new();
    program_segment(program, &one_call);
    program_order(program, FAKE_ECHO);
    struct nx_code *echo_resume = code_of_program(program);
    static const char some[] = "state:read:open state:write:open ext:e";
    static const char everything[] = "state:read:* ext:e";
    for (int i = 0; i < 4; i++) {
        struct run run;
        const bool all_readable = i % 2 != 0, resumed = i >= 2;
        const struct run_options options = {.caps = all_readable ? everything : some,
                                            .state = resumed ? NULL : state,
                                            .state_count = resumed ? 0 : 3};
        run_start(&run, resumed ? echo_resume : echo, &options);
        run_wait(&run, 1);
        if (resumed) {
            const struct nx_call_result result = {
                .call_id = 1, .ok = true, .json = nx_span_str("\"answer\"")};
            assert_int_equal(run_try_resume(&run, &result, state, 3, NULL), 0);
            run_wait(&run, 2);
            assert_true(frame_has(&run, "\"answer\""));
        }
        assert_int_equal(run.status, NX_SEGMENT_DONE);
        assert_true(frame_has(&run, "OPEN VALUE"));
        assert_int_equal(frame_has(&run, "TOP SECRET"), all_readable);
        assert_int_equal(frame_has(&run, "secret"), all_readable);
        assert_int_equal(frame_has(&run, "OTHER VALUE"), all_readable);
        run_free(&run);
    }
    nx_code_unref(echo);
    nx_code_unref(echo_resume);
}

// Running time is one budget for all segments: what the first used is gone from the second's.
static void time_used_is_not_given_again(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_segment(program, &one_call); // ran 5 microseconds, it says
    program_order(program, FAKE_ECHO);
    struct nx_code *code = code_of_program(program);
    struct run run;
    run_start(&run, code, &(struct run_options){.caps = "ext:e"});
    run_wait(&run, 1);
    run_resume(&run, 1, "null");
    run_wait(&run, 2);
    const uint32_t left_us = NX_DEFAULT_TIMEOUT_MS * 1000 - 5;
    char expected[32] = "done \"";
    for (int i = 0; i < 4; i++) { // the RESUME frame begins with it
        const unsigned char byte = ((const unsigned char *)&left_us)[i];
        snprintf(expected + strlen(expected), 3, "%02x", byte);
    }
    assert_memory_equal(run_text(&run), expected, strlen(expected));
    run_free(&run);
    nx_code_unref(code);
}

// Nor is it given in small change: who suspends with nothing left has had its time, or each answer
// would bring another moment. What that segment did is lost, and the worker need not hold it.
static void with_no_time_left_it_ends(void **unused) {
    (void)unused;
    struct nx_exec_limits limits;
    nx_exec_limits_default(&limits);
    limits.timeout_ms = 1;
    struct forged forged = {.status = NX_SEGMENT_SUSPENDED,
                            .run_us = 999,
                            .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"},
                                      {.kind = 's', .a = "k", .b = "1"},
                                      {.kind = 'l', .n = 1, .a = "text"}}};
    const struct run_options options = {.caps = "ext:e state:write:k", .limits = limits};
    struct nx_code *code = code_of_segment(&forged);
    struct run run, control;
    run_start(&control, code, &options);
    run_wait(&control, 1);
    assert_string_equal(run_text(&control), "suspended\nset k=1\ncall 1 e.m=[]\nlog info text");
    run_free(&control); // cancels it
    nx_code_unref(code);
    forged.run_us = 1000;
    code = code_of_segment(&forged);
    run_start(&run, code, &options);
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "error TIMEOUT\nlog info text");
    run_expect_silence(&run, 1); // the worker holds nothing
    run_free(&run);
    nx_code_unref(code);
}

// ---- warm code

// More handlers than slots, again and again, forwards and backwards: each runs its own code.
static void more_handlers_than_slots(void **unused) {
    (void)unused;
    enum { HANDLERS = NX_WIRE_CODE_SLOTS + 44, ROUNDS = 4 };
    static struct nx_code *codes[HANDLERS];
    static struct run runs[HANDLERS];
    char json[16], expected[32];
    for (size_t i = 0; i < HANDLERS; i++) {
        snprintf(json, sizeof(json), "%zu", i);
        codes[i] = code_of_segment(&(struct forged){.json = json});
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < HANDLERS; i++) {
            run_start(&runs[i], codes[round % 2 == 0 ? i : HANDLERS - 1 - i], NULL);
        }
        for (size_t i = 0; i < HANDLERS; i++) {
            snprintf(expected, sizeof(expected), "done %zu", round % 2 == 0 ? i : HANDLERS - 1 - i);
            run_wait(&runs[i], 1);
            assert_string_equal(run_text(&runs[i]), expected);
            run_free(&runs[i]);
        }
    }
    for (size_t i = 0; i < HANDLERS; i++) {
        nx_code_unref(codes[i]);
    }
}

// Few handlers, but more bytes than a worker keeps.
static void more_code_than_a_worker_keeps(void **unused) {
    (void)unused;
    enum { HANDLERS = 20 };
    struct nx_code *codes[HANDLERS];
    struct run run;
    char json[16], expected[32];
    char *rest = calloc(1, NX_MAX_BYTECODE_BYTES);
    assert_non_null(rest);
    memset(rest, ' ', NX_MAX_BYTECODE_BYTES - 512);
    for (size_t i = 0; i < HANDLERS; i++) {
        struct nx_buf *program = program_new();
        snprintf(json, sizeof(json), "%zu", i);
        program_segment(program, &(struct forged){.json = json});
        program_order(program, FAKE_IGNORE);
        nx_wire_put_bytes(program, nx_span_str(rest));
        codes[i] = code_of_program(program);
    }
    assert_true(HANDLERS * nx_code_size_bytes(codes[0]) > NX_MAX_WORKER_CODE_BYTES);
    for (size_t i = 0; i < 2 * HANDLERS + 3; i++) {
        snprintf(expected, sizeof(expected), "done %zu", i * 7 % HANDLERS);
        run_start(&run, codes[i * 7 % HANDLERS], NULL);
        run_wait(&run, 1);
        assert_string_equal(run_text(&run), expected);
        run_free(&run);
    }
    for (size_t i = 0; i < HANDLERS; i++) {
        nx_code_unref(codes[i]);
    }
    free(rest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unreadable_state_never_leaves_the_kernel, setup,
                                        pool_teardown_strict),
        cmocka_unit_test_setup_teardown(time_used_is_not_given_again, setup, pool_teardown_strict),
        cmocka_unit_test_setup_teardown(with_no_time_left_it_ends, setup, pool_teardown_strict),
        cmocka_unit_test_setup_teardown(more_handlers_than_slots, setup, pool_teardown_strict),
        cmocka_unit_test_setup_teardown(more_code_than_a_worker_keeps, setup, pool_teardown_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
