// SPDX-License-Identifier: Apache-2.0
// Capability tokens and sets of them. Input: tokens, one a line; those that
// begin with '+' go into a second set, without it.
#include "base/caps.h"
#include "base/limits.h"
#include "fuzz.h"

// The token as the set must have understood it.
struct token {
    bool valid;
    enum nx_cap_kind kind;
    struct nx_span scope;
};

static struct token read_token(struct nx_span text) {
    static const char *const prefixes[] = {
        "state:read:", "state:write:", "events:emit:", "view:update:", "ext:"};
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        struct nx_span prefix = nx_span_str(prefixes[kind]);
        if (nx_span_starts(text, prefix) && text.len > prefix.len &&
            text.len <= NX_MAX_CAP_TOKEN_BYTES)
            return (struct token){true, (enum nx_cap_kind)kind,
                                  nx_span_of(text.data + prefix.len, text.len - prefix.len)};
    }
    return (struct token){0};
}

static size_t size_of(const struct nx_cap_set *set) {
    size_t count = set->count;
    for (int kind = 0; kind < NX_CAP_KINDS; kind++)
        count += set->all[kind];
    return count;
}

static void check_set(const struct nx_cap_set *set) {
    FUZZ_CHECK(size_of(set) <= NX_MAX_CAPS);
    for (size_t i = 0; i < set->count; i++) {
        struct nx_span scope = nx_span_of(set->items[i].scope, set->items[i].scope_len);
        struct nx_buf text;
        FUZZ_CHECK(scope.len > 0 && !nx_span_eq(scope, nx_span_str("*")));
        FUZZ_CHECK(nx_caps_allow(set, set->items[i].kind, scope));
        nx_buf_init(&text, NX_MAX_CAP_TOKEN_BYTES);
        FUZZ_CHECK(nx_cap_format(&text, set->items[i].kind, scope) == 0);
        struct token again = read_token(nx_buf_span(&text));
        FUZZ_CHECK(again.valid && again.kind == set->items[i].kind &&
                   nx_span_eq(again.scope, scope));
        nx_buf_free(&text);
    }
}

// One token after the other; what each must lead to is known.
static void add(struct nx_cap_set *set, struct nx_span text) {
    struct nx_error err = {0};
    size_t before = size_of(set);
    struct token token = read_token(text);
    int rc = nx_caps_add(set, text, &err);
    FUZZ_CHECK_ERROR(rc, &err);
    FUZZ_CHECK(rc == 0 ? token.valid : !token.valid || before == NX_MAX_CAPS);
    FUZZ_CHECK(rc == 0 || size_of(set) == before);
    FUZZ_CHECK(rc != 0 || nx_caps_allow(set, token.kind, token.scope));
}

static void check_scope(const struct nx_cap_set sets[3], struct nx_span scope) {
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        enum nx_cap_kind k = (enum nx_cap_kind)kind;
        bool a = nx_caps_allow(&sets[0], k, scope), b = nx_caps_allow(&sets[1], k, scope);
        FUZZ_CHECK(nx_caps_allow(&sets[2], k, scope) == (a && b));
        FUZZ_CHECK(scope.len > 0 || a == sets[0].all[kind]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct nx_cap_set sets[3] = {{0}}, copy = {0};
    struct fuzz_input in = fuzz_input(data, size);
    while (in.left) {
        struct nx_span line = fuzz_until(&in, '\n');
        bool second = line.len && line.data[0] == '+';
        add(&sets[second], second ? nx_span_of(line.data + 1, line.len - 1) : line);
    }
    check_set(&sets[0]);
    check_set(&sets[1]);
    FUZZ_CHECK(nx_caps_copy(&copy, &sets[0], NULL) == 0);
    FUZZ_CHECK(size_of(&copy) == size_of(&sets[0]));
    struct nx_error err = {0};
    int rc = nx_caps_intersect(&sets[2], &sets[0], &sets[1], &err);
    FUZZ_CHECK_ERROR(rc, &err);
    FUZZ_CHECK(rc == 0 || rc == NX_E_LIMIT);
    for (in = fuzz_input(data, size); rc == 0 && in.left;) {
        struct nx_span line = fuzz_until(&in, '\n');
        const char *colon = line.len ? memrchr(line.data, ':', line.len) : NULL;
        size_t skip = colon ? (size_t)(colon - line.data) + 1 : 0;
        check_scope(sets, line);
        check_scope(sets, nx_span_of(line.data + skip, line.len - skip));
    }
    check_set(&sets[2]);
    for (int i = 0; i < 3; i++)
        nx_caps_free(&sets[i]);
    nx_caps_free(&copy);
    return 0;
}
