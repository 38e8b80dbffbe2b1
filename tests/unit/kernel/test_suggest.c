// SPDX-License-Identifier: Apache-2.0
// What `nexus check --suggest` finds in a handler's source, and what it must not find.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "kernel/js_tokens.h"
#include "kernel/suggest.h"

// The tokens in order of their kinds, separated by spaces; a scope that cannot be seen as
// "kind:?LINE".
static void describe(const struct nx_suggestion *s, struct nx_buf *out) {
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        for (size_t i = 0; i < s->needs.count; i++) {
            const struct nx_cap *cap = &s->needs.items[i];
            if ((int)cap->kind != kind)
                continue;
            nx_buf_append_str(out, out->len ? " " : "");
            nx_cap_format(out, cap->kind, nx_span_of(cap->scope, cap->scope_len));
        }
        if (s->unclear_line[kind])
            nx_buf_printf(out, "%s%s?%u", out->len ? " " : "",
                          nx_cap_prefix((enum nx_cap_kind)kind), s->unclear_line[kind]);
    }
}

static void expect(const char *code, const char *expected) {
    struct nx_suggestion s;
    struct nx_error err = {0};
    struct nx_buf text;
    nx_buf_init(&text, 4096);
    if (nx_suggest(&s, nx_span_str(code), &err))
        fail_msg("%s: %s", code, err.message);
    describe(&s, &text);
    if (strcmp(text.data ? text.data : "", expected) != 0)
        fail_msg("%s\n  gives  %s\n  not    %s", code, text.data ? text.data : "", expected);
    nx_buf_free(&text);
    nx_suggestion_free(&s);
}

static void test_reads_and_writes(void **state) {
    (void)state;
    expect("return $state.a;", "state:read:a");
    expect("$state.a = 1;", "state:write:a");
    expect("$state['a b'] = 1;", "state:write:a b");
    expect("$state[`a`] = 1;", "state:write:a");
    expect("$state?.a; $state?.['b'];", "state:read:a state:read:b");
    expect("$state . a === 1", "state:read:a");
    expect("$state.a == 1; $state.b => 1", "state:read:a state:read:b");
    expect("$state.a += 1", "state:read:a state:write:a");
    expect("$state.a ?\?= 1", "state:read:a state:write:a");
    expect("$state.a >>>= 1", "state:read:a state:write:a");
    expect("$state.a++", "state:read:a state:write:a");
    expect("--$state.a", "state:read:a state:write:a");
    expect("delete $state.a", "state:write:a");
    expect("$state.a = $state.b", "state:read:b state:write:a");
    expect("'a' in $state", "state:read:a");
    expect("const { a, b: c, 'd': { e }, f = g(1, 2) } = $state;",
           "state:read:a state:read:b state:read:d state:read:f");
    expect("$state.a\n++x", "state:read:a");
}

static void test_nested_writes(void **state) {
    (void)state;
    expect("$state.a.b = 1", "state:read:a state:write:a");
    expect("$state.a[i].b.c = 1", "state:read:a state:write:a");
    expect("$state.a.push(1)", "state:read:a state:write:a");
    expect("$state.a.slice().push(1)", "state:read:a");
    expect("$state.a.map(f).sort()", "state:read:a");
    expect("$state.a.filter(f)[0].b = 1", "state:read:a state:write:a");
    expect("$state.a.find(f).b = 1", "state:read:a state:write:a");
    expect("delete $state.a.b", "state:read:a state:write:a");
    expect("$state.a.b === 1", "state:read:a");
}

static void test_variables(void **state) {
    (void)state;
    expect("const t = $state.a.find(x => x.id); t.b = 1;", "state:read:a state:write:a");
    expect("const t = $state.a; t.push(1)", "state:read:a state:write:a");
    expect("const t = $state.a; const u = t[0]; u.b++", "state:read:a state:write:a");
    expect("let n = $state.a; n = n + 1; n++", "state:read:a");
    expect("const t = $state.a.filter(f); t.push(1); t.sort()", "state:read:a");
    expect("for (const t of $state.a) t.b = 1", "state:read:a state:write:a");
    expect("for (const [i, t] of $state.a.entries()) t.b = i", "state:read:a state:write:a");
    expect("for (const t of $state.a) log(t.b)", "state:read:a");
    expect("$state.a.forEach(t => { t.b = 1 })", "state:read:a state:write:a");
    expect("$state.a.forEach((t, i) => { t.b = i })", "state:read:a state:write:a");
    expect("$state.a.forEach(function (t) { t.b = 1 })", "state:read:a state:write:a");
    expect("$state.a.reduce((sum, t) => { sum.n = t.n; return sum }, {})", "state:read:a");
    expect("const { a } = $state; a.push(1)", "state:read:a state:write:a");
    expect("const { a: { b } } = $state; b.push(1)", "state:read:a state:write:a");
    expect("x.t = $state.a; t.push(1)", "state:read:a");
}

static void test_other_globals(void **state) {
    (void)state;
    expect("$emit('a', 1); $emit(\"b\")", "events:emit:a events:emit:b");
    expect("$view.setFilter('list', x); $view.focus(`b`)", "view:update:list view:update:b");
    expect("await $ext.http.get(u); await $ext['time'].sleep(1)", "ext:http ext:time");
    expect("const h = $ext.http; h.get()", "ext:http");
    expect("$log('x'); console.log($args, $scope)", "");
}

static void test_unclear(void **state) {
    (void)state;
    expect("\n$state[k]", "state:read:?2");
    expect("$state[k] = 1", "state:write:?1");
    expect("$state[k].b = 1", "state:read:?1 state:write:?1");
    expect("$state[`a${i}`]++", "state:read:?1 state:write:?1");
    expect("k in $state", "state:read:?1");
    expect("for (const k in $state) f(k)", "state:read:?1");
    expect("return { ...$state }", "state:read:?1");
    expect("Object.keys($state)", "state:read:?1");
    expect("f($state)", "state:read:?1 state:write:?1");
    expect("const { a, ...rest } = $state", "state:read:a state:read:?1");
    expect("$emit(name)", "events:emit:?1");
    expect("$emit('a' + b)", "events:emit:?1");
    expect("x.then($emit)", "events:emit:?1");
    expect("$view.focus(id)", "view:update:?1");
    expect("$ext[name].get()", "ext:?1");
    expect("$state['\\x61']", "state:read:?1");
    expect("$state.a; $state[\n\nk]", "state:read:a state:read:?1");
}

static void test_what_is_not_code(void **state) {
    (void)state;
    expect("// $state.a\n/* $state.b */ '$state.c'; \"$state.d\"; `$state.e`", "");
    expect("const s = 'it\\'s $state.a'; return s", "");
    expect("return /$state.a\\/[/]$state.b/.test(x)", "");
    expect("if (x) /['\"`]/.test($state.a)", "state:read:a");
    expect("const half = a / 2; $emit('b'); c = d / e", "events:emit:b");
    expect("x = a[1] / 2 + $state.b / 3", "state:read:b");
    expect("return `a ${ $state.a } b ${ `c ${$state.b}` } $state.c`", "state:read:a state:read:b");
    expect("`${ { a: 1 }.a }` + $state.a", "state:read:a");
    expect("other.$state.a = 1; other.$emit('x')", "");
    expect("1.5e+3 + .5 + 0x1f + $state.a", "state:read:a");
}

static void test_code_that_cannot_be_followed(void **state) {
    (void)state;
    static const char *const broken[] = {"(",   "}",    "[)",    "'a",   "\"a\n\"", "`a",
                                         "`${", "= /a", "= /[/", "`${a", "'\\",     "`\\"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct nx_suggestion s;
        struct nx_error err = {0};
        assert_int_equal(nx_suggest(&s, nx_span_str(broken[i]), &err), NX_E_INVALID);
        assert_int_equal(s.needs.count, 0);
    }
    struct nx_js_tokens tokens;
    struct nx_span too_long = {"", NX_MAX_PANEL_SOURCE_BYTES + 1};
    assert_int_equal(nx_js_tokens_read(&tokens, too_long), NX_E_LIMIT);
    expect("", "");
    expect("$state", "state:read:?1 state:write:?1");
    expect("$emit", "events:emit:?1");
    expect("$state.", "state:read:?1 state:write:?1");
}

// Every prefix of this code, and every one with a byte gone, is read to its end or refused.
static void test_mutilated_code(void **state) {
    (void)state;
    static const char code[] =
        "const { a, b: [c] } = $state; for (const [i, t] of $state.l.map(({x}) => x)) {\n"
        "  t.d ?\?= `q${$state[`k${i}`]}` / /[/]x/g.exec('\\'')?.[0]; $view.focus(\"v\"); }\n"
        "$state.e.reduce(async function (s, z) { return await $ext.time.sleep(z) });";
    for (size_t len = 0; len < sizeof code; len++) {
        char copy[sizeof code];
        struct nx_suggestion s;
        char *exact = malloc(len + 1); // its end is the sanitizer's, too
        assert_non_null(exact);
        memcpy(exact, code, len);
        nx_suggest(&s, nx_span_of(exact, len), NULL);
        nx_suggestion_free(&s);
        free(exact);
        memcpy(copy, code, len);
        memcpy(copy + len, code + len + 1, len + 1 < sizeof code ? sizeof code - len - 1 : 0);
        nx_suggest(&s, nx_span_of(copy, sizeof code - 2), NULL);
        nx_suggestion_free(&s);
    }
}

static void test_many_scopes(void **state) {
    (void)state;
    struct nx_buf code;
    struct nx_suggestion s;
    nx_buf_init(&code, NX_MAX_PANEL_SOURCE_BYTES);
    for (int i = 0; i < NX_MAX_CAPS + 1; i++)
        nx_buf_printf(&code, "$state.k%d;\n", i);
    assert_int_equal(nx_suggest(&s, nx_buf_span(&code), NULL), 0);
    assert_int_equal(s.needs.count, NX_MAX_CAPS);
    assert_int_equal(s.unclear_line[NX_CAP_STATE_READ], NX_MAX_CAPS + 1);
    nx_suggestion_free(&s);
    nx_buf_free(&code);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_and_writes),
        cmocka_unit_test(test_nested_writes),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_other_globals),
        cmocka_unit_test(test_unclear),
        cmocka_unit_test(test_what_is_not_code),
        cmocka_unit_test(test_code_that_cannot_be_followed),
        cmocka_unit_test(test_mutilated_code),
        cmocka_unit_test(test_many_scopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
