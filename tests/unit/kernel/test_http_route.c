// SPDX-License-Identifier: Apache-2.0
// Targets to routes: ids are decoded once, and nothing but a valid id gets through.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "kernel/http_route.h"

static void assert_span(struct nx_span span, const char *text) {
    if (!nx_span_eq(span, nx_span_str(text)))
        fail_msg("'%.*s' is not '%s'", (int)span.len, span.data, text);
}

static void known_targets(void **state) {
    (void)state;
    static const struct {
        const char *target;
        enum nx_http_route route;
        const char *id, *tool, *query;
    } cases[] = {
        {"/panels", NX_ROUTE_PANELS, "", "", ""},
        {"/panels?limit=3&after=x", NX_ROUTE_PANELS, "", "", "limit=3&after=x"},
        {"/panels/a-B_9", NX_ROUTE_PANEL, "a-B_9", "", ""},
        {"/panels/%61b%2D", NX_ROUTE_PANEL, "ab-", "", ""},
        {"/panels/a/state?", NX_ROUTE_STATE, "a", "", ""},
        {"/panels/state/state", NX_ROUTE_STATE, "state", "", ""},
        {"/panels/a/trigger/do_$it", NX_ROUTE_TRIGGER, "a", "do_$it", ""},
        {"/panels/%61/trigger/%62%63", NX_ROUTE_TRIGGER, "a", "bc", ""},
        {"/%70anels/a", NX_ROUTE_PANEL, "a", "", ""},
        {"/health", NX_ROUTE_HEALTH, "", "", ""},
        {"/ready?x", NX_ROUTE_READY, "", "", "x"},
        {"/openapi.yaml", NX_ROUTE_OPENAPI, "", "", ""},
        {"http://evil.example:99/panels/a", NX_ROUTE_PANEL, "a", "", ""},
        {"https://h/health", NX_ROUTE_HEALTH, "", "", ""},
        {"*", NX_ROUTE_ANY, "", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_http_match match;
        struct nx_error err = {0};
        if (nx_http_route(nx_span_str(cases[i].target), &match, &err))
            fail_msg("%s: %s", cases[i].target, err.message);
        assert_int_equal(match.route, cases[i].route);
        assert_span(match.panel_id, cases[i].id);
        assert_span(match.tool, cases[i].tool);
        assert_span(match.query, cases[i].query);
    }
}

static void refused_targets(void **state) {
    (void)state;
    static const struct {
        const char *target;
        int code;
    } cases[] = {
        {"/", NX_E_NOTFOUND},
        {"//", NX_E_NOTFOUND},
        {"//panels", NX_E_NOTFOUND},
        {"/panels/", NX_E_INVALID},
        {"/panels//state", NX_E_INVALID},
        {"/panels/a/", NX_E_NOTFOUND},
        {"/panels/a/state/", NX_E_NOTFOUND},
        {"/panels/a/b", NX_E_NOTFOUND},
        {"/panels/a/trigger", NX_E_NOTFOUND},
        {"/panels/a/trigger/", NX_E_INVALID},
        {"/panels/a/trigger/b/c", NX_E_NOTFOUND},
        {"/Panels", NX_E_NOTFOUND},
        {"/panels/a%2fstate", NX_E_INVALID},
        {"/panels/%2e%2e", NX_E_INVALID},
        {"/panels/..", NX_E_INVALID},
        {"/panels/../health", NX_E_NOTFOUND},
        {"/./health", NX_E_NOTFOUND},
        {"/panels/%2561", NX_E_INVALID},
        {"/panels/%00", NX_E_INVALID},
        {"/panels/%", NX_E_INVALID},
        {"/panels/%4", NX_E_INVALID},
        {"/panels/%zz", NX_E_INVALID},
        {"/panels/a.b", NX_E_INVALID},
        {"/panels/a%20b", NX_E_INVALID},
        {"/panels/a+b", NX_E_INVALID},
        {"/panels/%c3%a9", NX_E_INVALID},
        {"/panels/a/trigger/b.c", NX_E_INVALID},
        {"/panels/a/trigger/%2e", NX_E_INVALID},
        {"health", NX_E_NOTFOUND},
        {"http://h", NX_E_NOTFOUND},
        {"http:///health/x", NX_E_NOTFOUND},
        {"ftp://h/health", NX_E_NOTFOUND},
        {"**", NX_E_NOTFOUND},
        {"?x", NX_E_NOTFOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_http_match match;
        struct nx_error err = {0};
        int rc = nx_http_route(nx_span_str(cases[i].target), &match, &err);
        if (rc != cases[i].code)
            fail_msg("%s: %d, not %d", cases[i].target, rc, cases[i].code);
        assert_true(err.message[0]);
    }
}

static void id_length_is_exact(void **state) {
    (void)state;
    for (size_t len = 127; len <= 600; len += len < 130 ? 1 : 235) {
        for (int encoded = 0; encoded < 2; encoded++) {
            char target[2048] = "/panels/";
            size_t at = strlen(target);
            for (size_t i = 0; i < len; i++, at += encoded ? 3 : 1)
                memcpy(target + at, encoded ? "%61" : "a", encoded ? 3 : 1);
            struct nx_http_match match;
            int rc = nx_http_route(nx_span_of(target, at), &match, NULL);
            assert_int_equal(rc, len <= 128 ? 0 : NX_E_INVALID);
            if (rc == 0)
                assert_int_equal(match.panel_id.len, len);
        }
    }
}

static void allowed_methods(void **state) {
    (void)state;
    for (int route = 0; route < NX_ROUTE_ANY; route++) {
        static const char *const names[] = {"GET", "HEAD", "POST", "DELETE"};
        const char *allow = nx_http_route_allow((enum nx_http_route)route);
        for (int method = NX_HTTP_GET; method <= NX_HTTP_DELETE; method++)
            assert_int_equal(
                nx_http_route_takes((enum nx_http_route)route, (enum nx_http_method)method),
                strstr(allow, names[method]) != NULL);
        assert_false(nx_http_route_takes((enum nx_http_route)route, NX_HTTP_OTHER));
        assert_non_null(strstr(allow, "OPTIONS"));
    }
}

static void queries(void **state) {
    (void)state;
    char out[8];
    struct nx_span value;
    struct nx_span query = nx_span_str("a=1&b=x%20y+z&&c&d=&a=2&long=123456789&bad=%4");
    assert_int_equal(nx_http_query(query, "a", out, sizeof out, &value), 0);
    assert_span(value, "1");
    assert_int_equal(nx_http_query(query, "b", out, sizeof out, &value), 0);
    assert_span(value, "x y z");
    assert_int_equal(nx_http_query(query, "c", out, sizeof out, &value), 0);
    assert_span(value, "");
    assert_int_equal(nx_http_query(query, "d", out, sizeof out, &value), 0);
    assert_span(value, "");
    assert_int_equal(nx_http_query(query, "e", out, sizeof out, &value), NX_E_NOTFOUND);
    assert_int_equal(nx_http_query(query, "long", out, sizeof out, &value), NX_E_INVALID);
    assert_int_equal(nx_http_query(query, "bad", out, sizeof out, &value), NX_E_INVALID);
    assert_int_equal(nx_http_query(nx_span_str(""), "a", out, sizeof out, &value), NX_E_NOTFOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_targets),
        cmocka_unit_test(refused_targets),
        cmocka_unit_test(id_length_is_exact),
        cmocka_unit_test(allowed_methods),
        cmocka_unit_test(queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
