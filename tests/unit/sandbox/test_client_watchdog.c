// SPDX-License-Identifier: Apache-2.0
// Workers that never answer, or compute when nobody asked: how long they are waited for.
#include "client_test.h"

#include "base/clock.h"
#include "base/limits.h"
#include "sandbox/pool.h"

// Sooner if it uses a processor: then it does not wait for one.
static void the_watchdog_kills_what_hangs(void **unused) {
    (void)unused;
    static const struct {
        enum fake_order order;
        uint64_t grace_ms;
    } rows[] = {{FAKE_SPIN, NX_WATCHDOG_GRACE_MS}, {FAKE_HANG, NX_WATCHDOG_STARVED_MS}};
    struct nx_code *good = code_of_segment(&(struct forged){.json = "1"});
    struct nx_exec_limits limits;
    nx_exec_limits_default(&limits);
    limits.timeout_ms = 100;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nx_buf *program = program_new();
        program_order(program, rows[i].order);
        struct nx_code *hangs = code_of_program(program);
        struct run victim, other;
        const uint64_t start_ns = nx_clock_monotonic_ns();
        run_start(&victim, hangs, &(struct run_options){.limits = limits});
        run_start(&other, good, NULL);
        run_wait(&victim, 1);
        assert_string_equal(run_text(&victim), "error TIMEOUT");
        const uint64_t took_ms = (nx_clock_monotonic_ns() - start_ns) / 1000000;
        assert_true(took_ms >= limits.timeout_ms + rows[i].grace_ms);
        run_wait(&other, 1);
        assert_string_equal(run_text(&other), "done 1");
        assert_int_equal(pool_stats().watchdog_kills, i + 1);
        assert_int_equal(pool_stats().protocol_kills, 0);
        pool_settle(1);
        run_free(&victim);
        run_free(&other);
        nx_code_unref(hangs);
    }
    nx_code_unref(good);
}

static bool has_killed(void *user) {
    return pool_stats().protocol_kills >= *(const uint64_t *)user;
}

// It has answered, and computes on. The other one has nothing to do as well, and rests.
static void computing_with_nothing_to_do_kills(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_segment(program, &(struct forged){.json = "1"});
    program_order(program, FAKE_SPIN);
    struct nx_code *answers_and_spins = code_of_program(program);
    const struct nx_sandbox_stats before = pool_stats();
    struct run run;
    run_start(&run, answers_and_spins, NULL);
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "done 1");
    loop_until(has_killed, &(uint64_t){1});
    pool_settle(2);
    const struct nx_sandbox_stats after = pool_stats();
    assert_int_equal(after.protocol_kills, 1);
    assert_int_equal(after.worker_restarts, 1);
    unsigned same = 0;
    for (unsigned i = 0; i < 2; i++) {
        same += after.worker_pids[i] == before.worker_pids[i];
    }
    assert_int_equal(same, 1);
    run_free(&run);
    nx_code_unref(answers_and_spins);
}

// Half an answer is none.
static void half_an_answer_is_a_timeout(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_order(program, FAKE_RAW);
    nx_wire_put_bytes(program, nx_span_of("\x10\0\0\0\1", 5));
    program_order(program, FAKE_HANG);
    struct nx_code *code = code_of_program(program);
    struct run run;
    struct nx_exec_limits limits;
    nx_exec_limits_default(&limits);
    limits.timeout_ms = 30;
    run_start(&run, code, &(struct run_options){.limits = limits});
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "error TIMEOUT");
    run_free(&run);
    nx_code_unref(code);
}

static void answer_call(uv_timer_t *timer) {
    run_resume(timer->data, 1, "null");
}

static bool is_running(void *unused) {
    (void)unused;
    return pool_stats().running == 1;
}

// A call's answer comes in the very turn of the loop in which the watchdog, a moment later, finds
// no worker at work.
static void what_is_resumed_is_watched(void **unused) {
    (void)unused;
    static uv_timer_t answer;
    struct nx_buf *program = program_new();
    program_segment(program, &forged_one_call);
    program_order(program, FAKE_HANG);
    struct nx_code *hangs = code_of_program(program);
    struct run run;
    run_start(&run, hangs, &(struct run_options){.caps = "ext:*"});
    run_wait(&run, 1);
    uv_timer_init(&test_loop, &answer);
    answer.data = &run;
    uv_timer_start(&answer, answer_call, 0, 0);
    test_pool->tick_active = true;
    uv_timer_start(&test_pool->tick, nx_dispatch_tick, 0, NX_WATCHDOG_PERIOD_MS);
    loop_until(is_running, NULL);
    assert_int_equal(uv_timer_get_repeat(&test_pool->tick), NX_WATCHDOG_PERIOD_MS);
    uv_close((uv_handle_t *)&answer, NULL);
    run_free(&run);
    nx_code_unref(hangs);
}

#define CASE(test, workers)                                                                        \
    cmocka_unit_test_setup_teardown(test, pool_setup_##workers, pool_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(the_watchdog_kills_what_hangs, one),
        CASE(what_is_resumed_is_watched, one),
        CASE(half_an_answer_is_a_timeout, one),
        CASE(computing_with_nothing_to_do_kills, two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
