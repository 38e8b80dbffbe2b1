// SPDX-License-Identifier: Apache-2.0
// The messages that the server sends, as JSON.
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "kernel/result.h"
#include "kernel/ws_session.h"

// Past this the buffer that messages are made in is not kept.
enum { KEEP_SCRATCH_BYTES = 1024 * 1024 };

static struct nx_buf *begin(struct nx_ws *ws, const char *type) {
    struct nx_buf *out = &ws->scratch;
    nx_buf_reset(out);
    nx_buf_append_str(out, "{\"type\":\"");
    nx_buf_append_str(out, type);
    nx_buf_append_char(out, '"');
    return out;
}

static struct nx_ws_text *new_text(struct nx_ws *ws, size_t size) {
    struct nx_ws_text *text = malloc(sizeof *text + size);
    if (!text)
        return NULL;
    text->ws = ws;
    text->refs = 1;
    text->leaving = 0;
    text->len = 0;
    return text;
}

struct nx_ws_text *nx_ws_frame(struct nx_ws *ws, uint8_t opcode, struct nx_span payload) {
    enum { HEAD_BYTES = 10 }; // of the largest frame, unmasked
    struct wslay_frame_iocb frame = {
        .fin = 1,
        .opcode = opcode,
        .payload_length = payload.len,
        .data = (const uint8_t *)payload.data,
        .data_length = payload.len,
    };
    struct nx_ws_text *text = new_text(ws, HEAD_BYTES + payload.len);
    if (!text)
        return NULL;
    ws->framed = text;
    if (wslay_frame_send(ws->framer, &frame) != (ssize_t)payload.len) {
        free(text);
        return NULL;
    }
    ws->held_bytes += text->len;
    return text;
}

struct nx_ws_text *nx_ws_text_raw(struct nx_ws *ws, struct nx_span frames) {
    struct nx_ws_text *text = new_text(ws, frames.len);
    if (!text)
        return NULL;
    if (frames.len)
        memcpy(text->data, frames.data, frames.len);
    text->len = frames.len;
    ws->held_bytes += text->len;
    return text;
}

static struct nx_ws_text *end(struct nx_ws *ws) {
    struct nx_buf *out = &ws->scratch;
    struct nx_ws_text *text = NULL;
    if (nx_buf_append_char(out, '}') == 0)
        text = nx_ws_frame(ws, WSLAY_TEXT_FRAME, nx_buf_span(out));
    if (out->cap > KEEP_SCRATCH_BYTES)
        nx_buf_free(out);
    return text;
}

// Counts it as freed when nobody has it but those who leave.
static void discount(struct nx_ws_text *text) {
    if (!text->ws || text->refs > text->leaving)
        return;
    text->ws->held_bytes -= text->len;
    text->ws = NULL;
}

void nx_ws_text_unref(struct nx_ws_text *text) {
    if (!text)
        return;
    text->refs--;
    discount(text);
    if (text->refs == 0)
        free(text);
}

void nx_ws_text_leave(struct nx_ws_text *text) {
    text->leaving++;
    discount(text);
}

void nx_ws_text_left(struct nx_ws_text *text) {
    text->leaving--;
    nx_ws_text_unref(text);
}

static void put_string(struct nx_buf *out, const char *key, struct nx_span value) {
    nx_json_append_key(out, key);
    nx_json_append_string(out, value);
}

// Many messages are made within a millisecond.
static void put_timestamp(struct nx_ws *ws) {
    int64_t now_ms = nx_clock_wall_ms();
    if (now_ms != ws->stamped_ms)
        nx_clock_rfc3339(now_ms, ws->stamp);
    ws->stamped_ms = now_ms;
    put_string(&ws->scratch, "timestamp", nx_span_str(ws->stamp));
}

static void put_request_id(struct nx_buf *out, struct nx_span id) {
    if (id.len)
        put_string(out, "requestId", id);
}

static void put_state(struct nx_buf *out, const struct nx_panel *panel) {
    nx_buf_printf(out, ",\"version\":%" PRIu64 ",\"state\":", nx_panel_state_version(panel));
    nx_panel_render_state(panel, out);
}

struct nx_ws_text *nx_ws_text_connected(struct nx_ws *ws, const struct nx_panel *panel) {
    struct nx_buf *out = begin(ws, "CONNECTED");
    put_string(out, "panelId", nx_span_str(nx_panel_id(panel)));
    put_state(out, panel);
    return end(ws);
}

// The keys that the session has narrowed to, as far as there are any.
static void put_wanted_state(struct nx_buf *out, const struct nx_ws_session *session) {
    nx_buf_printf(out, ",\"version\":%" PRIu64 ",\"state\":{",
                  nx_panel_state_version(session->panel));
    for (size_t i = 0; i < session->key_count; i++) {
        struct nx_span key = nx_span_str(session->keys[i]);
        struct nx_span value = nx_panel_state_value(session->panel, key);
        if (value.len == 0)
            continue;
        nx_json_append_comma(out);
        nx_json_append_string(out, key);
        nx_buf_append_char(out, ':');
        nx_buf_append_span(out, value);
    }
    nx_buf_append_char(out, '}');
}

struct nx_ws_text *nx_ws_text_resync(const struct nx_ws_session *session) {
    struct nx_buf *out = begin(session->ws, "RESYNC");
    if (session->key_count)
        put_wanted_state(out, session);
    else
        put_state(out, session->panel);
    return end(session->ws);
}

static struct nx_span request_id_of(const struct nx_ws_call *call) {
    return nx_span_of(call->request_id, call->request_id_len);
}

struct nx_ws_text *nx_ws_text_result(struct nx_ws *ws, const struct nx_ws_call *call,
                                     const struct nx_result *result) {
    struct nx_buf *out = begin(ws, "RESULT");
    put_request_id(out, request_id_of(call));
    nx_buf_append_char(out, ',');
    nx_result_render_members(out, result);
    return end(ws);
}

struct nx_ws_text *nx_ws_text_progress(struct nx_ws *ws, const struct nx_ws_call *call,
                                       const struct nx_result *result) {
    struct nx_buf *out = begin(ws, "PROGRESS");
    put_request_id(out, request_id_of(call));
    nx_buf_append_str(out, ",\"status\":\"suspended\",\"mutations\":");
    nx_result_render_mutations(out, result->mutations, result->mutation_count);
    nx_buf_append_str(out, ",\"events\":");
    nx_result_render_events(out, result->events, result->event_count);
    nx_buf_append_str(out, ",\"suspension\":");
    nx_result_render_suspension(out, result);
    return end(ws);
}

// The mutations that `session` wants, each as an array of one: what is between the brackets.
static void put_wanted(struct nx_buf *out, const struct nx_ws_session *session,
                       const struct nx_mutation *mutations, size_t count) {
    struct nx_buf one;
    nx_buf_init(&one, NX_MAX_FRAME_BYTES);
    nx_buf_append_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (!nx_ws_wants_key(session, mutations[i].key))
            continue;
        nx_buf_reset(&one);
        nx_json_append_comma(out);
        if (nx_result_render_mutations(&one, &mutations[i], 1) == 0)
            nx_buf_append(out, one.data + 1, one.len - 2);
    }
    nx_buf_append_char(out, ']');
    nx_buf_free(&one);
}

struct nx_ws_text *nx_ws_text_patch(struct nx_ws *ws, const struct nx_ws_session *session,
                                    uint64_t version, const struct nx_mutation *mutations,
                                    size_t count) {
    struct nx_buf *out = begin(ws, "PATCH");
    nx_buf_printf(out, ",\"version\":%" PRIu64 ",\"mutations\":", version);
    if (session)
        put_wanted(out, session, mutations, count);
    else
        nx_result_render_mutations(out, mutations, count);
    put_timestamp(ws);
    return end(ws);
}

static void put_json(struct nx_buf *out, const char *key, struct nx_span json) {
    if (json.len == 0)
        return;
    nx_json_append_key(out, key);
    nx_buf_append_span(out, json);
}

struct nx_ws_text *nx_ws_text_event(struct nx_ws *ws, const struct nx_event *event) {
    struct nx_buf *out = begin(ws, "EVENT");
    put_string(out, "name", event->name);
    put_json(out, "payload", event->payload_json);
    put_timestamp(ws);
    return end(ws);
}

struct nx_ws_text *nx_ws_text_view(struct nx_ws *ws, const struct nx_view_command *view) {
    struct nx_buf *out = begin(ws, "VIEW");
    put_string(out, "command", view->type);
    put_string(out, "componentId", view->component_id);
    put_json(out, "args", view->args_json);
    return end(ws);
}

struct nx_ws_text *nx_ws_text_log(struct nx_ws *ws, const char *handler,
                                  const struct nx_log_entry *entry) {
    struct nx_buf *out = begin(ws, "LOG");
    put_string(out, "handler", nx_span_str(handler));
    put_string(out, "level", entry->level);
    put_string(out, "message", entry->message);
    put_timestamp(ws);
    return end(ws);
}

struct nx_ws_text *nx_ws_text_error(struct nx_ws *ws, const char *code, const char *message,
                                    struct nx_span request_id) {
    struct nx_buf *out = begin(ws, "ERROR");
    put_request_id(out, request_id);
    put_string(out, "code", nx_span_str(code));
    put_string(out, "message", nx_span_str(message));
    return end(ws);
}

struct nx_ws_text *nx_ws_text_closed(struct nx_ws *ws, const char *reason) {
    put_string(begin(ws, "CLOSED"), "reason", nx_span_str(reason));
    return end(ws);
}

struct nx_ws_text *nx_ws_text_pong(struct nx_ws *ws) {
    begin(ws, "PONG");
    return end(ws);
}
