// SPDX-License-Identifier: Apache-2.0
// Events and changes of state that set tools off. At the commit only that it happened is noted; who
// listens is looked up from the loop, a batch at a time, so that neither many events nor many
// listeners hold the server up.
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"

// Handlers choose the names: see panel.c.
static struct nx_siphash_key hash_key;
#define HASH_FUNCTION(data, len, out) ((out) = (unsigned)nx_siphash(&hash_key, (data), (len)))
#define HASH_NONFATAL_OOM             1
#define uthash_nonfatal_oom(element)  ((element)->unhashed = true)
#include "base/clock.h"
#include "base/json.h"
#include "kernel/core.h"
#include "kernel/glob.h"

// Those who listen for one name.
struct nx_event_name {
    UT_hash_handle hh;
    bool unhashed;
    struct nx_standing_list listeners;
    const char *name; // behind this struct
};

// ---- Listening

static struct nx_event_name *find_name(const struct nx_standings *all, struct nx_span name) {
    struct nx_event_name *found = NULL;
    HASH_FIND(hh, all->names, name.len ? name.data : "", name.len, found);
    return found;
}

static int join_name(struct nx_standings *all, struct nx_standing *s) {
    struct nx_span text = nx_span_str(s->def->pattern);
    struct nx_event_name *name = find_name(all, text);
    if (!name) {
        name = calloc(1, sizeof *name + text.len);
        if (!name)
            return NX_E_NOMEM;
        TAILQ_INIT(&name->listeners);
        char *own = (char *)(name + 1); // outlives the panel that came first
        memcpy(own, text.data, text.len);
        name->name = own;
        HASH_ADD_KEYPTR(hh, all->names, name->name, text.len, name);
        if (name->unhashed) {
            free(name);
            return NX_E_NOMEM;
        }
    }
    TAILQ_INSERT_TAIL(&name->listeners, s, event.link);
    s->event.name = name;
    return 0;
}

static int hear(struct nx_standings *all, struct nx_standing *s) {
    if (hash_key.k0 == 0 && getrandom(&hash_key, sizeof hash_key, 0) != sizeof hash_key)
        return NX_E_IO;
    s->event.since = all->causes_made;
    if (strchr(s->def->pattern, '*')) {
        TAILQ_INSERT_TAIL(&all->globs, s, event.link);
    } else {
        int rc = join_name(all, s);
        if (rc)
            return rc;
    }
    s->event.listens = true;
    return 0;
}

static void hear_no_more(struct nx_standings *all, struct nx_standing *s) {
    struct nx_event_name *name = s->event.name;
    if (!s->event.listens)
        return;
    s->event.listens = false;
    if (all->next == s)
        all->next = TAILQ_NEXT(s, event.link);
    TAILQ_REMOVE(name ? &name->listeners : &all->globs, s, event.link);
    s->event.name = NULL;
    if (name && TAILQ_EMPTY(&name->listeners)) {
        HASH_DEL(all->names, name);
        free(name);
    }
}

int nx_reactions_start(struct nx_standing *s) {
    return s->def->kind == NX_TRIGGER_EVENT ? hear(s->panel->rt->standings, s) : 0;
}

void nx_reactions_stop(struct nx_standing *s) {
    struct nx_standings *all = s->panel->rt->standings;
    if (s->def->kind == NX_TRIGGER_EVENT)
        hear_no_more(all, s);
    else if (s->state.due)
        TAILQ_REMOVE(&all->due, s, state.link);
    if (s->def->kind == NX_TRIGGER_STATE)
        s->state.due = false;
}

// ---- From the loop

// Points at the first listener to try for the first event.
static void begin_event(struct nx_standings *all) {
    const struct nx_cause *cause = TAILQ_FIRST(&all->events);
    struct nx_event_name *name = NULL;
    if (cause)
        name = find_name(all, nx_span_of(cause->bytes + cause->json_len, cause->name_len));
    all->next = name ? TAILQ_FIRST(&name->listeners) : NULL;
    all->in_globs = false;
}

static void end_event(struct nx_runtime *rt) {
    struct nx_standings *all = rt->standings;
    struct nx_cause *cause = TAILQ_FIRST(&all->events);
    TAILQ_REMOVE(&all->events, cause, link);
    all->event_count--;
    nx_cause_unref(rt, cause);
    begin_event(all);
}

// Tries one listener for the first event, or finds that there is none left.
static void step_event(struct nx_runtime *rt) {
    struct nx_standings *all = rt->standings;
    struct nx_cause *cause = TAILQ_FIRST(&all->events);
    struct nx_standing *s = all->next;
    if (!s && !all->in_globs) {
        all->in_globs = true;
        all->next = TAILQ_FIRST(&all->globs);
        return;
    }
    if (!s) {
        end_event(rt);
        return;
    }
    struct nx_span name = nx_span_of(cause->bytes + cause->json_len, cause->name_len);
    all->next = TAILQ_NEXT(s, event.link);
    if (cause->number > s->event.since &&
        (!all->in_globs || nx_glob_match(nx_span_str(s->def->pattern), name)))
        nx_standing_run(s, cause);
}

// {"type":"state","key":"…","version":3,"depth":1}
static void run_due(struct nx_runtime *rt) {
    struct nx_standing *s = TAILQ_FIRST(&rt->standings->due);
    struct nx_buf json;
    TAILQ_REMOVE(&rt->standings->due, s, state.link);
    s->state.due = false;
    nx_buf_init(&json, NX_MAX_LOG_LINE_BYTES);
    nx_buf_append_str(&json, "{\"type\":\"state\",\"key\":");
    nx_json_append_string(&json, nx_span_str(s->def->pattern));
    nx_buf_printf(&json, ",\"version\":%llu,\"depth\":%u}",
                  (unsigned long long)nx_store_version(s->panel->state), s->state.depth);
    struct nx_cause *cause =
        nx_cause_new(rt, NX_TRIGGER_STATE, s->state.depth, &json, (struct nx_span){NULL, 0});
    if (cause)
        nx_standing_run(s, cause);
    else
        nx_standing_skip(s, NX_SKIP_FULL, 1);
    nx_cause_unref(rt, cause);
    nx_buf_free(&json);
}

static void on_timer(uv_timer_t *timer) {
    struct nx_runtime *rt = timer->data;
    struct nx_standings *all = rt->standings;
    for (int i = 0; i < NX_STANDING_BATCH; i++) {
        if (!TAILQ_EMPTY(&all->due))
            run_due(rt);
        else if (!TAILQ_EMPTY(&all->events))
            step_event(rt);
        else
            return;
    }
    // Not 0: see nx_ticks_wind.
    if (!rt->stopping)
        uv_timer_start(timer, on_timer, 1, 0);
}

static void wake(struct nx_runtime *rt) {
    uv_timer_t *timer = &rt->standings->reaction_timer;
    if (!rt->stopping && !uv_is_active((uv_handle_t *)timer))
        uv_timer_start(timer, on_timer, 0, 0);
}

void nx_reactions_halt(struct nx_runtime *rt) {
    while (!TAILQ_EMPTY(&rt->standings->events))
        end_event(rt);
}

// ---- Around the commit

// Setting a key to the value it has changes nothing: handlers that come to rest stay at rest.
static bool changes(const struct nx_panel *panel, const struct nx_mutation *m) {
    struct nx_span old = nx_store_get(panel->state, m->key);
    return m->is_delete ? old.len > 0 : !nx_span_eq(old, m->json);
}

void nx_reactions_before(struct nx_panel *panel, const struct nx_segment *segment) {
    for (size_t i = 0; i < panel->standing_count; i++) {
        struct nx_standing *s = &panel->standing[i];
        if (s->def->kind != NX_TRIGGER_STATE)
            continue;
        s->state.changed = false;
        struct nx_span key = nx_span_str(s->def->pattern);
        for (size_t j = 0; j < segment->mutation_count && !s->state.changed; j++)
            s->state.changed = nx_span_eq(segment->mutations[j].key, key) &&
                               changes(panel, &segment->mutations[j]);
    }
}

static void note_changes(struct nx_panel *panel, uint32_t depth) {
    struct nx_standings *all = panel->rt->standings;
    for (size_t i = 0; i < panel->standing_count; i++) {
        struct nx_standing *s = &panel->standing[i];
        if (s->def->kind != NX_TRIGGER_STATE || !s->state.changed)
            continue;
        s->state.changed = false;
        if (!s->state.due || depth < s->state.depth)
            s->state.depth = depth;
        if (!s->state.due)
            TAILQ_INSERT_TAIL(&all->due, s, state.link);
        s->state.due = true;
        wake(panel->rt);
    }
}

// An event nobody will react to: there is no room for it.
static void lose(struct nx_trigger *t) {
    struct nx_runtime *rt = t->panel->rt;
    struct nx_standings *all = rt->standings;
    uint64_t now = nx_clock_monotonic_ns() / 1000000;
    rt->totals.skipped[NX_SKIP_FULL]++;
    all->lost++;
    if (all->lost_reported_ms && now - all->lost_reported_ms < NX_SKIP_REPORT_MS)
        return;
    const struct nx_skip skip = {t->handler->name, NX_TRIGGER_EVENT, NX_SKIP_FULL, all->lost};
    all->lost_reported_ms = now;
    all->lost = 0;
    NX_OBSERVE(rt, on_skipped, t->panel, &skip);
}

// {"type":"event","name":"…","panelId":"…","payload":…,"depth":1}
static void note_event(struct nx_trigger *t, const struct nx_event *event) {
    struct nx_runtime *rt = t->panel->rt;
    struct nx_standings *all = rt->standings;
    struct nx_buf json;
    nx_buf_init(&json, NX_MAX_CAUSE_BYTES);
    nx_buf_append_str(&json, "{\"type\":\"event\",\"name\":");
    nx_json_append_string(&json, event->name);
    nx_buf_append_str(&json, ",\"panelId\":");
    nx_json_append_string(&json, nx_span_of(t->panel->id, t->panel->id_len));
    if (event->payload_json.len) {
        nx_buf_append_str(&json, ",\"payload\":");
        nx_buf_append_span(&json, event->payload_json);
    }
    nx_buf_printf(&json, ",\"depth\":%u}", t->depth + 1);
    struct nx_cause *cause = NULL;
    if (all->event_count < NX_MAX_CAUSES)
        cause = nx_cause_new(rt, NX_TRIGGER_EVENT, t->depth + 1, &json, event->name);
    nx_buf_free(&json);
    if (!cause) {
        lose(t);
        return;
    }
    TAILQ_INSERT_TAIL(&all->events, cause, link);
    if (all->event_count++ == 0)
        begin_event(all);
    wake(rt);
}

void nx_reactions_after(struct nx_trigger *t, const struct nx_segment *segment) {
    struct nx_standings *all = t->panel->rt->standings;
    note_changes(t->panel, t->depth + 1);
    if (t->panel->rt->stopping)
        return;
    for (size_t i = 0; i < segment->event_count; i++)
        if (!TAILQ_EMPTY(&all->globs) || find_name(all, segment->events[i].name))
            note_event(t, &segment->events[i]);
}
