// SPDX-License-Identifier: Apache-2.0
// A connection. In the common case a request lies whole in the server's read buffer and is handled
// from there: nothing is copied, nothing allocated. What is incomplete, or came while a request is
// at work, is kept in `in`.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "kernel/http_conn.h"
#include "kernel/http_replay.h"
#include "kernel/ws.h"

// A buffer larger than this is given back when it is empty.
enum { KEEP_IN_BYTES = 4096 };

// ---- Memory

static void drop_received(struct nx_http_conn *conn, size_t len) {
    nx_buf_consume(&conn->in, len);
    if (conn->in.len == 0 && conn->in.cap > KEEP_IN_BYTES)
        nx_buf_free(&conn->in);
    nx_http_conn_account(conn);
}

// Ready for the next head.
static void forget_request(struct nx_http_conn *conn) {
    conn->admitted = false;
    conn->need_bytes = 0;
    conn->chunk_pos = 0;
    conn->chunks = (struct nx_http_chunks){0};
    if (conn->body.cap) {
        nx_buf_free(&conn->body);
        nx_http_conn_account(conn);
    }
}

// ---- Ending

static void on_closed(uv_handle_t *handle) {
    struct nx_http_conn *conn = handle->data;
    struct nx_http *http = conn->http;
    nx_buf_free(&conn->in);
    nx_buf_free(&conn->body);
    free(conn->unsent);
    conn->unsent = NULL;
    conn->unsent_len = 0;
    nx_identity_unref(conn->identity);
    TAILQ_REMOVE(&http->conns, conn, link);
    http->conn_count--;
    free(conn);
    nx_http_check_stopped(http);
}

void nx_http_conn_close(struct nx_http_conn *conn) {
    if (conn->state == NX_CONN_CLOSED)
        return;
    conn->state = NX_CONN_CLOSED;
    if (conn->ws)
        nx_ws_ended(conn->ws);
    // The execution goes on and commits; only nobody hears of it.
    if (conn->trigger)
        nx_trigger_detach(conn->trigger);
    conn->trigger = NULL;
    if (conn->wait)
        conn->wait->conn = NULL;
    conn->wait = NULL;
    nx_replay_forget(conn);
    if (conn->resuming)
        TAILQ_REMOVE(&conn->http->resume, conn, resume_link);
    conn->resuming = false;
    nx_http_conn_forget_put_off(conn);
    conn->http->buffered_bytes -= conn->accounted_bytes;
    conn->accounted_bytes = 0;
    uv_close((uv_handle_t *)&conn->tcp, on_closed);
}

static void set_deadline(struct nx_http_conn *conn, uint64_t timeout_ms) {
    conn->deadline_ms = uv_now(conn->http->loop) + timeout_ms;
}

static void on_shut_down(uv_shutdown_t *shutdown, int status) {
    (void)shutdown;
    (void)status; // the time limit ends what the client does not
}

static void resume_reading(struct nx_http_conn *conn);

// Closing a socket with unread bytes resets it, and the reset can overtake the reply. So: no more
// writing, read to the end for a while, then close.
void nx_http_conn_linger(struct nx_http_conn *conn) {
    if (conn->peer_done ||
        uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->tcp, on_shut_down) != 0) {
        nx_http_conn_close(conn);
        return;
    }
    conn->state = NX_CONN_LINGERING;
    set_deadline(conn, NX_HTTP_LINGER_TIMEOUT_MS);
    resume_reading(conn);
}

// ---- From bytes to requests

// Starts the time limit of what is awaited, unless it runs already.
static void await(struct nx_http_conn *conn, enum nx_http_awaiting what) {
    static const uint32_t limits_ms[] = {
        [NX_AWAIT_REQUEST] = NX_HTTP_IDLE_TIMEOUT_MS,
        [NX_AWAIT_HEAD] = NX_HTTP_HEAD_TIMEOUT_MS,
        [NX_AWAIT_BODY] = NX_HTTP_BODY_TIMEOUT_MS,
    };
    if (conn->awaiting == what && conn->deadline_ms)
        return;
    conn->awaiting = what;
    set_deadline(conn, limits_ms[what]);
}

static bool id_acceptable(struct nx_span id) {
    for (size_t i = 0; i < id.len; i++)
        if (id.data[i] < 0x21 || id.data[i] > 0x7e)
            return false;
    return id.len > 0 && id.len <= NX_MAX_HTTP_REQUEST_ID_BYTES;
}

// The client's id if it can be echoed and logged as it is, else a new one: 24 hexadecimal digits.
static void take_request_id(struct nx_http_conn *conn, struct nx_span given) {
    static const char hex[] = "0123456789abcdef";
    if (id_acceptable(given)) {
        memcpy(conn->request_id, given.data, given.len);
        conn->request_id_len = given.len;
        return;
    }
    struct nx_http *http = conn->http;
    uint64_t count = ++http->request_count;
    for (int i = 0; i < 12; i++)
        conn->request_id[i] = hex[(http->request_seed >> (4 * i)) & 15];
    for (int i = 0; i < 12; i++)
        conn->request_id[12 + i] = hex[(count >> (44 - 4 * i)) & 15];
    conn->request_id_len = 24;
}

static void take_traceparent(struct nx_http_conn *conn, struct nx_span given) {
    conn->traceparent_len = nx_http_traceparent_valid(given) ? given.len : 0;
    if (conn->traceparent_len)
        memcpy(conn->traceparent, given.data, given.len);
}

static void begin_request(struct nx_http_conn *conn, const struct nx_http_head *head) {
    take_request_id(conn, head->headers[NX_HEADER_X_REQUEST_ID]);
    take_traceparent(conn, head->headers[NX_HEADER_TRACEPARENT]);
    conn->is_head = head->method == NX_HTTP_HEAD;
    conn->respond_async = head->respond_async;
    conn->route = NX_ROUTE_ANY;
    conn->allowed_origin =
        nx_origins_match(conn->http->config.origins, head->headers[NX_HEADER_ORIGIN]);
    nx_identity_unref(conn->identity);
    conn->identity = NULL;
    conn->started_ns = nx_clock_monotonic_ns();
}

// Answers what cannot be understood, or received any further, and ends the connection: where the
// next request would begin is unknown.
static void refuse(struct nx_http_conn *conn, int status, const char *code, const char *message) {
    conn->keep_alive = false;
    conn->state = NX_CONN_BUSY;
    nx_http_fail(conn, status, code, "%s", message);
}

// The same before a head was understood.
static void refuse_unread(struct nx_http_conn *conn, int status, const char *code,
                          const char *message) {
    struct nx_http_head none = {0};
    if (!conn->admitted)
        begin_request(conn, &none);
    refuse(conn, status, code, message);
}

static void send_continue(struct nx_http_conn *conn) {
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t buf = uv_buf_init(text, sizeof text - 1);
    // A fresh socket takes these bytes. If not, the client sends its body after a while anyway.
    uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
}

// Looks at a head for the first time. False: answered.
static bool admit(struct nx_http_conn *conn, const struct nx_http_head *head,
                  struct nx_http_match *match, bool whole) {
    struct nx_error err = {0};
    begin_request(conn, head);
    conn->keep_alive = head->keep_alive && whole;
    conn->state = NX_CONN_BUSY;
    int rc = nx_http_route(head->target, match, &err);
    if (rc) {
        nx_http_fail_error(conn, &err, "NOT_FOUND");
        return false;
    }
    conn->route = match->route;
    if (!nx_http_admit(conn, head, match))
        return false;
    conn->state = NX_CONN_READING;
    conn->keep_alive = head->keep_alive;
    conn->admitted = true;
    if (!whole && head->expect_continue)
        send_continue(conn);
    return true;
}

// Decodes what came of a chunked body. Returns true when it is complete; otherwise more must come,
// or the request was refused.
static bool take_chunks(struct nx_http_conn *conn, const struct nx_http_head *head,
                        struct nx_span data) {
    size_t limit = conn->http->config.body_limit_bytes, used = 0;
    if (conn->chunk_pos == 0) {
        nx_buf_init(&conn->body, limit);
        conn->chunk_pos = head->bytes;
    }
    struct nx_span rest = nx_span_of(data.data + conn->chunk_pos, data.len - conn->chunk_pos);
    enum nx_http_parsed rc = nx_http_chunks_feed(&conn->chunks, rest, &conn->body, &used);
    conn->chunk_pos += used;
    bool memory = nx_http_conn_account(conn) && conn->body.failed != NX_E_NOMEM;
    if (!memory)
        refuse(conn, 503, "OVERLOADED", "too many bytes are being received");
    else if (conn->body.failed || conn->chunk_pos - head->bytes > limit * NX_HTTP_CHUNK_OVERHEAD)
        refuse(conn, 413, "RESOURCE_LIMIT", "the body is too large");
    else if (rc == NX_HTTP_REFUSED)
        refuse(conn, 400, "INVALID_REQUEST", "malformed chunked body");
    return rc == NX_HTTP_COMPLETE && conn->state == NX_CONN_READING;
}

static void run_request(struct nx_http_conn *conn, const struct nx_http_head *head,
                        const struct nx_http_match *match, struct nx_span body) {
    struct nx_http_request request = {conn, head, match, body};
    conn->state = NX_CONN_BUSY;
    conn->deadline_ms = 0;
    nx_http_dispatch(&request);
    forget_request(conn);
}

// Handles the request at the start of `data`, if it is whole. Returns how many bytes it took: 0
// when more must come, and also when the connection is ending, where that does not matter any more.
static size_t take_request(struct nx_http_conn *conn, struct nx_span data) {
    if (conn->admitted && data.len < conn->need_bytes)
        return 0;
    struct nx_http_head head;
    struct nx_http_match match;
    enum nx_http_parsed rc = nx_http_parse_head(data, &head);
    if (rc == NX_HTTP_INCOMPLETE) {
        await(conn, NX_AWAIT_HEAD);
        return 0;
    }
    if (rc == NX_HTTP_REFUSED) {
        begin_request(conn, &head);
        refuse(conn, head.fault_status, "INVALID_REQUEST", head.fault_message);
        return 0;
    }
    // A content length is at most 19 digits, so the sum does not wrap.
    uint64_t total = head.bytes + head.content_length;
    bool whole = !head.chunked && data.len >= total;
    if (!conn->admitted) {
        if (!admit(conn, &head, &match, whole))
            return whole ? (size_t)total : 0;
    } else if (nx_http_route(head.target, &match, NULL)) {
        return 0; // cannot be: the same bytes had a route before
    }
    struct nx_span body = nx_span_of(data.data + head.bytes, (size_t)head.content_length);
    if (head.chunked) {
        if (!take_chunks(conn, &head, data)) {
            if (conn->state == NX_CONN_READING)
                await(conn, NX_AWAIT_BODY);
            return 0;
        }
        total = conn->chunk_pos;
        body = nx_buf_span(&conn->body);
    } else if (!whole) {
        conn->need_bytes = (size_t)total;
        await(conn, NX_AWAIT_BODY);
        return 0;
    }
    run_request(conn, &head, &match, body);
    return (size_t)total;
}

// Handles the requests in `data` one after the other, as long as each is answered at once and the
// turn of the loop leaves time for it; what is left has its turn later. Returns how many bytes they
// took.
static size_t take_requests(struct nx_http_conn *conn, struct nx_span data) {
    const uint64_t until_ns = nx_clock_monotonic_ns() + NX_HTTP_TURN_NS;
    size_t used = 0;
    bool more;
    conn->processing = true;
    do {
        size_t taken = take_request(conn, nx_span_of(data.data + used, data.len - used));
        used += taken;
        more = conn->state == NX_CONN_READING && taken && used < data.len;
    } while (more && nx_clock_monotonic_ns() < until_ns);
    conn->processing = false;
    if (more)
        nx_http_conn_resume(conn);
    return used;
}

// The connection has just become a WebSocket: what came behind the request are frames.
static void begin_frames(struct nx_http_conn *conn, struct nx_span data) {
    if (data.len)
        nx_ws_received(conn->ws, data);
}

static void process_received(struct nx_http_conn *conn) {
    if (conn->in.len)
        drop_received(conn, take_requests(conn, nx_buf_span(&conn->in)));
    if (conn->state == NX_CONN_UPGRADED) {
        struct nx_buf first = conn->in;
        nx_buf_init(&conn->in, first.max_bytes);
        nx_http_conn_account(conn);
        resume_reading(conn);
        if (conn->state == NX_CONN_UPGRADED)
            begin_frames(conn, nx_buf_span(&first));
        nx_buf_free(&first);
        return;
    }
    if (conn->state != NX_CONN_READING || conn->resuming)
        return;
    // Nothing more will come to complete what is left.
    if (conn->peer_done)
        nx_http_conn_close(conn);
    else
        resume_reading(conn);
}

// ---- What came

// As much of the request's body as has come three times over is made room for at once: growing step
// by step would move it each time, and what a client only announces must not cost memory.
static void expect_body(struct nx_http_conn *conn, size_t more) {
    size_t all = 4 * (conn->in.len + more);
    if (conn->need_bytes > conn->in.len)
        nx_buf_expect(&conn->in, (all < conn->need_bytes ? all : conn->need_bytes) - conn->in.len);
}

static void keep_received(struct nx_http_conn *conn, struct nx_span data) {
    if (data.len == 0 || conn->state == NX_CONN_LINGERING || conn->state == NX_CONN_CLOSED)
        return;
    if (conn->state == NX_CONN_READING)
        expect_body(conn, data.len);
    nx_buf_append_span(&conn->in, data);
    if (!nx_http_conn_account(conn) || conn->in.failed) {
        if (conn->state == NX_CONN_READING)
            refuse_unread(conn, 503, "OVERLOADED", "too many bytes are being received");
        else
            nx_http_conn_close(conn);
        return;
    }
    bool has_requests = conn->state != NX_CONN_READING || conn->resuming;
    if (has_requests && conn->in.len > NX_MAX_HTTP_AHEAD_BYTES) {
        uv_read_stop((uv_stream_t *)&conn->tcp);
        conn->paused = true;
    }
}

void nx_http_conn_received(struct nx_http_conn *conn, struct nx_span data) {
    size_t used = 0;
    if (conn->state == NX_CONN_UPGRADED) {
        nx_ws_received(conn->ws, data);
        return;
    }
    if (conn->state == NX_CONN_READING && conn->in.len == 0)
        used = take_requests(conn, data);
    if (conn->state == NX_CONN_UPGRADED) {
        begin_frames(conn, nx_span_of(data.data + used, data.len - used));
        return;
    }
    bool had = conn->in.len > 0;
    keep_received(conn, nx_span_of(data.data + used, data.len - used));
    if (had && conn->state == NX_CONN_READING && !conn->resuming)
        process_received(conn);
}

void nx_http_conn_received_in_place(struct nx_http_conn *conn, size_t len) {
    conn->in.len += len;
    if (conn->in.len < conn->need_bytes)
        expect_body(conn, 0);
    if (nx_http_conn_account(conn))
        process_received(conn);
    else
        refuse_unread(conn, 503, "OVERLOADED", "too many bytes are being received");
}

void nx_http_conn_ended(struct nx_http_conn *conn, bool orderly) {
    conn->peer_done = true;
    // A client may close its half and still read the reply. Anything but an orderly end is final.
    bool waits_for_reply = conn->state == NX_CONN_BUSY || conn->state == NX_CONN_WRITING;
    if (!orderly || !(waits_for_reply || conn->resuming))
        nx_http_conn_close(conn);
}

// ---- Between requests

static void resume_reading(struct nx_http_conn *conn) {
    if (!conn->paused)
        return;
    conn->paused = false;
    nx_http_conn_read_on(conn);
}

static void on_resumer(uv_idle_t *resumer) {
    struct nx_http *http = resumer->data;
    struct nx_http_conn *conn;
    size_t count = 0;
    TAILQ_FOREACH(conn, &http->resume, resume_link)
    count++;
    // Those that come on again have their turn in the loop's next.
    while (count-- > 0 && (conn = TAILQ_FIRST(&http->resume))) {
        TAILQ_REMOVE(&http->resume, conn, resume_link);
        conn->resuming = false;
        if (conn->state == NX_CONN_READING)
            process_received(conn);
    }
    if (TAILQ_EMPTY(&http->resume))
        uv_idle_stop(resumer);
}

void nx_http_conn_resume(struct nx_http_conn *conn) {
    struct nx_http *http = conn->http;
    if (conn->resuming)
        return;
    conn->resuming = true;
    TAILQ_INSERT_TAIL(&http->resume, conn, resume_link);
    uv_idle_start(&http->resumer, on_resumer);
}

void nx_http_conn_replied(struct nx_http_conn *conn) {
    conn->trigger = NULL;
    conn->wait = NULL;
    if (!conn->keep_alive) {
        nx_http_conn_linger(conn);
        return;
    }
    conn->state = NX_CONN_READING;
    conn->deadline_ms = 0;
    await(conn, NX_AWAIT_REQUEST);
    if (conn->in.len <= NX_MAX_HTTP_AHEAD_BYTES) // else when some of it is used up
        resume_reading(conn);
    // Not from here: this may be deep inside a callback of the runtime.
    if (!conn->processing && (conn->in.len || conn->peer_done) && conn->state == NX_CONN_READING)
        nx_http_conn_resume(conn);
}

void nx_http_conn_expire(struct nx_http_conn *conn) {
    if (conn->state == NX_CONN_UPGRADED) {
        nx_ws_expire(conn->ws);
        return;
    }
    conn->deadline_ms = 0;
    if (conn->state != NX_CONN_READING || conn->awaiting == NX_AWAIT_REQUEST) {
        nx_http_conn_close(conn);
        return;
    }
    refuse_unread(conn, 408, "REQUEST_TIMEOUT", "the request did not arrive in time");
}

void nx_http_conn_start(struct nx_http_conn *conn) {
    size_t limit = conn->http->config.body_limit_bytes;
    nx_buf_init(&conn->in,
                NX_MAX_HTTP_HEAD_BYTES + limit * NX_HTTP_CHUNK_OVERHEAD + 2 * NX_HTTP_READ_BYTES);
    conn->state = NX_CONN_READING;
    conn->route = NX_ROUTE_ANY;
    await(conn, NX_AWAIT_REQUEST);
    uv_tcp_nodelay(&conn->tcp, 1);
    nx_http_conn_read_on(conn);
}

void nx_http_conn_turn_away(struct nx_http_conn *conn) {
    nx_http_conn_start(conn);
    if (conn->state == NX_CONN_READING)
        refuse_unread(conn, 503, "OVERLOADED", "too many connections are open");
}
