// SPDX-License-Identifier: Apache-2.0
// The HTTP server: listening, connections and the routes of the public API, on the runtime's loop.
//
// Single-threaded: everything is called from the thread of the loop.
#ifndef NX_KERNEL_HTTP_H
#define NX_KERNEL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "base/span.h"
#include "kernel/auth.h"
#include "kernel/metrics.h"
#include "kernel/origins.h"
#include "kernel/runtime.h"

struct nx_http;

struct nx_http_config {
    const char *host;       // numeric address
    uint16_t port;          // 0: any free one
    int32_t ws_port;        // a second one, for WebSockets alone; 0: any free one, < 0: none
    int32_t metrics_port;   // a third one, for metrics alone, without tokens; as ws_port
    const char *public_url; // what wsUrl is built from, no '/' at its end; NULL: http://host:port
    uint32_t body_limit_bytes;
    uint32_t max_clients; // connections; lowered to what the descriptor limit allows
    uint32_t worker_fds;  // descriptors that workers may take
    uint32_t max_panels;  // shown in listings
    bool audit_all;       // AUDIT=all: requests that are admitted are logged
    bool local_only;      // nothing but being on this machine lets a client in: see http_dispatch.c
    // Borrowed until the server is gone.
    bool allow_query_token;           // upgrades may carry their token as ?token=
    struct nx_auth *auth;             // NULL: requests need no token
    const struct nx_origins *origins; // pages that may come from elsewhere; NULL: none
    struct nx_metrics *metrics;
};

// Binds the address without accepting yet. `runtime` and `loop` are borrowed until nx_http_stop has
// called back; the strings of `config` until this returns. On success *out is freed by
// nx_http_stop. Errors: NX_E_IO (address in use, …), NX_E_INVALID (not an address), NX_E_NOMEM.
int nx_http_new(struct nx_http **out, uv_loop_t *loop, struct nx_runtime *runtime,
                const struct nx_http_config *config, struct nx_error *err);

// Starts accepting connections. From nx_http_set_ready on, /ready answers 200.
int nx_http_listen(struct nx_http *http, struct nx_error *err);
void nx_http_set_ready(struct nx_http *http);

// What the process itself has given up, for /health: bits of enum nx_protection.
void nx_http_set_protections(struct nx_http *http, uint32_t in_force);

// "http://127.0.0.1:3000", with the real port. Valid while the server is.
const char *nx_http_url(const struct nx_http *http);

// "ws://127.0.0.1:3001" of the second port, or of the first without one.
const char *nx_http_ws_listen_url(const struct nx_http *http);

// "http://127.0.0.1:9090" of the metrics port; empty without one.
const char *nx_http_metrics_url(const struct nx_http *http);

// The connections it takes: max_clients, or less if the descriptor limit allows no more.
uint32_t nx_http_max_clients(const struct nx_http *http);

// The server is about to stop: /ready answers 503, and every reply closes its connection. New
// connections are still taken, so that probes and late clients get an answer rather than a reset.
void nx_http_drain(struct nx_http *http);

// The runtime is gone: closes the listener and idle connections, lets unsent replies go out for at
// most NX_HTTP_FLUSH_TIMEOUT_MS, then calls `on_stopped` from the loop; the server is freed by
// then.
void nx_http_stop(struct nx_http *http, void (*on_stopped)(void *user), void *user);

#endif
