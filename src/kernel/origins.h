// SPDX-License-Identifier: Apache-2.0
// The origins whose pages may use the server from a browser: for cross-origin requests (CORS) and
// for WebSocket upgrades alike.
#ifndef NX_KERNEL_ORIGINS_H
#define NX_KERNEL_ORIGINS_H

#include "base/buf.h"
#include "base/span.h"

struct nx_origins;

// Reads CORS_ORIGINS: origins as browsers send them (scheme://host[:port]), separated by commas, or
// "*" alone. On success *out is for nx_origins_free; NULL if the list is empty or "none". Otherwise
// NX_E_INVALID, and one line for each entry that is wrong is appended to `problems`.
int nx_origins_parse(struct nx_origins **out, const char *list, struct nx_buf *problems);

// What a reply to a page of `origin` says in Access-Control-Allow-Origin: the list's own text of
// it, or "*"; NULL if the page may not. Nothing of a request is ever reflected. `origins` may be
// NULL. Valid while `origins` is.
const char *nx_origins_match(const struct nx_origins *origins, struct nx_span origin);

void nx_origins_free(struct nx_origins *origins); // NULL is fine

#endif
