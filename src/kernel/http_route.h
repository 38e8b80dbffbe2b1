// SPDX-License-Identifier: Apache-2.0
// From a request target to a route and its parameters. Pure functions over bytes.
#ifndef NX_KERNEL_HTTP_ROUTE_H
#define NX_KERNEL_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"
#include "kernel/http_parse.h"

enum nx_http_route {
    NX_ROUTE_PANELS,  // /panels
    NX_ROUTE_PANEL,   // /panels/{id}
    NX_ROUTE_STATE,   // /panels/{id}/state
    NX_ROUTE_TRIGGER, // /panels/{id}/trigger/{tool}
    NX_ROUTE_WS,      // /panels/{id}/ws
    NX_ROUTE_TICKET,  // /panels/{id}/ws-ticket
    NX_ROUTE_OPENAPI, // /openapi.yaml
    NX_ROUTE_METRICS, // /metrics
    NX_ROUTE_HEALTH,  // /health
    NX_ROUTE_READY,   // /ready
    NX_ROUTE_ANY,     // *, with OPTIONS only
    NX_ROUTE_COUNT
};

enum { NX_ROUTE_SEGMENTS = 4, NX_ROUTE_DECODED_BYTES = 512 };

struct nx_http_match {
    enum nx_http_route route;
    struct nx_span panel_id, tool; // decoded and valid; empty where the route has none
    struct nx_span query;          // after the '?', still encoded; points into the target
    size_t decoded_len;
    char decoded[NX_ROUTE_DECODED_BYTES]; // segments that were percent-encoded
};

// Matches a target in origin form, absolute form ("http://host/path": the host is ignored) or "*".
// Each segment is percent-decoded once. Errors: NX_E_NOTFOUND (no such route), NX_E_INVALID (bad
// encoding, or an id that is not one); the message says which.
int nx_http_route(struct nx_span target, struct nx_http_match *match, struct nx_error *err);

// The methods a route takes, as an Allow header: "GET, HEAD, OPTIONS".
const char *nx_http_route_allow(enum nx_http_route route);
bool nx_http_route_takes(enum nx_http_route route, enum nx_http_method method);

// The pattern, for logs and metrics: "/panels/{id}/state".
const char *nx_http_route_pattern(enum nx_http_route route);

// Finds parameter `name` of a query and decodes it ('+' is a space) into `out`, of `size` bytes.
// 0 with *value pointing into `out`; NX_E_NOTFOUND; NX_E_INVALID: bad encoding, or it does not fit.
// The first of several counts.
int nx_http_query(struct nx_span query, const char *name, char *out, size_t size,
                  struct nx_span *value);

#endif
