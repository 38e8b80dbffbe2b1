// SPDX-License-Identifier: Apache-2.0
// The client with the real nexus-sandbox, pushed: limits, odd values, long handlers among short
// ones, processes killed and stopped. Nothing that a handler does may cost a worker its life.
#include "client_test.h"

#include <signal.h>

#include "base/clock.h"
#include "base/limits.h"

enum { WORKERS = 2, INSTANCES = 512 };

static int start_pool(void **unused) {
    (void)unused;
    pool_start_real(WORKERS, INSTANCES, 32u << 20);
    pool_settle(WORKERS);
    return 0;
}

static int stop_pool(void **unused) {
    (void)unused;
    pool_stop();
    return 0;
}

static int nobody_died(void **unused) {
    (void)unused;
    const struct nx_sandbox_stats stats = pool_stats();
    assert_int_equal(stats.worker_restarts, 0);
    assert_int_equal(stats.protocol_kills, 0);
    assert_int_equal(stats.watchdog_kills, 0);
    assert_int_equal(stats.running, 0);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.suspended, 0);
    return 0;
}

// Whatever runs into a limit ends with its code; the worker stays, and with it who is parked there.
static void limits_cost_no_worker(void **unused) {
    (void)unused;
    static const struct {
        const char *source, *text;
        uint32_t timeout_ms; // 0: the default
    } rows[] = {
        {"for (;;);", "error TIMEOUT", 50},
        {"'x'.repeat(1e6).match(/(x+x+)+y/)", "error TIMEOUT", 50},
        {"const a = new Array(2e5).fill(1.2345); for (;;) JSON.stringify(a)", "error TIMEOUT", 200},
        {"const a = []; for (;;) a.push(new Array(1000).fill(1))", "error MEMORY_LIMIT", 0},
        {"const f = () => f() + 1; f()", "error RESOURCE_LIMIT", 0},
        {"for (let i = 0; i < 1001; i++) 'k' in $state", "error RESOURCE_LIMIT", 0},
        {"for (let i = 0; i < 101; i++) $emit('e')", "error RESOURCE_LIMIT", 0},
        {"$state.k = 'x'.repeat(2e6)", "error RESOURCE_LIMIT", 0},
        {"return 'x'.repeat(2e6)", "error RESOURCE_LIMIT", 0},
        {"for (let i = 0; i < 65; i++) $ext.e.m()", "error RESOURCE_LIMIT", 0},
        {"await new Promise(() => {})", "error EXECUTION_ERROR", 0},
    };
    static const char grants[] = "state:read:* state:write:* events:emit:* ext:*";
    struct nx_code *sleeper = code_of_source("return [$args.n, await $ext.e.m()]");
    struct run parked[8];
    for (unsigned i = 0; i < 8; i++) {
        run_start(&parked[i], sleeper, &(struct run_options){.caps = grants, .args = "{\"n\":1}"});
        run_wait(&parked[i], 1);
    }
    struct nx_exec_limits limits;
    nx_exec_limits_default(&limits);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        limits.timeout_ms = rows[i].timeout_ms != 0 ? rows[i].timeout_ms : NX_DEFAULT_TIMEOUT_MS;
        expect_source(rows[i].source, &(struct run_options){.caps = grants, .limits = limits},
                      rows[i].text);
    }
    for (unsigned i = 0; i < 8; i++) {
        run_resume(&parked[i], 1, "2");
        run_wait(&parked[i], 2);
        assert_string_equal(run_text(&parked[i]), "done [1,2]");
        run_free(&parked[i]);
    }
    nx_code_unref(sleeper);
}

// What JavaScript can say and the kernel would not take: refused in the worker, not by its death.
static void odd_values_cost_no_worker(void **unused) {
    (void)unused;
    static const char deep[] = "let a = 1; for (let i = 0; i < 400; i++) a = [a]; ";
    static const char *const uses[] = {"return a", "$state.k = a", "$emit('e', a)",
                                       "await $ext.e.m(a)", "throw a"};
    static const char grants[] = "state:read:* state:write:* events:emit:* view:update:* ext:*";
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        char source[256];
        struct run run;
        snprintf(source, sizeof(source), "%s%s", deep, uses[i]);
        run_source(&run, source, &(struct run_options){.caps = grants});
        assert_int_equal(run.status, NX_SEGMENT_ERROR);
        assert_int_not_equal(run.code, NX_RESULT_INTERNAL_ERROR);
        run_free(&run);
    }
    static const char *const odd[] = {
        "$state['\\ud800'] = '\\ud800'; $emit('\\udc00', '\\udc00'); return '\\ud800'",
        "$log('\\ud800'); throw new Error('\\ud800')",
        "$state[''] = 1",
        "$state['x'.repeat(2000)] = 1",
        "$emit('x'.repeat(2000))",
        "return () => 1",
        "return Symbol('x')",
        "return 10n",
        "throw undefined",
        "throw new Error('x'.repeat(100000))",
        "return {toJSON() { throw 1 }}",
        "return {get x() { return $state.nope.nope }}",
        "$view.command('i', '\\ud800', {x: '\\ud800'})",
        "for (let i = 0; i < 300; i++) try { $state['k' + i] } catch {}",
    };
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct run run;
        run_source(&run, odd[i], &(struct run_options){.caps = grants});
        assert_int_not_equal(run.code, NX_RESULT_INTERNAL_ERROR);
        run_free(&run);
        run_source(&run, odd[i], NULL);
        assert_int_not_equal(run.code, NX_RESULT_INTERNAL_ERROR);
        run_free(&run);
    }
}

// Long and short ones mixed, with suspensions in between, so that workers say SLOW at every moment.
static void slow_and_quick_ones_mixed(void **unused) {
    (void)unused;
    enum { COUNT = 200 };
    static struct run runs[COUNT];
    static const char spin[] =
        "for (const end = Date.now() + 1e9, i = {n: 0}; i.n < $args.n; i.n++);";
    char source[256], args[32];
    snprintf(source, sizeof(source), "%s await $ext.e.m(); %s return $args.n", spin, spin);
    struct nx_code *code = code_of_source(source);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            snprintf(args, sizeof(args), "{\"n\":%u}", i % 10 == 0 ? 200000U : i * 37 % 3000);
            run_start(&runs[i], code, &(struct run_options){.caps = "ext:e", .args = args});
        }
        for (unsigned i = 0; i < COUNT; i++) {
            run_wait(&runs[i], 1);
            assert_int_equal(runs[i].status, NX_SEGMENT_SUSPENDED);
            run_resume(&runs[i], 1, "null");
        }
        for (unsigned i = 0; i < COUNT; i++) {
            run_wait(&runs[i], 2);
            snprintf(args, sizeof(args), "done %u", i % 10 == 0 ? 200000U : i * 37 % 3000);
            assert_string_equal(run_text(&runs[i]), args);
            run_free(&runs[i]);
        }
    }
    nx_code_unref(code);
}

// ---- the hard way

static int fresh_pool(void **unused) {
    stop_pool(unused);
    return start_pool(unused);
}

static uint64_t used_before_ns[WORKERS];

static void note_computing(void) {
    const struct nx_sandbox_stats stats = pool_stats();
    for (size_t i = 0; i < WORKERS; i++) {
        used_before_ns[i] = nx_clock_process_ns(stats.worker_pids[i]);
    }
}

// Each worker has used more processor time than it takes to begin.
static bool all_compute(void *unused) {
    (void)unused;
    const struct nx_sandbox_stats stats = pool_stats();
    for (size_t i = 0; i < WORKERS; i++) {
        if (nx_clock_process_ns(stats.worker_pids[i]) < used_before_ns[i] + 50 * 1000000) {
            return false;
        }
    }
    return true;
}

// kill -9 in the middle of a handler: it fails, once; the pool is whole again, and so are the rest.
static void a_worker_killed_in_mid_run(void **unused) {
    (void)unused;
    struct nx_code *endless = code_of_source("for (;;);"), *quick = code_of_source("return 1");
    const struct nx_sandbox_stats before = pool_stats();
    struct run victims[WORKERS], others[20];
    note_computing();
    for (size_t i = 0; i < WORKERS; i++) {
        run_start(&victims[i], endless, NULL);
    }
    loop_until(all_compute, NULL);
    for (size_t i = 0; i < 20; i++) {
        run_start(&others[i], quick, NULL);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(kill(before.worker_pids[i], SIGKILL), 0);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        run_wait(&victims[i], 1);
        assert_string_equal(run_text(&victims[i]), "error INTERNAL_ERROR");
    }
    for (size_t i = 0; i < 20; i++) {
        run_wait(&others[i], 1);
        assert_string_equal(run_text(&others[i]), "done 1");
        run_free(&others[i]);
    }
    pool_settle(WORKERS);
    const struct nx_sandbox_stats after = pool_stats();
    assert_int_equal(after.worker_restarts, before.worker_restarts + WORKERS);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(victims[i].segments, 1);
        assert_int_not_equal(after.worker_pids[i], before.worker_pids[i]);
        run_free(&victims[i]);
    }
    nx_code_unref(endless);
    nx_code_unref(quick);
}

// A worker that gets no processor until the grace is long over stops its handler when it gets one:
// who is parked there stays. Stopped before it began, or in the middle.
static void a_worker_without_a_processor_is_waited_for(void **unused) {
    (void)unused;
    struct nx_code *endless = code_of_source("for (;;);");
    struct nx_exec_limits limits;
    nx_exec_limits_default(&limits);
    limits.timeout_ms = 100;
    struct nx_code *sleeper = code_of_source("return [await $ext.e.m()]");
    struct run parked, runs[WORKERS];
    run_start(&parked, sleeper, &(struct run_options){.caps = "ext:e"});
    run_wait(&parked, 1);
    const struct nx_sandbox_stats before = pool_stats();
    for (size_t i = 0; i < WORKERS; i++) {
        run_start(&runs[i], endless, &(struct run_options){.limits = limits});
        loop_for(i == 0 ? 0 : 20);
        assert_int_equal(kill(before.worker_pids[i], SIGSTOP), 0);
    }
    loop_for(limits.timeout_ms + NX_HARD_DEADLINE_GRACE_MS + 2 * NX_WATCHDOG_GRACE_MS);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(kill(before.worker_pids[i], SIGCONT), 0);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        run_wait(&runs[i], 1);
        assert_string_equal(run_text(&runs[i]), "error TIMEOUT");
        run_free(&runs[i]);
    }
    run_resume(&parked, 1, "7");
    run_wait(&parked, 2);
    assert_string_equal(run_text(&parked), "done [7]");
    run_free(&parked);
    nx_code_unref(sleeper);
    nx_code_unref(endless);
}

// A stopped process is the nearest there is to one that hangs in the system.
static void a_worker_that_is_stopped_is_replaced(void **unused) {
    (void)unused;
    struct nx_code *endless = code_of_source("for (;;);");
    struct nx_exec_limits limits;
    nx_exec_limits_default(&limits);
    limits.timeout_ms = 2000;
    const struct nx_sandbox_stats before = pool_stats();
    struct run runs[WORKERS];
    note_computing();
    for (size_t i = 0; i < WORKERS; i++) {
        run_start(&runs[i], endless, &(struct run_options){.limits = limits});
    }
    loop_until(all_compute, NULL);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(kill(before.worker_pids[i], SIGSTOP), 0);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        run_wait(&runs[i], 1);
        assert_string_equal(run_text(&runs[i]), "error TIMEOUT");
        run_free(&runs[i]);
    }
    assert_int_equal(pool_stats().watchdog_kills, WORKERS);
    pool_settle(WORKERS);
    expect_source("return 1", NULL, "done 1");
    nx_code_unref(endless);
}

static bool is_another_zygote(void *user) {
    const pid_t now = pool_stats().zygote_pid;
    return now > 0 && now != *(pid_t *)user;
}

static void the_zygote_killed(void **unused) {
    (void)unused;
    pid_t zygote = pool_stats().zygote_pid;
    struct nx_code *quick = code_of_source("return 1");
    assert_int_equal(kill(zygote, SIGKILL), 0);
    loop_until(is_another_zygote, &zygote);
    pool_settle(WORKERS);
    struct run run;
    run_start(&run, quick, NULL); // bytecode outlives the process that compiled it
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "done 1");
    run_free(&run);
    expect_source("return 2", NULL, "done 2");
    nx_code_unref(quick);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(limits_cost_no_worker, nobody_died),
        cmocka_unit_test_teardown(odd_values_cost_no_worker, nobody_died),
        cmocka_unit_test_teardown(slow_and_quick_ones_mixed, nobody_died),
        cmocka_unit_test_setup(a_worker_killed_in_mid_run, fresh_pool),
        cmocka_unit_test_setup_teardown(a_worker_without_a_processor_is_waited_for, fresh_pool,
                                        nobody_died),
        cmocka_unit_test_setup(a_worker_that_is_stopped_is_replaced, fresh_pool),
        cmocka_unit_test_setup(the_zygote_killed, fresh_pool),
    };
    return cmocka_run_group_tests(tests, start_pool, stop_pool);
}
