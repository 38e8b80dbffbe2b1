// SPDX-License-Identifier: Apache-2.0
// Who gets a place where places are short: executions that hang, of each lane, and what still runs.
#include "client_test.h"

#include <sys/resource.h>

#include "base/limits.h"

enum { WORKERS = 2, SPARES = 3, HOGS = 12 };

static struct run hogs[HOGS];
static size_t hog_count;

static int setup_lanes(void **unused) {
    (void)unused;
    pool_start_lanes(WORKERS, SPARES, 64);
    pool_settle(WORKERS);
    hog_count = 0;
    return 0;
}

static int setup_none(void **unused) {
    (void)unused;
    pool_start_lanes(WORKERS, 0, 64);
    pool_settle(WORKERS);
    hog_count = 0;
    return 0;
}

static int setup_one_spare(void **unused) {
    (void)unused;
    pool_start_lanes(1, 1, 64);
    pool_settle(1);
    hog_count = 0;
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    for (size_t i = 0; i < hog_count; i++) {
        run_free(&hogs[i]);
    }
    pool_stop();
    return 0;
}

// Executions that say they are slow and never end; the watchdog would come after the test.
static void start_hogs_that(enum fake_order how, enum nx_lane lane, size_t count) {
    struct nx_buf *program = program_new();
    program_order(program, FAKE_SLOW);
    program_order(program, how);
    struct nx_code *code = code_of_program(program);
    struct run_options options = {.lane = lane};
    nx_exec_limits_default(&options.limits);
    options.limits.timeout_ms = 2 * PATIENCE_MS;
    for (size_t i = 0; i < count; i++) {
        run_start(&hogs[hog_count++], code, &options);
    }
    nx_code_unref(code);
}

static void start_hogs(enum nx_lane lane, size_t count) {
    start_hogs_that(FAKE_HANG, lane, count);
}

static struct nx_code *quick(void) {
    return code_of_segment(&(struct forged){.json = "1"});
}

static void expect_quick(enum nx_lane lane) {
    struct nx_code *code = quick();
    struct run run;
    run_start(&run, code, &(struct run_options){.lane = lane});
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "done 1");
    run_free(&run);
    nx_code_unref(code);
}

static struct nx_buf *dies(void) {
    struct nx_buf *program = program_new();
    program_order(program, FAKE_EXIT);
    nx_wire_put_u8(program, 0);
    return program;
}

static bool all_alive(void *user) {
    (void)user;
    return pool_stats().workers_alive == WORKERS + SPARES;
}

// Runs the loop until the hogs have all the places they may have, as the loop's counts say.
static bool as_many_run(void *user) {
    return pool_stats().running == *(uint32_t *)user;
}

static void wait_for_running(uint32_t count) {
    loop_until(as_many_run, &count);
    loop_for(20); // and no more than that
    assert_int_equal(pool_stats().running, count);
}

// Handlers that nobody knows yet, more of them than workers, all of which hang: those that are
// known to be quick find a place.
static void unsure_ones_leave_a_place(void **unused) {
    (void)unused;
    start_hogs(NX_LANE_UNSURE, HOGS);
    expect_quick(NX_LANE_LIGHT);
    loop_until(all_alive, NULL);
    wait_for_running(WORKERS + SPARES - 1);
    for (int i = 0; i < 20; i++) {
        expect_quick(NX_LANE_LIGHT);
    }
}

// Panels that had their share leave one more: for a handler that nobody knows yet.
static void heavy_ones_leave_a_place_to_unsure_ones(void **unused) {
    (void)unused;
    start_hogs(NX_LANE_UNSURE, 1); // wakes the spare ones
    loop_until(all_alive, NULL);
    start_hogs(NX_LANE_HEAVY, HOGS - 1);
    wait_for_running(1 + SPARES - 1);
    expect_quick(NX_LANE_UNSURE);
    expect_quick(NX_LANE_LIGHT);
}

// The same for handlers that were slow; and what is quick has the place meanwhile, though its panel
// had its share.
static void slow_ones_leave_a_place_to_quick_ones(void **unused) {
    (void)unused;
    expect_quick(NX_LANE_HEAVY); // wakes the spare ones
    loop_until(all_alive, NULL);
    start_hogs(NX_LANE_SLOW, HOGS / 2);
    start_hogs(NX_LANE_HEAVY, HOGS / 2);
    wait_for_running(SPARES - 1);
    for (int i = 0; i < 20; i++) {
        expect_quick(NX_LANE_SPENT);
    }
    expect_quick(NX_LANE_UNSURE);
    expect_quick(NX_LANE_LIGHT);
}

// What a panel that had its share may not have: an ordinary worker.
static void spent_ones_keep_to_spares(void **unused) {
    (void)unused;
    expect_quick(NX_LANE_HEAVY);
    loop_until(all_alive, NULL);
    start_hogs(NX_LANE_SPENT, HOGS);
    wait_for_running(SPARES);
    for (int i = 0; i < 20; i++) {
        expect_quick(NX_LANE_LIGHT);
    }
}

// How many of the workers have a nice value that is so much above this process's.
static uint32_t workers_at(int above) {
    const struct nx_sandbox_stats stats = pool_stats();
    uint32_t count = 0;
    for (uint32_t i = 0; i < stats.workers_alive; i++) {
        const int nice = getpriority(PRIO_PROCESS, (id_t)stats.worker_pids[i]);
        count += nice == getpriority(PRIO_PROCESS, 0) + above;
    }
    return count;
}

static bool one_lowered(void *unused) {
    (void)unused;
    return workers_at(FAKE_LOWERED_NICE) == 1;
}

static bool one_stands_back(void *unused) {
    (void)unused;
    return workers_at(0) == WORKERS && workers_at(FAKE_LOWERED_NICE) == 1 &&
           workers_at(FAKE_SPARE_NICE) == SPARES - 1;
}

// A worker that is long at work stands back, and a spare one becomes what it was.
static void what_takes_long_stands_back(void **unused) {
    (void)unused;
    start_hogs_that(FAKE_SPIN, NX_LANE_LIGHT, 1);
    loop_until(one_stands_back, NULL);
    expect_quick(NX_LANE_LIGHT);
    assert_int_equal(pool_stats().worker_restarts, 0);
}

// Where all spare ones are busy, the ordinary ones come back as soon as one of them is not.
static void others_take_its_place_later(void **unused) {
    (void)unused;
    expect_quick(NX_LANE_HEAVY); // wakes the spare ones
    loop_until(all_alive, NULL);
    start_hogs_that(FAKE_SPIN, NX_LANE_SPENT, SPARES);
    start_hogs_that(FAKE_SPIN, NX_LANE_LIGHT, 1);
    loop_until(one_lowered, NULL);
    assert_int_equal(workers_at(0), WORKERS - 1);
    run_free(&hogs[0]); // its worker is ended, and a new one takes its place
    loop_until(one_stands_back, NULL);
    expect_quick(NX_LANE_LIGHT);
}

// Hanging is not computing: it takes nothing from others, and its worker stays what it is.
static void what_waits_does_not_stand_back(void **unused) {
    (void)unused;
    start_hogs(NX_LANE_LIGHT, 1);
    loop_until(all_alive, NULL);
    loop_for(10 * NX_WATCHDOG_PERIOD_MS);
    assert_int_equal(workers_at(FAKE_LOWERED_NICE), 0);
}

static bool both_alive(void *user) {
    (void)user;
    return pool_stats().workers_alive == 2;
}

// Spare workers may never come, where processes or descriptors ran out. A place that is left free
// for others must not be the last one that those it is left free from could ever have.
static void a_single_spare_serves_everybody(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_order(program, FAKE_SLOW); // wakes the spare one
    program_segment(program, &(struct forged){.json = "1"});
    struct nx_code *code = code_of_program(program);
    struct run run;
    run_start(&run, code, NULL);
    run_wait(&run, 1);
    loop_until(both_alive, NULL);
    for (int i = 0; i < 3; i++) {
        expect_quick(NX_LANE_HEAVY);
        expect_quick(NX_LANE_UNSURE);
        expect_quick(NX_LANE_LIGHT);
    }
    run_free(&run);
    nx_code_unref(code);
}

static bool first_spares_alive(void *user) {
    (void)user;
    return pool_stats().workers_alive == WORKERS + NX_FIRST_SPARE_WORKERS;
}

// The spare workers are not there before somebody needs them, and nobody waits for them.
static void spares_come_when_needed(void **unused) {
    (void)unused;
    expect_quick(NX_LANE_LIGHT);
    loop_for(20);
    assert_int_equal(pool_stats().workers_alive, WORKERS);
    expect_quick(NX_LANE_UNSURE);
    loop_until(first_spares_alive, NULL);
    loop_for(20);
    assert_int_equal(pool_stats().workers_alive, WORKERS + NX_FIRST_SPARE_WORKERS);
    start_hogs(NX_LANE_LIGHT, 1);
    loop_until(all_alive, NULL);
    assert_int_equal(pool_stats().worker_restarts, 0);
}

static void all_spares_come_for_a_heavy_one(void **unused) {
    (void)unused;
    expect_quick(NX_LANE_HEAVY);
    loop_until(all_alive, NULL);
    assert_int_equal(pool_stats().worker_restarts, 0);
}

// What nobody knows runs where it stands back: the workers of the others have nothing to do with
// it.
static void unsure_ones_take_spares_first(void **unused) {
    (void)unused;
    expect_quick(NX_LANE_HEAVY);
    loop_until(all_alive, NULL);
    pid_t workers[WORKERS];
    const struct nx_sandbox_stats before = pool_stats();
    memcpy(workers, before.worker_pids, sizeof(workers));
    // Hogs that die take their worker with them: it shows whose it was.
    struct nx_code *code = code_of_program(dies());
    for (int i = 0; i < SPARES; i++) {
        struct run run;
        run_start(&run, code, &(struct run_options){.lane = NX_LANE_UNSURE});
        run_wait(&run, 1);
        assert_string_equal(run_text(&run), "error INTERNAL_ERROR");
        run_free(&run);
        loop_until(all_alive, NULL);
    }
    const struct nx_sandbox_stats after = pool_stats();
    assert_int_equal(after.worker_restarts, SPARES);
    assert_memory_equal(workers, after.worker_pids, sizeof(workers));
    nx_code_unref(code);
}

// Those known to be quick that turn out not to be: the spare ones take over.
static void spares_stand_in_for_slow_workers(void **unused) {
    (void)unused;
    start_hogs(NX_LANE_LIGHT, WORKERS);
    expect_quick(NX_LANE_LIGHT);
    start_hogs(NX_LANE_LIGHT, SPARES - 1);
    wait_for_running(WORKERS + SPARES - 1);
    expect_quick(NX_LANE_LIGHT);
}

// The control: without spare workers lanes mean nothing, and the hogs have it all.
static void without_spares_there_are_no_lanes(void **unused) {
    (void)unused;
    start_hogs(NX_LANE_UNSURE, 1);
    start_hogs(NX_LANE_HEAVY, 1);
    wait_for_running(WORKERS);
    struct nx_code *code = quick();
    struct run run;
    run_start(&run, code, NULL);
    loop_for(50);
    assert_int_equal(run.segments, 0);
    run_free(&run);
    nx_code_unref(code);
}

// A worker with long ones before it gets no more while another has short ones, however many.
static void the_least_expected_work_decides(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_order(program, FAKE_HANG);
    struct nx_code *hangs = code_of_program(program), *code = quick();
    struct run_options options = {.expected_us = 900};
    nx_exec_limits_default(&options.limits);
    options.limits.timeout_ms = 2 * PATIENCE_MS;
    run_start(&hogs[hog_count++], hangs, &options);
    struct run runs[8];
    for (size_t i = 0; i < 8; i++) {
        run_start(&runs[i], code, &(struct run_options){.expected_us = 100});
    }
    for (size_t i = 0; i < 8; i++) {
        run_wait(&runs[i], 1);
        assert_string_equal(run_text(&runs[i]), "done 1");
        run_free(&runs[i]);
    }
    nx_code_unref(hangs);
    nx_code_unref(code);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unsure_ones_leave_a_place, setup_lanes, teardown),
        cmocka_unit_test_setup_teardown(heavy_ones_leave_a_place_to_unsure_ones, setup_lanes,
                                        teardown),
        cmocka_unit_test_setup_teardown(slow_ones_leave_a_place_to_quick_ones, setup_lanes,
                                        teardown),
        cmocka_unit_test_setup_teardown(spent_ones_keep_to_spares, setup_lanes, teardown),
        cmocka_unit_test_setup_teardown(a_single_spare_serves_everybody, setup_one_spare, teardown),
        cmocka_unit_test_setup_teardown(spares_come_when_needed, setup_lanes, teardown),
        cmocka_unit_test_setup_teardown(all_spares_come_for_a_heavy_one, setup_lanes, teardown),
        cmocka_unit_test_setup_teardown(unsure_ones_take_spares_first, setup_lanes, teardown),
        cmocka_unit_test_setup_teardown(spares_stand_in_for_slow_workers, setup_lanes, teardown),
        cmocka_unit_test_setup_teardown(what_takes_long_stands_back, setup_lanes, teardown),
        cmocka_unit_test_setup_teardown(others_take_its_place_later, setup_lanes, teardown),
        cmocka_unit_test_setup_teardown(what_waits_does_not_stand_back, setup_lanes, teardown),
        cmocka_unit_test_setup_teardown(without_spares_there_are_no_lanes, setup_none, teardown),
        cmocka_unit_test_setup_teardown(the_least_expected_work_decides, setup_lanes, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
