// SPDX-License-Identifier: Apache-2.0
// Whose request this is, and whether that is enough for its route. Judged by the head alone, before
// a byte of the body is waited for, and before anything is said about which panels exist.
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "kernel/http_conn.h"
#include "kernel/ws_ticket.h"

// Anybody may ask. A route and method that this table does not name take every permission: whoever
// adds one decides.
enum { ANYBODY = NX_MAY_ALL + 1 };

static const unsigned required[NX_ROUTE_COUNT][NX_HTTP_METHOD_COUNT] = {
    [NX_ROUTE_PANELS] =
        {[NX_HTTP_GET] = NX_MAY_READ, [NX_HTTP_HEAD] = NX_MAY_READ, [NX_HTTP_POST] = NX_MAY_CREATE},
    [NX_ROUTE_PANEL] = {[NX_HTTP_GET] = NX_MAY_READ,
                        [NX_HTTP_HEAD] = NX_MAY_READ,
                        [NX_HTTP_DELETE] = NX_MAY_DELETE},
    [NX_ROUTE_STATE] = {[NX_HTTP_GET] = NX_MAY_READ, [NX_HTTP_HEAD] = NX_MAY_READ},
    [NX_ROUTE_TRIGGER] = {[NX_HTTP_POST] = NX_MAY_EXECUTE},
    [NX_ROUTE_WS] = {[NX_HTTP_GET] = NX_MAY_READ},
    [NX_ROUTE_TICKET] = {[NX_HTTP_POST] = NX_MAY_READ},
    [NX_ROUTE_METRICS] = {[NX_HTTP_GET] = NX_MAY_METRICS, [NX_HTTP_HEAD] = NX_MAY_METRICS},
    [NX_ROUTE_OPENAPI] = {[NX_HTTP_GET] = ANYBODY, [NX_HTTP_HEAD] = ANYBODY},
    [NX_ROUTE_HEALTH] = {[NX_HTTP_GET] = ANYBODY, [NX_HTTP_HEAD] = ANYBODY},
    [NX_ROUTE_READY] = {[NX_HTTP_GET] = ANYBODY, [NX_HTTP_HEAD] = ANYBODY},
};

// ---- Refusing

static void refuse(struct nx_http_conn *conn, int status, const char *reason) {
    uint32_t dropped = 0;
    if (nx_log_enabled(NX_LOG_WARN) && nx_audit_pass(&conn->http->refused, uv_now(conn->http->loop),
                                                     NX_MAX_REFUSALS_LOGGED, &dropped)) {
        struct nx_http_ids ids = nx_http_ids(conn);
        nx_log(NX_LOG_WARN, "audit", "request refused",
               NX_LOG_FIELDS(NX_LOG_STR("requestId", ids.request),
                             NX_LOG_STR("route", nx_http_route_pattern(conn->route)),
                             NX_LOG_INT("status", status), NX_LOG_STR("reason", reason),
                             NX_LOG_STR("subject", ids.subject), NX_LOG_INT("notLogged", dropped),
                             NX_LOG_BOOL("audit", true), NX_LOG_STR(ids.trace_key, ids.trace)));
    }
    nx_http_fail(conn, status, status == 401 ? "UNAUTHORIZED" : "FORBIDDEN", "%s", reason);
}

static void refuse_permission(struct nx_http_conn *conn, unsigned missing) {
    char reason[80];
    const char *name = nx_permission_name((enum nx_permission)missing);
    snprintf(reason, sizeof reason, "the token lacks the permission %s", name[0] ? name : "*");
    refuse(conn, 403, reason);
}

void nx_http_audit_allowed(struct nx_http_conn *conn, const char *msg, struct nx_span panel_id) {
    uint32_t dropped = 0;
    if (!conn->http->config.audit_all || !nx_log_enabled(NX_LOG_INFO) ||
        !nx_audit_pass(&conn->http->allowed, uv_now(conn->http->loop), NX_MAX_AUDIT_LOGGED,
                       &dropped))
        return;
    struct nx_http_ids ids = nx_http_ids(conn);
    char id[NX_MAX_PANEL_ID_BYTES + 1];
    snprintf(id, sizeof id, "%.*s", (int)panel_id.len, panel_id.data);
    nx_log(NX_LOG_INFO, "audit", msg,
           NX_LOG_FIELDS(NX_LOG_STR("requestId", ids.request),
                         NX_LOG_STR("route", nx_http_route_pattern(conn->route)),
                         NX_LOG_STR("panelId", id), NX_LOG_STR("subject", ids.subject),
                         NX_LOG_INT("notLogged", dropped), NX_LOG_BOOL("audit", true),
                         NX_LOG_STR(ids.trace_key, ids.trace)));
}

// ---- Judging

bool nx_http_may(const struct nx_http_conn *conn, enum nx_permission permission) {
    return !conn->http->config.auth ||
           (conn->identity && (conn->identity->permissions & permission) != 0);
}

// "Bearer TOKEN", the scheme in any case.
static bool take_bearer(struct nx_span header, struct nx_span *token) {
    static const char scheme[] = "Bearer ";
    size_t len = sizeof scheme - 1;
    if (header.len <= len || strncasecmp(header.data, scheme, len) != 0)
        return false;
    while (len < header.len && header.data[len] == ' ')
        len++;
    *token = nx_span_of(header.data + len, header.len - len);
    return true;
}

// A page cannot send headers with a WebSocket, but it can name subprotocols: "bearer.TOKEN".
static bool take_subprotocol(struct nx_span list, struct nx_span *token) {
    static const char prefix[] = "bearer.";
    size_t len = sizeof prefix - 1;
    while (list.len) {
        const char *comma = memchr(list.data, ',', list.len);
        struct nx_span item = nx_span_of(list.data, comma ? (size_t)(comma - list.data) : list.len);
        size_t step = comma ? item.len + 1 : item.len;
        list = nx_span_of(list.data + step, list.len - step);
        while (item.len && item.data[0] == ' ')
            item = nx_span_of(item.data + 1, item.len - 1);
        while (item.len && item.data[item.len - 1] == ' ')
            item.len--;
        if (item.len > len && strncmp(item.data, prefix, len) == 0) {
            *token = nx_span_of(item.data + len, item.len - len);
            return true;
        }
    }
    return false;
}

// The token that comes with a request, where it may stand. 0, NX_E_NOTFOUND, or NX_E_INVALID after
// refusing.
static int take_token(struct nx_http_conn *conn, const struct nx_http_head *head,
                      const struct nx_http_match *match, struct nx_span *token) {
    static char decoded[NX_MAX_TOKEN_BYTES]; // the server has one thread
    struct nx_span header = head->headers[NX_HEADER_AUTHORIZATION];
    if (header.data) {
        if (take_bearer(header, token))
            return 0;
        refuse(conn, 401, "the Authorization header is not 'Bearer TOKEN'");
        return NX_E_INVALID;
    }
    if (conn->route != NX_ROUTE_WS)
        return NX_E_NOTFOUND;
    if (take_subprotocol(head->headers[NX_HEADER_WS_PROTOCOL], token))
        return 0;
    if (conn->http->config.allow_query_token)
        return nx_http_query(match->query, "token", decoded, sizeof decoded, token) == 0
                   ? 0
                   : NX_E_NOTFOUND;
    return NX_E_NOTFOUND;
}

// Finds out whose request it is. False: answered.
static bool identify(struct nx_http_conn *conn, const struct nx_http_head *head,
                     const struct nx_http_match *match) {
    char ticket[NX_WS_TICKET_CHARS + 1];
    struct nx_span token;
    struct nx_error err = {0};
    int rc = take_token(conn, head, match, &token);
    if (rc == NX_E_INVALID)
        return false;
    if (rc == NX_E_NOTFOUND && conn->route == NX_ROUTE_WS &&
        nx_http_query(match->query, "ticket", ticket, sizeof ticket, &token) == 0) {
        struct nx_http *http = conn->http;
        rc = nx_ws_ticket_redeem(http->tickets, token, match->panel_id, uv_now(http->loop),
                                 &conn->identity);
        // The token it was given for may have ended since, or its key.
        if (rc == 0 && conn->identity &&
            nx_auth_still_valid(http->config.auth, conn->identity, nx_clock_wall_ms() / 1000))
            return true;
        refuse(conn, 401, "the ticket is not valid, was used, or is over");
        return false;
    }
    if (rc == NX_E_NOTFOUND) {
        refuse(conn, 401, "this takes a token: Authorization: Bearer TOKEN");
        return false;
    }
    rc = nx_auth_verify(conn->http->config.auth, token, nx_clock_wall_ms() / 1000, &conn->identity,
                        &err);
    if (rc == NX_E_NOMEM)
        nx_http_fail_error(conn, &err, "");
    else if (rc)
        refuse(conn, 401, err.message);
    return rc == 0;
}

bool nx_http_authorize(struct nx_http_conn *conn, const struct nx_http_head *head,
                       const struct nx_http_match *match) {
    unsigned needed = required[conn->route][head->method];
    // On METRICS_PORT nothing else is served: who reaches that port is for the network to say.
    if (!conn->http->config.auth || needed == ANYBODY || conn->metrics_only)
        return true;
    if (needed == 0)
        needed = NX_MAY_ALL;
    if (!identify(conn, head, match))
        return false;
    unsigned missing = needed & ~conn->identity->permissions;
    if (missing)
        refuse_permission(conn, missing);
    return !missing;
}
