// SPDX-License-Identifier: Apache-2.0
// What a handler may do in effect: what it declares, as far as the ceiling (server policy and the
// creator's token) allows.
//
// Extensions need care: a panel names them by aliases of its own choosing, the ceiling by their
// real names. Comparing the two as text would let a panel call `http` what the ceiling knows as
// `time`, so every alias is resolved before it is compared.
#include "kernel/core.h"

// The last dotted segment: "nexus.http" is provided by the extension "http".
static struct nx_span last_segment(struct nx_span name) {
    for (size_t i = name.len; i > 0; i--) {
        if (name.data[i - 1] == '.')
            return nx_span_of(name.data + i, name.len - i);
    }
    return name;
}

static const struct nx_extension_def *find_alias(const struct nx_panel_def *def,
                                                 struct nx_span alias) {
    for (size_t i = 0; i < def->extension_count; i++) {
        if (nx_span_eq(nx_span_str(def->extensions[i].alias), alias))
            return &def->extensions[i];
    }
    return NULL;
}

struct nx_span nx_grants_extension(const struct nx_ext_registry *ext,
                                   const struct nx_panel_def *def, struct nx_span name) {
    const struct nx_extension_def *declared = find_alias(def, name);
    if (!declared)
        return name;
    struct nx_span full = nx_span_str(declared->name);
    return nx_ext_exists(ext, full) ? full : last_segment(full);
}

static int add(struct nx_cap_set *out, enum nx_cap_kind kind, struct nx_span scope,
               struct nx_error *err) {
    struct nx_buf token;
    nx_buf_init(&token, NX_MAX_CAP_TOKEN_BYTES);
    nx_cap_format(&token, kind, scope);
    int rc = token.failed ? nx_error_set(err, token.failed, "capability too long")
                          : nx_caps_add(out, nx_buf_span(&token), err);
    nx_buf_free(&token);
    return rc;
}

// `ext:*` under a ceiling that names extensions: every alias of the panel whose extension the
// ceiling allows, and what the ceiling names itself unless the panel uses that name for another.
static int expand_extensions(const struct nx_ext_registry *ext, const struct nx_panel_def *def,
                             const struct nx_cap_set *ceiling, struct nx_cap_set *out,
                             struct nx_error *err) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < def->extension_count; i++) {
        struct nx_span alias = nx_span_str(def->extensions[i].alias);
        if (nx_caps_allow(ceiling, NX_CAP_EXT, nx_grants_extension(ext, def, alias)))
            rc = add(out, NX_CAP_EXT, alias, err);
    }
    for (size_t i = 0; rc == 0 && i < ceiling->count; i++) {
        struct nx_span scope = nx_span_of(ceiling->items[i].scope, ceiling->items[i].scope_len);
        if (ceiling->items[i].kind == NX_CAP_EXT && !find_alias(def, scope))
            rc = add(out, NX_CAP_EXT, scope, err);
    }
    return rc;
}

static int intersect_extensions(const struct nx_ext_registry *ext, const struct nx_panel_def *def,
                                const struct nx_cap_set *declared, const struct nx_cap_set *ceiling,
                                struct nx_cap_set *out, struct nx_error *err) {
    if (nx_caps_allow_all(declared, NX_CAP_EXT)) {
        if (nx_caps_allow_all(ceiling, NX_CAP_EXT))
            return add(out, NX_CAP_EXT, nx_span_str("*"), err);
        return expand_extensions(ext, def, ceiling, out, err);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < declared->count; i++) {
        struct nx_span scope = nx_span_of(declared->items[i].scope, declared->items[i].scope_len);
        if (declared->items[i].kind == NX_CAP_EXT &&
            nx_caps_allow(ceiling, NX_CAP_EXT, nx_grants_extension(ext, def, scope)))
            rc = add(out, NX_CAP_EXT, scope, err);
    }
    return rc;
}

int nx_grants_effective(const struct nx_ext_registry *ext, const struct nx_panel_def *def,
                        const struct nx_cap_set *declared, const struct nx_cap_set *ceiling,
                        struct nx_cap_set *out, struct nx_error *err) {
    if (!ceiling)
        return nx_caps_copy(out, declared, err);
    struct nx_cap_set both = {0};
    int rc = nx_caps_intersect(&both, declared, ceiling, err);
    for (size_t i = 0; rc == 0 && i < both.count; i++) {
        if (both.items[i].kind != NX_CAP_EXT)
            rc = add(out, both.items[i].kind,
                     nx_span_of(both.items[i].scope, both.items[i].scope_len), err);
    }
    for (int kind = 0; rc == 0 && kind < NX_CAP_KINDS; kind++) {
        if (kind != NX_CAP_EXT && both.all[kind])
            rc = add(out, (enum nx_cap_kind)kind, nx_span_str("*"), err);
    }
    if (rc == 0)
        rc = intersect_extensions(ext, def, declared, ceiling, out, err);
    nx_caps_free(&both);
    if (rc)
        nx_caps_free(out);
    return rc;
}
