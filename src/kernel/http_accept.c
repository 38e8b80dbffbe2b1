// SPDX-License-Identifier: Apache-2.0
// Accepting connections, a few in a turn of the loop, also when memory or descriptors are short.
// libuv accepts one after the other as long as they are taken from it. The one that is not taken
// waits there, and those behind it in the listener, until nx_http_accept_left. Where libuv gets
// none for want of a descriptor, it calls back for ever: then they are turned away at once.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "kernel/http_conn.h"

static void on_refused(uv_handle_t *handle) {
    free(handle->data);
}

// The descriptor that is given up when there is no other. A copy of the listener's: it needs no
// file, whatever this process may still open.
static bool keep_spare(struct nx_http *http, int listener) {
    if (http->spare_fd < 0)
        http->spare_fd = fcntl(listener, F_DUPFD_CLOEXEC, 0);
    return http->spare_fd >= 0;
}

// Frees a descriptor where there is no spare one: of somebody who waits for nothing, if possible.
static void drop_one(struct nx_http *http) {
    struct nx_http_conn *conn, *last = NULL;
    TAILQ_FOREACH(conn, &http->conns, link) {
        if (conn->state == NX_CONN_CLOSED)
            continue;
        last = conn;
        if (conn->state == NX_CONN_READING && conn->awaiting == NX_AWAIT_REQUEST)
            break;
    }
    if (conn || last)
        nx_http_conn_close(conn ? conn : last);
}

// Out of descriptors: the spare one makes room to accept those who wait, and close them. It is not
// taken again here. libuv accepts on until it is told that nobody is left, which it is not as long
// as there is no descriptor free.
static void turn_away_all(struct nx_http *http, uv_stream_t *listener) {
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)listener, &fd))
        return;
    if (http->spare_fd < 0)
        drop_one(http);
    nx_fd_close(&http->spare_fd);
    for (int i = 0; i < NX_HTTP_BACKLOG; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0)
            return;
        nx_fd_close(&client);
    }
}

static void take(struct nx_http *http, uv_stream_t *listener, struct nx_http_conn *conn) {
    uv_os_fd_t fd;
    // It may have the last descriptor: that one has to be free, see above.
    bool last = uv_fileno((uv_handle_t *)listener, &fd) == 0 && !keep_spare(http, fd);
    conn->http = http;
    conn->tcp.data = conn;
    uv_tcp_init(http->loop, &conn->tcp); // fails only with flags
    conn->ws_only = listener == (uv_stream_t *)&http->ws_listener;
    conn->metrics_only = listener == (uv_stream_t *)&http->metrics_listener;
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) || http->stopping || last) {
        uv_close((uv_handle_t *)&conn->tcp, on_refused);
        return;
    }
    TAILQ_INSERT_TAIL(&http->conns, conn, link);
    http->conn_count++;
    // Some of those past the cap are told so before they are closed, the rest is not.
    if (http->conn_count <= http->config.max_clients)
        nx_http_conn_start(conn);
    else if (http->conn_count <= http->config.max_clients + http->turned_away_max)
        nx_http_conn_turn_away(conn);
    else
        nx_http_conn_close(conn);
}

static uv_stream_t *listener_of(struct nx_http *http, unsigned index) {
    uv_tcp_t *listeners[NX_HTTP_LISTENERS] = {&http->listener, &http->ws_listener,
                                              &http->metrics_listener};
    return (uv_stream_t *)listeners[index];
}

// Takes the connection that waits in the listener, unless it has to wait on.
static void take_next(struct nx_http *http, unsigned index) {
    struct nx_http_conn *conn =
        http->turn_accepts < NX_HTTP_TURN_ACCEPTS ? calloc(1, sizeof *conn) : NULL;
    http->accept_left[index] = !conn;
    if (!conn)
        return;
    http->turn_accepts++;
    take(http, listener_of(http, index), conn);
}

void nx_http_on_connection(uv_stream_t *listener, int status) {
    struct nx_http *http = listener->data;
    if (status) {
        turn_away_all(http, listener);
        return;
    }
    for (unsigned i = 0; i < NX_HTTP_LISTENERS; i++)
        if (listener_of(http, i) == listener)
            take_next(http, i);
}

void nx_http_accept_left(struct nx_http *http) {
    // Each turn begins with another one: those behind two that are stormed would never have theirs.
    for (unsigned i = 0; i < NX_HTTP_LISTENERS; i++) {
        unsigned index = (unsigned)((http->turn + i) % NX_HTTP_LISTENERS);
        if (http->accept_left[index])
            take_next(http, index);
    }
}
