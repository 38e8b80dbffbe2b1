// SPDX-License-Identifier: Apache-2.0
// Interval and cron: the schedule, one timer of the loop, and what becomes of a tick.
#include "base/clock.h"
#include "base/json.h"
#include "kernel/core.h"

static struct nx_standing *owner(struct nx_tick *tick) {
    return (struct nx_standing *)((char *)tick - offsetof(struct nx_standing, tick));
}

// {"type":"cron","time":"…"}: the time it was meant for. An interval has none.
static struct nx_cause *cause_of(struct nx_runtime *rt, enum nx_trigger_kind kind,
                                 const struct nx_due *due) {
    struct nx_buf json;
    nx_buf_init(&json, NX_MAX_LOG_LINE_BYTES);
    nx_buf_printf(&json, "{\"type\":\"%s\"", nx_trigger_kind_name(kind));
    if (kind == NX_TRIGGER_CRON) {
        char time[25];
        nx_clock_rfc3339(due->wall_ms, time);
        nx_buf_printf(&json, ",\"time\":\"%s\"", time);
    }
    nx_buf_append_char(&json, '}');
    struct nx_cause *cause = nx_cause_new(rt, kind, 0, &json, (struct nx_span){NULL, 0});
    nx_buf_free(&json);
    return cause;
}

static void tick(struct nx_runtime *rt, const struct nx_due *due) {
    struct nx_standing *s = owner(due->tick);
    if (due->missed)
        nx_standing_skip(s, NX_SKIP_LATE, due->missed);
    if (!due->run)
        return;
    struct nx_cause *cause = cause_of(rt, s->def->kind, due);
    if (cause)
        nx_standing_run(s, cause);
    else
        nx_standing_skip(s, NX_SKIP_FULL, 1);
    nx_cause_unref(rt, cause);
}

static void on_timer(uv_timer_t *timer) {
    struct nx_runtime *rt = timer->data;
    struct nx_due due;
    for (int i = 0; i < NX_STANDING_BATCH && nx_schedule_take(rt->standings->schedule, &due); i++)
        tick(rt, &due);
    nx_ticks_wind(rt);
}

void nx_ticks_wind(struct nx_runtime *rt) {
    int64_t wait = nx_schedule_wait_ms(rt->standings->schedule);
    if (wait < 0 || rt->stopping) {
        uv_timer_stop(&rt->standings->tick_timer);
        return;
    }
    uv_update_time(rt->loop);
    // Not 0: a timer that is due at once again would keep the loop from its sockets.
    uv_timer_start(&rt->standings->tick_timer, on_timer, wait > 0 ? (uint64_t)wait : 1, 0);
}

int nx_ticks_start(struct nx_standing *s) {
    struct nx_runtime *rt = s->panel->rt;
    struct nx_cron cron;
    int rc;
    if (s->def->kind == NX_TRIGGER_INTERVAL)
        rc = nx_schedule_every(rt->standings->schedule, &s->tick, s->def->interval_ms);
    else if (nx_cron_parse(&cron, nx_span_str(s->def->pattern)))
        rc = NX_E_INVALID;
    else
        rc = nx_schedule_cron(rt->standings->schedule, &s->tick, &cron);
    if (rc == 0)
        nx_ticks_wind(rt);
    return rc;
}

void nx_ticks_stop(struct nx_standing *s) {
    nx_schedule_remove(s->panel->rt->standings->schedule, &s->tick);
}
