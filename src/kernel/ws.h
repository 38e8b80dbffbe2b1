// SPDX-License-Identifier: Apache-2.0
// WebSockets (RFC 6455): clients that watch a panel and trigger its tools.
//
//   ws_upgrade.c  from a request to a session: the handshake
//   ws_conn.c     a session: frames in, by wslay; its time and its end
//   ws_queue.c    what waits for a client, and writing it
//   ws_message.c  what clients say
//   ws_hub.c      who watches what; what happens in panels, told to those
//   ws_text.c     the messages as JSON
//
// Invariants
//   1. A session gets messages in the order in which things happened in its panel.
//   2. What a client does not take is queued up to a cap; past it, pending PATCHes give way to one
//      RESYNC, and if that is not enough the session closes with 1013. Nobody else waits for it.
//   3. A session that ends detaches its triggers: they run on and commit.
#ifndef NX_KERNEL_WS_H
#define NX_KERNEL_WS_H

#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

struct nx_http;
struct nx_http_conn;
struct nx_http_request;
struct nx_panel;
struct nx_ws;
struct nx_ws_session;

// The server's sockets, none yet. Observes the server's runtime. On success *out is freed by
// nx_ws_free. Errors: NX_E_NOMEM, NX_E_LIMIT.
int nx_ws_new(struct nx_ws **out, struct nx_http *http, struct nx_error *err);

// Closes what must be closed in the loop before the server goes; no session may be left. `ws` is
// gone when `on_closed` is called from the loop.
void nx_ws_free(struct nx_ws *ws, void (*on_closed)(void *user), void *user);

// Sessions close with 1001: at once, or when their last trigger has ended.
void nx_ws_drain(struct nx_ws *ws);

// GET /panels/{id}/ws, after the request was admitted: becomes a session, or answers why not.
void nx_http_upgrade(const struct nx_http_request *request);

// Sessions open, and those closed so far for being too slow.
void nx_ws_figures(const struct nx_ws *ws, uint32_t *clients, uint64_t *dropped);

// Clients watching the panel.
unsigned nx_ws_client_count(const struct nx_panel *panel);

// ---- for http_conn.c: the life of an upgraded connection

// Bytes came; an empty span: process what is pending.
void nx_ws_received(struct nx_ws_session *session, struct nx_span data);
// The connection's deadline passed.
void nx_ws_expire(struct nx_ws_session *session);
// The server goes: says so and closes.
void nx_ws_flush_and_close(struct nx_ws_session *session);
// The connection is closing: the session ends.
void nx_ws_ended(struct nx_ws_session *session);

#endif
