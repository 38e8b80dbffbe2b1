// SPDX-License-Identifier: Apache-2.0
// POST /panels: creating a panel from JSON or NXML.
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "kernel/http_conn.h"

// ---- Failures

// `,"details":{"line","column","diagnostics":[…]}`: the first error's place, and every finding.
static void put_details(struct nx_buf *out, const struct nx_diagnostics *found) {
    if (found->count == 0)
        return;
    nx_buf_append_str(out, ",\"details\":{");
    for (size_t i = 0; i < found->count; i++) {
        const struct nx_diagnostic *d = &found->items[i];
        if (d->warning || !d->pos.line)
            continue;
        nx_buf_printf(out, "\"line\":%" PRIu32 ",\"column\":%" PRIu32, d->pos.line, d->pos.column);
        break;
    }
    nx_json_append_key(out, "diagnostics");
    nx_buf_append_char(out, '[');
    for (size_t i = 0; i < found->count; i++) {
        const struct nx_diagnostic *d = &found->items[i];
        nx_json_append_comma(out);
        nx_buf_printf(out, "{\"severity\":\"%s\",\"code\":\"%s\",\"message\":",
                      d->warning ? "warning" : "error", d->code);
        nx_json_append_string(out, nx_span_str(d->message));
        if (d->pos.line)
            nx_buf_printf(out, ",\"line\":%" PRIu32 ",\"column\":%" PRIu32, d->pos.line,
                          d->pos.column);
        nx_buf_append_char(out, '}');
    }
    nx_buf_append_str(out, "]}");
}

static int status_of(const struct nx_http *http, const struct nx_panel_failure *failure) {
    static const struct {
        const char *code;
        int status;
    } statuses[] = {
        {"INVALID_NXML", 400},
        {"INVALID_REQUEST", 400},
        {"PANEL_EXISTS", 409},
        {"OVERLOADED", 503},
    };
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (strcmp(failure->code, statuses[i].code) == 0)
            return statuses[i].status;
    // Too many panels is a state of the server; too large a state is a property of the request.
    if (strcmp(failure->code, "RESOURCE_LIMIT") == 0)
        return nx_runtime_panel_count(http->runtime) >= http->config.max_panels ? 429 : 413;
    return nx_runtime_stopping(http->runtime) ? 503 : 500;
}

static void send_failure(struct nx_http_conn *conn, const struct nx_panel_failure *failure) {
    struct nx_http_reply reply = {.status = status_of(conn->http, failure)};
    if (reply.status == 429 || reply.status == 503)
        reply.retry_after_s = 1;
    const char *message = failure->message;
    // The first error says more than that there is one.
    for (size_t i = 0; i < failure->diagnostics->count; i++) {
        if (!failure->diagnostics->items[i].warning) {
            message = failure->diagnostics->items[i].message;
            break;
        }
    }
    put_details(nx_http_fail_begin(conn, failure->code, message), failure->diagnostics);
    nx_http_fail_end(conn, &reply);
}

// ---- Success

static void send_created(struct nx_http_conn *conn, const struct nx_panel *panel,
                         const struct nx_result *mount) {
    const char *id = nx_panel_id(panel);
    struct nx_http *http = conn->http;
    nx_http_audit_allowed(conn, "panel created", nx_span_str(id));
    char location[sizeof "/panels/" + NX_MAX_PANEL_ID_BYTES];
    snprintf(location, sizeof location, "/panels/%s", id);
    struct nx_buf *out = nx_http_body(http);
    // Ids are plain characters. The URL comes from the settings, not from what the client says.
    nx_buf_printf(out, "{\"status\":\"ok\",\"id\":\"%s\",\"panelId\":\"%s\"", id, id);
    nx_json_append_key(out, "wsUrl");
    size_t start = out->len;
    nx_json_append_string(out, nx_span_of(http->ws_url, http->ws_url_len));
    if (out->len > start)
        out->len--; // the closing quote
    nx_buf_printf(out, "/panels/%s/ws\",\"initialState\":", id);
    nx_panel_render_state(panel, out);
    if (mount && mount->status == NX_EXEC_ERROR) {
        nx_json_append_key(out, "mount");
        nx_result_render(out, mount);
    }
    nx_buf_append_char(out, '}');
    nx_http_send(conn, &(struct nx_http_reply){.status = 201, .location = location});
}

static void on_created(void *user, struct nx_panel *panel, const struct nx_result *mount,
                       const struct nx_panel_failure *failure) {
    struct nx_http_conn *conn = nx_http_wait_end(user);
    if (conn && failure)
        send_failure(conn, failure);
    else if (conn)
        send_created(conn, panel, mount);
}

// ---- Requests

static char first_byte(struct nx_span body) {
    for (size_t i = 0; i < body.len; i++)
        if (!memchr(" \t\r\n", body.data[i], 4))
            return body.data[i];
    return '\0';
}

// The parser chooses by the first byte, so what the client declared is held against that.
static bool body_acceptable(const struct nx_http_request *request) {
    struct nx_http_conn *conn = request->conn;
    struct nx_span type = request->head->headers[NX_HEADER_CONTENT_TYPE];
    bool json = memmem(type.data, type.len, "json", 4) || memmem(type.data, type.len, "JSON", 4);
    if (!json) {
        if (first_byte(request->body) != '{')
            return true;
        nx_http_fail(conn, 400, "INVALID_REQUEST", "the body is declared as XML, but is not");
        return false;
    }
    enum nx_json_kind kind;
    struct nx_error err = {0};
    if (nx_json_scan(request->body, &kind, &err)) {
        nx_http_fail(conn, 400, "INVALID_REQUEST", "the body is not JSON: %s", err.message);
        return false;
    }
    if (kind == NX_JSON_OBJECT)
        return true;
    nx_http_fail(conn, 400, "INVALID_REQUEST", "the body must be a JSON object");
    return false;
}

void nx_http_create_panel(const struct nx_http_request *request) {
    struct nx_http_conn *conn = request->conn;
    struct nx_http_wait *wait = body_acceptable(request) ? nx_http_wait_begin(conn) : NULL;
    if (!wait)
        return;
    const struct nx_identity *creator = conn->identity;
    struct nx_panel_request panel = {
        .source = request->body,
        .ceiling = creator && creator->limits_grants ? &creator->grants : NULL,
    };
    struct nx_error err = {0};
    if (nx_runtime_create_panel(conn->http->runtime, &panel, on_created, wait, &err)) {
        nx_http_wait_end(wait);
        nx_http_fail_error(conn, &err, "NOT_FOUND");
    }
}
