// SPDX-License-Identifier: Apache-2.0
// Replies. A body is rendered behind a gap, the head is then written into the end of the gap, and
// both leave in one system call.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "kernel/http_conn.h"

// Past this the reply buffer is not kept for the next reply.
enum { KEEP_OUT_BYTES = 1024 * 1024 };

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason_of(int status) {
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}

// ---- Heads

// Where a head is written. Every part has a cap that leaves room; what would not fit is dropped,
// and the head then refused.
struct head {
    size_t len;
    bool overflow;
    char bytes[NX_HTTP_HEAD_ROOM_BYTES];
};

static void put(struct head *head, const char *data, size_t len) {
    if (len > sizeof head->bytes - head->len) {
        head->overflow = true;
        return;
    }
    memcpy(head->bytes + head->len, data, len);
    head->len += len;
}

#define PUT(head, literal) put(head, literal, sizeof(literal) - 1)

static void put_str(struct head *head, const char *s) {
    put(head, s, strlen(s));
}

static void put_number(struct head *head, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    put(head, digits + at, sizeof digits - at);
}

static void put_header(struct head *head, const char *name_and_colon, const char *value) {
    if (!value)
        return;
    put_str(head, name_and_colon);
    put_str(head, value);
    PUT(head, "\r\n");
}

static void put_status(struct head *head, int status) {
    if (status == 200) {
        PUT(head, "HTTP/1.1 200 OK\r\n");
        return;
    }
    PUT(head, "HTTP/1.1 ");
    put_number(head, (uint64_t)status);
    PUT(head, " ");
    put_str(head, reason_of(status));
    PUT(head, "\r\n");
}

// For pages of other origins that may use the server. Without Access-Control-Allow-Credentials:
// tokens are sent by pages that have them, never added by the browser.
static void put_cors(struct head *head, const struct nx_http_conn *conn, bool preflight) {
    put_header(head, "Access-Control-Allow-Origin: ", conn->allowed_origin);
    put_header(head, "Vary: ", "Origin");
    if (!preflight) {
        put_header(head, "Access-Control-Expose-Headers: ",
                   "ETag, Idempotent-Replayed, Location, Preference-Applied, Retry-After, "
                   "X-Request-Id");
        return;
    }
    put_header(head, "Access-Control-Allow-Methods: ", nx_http_route_allow(conn->route));
    put_header(head, "Access-Control-Allow-Headers: ",
               "Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, traceparent, "
               "X-Request-Id");
    put_header(head, "Access-Control-Max-Age: ", "600");
}

static bool has_body(int status) {
    return status != 204 && status != 304;
}

static void make_head(const struct nx_http_conn *conn, const struct nx_http_reply *reply,
                      size_t body_bytes, struct head *head) {
    head->len = 0;
    head->overflow = false;
    put_status(head, reply->status);
    if (has_body(reply->status)) {
        put_header(
            head, "Content-Type: ", reply->content_type ? reply->content_type : "application/json");
        PUT(head, "Content-Length: ");
        put_number(head, body_bytes);
        PUT(head, "\r\n");
    }
    PUT(head, "X-Request-Id: ");
    put(head, conn->request_id, conn->request_id_len);
    PUT(head, "\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n");
    put_header(head, "Date: ", conn->http->date);
    put_header(head, "Location: ", reply->location);
    put_header(head, "ETag: ", reply->etag);
    put_header(head, "Allow: ", reply->allow);
    put_header(head, "WWW-Authenticate: ", reply->status == 401 ? "Bearer" : NULL);
    if (conn->allowed_origin)
        put_cors(head, conn, reply->preflight);
    if (reply->replayed)
        PUT(head, "Idempotent-Replayed: true\r\n");
    if (reply->preference_applied)
        PUT(head, "Preference-Applied: respond-async\r\n");
    if (reply->status == 426)
        PUT(head, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    if (reply->retry_after_s) {
        PUT(head, "Retry-After: ");
        put_number(head, reply->retry_after_s);
        PUT(head, "\r\n");
    }
    if (!conn->keep_alive)
        PUT(head, "Connection: close\r\n");
    PUT(head, "\r\n");
}

// ---- Writing

static void on_written(uv_write_t *write, int status) {
    struct nx_http_conn *conn = write->data;
    free(conn->unsent);
    conn->unsent = NULL;
    conn->unsent_len = 0;
    nx_http_conn_account(conn);
    if (conn->state == NX_CONN_CLOSED)
        return;
    if (status < 0)
        nx_http_conn_close(conn);
    else
        nx_http_conn_replied(conn);
}

// Keeps what the socket did not take at once.
static void write_later(struct nx_http_conn *conn, const char *data, size_t len) {
    conn->unsent = malloc(len);
    if (!conn->unsent) {
        nx_http_conn_close(conn);
        return;
    }
    memcpy(conn->unsent, data, len);
    conn->unsent_len = len;
    conn->state = NX_CONN_WRITING;
    conn->deadline_ms = uv_now(conn->http->loop) + NX_HTTP_WRITE_TIMEOUT_MS;
    conn->write.data = conn;
    uv_buf_t buf = uv_buf_init(conn->unsent, (unsigned)len);
    if (!nx_http_conn_account(conn) ||
        uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1, on_written))
        nx_http_conn_close(conn);
}

static void write_out(struct nx_http_conn *conn, char *data, size_t len) {
    uv_buf_t buf = uv_buf_init(data, (unsigned)len);
    int sent = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        nx_http_conn_close(conn);
        return;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done == len)
        nx_http_conn_replied(conn);
    else
        write_later(conn, data + done, len - done);
}

// ---- Replies

struct nx_buf *nx_http_body(struct nx_http *http) {
    struct nx_buf *out = &http->out;
    if (out->cap > KEEP_OUT_BYTES)
        nx_buf_free(out);
    nx_buf_reset(out);
    if (nx_buf_reserve(out, NX_HTTP_HEAD_ROOM_BYTES))
        out->len = NX_HTTP_HEAD_ROOM_BYTES;
    return out;
}

struct nx_http_ids nx_http_ids(const struct nx_http_conn *conn) {
    struct nx_http_ids ids = {
        .subject = conn->identity ? conn->identity->subject : "",
        .trace_key = conn->traceparent_len ? "traceparent" : NULL,
    };
    memcpy(ids.request, conn->request_id, conn->request_id_len);
    memcpy(ids.trace, conn->traceparent, conn->traceparent_len);
    return ids;
}

static void log_request(const struct nx_http_conn *conn, int status, uint64_t us) {
    struct nx_http_ids ids = nx_http_ids(conn);
    nx_log(status >= 500 ? NX_LOG_WARN : NX_LOG_DEBUG, "http", "request",
           NX_LOG_FIELDS(NX_LOG_STR("requestId", ids.request),
                         NX_LOG_STR("route", nx_http_route_pattern(conn->route)),
                         NX_LOG_INT("status", status), NX_LOG_STR("subject", ids.subject),
                         NX_LOG_INT("durationMs", (int64_t)(us / 1000)),
                         NX_LOG_STR(ids.trace_key, ids.trace)));
}

void nx_http_answered(struct nx_http_conn *conn, int status) {
    uint64_t us = (nx_clock_monotonic_ns() - conn->started_ns) / 1000;
    nx_metrics_request(conn->http->config.metrics, conn->route, status, us);
    if (nx_log_enabled(NX_LOG_DEBUG) || status >= 500)
        log_request(conn, status, us);
}

// Instead of a reply whose body could not be made. Enters nx_http_send with a sound body or not at
// all.
static void send_failure(struct nx_http_conn *conn) {
    struct nx_buf *out = nx_http_body(conn->http);
    nx_buf_append_str(out, "{\"error\":{\"code\":\"INTERNAL_ERROR\","
                           "\"message\":\"the reply could not be made\",\"requestId\":");
    nx_json_append_string(out, nx_span_of(conn->request_id, conn->request_id_len));
    nx_buf_append_str(out, "}}");
    if (out->failed)
        nx_http_conn_close(conn);
    else
        nx_http_send(conn, &(struct nx_http_reply){.status = 500});
}

void nx_http_send(struct nx_http_conn *conn, const struct nx_http_reply *reply) {
    struct nx_buf *out = &conn->http->out;
    struct head head;
    if (conn->http->draining)
        conn->keep_alive = false;
    size_t body = has_body(reply->status) ? out->len - NX_HTTP_HEAD_ROOM_BYTES : 0;
    if (out->failed) {
        send_failure(conn);
        return;
    }
    make_head(conn, reply, body, &head);
    if (head.overflow) {
        nx_http_conn_close(conn);
        return;
    }
    nx_http_answered(conn, reply->status);
    char *start = out->data + NX_HTTP_HEAD_ROOM_BYTES - head.len;
    memcpy(start, head.bytes, head.len);
    write_out(conn, start, head.len + (conn->is_head ? 0 : body));
}

// ---- Errors

struct nx_buf *nx_http_fail_begin(struct nx_http_conn *conn, const char *code,
                                  const char *message) {
    struct nx_buf *out = nx_http_body(conn->http);
    nx_buf_append_str(out, "{\"error\":{\"code\":\"");
    nx_buf_append_str(out, code);
    nx_buf_append_str(out, "\",\"message\":");
    nx_json_append_string(out, nx_span_str(message));
    return out;
}

void nx_http_fail_end(struct nx_http_conn *conn, const struct nx_http_reply *reply) {
    struct nx_buf *out = &conn->http->out;
    nx_buf_append_str(out, ",\"requestId\":");
    nx_json_append_string(out, nx_span_of(conn->request_id, conn->request_id_len));
    nx_buf_append_str(out, "}}");
    nx_http_send(conn, reply);
}

static void fail_with(struct nx_http_conn *conn, const struct nx_http_reply *reply,
                      const char *code, const char *message) {
    nx_http_fail_begin(conn, code, message);
    nx_http_fail_end(conn, reply);
}

void nx_http_fail(struct nx_http_conn *conn, int status, const char *code, const char *fmt, ...) {
    struct nx_http_reply reply = {.status = status};
    char message[NX_ERROR_MESSAGE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (status == 429 || status == 503)
        reply.retry_after_s = 1;
    if (status == 405)
        reply.allow = nx_http_route_allow(conn->route);
    fail_with(conn, &reply, code, message);
}

void nx_http_fail_error(struct nx_http_conn *conn, const struct nx_error *err,
                        const char *not_found_code) {
    switch (err->code) {
    case NX_E_INVALID:
        nx_http_fail(conn, 400, "INVALID_REQUEST", "%s", err->message);
        break;
    case NX_E_NOTFOUND:
        nx_http_fail(conn, 404, not_found_code, "%s", err->message);
        break;
    case NX_E_LIMIT:
        nx_http_fail(conn, 413, "RESOURCE_LIMIT", "%s", err->message);
        break;
    case NX_E_BUSY:
        nx_http_fail(conn, 429, "OVERLOADED", "%s", err->message);
        break;
    case NX_E_CLOSED:
        nx_http_fail(conn, 503, "UNAVAILABLE", "%s", err->message);
        break;
    case NX_E_NOMEM:
        nx_http_fail(conn, 503, "OVERLOADED", "%s", err->message);
        break;
    default:
        nx_http_fail(conn, 500, "INTERNAL_ERROR", "%s", err->message);
    }
}
