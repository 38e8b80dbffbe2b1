// SPDX-License-Identifier: Apache-2.0
// The handlers of /panels, except creation (http_create.c) and triggers (http_trigger.c).
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "kernel/http_conn.h"
#include "kernel/ws.h"

struct nx_panel *nx_http_find_panel(const struct nx_http_request *request) {
    struct nx_http_conn *conn = request->conn;
    struct nx_panel *panel = nx_runtime_find_panel(conn->http->runtime, request->match->panel_id);
    // A stopping runtime lets go of its panels in the end: they are not gone for good.
    if (!panel && nx_runtime_stopping(conn->http->runtime))
        nx_http_fail(conn, 503, "UNAVAILABLE", "the server is stopping");
    else if (!panel)
        nx_http_fail(conn, 404, "PANEL_NOT_FOUND", "there is no panel '%.*s'",
                     (int)request->match->panel_id.len, request->match->panel_id.data);
    return panel;
}

struct nx_http_wait *nx_http_wait_begin(struct nx_http_conn *conn) {
    struct nx_http_wait *wait = malloc(sizeof *wait);
    if (!wait) {
        nx_http_fail(conn, 503, "OVERLOADED", "out of memory");
        return NULL;
    }
    wait->conn = conn;
    conn->wait = wait;
    return wait;
}

struct nx_http_conn *nx_http_wait_end(struct nx_http_wait *wait) {
    struct nx_http_conn *conn = wait->conn;
    free(wait);
    if (conn)
        conn->wait = NULL;
    return conn;
}

// ---- Panels as JSON

static void put_text(struct nx_buf *out, const char *key, const char *text) {
    if (!text)
        return;
    nx_json_append_key(out, key);
    nx_json_append_string(out, nx_span_str(text));
}

static void put_json(struct nx_buf *out, const char *key, const char *json) {
    if (!json)
        return;
    nx_json_append_key(out, key);
    nx_buf_append_str(out, json);
}

static void put_time(struct nx_buf *out, const char *key, int64_t wall_ms) {
    char text[25];
    nx_clock_rfc3339(wall_ms, text);
    put_text(out, key, text);
}

static void put_summary(struct nx_buf *out, const struct nx_panel *panel) {
    const struct nx_panel_def *def = nx_panel_definition(panel);
    put_text(out, "id", nx_panel_id(panel));
    put_text(out, "kind", def->kind);
    put_text(out, "title", def->title);
    put_text(out, "status", nx_panel_status(panel));
    put_time(out, "createdAt", nx_panel_created_at_ms(panel));
    put_time(out, "lastActivity", nx_panel_last_activity_ms(panel));
    nx_buf_printf(out, ",\"clientCount\":%u", nx_ws_client_count(panel));
}

static void put_args(struct nx_buf *out, const struct nx_tool_def *tool) {
    nx_buf_append_str(out, ",\"args\":[");
    for (size_t i = 0; i < tool->arg_count; i++) {
        const struct nx_arg_def *arg = &tool->args[i];
        nx_json_append_comma(out);
        nx_buf_append_char(out, '{');
        put_text(out, "name", arg->name);
        put_text(out, "type", nx_value_type_name(arg->type));
        put_json(out, "required", arg->required ? "true" : "false");
        put_json(out, "default", arg->default_json);
        put_text(out, "description", arg->description);
        nx_buf_append_char(out, '}');
    }
    nx_buf_append_char(out, ']');
}

static void put_cap(struct nx_buf *out, enum nx_cap_kind kind, struct nx_span scope) {
    struct nx_buf token;
    nx_buf_init(&token, NX_MAX_CAP_TOKEN_BYTES);
    nx_cap_format(&token, kind, scope);
    nx_json_append_comma(out);
    nx_json_append_string(out, nx_buf_span(&token));
    nx_buf_free(&token);
}

static void put_caps(struct nx_buf *out, const struct nx_cap_set *caps) {
    nx_buf_append_str(out, ",\"capabilities\":[");
    for (int kind = 0; kind < NX_CAP_KINDS; kind++)
        if (caps->all[kind])
            put_cap(out, (enum nx_cap_kind)kind, nx_span_str("*"));
    for (size_t i = 0; i < caps->count; i++)
        put_cap(out, caps->items[i].kind,
                nx_span_of(caps->items[i].scope, caps->items[i].scope_len));
    nx_buf_append_char(out, ']');
}

static void put_trigger(struct nx_buf *out, const struct nx_trigger_def *trigger) {
    static const char *const pattern_keys[] = {
        [NX_TRIGGER_CRON] = "expression",
        [NX_TRIGGER_EVENT] = "pattern",
        [NX_TRIGGER_STATE] = "path",
    };
    nx_buf_append_str(out, ",\"trigger\":{");
    put_text(out, "type", nx_trigger_kind_name(trigger->kind));
    if (trigger->kind == NX_TRIGGER_INTERVAL)
        nx_buf_printf(out, ",\"ms\":%" PRIu32, trigger->interval_ms);
    else if (trigger->kind != NX_TRIGGER_MANUAL)
        put_text(out, pattern_keys[trigger->kind], trigger->pattern);
    nx_buf_append_char(out, '}');
}

static void put_tools(struct nx_buf *out, const struct nx_panel *panel) {
    const struct nx_panel_def *def = nx_panel_definition(panel);
    nx_buf_append_str(out, ",\"tools\":[");
    for (size_t i = 0; i < def->tool_count; i++) {
        const struct nx_tool_def *tool = &def->tools[i];
        nx_json_append_comma(out);
        nx_buf_append_char(out, '{');
        put_text(out, "name", tool->name);
        put_text(out, "description", tool->description);
        put_trigger(out, &tool->trigger);
        if (tool->timeout_ms)
            nx_buf_printf(out, ",\"timeoutMs\":%" PRIu32, tool->timeout_ms);
        put_args(out, tool);
        put_caps(out, nx_panel_tool_caps(panel, tool));
        nx_buf_append_char(out, '}');
    }
    nx_buf_append_char(out, ']');
}

static void put_computed(struct nx_buf *out, const struct nx_panel_def *def) {
    if (def->computed_count == 0)
        return;
    nx_buf_append_str(out, ",\"computed\":[");
    for (size_t i = 0; i < def->computed_count; i++) {
        nx_json_append_comma(out);
        nx_buf_append_char(out, '{');
        put_text(out, "name", def->computed[i].name);
        put_text(out, "value", def->computed[i].expression);
        nx_buf_append_char(out, '}');
    }
    nx_buf_append_char(out, ']');
}

// ---- Listing and reading

static bool parse_limit(struct nx_span text, size_t *limit) {
    size_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > NX_MAX_PANEL_LIST)
            return false;
        value = value * 10 + (size_t)(text.data[i] - '0');
    }
    *limit = value;
    return value >= 1 && value <= NX_MAX_PANEL_LIST;
}

// Reads ?limit and ?after. False: answered.
static bool take_page(const struct nx_http_request *request, size_t *limit,
                      char after[NX_MAX_PANEL_ID_BYTES], struct nx_span *after_id) {
    char digits[16];
    struct nx_span text;
    struct nx_span query = request->match->query;
    *limit = NX_DEFAULT_PANEL_LIST;
    *after_id = (struct nx_span){NULL, 0};
    int rc = nx_http_query(query, "limit", digits, sizeof digits, &text);
    if (rc != NX_E_NOTFOUND && (rc || !parse_limit(text, limit))) {
        nx_http_fail(request->conn, 400, "INVALID_REQUEST", "limit must be from 1 to %d",
                     NX_MAX_PANEL_LIST);
        return false;
    }
    rc = nx_http_query(query, "after", after, NX_MAX_PANEL_ID_BYTES, after_id);
    if (rc != NX_E_NOTFOUND && (rc || !nx_panel_id_valid(*after_id))) {
        nx_http_fail(request->conn, 400, "INVALID_REQUEST", "after must be a panel id");
        return false;
    }
    return true;
}

void nx_http_list_panels(const struct nx_http_request *request) {
    struct nx_http *http = request->conn->http;
    char after[NX_MAX_PANEL_ID_BYTES];
    struct nx_span after_id;
    struct nx_panel *panels[NX_MAX_PANEL_LIST];
    size_t limit;
    if (!take_page(request, &limit, after, &after_id))
        return;
    size_t count = nx_runtime_list_panels(http->runtime, after_id, panels, limit);
    struct nx_buf *out = nx_http_body(http);
    nx_buf_append_str(out, "{\"panels\":[");
    for (size_t i = 0; i < count; i++) {
        nx_json_append_comma(out);
        nx_buf_append_char(out, '{');
        put_summary(out, panels[i]);
        nx_buf_append_char(out, '}');
    }
    nx_buf_printf(out, "],\"total\":%zu,\"maxPanels\":%" PRIu32 "}",
                  nx_runtime_panel_count(http->runtime), http->config.max_panels);
    nx_http_send(request->conn, &(struct nx_http_reply){.status = 200});
}

void nx_http_get_panel(const struct nx_http_request *request) {
    struct nx_panel *panel = nx_http_find_panel(request);
    if (!panel)
        return;
    const struct nx_panel_def *def = nx_panel_definition(panel);
    struct nx_buf *out = nx_http_body(request->conn->http);
    nx_buf_append_char(out, '{');
    put_summary(out, panel);
    put_text(out, "description", def->description);
    put_text(out, "version", def->version);
    put_text(out, "author", def->author);
    put_text(out, "tags", def->tags);
    put_tools(out, panel);
    put_json(out, "metadata", def->metadata_json);
    put_computed(out, def);
    put_json(out, "view", def->view_json);
    nx_buf_append_char(out, '}');
    nx_http_send(request->conn, &(struct nx_http_reply){.status = 200});
}

// Whether a list of entity tags, weak or not, holds `etag` (with its quotes), or is "*".
static bool etag_listed(struct nx_span list, struct nx_span etag) {
    if (nx_span_eq(list, nx_span_str("*")))
        return true;
    while (list.len) {
        const char *comma = memchr(list.data, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.data) : list.len;
        struct nx_span item = nx_span_of(list.data, len);
        while (item.len && (item.data[0] == ' ' || item.data[0] == '\t'))
            item.data++, item.len--;
        while (item.len && (item.data[item.len - 1] == ' ' || item.data[item.len - 1] == '\t'))
            item.len--;
        if (nx_span_starts(item, nx_span_str("W/")))
            item = nx_span_of(item.data + 2, item.len - 2);
        if (nx_span_eq(item, etag))
            return true;
        size_t step = comma ? len + 1 : len;
        list = nx_span_of(list.data + step, list.len - step);
    }
    return false;
}

void nx_http_get_state(const struct nx_http_request *request) {
    struct nx_panel *panel = nx_http_find_panel(request);
    if (!panel)
        return;
    uint64_t version = nx_panel_state_version(panel);
    char etag[24];
    snprintf(etag, sizeof etag, "\"%" PRIu64 "\"", version);
    struct nx_http_reply reply = {.status = 200, .etag = etag};
    struct nx_buf *out = nx_http_body(request->conn->http);
    if (etag_listed(request->head->headers[NX_HEADER_IF_NONE_MATCH], nx_span_str(etag))) {
        reply.status = 304;
    } else {
        nx_buf_append_char(out, '{');
        put_text(out, "panelId", nx_panel_id(panel));
        nx_buf_printf(out, ",\"version\":%" PRIu64 ",\"state\":", version);
        nx_panel_render_state(panel, out);
        nx_buf_append_char(out, '}');
    }
    nx_http_send(request->conn, &reply);
}

// ---- Deleting

static void on_deleted(void *user) {
    struct nx_http_conn *conn = nx_http_wait_end(user);
    if (!conn)
        return;
    nx_http_body(conn->http);
    nx_http_send(conn, &(struct nx_http_reply){.status = 204});
}

void nx_http_delete_panel(const struct nx_http_request *request) {
    struct nx_http_conn *conn = request->conn;
    struct nx_panel *panel = nx_http_find_panel(request);
    struct nx_http_wait *wait = panel ? nx_http_wait_begin(conn) : NULL;
    if (!wait)
        return;
    struct nx_error err = {0};
    if (nx_runtime_delete_panel(panel, "deleted", on_deleted, wait, &err)) {
        nx_http_wait_end(wait);
        nx_http_fail_error(conn, &err, "PANEL_NOT_FOUND");
    }
}
