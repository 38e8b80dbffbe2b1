// SPDX-License-Identifier: Apache-2.0
// Clocks and RFC 3339 times.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static void rfc3339_known_times(void **state) {
    (void)state;
    static const struct {
        int64_t wall_ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {1769860800123, "2026-01-31T12:00:00.123Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out = malloc(25); // exactly what is promised to suffice
        assert_non_null(out);
        nx_clock_rfc3339(cases[i].wall_ms, out);
        assert_string_equal(out, cases[i].text);
        free(out);
    }
}

static void monotonic_measures_time(void **state) {
    (void)state;
    uint64_t before = nx_clock_monotonic_ns();
    struct timespec nap = {.tv_nsec = 5000000};
    nanosleep(&nap, NULL);
    uint64_t passed = nx_clock_monotonic_ns() - before;
    assert_in_range(passed, 5000000, 10000000000);
}

static void wall_clock_is_in_milliseconds(void **state) {
    (void)state;
    int64_t now = (int64_t)time(NULL) * 1000;
    int64_t wall = nx_clock_wall_ms();
    assert_true(wall >= now - 5000 && wall <= now + 5000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc3339_known_times),
        cmocka_unit_test(monotonic_measures_time),
        cmocka_unit_test(wall_clock_is_in_milliseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
