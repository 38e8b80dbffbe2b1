// SPDX-License-Identifier: Apache-2.0
// What a SEGMENT frame may say. The worker checked all of this already; it is checked again because
// the worker may be owned by the handler it ran. Nothing here repairs: a frame that breaks a rule
// is not an honest worker's, and its sender is killed.
#include <stdlib.h>

#include "base/json.h"
#include "sandbox/pool.h"

struct check {
    struct nx_execution *execution;
    struct nx_segment_scratch *scratch;
    struct nx_wire_reader r;
    struct nx_segment *out;
    bool no_memory;
};

// Makes room for `count` items in one of the scratch arrays.
static void *grow(struct check *c, void *array, size_t *room, size_t count, size_t item_bytes) {
    if (count <= *room) {
        return array;
    }
    void *grown = realloc(array, count * item_bytes);
    if (grown == NULL) {
        c->no_memory = true;
        return array;
    }
    *room = count;
    return grown;
}

void nx_segment_scratch_free(struct nx_segment_scratch *scratch) {
    free(scratch->mutations);
    free(scratch->events);
    free(scratch->views);
    free(scratch->logs);
    free(scratch->denials);
    free(scratch->sorted);
}

// ---- single values

static bool name_ok(struct nx_span name) {
    return name.len >= 1 && name.len <= NX_MAX_KEY_BYTES && nx_wtf8_valid(name);
}

static bool text_ok(struct nx_span text) {
    return text.len <= NX_MAX_ERROR_TEXT_BYTES + 4 && nx_utf8_valid(text);
}

static bool json_ok(const struct check *c, struct nx_span json, enum nx_json_kind *kind) {
    return json.len <= c->execution->limits.max_value_bytes && nx_json_scan(json, kind, NULL) == 0;
}

static bool granted(const struct check *c, enum nx_cap_kind kind, struct nx_span scope) {
    return nx_caps_allow(c->execution->caps, kind, scope);
}

// ---- sections

static int by_key(const void *a, const void *b) {
    const struct nx_span x = (*(const struct nx_mutation *const *)a)->key;
    const struct nx_span y = (*(const struct nx_mutation *const *)b)->key;
    const int order = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);
    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

// A net effect names each key once.
static bool keys_differ(struct check *c, uint32_t count) {
    struct nx_segment_scratch *s = c->scratch;
    if (count < 2) {
        return true;
    }
    s->sorted =
        grow(c, (void *)s->sorted, &s->sorted_room, count, sizeof(*s->sorted)); // of pointers
    if (c->no_memory) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        s->sorted[i] = &s->mutations[i];
    }
    qsort((void *)s->sorted, count, sizeof(*s->sorted), by_key);
    for (uint32_t i = 1; i < count; i++) {
        if (nx_span_eq(s->sorted[i - 1]->key, s->sorted[i]->key)) {
            return false;
        }
    }
    return true;
}

static bool read_mutations(struct check *c) {
    struct nx_segment_scratch *s = c->scratch;
    const uint32_t count = nx_wire_get_count(&c->r, NX_MAX_SEGMENT_CHANGES, 9);
    s->mutations = grow(c, s->mutations, &s->mutation_room, count, sizeof(*s->mutations));
    c->execution->mutations += count;
    if (c->no_memory || c->execution->mutations > c->execution->limits.max_mutations) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t is_delete = nx_wire_get_u8(&c->r);
        struct nx_mutation *m = &s->mutations[i];
        m->is_delete = is_delete == 1;
        m->key = nx_wire_get_bytes(&c->r);
        m->json = nx_wire_get_bytes(&c->r);
        if (is_delete > 1 || !name_ok(m->key) || !granted(c, NX_CAP_STATE_WRITE, m->key) ||
            !(m->is_delete ? m->json.len == 0 : json_ok(c, m->json, NULL))) {
            return false;
        }
    }
    c->out->mutations = s->mutations;
    c->out->mutation_count = count;
    return keys_differ(c, count);
}

static bool read_events(struct check *c) {
    struct nx_segment_scratch *s = c->scratch;
    const uint32_t count = nx_wire_get_count(&c->r, c->execution->limits.max_events, 8);
    s->events = grow(c, s->events, &s->event_room, count, sizeof(*s->events));
    for (uint32_t i = 0; i < count && !c->no_memory; i++) {
        struct nx_event *e = &s->events[i];
        e->name = nx_wire_get_bytes(&c->r);
        e->payload_json = nx_wire_get_bytes(&c->r);
        if (!name_ok(e->name) || !granted(c, NX_CAP_EVENTS_EMIT, e->name) ||
            (e->payload_json.len != 0 && !json_ok(c, e->payload_json, NULL))) {
            return false;
        }
    }
    c->out->events = s->events;
    c->out->event_count = count;
    c->execution->events += count;
    return !c->no_memory;
}

static bool view_type_ok(struct nx_span type) {
    static const char *const types[] = {"setFilter", "scrollTo", "focus", "custom"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (nx_span_eq(type, nx_span_str(types[i]))) {
            return true;
        }
    }
    return false;
}

static bool read_views(struct check *c) {
    struct nx_segment_scratch *s = c->scratch;
    const uint32_t count = nx_wire_get_count(&c->r, c->execution->limits.max_events, 12);
    s->views = grow(c, s->views, &s->view_room, count, sizeof(*s->views));
    for (uint32_t i = 0; i < count && !c->no_memory; i++) {
        struct nx_view_command *v = &s->views[i];
        enum nx_json_kind kind = NX_JSON_NULL;
        v->type = nx_wire_get_bytes(&c->r);
        v->component_id = nx_wire_get_bytes(&c->r);
        v->args_json = nx_wire_get_bytes(&c->r);
        if (!view_type_ok(v->type) || !name_ok(v->component_id) ||
            !granted(c, NX_CAP_VIEW_UPDATE, v->component_id) || !json_ok(c, v->args_json, &kind) ||
            kind != NX_JSON_OBJECT) {
            return false;
        }
    }
    c->out->views = s->views;
    c->out->view_count = count;
    c->execution->events += count;
    return !c->no_memory && c->execution->events <= c->execution->limits.max_events;
}

static bool read_logs(struct check *c) {
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct nx_segment_scratch *s = c->scratch;
    const uint32_t count = nx_wire_get_count(&c->r, c->execution->limits.max_host_calls, 5);
    s->logs = grow(c, s->logs, &s->log_room, count, sizeof(*s->logs));
    for (uint32_t i = 0; i < count && !c->no_memory; i++) {
        const uint8_t level = nx_wire_get_u8(&c->r);
        const struct nx_span message = nx_wire_get_bytes(&c->r);
        c->execution->log_bytes += message.len;
        if (level >= sizeof(levels) / sizeof(levels[0]) || !nx_utf8_valid(message)) {
            return false;
        }
        s->logs[i] = (struct nx_log_entry){nx_span_str(levels[level]), message};
    }
    c->out->logs = s->logs;
    c->out->log_count = count;
    return !c->no_memory && c->execution->log_bytes <= c->execution->limits.max_log_bytes;
}

static bool read_calls(struct check *c) {
    struct nx_execution *execution = c->execution;
    const uint32_t count = nx_wire_get_count(&c->r, NX_MAX_OUTSTANDING_CALLS, 16);
    for (uint32_t i = 0; i < count; i++) {
        struct nx_ext_call *call = &c->scratch->calls[i];
        enum nx_json_kind kind = NX_JSON_NULL;
        call->call_id = nx_wire_get_u32(&c->r);
        call->extension = nx_wire_get_bytes(&c->r);
        call->method = nx_wire_get_bytes(&c->r);
        call->args_json = nx_wire_get_bytes(&c->r);
        if (call->call_id != ++execution->last_call_id ||
            execution->outstanding == NX_MAX_OUTSTANDING_CALLS || !name_ok(call->extension) ||
            !name_ok(call->method) || !granted(c, NX_CAP_EXT, call->extension) ||
            !json_ok(c, call->args_json, &kind) || kind != NX_JSON_ARRAY) {
            return false;
        }
        execution->outstanding_ids[execution->outstanding++] = call->call_id;
    }
    c->out->calls = c->scratch->calls;
    c->out->call_count = count;
    return true;
}

static bool read_denials(struct check *c) {
    struct nx_segment_scratch *s = c->scratch;
    const uint32_t count = nx_wire_get_count(&c->r, NX_MAX_CAPS, 5);
    s->denials = grow(c, s->denials, &s->denial_room, count, sizeof(*s->denials));
    for (uint32_t i = 0; i < count && !c->no_memory; i++) {
        const uint8_t kind = nx_wire_get_u8(&c->r);
        const struct nx_span scope = nx_wire_get_bytes(&c->r);
        if (kind >= NX_CAP_KINDS || scope.len > NX_MAX_KEY_BYTES || !nx_wtf8_valid(scope)) {
            return false;
        }
        s->denials[i] = (struct nx_denial){(enum nx_cap_kind)kind, scope};
    }
    c->out->denials = s->denials;
    c->out->denial_count = count;
    return !c->no_memory;
}

// ---- the whole frame

static bool read_head(struct check *c) {
    struct nx_execution *execution = c->execution;
    const uint8_t status = nx_wire_get_u8(&c->r);
    c->out->status = (enum nx_segment_status)status;
    c->out->run_us = nx_wire_get_u32(&c->r);
    c->out->memory_used_bytes = nx_wire_get_u64(&c->r);
    c->out->memory_peak_bytes = nx_wire_get_u64(&c->r);
    bool resets_ok = true;
    for (int kind = 0; kind < NX_RESET_KINDS; kind++) {
        c->out->resets[kind] = nx_wire_get_u32(&c->r);
        resets_ok = resets_ok && c->out->resets[kind] <= NX_MAX_RESETS_TOLD;
    }
    for (int i = 0; i < NX_HOST_CALL_COUNT; i++) {
        c->out->host_calls[i] = nx_wire_get_u32(&c->r);
        execution->host_calls += c->out->host_calls[i];
    }
    // The call that goes over the limit is counted, and ends the execution.
    const uint32_t over = status == NX_SEGMENT_ERROR;
    const uint64_t memory = execution->sandbox->config.memory_limit_bytes;
    return status <= NX_SEGMENT_NOT_RUN && resets_ok && c->out->memory_used_bytes <= memory &&
           c->out->memory_peak_bytes <= memory &&
           execution->host_calls <= (uint64_t)execution->limits.max_host_calls + over;
}

// The codes that a worker gives; the others are the kernel's.
static bool error_code_ok(uint8_t code) {
    switch (code) {
    case NX_RESULT_TIMEOUT:
    case NX_RESULT_MEMORY_LIMIT:
    case NX_RESULT_RESOURCE_LIMIT:
    case NX_RESULT_PERMISSION_DENIED:
    case NX_RESULT_EXECUTION_ERROR:
    case NX_RESULT_COMPILATION_ERROR:
    case NX_RESULT_INVALID_HANDLER:
    case NX_RESULT_EXTENSION_NOT_FOUND:
    case NX_RESULT_METHOD_NOT_FOUND:
    case NX_RESULT_EXTENSION_ERROR:
        return true;
    default:
        return false;
    }
}

static bool has_no_effects(const struct nx_segment *s) {
    return s->mutation_count == 0 && s->event_count == 0 && s->view_count == 0 &&
           s->call_count == 0;
}

static bool read_error(struct check *c) {
    struct nx_segment *out = c->out;
    const uint8_t code = nx_wire_get_u8(&c->r);
    out->error.code = (enum nx_result_code)code;
    out->error.message = nx_wire_get_bytes(&c->r);
    out->error.stack = nx_wire_get_bytes(&c->r);
    out->error.capability = nx_wire_get_bytes(&c->r);
    out->error.line = nx_wire_get_u32(&c->r);
    out->error.column = nx_wire_get_u32(&c->r);
    // A failed segment has no effects.
    return error_code_ok(code) && has_no_effects(out) && text_ok(out->error.message) &&
           text_ok(out->error.stack) && text_ok(out->error.capability);
}

static bool read_outcome(struct check *c) {
    switch (c->out->status) {
    case NX_SEGMENT_DONE:
        c->out->return_json = nx_wire_get_bytes(&c->r);
        c->out->call_count = 0; // nobody waits for their answers
        return c->out->return_json.len == 0 || json_ok(c, c->out->return_json, NULL);
    case NX_SEGMENT_SUSPENDED:
        return c->execution->outstanding > 0;
    case NX_SEGMENT_NOT_RUN:
        // Of a RUN only: what was suspended has begun, and must not begin a second time.
        return c->execution->job.kind == NX_JOB_RUN && c->execution->follows &&
               has_no_effects(c->out) && c->out->log_count == 0 && c->out->denial_count == 0;
    default:
        return read_error(c);
    }
}

int nx_segment_check(struct nx_execution *execution, struct nx_span payload,
                     struct nx_segment *out) {
    struct check c = {.execution = execution, .scratch = &execution->sandbox->scratch, .out = out};
    *out = (struct nx_segment){0};
    nx_wire_reader_init(&c.r, payload);
    const bool good = read_head(&c) && read_mutations(&c) && read_events(&c) && read_views(&c) &&
                      read_logs(&c) && read_calls(&c) && read_denials(&c) && read_outcome(&c) &&
                      nx_wire_reader_done(&c.r);
    for (int kind = 0; good && kind < NX_RESET_KINDS; kind++) {
        execution->sandbox->resets[kind] += out->resets[kind];
    }
    if (good) {
        return 0;
    }
    return c.no_memory ? NX_E_NOMEM : NX_E_PROTOCOL;
}
