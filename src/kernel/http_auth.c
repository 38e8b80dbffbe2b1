// SPDX-License-Identifier: Apache-2.0
// Whose request this is, and whether that is enough for its route. Judged by the head alone, before
// a byte of the body is waited for, and before anything is said about which panels exist.
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "kernel/http_conn.h"

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
    [NX_ROUTE_HEALTH] = {[NX_HTTP_GET] = ANYBODY, [NX_HTTP_HEAD] = ANYBODY},
    [NX_ROUTE_READY] = {[NX_HTTP_GET] = ANYBODY, [NX_HTTP_HEAD] = ANYBODY},
};

// ---- Refusing -----------------------------------------------------------------------------------

// Whether this refusal is logged; *dropped is how many before it were not.
static bool may_log(struct nx_http *http, uint32_t *dropped) {
    struct nx_http_refusals *refusals = &http->refusals;
    uint64_t now = uv_now(http->loop);
    if (now - refusals->since_ms >= 1000) {
        refusals->since_ms = now;
        refusals->logged = 0;
    }
    if (refusals->logged == NX_MAX_REFUSALS_LOGGED) {
        refusals->dropped++;
        return false;
    }
    refusals->logged++;
    *dropped = refusals->dropped;
    refusals->dropped = 0;
    return true;
}

static void refuse(struct nx_http_conn *conn, int status, const char *reason) {
    uint32_t dropped = 0;
    if (nx_log_enabled(NX_LOG_WARN) && may_log(conn->http, &dropped)) {
        char id[NX_MAX_HTTP_REQUEST_ID_BYTES + 1];
        memcpy(id, conn->request_id, conn->request_id_len);
        id[conn->request_id_len] = '\0';
        nx_log(NX_LOG_WARN, "audit", "request refused",
               NX_LOG_FIELDS(NX_LOG_STR("requestId", id),
                             NX_LOG_STR("route", nx_http_route_pattern(conn->route)),
                             NX_LOG_INT("status", status), NX_LOG_STR("reason", reason),
                             NX_LOG_STR("subject", conn->identity ? conn->identity->subject : ""),
                             NX_LOG_INT("notLogged", dropped), NX_LOG_BOOL("audit", true)));
    }
    nx_http_fail(conn, status, status == 401 ? "UNAUTHORIZED" : "FORBIDDEN", "%s", reason);
}

static void refuse_permission(struct nx_http_conn *conn, unsigned missing) {
    char reason[80];
    const char *name = nx_permission_name((enum nx_permission)missing);
    snprintf(reason, sizeof reason, "the token lacks the permission %s", name[0] ? name : "*");
    refuse(conn, 403, reason);
}

// ---- Judging ------------------------------------------------------------------------------------

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

bool nx_http_authorize(struct nx_http_conn *conn, const struct nx_http_head *head) {
    struct nx_auth *auth = conn->http->config.auth;
    struct nx_span header = head->headers[NX_HEADER_AUTHORIZATION], token;
    unsigned needed = required[conn->route][head->method];
    struct nx_error err = {0};
    if (!auth || needed == ANYBODY)
        return true;
    if (needed == 0)
        needed = NX_MAY_ALL;
    if (!header.data) {
        refuse(conn, 401, "this takes a token: Authorization: Bearer TOKEN");
        return false;
    }
    if (!take_bearer(header, &token)) {
        refuse(conn, 401, "the Authorization header is not 'Bearer TOKEN'");
        return false;
    }
    int rc = nx_auth_verify(auth, token, nx_clock_wall_ms() / 1000, &conn->identity, &err);
    if (rc == NX_E_NOMEM) {
        nx_http_fail_error(conn, &err, "");
        return false;
    }
    unsigned missing = rc == 0 ? needed & ~conn->identity->permissions : 0;
    if (rc)
        refuse(conn, 401, err.message);
    else if (missing)
        refuse_permission(conn, missing);
    return rc == 0 && !missing;
}
