// SPDX-License-Identifier: Apache-2.0
// Two heaps, one for each clock.
#include "kernel/schedule.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"

struct heap {
    struct nx_tick **items; // owned; items[0] is not used
    size_t count, capacity; // of ticks
};

struct nx_schedule {
    struct nx_schedule_clock clock;
    struct heap intervals, crons;
    int64_t latest_wall_ms; // the wall clock at its highest since it was last set back
};

// ---- The system's clocks

static int64_t system_monotonic_ms(void *user) {
    (void)user;
    return (int64_t)(nx_clock_monotonic_ns() / 1000000);
}

static int64_t system_wall_ms(void *user) {
    (void)user;
    return nx_clock_wall_ms();
}

const struct nx_schedule_clock nx_schedule_system_clock = {system_monotonic_ms, system_wall_ms,
                                                           NULL};

// ---- Heaps

static void put(struct heap *heap, size_t place, struct nx_tick *tick) {
    heap->items[place] = tick;
    tick->place = place;
}

static void rise(struct heap *heap, struct nx_tick *tick) {
    size_t place = tick->place;
    while (place > 1 && heap->items[place / 2]->due_ms > tick->due_ms) {
        put(heap, place, heap->items[place / 2]);
        place /= 2;
    }
    put(heap, place, tick);
}

static void sink(struct heap *heap, struct nx_tick *tick) {
    size_t place = tick->place;
    for (;;) {
        size_t least = 2 * place;
        if (least < heap->count && heap->items[least + 1]->due_ms < heap->items[least]->due_ms)
            least++;
        if (least > heap->count || heap->items[least]->due_ms >= tick->due_ms)
            break;
        put(heap, place, heap->items[least]);
        place = least;
    }
    put(heap, place, tick);
}

static int add(struct heap *heap, struct nx_tick *tick) {
    if (heap->count == heap->capacity) {
        size_t capacity = heap->capacity ? 2 * heap->capacity : 16;
        struct nx_tick **items = realloc(heap->items, (capacity + 1) * sizeof(struct nx_tick *));
        if (!items)
            return NX_E_NOMEM;
        heap->items = items;
        heap->capacity = capacity;
    }
    put(heap, ++heap->count, tick);
    rise(heap, tick);
    return 0;
}

static struct nx_tick *first(const struct heap *heap) {
    return heap->count ? heap->items[1] : NULL;
}

// ---- Adding and removing

int nx_schedule_new(struct nx_schedule **out, const struct nx_schedule_clock *clock) {
    struct nx_schedule *s = calloc(1, sizeof *s);
    if (!s)
        return NX_E_NOMEM;
    s->clock = *clock;
    s->latest_wall_ms = clock->wall_ms(clock->user);
    *out = s;
    return 0;
}

void nx_schedule_free(struct nx_schedule *s) {
    if (!s)
        return;
    free(s->intervals.items);
    free(s->crons.items);
    free(s);
}

int nx_schedule_every(struct nx_schedule *s, struct nx_tick *tick, uint32_t interval_ms) {
    tick->interval_ms = interval_ms;
    tick->due_ms = s->clock.monotonic_ms(s->clock.user) + interval_ms;
    return add(&s->intervals, tick);
}

int nx_schedule_cron(struct nx_schedule *s, struct nx_tick *tick, const struct nx_cron *cron) {
    tick->interval_ms = 0;
    tick->cron = *cron;
    tick->due_ms = nx_cron_next(cron, s->clock.wall_ms(s->clock.user));
    return add(&s->crons, tick);
}

void nx_schedule_remove(struct nx_schedule *s, struct nx_tick *tick) {
    struct heap *heap = tick->interval_ms ? &s->intervals : &s->crons;
    size_t place = tick->place;
    if (place == 0)
        return;
    tick->place = 0;
    struct nx_tick *last = heap->items[heap->count--];
    if (last == tick)
        return;
    put(heap, place, last);
    rise(heap, last);
    sink(heap, last);
}

// ---- Time goes by

// The wall clock; if it was set back, all of cron follows it.
static int64_t wall_now(struct nx_schedule *s) {
    int64_t now = s->clock.wall_ms(s->clock.user);
    if (now > s->latest_wall_ms)
        s->latest_wall_ms = now;
    if (s->latest_wall_ms - now <= NX_CRON_GRACE_MS)
        return now;
    s->latest_wall_ms = now;
    for (size_t i = 1; i <= s->crons.count; i++)
        s->crons.items[i]->due_ms = nx_cron_next(&s->crons.items[i]->cron, now);
    for (size_t i = s->crons.count / 2; i >= 1; i--)
        sink(&s->crons, s->crons.items[i]);
    return now;
}

int64_t nx_schedule_wait_ms(struct nx_schedule *s) {
    const struct nx_tick *interval = first(&s->intervals), *cron = first(&s->crons);
    int64_t wait = -1;
    if (interval) {
        wait = interval->due_ms - s->clock.monotonic_ms(s->clock.user);
        wait = wait > 0 ? wait : 0;
    }
    if (cron) {
        int64_t now = wall_now(s), until = NX_CLOCK_CHECK_MS;
        cron = first(&s->crons);
        if (cron->due_ms < now + until) // analyzer: the clock empties no heap
            until = cron->due_ms > now ? cron->due_ms - now : 0;
        if (wait < 0 || until < wait)
            wait = until;
    }
    return wait;
}

static void take_interval(struct nx_schedule *s, struct nx_tick *tick, int64_t now,
                          struct nx_due *due) {
    int64_t missed = (now - tick->due_ms) / tick->interval_ms;
    *due = (struct nx_due){tick, true, s->clock.wall_ms(s->clock.user), (uint64_t)missed};
    tick->due_ms += (missed + 1) * tick->interval_ms;
    sink(&s->intervals, tick);
}

static void take_cron(struct nx_schedule *s, struct nx_tick *tick, int64_t now,
                      struct nx_due *due) {
    bool run = now - tick->due_ms <= NX_CRON_GRACE_MS;
    int64_t next = nx_cron_next(&tick->cron, tick->due_ms);
    *due = (struct nx_due){tick, run, tick->due_ms, !run};
    // Of those that were to come in between, at least this one is counted.
    if (next <= now) {
        due->missed++;
        next = nx_cron_next(&tick->cron, now);
    }
    tick->due_ms = next; // analyzer: called with a tick
    sink(&s->crons, tick);
}

bool nx_schedule_take(struct nx_schedule *s, struct nx_due *due) {
    struct nx_tick *tick = first(&s->intervals);
    int64_t now = tick ? s->clock.monotonic_ms(s->clock.user) : 0;
    if (tick && tick->due_ms <= now) {
        take_interval(s, tick, now, due);
        return true;
    }
    if (s->crons.count == 0)
        return false;
    now = wall_now(s);
    tick = first(&s->crons);
    if (tick->due_ms > now) // analyzer: crons are not empty
        return false;
    take_cron(s, tick, now, due);
    return true;
}
