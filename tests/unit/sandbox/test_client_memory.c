// SPDX-License-Identifier: Apache-2.0
// Memory runs out in the kernel where a worker holds an execution suspended: the execution ends,
// and the worker is told, or it would hold the instance for as long as it lives.
#include "client_test.h"

#include "base/limits.h"

static size_t most_bytes = SIZE_MAX; // of one allocation by realloc

void *__real_realloc(void *at, size_t bytes);
void *__wrap_realloc(void *at, size_t bytes);
void *__wrap_realloc(void *at, size_t bytes) {
    return bytes > most_bytes ? NULL : __real_realloc(at, bytes);
}

enum { LITTLE_BYTES = 1024 };

static int setup(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_GOOD, 1, 8);
    struct nx_code *code = code_that_returns("1", 0);
    struct run run; // so that the worker's buffers are there
    run_start(&run, code, NULL);
    run_wait(&run, 1);
    run_free(&run);
    nx_code_unref(code);
    return 0;
}

static bool is_running(void *user) {
    (void)user;
    return pool_stats().running == 1;
}

// More log lines than the kernel has room for, in a segment that suspends.
static void a_segment_that_cannot_be_read(void **unused) {
    (void)unused;
    enum { LINES = 100 };
    struct nx_buf payload;
    nx_buf_init(&payload, NX_MAX_FRAME_BYTES);
    forge(&payload, &(struct forged){.status = NX_SEGMENT_SUSPENDED});
    payload.len -= 3 * 4; // the counts of logs, calls and denials
    nx_wire_put_u32(&payload, LINES);
    for (int i = 0; i < LINES; i++) {
        nx_wire_put_u8(&payload, 1);
        nx_wire_put_bytes(&payload, nx_span_str(""));
    }
    nx_wire_put_u32(&payload, 1);
    nx_wire_put_u32(&payload, 1);
    nx_wire_put_bytes(&payload, nx_span_str("e"));
    nx_wire_put_bytes(&payload, nx_span_str("m"));
    nx_wire_put_bytes(&payload, nx_span_str("[]"));
    nx_wire_put_u32(&payload, 0);
    struct nx_buf *program = program_new();
    program_sleep(program, 50);
    program_frame(program, NX_FRAME_SEGMENT, 0, nx_buf_span(&payload));
    program_order(program, FAKE_WAIT);
    nx_buf_free(&payload);
    struct nx_code *code = code_of_program(program);
    struct run run;
    run_start(&run, code, &(struct run_options){.caps = "ext:e"});
    loop_until(is_running, NULL);
    most_bytes = LITTLE_BYTES;
    run_wait(&run, 1);
    most_bytes = SIZE_MAX;
    assert_string_equal(run_text(&run), "error OVERLOADED");
    run_expect_silence(&run, 1);
    run_free(&run);
    run_start(&run, code, &(struct run_options){.caps = "ext:e"}); // the control
    run_wait(&run, 1);
    assert_int_equal(run.status, NX_SEGMENT_SUSPENDED);
    run_free(&run);
    nx_code_unref(code);
}

// An answer for which there is no room in the line to the worker.
static void an_answer_that_cannot_be_sent(void **unused) {
    (void)unused;
    static char json[32 * 1024]; // copied, not sent from where it is
    memset(json, ' ', sizeof(json) - 1);
    json[0] = '1';
    struct nx_code *code = code_of_two_segments(0);
    struct run run;
    run_start(&run, code, &(struct run_options){.caps = "ext:*"});
    run_wait(&run, 1);
    run_resume(&run, 1, json);
    most_bytes = LITTLE_BYTES;
    run_wait(&run, 2);
    most_bytes = SIZE_MAX;
    assert_string_equal(run_text(&run), "error OVERLOADED");
    run_expect_silence(&run, 2);
    run_free(&run);
    run_start(&run, code, &(struct run_options){.caps = "ext:*"}); // the control
    run_wait(&run, 1);
    run_resume(&run, 1, json);
    run_wait(&run, 2);
    assert_string_equal(run_text(&run), "done 2");
    run_free(&run);
    nx_code_unref(code);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_segment_that_cannot_be_read, setup, pool_teardown_strict),
        cmocka_unit_test_setup_teardown(an_answer_that_cannot_be_sent, setup, pool_teardown_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
