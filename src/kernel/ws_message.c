// SPDX-License-Identifier: Apache-2.0
// What clients say. Every message is one JSON object; what cannot be understood gets an ERROR and
// changes nothing.
#include <stdlib.h>

#include <jansson.h>

#include "base/json.h"
#include "kernel/ws_session.h"

static void say_error(struct nx_ws_session *s, const char *code, const char *message,
                      struct nx_span request_id) {
    nx_ws_send_once(s, nx_ws_text_error(s->ws, code, message, request_id));
}

static struct nx_span nothing(void) {
    return (struct nx_span){0};
}

// A member that is a string of 1 to `size` bytes, unescaped into `out`. 0; NX_E_NOTFOUND: there is
// none; NX_E_INVALID.
static int take_text(struct nx_span object, const char *key, char *out, size_t size, size_t *len) {
    struct nx_span value;
    struct nx_buf text;
    if (nx_json_member(object, key, &value))
        return NX_E_NOTFOUND;
    if (value.len < 3 || value.data[0] != '"')
        return NX_E_INVALID;
    nx_buf_init(&text, size);
    int rc = nx_json_unescape(&text, nx_span_of(value.data + 1, value.len - 2));
    if (rc == 0) {
        *len = text.len;
        memcpy(out, text.data, text.len);
    }
    nx_buf_free(&text);
    return rc ? NX_E_INVALID : 0;
}

// ---- TRIGGER and CANCEL

static struct nx_ws_call *find_call(struct nx_ws_session *s, struct nx_span id) {
    struct nx_ws_call *call;
    TAILQ_FOREACH(call, &s->calls, link)
    if (id.len && nx_span_eq(id, nx_span_of(call->request_id, call->request_id_len)))
        return call;
    return NULL;
}

static void end_call(struct nx_ws_call *call) {
    struct nx_ws_session *s = call->session;
    TAILQ_REMOVE(&s->calls, call, link);
    s->call_count--;
    free(call);
    if (s->ws->draining && s->call_count == 0)
        nx_ws_close(s, NX_WS_GOING_AWAY, "the server is stopping");
}

// What a PROGRESS would tell, but for what holds it together.
static size_t told_bytes(const struct nx_result *result) {
    size_t bytes = 0;
    for (size_t i = 0; i < result->mutation_count; i++)
        bytes += result->mutations[i].key.len + result->mutations[i].json.len;
    for (size_t i = 0; i < result->event_count; i++)
        bytes += result->events[i].name.len + result->events[i].payload_json.len;
    for (size_t i = 0; i < result->suspension.call_count; i++)
        bytes += result->suspension.calls[i].args_json.len;
    return bytes;
}

static void on_result(void *user, struct nx_trigger *trigger, const struct nx_result *result) {
    (void)trigger;
    struct nx_ws_call *call = user;
    struct nx_ws_session *s = call->session;
    if (result->status == NX_EXEC_SUSPENDED) {
        if (s->close_code || told_bytes(result) > NX_MAX_WS_PROGRESS_BYTES)
            return;
        nx_ws_send_once(s, nx_ws_text_progress(s->ws, call, result));
        return;
    }
    nx_ws_send_once(s, nx_ws_text_result(s->ws, call, result));
    end_call(call);
}

void nx_ws_detach_calls(struct nx_ws_session *s) {
    struct nx_ws_call *call;
    while ((call = TAILQ_FIRST(&s->calls))) {
        TAILQ_REMOVE(&s->calls, call, link);
        nx_trigger_detach(call->trigger);
        free(call);
    }
    s->call_count = 0;
}

static const char *code_of(int rc) {
    switch (rc) {
    case NX_E_NOTFOUND:
        return "TOOL_NOT_FOUND";
    case NX_E_INVALID:
        return "INVALID_REQUEST";
    case NX_E_LIMIT:
        return "RESOURCE_LIMIT";
    case NX_E_CLOSED:
        return "UNAVAILABLE";
    default:
        return "OVERLOADED";
    }
}

static void start_call(struct nx_ws_session *s, struct nx_ws_call *call, struct nx_span tool,
                       struct nx_span args) {
    struct nx_error err = {0};
    struct nx_span id = nx_span_of(call->request_id, call->request_id_len);
    const struct nx_identity *bearer = s->conn->identity;
    struct nx_trigger_request request = {
        .tool = tool,
        .args_json = args,
        .request_id = id,
        .subject = nx_span_str(bearer ? bearer->subject : ""),
        .traceparent = nx_span_of(s->conn->traceparent, s->conn->traceparent_len),
    };
    int rc = nx_runtime_trigger(s->panel, &request, on_result, call, &call->trigger, &err);
    if (rc) {
        say_error(s, code_of(rc), err.message, id);
        free(call);
        return;
    }
    TAILQ_INSERT_TAIL(&s->calls, call, link);
    s->call_count++;
}

static void on_trigger(struct nx_ws_session *s, struct nx_span object) {
    char tool[NX_MAX_IDENTIFIER_BYTES];
    size_t tool_len = 0;
    struct nx_span args = nothing();
    struct nx_ws_call *call = calloc(1, sizeof *call);
    if (!call) {
        say_error(s, "OVERLOADED", "out of memory", nothing());
        return;
    }
    call->session = s;
    int rc = take_text(object, "requestId", call->request_id, sizeof call->request_id,
                       &call->request_id_len);
    struct nx_span id = nx_span_of(call->request_id, call->request_id_len);
    if (rc == NX_E_INVALID)
        say_error(s, "INVALID_REQUEST", "requestId must be a string of 1 to 256 bytes", nothing());
    else if (take_text(object, "tool", tool, sizeof tool, &tool_len))
        say_error(s, "INVALID_REQUEST", "tool must be the name of a tool", id);
    else if (find_call(s, id))
        say_error(s, "INVALID_REQUEST", "a trigger with this requestId is under way", id);
    else if (s->call_count == NX_MAX_WS_CALLS)
        say_error(s, "OVERLOADED", "too many triggers of this socket are under way", id);
    else if (!nx_http_may(s->conn, NX_MAY_EXECUTE))
        say_error(s, "FORBIDDEN", "the token lacks panel:execute", id);
    else {
        (void)nx_json_member(object, "args", &args);
        start_call(s, call, nx_span_of(tool, tool_len), args);
        return;
    }
    free(call);
}

static void on_cancel(struct nx_ws_session *s, struct nx_span object) {
    char id[NX_MAX_REQUEST_ID_BYTES];
    size_t len = 0;
    struct nx_ws_call *call = NULL;
    if (take_text(object, "requestId", id, sizeof id, &len) == 0)
        call = find_call(s, nx_span_of(id, len));
    if (call)
        nx_trigger_cancel(call->trigger); // its callback sends the RESULT
    else
        say_error(s, "INVALID_REQUEST", "no trigger with this requestId is under way",
                  nx_span_of(id, len));
}

// ---- SUBSCRIBE and UNSUBSCRIBE

// The bits of an array of topics; 0: it is not one.
static unsigned read_topics(const json_t *topics) {
    static const char *const names[] = {"state", "events", "view", "logs"};
    unsigned bits = 0;
    size_t i;
    const json_t *topic;
    json_array_foreach(topics, i, topic) {
        unsigned bit = 0;
        for (unsigned k = 0; k < sizeof names / sizeof names[0]; k++)
            if (json_is_string(topic) && strcmp(json_string_value(topic), names[k]) == 0)
                bit = 1u << k;
        if (!bit)
            return 0;
        bits |= bit;
    }
    return bits;
}

static bool keys_valid(const json_t *keys) {
    size_t i;
    const json_t *key;
    json_array_foreach(keys, i, key) {
        if (!json_is_string(key) || json_string_length(key) > NX_MAX_KEY_BYTES)
            return false;
    }
    return json_array_size(keys) <= NX_MAX_WS_KEYS;
}

static bool has_key(const struct nx_ws_session *s, const char *key) {
    bool found;
    (void)nx_ws_key_place(s, nx_span_str(key), &found);
    return found;
}

static void remove_key(struct nx_ws_session *s, const char *key) {
    bool found;
    size_t at = nx_ws_key_place(s, nx_span_str(key), &found);
    if (!found)
        return;
    s->key_bytes -= strlen(key);
    free(s->keys[at]);
    s->key_count--;
    memmove((void *)(s->keys + at), (void *)(s->keys + at + 1),
            (s->key_count - at) * sizeof *s->keys);
}

static int add_key(struct nx_ws_session *s, const char *key) {
    bool found;
    size_t at = nx_ws_key_place(s, nx_span_str(key), &found);
    if (found)
        return 0;
    if (!s->keys)
        s->keys = (char **)calloc(NX_MAX_WS_KEYS, sizeof *s->keys);
    char *copy = s->keys ? strdup(key) : NULL;
    if (!copy)
        return NX_E_NOMEM;
    memmove((void *)(s->keys + at + 1), (void *)(s->keys + at),
            (s->key_count - at) * sizeof *s->keys);
    s->keys[at] = copy;
    s->key_count++;
    s->key_bytes += strlen(key);
    return 0;
}

// Whether there is room for those of `keys` that are new; one that is named twice counts twice.
static bool keys_fit(const struct nx_ws_session *s, const json_t *keys) {
    size_t i, count = s->key_count, bytes = s->key_bytes;
    const json_t *key;
    json_array_foreach(keys, i, key) {
        if (has_key(s, json_string_value(key)))
            continue;
        count++;
        bytes += json_string_length(key);
    }
    return count <= NX_MAX_WS_KEYS && bytes <= NX_MAX_WS_KEY_BYTES;
}

static int change_keys(struct nx_ws_session *s, const json_t *keys, bool add) {
    size_t i;
    const json_t *key;
    int rc = 0;
    if (add && !keys_fit(s, keys))
        return NX_E_LIMIT;
    json_array_foreach(keys, i, key) {
        if (!add)
            remove_key(s, json_string_value(key));
        else if (rc == 0)
            rc = add_key(s, json_string_value(key));
    }
    return rc;
}

// What was checked. Whoever sees more of the state than before is told all that it sees: of what
// it did not see, it has nothing or something old.
static void subscribe(struct nx_ws_session *s, unsigned bits, const json_t *keys, bool add) {
    size_t had_keys = s->key_count;
    bool had_state = s->topics & NX_TOPIC_STATE;
    int rc = change_keys(s, keys, add);
    if (rc) {
        say_error(s, rc == NX_E_LIMIT ? "RESOURCE_LIMIT" : "OVERLOADED",
                  rc == NX_E_LIMIT ? "a socket narrows to at most 256 keys, of 16 KiB together"
                                   : "out of memory",
                  nothing());
        return;
    }
    s->topics = add ? s->topics | bits : s->topics & ~bits;
    bool more_keys = had_keys && (s->key_count == 0 || s->key_count > had_keys);
    if ((s->topics & NX_TOPIC_STATE) && (!had_state || more_keys))
        nx_ws_resync(s);
}

static void on_subscribe(struct nx_ws_session *s, struct nx_span object, bool add) {
    json_error_t error;
    json_t *root = json_loadb(object.data, object.len, JSON_REJECT_DUPLICATES, &error);
    const json_t *topics = json_object_get(root, "topics"), *keys = json_object_get(root, "keys");
    unsigned bits = read_topics(topics);
    if (!root)
        say_error(s, "INVALID_REQUEST", error.text, nothing());
    else if (!topics && !keys)
        say_error(s, "INVALID_REQUEST", "topics or keys must be given", nothing());
    else if (topics && (!json_is_array(topics) || !bits))
        say_error(s, "INVALID_REQUEST", "topics must be of state, events, view, logs", nothing());
    else if (keys && (!json_is_array(keys) || !keys_valid(keys)))
        say_error(s, "INVALID_REQUEST", "keys must be at most 256 strings", nothing());
    else
        subscribe(s, bits, keys, add);
    json_decref(root);
}

// ---- All

void nx_ws_message(struct nx_ws_session *s, struct nx_span text) {
    char type[16];
    size_t len = 0;
    enum nx_json_kind kind;
    struct nx_error err = {0};
    if (nx_json_scan(text, &kind, &err) || kind != NX_JSON_OBJECT) {
        say_error(s, "INVALID_REQUEST", err.code ? err.message : "a message is a JSON object",
                  nothing());
        return;
    }
    if (take_text(text, "type", type, sizeof type, &len))
        len = 0;
    struct nx_span name = nx_span_of(type, len);
    if (nx_span_eq(name, nx_span_str("TRIGGER")))
        on_trigger(s, text);
    else if (nx_span_eq(name, nx_span_str("CANCEL")))
        on_cancel(s, text);
    else if (nx_span_eq(name, nx_span_str("SUBSCRIBE")))
        on_subscribe(s, text, true);
    else if (nx_span_eq(name, nx_span_str("UNSUBSCRIBE")))
        on_subscribe(s, text, false);
    else if (nx_span_eq(name, nx_span_str("PING")))
        nx_ws_send_once(s, nx_ws_text_pong(s->ws));
    else
        say_error(s, "INVALID_REQUEST",
                  "type must be TRIGGER, CANCEL, SUBSCRIBE, UNSUBSCRIBE or PING", nothing());
}
