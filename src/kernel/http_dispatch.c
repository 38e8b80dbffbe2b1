// SPDX-License-Identifier: Apache-2.0
// Whether a request is admitted, judged by its head alone, and who answers it.
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "kernel/http_conn.h"
#include "kernel/ws.h"

static nx_http_handler_fn *const handlers[NX_ROUTE_COUNT][NX_HTTP_METHOD_COUNT] = {
    [NX_ROUTE_PANELS] = {[NX_HTTP_GET] = nx_http_list_panels,
                         [NX_HTTP_HEAD] = nx_http_list_panels,
                         [NX_HTTP_POST] = nx_http_create_panel},
    [NX_ROUTE_PANEL] = {[NX_HTTP_GET] = nx_http_get_panel,
                        [NX_HTTP_HEAD] = nx_http_get_panel,
                        [NX_HTTP_DELETE] = nx_http_delete_panel},
    [NX_ROUTE_STATE] = {[NX_HTTP_GET] = nx_http_get_state, [NX_HTTP_HEAD] = nx_http_get_state},
    [NX_ROUTE_TRIGGER] = {[NX_HTTP_POST] = nx_http_trigger},
    [NX_ROUTE_WS] = {[NX_HTTP_GET] = nx_http_upgrade},
    [NX_ROUTE_TICKET] = {[NX_HTTP_POST] = nx_http_ws_ticket},
    [NX_ROUTE_METRICS] = {[NX_HTTP_GET] = nx_http_metrics, [NX_HTTP_HEAD] = nx_http_metrics},
    [NX_ROUTE_OPENAPI] = {[NX_HTTP_GET] = nx_http_openapi, [NX_HTTP_HEAD] = nx_http_openapi},
    [NX_ROUTE_HEALTH] = {[NX_HTTP_GET] = nx_http_health, [NX_HTTP_HEAD] = nx_http_health},
    [NX_ROUTE_READY] = {[NX_HTTP_GET] = nx_http_ready, [NX_HTTP_HEAD] = nx_http_ready},
};

// Whether the media type, without its parameters, is `type`.
static bool media_type_is(struct nx_span value, const char *type) {
    size_t len = strlen(type);
    if (value.len < len || strncasecmp(value.data, type, len) != 0)
        return false;
    return value.len == len || value.data[len] == ';' || value.data[len] == ' ';
}

// Types are insisted on: a page in a browser can send a form or plain text to a server on this
// machine without asking first, but not JSON.
static bool media_type_acceptable(enum nx_http_route route, const struct nx_http_head *head) {
    struct nx_span type = head->headers[NX_HEADER_CONTENT_TYPE];
    if (media_type_is(type, "application/json"))
        return true;
    if (route == NX_ROUTE_PANELS)
        return media_type_is(type, "application/xml") || media_type_is(type, "text/xml");
    return !head->chunked && head->content_length == 0;
}

// Whether a change may come from a page of this origin: only from pages that this server itself
// would serve. Clients that are not browsers send no origin.
static bool origin_acceptable(const struct nx_http *http, struct nx_span origin) {
    if (!origin.data || nx_span_eq(origin, nx_span_str(http->url)))
        return true;
    // The same address as people type it.
    char local[sizeof http->url];
    int len = snprintf(local, sizeof local, "http://localhost:%u", http->config.port);
    if (nx_span_eq(origin, nx_span_of(local, (size_t)len)))
        return true;
    // PUBLIC_URL, kept as ws_url: "ws" for "http".
    struct nx_span http_prefix = nx_span_str("http");
    return nx_span_starts(origin, http_prefix) &&
           nx_span_eq(nx_span_of(origin.data + 4, origin.len - 4),
                      nx_span_of(http->ws_url + 2, http->ws_url_len - 2));
}

// "host:port" or "[host]:port" without the port.
static struct nx_span without_port(struct nx_span host) {
    size_t len = host.len;
    while (len > 0 && host.data[len - 1] >= '0' && host.data[len - 1] <= '9')
        len--;
    return len > 0 && host.data[len - 1] == ':' ? nx_span_of(host.data, len - 1) : host;
}

static bool is_public_host(const struct nx_http *http, struct nx_span host) {
    const char *begin = strstr(http->ws_url, "://") + 3;
    struct nx_span public_host = without_port(nx_span_of(begin, strcspn(begin, "/")));
    return host.len == public_host.len && strncasecmp(host.data, public_host.data, host.len) == 0;
}

// Whether a client may call the server so. Where being on this machine is all that lets a client
// in, a page of any site could have its own name mean this machine (DNS rebinding): for the browser
// all answers would be that site's. A name without a dot is no site's, an address cannot be
// rebound.
static bool host_acceptable(const struct nx_http *http, struct nx_span authority) {
    static const char local[] = ".localhost";
    struct nx_span host = without_port(authority);
    if (host.len > 0 && host.data[host.len - 1] == '.') // the root's, which any name may end with
        host.len--;
    char text[INET_ADDRSTRLEN];
    struct in_addr address;
    if (!http->config.local_only || host.len == 0 || !memchr(host.data, '.', host.len) ||
        host.data[0] == '[' || is_public_host(http, host))
        return true;
    if (host.len >= sizeof local &&
        strncasecmp(host.data + host.len - strlen(local), local, strlen(local)) == 0)
        return true;
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, &address) == 1;
}

// Tells what there is, to everybody: a browser asks without the token that the page will send.
static void answer_options(struct nx_http_conn *conn) {
    struct nx_http_reply reply = {
        .status = 204, .allow = nx_http_route_allow(conn->route), .preflight = true};
    nx_http_body(conn->http);
    nx_http_send(conn, &reply);
}

bool nx_http_admit(struct nx_http_conn *conn, const struct nx_http_head *head,
                   const struct nx_http_match *match) {
    uint32_t limit = conn->http->config.body_limit_bytes;
    // A page's WebSocket comes with its cookies and without a preflight, like a form.
    bool guarded = head->method == NX_HTTP_POST || head->method == NX_HTTP_DELETE ||
                   match->route == NX_ROUTE_WS;
    if (!host_acceptable(conn->http, head->headers[NX_HEADER_HOST]))
        nx_http_fail(conn, 403, "FORBIDDEN",
                     "without authentication this server is asked by its address, localhost, or "
                     "the host of PUBLIC_URL");
    else if (head->method == NX_HTTP_OPTIONS)
        answer_options(conn);
    else if (match->route == NX_ROUTE_ANY)
        nx_http_fail(conn, 400, "INVALID_REQUEST", "'*' is for OPTIONS only");
    else if (conn->metrics_only && match->route < NX_ROUTE_METRICS)
        nx_http_fail(conn, 404, "NOT_FOUND", "only metrics and health are served on this port");
    else if (conn->ws_only && match->route < NX_ROUTE_HEALTH && match->route != NX_ROUTE_WS)
        nx_http_fail(conn, 404, "NOT_FOUND", "only WebSockets are served on this port");
    else if (!nx_http_route_takes(match->route, head->method))
        nx_http_fail(conn, 405, "METHOD_NOT_ALLOWED", "this resource takes %s",
                     nx_http_route_allow(match->route));
    else if (guarded && !conn->allowed_origin &&
             !origin_acceptable(conn->http, head->headers[NX_HEADER_ORIGIN]))
        nx_http_fail(conn, 403, "FORBIDDEN", "requests from pages of this origin are not accepted");
    else if (!nx_http_authorize(conn, head, match))
        return false;
    else if (head->content_length > limit)
        nx_http_fail(conn, 413, "RESOURCE_LIMIT", "the body is larger than %u bytes", limit);
    else if (head->method == NX_HTTP_POST && !media_type_acceptable(match->route, head))
        nx_http_fail(conn, 415, "UNSUPPORTED_MEDIA_TYPE",
                     match->route == NX_ROUTE_PANELS
                         ? "Content-Type must be application/json or application/xml"
                         : "Content-Type must be application/json");
    else if (!conn->http->runtime)
        nx_http_fail(conn, 503, "UNAVAILABLE", "the server is stopping");
    else
        return true;
    return false;
}

void nx_http_dispatch(const struct nx_http_request *request) {
    // The runtime may have gone while the body was still coming.
    if (!request->conn->http->runtime) {
        nx_http_fail(request->conn, 503, "UNAVAILABLE", "the server is stopping");
        return;
    }
    if (request->match->route < NX_ROUTE_OPENAPI)
        nx_http_audit_allowed(request->conn, "request allowed", request->match->panel_id);
    handlers[request->match->route][request->head->method](request);
}
