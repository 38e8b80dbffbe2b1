// SPDX-License-Identifier: Apache-2.0
// Cron: what is read, and the next time after another, in UTC.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "kernel/cron.h"

static struct nx_cron parse(const char *text) {
    struct nx_cron cron;
    if (nx_cron_parse(&cron, nx_span_str(text)))
        fail_msg("'%s' was refused", text);
    return cron;
}

// "2026-01-31T12:00:00" → milliseconds since 1970.
static int64_t at(const char *text) {
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%S", &tm));
    return (int64_t)timegm(&tm) * 1000;
}

static void next_times(void **state) {
    (void)state;
    static const struct {
        const char *cron, *after, *next;
    } cases[] = {
        {"* * * * *", "2026-11-24T05:12:00", "2026-11-24T05:13:00"},
        {"* * * * *", "2026-11-24T05:12:59", "2026-11-24T05:13:00"},
        {"00000 000012 001 */00002 *", "2026-11-24T05:45:00", "2027-01-01T12:00:00"},
        {"*/15 * * * *", "2026-11-24T05:45:00", "2026-11-24T06:00:00"},
        {"7-59/10 * * * *", "2026-11-24T05:45:00", "2026-11-24T05:47:00"},
        {"5,10,20-22 * * * *", "2026-11-24T05:20:00", "2026-11-24T05:21:00"},
        {"5,10,20-22 * * * *", "2026-11-24T05:22:00", "2026-11-24T06:05:00"},
        {"30 4 * * *", "2026-11-24T05:00:00", "2026-11-25T04:30:00"},
        {"59 23 31 12 *", "2026-12-31T23:59:00", "2027-12-31T23:59:00"},
        {"0 0 * * *", "2026-12-31T23:59:59", "2027-01-01T00:00:00"},
        {"0 0 1 * *", "2026-01-31T12:00:00", "2026-02-01T00:00:00"},
        {"0 0 31 * *", "2026-01-31T00:00:00", "2026-03-31T00:00:00"},
        // Leap years: every four, not 2100, but 2000.
        {"0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"},
        {"0 0 29 2 *", "2096-02-29T00:00:00", "2104-02-29T00:00:00"},
        {"0 0 29 2 *", "1999-03-01T00:00:00", "2000-02-29T00:00:00"},
        // Days of the week; 24 November 2026 is a Tuesday.
        {"0 9 * * 1-5", "2026-11-27T09:00:00", "2026-11-30T09:00:00"},
        {"0 9 * * 2", "2026-11-24T08:59:00", "2026-11-24T09:00:00"},
        {"0 9 * * 0", "2026-11-24T00:00:00", "2026-11-29T09:00:00"},
        {"0 9 * * 7", "2026-11-24T00:00:00", "2026-11-29T09:00:00"},
        {"0 9 * * 6-7", "2026-11-28T09:00:00", "2026-11-29T09:00:00"},
        // Both days restricted: either. One open: both.
        {"0 0 13 * 5", "2026-11-24T00:00:00", "2026-11-27T00:00:00"},
        {"0 0 13 * 5", "2026-12-12T00:00:00", "2026-12-13T00:00:00"},
        {"0 0 13 * *", "2026-11-24T00:00:00", "2026-12-13T00:00:00"},
        {"0 0 */2 * 1", "2026-11-24T00:00:00", "2026-12-07T00:00:00"},
        {"0 0 29 2 */7", "2026-01-01T00:00:00", "2032-02-29T00:00:00"},
        // Where zones have their hour twice or not at all, UTC has it once.
        {"30 2 * * *", "2026-03-28T02:30:00", "2026-03-29T02:30:00"},
        {"30 2 * * *", "2026-10-24T02:30:00", "2026-10-25T02:30:00"},
        {"30 2 * * *", "2026-10-25T02:30:00", "2026-10-26T02:30:00"},
        // Before 1970.
        {"0 * * * *", "1969-12-31T22:59:59", "1969-12-31T23:00:00"},
        {"0 * * * *", "1969-12-31T23:00:00", "1970-01-01T00:00:00"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_cron cron = parse(cases[i].cron);
        int64_t next = nx_cron_next(&cron, at(cases[i].after));
        if (next != at(cases[i].next)) {
            char text[25];
            nx_clock_rfc3339(next, text);
            fail_msg("'%s' after %s: %s, not %s", cases[i].cron, cases[i].after, text,
                     cases[i].next);
        }
    }
}

static void parts_of_a_minute(void **state) {
    (void)state;
    struct nx_cron cron = parse("* * * * *");
    assert_int_equal(nx_cron_next(&cron, 0), 60000);
    assert_int_equal(nx_cron_next(&cron, 1), 60000);
    assert_int_equal(nx_cron_next(&cron, 59999), 60000);
    assert_int_equal(nx_cron_next(&cron, 60000), 120000);
    assert_int_equal(nx_cron_next(&cron, -1), 0);
    assert_int_equal(nx_cron_next(&cron, -60000), 0);
    assert_int_equal(nx_cron_next(&cron, -60001), -60000);
}

static void never(void **state) {
    (void)state;
    static const char *const impossible[] = {"0 0 30 2 *", "0 0 31 4,6,9,11 *"};
    for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
        struct nx_cron cron = parse(impossible[i]);
        assert_true(nx_cron_next(&cron, at("2026-11-24T00:00:00")) == NX_CRON_NEVER);
    }
    struct nx_cron always = parse("* * * * *");
    assert_true(nx_cron_next(&always, INT64_MAX) == NX_CRON_NEVER);
    assert_true(nx_cron_next(&always, INT64_MIN) == NX_CRON_NEVER);
}

// Every minute of five years, against the calendar of the C library.
static void agrees_with_the_calendar(void **state) {
    (void)state;
    struct nx_cron cron = parse("17 */6 1-7,29 2-12/2 1,4");
    int64_t next = nx_cron_next(&cron, at("2026-12-31T23:59:00"));
    for (time_t t = at("2027-01-01T00:00:00") / 1000; t < at("2032-01-01T00:00:00") / 1000;
         t += 60) {
        struct tm tm;
        gmtime_r(&t, &tm);
        bool day = tm.tm_mday <= 7 || tm.tm_mday == 29,
             weekday = tm.tm_wday == 1 || tm.tm_wday == 4;
        bool due = tm.tm_min == 17 && tm.tm_hour % 6 == 0 && tm.tm_mon % 2 == 1 && (day || weekday);
        assert_int_equal(due, next == (int64_t)t * 1000);
        if (due)
            next = nx_cron_next(&cron, next);
    }
}

static void refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "*",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "-1 * * * *",
        "5-4 * * * *",
        "*/0 * * * *",
        "*/60 * * * *",
        "5/2 * * * *",
        "1, * * * *",
        ",1 * * * *",
        "1-2-3 * * * *",
        "1- * * * *",
        "*/ * * * *",
        "a * * * *",
        "* * * jan *",
        "* * * * mon",
        " * * * * *",
        "*  * * * *",
        "* * * * * ",
        "1/2/3 * * * *",
        "99999999999 * * * *",
        "@daily",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct nx_cron cron;
        if (nx_cron_parse(&cron, nx_span_str(texts[i])) != NX_E_INVALID)
            fail_msg("'%s' was taken", texts[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_times), cmocka_unit_test(parts_of_a_minute),
        cmocka_unit_test(never),      cmocka_unit_test(agrees_with_the_calendar),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
