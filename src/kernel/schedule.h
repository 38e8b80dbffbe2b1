// SPDX-License-Identifier: Apache-2.0
// What is due when: any number of ticks, at even intervals or at cron's times. Reads no clock but
// the one it is given and starts no timer: the owner asks how long to wait, waits, and takes what
// is due.
//
//   - A tick keeps its grid: a late one does not move the next. Those missed meanwhile are counted,
//     not made up for.
//   - Intervals run on the monotonic clock, cron on the wall clock. A cron tick that is found more
//     than NX_CRON_GRACE_MS late (the clock was set forward, the machine slept) is missed. When the
//     clock is set back by more than that, cron goes by the new time: what comes again is due
//     again.
//
// Adding, removing and taking cost the logarithm of the number of ticks.
#ifndef NX_KERNEL_SCHEDULE_H
#define NX_KERNEL_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "kernel/cron.h"

// Milliseconds each; `monotonic_ms` never goes back.
struct nx_schedule_clock {
    int64_t (*monotonic_ms)(void *user);
    int64_t (*wall_ms)(void *user); // since 1970
    void *user;
};

// The clocks of the system.
extern const struct nx_schedule_clock nx_schedule_system_clock;

// Part of the object that wants to be told; zero it before first use.
struct nx_tick {
    uint32_t interval_ms; // 0: by `cron`
    struct nx_cron cron;
    int64_t due_ms; // on its clock
    size_t place;   // in its heap, from 1; 0: not scheduled
};

struct nx_due {
    struct nx_tick *tick;
    bool run;        // false: it came too late, and is missed
    int64_t wall_ms; // of cron, the time it was meant for; of an interval, now
    uint64_t missed; // ticks that went by unseen, this one included unless `run`
};

struct nx_schedule;

// NX_E_NOMEM. The clock is copied.
int nx_schedule_new(struct nx_schedule **out, const struct nx_schedule_clock *clock);
void nx_schedule_free(struct nx_schedule *schedule); // NULL is fine; forgets its ticks

// The first tick is due one interval from now. `tick` is borrowed until it is removed. NX_E_NOMEM.
int nx_schedule_every(struct nx_schedule *schedule, struct nx_tick *tick, uint32_t interval_ms);
int nx_schedule_cron(struct nx_schedule *schedule, struct nx_tick *tick,
                     const struct nx_cron *cron);
void nx_schedule_remove(struct nx_schedule *schedule, struct nx_tick *tick); // if it is scheduled

// How long until something may be due, at most NX_CLOCK_CHECK_MS while there are cron ticks: the
// wall clock may jump. -1: never.
int64_t nx_schedule_wait_ms(struct nx_schedule *schedule);

// Takes one tick that is due, and schedules it anew. False if none is.
bool nx_schedule_take(struct nx_schedule *schedule, struct nx_due *due);

#endif
