// SPDX-License-Identifier: Apache-2.0
// Workers that die, read nothing, are slow or lie about it; the zygote's death. Who is hit, and who
// is not.
#include "client_test.h"

#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"

static const struct forged suspended = {
    .status = NX_SEGMENT_SUSPENDED,
    .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}};

// A handler that takes a while and returns.
static struct nx_code *quick(uint32_t ms) {
    struct nx_buf *program = program_new();
    if (ms != 0) {
        program_sleep(program, ms);
    }
    program_segment(program, &(struct forged){.json = "1"});
    return code_of_program(program);
}

// A handler that takes a while and does something that has no operand, or 9 for one.
static struct nx_code *ends_with(uint32_t ms, enum fake_order order) {
    struct nx_buf *program = program_new();
    program_sleep(program, ms);
    program_order(program, order);
    nx_wire_put_u8(program, SIGKILL);
    return code_of_program(program);
}

static struct nx_code *suspends(void) {
    struct nx_buf *program = program_new();
    program_segment(program, &suspended);
    program_segment(program, &(struct forged){.json = "2"});
    return code_of_program(program);
}

enum { MANY = 12 };

static void start_many(struct run *runs, struct nx_code *code) {
    for (size_t i = 0; i < MANY; i++) {
        run_start(&runs[i], code, NULL);
    }
}

static void expect_many(struct run *runs, const char *text) {
    for (size_t i = 0; i < MANY; i++) {
        run_wait(&runs[i], 1);
        if (strcmp(run_text(&runs[i]), text) != 0) {
            print_error("number %zu: %s\n", i, runs[i].message);
        }
        assert_string_equal(run_text(&runs[i]), text);
        run_free(&runs[i]);
    }
}

// ---- death

// The one that was running fails, once. Those behind it had not begun, and run in the next worker.
static void death_fails_only_what_was_running(void **unused) {
    (void)unused;
    static const enum fake_order ways[] = {FAKE_EXIT, FAKE_SIGNAL};
    for (size_t i = 0; i < 2; i++) {
        struct nx_code *good = quick(0), *deadly = ends_with(20, ways[i]);
        struct run victim, others[MANY];
        const struct nx_sandbox_stats before = pool_stats();
        run_start(&victim, deadly, NULL);
        start_many(others, good);
        run_wait(&victim, 1);
        assert_string_equal(run_text(&victim), "error INTERNAL_ERROR");
        assert_true(victim.message[0] != '\0');
        expect_many(others, "done 1");
        const struct nx_sandbox_stats after = pool_stats();
        assert_int_equal(after.worker_restarts, before.worker_restarts + 1);
        assert_int_equal(after.protocol_kills, 0);
        assert_int_equal(after.watchdog_kills, 0);
        assert_int_equal(after.workers_alive, 1);
        assert_int_equal(victim.segments, 1);
        run_free(&victim);
        nx_code_unref(good);
        nx_code_unref(deadly);
    }
}

// What was answered before the death stays answered.
static void an_answer_before_the_death_counts(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_segment(program, &(struct forged){.json = "\"last words\""});
    program_order(program, FAKE_EXIT);
    nx_wire_put_u8(program, 0);
    struct nx_code *code = code_of_program(program);
    struct run run;
    run_start(&run, code, NULL);
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "done \"last words\"");
    pool_settle(1);
    assert_int_equal(run.segments, 1);
    run_free(&run);
    nx_code_unref(code);
}

// Handlers that kill their worker, between others that do not: every one of the others ends well.
static void serial_killers_do_not_drag_others_along(void **unused) {
    (void)unused;
    struct nx_code *good = quick(1), *deadly = ends_with(1, FAKE_SIGNAL);
    struct run killers[3], others[3];
    for (size_t i = 0; i < 3; i++) {
        run_start(&killers[i], deadly, NULL);
        run_start(&others[i], good, NULL);
    }
    for (size_t i = 0; i < 3; i++) {
        run_wait(&killers[i], 1);
        run_wait(&others[i], 1);
        assert_string_equal(run_text(&killers[i]), "error INTERNAL_ERROR");
        assert_string_equal(run_text(&others[i]), "done 1");
        run_free(&killers[i]);
        run_free(&others[i]);
    }
    assert_int_equal(pool_stats().worker_restarts, 3);
    nx_code_unref(good);
    nx_code_unref(deadly);
}

static bool either_failed(void *user) {
    struct run **pair = user;
    return pair[0]->segments == 2 || pair[1]->segments == 2;
}

// Two suspended executions in two workers; one of the workers dies, and its execution with it.
static void death_fails_what_it_held_suspended(void **unused) {
    (void)unused;
    struct nx_code *sleeper = suspends();
    struct run a, b;
    run_start(&a, sleeper, &(struct run_options){.caps = "ext:e"});
    run_start(&b, sleeper, &(struct run_options){.caps = "ext:e"});
    run_wait(&a, 1);
    run_wait(&b, 1);
    assert_int_equal(pool_stats().suspended, 2);
    const struct nx_sandbox_stats stats = pool_stats();
    assert_int_equal(kill(stats.worker_pids[0], SIGKILL), 0);
    loop_until(either_failed, (struct run *[2]){&a, &b});
    struct run *dead = a.segments == 2 ? &a : &b, *alive = a.segments == 2 ? &b : &a;
    assert_int_equal(dead->segments, 2);
    assert_string_equal(run_text(dead), "error INTERNAL_ERROR");
    assert_int_equal(alive->segments, 1);
    run_resume(alive, 1, "null");
    run_wait(alive, 2);
    assert_string_equal(run_text(alive), "done 2");
    pool_settle(2);
    assert_int_equal(pool_stats().suspended, 0);
    run_free(&a);
    run_free(&b);
    nx_code_unref(sleeper);
}

// At least so many are in workers.
static bool at_work(void *user) {
    return pool_stats().running >= *(uint32_t *)user;
}

// Of the suspended executions of a worker that dies, none is forgotten, whether its resume is on
// its way, waits, or was not asked for.
static void death_fails_resumes_on_their_way(void **unused) {
    (void)unused;
    struct nx_code *sleeper = suspends(), *hangs = ends_with(1, FAKE_HANG);
    struct run asleep[3], victim;
    for (size_t i = 0; i < 3; i++) {
        run_start(&asleep[i], sleeper, &(struct run_options){.caps = "ext:e"});
        run_wait(&asleep[i], 1);
    }
    run_start(&victim, hangs, NULL);
    loop_until(at_work, &(uint32_t){1});
    run_resume(&asleep[0], 1, "null");
    loop_until(at_work, &(uint32_t){2}); // that one is sent, behind the other
    const struct nx_sandbox_stats stats = pool_stats();
    run_resume(&asleep[1], 1, "null");
    assert_int_equal(kill(stats.worker_pids[0], SIGKILL), 0);
    run_wait(&victim, 1);
    for (size_t i = 0; i < 3; i++) {
        run_wait(&asleep[i], 2);
        assert_string_equal(run_text(&asleep[i]), "error INTERNAL_ERROR");
        run_free(&asleep[i]);
    }
    pool_settle(1);
    assert_int_equal(pool_stats().suspended, 0);
    assert_int_equal(pool_stats().worker_restarts, stats.worker_restarts + 1);
    run_free(&victim);
    nx_code_unref(sleeper);
    nx_code_unref(hangs);
}

// Its channel stays open in a child of its own: the watchdog notices.
static void a_worker_that_leaves_a_child_behind(void **unused) {
    (void)unused;
    struct nx_code *orphan = ends_with(1, FAKE_ORPHAN), *good = quick(0);
    struct run run, other;
    struct nx_exec_limits limits;
    nx_exec_limits_default(&limits);
    limits.timeout_ms = 50;
    run_start(&run, orphan, &(struct run_options){.limits = limits});
    run_start(&other, good, NULL);
    run_wait(&run, 1);
    run_wait(&other, 1);
    assert_int_equal(run.status, NX_SEGMENT_ERROR);
    assert_string_equal(run_text(&other), "done 1");
    run_free(&run);
    run_free(&other);
    nx_code_unref(orphan);
    nx_code_unref(good);
}

// ---- not reading

// A worker that reads nothing must not stop the kernel, nor make it hold more than what was queued.
static void a_worker_that_does_not_read_blocks_nobody(void **unused) {
    (void)unused;
    enum { ARGS_BYTES = 1024 * 1024 };
    char *args = malloc(ARGS_BYTES + 1);
    assert_non_null(args);
    memset(args, ' ', ARGS_BYTES);
    memcpy(args, "{}", 2);
    args[ARGS_BYTES] = '\0';
    struct nx_code *good = quick(0), *hangs = ends_with(1, FAKE_HANG);
    struct run victim, others[MANY];
    struct nx_exec_limits limits;
    nx_exec_limits_default(&limits);
    limits.timeout_ms = 1000;
    run_start(&victim, hangs, &(struct run_options){.limits = limits});
    loop_until(at_work, &(uint32_t){1});
    for (size_t i = 0; i < MANY; i++) {
        run_start(&others[i], good, &(struct run_options){.args = args});
    }
    loop_until(at_work, &(uint32_t){2});
    loop_for(5);
    assert_true(pool_stats().running <= 4); // beyond that it would only fill our memory
    run_wait(&victim, 1);
    assert_string_equal(run_text(&victim), "error TIMEOUT");
    expect_many(others, "done 1");
    run_free(&victim);
    nx_code_unref(good);
    nx_code_unref(hangs);
    free(args);
}

// A worker gets no more ahead of its answers than it can be given back cheaply.
static void what_is_sent_ahead_is_bounded(void **unused) {
    (void)unused;
    struct nx_code *good = quick(0);
    struct run runs[2 * NX_MAX_IN_FLIGHT];
    const pid_t worker = pool_stats().worker_pids[0];
    assert_int_equal(kill(worker, SIGSTOP), 0); // it answers nothing for now
    for (size_t i = 0; i < 2 * NX_MAX_IN_FLIGHT; i++) {
        run_start(&runs[i], good, NULL);
    }
    loop_until(at_work, &(uint32_t){NX_MAX_IN_FLIGHT});
    loop_for(20);
    assert_int_equal(pool_stats().running, NX_MAX_IN_FLIGHT);
    assert_int_equal(pool_stats().waiting, NX_MAX_IN_FLIGHT);
    assert_int_equal(kill(worker, SIGCONT), 0);
    for (size_t i = 0; i < 2 * NX_MAX_IN_FLIGHT; i++) {
        run_wait(&runs[i], 1);
        run_free(&runs[i]);
    }
    nx_code_unref(good);
}

// ---- slowness

static void a_slow_one_holds_nobody_up(void **unused) {
    (void)unused;
    struct nx_code *good = quick(0), *takes_long = code_of_slow(2000);
    struct run hog, others[MANY];
    run_start(&hog, takes_long, NULL);
    start_many(others, good);
    expect_many(others, "done 1");
    assert_int_equal(hog.segments, 0);
    run_wait(&hog, 1);
    assert_string_equal(run_text(&hog), "done \"slow\"");
    start_many(others, good); // both workers work again
    expect_many(others, "done 1");
    assert_int_equal(pool_stats().worker_restarts, 0);
    run_free(&hog);
    nx_code_unref(good);
    nx_code_unref(takes_long);
}

static void slow_ones_everywhere_only_delay(void **unused) {
    (void)unused;
    struct nx_code *good = quick(0), *takes_long = code_of_slow(30);
    struct run hogs[6], others[MANY];
    for (size_t i = 0; i < 6; i++) {
        run_start(&hogs[i], takes_long, NULL);
    }
    start_many(others, good);
    expect_many(others, "done 1");
    for (size_t i = 0; i < 6; i++) {
        run_wait(&hogs[i], 1);
        assert_string_equal(run_text(&hogs[i]), "done \"slow\"");
        run_free(&hogs[i]);
    }
    assert_int_equal(pool_stats().worker_restarts, 0);
    nx_code_unref(good);
    nx_code_unref(takes_long);
}

// One worker was killed for a broken rule.
static bool killed_one(void *unused) {
    (void)unused;
    return pool_stats().protocol_kills == 1;
}

// Says SLOW, but does not drop what was taken back: each of those is reported once all the same.
static void lying_about_slow_kills(void **unused) {
    (void)unused;
    struct nx_code *good = quick(0);
    struct nx_buf *program = program_new();
    program_sleep(program, 5);
    program_frame(program, NX_FRAME_SLOW, 0, (struct nx_span){0});
    program_sleep(program, 5);
    program_segment(program, &(struct forged){.json = "1"});
    struct nx_code *liar = code_of_program(program);
    struct run lying, others[MANY];
    run_start(&lying, liar, NULL);
    start_many(others, good);
    run_wait(&lying, 1);
    assert_string_equal(run_text(&lying), "done 1");
    expect_many(others, "done 1");
    loop_until(killed_one, NULL);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(others[i].segments, 1);
    }
    run_free(&lying);
    nx_code_unref(good);
    nx_code_unref(liar);
}

static void slow_twice_kills(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_frame(program, NX_FRAME_SLOW, 0, (struct nx_span){0});
    program_frame(program, NX_FRAME_SLOW, 0, (struct nx_span){0});
    program_order(program, FAKE_HANG);
    struct nx_code *code = code_of_program(program);
    expect_killed(code, NULL);
    nx_code_unref(code);

    program = program_new(); // SLOW says nothing else
    program_frame(program, NX_FRAME_SLOW, 0, nx_span_str("x"));
    program_order(program, FAKE_HANG);
    code = code_of_program(program);
    expect_killed(code, NULL);
    nx_code_unref(code);

    program = program_new(); // with nothing at work
    program_segment(program, &(struct forged){.json = "1"});
    program_sleep(program, 10);
    program_frame(program, NX_FRAME_SLOW, 0, (struct nx_span){0});
    code = code_of_program(program);
    struct run run;
    refresh_pool();
    run_start(&run, code, NULL);
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "done 1");
    loop_until(killed_one, NULL);
    run_free(&run);
    nx_code_unref(code);
}

// ---- the zygote

static bool zygote_is_back(void *user) {
    const struct nx_sandbox_stats stats = pool_stats();
    return stats.zygote_pid != *(pid_t *)user && stats.zygote_pid > 0 && stats.workers_alive == 2;
}

static bool nobody_is_left(void *user) {
    (void)user;
    return pool_stats().workers_alive == 0;
}

static void the_pool_survives_its_zygote(void **unused) {
    (void)unused;
    struct nx_code *good = quick(0), *hangs = ends_with(1, FAKE_HANG);
    struct run running, later;
    run_start(&running, hangs, NULL);
    loop_until(at_work, &(uint32_t){1});
    pid_t zygote = pool_stats().zygote_pid;
    assert_int_equal(kill(zygote, SIGKILL), 0);
    run_wait(&running, 1);
    assert_string_equal(run_text(&running), "error INTERNAL_ERROR");
    loop_until(nobody_is_left, NULL);
    run_start(&later, good, NULL);
    run_wait(&later, 1);
    assert_string_equal(run_text(&later), "done 1");
    loop_until(zygote_is_back, &zygote);
    run_free(&running);
    run_free(&later);
    run_start(&later, good, NULL); // and in the new one
    run_wait(&later, 1);
    assert_string_equal(run_text(&later), "done 1");
    run_free(&later);
    nx_code_unref(good);
    nx_code_unref(hangs);
}

#define CASE(test, workers)                                                                        \
    cmocka_unit_test_setup_teardown(test, pool_setup_##workers, pool_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(death_fails_only_what_was_running, one),
        CASE(an_answer_before_the_death_counts, one),
        CASE(serial_killers_do_not_drag_others_along, one),
        CASE(death_fails_what_it_held_suspended, two),
        CASE(death_fails_resumes_on_their_way, one),
        CASE(a_worker_that_leaves_a_child_behind, one),
        CASE(a_worker_that_does_not_read_blocks_nobody, one),
        CASE(what_is_sent_ahead_is_bounded, one),
        CASE(a_slow_one_holds_nobody_up, two),
        CASE(slow_ones_everywhere_only_delay, two),
        CASE(lying_about_slow_kills, two),
        CASE(slow_twice_kills, two),
        CASE(the_pool_survives_its_zygote, two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
