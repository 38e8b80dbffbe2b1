// SPDX-License-Identifier: Apache-2.0
// Reading from connections, so that none takes the loop for itself: in one turn of the loop each
// is read once, and when much has come of some of them, only a little of the others. Whoever has
// more is told by the loop again in the next turn.
#include "kernel/http_conn.h"

enum {
    // Less than this has come of a body: it goes the way of everything small.
    SMALL_BYTES = 16 * 1024,
    // What is read of small things when the turn has had its bytes: most requests and messages.
    LEAST_BYTES = 4 * 1024,
    // A body is not put off for longer: the loop tells of those first who have sent for longest.
    MOST_TURNS = 64,
};

static void on_turn(uv_prepare_t *turner) {
    struct nx_http *http = turner->data;
    http->turn++;
    http->turn_bytes = 0;
    http->turn_accepts = 0;
    nx_http_accept_left(http);
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

static bool is_put_off(const struct nx_http_conn *conn) {
    const struct nx_http *http = conn->http;
    return http->turn_bytes >= NX_HTTP_TURN_BYTES && http->turn - conn->read_turn < MOST_TURNS;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)suggested;
    struct nx_http_conn *conn = handle->data;
    struct nx_http *http = conn->http;
    bool in_body = conn->state == NX_CONN_READING && conn->need_bytes > conn->in.len &&
                   conn->in.len >= SMALL_BYTES;
    bool put_off = is_put_off(conn);
    if (conn->read_turn == http->turn || (in_body && put_off)) {
        *buf = uv_buf_init(NULL, 0);
        return;
    }
    conn->read_turn = http->turn;
    if (in_body)
        *buf = in_place(conn);
    if (!in_body || buf->len == 0)
        *buf = uv_buf_init(http->scratch, put_off ? LEAST_BYTES : sizeof http->scratch);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct nx_http_conn *conn = stream->data;
    if (n == 0 || n == UV_ENOBUFS)
        return; // not now
    if (n < 0) {
        nx_http_conn_ended(conn, n == UV_EOF);
        return;
    }
    if (n > LEAST_BYTES)
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
