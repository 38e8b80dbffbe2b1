// SPDX-License-Identifier: Apache-2.0
// The list of origins: which entries it takes, and that only its own text ever comes out of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "kernel/origins.h"

static struct nx_origins *parse(const char *list) {
    struct nx_origins *origins = NULL;
    struct nx_buf problems;
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    if (nx_origins_parse(&origins, list, &problems))
        fail_msg("%s: %s", list, problems.data);
    assert_int_equal(problems.len, 0);
    nx_buf_free(&problems);
    return origins;
}

static const char *match(const struct nx_origins *origins, const char *origin) {
    return nx_origins_match(origins, nx_span_str(origin));
}

static void listed_and_not(void **state) {
    (void)state;
    static const char page[] = "https://app.example";
    struct nx_origins *origins = parse(" https://app.example ,, http://localhost:5173\t, ");
    const char *found = match(origins, page);
    assert_string_equal(found, page);
    assert_ptr_not_equal(found, page);
    assert_string_equal(match(origins, "http://localhost:5173"), "http://localhost:5173");
    static const char *const others[] = {
        "",
        "null",
        "*",
        "https://app.example/",
        "https://app.exampl",
        "https://app.example.",
        "https://app.example:443",
        "http://app.example",
        "HTTPS://app.example",
        "https://app.example,http://localhost:5173",
        "http://localhost",
        "http://localhost:517",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_null(match(origins, others[i]));
    assert_null(nx_origins_match(origins, nx_span_of(page, sizeof page))); // with its NUL
    assert_null(nx_origins_match(NULL, nx_span_str(page)));
    nx_origins_free(origins);
}

static void none_and_any(void **state) {
    (void)state;
    assert_null(parse(NULL));
    assert_null(parse(""));
    assert_null(parse(" "));
    assert_null(parse("none"));
    struct nx_origins *any = parse(" * ");
    assert_string_equal(match(any, "https://whoever.example"), "*");
    assert_string_equal(match(any, "null"), "*");
    assert_null(match(any, "")); // not a page's request
    nx_origins_free(any);
    nx_origins_free(NULL);
}

static void entries(void **state) {
    (void)state;
    static const char *const right[] = {
        "http://a",     "https://a.b-c.example",  "http://127.0.0.1:8080",
        "http://[::1]", "http://[fd00::1]:65535", "chrome-extension://abc",
        "https://a:80", "http://a:443",           "app+x.y://host",
    };
    static const char *const wrong[] = {
        "a",
        "a.example:80",
        "://a",
        "http:/a",
        "http://",
        "http://a/",
        "http://a?b",
        "http://a#b",
        "http://u@a",
        "http://a:",
        "http://a:0",
        "http://a:080",
        "http://a:65536",
        "http://a:123456",
        "http://a:8o",
        "http://*.a",
        "*x",
        "null",
        "NULL",
        "Http://a",
        "http://A",
        "http://a b",
        "http://\xc3\xa4",
        "http://[::1",
        "http://[]",
        "http://[::1]x",
        "http://a:80",
        "https://a:443",
        "*,http://a",
        "http://a,*",
        "none,http://a",
    };
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        struct nx_origins *origins = parse(right[i]);
        assert_string_equal(match(origins, right[i]), right[i]);
        nx_origins_free(origins);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct nx_origins *origins = NULL;
        struct nx_buf problems;
        nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
        if (nx_origins_parse(&origins, wrong[i], &problems) != NX_E_INVALID || origins ||
            problems.len == 0 || problems.data[problems.len - 1] != '\n')
            fail_msg("taken: %s", wrong[i]);
        nx_buf_free(&problems);
    }
}

static void limits(void **state) {
    (void)state;
    struct nx_origins *origins = NULL;
    struct nx_buf list, problems;
    nx_buf_init(&list, 65536);
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    for (int i = 0; i < NX_MAX_ORIGINS; i++)
        nx_buf_printf(&list, "http://h%d,", i);
    origins = parse(list.data);
    assert_non_null(match(origins, "http://h63"));
    nx_origins_free(origins);
    nx_buf_append_str(&list, "http://one-more");
    assert_int_equal(nx_origins_parse(&origins, list.data, &problems), NX_E_INVALID);
    nx_buf_reset(&list);
    nx_buf_printf(&list, "http://%0*d", NX_MAX_ORIGIN_BYTES - 6, 1);
    assert_int_equal(nx_origins_parse(&origins, list.data, &problems), NX_E_INVALID);
    nx_buf_free(&list);
    nx_buf_free(&problems);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listed_and_not),
        cmocka_unit_test(none_and_any),
        cmocka_unit_test(entries),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
