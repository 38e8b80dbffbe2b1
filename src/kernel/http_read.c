// SPDX-License-Identifier: Apache-2.0
// Reading from connections, so that none takes the loop for itself: in one turn of the loop each
// is read once, and when much has come of some of them, only a little of the others. Whoever has
// more is told by the loop again in the next turn.
#include "kernel/http_conn.h"

// Less than this has come of a body: it goes the way of everything small.
enum { SMALL_BYTES = 16 * 1024 };

void nx_http_conn_forget_put_off(struct nx_http_conn *conn) {
    if (!conn->put_off)
        return;
    conn->put_off = false;
    conn->http->put_off_count--;
    TAILQ_REMOVE(&conn->http->put_off, conn, put_off_link);
}

// The loop is not to tell of it meanwhile: from a thousand sockets on that have something, libuv
// asks for them dozens of times before it ends the turn.
static void put_off(struct nx_http_conn *conn) {
    uv_read_stop((uv_stream_t *)&conn->tcp);
    conn->put_off = true;
    conn->http->put_off_count++;
    TAILQ_INSERT_TAIL(&conn->http->put_off, conn, put_off_link);
}

// So many that none waits for longer than NX_HTTP_PUT_OFF_TURNS.
static void read_put_off(struct nx_http *http) {
    uint32_t count = (http->put_off_count + NX_HTTP_PUT_OFF_TURNS - 1) / NX_HTTP_PUT_OFF_TURNS;
    for (; count > 0; count--) {
        struct nx_http_conn *conn = TAILQ_FIRST(&http->put_off);
        nx_http_conn_forget_put_off(conn);
        nx_http_conn_read_on(conn);
    }
}

static void on_turn(uv_prepare_t *turner) {
    struct nx_http *http = turner->data;
    http->turn++;
    http->turn_bytes = 0;
    http->turn_accepts = 0;
    nx_http_accept_left(http);
    read_put_off(http);
}

void nx_http_read_init(struct nx_http *http) {
    uv_prepare_init(http->loop, &http->turner);
    uv_prepare_start(&http->turner, on_turn);
}

// Where the rest of the body goes, if there is room for it where its beginning is.
static uv_buf_t in_place(struct nx_http_conn *conn) {
    struct nx_buf *in = &conn->in;
    size_t room = in->cap > in->len ? in->cap - in->len - 1 : 0;
    size_t want = conn->need_bytes - in->len;
    if (want > NX_HTTP_READ_BYTES)
        want = NX_HTTP_READ_BYTES;
    return uv_buf_init(in->data + in->len, (unsigned)(want < room ? want : room));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)suggested;
    struct nx_http_conn *conn = handle->data;
    struct nx_http *http = conn->http;
    bool in_body = conn->state == NX_CONN_READING && conn->need_bytes > conn->in.len &&
                   conn->in.len >= SMALL_BYTES;
    bool enough = http->turn_bytes >= NX_HTTP_TURN_BYTES;
    bool later = in_body && enough && http->turn - conn->read_turn < NX_HTTP_PUT_OFF_TURNS;
    if (conn->read_turn == http->turn || later) {
        *buf = uv_buf_init(NULL, 0);
        return;
    }
    conn->read_turn = http->turn;
    if (in_body)
        *buf = in_place(conn);
    if (!in_body || buf->len == 0)
        *buf = uv_buf_init(http->scratch, sizeof http->scratch);
    if (enough && buf->len > NX_HTTP_LEAST_READ_BYTES)
        buf->len = NX_HTTP_LEAST_READ_BYTES;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct nx_http_conn *conn = stream->data;
    if (n == UV_ENOBUFS && conn->read_turn != conn->http->turn)
        put_off(conn);
    if (n == 0 || n == UV_ENOBUFS)
        return; // not now
    if (n < 0) {
        nx_http_conn_ended(conn, n == UV_EOF);
        return;
    }
    if (n > NX_HTTP_LEAST_READ_BYTES)
        conn->http->turn_bytes += (size_t)n;
    if (buf->base == conn->http->scratch)
        nx_http_conn_received(conn, nx_span_of(buf->base, (size_t)n));
    else
        nx_http_conn_received_in_place(conn, (size_t)n);
}

void nx_http_conn_read_on(struct nx_http_conn *conn) {
    if (uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read))
        nx_http_conn_close(conn);
}
