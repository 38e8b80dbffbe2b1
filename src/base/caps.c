// SPDX-License-Identifier: Apache-2.0
// Capability sets: parsing, matching, intersecting.
#include "base/caps.h"

#include <stdlib.h>

#include "base/limits.h"

static const char *const prefixes[NX_CAP_KINDS] = {
    [NX_CAP_STATE_READ] = "state:read:",
    [NX_CAP_STATE_WRITE] = "state:write:",
    [NX_CAP_EVENTS_EMIT] = "events:emit:",
    [NX_CAP_VIEW_UPDATE] = "view:update:",
    [NX_CAP_EXT] = "ext:",
};

static bool is_wildcard(struct nx_span scope) {
    return scope.len == 1 && scope.data[0] == '*';
}

// Tokens in the set, each wildcard counting as one.
static size_t token_count(const struct nx_cap_set *set) {
    size_t n = set->count;
    for (int kind = 0; kind < NX_CAP_KINDS; kind++)
        n += set->all[kind];
    return n;
}

// Whether exactly this scope was granted by name.
static bool has_scope(const struct nx_cap_set *set, enum nx_cap_kind kind, struct nx_span scope) {
    for (size_t i = 0; i < set->count; i++) {
        const struct nx_cap *c = &set->items[i];
        if (c->kind == kind && c->scope_len == scope.len &&
            memcmp(c->scope, scope.data, scope.len) == 0)
            return true;
    }
    return false;
}

static int add_scope(struct nx_cap_set *set, enum nx_cap_kind kind, struct nx_span scope,
                     struct nx_error *err) {
    if (is_wildcard(scope) ? set->all[kind] : has_scope(set, kind, scope))
        return 0;
    if (token_count(set) >= NX_MAX_CAPS)
        return nx_error_set(err, NX_E_LIMIT, "more than %d capabilities", NX_MAX_CAPS);
    if (is_wildcard(scope)) {
        set->all[kind] = true;
        return 0;
    }
    char *copy = malloc(scope.len + 1);
    if (!copy)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    memcpy(copy, scope.data, scope.len);
    copy[scope.len] = '\0';
    struct nx_cap *items = realloc(set->items, (set->count + 1) * sizeof *items);
    if (!items) {
        free(copy);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    items[set->count] = (struct nx_cap){kind, copy, scope.len};
    set->items = items;
    set->count++;
    return 0;
}

const char *nx_cap_prefix(enum nx_cap_kind kind) {
    return (unsigned)kind < NX_CAP_KINDS ? prefixes[kind] : NULL;
}

int nx_caps_add(struct nx_cap_set *set, struct nx_span token, struct nx_error *err) {
    if (token.len > NX_MAX_CAP_TOKEN_BYTES)
        return nx_error_set(err, NX_E_LIMIT, "capability longer than %d bytes",
                            NX_MAX_CAP_TOKEN_BYTES);
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        struct nx_span prefix = nx_span_str(prefixes[kind]);
        if (!nx_span_starts(token, prefix))
            continue;
        struct nx_span scope = {token.data + prefix.len, token.len - prefix.len};
        if (scope.len == 0)
            return nx_error_set(err, NX_E_INVALID, "capability \"%s\" has no scope",
                                prefixes[kind]);
        return add_scope(set, (enum nx_cap_kind)kind, scope, err);
    }
    return nx_error_set(err, NX_E_INVALID, "unknown capability \"%.*s\"", (int)token.len,
                        token.data ? token.data : "");
}

bool nx_caps_allow(const struct nx_cap_set *set, enum nx_cap_kind kind, struct nx_span scope) {
    if ((unsigned)kind >= NX_CAP_KINDS)
        return false;
    return set->all[kind] || (scope.len > 0 && has_scope(set, kind, scope));
}

// Adds the grants of `from` that `filter` allows too (all of them if it is NULL).
static int add_filtered(struct nx_cap_set *out, const struct nx_cap_set *from,
                        const struct nx_cap_set *filter, struct nx_error *err) {
    for (size_t i = 0; i < from->count; i++) {
        const struct nx_cap *c = &from->items[i];
        struct nx_span scope = {c->scope, c->scope_len};
        if (filter && !nx_caps_allow(filter, c->kind, scope))
            continue;
        int rc = add_scope(out, c->kind, scope, err);
        if (rc)
            return rc;
    }
    return 0;
}

int nx_caps_intersect(struct nx_cap_set *out, const struct nx_cap_set *a,
                      const struct nx_cap_set *b, struct nx_error *err) {
    for (int kind = 0; kind < NX_CAP_KINDS; kind++)
        out->all[kind] = a->all[kind] && b->all[kind];
    int rc = add_filtered(out, a, b, err);
    if (rc == 0)
        rc = add_filtered(out, b, a, err);
    if (rc)
        nx_caps_free(out);
    return rc;
}

int nx_caps_copy(struct nx_cap_set *out, const struct nx_cap_set *from, struct nx_error *err) {
    memcpy(out->all, from->all, sizeof out->all);
    int rc = add_filtered(out, from, NULL, err);
    if (rc)
        nx_caps_free(out);
    return rc;
}

int nx_cap_format(struct nx_buf *out, enum nx_cap_kind kind, struct nx_span scope) {
    const char *prefix = nx_cap_prefix(kind);
    if (!prefix)
        return NX_E_INVALID;
    nx_buf_append_str(out, prefix);
    return nx_buf_append_span(out, scope);
}

void nx_caps_free(struct nx_cap_set *set) {
    for (size_t i = 0; i < set->count; i++)
        free(set->items[i].scope);
    free(set->items);
    *set = (struct nx_cap_set){0};
}
