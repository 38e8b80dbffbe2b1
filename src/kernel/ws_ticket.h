// SPDX-License-Identifier: Apache-2.0
// Tickets: what a page uses to open a WebSocket where it cannot send a header. Random, for one
// panel, for one use, for half a minute.
#ifndef NX_KERNEL_WS_TICKET_H
#define NX_KERNEL_WS_TICKET_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "kernel/auth_claims.h"

enum { NX_WS_TICKET_CHARS = 64 };

struct nx_ws_tickets;

struct nx_ws_tickets *nx_ws_tickets_new(void); // NULL: no memory
void nx_ws_tickets_free(struct nx_ws_tickets *tickets);

// Makes a ticket that stands for `identity` (a reference is taken; NULL where nobody has one) at
// `panel_id`. `now_ms` is a monotonic time. Past NX_MAX_BEARER_WS_TICKETS the subject's oldest one
// goes. Errors: NX_E_BUSY (too many are out), NX_E_NOMEM, NX_E_IO (no randomness).
int nx_ws_ticket_issue(struct nx_ws_tickets *tickets, struct nx_identity *identity,
                       struct nx_span panel_id, uint64_t now_ms, char text[NX_WS_TICKET_CHARS + 1]);

// Takes a ticket in: 0 and *identity is the caller's reference (or NULL), or NX_E_NOTFOUND, also
// for one of another panel. It is gone in any case.
int nx_ws_ticket_redeem(struct nx_ws_tickets *tickets, struct nx_span text, struct nx_span panel_id,
                        uint64_t now_ms, struct nx_identity **identity);

#endif
