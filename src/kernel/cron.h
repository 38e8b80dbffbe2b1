// SPDX-License-Identifier: Apache-2.0
// Times of the form "minute hour day-of-month month day-of-week", in UTC. Pure: no clock is read.
//
// A field is a list of `*`, `n` or `n-m`, the first and the last also with `/step`; numbers only.
// Days of the week are 0 to 7, both ends Sunday. A field that begins with `*` leaves its day open:
// if both days are restricted, either is enough; else both have to hold.
#ifndef NX_KERNEL_CRON_H
#define NX_KERNEL_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

// What matches, a bit for each number.
struct nx_cron {
    uint64_t minutes;
    uint32_t hours;
    uint32_t days;    // 1 to 31
    uint16_t months;  // 1 to 12
    uint8_t weekdays; // 0 to 6
    bool either_day;
};

// There is no such time: the 30th of February.
#define NX_CRON_NEVER INT64_MAX

// Reads five fields with one space between, as nx_trigger_def has them. NX_E_INVALID.
int nx_cron_parse(struct nx_cron *out, struct nx_span text);

// The first matching minute that begins after `after_ms`, in milliseconds since 1970;
// NX_CRON_NEVER if there is none within 40 years.
int64_t nx_cron_next(const struct nx_cron *cron, int64_t after_ms);

#endif
