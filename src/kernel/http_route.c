// SPDX-License-Identifier: Apache-2.0
// The table of routes, and matching a target against it.
#include "kernel/http_route.h"

#include <string.h>

#include "nxml/panel_def.h"

#define PANEL_ID "{id}"
#define TOOL     "{tool}"
#define BIT(m)   (1u << NX_HTTP_##m)

static const struct {
    const char *segments[NX_ROUTE_SEGMENTS + 1];
    unsigned methods;
    const char *allow, *pattern;
} routes[NX_ROUTE_COUNT] = {
    [NX_ROUTE_PANELS] = {{"panels"},
                         BIT(GET) | BIT(HEAD) | BIT(POST),
                         "GET, HEAD, POST, OPTIONS",
                         "/panels"},
    [NX_ROUTE_PANEL] = {{"panels", PANEL_ID},
                        BIT(GET) | BIT(HEAD) | BIT(DELETE),
                        "GET, HEAD, DELETE, OPTIONS",
                        "/panels/{id}"},
    [NX_ROUTE_STATE] = {{"panels", PANEL_ID, "state"},
                        BIT(GET) | BIT(HEAD),
                        "GET, HEAD, OPTIONS",
                        "/panels/{id}/state"},
    [NX_ROUTE_TRIGGER] = {{"panels", PANEL_ID, "trigger", TOOL},
                          BIT(POST),
                          "POST, OPTIONS",
                          "/panels/{id}/trigger/{tool}"},
    [NX_ROUTE_WS] = {{"panels", PANEL_ID, "ws"}, BIT(GET), "GET, OPTIONS", "/panels/{id}/ws"},
    [NX_ROUTE_TICKET] = {{"panels", PANEL_ID, "ws-ticket"},
                         BIT(POST),
                         "POST, OPTIONS",
                         "/panels/{id}/ws-ticket"},
    [NX_ROUTE_OPENAPI] = {{"openapi.yaml"},
                          BIT(GET) | BIT(HEAD),
                          "GET, HEAD, OPTIONS",
                          "/openapi.yaml"},
    [NX_ROUTE_METRICS] = {{"metrics"}, BIT(GET) | BIT(HEAD), "GET, HEAD, OPTIONS", "/metrics"},
    [NX_ROUTE_HEALTH] = {{"health"}, BIT(GET) | BIT(HEAD), "GET, HEAD, OPTIONS", "/health"},
    [NX_ROUTE_READY] = {{"ready"}, BIT(GET) | BIT(HEAD), "GET, HEAD, OPTIONS", "/ready"},
    [NX_ROUTE_ANY] = {{NULL}, 0, "GET, HEAD, POST, DELETE, OPTIONS", "*"},
};

const char *nx_http_route_allow(enum nx_http_route route) {
    return routes[route].allow;
}

bool nx_http_route_takes(enum nx_http_route route, enum nx_http_method method) {
    return routes[route].methods & (1u << method);
}

const char *nx_http_route_pattern(enum nx_http_route route) {
    return routes[route].pattern;
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Percent-decodes `s` once into `out`. Returns the length, or NX_E_INVALID: a bad escape, or it
// does not fit.
static int decode(struct nx_span s, bool plus, char *out, size_t size) {
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex(s.data[i + 1]) : -1;
            int low = i + 2 < s.len ? hex(s.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return NX_E_INVALID;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (len == size)
            return NX_E_INVALID;
        out[len++] = c;
    }
    return (int)len;
}

// `raw` decoded; into match->decoded if that changes it.
static int decode_segment(struct nx_span raw, struct nx_http_match *match, struct nx_span *out) {
    *out = raw;
    if (raw.len == 0 || !memchr(raw.data, '%', raw.len))
        return 0;
    char *room = match->decoded + match->decoded_len;
    int len = decode(raw, false, room, sizeof match->decoded - match->decoded_len);
    if (len < 0)
        return len;
    *out = nx_span_of(room, (size_t)len);
    match->decoded_len += (size_t)len;
    return 0;
}

// "http://host/path" -> "/path". Both schemes: a proxy in front may have ended TLS.
static struct nx_span strip_authority(struct nx_span target) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        struct nx_span scheme = nx_span_str(schemes[i]);
        if (!nx_span_starts(target, scheme))
            continue;
        struct nx_span rest = nx_span_of(target.data + scheme.len, target.len - scheme.len);
        const char *slash = rest.len ? memchr(rest.data, '/', rest.len) : NULL;
        size_t authority = slash ? (size_t)(slash - rest.data) : rest.len;
        return nx_span_of(rest.data + authority, rest.len - authority);
    }
    return target;
}

// Splits "/a/b" into decoded segments. Returns how many, NX_E_NOTFOUND for more than any route has,
// or NX_E_INVALID.
static int split(struct nx_span path, struct nx_http_match *match,
                 struct nx_span segments[NX_ROUTE_SEGMENTS]) {
    int count = 0;
    while (path.len) {
        const char *start = path.data + 1; // past the '/'
        size_t left = path.len - 1;
        const char *slash = left ? memchr(start, '/', left) : NULL;
        size_t len = slash ? (size_t)(slash - start) : left;
        if (count == NX_ROUTE_SEGMENTS)
            return NX_E_NOTFOUND;
        int rc = decode_segment(nx_span_of(start, len), match, &segments[count++]);
        if (rc)
            return rc;
        path = nx_span_of(start + len, left - len);
    }
    return count;
}

static bool matches(enum nx_http_route route, const struct nx_span *segments, int count) {
    for (int i = 0; i <= count; i++) {
        const char *want = routes[route].segments[i];
        if (i == count)
            return want == NULL;
        if (!want || (want[0] != '{' && !nx_span_eq(segments[i], nx_span_str(want))))
            return false;
    }
    return false;
}

// Tool names are identifiers, which may hold '$'.
static bool tool_name_valid(struct nx_span s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i], lower = (char)(c | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-' &&
            c != '$')
            return false;
    }
    return s.len > 0 && s.len <= 128;
}

static int take_params(enum nx_http_route route, const struct nx_span *segments,
                       struct nx_http_match *match, struct nx_error *err) {
    for (int i = 0; i < NX_ROUTE_SEGMENTS && routes[route].segments[i]; i++) {
        if (strcmp(routes[route].segments[i], PANEL_ID) == 0) {
            if (!nx_panel_id_valid(segments[i]))
                return nx_error_set(err, NX_E_INVALID,
                                    "the panel id is not 1 to 128 characters "
                                    "of A-Z, a-z, 0-9, '_' and '-'");
            match->panel_id = segments[i];
        } else if (strcmp(routes[route].segments[i], TOOL) == 0) {
            if (!tool_name_valid(segments[i]))
                return nx_error_set(err, NX_E_INVALID, "the tool name is not an identifier");
            match->tool = segments[i];
        }
    }
    match->route = route;
    return 0;
}

int nx_http_route(struct nx_span target, struct nx_http_match *match, struct nx_error *err) {
    match->route = NX_ROUTE_ANY;
    match->panel_id = match->tool = match->query = (struct nx_span){NULL, 0};
    match->decoded_len = 0;
    if (nx_span_eq(target, nx_span_str("*")))
        return 0;
    struct nx_span path = strip_authority(target);
    const char *mark = path.len ? memchr(path.data, '?', path.len) : NULL;
    if (mark) {
        size_t len = (size_t)(mark - path.data);
        match->query = nx_span_of(mark + 1, path.len - len - 1);
        path.len = len;
    }
    if (path.len == 0 || path.data[0] != '/')
        return nx_error_set(err, NX_E_NOTFOUND, "no such resource");
    struct nx_span segments[NX_ROUTE_SEGMENTS] = {{0}};
    int count = split(path, match, segments);
    if (count == NX_E_INVALID)
        return nx_error_set(err, NX_E_INVALID, "the path is not properly percent-encoded");
    for (int route = 0; count > 0 && route < NX_ROUTE_ANY; route++)
        if (matches((enum nx_http_route)route, segments, count))
            return take_params((enum nx_http_route)route, segments, match, err);
    return nx_error_set(err, NX_E_NOTFOUND, "no such resource");
}

int nx_http_query(struct nx_span query, const char *name, char *out, size_t size,
                  struct nx_span *value) {
    struct nx_span wanted = nx_span_str(name);
    while (query.len) {
        const char *amp = memchr(query.data, '&', query.len);
        size_t len = amp ? (size_t)(amp - query.data) : query.len;
        const char *equals = memchr(query.data, '=', len);
        size_t key = equals ? (size_t)(equals - query.data) : len;
        if (nx_span_eq(nx_span_of(query.data, key), wanted)) {
            size_t skip = equals ? key + 1 : key;
            int got = decode(nx_span_of(query.data + skip, len - skip), true, out, size);
            if (got < 0)
                return got;
            *value = nx_span_of(out, (size_t)got);
            return 0;
        }
        size_t step = amp ? len + 1 : len;
        query = nx_span_of(query.data + step, query.len - step);
    }
    return NX_E_NOTFOUND;
}
