// SPDX-License-Identifier: Apache-2.0
#include "kernel/audit.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

struct nx_audit {
    bool all;
    struct nx_audit_gate denied, allowed;
};

bool nx_audit_pass(struct nx_audit_gate *gate, uint64_t now_ms, uint32_t most, uint32_t *dropped) {
    if (now_ms - gate->since_ms >= 1000) {
        gate->since_ms = now_ms;
        gate->logged = 0;
    }
    if (gate->logged == most) {
        gate->dropped++;
        return false;
    }
    gate->logged++;
    *dropped = gate->dropped;
    gate->dropped = 0;
    return true;
}

// ---- Lines

enum {
    LINE_FIELDS = 10,
    LINE_TEXT = NX_MAX_REQUEST_ID_BYTES + NX_MAX_SUBJECT_BYTES + NX_TRACEPARENT_BYTES +
                NX_ERROR_MESSAGE_BYTES + NX_MAX_CAP_TOKEN_BYTES + 8,
};

// A line being put together: texts that are not empty, as strings.
struct line {
    size_t count, used;
    struct nx_log_field fields[LINE_FIELDS + 1];
    char text[LINE_TEXT];
};

// Copies a text, as much of it as there is room for; a NUL in it would hide the rest and appears as
// '?'.
static const char *keep(struct line *l, struct nx_span prefix, struct nx_span s) {
    char *start = l->text + l->used;
    size_t room = sizeof l->text - l->used - 1, len = 0;
    for (size_t i = 0; i < prefix.len + s.len && len < room; i++) {
        char c = i < prefix.len ? prefix.data[i] : s.data[i - prefix.len];
        start[len++] = c ? c : '?';
    }
    start[len] = '\0';
    l->used += len + (len < room);
    return start;
}

static void add(struct line *l, struct nx_log_field field) {
    if (l->count < LINE_FIELDS)
        l->fields[l->count++] = field;
}

static void add_text(struct line *l, const char *key, struct nx_span text) {
    if (text.len)
        add(l, NX_LOG_STR(key, keep(l, (struct nx_span){0}, text)));
}

static void begin(struct line *l, const struct nx_run_info *run) {
    l->count = l->used = 0;
    memset(l->fields, 0, sizeof l->fields);
    add(l, NX_LOG_STR("panelId", nx_panel_id(run->panel)));
    add(l, NX_LOG_STR("handler", run->handler));
    add_text(l, "requestId", run->request_id);
    add_text(l, "subject", run->subject);
    add_text(l, "traceparent", run->traceparent);
}

// An audit line about one capability, unless there are too many.
static void log_capability(struct nx_audit_gate *gate, uint32_t most, enum nx_log_level level,
                           const char *msg, const struct nx_run_info *run, enum nx_cap_kind kind,
                           struct nx_span scope) {
    struct line l;
    uint32_t dropped = 0;
    if (!nx_log_enabled(level) ||
        !nx_audit_pass(gate, nx_clock_monotonic_ns() / 1000000, most, &dropped))
        return;
    begin(&l, run);
    add(&l, NX_LOG_STR("capability", keep(&l, nx_span_str(nx_cap_prefix(kind)), scope)));
    if (dropped)
        add(&l, NX_LOG_INT("notLogged", dropped));
    add(&l, NX_LOG_BOOL("audit", true));
    nx_log(level, "audit", msg, l.fields);
}

// ---- What is observed

static void on_denied(void *user, const struct nx_run_info *run, const struct nx_denial *denial) {
    struct nx_audit *a = user;
    log_capability(&a->denied, NX_MAX_DENIALS_LOGGED, NX_LOG_WARN, "capability denied", run,
                   denial->kind, denial->scope);
}

static void log_used(struct nx_audit *a, const struct nx_run_info *run, enum nx_cap_kind kind,
                     struct nx_span scope) {
    log_capability(&a->allowed, NX_MAX_AUDIT_LOGGED, NX_LOG_INFO, "capability used", run, kind,
                   scope);
}

// What took effect. Repeated events and commands in a row are one use.
static void log_effects(struct nx_audit *a, const struct nx_run_info *run,
                        const struct nx_result *result) {
    for (size_t i = 0; i < result->mutation_count; i++)
        log_used(a, run, NX_CAP_STATE_WRITE, result->mutations[i].key);
    for (size_t i = 0; i < result->event_count; i++)
        if (i == 0 || !nx_span_eq(result->events[i].name, result->events[i - 1].name))
            log_used(a, run, NX_CAP_EVENTS_EMIT, result->events[i].name);
    for (size_t i = 0; i < result->view_count; i++)
        if (i == 0 || !nx_span_eq(result->views[i].component_id, result->views[i - 1].component_id))
            log_used(a, run, NX_CAP_VIEW_UPDATE, result->views[i].component_id);
}

static void on_extension(void *user, const struct nx_run_info *run, const struct nx_ext_call *call,
                         struct nx_span name, enum nx_result_code code, uint64_t us) {
    struct nx_audit *a = user;
    (void)name;
    (void)us;
    if (a->all && code != NX_RESULT_PERMISSION_DENIED)
        log_used(a, run, NX_CAP_EXT, call->extension);
}

static void log_failure(const struct nx_run_info *run, const struct nx_result *result) {
    struct line l;
    begin(&l, run);
    add(&l, NX_LOG_STR("code", nx_result_code_name(result->error.code)));
    add(&l, NX_LOG_INT("durationMs", (int64_t)(result->metrics.duration_us / 1000)));
    add(&l, NX_LOG_STR("trigger", nx_trigger_kind_name(run->set_off_by)));
    nx_log(NX_LOG_WARN, "execution", "execution failed", l.fields);
}

static void on_finished(void *user, const struct nx_run_info *run, const struct nx_result *result) {
    struct nx_audit *a = user;
    if (a->all)
        log_effects(a, run, result);
    if (result->status == NX_EXEC_ERROR && nx_log_enabled(NX_LOG_WARN))
        log_failure(run, result);
}

// Handlers' own lines are results, not the server's log: they are shown only when looking closely.
static void on_log(void *user, const struct nx_run_info *run, const struct nx_log_entry *entry) {
    struct line l;
    (void)user;
    if (!nx_log_enabled(NX_LOG_DEBUG))
        return;
    begin(&l, run);
    struct nx_span text = entry->message;
    if (text.len >= NX_ERROR_MESSAGE_BYTES)
        text.len = NX_ERROR_MESSAGE_BYTES - 1;
    nx_log(NX_LOG_DEBUG, "handler", keep(&l, (struct nx_span){0}, text), l.fields);
}

int nx_audit_new(struct nx_audit **out, struct nx_runtime *rt, bool all, struct nx_error *err) {
    struct nx_audit *a = calloc(1, sizeof *a);
    if (!a)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    a->all = all;
    const struct nx_observer observer = {
        .user = a,
        .on_log = on_log,
        .on_denied = on_denied,
        .on_extension = on_extension,
        .on_finished = on_finished,
    };
    int rc = nx_runtime_observe(rt, &observer);
    if (rc) {
        free(a);
        return nx_error_set(err, rc, "too many observers");
    }
    *out = a;
    return 0;
}

void nx_audit_free(struct nx_audit *audit) {
    free(audit);
}
