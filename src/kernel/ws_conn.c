// SPDX-License-Identifier: Apache-2.0
// A session's bytes coming in, its time and its end. Masks, fragments, UTF-8 and the closing
// handshake are wslay's; messages are put together here, so that what they take is counted: wslay
// would spend a hundred bytes on each fragment of one.
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "kernel/ws_session.h"

// Frames are taken in slices, and what they are answered goes out between two of them, so that
// the answers to one read cannot fill the queue: the smallest frame has 6 bytes.
enum { SLICE_BYTES = 4096, ANSWERS_BETWEEN = 128 };

// ---- Opening

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

void nx_ws_progress(struct nx_ws_session *s) {
    if (!s->close_code)
        set_deadline(s, NX_WS_PING_MS);
}

// What waits in the socket for a client that does not read counts for nothing here, and grows old.
// Where the system does not know the option, it is more.
static void limit_unsent(struct nx_http_conn *conn) {
    uv_os_fd_t fd;
    int bytes = NX_WS_UNSENT_BYTES;
    if (uv_fileno((uv_handle_t *)&conn->tcp, &fd) == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

static ssize_t on_recv(wslay_event_context_ptr frames, uint8_t *data, size_t len, int flags,
                       void *user) {
    (void)flags;
    struct nx_ws_session *s = ((struct nx_ws *)user)->reading;
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
    struct nx_ws *ws = user;
    if (nx_buf_append(&ws->scratch, data, len)) {
        wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)len;
}

// A client's frame: its lengths have one form each, and it is masked.
static uint64_t frame_bytes(uint64_t payload_bytes) {
    unsigned length_bytes = payload_bytes < 126 ? 0 : payload_bytes < 65536 ? 2 : 8;
    return 2 + length_bytes + 4 + payload_bytes;
}

static void on_frame_start(wslay_event_context_ptr frames,
                           const struct wslay_event_on_frame_recv_start_arg *arg, void *user) {
    struct nx_ws_session *s = ((struct nx_ws *)user)->reading;
    s->framed_bytes += frame_bytes(arg->payload_length);
    s->in_control = wslay_is_ctrl_frame(arg->opcode);
    if (s->in_control)
        return;
    s->in_message = !arg->fin;
    // Of one frame wslay knows that it is too large, of all of a message only we do.
    if (arg->payload_length <= s->ws->http->config.body_limit_bytes - s->message.len)
        return;
    wslay_event_shutdown_read(frames);
    nx_ws_drop_queue(s);
    nx_ws_close(s, NX_WS_TOO_BIG, "the message is too large");
}

static void on_chunk(wslay_event_context_ptr frames,
                     const struct wslay_event_on_frame_recv_chunk_arg *arg, void *user) {
    struct nx_ws_session *s = ((struct nx_ws *)user)->reading;
    if (s->in_control || !wslay_event_get_read_enabled(frames))
        return;
    if (nx_buf_append(&s->message, arg->data, arg->data_length)) {
        wslay_event_shutdown_read(frames);
        nx_ws_give_up(s, "out of memory");
    }
}

static void on_message(wslay_event_context_ptr frames,
                       const struct wslay_event_on_msg_recv_arg *arg, void *user) {
    struct nx_ws_session *s = ((struct nx_ws *)user)->reading;
    if (arg->opcode == WSLAY_CONNECTION_CLOSE && arg->msg_length == 1)
        s->failed = true; // half a code
    if (wslay_is_ctrl_frame(arg->opcode) || !wslay_event_get_read_enabled(frames))
        return;
    if (arg->opcode == WSLAY_BINARY_FRAME)
        nx_ws_close(s, NX_WS_UNSUPPORTED, "text messages only");
    else if (s->panel && !s->close_code)
        nx_ws_message(s, nx_buf_span(&s->message));
    nx_buf_reset(&s->message);
}

bool nx_ws_take_context(struct nx_ws_session *s) {
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv,
        .send_callback = on_send,
        .on_frame_recv_start_callback = on_frame_start,
        .on_frame_recv_chunk_callback = on_chunk,
        .on_msg_recv_callback = on_message,
    };
    struct nx_ws *ws = s->ws;
    if (s->frames)
        return true;
    s->received_bytes = s->framed_bytes = 0;
    s->frames = ws->at_rest;
    ws->at_rest = NULL;
    if (s->frames)
        return true;
    if (wslay_event_context_server_init(&s->frames, &callbacks, ws)) {
        s->frames = NULL; // freed already, but still named
        return false;
    }
    wslay_event_config_set_no_buffering(s->frames, 1);
    wslay_event_config_set_max_recv_msg_length(s->frames, ws->http->config.body_limit_bytes);
    return true;
}

// Everything given to wslay was whole frames, of whole messages, and answered: nothing of this
// session is left in the context.
static void give_context_back(struct nx_ws_session *s) {
    struct nx_ws *ws = s->ws;
    if (!s->frames || ws->reading == s || s->close_code || s->in_message ||
        s->received_bytes != s->framed_bytes || wslay_event_want_write(s->frames))
        return;
    if (ws->at_rest)
        wslay_event_context_free(s->frames);
    else
        ws->at_rest = s->frames;
    s->frames = NULL;
}

struct nx_ws_session *nx_ws_open(struct nx_ws *ws, struct nx_http_conn *conn,
                                 struct nx_panel *panel, struct nx_span reply) {
    struct nx_ws_session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->ws = ws;
    s->conn = conn;
    s->topics = NX_TOPIC_DEFAULT;
    nx_buf_init(&s->message, ws->http->config.body_limit_bytes);
    TAILQ_INIT(&s->calls);
    uv_buf_t head = uv_buf_init((char *)reply.data, (unsigned)reply.len);
    // The head is the first thing on a connection whose last reply is out: the socket takes it.
    if (nx_ws_watch(s, panel) ||
        uv_try_write((uv_stream_t *)&conn->tcp, &head, 1) != (int)reply.len) {
        nx_ws_unwatch(s);
        free(s);
        return NULL;
    }
    limit_unsent(conn);
    TAILQ_INSERT_TAIL(&ws->all, s, all_link);
    ws->count++;
    set_deadline(s, NX_WS_PING_MS);
    nx_ws_send_once(s, nx_ws_text_connected(ws, panel));
    return s;
}

// ---- Reading

// While nothing can be sent nothing is read: a client that does not listen is not answered.
static void pause_reading(struct nx_ws_session *s, bool pause) {
    if (s->read_paused == pause)
        return;
    s->read_paused = pause;
    if (pause)
        uv_read_stop((uv_stream_t *)&s->conn->tcp);
    else
        nx_http_conn_read_on(s->conn);
}

// wslay reads no further: the client closed, or broke a rule for which wslay has its close frame
// ready; or, if it has not, ours says so. What was queued is not for such a client.
static void stop_listening(struct nx_ws_session *s, bool failed) {
    s->failed |= failed;
    nx_ws_drop_queue(s);
    if (s->failed) {
        static const char code[] = {NX_WS_PROTOCOL_ERROR >> 8, (char)(NX_WS_PROTOCOL_ERROR & 0xff)};
        s->close_code = 0;
        nx_ws_send_once(s,
                        nx_ws_frame(s->ws, WSLAY_CONNECTION_CLOSE, nx_span_of(code, sizeof code)));
    }
    nx_ws_close(s, NX_WS_PROTOCOL_ERROR, "");
}

static void take_slice(struct nx_ws_session *s, struct nx_span data) {
    s->incoming = data;
    s->received_bytes += data.len;
    int rc = wslay_event_recv(s->frames);
    s->incoming = (struct nx_span){0};
    if (rc || !wslay_event_want_read(s->frames))
        stop_listening(s, rc != 0);
}

static size_t answers_waiting(const struct nx_ws_session *s) {
    return s->queue.count + wslay_event_get_queued_msg_count(s->frames);
}

static bool listens(const struct nx_ws_session *s) {
    return wslay_event_want_read(s->frames) && !s->failed;
}

// Takes frames until the client is to take something first, or has had its time of this turn of the
// loop. Returns how many bytes were taken; the session may be gone.
static size_t take_frames(struct nx_ws_session *s, struct nx_span data) {
    const uint64_t until_ns = nx_clock_monotonic_ns() + NX_WS_TURN_NS;
    struct nx_http_conn *conn = s->conn;
    struct nx_ws *ws = s->ws;
    size_t used = 0;
    ws->reading = s;
    while (used < data.len && !s->writing && listens(s) &&
           (used == 0 || nx_clock_monotonic_ns() < until_ns)) {
        size_t n = data.len - used < SLICE_BYTES ? data.len - used : SLICE_BYTES;
        take_slice(s, nx_span_of(data.data + used, n));
        used += n;
        while (conn->ws == s && !s->writing && answers_waiting(s) >= ANSWERS_BETWEEN)
            nx_ws_flush(s);
        if (conn->ws != s)
            break;
    }
    ws->reading = NULL;
    // What comes behind the end of listening is not for anybody.
    return conn->ws == s && (s->writing || listens(s)) ? used : data.len;
}

void nx_ws_received(struct nx_ws_session *s, struct nx_span data) {
    struct nx_ws *ws = s->ws;
    struct nx_http_conn *conn = s->conn;
    if (!nx_ws_take_context(s)) {
        nx_http_conn_close(conn);
        return;
    }
    s->ping_sent = false;
    if (!s->close_code) {
        if (token_left_ms(s) == 0)
            nx_ws_close(s, NX_WS_TOKEN_EXPIRED, "the token has expired");
        else
            set_deadline(s, NX_WS_PING_MS);
    }
    if (!s->message.data) { // most messages are whole: one buffer serves all sessions
        s->message = ws->spare;
        nx_buf_init(&ws->spare, s->message.max_bytes);
    }
    size_t used = conn->in.len ? 0 : take_frames(s, data);
    if (conn->ws != s)
        return;
    if (used < data.len && nx_buf_append(&conn->in, data.data + used, data.len - used)) {
        nx_http_conn_close(conn);
        return;
    }
    if (s->message.len == 0) {
        nx_buf_free(&ws->spare);
        ws->spare = s->message;
        nx_buf_init(&s->message, ws->spare.max_bytes);
        if (ws->spare.cap > NX_HTTP_READ_BYTES)
            nx_buf_free(&ws->spare);
    }
    if (conn->in.len)
        pause_reading(s, true); // until that is taken
    give_context_back(s);
    nx_ws_account(s);
    nx_ws_touch(s);
    nx_ws_evict(ws);
}

void nx_ws_unblock(struct nx_ws_session *s) {
    struct nx_http_conn *conn = s->conn;
    pause_reading(s, s->writing);
    if (!s->writing && conn->in.len == 0)
        give_context_back(s);
    if (s->writing || conn->in.len == 0)
        return;
    struct nx_buf kept = conn->in;
    nx_buf_init(&conn->in, kept.max_bytes);
    nx_ws_received(s, nx_buf_span(&kept));
    nx_buf_free(&kept);
}

// ---- Closing, and time

void nx_ws_close(struct nx_ws_session *s, enum nx_ws_code code, const char *reason) {
    if (s->close_code)
        return;
    s->close_code = (uint16_t)code;
    s->close_reason = reason;
    set_deadline(s, NX_WS_CLOSE_TIMEOUT_MS);
    nx_ws_touch(s);
}

// The client may be sending still, and a socket closed with bytes unread takes the close frame
// back: like a reply that closes, it is followed by silence.
void nx_ws_all_out(struct nx_ws_session *s) {
    struct nx_http_conn *conn = s->conn;
    if (!s->failed && wslay_event_want_read(s->frames)) {
        nx_ws_unblock(s); // the client's close frame is awaited
        return;
    }
    pause_reading(s, false);
    nx_ws_ended(s);
    nx_http_conn_linger(conn);
}

// Idle for a while: a ping shows whether the client is there, and keeps what lies between awake.
void nx_ws_expire(struct nx_ws_session *s) {
    if (!s->close_code && token_left_ms(s) == 0) {
        nx_ws_close(s, NX_WS_TOKEN_EXPIRED, "the token has expired");
        return;
    }
    if (!s->close_code && s->writing) {
        nx_ws_give_up(s, "too slow");
        return;
    }
    if (s->close_code || s->ping_sent) {
        nx_http_conn_close(s->conn);
        return;
    }
    s->ping_sent = true;
    set_deadline(s, NX_WS_PONG_TIMEOUT_MS);
    nx_ws_send_once(s, nx_ws_frame(s->ws, WSLAY_PING, (struct nx_span){0}));
}

void nx_ws_flush_and_close(struct nx_ws_session *s) {
    nx_ws_close(s, NX_WS_GOING_AWAY, "the server is stopping");
}

void nx_ws_ended(struct nx_ws_session *s) {
    nx_ws_detach_calls(s);
    nx_ws_unwatch(s);
    TAILQ_REMOVE(&s->ws->all, s, all_link);
    s->ws->count--;
    nx_ws_drop_queue(s);
    nx_ws_untouch(s);
    nx_buf_free(&s->message);
    nx_buf_free(&s->conn->in);
    if (s->writing)
        nx_ws_text_leave(s->conn->write.data);
    s->writing = false;
    nx_ws_account(s);
    for (size_t i = 0; i < s->key_count; i++)
        free(s->keys[i]);
    free((void *)s->keys);
    wslay_event_context_free(s->frames);
    s->conn->ws = NULL;
    free(s);
}
