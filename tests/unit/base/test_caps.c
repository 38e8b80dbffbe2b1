// SPDX-License-Identifier: Apache-2.0
// Capability tokens: byte-exact parsing, fail-closed matching, intersection. Each refusal stands
// next to a case that is allowed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/caps.h"
#include "base/limits.h"

#define S(text) nx_span_of(text, sizeof(text) - 1)

static void add(struct nx_cap_set *set, const char *token) {
    struct nx_error err = {0};
    if (nx_caps_add(set, nx_span_str(token), &err) != 0)
        fail_msg("%s: %s", token, err.message);
}

static bool allows(const struct nx_cap_set *set, enum nx_cap_kind kind, const char *scope) {
    return nx_caps_allow(set, kind, nx_span_str(scope));
}

static void empty_set_denies_everything(void **state) {
    (void)state;
    struct nx_cap_set set = {0};
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        assert_false(allows(&set, (enum nx_cap_kind)kind, "a"));
        assert_false(allows(&set, (enum nx_cap_kind)kind, "*"));
        assert_false(allows(&set, (enum nx_cap_kind)kind, ""));
        assert_false(nx_caps_allow_all(&set, (enum nx_cap_kind)kind));
    }
}

static void each_kind_allows_only_itself(void **state) {
    (void)state;
    for (int granted = 0; granted < NX_CAP_KINDS; granted++) {
        for (int wildcard = 0; wildcard < 2; wildcard++) {
            struct nx_cap_set set = {0};
            char token[64];
            snprintf(token, sizeof token, "%s%s", nx_cap_prefix((enum nx_cap_kind)granted),
                     wildcard ? "*" : "k");
            add(&set, token);
            for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
                enum nx_cap_kind k = (enum nx_cap_kind)kind;
                assert_int_equal(allows(&set, k, "k"), kind == granted);
                assert_int_equal(allows(&set, k, "other"), kind == granted && wildcard);
                assert_int_equal(nx_caps_allow_all(&set, k), kind == granted && wildcard);
            }
            nx_caps_free(&set);
        }
    }
}

static void scopes_are_compared_byte_for_byte(void **state) {
    (void)state;
    struct nx_cap_set set = {0};
    add(&set, "state:read:user:name");
    add(&set, "state:read:a*");
    add(&set, "state:read:**");
    add(&set, "state:read: x ");
    assert_int_equal(nx_caps_add(&set, S("state:read:n\0l"), NULL), 0);
    static const struct {
        const char *scope;
        size_t len;
        bool allowed;
    } cases[] = {
        {"user:name", 9, true},  {"user", 4, false},
        {"user:", 5, false},     {"user:name:", 10, false},
        {"User:name", 9, false}, {"user:nam", 8, false},
        {"a*", 2, true},         {"ab", 2, false},
        {"a", 1, false},         {"**", 2, true},
        {"*", 1, false},         {"anything", 8, false},
        {" x ", 3, true},        {"x", 1, false},
        {"n\0l", 3, true},       {"n", 1, false},
        {"n\0m", 3, false},      {"n\0l\0", 4, false},
        {"", 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(
            nx_caps_allow(&set, NX_CAP_STATE_READ, nx_span_of(cases[i].scope, cases[i].len)),
            cases[i].allowed);
    assert_false(nx_caps_allow_all(&set, NX_CAP_STATE_READ));
    nx_caps_free(&set);
}

static void malformed_tokens_are_refused(void **state) {
    (void)state;
    static const char *const tokens[] = {
        "",
        "*",
        "a",
        "state",
        "state:",
        "state:*",
        "state:read",
        "state:read:",
        "state:write:",
        "events:emit:",
        "view:update:",
        "ext:",
        "ext",
        "State:read:a",
        "STATE:READ:a",
        " state:read:a",
        "state:read a",
        "state::read:a",
        "state:reads:a",
        "state:readwrite:a",
        "events:a",
        "events:*",
        "view:read:a",
        "exts:a",
        "*:*:*",
        "state:*:a",
        "state:read\t:a",
    };
    struct nx_cap_set set = {0};
    add(&set, "ext:http");
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        struct nx_error err = {0};
        assert_int_equal(nx_caps_add(&set, nx_span_str(tokens[i]), &err), NX_E_INVALID);
        assert_int_equal(err.code, NX_E_INVALID);
        assert_int_equal(set.count, 1);
    }
    assert_int_equal(nx_caps_add(&set, S("state\0read:a"), NULL), NX_E_INVALID);
    for (int kind = 0; kind < NX_CAP_KINDS; kind++)
        assert_false(set.all[kind]);
    assert_true(allows(&set, NX_CAP_EXT, "http"));
    nx_caps_free(&set);
}

static void write_does_not_imply_read(void **state) {
    (void)state;
    struct nx_cap_set set = {0};
    add(&set, "state:write:*");
    assert_true(allows(&set, NX_CAP_STATE_WRITE, "k"));
    assert_false(allows(&set, NX_CAP_STATE_READ, "k"));
    nx_caps_free(&set);
}

static void unknown_kinds_are_denied(void **state) {
    (void)state;
    struct nx_cap_set set = {0};
    for (int kind = 0; kind < NX_CAP_KINDS; kind++)
        set.all[kind] = true;
    const unsigned kinds[] = {NX_CAP_KINDS, 0x80000000u, 0xffffffffu};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        enum nx_cap_kind kind;
        memcpy(&kind, &kinds[i], sizeof kind);
        assert_false(allows(&set, kind, "a"));
        assert_false(nx_caps_allow_all(&set, kind));
        assert_null(nx_cap_prefix(kind));
        struct nx_buf out;
        nx_buf_init(&out, 10);
        assert_int_equal(nx_cap_format(&out, kind, S("a")), NX_E_INVALID);
        nx_buf_free(&out);
    }
    assert_true(allows(&set, NX_CAP_EXT, "a"));
}

static void duplicates_are_kept_once(void **state) {
    (void)state;
    struct nx_cap_set set = {0};
    for (int i = 0; i < 2 * NX_MAX_CAPS; i++) {
        add(&set, "state:read:a");
        add(&set, "state:write:a");
        add(&set, "ext:*");
    }
    assert_int_equal(set.count, 2);
    nx_caps_free(&set);
}

static void token_length_limit_is_exact(void **state) {
    (void)state;
    char token[NX_MAX_CAP_TOKEN_BYTES + 1];
    memset(token, 'k', sizeof token);
    memcpy(token, "state:read:", 11);
    struct nx_cap_set set = {0};
    assert_int_equal(nx_caps_add(&set, nx_span_of(token, sizeof token), NULL), NX_E_LIMIT);
    assert_int_equal(set.count, 0);
    assert_int_equal(nx_caps_add(&set, nx_span_of(token, sizeof token - 1), NULL), 0);
    assert_true(nx_caps_allow(&set, NX_CAP_STATE_READ, nx_span_of(token + 11, sizeof token - 12)));
    nx_caps_free(&set);
}

static void fill(struct nx_cap_set *set, const char *prefix, int count) {
    for (int i = 0; i < count; i++) {
        char token[64];
        snprintf(token, sizeof token, "%s%d", prefix, i);
        add(set, token);
    }
}

static void token_count_limit_is_exact(void **state) {
    (void)state;
    struct nx_cap_set set = {0};
    add(&set, "ext:*");
    fill(&set, "state:read:", NX_MAX_CAPS - 1);
    struct nx_error err = {0};
    assert_int_equal(nx_caps_add(&set, S("state:read:more"), &err), NX_E_LIMIT);
    assert_int_equal(nx_caps_add(&set, S("view:update:*"), &err), NX_E_LIMIT);
    assert_false(allows(&set, NX_CAP_STATE_READ, "more"));
    assert_false(allows(&set, NX_CAP_VIEW_UPDATE, "x"));
    assert_int_equal(nx_caps_add(&set, S("state:read:7"), &err), 0); // there already
    assert_true(allows(&set, NX_CAP_STATE_READ, "254"));
    nx_caps_free(&set);
}

// The intersection allows a scope exactly when both sides do, for all small sets.
static void intersection_is_conjunction(void **state) {
    (void)state;
    static const char *const tokens[] = {"state:read:a",  "state:read:b", "state:read:*",
                                         "state:write:a", "ext:*",        "ext:a"};
    enum { TOKENS = 6 };
    static const char *const scopes[] = {"a", "b", "c", "*"};
    for (unsigned x = 0; x < 1u << TOKENS; x++) {
        for (unsigned y = 0; y < 1u << TOKENS; y++) {
            struct nx_cap_set a = {0}, b = {0}, out = {0};
            for (int i = 0; i < TOKENS; i++) {
                if (x >> i & 1)
                    add(&a, tokens[i]);
                if (y >> i & 1)
                    add(&b, tokens[i]);
            }
            assert_int_equal(nx_caps_intersect(&out, &a, &b, NULL), 0);
            for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
                enum nx_cap_kind k = (enum nx_cap_kind)kind;
                for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++)
                    assert_int_equal(allows(&out, k, scopes[i]),
                                     allows(&a, k, scopes[i]) && allows(&b, k, scopes[i]));
                assert_int_equal(nx_caps_allow_all(&out, k), a.all[k] && b.all[k]);
            }
            nx_caps_free(&a);
            nx_caps_free(&b);
            nx_caps_free(&out);
        }
    }
}

static void oversized_intersection_is_refused_and_empty(void **state) {
    (void)state;
    struct nx_cap_set a = {0}, b = {0}, out = {0};
    add(&a, "state:write:*");
    fill(&a, "state:read:", 200);
    add(&b, "state:read:*");
    fill(&b, "state:write:", 56);
    assert_int_equal(nx_caps_intersect(&out, &a, &b, NULL), 0);
    assert_int_equal(out.count, 256);
    nx_caps_free(&out);
    fill(&b, "state:write:", 57);
    struct nx_error err = {0};
    assert_int_equal(nx_caps_intersect(&out, &a, &b, &err), NX_E_LIMIT);
    assert_int_equal(out.count, 0);
    assert_null(out.items);
    nx_caps_free(&a);
    nx_caps_free(&b);
}

static void copy_is_independent(void **state) {
    (void)state;
    struct nx_cap_set from = {0}, to = {0};
    add(&from, "state:read:a:b");
    add(&from, "events:emit:*");
    assert_int_equal(nx_caps_copy(&to, &from, NULL), 0);
    nx_caps_free(&from);
    assert_false(allows(&from, NX_CAP_EVENTS_EMIT, "x"));
    assert_true(allows(&to, NX_CAP_STATE_READ, "a:b"));
    assert_true(allows(&to, NX_CAP_EVENTS_EMIT, "x"));
    assert_false(allows(&to, NX_CAP_STATE_WRITE, "a:b"));
    nx_caps_free(&to);
}

static void format_and_parse_are_inverse(void **state) {
    (void)state;
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        struct nx_buf out;
        nx_buf_init(&out, 100);
        assert_int_equal(nx_cap_format(&out, (enum nx_cap_kind)kind, S("a:b\0c")), 0);
        struct nx_cap_set set = {0};
        assert_int_equal(nx_caps_add(&set, nx_buf_span(&out), NULL), 0);
        assert_int_equal(set.items[0].kind, kind);
        assert_int_equal(set.items[0].scope_len, 5);
        assert_memory_equal(set.items[0].scope, "a:b\0c", 6);
        nx_caps_free(&set);
        nx_buf_free(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_set_denies_everything),
        cmocka_unit_test(each_kind_allows_only_itself),
        cmocka_unit_test(scopes_are_compared_byte_for_byte),
        cmocka_unit_test(malformed_tokens_are_refused),
        cmocka_unit_test(write_does_not_imply_read),
        cmocka_unit_test(unknown_kinds_are_denied),
        cmocka_unit_test(duplicates_are_kept_once),
        cmocka_unit_test(token_length_limit_is_exact),
        cmocka_unit_test(token_count_limit_is_exact),
        cmocka_unit_test(intersection_is_conjunction),
        cmocka_unit_test(oversized_intersection_is_refused_and_empty),
        cmocka_unit_test(copy_is_independent),
        cmocka_unit_test(format_and_parse_are_inverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
