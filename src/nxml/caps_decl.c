// SPDX-License-Identifier: Apache-2.0
// Declared capabilities: into the sets that count, and remembered for the findings about them.
#include <stdlib.h>

#include "nxml/parse.h"

// Adds to p->caps; false when out of memory.
static bool remember(struct nx_parse *p, struct nx_cap_decl decl) {
    if (p->cap_count == p->cap_capacity) {
        size_t capacity = p->cap_capacity ? p->cap_capacity * 2 : 16;
        struct nx_cap_decl *caps = realloc(p->caps, capacity * sizeof *caps);
        if (!caps) {
            p->failed = NX_E_NOMEM;
            return false;
        }
        p->caps = caps;
        p->cap_capacity = capacity;
    }
    p->caps[p->cap_count++] = decl;
    return true;
}

void nx_parse_cap(struct nx_parse *p, struct nx_span token, struct nx_pos pos,
                  const struct nx_handler_def *owner, struct nx_cap_set *set) {
    struct nx_error err = {0};
    size_t before = set->count;
    bool all_before[NX_CAP_KINDS];
    memcpy(all_before, set->all, sizeof all_before);
    int status = nx_caps_add(set, token, &err);
    if (status == NX_E_NOMEM) {
        p->failed = NX_E_NOMEM;
        return;
    }
    if (status) {
        nx_parse_error(p, NX_DIAG_INVALID_CAPABILITY, pos, "%s", err.message);
        return;
    }
    if (set->count == before && memcmp(all_before, set->all, sizeof all_before) == 0)
        return; // a duplicate
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        struct nx_span prefix = nx_span_str(nx_cap_prefix((enum nx_cap_kind)kind));
        if (!nx_span_starts(token, prefix))
            continue;
        struct nx_span scope = nx_span_of(token.data + prefix.len, token.len - prefix.len);
        struct nx_span where = nx_parse_keep(p, nx_span_str(p->where));
        if (where.data)
            remember(p, (struct nx_cap_decl){(enum nx_cap_kind)kind, nx_parse_keep(p, scope), pos,
                                             owner, where.data});
        return;
    }
}

static void inherit(struct nx_parse *p, struct nx_handler_def *h) {
    if (h && !h->has_own_caps && nx_caps_copy(&h->caps, &p->def->caps, NULL))
        p->failed = NX_E_NOMEM; // a set that was within its cap once is so again
}

void nx_parse_inherit_caps(struct nx_parse *p) {
    for (size_t i = 0; i < p->def->tool_count; i++)
        inherit(p, &p->def->tools[i].handler);
    inherit(p, p->def->mount);
    inherit(p, p->def->unmount);
}
