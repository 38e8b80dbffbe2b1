// SPDX-License-Identifier: Apache-2.0
// A session's bytes. Framing, masks, fragments, UTF-8 and the closing handshake are wslay's; what
// is queued, and how long anything may take, is decided here.
#include <stdlib.h>

#include "base/clock.h"
#include "kernel/ws_session.h"

// Frames made in one go; what a client has not taken of them is kept for it.
enum { FLUSH_BYTES = 256 * 1024, KEEP_OUT_BYTES = 1024 * 1024 };

// ---- Frames in and out, for wslay ---------------------------------------------------------------

static ssize_t on_recv(wslay_event_context_ptr frames, uint8_t *data, size_t len, int flags,
                       void *user) {
    (void)flags;
    struct nx_ws_session *s = user;
    if (s->incoming.len == 0) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = len < s->incoming.len ? len : s->incoming.len;
    memcpy(data, s->incoming.data, n);
    s->incoming = nx_span_of(s->incoming.data + n, s->incoming.len - n);
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr frames, const uint8_t *data, size_t len, int flags,
                       void *user) {
    (void)flags;
    struct nx_ws_session *s = user;
    if (nx_buf_append(&s->ws->out, data, len)) {
        wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)len;
}

static void on_message(wslay_event_context_ptr frames,
                       const struct wslay_event_on_msg_recv_arg *arg, void *user) {
    (void)frames;
    struct nx_ws_session *s = user;
    if (arg->opcode == WSLAY_TEXT_FRAME && s->panel && !s->close_code)
        nx_ws_message(s, nx_span_of(arg->msg, arg->msg_length));
    else if (arg->opcode == WSLAY_BINARY_FRAME)
        nx_ws_close(s, NX_WS_UNSUPPORTED, "text messages only");
}

// ---- Opening ------------------------------------------------------------------------------------

// Milliseconds until the bearer's token is over; 0: it is.
static uint64_t token_left_ms(const struct nx_ws_session *s) {
    const struct nx_identity *identity = s->conn->identity;
    if (!identity)
        return UINT64_MAX;
    int64_t end_ms = (identity->expires_at_s + NX_TOKEN_LEEWAY_S) * 1000;
    int64_t left = end_ms - nx_clock_wall_ms();
    return left > 0 ? (uint64_t)left : 0;
}

// The connection's deadline is that of what is awaited, or the token's end.
static void set_deadline(struct nx_ws_session *s, uint64_t timeout_ms) {
    uint64_t left_ms = s->close_code ? UINT64_MAX : token_left_ms(s);
    s->conn->deadline_ms =
        uv_now(s->ws->http->loop) + (timeout_ms < left_ms ? timeout_ms : left_ms);
}

static int open_frames(struct nx_ws_session *s) {
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv, .send_callback = on_send, .on_msg_recv_callback = on_message};
    if (wslay_event_context_server_init(&s->frames, &callbacks, s)) {
        s->frames = NULL; // freed already, but still named
        return NX_E_NOMEM;
    }
    wslay_event_config_set_max_recv_msg_length(s->frames, s->ws->http->config.body_limit_bytes);
    return 0;
}

struct nx_ws_session *nx_ws_open(struct nx_ws *ws, struct nx_http_conn *conn,
                                 struct nx_panel *panel, struct nx_span reply) {
    struct nx_ws_session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->ws = ws;
    s->conn = conn;
    s->topics = NX_TOPIC_DEFAULT;
    STAILQ_INIT(&s->queue);
    TAILQ_INIT(&s->calls);
    uv_buf_t head = uv_buf_init((char *)reply.data, (unsigned)reply.len);
    // The head is the first thing on a connection whose last reply is out: the socket takes it.
    if (open_frames(s) || nx_ws_watch(s, panel) ||
        uv_try_write((uv_stream_t *)&conn->tcp, &head, 1) != (int)reply.len) {
        nx_ws_unwatch(s);
        wslay_event_context_free(s->frames);
        free(s);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&ws->all, s, all_link);
    ws->count++;
    set_deadline(s, NX_WS_PING_MS);
    nx_ws_send_once(s, nx_ws_text_connected(ws, panel));
    return s;
}

// ---- The queue ----------------------------------------------------------------------------------

static void drop_item(struct nx_ws_session *s, struct nx_ws_item *item) {
    STAILQ_REMOVE(&s->queue, item, nx_ws_item, link);
    s->queued_count--;
    s->queued_bytes -= item->text ? item->text->len : 0;
    if (item->kind == NX_WS_RESYNC)
        s->resync_pending = false;
    nx_ws_text_unref(item->text);
    free(item);
}

static void drop_items(struct nx_ws_session *s, bool patches_only) {
    struct nx_ws_item *item, *next;
    for (item = STAILQ_FIRST(&s->queue); item; item = next) {
        next = STAILQ_NEXT(item, link);
        if (!patches_only || item->kind == NX_WS_PATCH)
            drop_item(s, item);
    }
}

static bool push(struct nx_ws_session *s, struct nx_ws_text *text, enum nx_ws_kind kind) {
    struct nx_ws_item *item = calloc(1, sizeof *item);
    if (!item)
        return false;
    item->text = text;
    item->kind = kind;
    if (text)
        text->refs++;
    s->queued_count++;
    s->queued_bytes += text ? text->len : 0;
    s->resync_pending |= kind == NX_WS_RESYNC;
    STAILQ_INSERT_TAIL(&s->queue, item, link);
    nx_ws_touch(s);
    return true;
}

// An empty queue takes any message: one that is larger than the cap must have a way out.
static bool has_room(const struct nx_ws_session *s, size_t bytes) {
    return s->queued_count == 0 || (s->queued_count < NX_MAX_WS_QUEUED_MESSAGES &&
                                    s->queued_bytes + bytes <= NX_MAX_WS_QUEUED_BYTES);
}

static void give_up(struct nx_ws_session *s, const char *reason) {
    s->ws->dropped++;
    drop_items(s, false);
    nx_ws_close(s, NX_WS_TRY_AGAIN_LATER, reason);
}

void nx_ws_send(struct nx_ws_session *s, struct nx_ws_text *text, enum nx_ws_kind kind) {
    if (s->close_code || (kind == NX_WS_PATCH && s->resync_pending))
        return;
    if (!has_room(s, text->len) && !s->resync_pending) {
        drop_items(s, true);
        if (!push(s, NULL, NX_WS_RESYNC) || kind == NX_WS_PATCH)
            return;
    }
    if (!has_room(s, text->len))
        give_up(s, "too slow");
    else if (!push(s, text, kind))
        give_up(s, "out of memory");
}

void nx_ws_send_once(struct nx_ws_session *s, struct nx_ws_text *text) {
    if (text)
        nx_ws_send(s, text, NX_WS_PLAIN);
    else
        give_up(s, "out of memory");
    nx_ws_text_unref(text);
}

void nx_ws_touch(struct nx_ws_session *s) {
    if (s->dirty)
        return;
    s->dirty = true;
    TAILQ_INSERT_TAIL(&s->ws->dirty, s, dirty_link);
}

void nx_ws_close(struct nx_ws_session *s, enum nx_ws_code code, const char *reason) {
    if (s->close_code)
        return;
    s->close_code = (uint16_t)code;
    s->close_reason = reason;
    set_deadline(s, NX_WS_CLOSE_TIMEOUT_MS);
    nx_ws_touch(s);
}

// ---- Writing ------------------------------------------------------------------------------------

static void pause_reading(struct nx_ws_session *s, bool pause) {
    if (s->read_paused == pause)
        return;
    s->read_paused = pause;
    if (pause)
        uv_read_stop((uv_stream_t *)&s->conn->tcp);
    else
        nx_http_conn_read_on(s->conn);
}

static void on_written(uv_write_t *write, int status) {
    struct nx_http_conn *conn = write->data;
    free(conn->unsent);
    conn->unsent = NULL;
    conn->unsent_len = 0;
    nx_http_conn_account(conn);
    struct nx_ws_session *s = conn->ws;
    if (conn->state == NX_CONN_CLOSED || !s)
        return;
    s->writing = false;
    if (status < 0) {
        nx_http_conn_close(conn);
        return;
    }
    pause_reading(s, false);
    nx_ws_touch(s);
}

// Keeps what the socket did not take. Until it is out nothing more is written, and nothing read:
// a client that does not listen is not answered.
static void write_later(struct nx_ws_session *s, const char *data, size_t len) {
    struct nx_http_conn *conn = s->conn;
    conn->unsent = malloc(len);
    if (!conn->unsent) {
        nx_http_conn_close(conn);
        return;
    }
    memcpy(conn->unsent, data, len);
    conn->unsent_len = len;
    conn->write.data = conn;
    uv_buf_t buf = uv_buf_init(conn->unsent, (unsigned)len);
    s->writing = true;
    pause_reading(s, true);
    if (!nx_http_conn_account(conn) ||
        uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1, on_written))
        nx_http_conn_close(conn);
}

// Hands the next messages to wslay until enough is in ws->out. False: something failed.
static bool make_frames(struct nx_ws_session *s) {
    struct nx_ws_item *item;
    while ((item = STAILQ_FIRST(&s->queue)) && s->ws->out.len < FLUSH_BYTES) {
        struct nx_ws_text *text = item->text;
        if (text)
            text->refs++;
        else
            text = s->panel ? nx_ws_text_resync(s->ws, s->panel) : NULL;
        drop_item(s, item);
        if (!text)
            return s->panel == NULL;
        struct wslay_event_msg message = {WSLAY_TEXT_FRAME, (const uint8_t *)text->data, text->len};
        int rc = wslay_event_queue_msg(s->frames, &message);
        nx_ws_text_unref(text);
        if (rc == 0)
            rc = wslay_event_send(s->frames);
        if (rc)
            return rc == WSLAY_ERR_NO_MORE_MSG; // closing already: what is left goes nowhere
    }
    if (s->close_code && !s->close_queued && !item) {
        s->close_queued = true;
        wslay_event_queue_close(s->frames, s->close_code, (const uint8_t *)s->close_reason,
                                strlen(s->close_reason));
    }
    return wslay_event_send(s->frames) == 0; // pongs, and the answer to a closing client
}

void nx_ws_flush(struct nx_ws_session *s) {
    struct nx_buf *out = &s->ws->out;
    if (s->writing || s->conn->state == NX_CONN_CLOSED)
        return;
    nx_buf_reset(out);
    if (!make_frames(s)) {
        nx_http_conn_close(s->conn);
        return;
    }
    uv_buf_t buf = uv_buf_init(out->data, (unsigned)out->len);
    int sent = out->len ? uv_try_write((uv_stream_t *)&s->conn->tcp, &buf, 1) : 0;
    if (sent < 0 && sent != UV_EAGAIN) {
        nx_http_conn_close(s->conn);
        return;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done < out->len)
        write_later(s, out->data + done, out->len - done);
    else if (!STAILQ_EMPTY(&s->queue))
        nx_ws_touch(s); // the rest in the next turn: others come first
    else if (!wslay_event_want_read(s->frames) && !wslay_event_want_write(s->frames))
        nx_http_conn_close(s->conn); // the closing handshake is done
    if (out->cap > KEEP_OUT_BYTES)
        nx_buf_free(out);
}

// ---- Reading, and time --------------------------------------------------------------------------

void nx_ws_received(struct nx_ws_session *s, struct nx_span data) {
    s->ping_sent = false;
    if (!s->close_code)
        set_deadline(s, NX_WS_PING_MS);
    s->incoming = data;
    int rc = wslay_event_recv(s->frames);
    s->incoming = (struct nx_span){0};
    if (rc)
        nx_http_conn_close(s->conn);
    else if (s->conn->state != NX_CONN_CLOSED)
        nx_ws_touch(s);
}

// Idle for a while: a ping shows whether the client is there, and keeps what lies between awake.
void nx_ws_expire(struct nx_ws_session *s) {
    if (!s->close_code && token_left_ms(s) == 0) {
        nx_ws_close(s, NX_WS_TOKEN_EXPIRED, "the token has expired");
        return;
    }
    if (s->close_code || s->ping_sent || s->writing) {
        nx_http_conn_close(s->conn);
        return;
    }
    struct wslay_event_msg ping = {WSLAY_PING, NULL, 0};
    s->ping_sent = true;
    set_deadline(s, NX_WS_PONG_TIMEOUT_MS);
    if (wslay_event_queue_msg(s->frames, &ping))
        nx_http_conn_close(s->conn);
    else
        nx_ws_touch(s);
}

void nx_ws_flush_and_close(struct nx_ws_session *s) {
    nx_ws_close(s, NX_WS_GOING_AWAY, "the server is stopping");
}

void nx_ws_ended(struct nx_ws_session *s) {
    nx_ws_detach_calls(s);
    nx_ws_unwatch(s);
    TAILQ_REMOVE(&s->ws->all, s, all_link);
    s->ws->count--;
    if (s->dirty)
        TAILQ_REMOVE(&s->ws->dirty, s, dirty_link);
    drop_items(s, false);
    for (size_t i = 0; i < s->key_count; i++)
        free(s->keys[i]);
    free((void *)s->keys);
    wslay_event_context_free(s->frames);
    s->conn->ws = NULL;
    free(s);
}
