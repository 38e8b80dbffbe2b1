// SPDX-License-Identifier: Apache-2.0
// The predicate on addresses: a table of what is refused, its neighbours that are not, and the
// operator's exceptions.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "ext/egress.h"

static socklen_t make(const char *text, uint16_t port, struct sockaddr_storage *out) {
    *out = (struct sockaddr_storage){0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)out;
    if (strchr(text, ':')) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        return sizeof *v6;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    assert_int_equal(inet_pton(AF_INET, text, &v4->sin_addr), 1);
    return sizeof *v4;
}

static const char *refusal(const char *text) {
    struct sockaddr_storage address;
    socklen_t len = make(text, 80, &address);
    return nx_egress_refusal((const struct sockaddr *)&address, len);
}

static const char *judge(const struct nx_egress_exceptions *exceptions, const char *text,
                         uint16_t port) {
    struct sockaddr_storage address;
    socklen_t len = make(text, port, &address);
    const char *why = nx_egress_judge(exceptions, (const struct sockaddr *)&address, len);
    const char *again = nx_egress_judge_text(exceptions, text, port);
    assert_true(!why == !again);
    return why;
}

static void public_addresses(void **state) {
    (void)state;
    // Among them the neighbours of everything that is refused.
    static const char *const addresses[] = {
        "1.0.0.0",         "1.1.1.1",        "8.8.8.8",         "9.255.255.255",
        "11.0.0.0",        "100.63.255.255", "100.128.0.0",     "126.255.255.255",
        "128.0.0.0",       "168.63.129.15",  "168.63.129.17",   "169.253.255.255",
        "169.255.0.0",     "172.15.255.255", "172.32.0.0",      "191.255.255.255",
        "192.0.1.0",       "192.0.3.0",      "192.88.98.255",   "192.88.100.0",
        "192.167.255.255", "192.169.0.0",    "198.17.255.255",  "198.20.0.0",
        "198.51.99.255",   "198.51.101.0",   "203.0.112.255",   "203.0.114.0",
        "223.255.255.255", "2000::",         "2001:200::1",     "2001:db7:ffff::1",
        "2001:db9::1",     "2003::1",        "2606:4700::1111", "2a00:1450:4001::200e",
        "3ffe:ffff::1",    "3fff:1000::1",
    };
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
        if (refusal(addresses[i]))
            fail_msg("%s: %s", addresses[i], refusal(addresses[i]));
}

static void refused_addresses(void **state) {
    (void)state;
    static const struct {
        const char *address, *why;
    } cases[] = {
        {"0.0.0.0", "unspecified"},
        {"0.255.255.255", "unspecified"},
        {"10.0.0.0", "private"},
        {"10.255.255.255", "private"},
        {"100.64.0.0", "shared"},
        {"100.100.100.200", "shared"}, // a metadata service
        {"100.127.255.255", "shared"},
        {"127.0.0.1", "loopback"},
        {"127.255.255.255", "loopback"},
        {"168.63.129.16", "metadata"},
        {"169.254.0.0", "link-local"},
        {"169.254.169.254", "link-local"}, // the metadata service
        {"169.254.255.255", "link-local"},
        {"172.16.0.0", "private"},
        {"172.31.255.255", "private"},
        {"192.0.0.0", "reserved"},
        {"192.0.0.192", "reserved"}, // a metadata service
        {"192.0.2.255", "documentation"},
        {"192.88.99.1", "6to4"},
        {"192.168.0.0", "private"},
        {"192.168.255.255", "private"},
        {"198.18.0.0", "benchmarks"},
        {"198.19.255.255", "benchmarks"},
        {"198.51.100.1", "documentation"},
        {"203.0.113.1", "documentation"},
        {"224.0.0.0", "multicast"},
        {"239.255.255.255", "multicast"},
        {"240.0.0.0", "reserved"},
        {"255.255.255.255", "reserved"},
        {"::", "unspecified"},
        {"::1", "loopback"},
        {"::2", "compatible"},
        {"::127.0.0.1", "compatible"},
        {"::ffff:127.0.0.1", "mapped"},
        {"::ffff:10.0.0.1", "mapped"},
        {"::ffff:8.8.8.8", "mapped"},
        {"::ffff:0:127.0.0.1", "reserved"}, // translated (SIIT)
        {"64:ff9b::127.0.0.1", "NAT64"},
        {"64:ff9b::a9fe:a9fe", "NAT64"},
        {"64:ff9b::8.8.8.8", "NAT64"},
        {"64:ff9b:1::1", "NAT64"},
        {"64:ff9b:2::1", "reserved"},
        {"100::1", "reserved"}, // discard
        {"1fff:ffff::1", "reserved"},
        {"2001::1", "Teredo"},
        {"2001:0:7f00:1::", "Teredo"},
        {"2001:2::1", "reserved"},
        {"2001:10::1", "reserved"},
        {"2001:1ff:ffff::1", "reserved"},
        {"2001:db8::1", "documentation"},
        {"2002:7f00:1::1", "6to4"},
        {"2002:a9fe:a9fe::1", "6to4"},
        {"3fff::1", "documentation"},
        {"4000::1", "reserved"},
        {"5f00::1", "reserved"},
        {"fc00::1", "private"},
        {"fd00:ec2::254", "private"}, // a metadata service
        {"fdff:ffff::1", "private"},
        {"fe00::1", "reserved"},
        {"fe80::1", "link-local"},
        {"febf::1", "link-local"},
        {"fec0::1", "private"},
        {"ff02::1", "multicast"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *why = refusal(cases[i].address);
        if (!why || !strstr(why, cases[i].why))
            fail_msg("%s: %s, not %s", cases[i].address, why ? why : "allowed", cases[i].why);
    }
}

static void other_families(void **state) {
    (void)state;
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/run/docker.sock"};
    struct sockaddr_storage public;
    socklen_t len = make("8.8.8.8", 80, &public);
    assert_non_null(nx_egress_refusal((const struct sockaddr *)&local, sizeof local));
    assert_null(nx_egress_refusal((const struct sockaddr *)&public, len));
    // Cut short: what is missing is not guessed.
    assert_non_null(nx_egress_refusal((const struct sockaddr *)&public, len - 1));
    struct nx_egress_exceptions none = {0};
    static const char *const texts[] = {"",         "localhost", "127.1",     "0x7f000001", "8.8.8",
                                        "8.8.8.8 ", "2606:4700", "[2606::1]", "08.8.8.8",   NULL};
    for (size_t i = 0; texts[i]; i++)
        if (!nx_egress_judge_text(&none, texts[i], 80))
            fail_msg("'%s' is an address", texts[i]);
    assert_null(nx_egress_judge_text(&none, "8.8.8.8", 80));
}

static void exceptions_are_exact(void **state) {
    (void)state;
    struct nx_egress_exceptions e;
    struct nx_error err = {0};
    assert_int_equal(
        nx_egress_parse(&e, " 127.0.0.1:8080 ,[fd00::1]:443,[::ffff:10.0.0.1]:80", &err), 0);
    assert_int_equal(e.count, 3);
    assert_null(judge(&e, "127.0.0.1", 8080));
    assert_null(judge(&e, "fd00::1", 443));
    assert_null(judge(&e, "::ffff:10.0.0.1", 80));
    static const struct {
        const char *address;
        uint16_t port;
    } near[] = {{"127.0.0.1", 8081},        {"127.0.0.2", 8080}, {"::1", 8080},
                {"::ffff:127.0.0.1", 8080}, {"fd00::2", 443},    {"fd00::1", 80},
                {"10.0.0.1", 80},           {"127.0.0.1", 443}};
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++)
        if (!judge(&e, near[i].address, near[i].port))
            fail_msg("%s port %u is allowed", near[i].address, near[i].port);
    assert_null(judge(&e, "8.8.8.8", 53)); // public ones need no exception
}

static void lists(void **state) {
    (void)state;
    struct nx_egress_exceptions e;
    struct nx_error err = {0};
    assert_int_equal(nx_egress_parse(&e, NULL, &err), 0);
    assert_int_equal(e.count, 0);
    assert_int_equal(nx_egress_parse(&e, "", &err), 0);
    static const char *const bad[] = {"127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:0",
                                      "127.0.0.1:65536",
                                      ":80",
                                      "127.0.0.0/8:80",
                                      "*:80",
                                      "127.0.0.1:*",
                                      "localhost:80",
                                      "127.1:80",
                                      "0.0.0.0:80",
                                      "[::]:80",
                                      "::1:80",
                                      "[::1]",
                                      "[127.0.0.1]:80",
                                      "[::1]80",
                                      "127.0.0.1:80;",
                                      "127.0.0.1:+80",
                                      ",127.0.0.1:80",
                                      "127.0.0.1:80,,",
                                      "*",
                                      "127.0.0.1:80-90",
                                      "127.0.0.1 :80",
                                      "[fe80::1%lo]:80",
                                      "true",
                                      "127.0.0.1:080000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (nx_egress_parse(&e, bad[i], &err) != NX_E_INVALID)
            fail_msg("'%s' is taken", bad[i]);
    char many[NX_MAX_EGRESS_EXCEPTIONS * 16 + 32] = "";
    size_t len = 0;
    for (int i = 0; i < NX_MAX_EGRESS_EXCEPTIONS; i++)
        len +=
            (size_t)snprintf(many + len, sizeof many - len, "%s10.0.0.%d:80", i ? "," : "", i + 1);
    assert_int_equal(nx_egress_parse(&e, many, &err), 0);
    snprintf(many + len, sizeof many - len, ",10.0.1.1:80");
    assert_int_equal(nx_egress_parse(&e, many, &err), NX_E_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_addresses),
        cmocka_unit_test(refused_addresses),
        cmocka_unit_test(other_families),
        cmocka_unit_test(exceptions_are_exact),
        cmocka_unit_test(lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
