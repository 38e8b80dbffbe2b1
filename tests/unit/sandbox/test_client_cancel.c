// SPDX-License-Identifier: Apache-2.0
// Executions that are cancelled: at every stage, and what is said of the time they took.
#include "client_test.h"

#include "base/limits.h"

static int setup(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_GOOD, 1, 400);
    return 0;
}

static const char all[] = "state:write:* events:emit:* view:update:* ext:*";

// What came of the question how long a cancelled execution has run.
struct spent {
    uint32_t times, run_us;
};

static void on_spent(void *user, uint32_t run_us) {
    struct spent *spent = user;
    spent->times++;
    spent->run_us = run_us;
}

// Cancels the execution; whether it will be said how long it has run.
static bool cancel(struct run *run, struct spent *spent) {
    *spent = (struct spent){0};
    const bool tells = nx_sandbox_cancel(run->execution, on_spent, spent);
    run->execution = NULL;
    run_free(run);
    assert_int_equal(spent->times, 0); // not from inside
    return tells;
}

static bool is_told(void *user) {
    return ((struct spent *)user)->times != 0;
}

static void cancel_before_it_was_sent(void **unused) {
    (void)unused;
    struct nx_code *code = code_that_returns("1", 0);
    struct run run;
    run_start(&run, code, NULL);
    assert_int_equal(pool_stats().waiting, 1);
    struct spent spent;
    assert_false(cancel(&run, &spent));
    pool_expect_idle();
    run_expect_silence(&run, 0);
    assert_int_equal(spent.times, 0);
    nx_code_unref(code);
}

static bool is_running(void *unused) {
    (void)unused;
    return pool_stats().running == 1;
}

// Its grants go with the caller; what the segment did is not even looked at.
static void cancel_while_it_runs(void **unused) {
    (void)unused;
    static const struct forged rows[] = {
        {.json = "1", .items = {{.kind = 's', .a = "k", .b = "1"}, {.kind = 'e', .a = "x"}}},
        {.status = NX_SEGMENT_SUSPENDED,
         .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"},
                   {.kind = 's', .a = "k", .b = "1"}}},
        {.status = NX_SEGMENT_ERROR, .code = NX_RESULT_EXECUTION_ERROR, .message = "boom"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nx_buf *program = program_new();
        program_sleep(program, 30);
        program_segment(program, &rows[i]);
        struct nx_code *code = code_of_program(program);
        struct run run;
        run_start(&run, code, &(struct run_options){.caps = "state:write:k events:emit:x ext:e"});
        loop_until(is_running, NULL);
        struct spent spent;
        assert_true(cancel(&run, &spent));
        nx_code_unref(code);
        run_expect_silence(&run, 0);
        assert_int_equal(spent.times, 1);
        assert_true(spent.run_us >= 30000);
    }
}

static void cancel_while_suspended(void **unused) {
    (void)unused;
    struct nx_code *code = code_of_segment(&forged_one_call);
    struct run run;
    run_start(&run, code, &(struct run_options){.caps = all});
    run_wait(&run, 1);
    assert_int_equal(pool_stats().suspended, 1);
    struct spent spent;
    assert_false(cancel(&run, &spent)); // its segment was reported
    assert_int_equal(pool_stats().suspended, 0);
    run_expect_silence(&run, 1);
    assert_int_equal(spent.times, 0);
    nx_code_unref(code);
}

static void cancel_before_the_resume_was_sent(void **unused) {
    (void)unused;
    struct nx_code *code = code_of_two_segments(0);
    struct run run;
    run_start(&run, code, &(struct run_options){.caps = all});
    run_wait(&run, 1);
    run_resume(&run, 1, "null");
    run_free(&run);
    run_expect_silence(&run, 1);
    nx_code_unref(code);
}

static void cancel_while_the_resume_runs(void **unused) {
    (void)unused;
    struct nx_code *code = code_of_two_segments(30);
    struct run run;
    run_start(&run, code, &(struct run_options){.caps = all});
    run_wait(&run, 1);
    run_resume(&run, 1, "null");
    loop_until(is_running, NULL);
    run_free(&run);
    run_expect_silence(&run, 1);
    nx_code_unref(code);
}

// Cancelled while it runs, and then its worker hangs: killed as always, and nobody hears of it.
static void cancel_what_hangs(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_order(program, FAKE_HANG);
    struct nx_code *code = code_of_program(program);
    struct nx_exec_limits limits;
    nx_exec_limits_default(&limits);
    limits.timeout_ms = 30;
    struct run run;
    run_start(&run, code, &(struct run_options){.limits = limits});
    loop_until(is_running, NULL);
    struct spent spent;
    assert_true(cancel(&run, &spent));
    run_expect_silence(&run, 0);
    assert_int_equal(pool_stats().watchdog_kills, 1);
    assert_int_equal(spent.times, 1);
    assert_true(spent.run_us >= (limits.timeout_ms + NX_WATCHDOG_GRACE_MS) * 1000);
    nx_code_unref(code);
}

static bool is_replaced(void *user) {
    const struct nx_sandbox_stats stats = pool_stats();
    return stats.workers_alive == 1 && stats.worker_pids[0] != *(pid_t *)user;
}

// Long before its time is over the worker is another one, and nobody hears of it …
static void cancel_what_computes(void **unused) {
    (void)unused;
    struct nx_code *code = code_of_slow(4000);
    struct run run;
    pid_t worker = pool_stats().worker_pids[0];
    for (int i = 0; i < 3; i++, worker = pool_stats().worker_pids[0]) { // at once each time
        run_start(&run, code, NULL);
        loop_until(is_running, NULL);
        struct spent spent;
        assert_true(cancel(&run, &spent));
        loop_until(is_told, &spent); // all it took, not only until it was cancelled
        assert_true(spent.run_us >= NX_WATCHDOG_PERIOD_MS * 1000);
        loop_until(is_replaced, &worker);
        assert_int_equal(spent.times, 1);
        run_expect_silence(&run, 0);
    }
    assert_int_equal(pool_stats().worker_restarts, 0);
    nx_code_unref(code);
}

// … unless that would cost others what they wait for.
static void cancel_what_computes_beside_the_suspended(void **unused) {
    (void)unused;
    struct nx_code *code = code_of_slow(200), *sleeper = code_of_two_segments(0);
    struct run run, other;
    const pid_t worker = pool_stats().worker_pids[0];
    run_start(&other, sleeper, &(struct run_options){.caps = all});
    run_wait(&other, 1);
    run_start(&run, code, NULL);
    loop_until(is_running, NULL);
    run_free(&run);
    loop_for(150);
    run_resume(&other, 1, "null");
    run_wait(&other, 2);
    assert_string_equal(run_text(&other), "done 2");
    assert_int_equal(pool_stats().worker_pids[0], worker);
    run_free(&other);
    nx_code_unref(code);
    nx_code_unref(sleeper);
}

// What a stop drops is told as well: whoever asked has something to free.
static void cancel_before_the_pool_stops(void **unused) {
    (void)unused;
    struct nx_code *code = code_of_slow(4000);
    struct run run;
    struct spent spent;
    run_start(&run, code, NULL);
    loop_until(is_running, NULL);
    assert_true(cancel(&run, &spent));
    nx_code_unref(code);
    pool_stop();
    assert_int_equal(spent.times, 1);
    setup(NULL);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, pool_teardown_strict)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(cancel_before_it_was_sent),
        CASE(cancel_while_it_runs),
        CASE(cancel_while_suspended),
        CASE(cancel_before_the_resume_was_sent),
        CASE(cancel_while_the_resume_runs),
        cmocka_unit_test_setup_teardown(cancel_what_hangs, setup, pool_teardown),
        CASE(cancel_what_computes),
        CASE(cancel_what_computes_beside_the_suspended),
        CASE(cancel_before_the_pool_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
