// SPDX-License-Identifier: Apache-2.0
// Worker side: the host calls. Every one checks, in this order: that the execution is not over, the
// number of calls, the arguments' place in memory, the grant, the limits; then it copies and, where
// the text is JSON, scans the copy. Nothing the guest owns is looked at twice.
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "sandbox/exec.h"
#include "sandbox/wire.h"

struct nx_segment_work nx_work;

static int32_t fatal(enum nx_result_code code, const char *what, uint32_t limit) {
    if (nx_work.fatal == NX_RESULT_NONE) {
        nx_work.fatal = code;
        snprintf(nx_work.fatal_message, sizeof(nx_work.fatal_message), "%s: limit of %u reached",
                 what, limit);
    }
    return NX_HOST_FATAL;
}

// Counts the call. 0, or NX_HOST_FATAL.
static int32_t count_call(enum nx_host_call call) {
    if (nx_work.fatal != NX_RESULT_NONE) {
        return NX_HOST_FATAL;
    }
    nx_work.host_calls[call]++;
    if (++nx_work.exec->host_calls > nx_work.exec->limits.max_host_calls) {
        return fatal(NX_RESULT_RESOURCE_LIMIT, "host calls", nx_work.exec->limits.max_host_calls);
    }
    return 0;
}

// The guest's bytes. They stay the guest's: valid and unchanged only until the host call returns.
static bool guest_span(uint32_t address, uint32_t len, struct nx_span *out) {
    const uint8_t *at = nx_engine_memory(address, len);
    *out = nx_span_of(at, len);
    return at != NULL;
}

static bool name_ok(struct nx_span name) {
    return name.len >= 1 && name.len <= NX_MAX_KEY_BYTES && nx_wtf8_valid(name);
}

// Of a key that is only looked up: the empty one may be asked for, it is never there.
static bool key_ok(struct nx_span key) {
    return key.len == 0 || name_ok(key);
}

// Counts the item that was appended; false: there was no room for all of it.
static bool keep_item(struct nx_section *section) {
    if (section->items.failed != 0) {
        return false;
    }
    section->count++;
    section->whole_bytes = section->items.len;
    return true;
}

static int32_t denied(enum nx_cap_kind kind, struct nx_span scope) {
    if (nx_work.denials.count < NX_MAX_CAPS) { // the rest shows in host_calls
        nx_wire_put_u8(&nx_work.denials.items, (uint8_t)kind);
        nx_wire_put_bytes(&nx_work.denials.items, scope);
        (void)keep_item(&nx_work.denials);
    }
    return NX_HOST_DENIED;
}

static bool granted(enum nx_cap_kind kind, struct nx_span scope) {
    return nx_caps_allow(&nx_work.exec->grants, kind, scope);
}

// A JSON argument within the value limit. 0 or a nx_host_status.
static int32_t check_json(struct nx_span json, enum nx_json_kind *kind) {
    if (json.len > nx_work.exec->limits.max_value_bytes) {
        return fatal(NX_RESULT_RESOURCE_LIMIT, "value size (bytes)",
                     nx_work.exec->limits.max_value_bytes);
    }
    return nx_json_scan(json, kind, NULL) == 0 ? 0 : NX_HOST_INVALID;
}

// ---- state

static struct nx_change *find_change(struct nx_span key) {
    for (uint32_t i = 0; i < nx_work.change_count; i++) {
        struct nx_change *c = &nx_work.changes[i];
        if (c->key_len == key.len &&
            memcmp(nx_work.text.data + c->key_at, key.data, key.len) == 0) {
            return c;
        }
    }
    return NULL;
}

static const struct nx_state_entry *find_state(struct nx_span key) {
    for (uint32_t i = 0; i < nx_work.state_count; i++) {
        if (nx_span_eq(nx_work.state[i].key, key)) {
            return &nx_work.state[i];
        }
    }
    return NULL;
}

// The key's value as the handler sees it now; false if it has none.
static bool look_up(struct nx_span key, struct nx_span *json) {
    const struct nx_change *change = find_change(key);
    if (change != NULL) {
        *json = nx_span_of(nx_work.text.data + change->json_at, change->json_len);
        return !change->is_delete;
    }
    const struct nx_state_entry *entry = find_state(key);
    if (entry != NULL) {
        *json = entry->json;
    }
    return entry != NULL;
}

static int32_t state_get(void *user, uint32_t key_at, uint32_t key_len, uint32_t buf,
                         uint32_t cap) {
    (void)user;
    struct nx_span key, json;
    const int32_t status = count_call(NX_HOST_CALL_STATE_GET);
    if (status != 0) {
        return status;
    }
    if (!guest_span(key_at, key_len, &key) || !key_ok(key)) {
        return NX_HOST_INVALID;
    }
    if (!granted(NX_CAP_STATE_READ, key)) {
        return denied(NX_CAP_STATE_READ, key);
    }
    if (!look_up(key, &json)) {
        return NX_HOST_ABSENT;
    }
    const int32_t read_only = granted(NX_CAP_STATE_WRITE, key) ? 0 : NX_STATE_READ_ONLY;
    if (json.len <= cap) {
        uint8_t *to = nx_engine_memory(buf, (uint32_t)json.len);
        if (to == NULL) {
            return NX_HOST_INVALID;
        }
        memcpy(to, json.data, json.len);
    } else {
        // The guest comes again with room enough; that is one call to the handler.
        nx_work.host_calls[NX_HOST_CALL_STATE_GET]--;
        nx_work.exec->host_calls--;
    }
    return (int32_t)json.len | read_only;
}

static bool reserve_change(void) {
    return nx_work.change_count < nx_work.change_capacity;
}

// Records a write or deletion that has passed every check. 0 or a nx_host_status.
static int32_t record(struct nx_span key, bool is_delete, struct nx_span json) {
    struct nx_exec *exec = nx_work.exec;
    struct nx_change *change = find_change(key);
    const struct nx_state_entry *entry = change == NULL ? find_state(key) : NULL;
    size_t before = entry != NULL ? key.len + entry->json.len : 0;
    if (change != NULL && !change->is_delete) {
        before = key.len + change->json_len;
    }
    const size_t after = is_delete ? 0 : key.len + json.len;
    if (nx_work.state_bytes - before + after > exec->limits.max_state_bytes) {
        return fatal(NX_RESULT_RESOURCE_LIMIT, "state size (bytes)", exec->limits.max_state_bytes);
    }
    if (++exec->mutations > exec->limits.max_mutations || (change == NULL && !reserve_change())) {
        return fatal(NX_RESULT_RESOURCE_LIMIT, "state mutations", exec->limits.max_mutations);
    }
    if (change == NULL) {
        change = &nx_work.changes[nx_work.change_count++];
        *change = (struct nx_change){
            .key_at = (uint32_t)nx_work.text.len,
            .key_len = (uint32_t)key.len,
            .state_at = entry != NULL ? (uint32_t)(entry - nx_work.state) + 1 : 0,
        };
        nx_buf_append_span(&nx_work.text, key);
    }
    if (json.len > change->json_room) {
        change->json_at = (uint32_t)nx_work.text.len;
        change->json_room = (uint32_t)json.len;
        nx_buf_append_span(&nx_work.text, json);
    } else if (json.len != 0) {
        memcpy(nx_work.text.data + change->json_at, json.data, json.len);
    }
    if (nx_work.text.failed != 0) {
        return fatal(NX_RESULT_RESOURCE_LIMIT, "bytes written to state",
                     (uint32_t)nx_work.text.max_bytes);
    }
    change->json_len = (uint32_t)json.len;
    change->is_delete = is_delete;
    nx_work.state_bytes += after - before;
    return NX_HOST_OK;
}

static int32_t state_set(void *user, uint32_t key_at, uint32_t key_len, uint32_t json_at,
                         uint32_t len) {
    (void)user;
    struct nx_span key, json;
    int32_t status = count_call(NX_HOST_CALL_STATE_SET);
    if (status != 0) {
        return status;
    }
    if (!guest_span(key_at, key_len, &key) || !guest_span(json_at, len, &json) || !name_ok(key)) {
        return NX_HOST_INVALID;
    }
    if (!granted(NX_CAP_STATE_WRITE, key)) {
        return denied(NX_CAP_STATE_WRITE, key);
    }
    status = check_json(json, NULL);
    if (status == 0) {
        status = record(key, false, json);
    }
    return status == 0 && !granted(NX_CAP_STATE_READ, key) ? NX_STATE_WRITE_ONLY : status;
}

static int32_t state_delete(void *user, uint32_t key_at, uint32_t key_len) {
    (void)user;
    struct nx_span key;
    const int32_t status = count_call(NX_HOST_CALL_STATE_DELETE);
    if (status != 0) {
        return status;
    }
    if (!guest_span(key_at, key_len, &key) || !name_ok(key)) {
        return NX_HOST_INVALID;
    }
    return granted(NX_CAP_STATE_WRITE, key) ? record(key, true, (struct nx_span){0})
                                            : denied(NX_CAP_STATE_WRITE, key);
}

static int32_t state_has(void *user, uint32_t key_at, uint32_t key_len) {
    (void)user;
    struct nx_span key, json;
    const int32_t status = count_call(NX_HOST_CALL_STATE_HAS);
    if (status != 0) {
        return status;
    }
    if (!guest_span(key_at, key_len, &key) || !key_ok(key)) {
        return NX_HOST_INVALID;
    }
    return granted(NX_CAP_STATE_READ, key) ? look_up(key, &json) : denied(NX_CAP_STATE_READ, key);
}

// Appends one key to the guest's list if it still fits; counts it in any case.
static void list_key(uint8_t *list, size_t cap, size_t *used, const char *key, uint32_t len) {
    if (list != NULL && *used + 4 + len <= cap) {
        memcpy(list + *used, &len, 4);
        memcpy(list + *used + 4, key, len);
    }
    *used += 4 + (size_t)len;
}

static int32_t state_keys(void *user, uint32_t buf, uint32_t cap) {
    (void)user;
    const int32_t status = count_call(NX_HOST_CALL_STATE_KEYS);
    if (status != 0) {
        return status;
    }
    static bool deleted[NX_MAX_STATE_ENTRIES + 1]; // by nx_change.state_at; [0] says nothing
    uint8_t *list = nx_engine_memory(buf, cap);
    size_t used = 0;
    if (list == NULL) {
        return NX_HOST_INVALID;
    }
    // Looking for each key among the changes could take longer than the watchdog is patient.
    memset(deleted, 0, (nx_work.state_count + 1) * sizeof(deleted[0]));
    for (uint32_t i = 0; i < nx_work.change_count; i++) {
        deleted[nx_work.changes[i].state_at] = nx_work.changes[i].is_delete;
    }
    // The kernel sent only what may be read; what was changed is filtered again.
    for (uint32_t i = 0; i < nx_work.state_count; i++) {
        const struct nx_span key = nx_work.state[i].key;
        if (!deleted[i + 1]) {
            list_key(list, cap, &used, key.data, (uint32_t)key.len);
        }
    }
    for (uint32_t i = 0; i < nx_work.change_count; i++) {
        const struct nx_change *change = &nx_work.changes[i];
        const struct nx_span key = nx_span_of(nx_work.text.data + change->key_at, change->key_len);
        if (!change->is_delete && change->state_at == 0 && granted(NX_CAP_STATE_READ, key)) {
            list_key(list, cap, &used, key.data, (uint32_t)key.len);
        }
    }
    if (used > cap) {
        // As with state_get: the guest comes again with room enough.
        nx_work.host_calls[NX_HOST_CALL_STATE_KEYS]--;
        nx_work.exec->host_calls--;
    }
    return used < NX_STATE_READ_ONLY ? (int32_t)used : NX_HOST_INVALID;
}

// ---- events, view commands, extension calls, logs

static int32_t count_event(void) {
    struct nx_exec *exec = nx_work.exec;
    if (++exec->events > exec->limits.max_events) {
        return fatal(NX_RESULT_RESOURCE_LIMIT, "events and view commands", exec->limits.max_events);
    }
    return 0;
}

static int32_t appended(struct nx_section *section) {
    return keep_item(section) ? NX_HOST_OK
                              : fatal(NX_RESULT_RESOURCE_LIMIT, "bytes sent to the host",
                                      (uint32_t)section->items.max_bytes);
}

static int32_t emit(void *user, uint32_t name_at, uint32_t name_len, uint32_t json_at,
                    uint32_t len) {
    (void)user;
    struct nx_span name, json;
    int32_t status = count_call(NX_HOST_CALL_EMIT);
    if (status != 0) {
        return status;
    }
    if (!guest_span(name_at, name_len, &name) || !guest_span(json_at, len, &json) ||
        !name_ok(name)) {
        return NX_HOST_INVALID;
    }
    if (!granted(NX_CAP_EVENTS_EMIT, name)) {
        return denied(NX_CAP_EVENTS_EMIT, name);
    }
    status = json.len != 0 ? check_json(json, NULL) : 0; // no payload at all is fine
    if (status != 0 || (status = count_event()) != 0) {
        return status;
    }
    nx_wire_put_bytes(&nx_work.events.items, name);
    nx_wire_put_bytes(&nx_work.events.items, json);
    return appended(&nx_work.events);
}

static int32_t view(void *user, uint32_t type_at, uint32_t type_len, uint32_t id_at,
                    uint32_t id_len, uint32_t json_at, uint32_t len) {
    (void)user;
    static const char *const types[] = {"setFilter", "scrollTo", "focus", "custom"};
    struct nx_span type, id, json;
    int32_t status = count_call(NX_HOST_CALL_VIEW);
    if (status != 0) {
        return status;
    }
    bool known = false;
    if (guest_span(type_at, type_len, &type)) {
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
            known = known || nx_span_eq(type, nx_span_str(types[i]));
        }
    }
    if (!known || !guest_span(id_at, id_len, &id) || !guest_span(json_at, len, &json) ||
        !name_ok(id)) {
        return NX_HOST_INVALID;
    }
    if (!granted(NX_CAP_VIEW_UPDATE, id)) {
        return denied(NX_CAP_VIEW_UPDATE, id);
    }
    enum nx_json_kind kind = NX_JSON_NULL;
    status = check_json(json, &kind);
    if (status != 0 || kind != NX_JSON_OBJECT) {
        return status != 0 ? status : NX_HOST_INVALID;
    }
    status = count_event();
    if (status != 0) {
        return status;
    }
    nx_wire_put_bytes(&nx_work.views.items, type);
    nx_wire_put_bytes(&nx_work.views.items, id);
    nx_wire_put_bytes(&nx_work.views.items, json);
    return appended(&nx_work.views);
}

static int32_t ext_call(void *user, uint32_t name_at, uint32_t name_len, uint32_t method_at,
                        uint32_t method_len, uint32_t json_at, uint32_t len) {
    (void)user;
    struct nx_exec *exec = nx_work.exec;
    struct nx_span name, method, json;
    int32_t status = count_call(NX_HOST_CALL_EXT_CALL);
    if (status != 0) {
        return status;
    }
    if (!guest_span(name_at, name_len, &name) || !guest_span(method_at, method_len, &method) ||
        !guest_span(json_at, len, &json) || !name_ok(name) || !name_ok(method)) {
        return NX_HOST_INVALID;
    }
    if (!granted(NX_CAP_EXT, name)) {
        return denied(NX_CAP_EXT, name);
    }
    enum nx_json_kind kind = NX_JSON_NULL;
    status = check_json(json, &kind);
    if (status != 0 || kind != NX_JSON_ARRAY) {
        return status != 0 ? status : NX_HOST_INVALID;
    }
    if (exec->outstanding == NX_MAX_OUTSTANDING_CALLS) {
        return fatal(NX_RESULT_RESOURCE_LIMIT, "outstanding extension calls",
                     NX_MAX_OUTSTANDING_CALLS);
    }
    exec->outstanding_ids[exec->outstanding++] = ++exec->last_call_id;
    nx_wire_put_u32(&nx_work.calls.items, exec->last_call_id);
    nx_wire_put_bytes(&nx_work.calls.items, name);
    nx_wire_put_bytes(&nx_work.calls.items, method);
    nx_wire_put_bytes(&nx_work.calls.items, json);
    status = appended(&nx_work.calls);
    return status == 0 ? (int32_t)exec->last_call_id : status;
}

// Text for people: bytes that are not UTF-8 (lone surrogates) become '?', cut at `max` bytes.
static void put_text(struct nx_buf *out, struct nx_span text, size_t max) {
    size_t at = 0;
    while (at < text.len && at < max) {
        const size_t step = nx_utf8_sequence((const unsigned char *)text.data + at, text.len - at);
        if (step == 0) {
            nx_buf_append_char(out, '?');
        } else if (at + step <= max) {
            nx_buf_append(out, text.data + at, step);
        }
        at += step == 0 ? 1 : step;
    }
}

static int32_t log_line(void *user, int32_t level, uint32_t at, uint32_t len) {
    (void)user;
    static struct nx_buf clean;
    struct nx_exec *exec = nx_work.exec;
    struct nx_span text;
    const int32_t status = count_call(NX_HOST_CALL_LOG);
    if (status != 0) {
        return status;
    }
    if (!guest_span(at, len, &text) || level < 0 || level > 3) {
        return NX_HOST_INVALID;
    }
    if (text.len > exec->limits.max_log_bytes - exec->log_bytes) {
        return fatal(NX_RESULT_RESOURCE_LIMIT, "log size (bytes)", exec->limits.max_log_bytes);
    }
    exec->log_bytes += (uint32_t)text.len;
    clean.max_bytes = NX_MAX_FRAME_BYTES;
    nx_buf_reset(&clean);
    put_text(&clean, text, text.len);
    nx_wire_put_u8(&nx_work.logs.items, (uint8_t)level);
    nx_wire_put_bytes(&nx_work.logs.items, nx_buf_span(&clean));
    return appended(&nx_work.logs);
}

// ---- outcome

static void keep(struct nx_buf *out, uint32_t address, uint32_t len) {
    struct nx_span text;
    nx_buf_reset(out);
    if (len != 0 && guest_span(address, len, &text)) {
        put_text(out, text, NX_MAX_ERROR_TEXT_BYTES);
    }
}

static void result(void *user, uint32_t data, uint32_t len) {
    (void)user;
    struct nx_span json;
    nx_buf_reset(&nx_work.returned);
    if (len > nx_work.exec->limits.max_value_bytes) {
        fatal(NX_RESULT_RESOURCE_LIMIT, "value size (bytes)", nx_work.exec->limits.max_value_bytes);
    } else if (len != 0 && guest_span(data, len, &json) &&
               nx_buf_append_span(&nx_work.returned, json) != 0) {
        fatal(NX_RESULT_RESOURCE_LIMIT, "size of the result (bytes)",
              (uint32_t)nx_work.returned.max_bytes);
    }
}

// NOLINTNEXTLINE(readability-function-size): the guest's ABI decides the arguments.
static void report_error(void *user, int32_t kind, uint32_t message, uint32_t message_len,
                         uint32_t stack, uint32_t stack_len, uint32_t detail, uint32_t detail_len,
                         int32_t line, int32_t column) {
    (void)user;
    nx_work.reported_error = true;
    nx_work.error_kind = kind;
    nx_work.line = line;
    nx_work.column = column;
    keep(&nx_work.message, message, message_len);
    keep(&nx_work.stack, stack, stack_len);
    keep(&nx_work.detail, detail, detail_len);
}

static double now_ms(void *user) {
    (void)user;
    return nx_work.now_ms;
}

const struct nx_engine_imports nx_host_imports = {
    .state_get = state_get,
    .state_set = state_set,
    .state_delete = state_delete,
    .state_has = state_has,
    .state_keys = state_keys,
    .emit = emit,
    .view = view,
    .ext_call = ext_call,
    .log = log_line,
    .result = result,
    .error = report_error,
    .now_ms = now_ms,
};
