// SPDX-License-Identifier: Apache-2.0
// Executions from the caller's side: resumed, too many, too large.
#include "client_test.h"

#include "base/limits.h"

enum { INSTANCES = 400 };

static int setup(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_GOOD, 1, INSTANCES);
    return 0;
}

static const char all[] = "state:write:* events:emit:* view:update:* ext:*";

// ---- resuming

static void expect_invalid(struct run *run, uint32_t call_id) {
    const struct nx_call_result result = {
        .call_id = call_id, .ok = true, .json = nx_span_str("null")};
    struct nx_error err = {0};
    assert_int_equal(run_try_resume(run, &result, NULL, 0, &err), NX_E_INVALID);
    assert_int_equal(err.code, NX_E_INVALID);
    assert_true(err.message[0] != '\0');
}

static void only_outstanding_calls_can_be_answered(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_segment(program, &(struct forged){
                                 .status = NX_SEGMENT_SUSPENDED,
                                 .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[1]"},
                                           {.kind = 'c', .n = 2, .a = "e", .b = "m", .c = "[2]"},
                                           {.kind = 'c', .n = 3, .a = "e", .b = "m", .c = "[3]"}}});
    program_segment(program, &(struct forged){.status = NX_SEGMENT_SUSPENDED});
    program_segment(program, &(struct forged){
                                 .status = NX_SEGMENT_SUSPENDED,
                                 .items = {{.kind = 'c', .n = 4, .a = "e", .b = "m", .c = "[4]"}}});
    program_segment(program, &(struct forged){.status = NX_SEGMENT_SUSPENDED});
    program_segment(program, &(struct forged){.json = "\"all\""});
    struct nx_code *code = code_of_program(program);
    struct run run;
    run_start(&run, code, &(struct run_options){.caps = all});
    expect_invalid(&run, 1); // not suspended yet
    run_wait(&run, 1);
    expect_invalid(&run, 0);
    expect_invalid(&run, 4);
    expect_invalid(&run, UINT32_MAX);
    run_resume(&run, 2, "null"); // in any order
    expect_invalid(&run, 1);     // runs now
    run_wait(&run, 2);
    assert_string_equal(run_text(&run), "suspended");
    expect_invalid(&run, 2); // answered
    run_resume(&run, 3, "null");
    run_wait(&run, 3);
    assert_string_equal(run_text(&run), "suspended\ncall 4 e.m=[4]");
    run_resume(&run, 4, "null");
    run_wait(&run, 4);
    const struct nx_call_result failed = {
        .call_id = 1, .code = NX_RESULT_EXTENSION_ERROR, .message = nx_span_str("no network")};
    assert_int_equal(run_try_resume(&run, &failed, NULL, 0, NULL), 0);
    run_wait(&run, 5);
    assert_string_equal(run_text(&run), "done \"all\"");
    pool_expect_idle();
    run_free(&run);
    nx_code_unref(code);
}

// Suspends with the calls `first` to `last`.
static void program_calls(struct nx_buf *program, uint32_t first, uint32_t last) {
    struct nx_buf payload;
    nx_buf_init(&payload, NX_MAX_FRAME_BYTES);
    forge(&payload, &(struct forged){.status = NX_SEGMENT_SUSPENDED});
    payload.len -= 2 * 4; // the counts of calls and denials
    nx_wire_put_u32(&payload, last - first + 1);
    for (uint32_t id = first; id <= last; id++) {
        nx_wire_put_u32(&payload, id);
        nx_wire_put_bytes(&payload, nx_span_str("e"));
        nx_wire_put_bytes(&payload, nx_span_str("m"));
        nx_wire_put_bytes(&payload, nx_span_str("[]"));
    }
    nx_wire_put_u32(&payload, 0);
    program_frame(program, NX_FRAME_SEGMENT, 0, nx_buf_span(&payload));
    program_order(program, FAKE_WAIT);
    nx_buf_free(&payload);
}

// At once, and over several segments.
static void as_many_calls_as_there_may_be(void **unused) {
    (void)unused;
    static const struct {
        uint32_t first, second; // calls of each segment; one is answered in between
        bool first_passes, second_passes;
    } rows[] = {
        {NX_MAX_OUTSTANDING_CALLS, 1, true, true},
        {NX_MAX_OUTSTANDING_CALLS, 2, true, false},
        {NX_MAX_OUTSTANDING_CALLS + 1, 0, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nx_buf *program = program_new();
        program_calls(program, 1, rows[i].first);
        program_calls(program, rows[i].first + 1, rows[i].first + rows[i].second);
        struct nx_code *code = code_of_program(program);
        struct run run;
        run_start(&run, code, &(struct run_options){.caps = all});
        run_wait(&run, 1);
        assert_int_equal(run.status == NX_SEGMENT_SUSPENDED, rows[i].first_passes);
        if (rows[i].first_passes) {
            run_resume(&run, 2, "null");
            run_wait(&run, 2);
            assert_int_equal(run.status == NX_SEGMENT_SUSPENDED, rows[i].second_passes);
        }
        run_free(&run);
        nx_code_unref(code);
    }
}

// ---- too many, too large

static void no_more_than_max_instances(void **unused) {
    (void)unused;
    static struct run runs[INSTANCES];
    struct nx_code *sleeper = code_of_two_segments(0), *busy = code_that_returns("1", 5);
    struct run refused;
    struct nx_error err = {0};
    for (size_t i = 0; i < INSTANCES; i++) {
        run_start(&runs[i], i % 2 == 0 ? sleeper : busy, &(struct run_options){.caps = all});
    }
    assert_int_equal(run_try(&refused, busy, NULL, &err), NX_E_BUSY);
    assert_true(err.message[0] != '\0');
    run_free(&refused);
    for (size_t i = 0; i < INSTANCES; i++) {
        run_wait(&runs[i], 1);
    }
    loop_for(10);
    assert_int_equal(refused.segments, 0);
    assert_int_equal(pool_stats().suspended, INSTANCES / 2);
    // Those that are suspended count as well.
    struct run more[INSTANCES / 2];
    for (size_t i = 0; i < INSTANCES / 2; i++) {
        run_start(&more[i], busy, NULL);
    }
    assert_int_equal(run_try(&refused, busy, NULL, &err), NX_E_BUSY);
    run_free(&refused);
    run_free(&runs[0]); // one of them gives up: there is room for one
    run_start(&runs[0], busy, NULL);
    assert_int_equal(run_try(&refused, busy, NULL, &err), NX_E_BUSY);
    run_free(&refused);
    for (size_t i = 0; i < INSTANCES / 2; i++) {
        run_wait(&more[i], 1);
        run_free(&more[i]);
    }
    for (size_t i = 0; i < INSTANCES; i++) {
        run_free(&runs[i]);
    }
    run_expect_silence(&refused, 0);
    nx_code_unref(sleeper);
    nx_code_unref(busy);
}

static char *blanks(size_t bytes) {
    char *text = malloc(bytes + 1);
    assert_non_null(text);
    memset(text, ' ', bytes);
    memcpy(text, "{}", 2);
    text[bytes] = '\0';
    return text;
}

static void a_frame_has_a_largest_size(void **unused) {
    (void)unused;
    struct nx_code *code = code_that_returns("1", 0);
    char *fits = blanks(NX_MAX_FRAME_BYTES - 256), *too_large = blanks(NX_MAX_FRAME_BYTES);
    struct run run;
    struct nx_error err = {0};
    assert_int_equal(run_try(&run, code, &(struct run_options){.args = too_large}, &err),
                     NX_E_LIMIT);
    assert_true(err.message[0] != '\0');
    run_free(&run);
    pool_expect_idle();
    run_start(&run, code, &(struct run_options){.args = fits});
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "done 1");
    run_free(&run);

    // The same for state, and for what a call gave.
    const struct nx_state_entry large = {nx_span_str("k"), nx_span_str(too_large)};
    const struct run_options options = {
        .caps = "state:read:k ext:*", .state = &large, .state_count = 1};
    assert_int_equal(run_try(&run, code, &options, &err), NX_E_LIMIT);
    run_free(&run);
    struct nx_code *sleeper = code_of_two_segments(0);
    run_start(&run, sleeper, &(struct run_options){.caps = "state:read:k ext:*"});
    run_wait(&run, 1);
    struct nx_call_result result = {.call_id = 1, .ok = true, .json = nx_span_str(too_large)};
    assert_int_equal(run_try_resume(&run, &result, NULL, 0, &err), NX_E_LIMIT);
    result.json = nx_span_str("null");
    assert_int_equal(run_try_resume(&run, &result, &large, 1, &err), NX_E_LIMIT);
    run_resume(&run, 1, fits); // it is still suspended, and the call still outstanding
    run_wait(&run, 2);
    assert_string_equal(run_text(&run), "done 2");
    run_free(&run);
    nx_code_unref(sleeper);
    nx_code_unref(code);
    free(fits);
    free(too_large);
}

static void a_source_has_a_largest_size(void **unused) {
    (void)unused;
    // A program that answers, filled up to the size.
    struct nx_buf *program = program_new();
    struct nx_buf payload;
    nx_buf_init(&payload, 64);
    nx_wire_put_u8(&payload, NX_RESULT_NONE);
    nx_wire_put_u32(&payload, 1);
    nx_wire_put_u64(&payload, 0); // line and column
    nx_wire_put_bytes(&payload, nx_span_str("code"));
    nx_wire_put_bytes(&payload, (struct nx_span){0});
    program_frame(program, NX_FRAME_COMPILED, 0, nx_buf_span(&payload));
    nx_buf_free(&payload);
    program_order(program, FAKE_IGNORE);
    const size_t room = NX_MAX_PANEL_SOURCE_BYTES - program->len - 4;
    char *rest = blanks(room);
    nx_wire_put_bytes(program, nx_span_of(rest, room));
    free(rest);
    assert_int_equal(program->len, NX_MAX_PANEL_SOURCE_BYTES);
    struct compiled compiled;
    compile_start(&compiled, NX_COMPILE_HANDLER, nx_buf_span(program));
    compile_wait(&compiled);
    assert_int_equal(compiled.code, NX_RESULT_NONE);
    compile_free(&compiled);

    nx_buf_append_char(program, 0);
    struct nx_error err = {0};
    assert_int_equal(nx_sandbox_compile(test_pool, NX_COMPILE_HANDLER, nx_buf_span(program), 1, 1,
                                        NULL, NULL, &err),
                     NX_E_LIMIT);
    assert_true(err.message[0] != '\0');
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, pool_teardown_strict)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(only_outstanding_calls_can_be_answered),
        cmocka_unit_test_setup_teardown(as_many_calls_as_there_may_be, setup, pool_teardown),
        CASE(no_more_than_max_instances),
        CASE(a_frame_has_a_largest_size),
        CASE(a_source_has_a_largest_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
