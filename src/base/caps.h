// SPDX-License-Identifier: Apache-2.0
// Capability tokens: `state:read:KEY`, `state:write:KEY`, `events:emit:NAME`, `view:update:ID`,
// `ext:NAME`, each also with the scope `*`.
//
// A token is parsed once into {kind, scope}. The scope is everything after the fixed prefix and is
// compared byte for byte (it may contain ':'); `*` alone is the wildcard. Everything else is
// refused: parsing fails closed, an empty set allows nothing, and write never implies read.
#ifndef NX_BASE_CAPS_H
#define NX_BASE_CAPS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"

enum nx_cap_kind {
    NX_CAP_STATE_READ,
    NX_CAP_STATE_WRITE,
    NX_CAP_EVENTS_EMIT,
    NX_CAP_VIEW_UPDATE,
    NX_CAP_EXT,
    NX_CAP_KINDS, // count
};

struct nx_cap {
    enum nx_cap_kind kind;
    char *scope; // owned; NUL-terminated copy, but scope_len counts (scopes may hold NUL)
    size_t scope_len;
};

// A set of grants. Zero-initialised = empty = denies everything.
// A granted `*` is kept in `all` alone: `items` never holds a scope of "*".
struct nx_cap_set {
    struct nx_cap *items; // owned array
    size_t count;
    bool all[NX_CAP_KINDS]; // `*` was granted for this kind
};

// "state:read:" … with the colon; "ext:" for NX_CAP_EXT. Never NULL for a valid kind.
const char *nx_cap_prefix(enum nx_cap_kind kind);

// Parses `token` and adds it. Duplicates are kept once. Errors: NX_E_INVALID (unknown kind, empty
// scope), NX_E_LIMIT (over NX_MAX_CAPS tokens or NX_MAX_CAP_TOKEN_BYTES), NX_E_NOMEM. On error the
// set is unchanged.
int nx_caps_add(struct nx_cap_set *set, struct nx_span token, struct nx_error *err);

// Whether the set grants `kind` on exactly `scope`, directly or by `*`. False for a kind out of
// range.
bool nx_caps_allow(const struct nx_cap_set *set, enum nx_cap_kind kind, struct nx_span scope);

// Whether the set grants `kind` on every scope.
static inline bool nx_caps_allow_all(const struct nx_cap_set *set, enum nx_cap_kind kind) {
    return (unsigned)kind < NX_CAP_KINDS && set->all[kind];
}

// out := the grants that both `a` and `b` allow. `out` must be empty, and is left so on error:
// NX_E_NOMEM, or NX_E_LIMIT if more than NX_MAX_CAPS tokens are needed to say it.
int nx_caps_intersect(struct nx_cap_set *out, const struct nx_cap_set *a,
                      const struct nx_cap_set *b, struct nx_error *err);

// out := `from`. `out` must be empty, and is left so on error (NX_E_NOMEM).
int nx_caps_copy(struct nx_cap_set *out, const struct nx_cap_set *from, struct nx_error *err);

// Appends the token's text, e.g. `state:read:count`. Returns 0, out->failed, or NX_E_INVALID for a
// kind out of range.
int nx_cap_format(struct nx_buf *out, enum nx_cap_kind kind, struct nx_span scope);

// Releases the memory; the set is then empty and can be used again.
void nx_caps_free(struct nx_cap_set *set);

#endif
