// SPDX-License-Identifier: Apache-2.0
// The list of allowed hosts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "ext/domains.h"

static bool allows(const char *list, const char *host) {
    struct nx_domains domains;
    struct nx_error err = {0};
    if (nx_domains_parse(&domains, list, &err))
        fail_msg("%s: %s", list, err.message);
    bool allowed = nx_domains_allow(&domains, nx_span_str(host));
    nx_domains_free(&domains);
    return allowed;
}

static void hosts(void **state) {
    (void)state;
    static const struct {
        const char *list, *host;
        bool allowed;
    } cases[] = {
        {"api.example.com", "api.example.com", true},
        {"api.example.com", "API.Example.COM", true},
        {"API.example.com.", "api.example.com", true},
        {"api.example.com", "api.example.com.", true},
        {"api.example.com", "api.example.com..", false},
        {"api.example.com", "xapi.example.com", false},
        {"api.example.com", "x.api.example.com", false},
        {"api.example.com", "api.example.com.evil.org", false},
        {"api.example.com", "example.com", false},
        {"api.example.com", "", false},
        {"*.example.com", "a.example.com", true},
        {"*.example.com", "a.b.example.com", true},
        {"*.example.com", "A.EXAMPLE.com.", true},
        {"*.example.com", "example.com", false},
        {"*.example.com", ".example.com", false},
        {"*.example.com", "evilexample.com", false},
        {"*.example.com", "a.example.com.evil.org", false},
        {" a.org , *.b.org,c.org ", "a.org", true},
        {" a.org , *.b.org,c.org ", "x.b.org", true},
        {" a.org , *.b.org,c.org ", "c.org", true},
        {" a.org , *.b.org,c.org ", "b.org", false},
        {" a.org , *.b.org,c.org ", "a.org,c.org", false},
        {"*", "anything.at.all", true},
        {"*", "", false},
        {"a.org,*", "b.org", true},
        {"10.0.0.1", "10.0.0.1", true},
        {"10.0.0.1", "10.0.0.10", false},
        {"::1", "::1", true},
        {"::1", "::2", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (allows(cases[i].list, cases[i].host) != cases[i].allowed)
            fail_msg("'%s' for '%s'", cases[i].list, cases[i].host);
}

static void bad_lists(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",          ",",      "a.org,",  "a.org,,b.org",  "http://a", "a.org/",
        "a.org:80",  "a*.org", "*a.org",  "a.*.org",       "**",       "*.",
        "*.*.a.org", ".a.org", "a b.org", "b\xc3\xbc.org", "[::1]",    "user@a.org",
        "a.org\n",   "a..",    "."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct nx_domains domains;
        struct nx_error err = {0};
        if (nx_domains_parse(&domains, bad[i], &err) != NX_E_INVALID)
            fail_msg("'%s' is taken", bad[i]);
    }
    char *longest = malloc(NX_MAX_ALLOWED_DOMAINS_BYTES + 2);
    assert_non_null(longest);
    memset(longest, 'a', NX_MAX_ALLOWED_DOMAINS_BYTES + 1);
    longest[NX_MAX_ALLOWED_DOMAINS_BYTES + 1] = '\0';
    struct nx_domains domains;
    struct nx_error err = {0};
    assert_int_equal(nx_domains_parse(&domains, longest, &err), NX_E_LIMIT);
    free(longest);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(hosts), cmocka_unit_test(bad_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
