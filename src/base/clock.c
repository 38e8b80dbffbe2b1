// SPDX-License-Identifier: Apache-2.0
// Clocks and the RFC 3339 form of a time.
#include "base/clock.h"

#include <string.h>
#include <time.h>

// The years that RFC 3339 can write: 0000-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
static const int64_t FIRST_WALL_MS = -62167219200000;
static const int64_t LAST_WALL_MS = 253402300799999;

uint64_t nx_clock_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t nx_clock_process_ns(pid_t pid) {
    // The number of the process's clock, as Linux makes it (clock_getcpuclockid(3) asks the system
    // whether there is such a clock, which the next line does anyway).
    const clockid_t id = (clockid_t)(~(uint32_t)pid << 3 | 2);
    struct timespec used = {0};
    (void)clock_gettime(id, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

int64_t nx_clock_wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void put_digits(char *out, int width, int value) {
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

void nx_clock_rfc3339(int64_t wall_ms, char out[25]) {
    if (wall_ms < FIRST_WALL_MS)
        wall_ms = FIRST_WALL_MS;
    if (wall_ms > LAST_WALL_MS)
        wall_ms = LAST_WALL_MS;
    int ms = (int)(wall_ms % 1000);
    time_t seconds = (time_t)(wall_ms / 1000);
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    memcpy(out, "0000-00-00T00:00:00.000Z", 25);
    put_digits(out, 4, tm.tm_year + 1900);
    put_digits(out + 5, 2, tm.tm_mon + 1);
    put_digits(out + 8, 2, tm.tm_mday);
    put_digits(out + 11, 2, tm.tm_hour);
    put_digits(out + 14, 2, tm.tm_min);
    put_digits(out + 17, 2, tm.tm_sec);
    put_digits(out + 20, 3, ms);
}
