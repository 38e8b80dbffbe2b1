// SPDX-License-Identifier: Apache-2.0
// Setting up and stopping tools that something other than a call sets off; their limits.
#include "kernel/standing.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kernel/core.h"

const char *nx_skip_reason_name(enum nx_skip_reason reason) {
    static const char *const names[NX_SKIP_REASONS] = {
        [NX_SKIP_BUSY] = "busy",
        [NX_SKIP_LATE] = "late",
        [NX_SKIP_FULL] = "full",
        [NX_SKIP_DEPTH] = "depth",
    };
    return names[reason];
}

// ---- The runtime's part

int nx_standings_new(struct nx_runtime *rt) {
    rt->standings = calloc(1, sizeof *rt->standings);
    if (!rt->standings)
        return NX_E_NOMEM;
    TAILQ_INIT(&rt->standings->globs);
    TAILQ_INIT(&rt->standings->events);
    TAILQ_INIT(&rt->standings->due);
    return nx_schedule_new(&rt->standings->schedule, &nx_schedule_system_clock);
}

void nx_standings_free(struct nx_runtime *rt) {
    if (!rt->standings)
        return;
    nx_schedule_free(rt->standings->schedule);
    free(rt->standings);
}

void nx_standings_open(struct nx_runtime *rt) {
    uv_timer_init(rt->loop, &rt->standings->tick_timer);
    uv_timer_init(rt->loop, &rt->standings->reaction_timer);
    rt->standings->tick_timer.data = rt->standings->reaction_timer.data = rt;
}

void nx_standings_halt(struct nx_runtime *rt) {
    uv_timer_stop(&rt->standings->tick_timer);
    uv_timer_stop(&rt->standings->reaction_timer);
    nx_reactions_halt(rt);
}

void nx_standings_close(struct nx_runtime *rt, uv_close_cb on_closed) {
    uv_close((uv_handle_t *)&rt->standings->tick_timer, on_closed);
    uv_close((uv_handle_t *)&rt->standings->reaction_timer, on_closed);
}

// ---- A panel's part

static int start(struct nx_standing *s) {
    switch (s->def->kind) {
    case NX_TRIGGER_INTERVAL:
    case NX_TRIGGER_CRON:
        return nx_ticks_start(s);
    default:
        return nx_reactions_start(s);
    }
}

int nx_standing_start(struct nx_panel *panel) {
    const struct nx_panel_def *def = panel->def;
    size_t count = 0;
    for (size_t i = 0; i < def->tool_count; i++)
        count += def->tools[i].trigger.kind != NX_TRIGGER_MANUAL;
    if (count == 0 || panel->rt->stopping)
        return 0;
    panel->standing = calloc(count, sizeof *panel->standing);
    if (!panel->standing)
        return NX_E_NOMEM;
    for (size_t i = 0; i < def->tool_count; i++) {
        const struct nx_tool_def *tool = &def->tools[i];
        if (tool->trigger.kind == NX_TRIGGER_MANUAL)
            continue;
        struct nx_standing *s = &panel->standing[panel->standing_count++];
        s->panel = panel;
        s->handler = nx_panel_tool_handler(panel, tool);
        s->def = &tool->trigger;
        int rc = start(s);
        if (rc)
            return rc;
    }
    return 0;
}

void nx_standing_stop(struct nx_panel *panel) {
    for (size_t i = 0; i < panel->standing_count; i++) {
        struct nx_standing *s = &panel->standing[i];
        if (s->def->kind == NX_TRIGGER_INTERVAL || s->def->kind == NX_TRIGGER_CRON)
            nx_ticks_stop(s);
        else
            nx_reactions_stop(s);
    }
}

void nx_standing_free(struct nx_panel *panel) {
    free(panel->standing);
    panel->standing = NULL;
    panel->standing_count = 0;
}

// ---- Causes

static size_t bytes_of(const struct nx_cause *cause) {
    return sizeof *cause + cause->json_len + cause->name_len;
}

struct nx_cause *nx_cause_new(struct nx_runtime *rt, enum nx_trigger_kind kind, uint32_t depth,
                              const struct nx_buf *json, struct nx_span name) {
    struct nx_standings *all = rt->standings;
    size_t bytes = sizeof(struct nx_cause) + json->len + name.len;
    if (json->failed || json->len == 0 || all->cause_bytes + bytes > NX_MAX_CAUSE_BYTES)
        return NULL;
    struct nx_cause *cause = malloc(bytes);
    if (!cause)
        return NULL;
    *cause = (struct nx_cause){.refs = 1,
                               .kind = kind,
                               .depth = depth,
                               .number = ++all->causes_made,
                               .json_len = json->len,
                               .name_len = name.len};
    memcpy(cause->bytes, json->data, json->len);
    if (name.len)
        memcpy(cause->bytes + json->len, name.data, name.len);
    all->cause_bytes += bytes;
    return cause;
}

void nx_cause_unref(struct nx_runtime *rt, struct nx_cause *cause) {
    if (!cause || --cause->refs > 0)
        return;
    rt->standings->cause_bytes -= bytes_of(cause);
    free(cause);
}

// ---- Runs

void nx_standing_skip(struct nx_standing *s, enum nx_skip_reason reason, uint64_t count) {
    struct nx_panel *panel = s->panel;
    uint64_t now = nx_clock_monotonic_ns() / 1000000;
    panel->rt->totals.skipped[reason] += count;
    s->skipped[reason].count += count;
    if (s->skipped[reason].reported_ms && now - s->skipped[reason].reported_ms < NX_SKIP_REPORT_MS)
        return;
    const struct nx_skip skip = {s->handler->name, s->def->kind, reason, s->skipped[reason].count};
    s->skipped[reason].reported_ms = now;
    s->skipped[reason].count = 0;
    NX_OBSERVE(panel->rt, on_skipped, panel, &skip);
}

static void on_ended(void *user, struct nx_trigger *t, const struct nx_result *result) {
    struct nx_standing *s = user;
    if (result->status == NX_EXEC_SUSPENDED)
        return;
    s->panel->set_off_count--;
    s->panel->rt->set_off_count--;
    if (s->last == t)
        s->last = NULL;
}

static bool is_full(const struct nx_panel *panel, const struct nx_cause *cause) {
    // Every panel may have one, whatever the others do.
    if (panel->set_off_count == 0)
        return false;
    return panel->set_off_count >= NX_MAX_PANEL_SET_OFF ||
           panel->rt->set_off_count >= NX_MAX_SET_OFF ||
           panel->cause_bytes + cause->json_len > NX_MAX_PANEL_CAUSE_BYTES;
}

// A run that has not begun will see the newest state: it stands for this one as well. It counts as
// caused by whichever took fewer steps; each step's runs are finite, so chains still end.
static bool joined(const struct nx_standing *s, const struct nx_cause *cause) {
    struct nx_trigger *t = s->last;
    if (s->def->kind != NX_TRIGGER_STATE || !t ||
        (t->phase != NX_TRIGGER_WAITING && t->phase != NX_TRIGGER_CHAINED &&
         t->phase != NX_TRIGGER_COMPILING))
        return false;
    if (cause->depth < t->depth)
        t->depth = cause->depth;
    return true;
}

void nx_standing_run(struct nx_standing *s, struct nx_cause *cause) {
    struct nx_panel *panel = s->panel;
    struct nx_runtime *rt = panel->rt;
    struct nx_error err = {0};
    bool by_time = s->def->kind == NX_TRIGGER_INTERVAL || s->def->kind == NX_TRIGGER_CRON;
    if (rt->stopping || panel->phase != NX_PANEL_ACTIVE)
        return;
    if (cause->depth > NX_MAX_TRIGGER_DEPTH) {
        nx_standing_skip(s, NX_SKIP_DEPTH, 1);
    } else if (by_time && s->last) {
        nx_standing_skip(s, NX_SKIP_BUSY, 1);
    } else if (joined(s, cause)) {
        return;
    } else if (is_full(panel, cause) || nx_trigger_standing(s, cause, on_ended, &err)) {
        nx_standing_skip(s, NX_SKIP_FULL, 1);
    } else {
        panel->set_off_count++;
        rt->set_off_count++;
        rt->totals.set_off[s->def->kind]++;
        nx_turn_give(panel);
    }
}
