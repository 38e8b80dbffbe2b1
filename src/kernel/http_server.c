// SPDX-License-Identifier: Apache-2.0
// The server: its address, time limits, and the way to its end.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "kernel/http_conn.h"
#include "kernel/http_replay.h"
#include "kernel/loop.h"
#include "kernel/ws.h"
#include "kernel/ws_ticket.h"

enum { SWEEP_MS = 1000 };

// ---- Time

static void refresh_date(struct nx_http *http) {
    time_t now = time(NULL);
    struct tm tm;
    // The process keeps the C locale, whose names are those of HTTP.
    strftime(http->date, sizeof http->date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
}

static void on_sweep(uv_timer_t *timer) {
    struct nx_http *http = timer->data;
    uint64_t now = uv_now(http->loop);
    refresh_date(http);
    nx_replays_expire(http->replays);
    struct nx_http_conn *conn;
    // Closing takes a connection off the list later, from the loop: the walk is safe.
    TAILQ_FOREACH(conn, &http->conns, link) {
        bool flush_over = http->stopping && now >= http->flush_until_ms;
        if (flush_over)
            nx_http_conn_close(conn);
        else if (conn->deadline_ms && now >= conn->deadline_ms && conn->state != NX_CONN_CLOSED)
            nx_http_conn_expire(conn);
    }
}

// ---- Starting

// As many connections as descriptors, less those that others need: a worker that cannot be started
// for want of one is worse than a client that is sent away. The soft limit is raised to the hard
// one first.
static int limit_clients(struct nx_http *http, struct nx_error *err) {
    struct nx_http_config *config = &http->config;
    struct rlimit files;
    http->turned_away_max = NX_HTTP_SPARE_FDS / 2;
    if (getrlimit(RLIMIT_NOFILE, &files))
        return nx_error_errno(err, "getrlimit");
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == RLIM_INFINITY)
        return 0;
    rlim_t own = NX_OWN_FDS + (rlim_t)config->worker_fds;
    if (files.rlim_cur < own + NX_HTTP_LEAST_FDS)
        return nx_error_set(err, NX_E_IO, "%ju descriptors (ulimit -Hn) are too few: at least %ju",
                            (uintmax_t)files.rlim_cur, (uintmax_t)(own + NX_HTTP_LEAST_FDS));
    // Where there are few, clients and extensions get less, workers do not.
    rlim_t left = files.rlim_cur - own;
    rlim_t spare = left / 4 < NX_HTTP_SPARE_FDS ? left / 4 : NX_HTTP_SPARE_FDS;
    rlim_t most = left - spare;
    http->turned_away_max = (uint32_t)(spare / 2);
    if (config->max_clients > most)
        config->max_clients = (uint32_t)most;
    return 0;
}

static int parse_address(const char *host, uint16_t port, struct sockaddr_storage *address) {
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)address) == 0)
        return 0;
    return uv_ip6_addr(host, port, (struct sockaddr_in6 *)address);
}

// Binds and puts "scheme://host:port" with the real port into `url`, whose number is returned in
// *port.
static int bind_listener(uv_tcp_t *listener, const char *scheme, const char *host, uint16_t *port,
                         char url[NX_HTTP_URL_BYTES], struct nx_error *err) {
    struct sockaddr_storage address = {0};
    if (parse_address(host, *port, &address))
        return nx_error_set(err, NX_E_INVALID, "%s is not an address", host);
    int rc = uv_tcp_bind(listener, (struct sockaddr *)&address, 0);
    // The socket reports an address in use only when asked for its name, or when it listens.
    int len = sizeof address;
    if (rc == 0)
        rc = uv_tcp_getsockname(listener, (struct sockaddr *)&address, &len);
    if (rc)
        return nx_error_set(err, NX_E_IO, "cannot bind %s port %u: %s", host, *port,
                            uv_strerror(rc));
    bool ipv6 = address.ss_family == AF_INET6;
    *port = ntohs(ipv6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                       : ((struct sockaddr_in *)&address)->sin_port);
    snprintf(url, NX_HTTP_URL_BYTES, ipv6 ? "%s://[%s]:%u" : "%s://%s:%u", scheme, host, *port);
    return 0;
}

static int bind_listeners(struct nx_http *http, const struct nx_http_config *config,
                          struct nx_error *err) {
    uint16_t ws_port = (uint16_t)config->ws_port, metrics_port = (uint16_t)config->metrics_port;
    int rc =
        bind_listener(&http->listener, "http", config->host, &http->config.port, http->url, err);
    if (rc == 0 && config->ws_port >= 0)
        rc = bind_listener(&http->ws_listener, "ws", config->host, &ws_port, http->ws_listen_url,
                           err);
    if (rc == 0 && config->metrics_port >= 0)
        rc = bind_listener(&http->metrics_listener, "http", config->host, &metrics_port,
                           http->metrics_url, err);
    return rc;
}

// "http://host" -> "ws://host", "https://host" -> "wss://host".
static int make_ws_url(struct nx_http *http, const char *public_url, struct nx_error *err) {
    const char *base = public_url ? public_url : http->url;
    struct nx_buf url;
    nx_buf_init(&url, NX_MAX_HTTP_TARGET_BYTES);
    nx_buf_append_str(&url, "ws");
    nx_buf_append_str(&url, strncmp(base, "http", 4) == 0 ? base + 4 : base);
    http->ws_url = nx_buf_steal(&url, &http->ws_url_len);
    if (http->ws_url)
        return 0;
    nx_buf_free(&url);
    return nx_error_set(err, NX_E_NOMEM, "out of memory");
}

static void free_server(struct nx_http *http) {
    nx_fd_close(&http->spare_fd);
    nx_ws_tickets_free(http->tickets);
    nx_replays_free(http->replays);
    free(http->ws_url);
    nx_buf_free(&http->out);
    free(http);
}

static void never_started_closed(void *user) {
    struct nx_http *http = user;
    if (--http->open_handles == 0)
        free_server(http);
}

static void on_never_started(uv_handle_t *handle) {
    never_started_closed(handle->data);
}

static void close_handles(struct nx_http *http, uv_close_cb on_close) {
    uv_handle_t *handles[] = {
        (uv_handle_t *)&http->listener,         (uv_handle_t *)&http->ws_listener,
        (uv_handle_t *)&http->metrics_listener, (uv_handle_t *)&http->sweep,
        (uv_handle_t *)&http->resumer,          (uv_handle_t *)&http->turner};
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++)
        uv_close(handles[i], on_close);
}

static struct nx_http *new_server(uv_loop_t *loop, struct nx_runtime *runtime,
                                  const struct nx_http_config *config) {
    struct nx_http *http = calloc(1, sizeof *http);
    if (!http)
        return NULL;
    http->loop = loop;
    http->runtime = runtime;
    http->config = *config;
    http->config.host = http->config.public_url = NULL;
    http->started_ms = uv_now(loop);
    http->spare_fd = -1;
    TAILQ_INIT(&http->conns);
    TAILQ_INIT(&http->resume);
    TAILQ_INIT(&http->put_off);
    nx_buf_init(&http->out, NX_MAX_HTTP_REPLY_BYTES);
    // Without entropy, ids of requests are still distinct within one run.
    if (getrandom(&http->request_seed, sizeof http->request_seed, 0) < 0)
        http->request_seed = (uint64_t)time(NULL);
    refresh_date(http);
    return http;
}

int nx_http_new(struct nx_http **out, uv_loop_t *loop, struct nx_runtime *runtime,
                const struct nx_http_config *config, struct nx_error *err) {
    struct nx_http *http = new_server(loop, runtime, config);
    if (!http)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    http->tickets = nx_ws_tickets_new();
    if (!http->tickets || uv_tcp_init(loop, &http->listener)) {
        free_server(http);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    uv_tcp_init(loop, &http->ws_listener); // fails only with flags
    uv_tcp_init(loop, &http->metrics_listener);
    uv_timer_init(loop, &http->sweep);
    uv_idle_init(loop, &http->resumer);
    nx_http_read_init(http);
    http->listener.data = http->ws_listener.data = http->metrics_listener.data = http;
    http->sweep.data = http->resumer.data = http->turner.data = http;
    http->open_handles = 6;
    int rc = limit_clients(http, err);
    if (rc == 0)
        rc = nx_loop_reserve(loop, http->config.max_clients + NX_OTHER_FDS, err);
    if (rc == 0)
        rc = bind_listeners(http, config, err);
    if (rc == 0)
        rc = make_ws_url(http, config->public_url, err);
    if (rc == 0)
        rc = nx_replays_new(&http->replays, http, err);
    if (rc == 0)
        rc = nx_ws_new(&http->ws, http, err);
    if (rc) {
        close_handles(http, on_never_started);
        return rc;
    }
    *out = http;
    return 0;
}

int nx_http_listen(struct nx_http *http, struct nx_error *err) {
    const struct {
        uv_tcp_t *listener;
        const char *url;
    } all[] = {{&http->listener, http->url},
               {&http->ws_listener, http->ws_listen_url},
               {&http->metrics_listener, http->metrics_url}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int rc = all[i].url[0] ? uv_listen((uv_stream_t *)all[i].listener, NX_HTTP_BACKLOG,
                                           nx_http_on_connection)
                               : 0;
        if (rc)
            return nx_error_set(err, NX_E_IO, "cannot listen on %s: %s", all[i].url,
                                uv_strerror(rc));
    }
    uv_timer_start(&http->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    return 0;
}

void nx_http_set_ready(struct nx_http *http) {
    http->ready = true;
}

void nx_http_set_protections(struct nx_http *http, uint32_t in_force) {
    http->protections = in_force;
}

const char *nx_http_url(const struct nx_http *http) {
    return http->url;
}

const char *nx_http_ws_listen_url(const struct nx_http *http) {
    return http->ws_listen_url[0] ? http->ws_listen_url : http->url;
}

const char *nx_http_metrics_url(const struct nx_http *http) {
    return http->metrics_url;
}

uint32_t nx_http_max_clients(const struct nx_http *http) {
    return http->config.max_clients;
}

// ---- Stopping

void nx_http_drain(struct nx_http *http) {
    http->draining = true;
    nx_ws_drain(http->ws);
}

void nx_http_check_stopped(struct nx_http *http) {
    if (!http->stopping || http->open_handles > 0 || http->conn_count > 0)
        return;
    void (*on_stopped)(void *user) = http->on_stopped;
    void *user = http->on_stopped_user;
    free_server(http);
    on_stopped(user);
}

static void one_closed(void *user) {
    struct nx_http *http = user;
    http->open_handles--;
    nx_http_check_stopped(http);
}

static void on_handle_closed(uv_handle_t *handle) {
    one_closed(handle->data);
}

// The sweep goes on until the last reply is out: it watches over the time for that.
static void on_flush_check(uv_timer_t *timer) {
    struct nx_http *http = timer->data;
    on_sweep(timer);
    if (http->conn_count == 0) {
        uv_timer_stop(timer);
        close_handles(http, on_handle_closed);
        http->open_handles++;
        nx_ws_free(http->ws, one_closed, http);
    }
}

void nx_http_stop(struct nx_http *http, void (*on_stopped)(void *user), void *user) {
    enum { FLUSH_CHECK_MS = 5 };
    http->stopping = http->draining = true;
    http->runtime = NULL;
    http->on_stopped = on_stopped;
    http->on_stopped_user = user;
    http->flush_until_ms = uv_now(http->loop) + NX_HTTP_FLUSH_TIMEOUT_MS;
    struct nx_http_conn *conn;
    TAILQ_FOREACH(conn, &http->conns, link) {
        // BUSY: whoever was to answer went with the runtime.
        conn->trigger = NULL;
        if (conn->state == NX_CONN_READING || conn->state == NX_CONN_BUSY)
            nx_http_conn_close(conn);
        // Those with triggers under way until now: the last of their results go out first.
        if (conn->state == NX_CONN_UPGRADED)
            nx_ws_flush_and_close(conn->ws);
    }
    uv_timer_start(&http->sweep, on_flush_check, 0, FLUSH_CHECK_MS);
}
