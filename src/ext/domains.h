// SPDX-License-Identifier: Apache-2.0
// The operator's list of host names that handlers may name in URLs.
#ifndef NX_EXT_DOMAINS_H
#define NX_EXT_DOMAINS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"

struct nx_domains {
    char *text; // owned: lower case, items separated by commas
    bool any;   // "*" is among them
};

// Reads a comma-separated list: `api.example.com` (that host alone), `*.example.com` (every host
// below it, not itself), `*` (any host), or an IP address without brackets; white space around
// items is fine. Hosts outside ASCII are written in their xn-- form. Freed by nx_domains_free.
// Errors: NX_E_INVALID with the item, NX_E_LIMIT, NX_E_NOMEM; nothing is left to free.
int nx_domains_parse(struct nx_domains *out, const char *list, struct nx_error *err);
void nx_domains_free(struct nx_domains *domains);

// Whether `host`, in any case, with or without a dot at its end, IPv6 without brackets, is allowed.
bool nx_domains_allow(const struct nx_domains *domains, struct nx_span host);

#endif
