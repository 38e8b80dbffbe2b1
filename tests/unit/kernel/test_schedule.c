// SPDX-License-Identifier: Apache-2.0
// What is due when, on clocks that the test sets.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/limits.h"
#include "kernel/schedule.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static int64_t monotonic, wall;

static int64_t read_monotonic(void *user) {
    return *(int64_t *)user;
}

static int64_t read_wall(void *user) {
    (void)user;
    return wall;
}

static void pass(int64_t ms) {
    monotonic += ms;
    wall += ms;
}

static struct nx_schedule *new_schedule(void) {
    const struct nx_schedule_clock clock = {read_monotonic, read_wall, &monotonic};
    struct nx_schedule *s;
    monotonic = 5000;
    wall = INT64_C(1795500000000); // a full minute
    wall -= wall % HOUR;
    assert_int_equal(nx_schedule_new(&s, &clock), 0);
    return s;
}

static struct nx_cron cron(const char *text) {
    struct nx_cron parsed;
    assert_int_equal(nx_cron_parse(&parsed, nx_span_str(text)), 0);
    return parsed;
}

static struct nx_due take(struct nx_schedule *s) {
    struct nx_due due;
    assert_true(nx_schedule_take(s, &due));
    return due;
}

static void expect_none(struct nx_schedule *s) {
    struct nx_due due;
    assert_false(nx_schedule_take(s, &due));
}

// ---- Intervals

static void an_interval_keeps_its_grid(void **state) {
    (void)state;
    struct nx_schedule *s = new_schedule();
    struct nx_tick tick = {0};
    assert_int_equal(nx_schedule_wait_ms(s), -1);
    assert_int_equal(nx_schedule_every(s, &tick, 100), 0);
    assert_int_equal(nx_schedule_wait_ms(s), 100);
    pass(99);
    expect_none(s);
    pass(31); // 30 late
    struct nx_due due = take(s);
    assert_ptr_equal(due.tick, &tick);
    assert_true(due.run);
    assert_int_equal(due.missed, 0);
    expect_none(s);
    assert_int_equal(nx_schedule_wait_ms(s), 70); // the next is not late for that
    nx_schedule_free(s);
}

static void missed_ticks_are_counted_not_replayed(void **state) {
    (void)state;
    struct nx_schedule *s = new_schedule();
    struct nx_tick tick = {0};
    nx_schedule_every(s, &tick, 100);
    pass(1050);
    struct nx_due due = take(s);
    assert_true(due.run);
    assert_int_equal(due.missed, 9);
    expect_none(s);
    assert_int_equal(nx_schedule_wait_ms(s), 50);
    nx_schedule_free(s);
}

static void the_wall_clock_does_not_move_intervals(void **state) {
    (void)state;
    struct nx_schedule *s = new_schedule();
    struct nx_tick tick = {0};
    nx_schedule_every(s, &tick, 100);
    wall += HOUR;
    expect_none(s);
    assert_int_equal(nx_schedule_wait_ms(s), 100);
    wall -= 3 * HOUR;
    assert_int_equal(nx_schedule_wait_ms(s), 100);
    nx_schedule_free(s);
}

static void the_earliest_comes_first(void **state) {
    (void)state;
    enum { COUNT = 1000 };
    static struct nx_tick ticks[COUNT];
    struct nx_schedule *s = new_schedule();
    unsigned seed = 1;
    for (int i = 0; i < COUNT; i++) {
        seed = seed * 1103515245 + 12345;
        ticks[i] = (struct nx_tick){0};
        assert_int_equal(nx_schedule_every(s, &ticks[i], 1000 + seed / 65536 % 5000), 0);
    }
    for (int i = 0; i < COUNT; i += 3) // also out of the middle
        nx_schedule_remove(s, &ticks[i]);
    nx_schedule_remove(s, &ticks[0]); // no harm
    int64_t last = 0;
    int left = COUNT - (COUNT + 2) / 3, taken = 0;
    while (taken < left) {
        int64_t wait = nx_schedule_wait_ms(s);
        assert_true(wait >= 0);
        pass(wait);
        struct nx_due due = take(s);
        assert_int_not_equal((due.tick - ticks) % 3, 0);
        assert_int_equal(due.missed, 0);
        assert_true(monotonic >= last);
        assert_int_equal(monotonic - 5000, due.tick->interval_ms);
        last = monotonic;
        nx_schedule_remove(s, due.tick);
        taken++;
    }
    assert_int_equal(nx_schedule_wait_ms(s), -1);
    nx_schedule_free(s);
}

// ---- Cron

static void cron_is_due_at_its_time(void **state) {
    (void)state;
    struct nx_schedule *s = new_schedule();
    struct nx_tick tick = {0};
    struct nx_cron every5 = cron("*/5 * * * *");
    int64_t start = wall;
    nx_schedule_cron(s, &tick, &every5);
    assert_int_equal(nx_schedule_wait_ms(s), NX_CLOCK_CHECK_MS); // the clock may be set
    pass(5 * MINUTE - 300);
    assert_int_equal(nx_schedule_wait_ms(s), 300);
    expect_none(s);
    pass(310);
    struct nx_due due = take(s);
    assert_true(due.run);
    assert_int_equal(due.wall_ms, start + 5 * MINUTE);
    expect_none(s);
    pass(5 * MINUTE);
    assert_int_equal(take(s).wall_ms, start + 10 * MINUTE);
    nx_schedule_free(s);
}

static void cron_that_never_comes(void **state) {
    (void)state;
    struct nx_schedule *s = new_schedule();
    struct nx_tick tick = {0};
    struct nx_cron never = cron("0 0 30 2 *");
    nx_schedule_cron(s, &tick, &never);
    pass(INT64_C(400) * 24 * HOUR);
    expect_none(s);
    nx_schedule_free(s);
}

static void a_clock_set_forward_misses_what_is_past(void **state) {
    (void)state;
    struct nx_schedule *s = new_schedule();
    struct nx_tick hourly = {0}, often = {0};
    struct nx_cron at30 = cron("30 * * * *"), every10 = cron("*/10 * * * *");
    int64_t start = wall;
    nx_schedule_cron(s, &hourly, &at30);
    nx_schedule_cron(s, &often, &every10);
    pass(5 * MINUTE);
    wall += HOUR; // 1:05
    struct nx_due first = take(s), second = take(s);
    assert_false(first.run);
    assert_false(second.run);
    assert_true(first.missed >= 1 && second.missed >= 1);
    expect_none(s);
    pass(5 * MINUTE);
    struct nx_due due = take(s); // 1:10, once
    assert_ptr_equal(due.tick, &often);
    assert_true(due.run);
    assert_int_equal(due.wall_ms, start + HOUR + 10 * MINUTE);
    expect_none(s);
    nx_schedule_free(s);
}

static void a_clock_set_back_is_followed(void **state) {
    (void)state;
    struct nx_schedule *s = new_schedule();
    struct nx_tick tick = {0};
    struct nx_cron every10 = cron("*/10 * * * *");
    int64_t start = wall;
    nx_schedule_cron(s, &tick, &every10);
    pass(10 * MINUTE);
    assert_int_equal(take(s).wall_ms, start + 10 * MINUTE);
    pass(5 * MINUTE);
    wall -= HOUR;
    expect_none(s);
    pass(5 * MINUTE); // not an hour later
    struct nx_due due = take(s);
    assert_true(due.run);
    assert_int_equal(due.wall_ms, start + 20 * MINUTE - HOUR);
    expect_none(s);
    nx_schedule_free(s);
}

static void a_small_step_back_repeats_nothing(void **state) {
    (void)state;
    struct nx_schedule *s = new_schedule();
    struct nx_tick tick = {0};
    struct nx_cron each = cron("* * * * *");
    nx_schedule_cron(s, &tick, &each);
    pass(MINUTE + 50);
    assert_true(take(s).run);
    wall -= 200; // the minute that has run comes again
    expect_none(s);
    pass(200);
    expect_none(s);
    pass(MINUTE);
    assert_true(take(s).run);
    expect_none(s);
    nx_schedule_free(s);
}

// ---- Both

static void both_kinds_side_by_side(void **state) {
    (void)state;
    struct nx_schedule *s = new_schedule();
    struct nx_tick minutely = {0}, each = {0};
    struct nx_cron every = cron("* * * * *");
    int cron_runs = 0, interval_runs = 0;
    nx_schedule_cron(s, &minutely, &every);
    nx_schedule_every(s, &each, 250);
    for (int64_t end = monotonic + 10 * MINUTE; monotonic < end;) {
        int64_t wait = nx_schedule_wait_ms(s);
        assert_true(wait > 0 && wait <= 250);
        pass(wait);
        struct nx_due due;
        while (nx_schedule_take(s, &due)) {
            assert_true(due.run && due.missed == 0);
            cron_runs += due.tick == &minutely;
            interval_runs += due.tick == &each;
        }
    }
    assert_int_equal(cron_runs, 10);
    assert_int_equal(interval_runs, 2400);
    nx_schedule_remove(s, &each);
    nx_schedule_remove(s, &minutely);
    assert_int_equal(nx_schedule_wait_ms(s), -1);
    nx_schedule_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interval_keeps_its_grid),
        cmocka_unit_test(missed_ticks_are_counted_not_replayed),
        cmocka_unit_test(the_wall_clock_does_not_move_intervals),
        cmocka_unit_test(the_earliest_comes_first),
        cmocka_unit_test(cron_is_due_at_its_time),
        cmocka_unit_test(cron_that_never_comes),
        cmocka_unit_test(a_clock_set_forward_misses_what_is_past),
        cmocka_unit_test(a_clock_set_back_is_followed),
        cmocka_unit_test(a_small_step_back_repeats_nothing),
        cmocka_unit_test(both_kinds_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
