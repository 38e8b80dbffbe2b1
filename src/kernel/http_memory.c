// SPDX-License-Identifier: Apache-2.0
// What all connections hold together. Not whoever comes when that is too much goes, but whoever has
// held much for longest: a client that announces much and never sends it shuts out nobody else.
#include "kernel/http_conn.h"

// What is closed is freed when this turn of the loop ends, and counts no more.
static void count_bytes(struct nx_http_conn *conn) {
    bool gone = conn->state == NX_CONN_CLOSED;
    size_t now = gone ? 0 : conn->in.cap + conn->body.cap + conn->unsent_len;
    conn->http->buffered_bytes += now - conn->accounted_bytes;
    conn->accounted_bytes = now;
}

// Of the others that hold much, the one whose request began first: also one that waits for its
// result, for much can have come behind its request. Not one whose request is being looked at.
static struct nx_http_conn *longest_holding(const struct nx_http_conn *but) {
    struct nx_http_conn *conn, *found = NULL;
    TAILQ_FOREACH(conn, &but->http->conns, link) {
        if (conn != but && !conn->processing && conn->accounted_bytes > NX_MAX_HTTP_HEAD_BYTES &&
            (!found || conn->started_ns < found->started_ns))
            found = conn;
    }
    return found;
}

bool nx_http_conn_account(struct nx_http_conn *conn) {
    const struct nx_http *http = conn->http;
    struct nx_http_conn *other;
    count_bytes(conn);
    while (http->buffered_bytes > NX_MAX_HTTP_BUFFERED_BYTES && (other = longest_holding(conn)))
        nx_http_conn_close(other);
    return http->buffered_bytes <= NX_MAX_HTTP_BUFFERED_BYTES;
}
