// SPDX-License-Identifier: Apache-2.0
// Memory that runs out at any point of a decision about access: refused, never half understood, and
// nothing lost. The test stands in front of the C library's allocator, which the sanitizers do too:
// with them it only checks that its token and policy are right.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kernel/auth.h"
#include "kernel/auth_jose.h"
#include "kernel/origins.h"
#include "kernel/policy.h"
#include "kernel/ws_ticket.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#define SECRET "Xq3vT9kLm2Rw8YpZ5sUd7GhJ4bNc6Aef"

static const char claims[] = "{\"sub\":\"ada\",\"exp\":1800000600,\"aud\":[\"a\",\"b\"],"
                             "\"permissions\":[\"panel:read\"],"
                             "\"capabilities\":[\"state:read:x\",\"ext:time\"]}";
static const char rules[] = "{\"default\":{\"grant\":[\"state:read:*\",\"ext:time\"]},"
                            "\"k\":{\"grant\":[\"state:read:x\"]}}";

static bool armed;        // counts and fails only while something is decided
static size_t until_fail; // allocations that still succeed
static long balance;      // allocated and not yet freed
static size_t failures;

#ifndef SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *memory);

static bool refuse(void) {
    if (!armed || until_fail-- > 0)
        return false;
    until_fail = 0; // once memory is out it stays out
    failures++;
    return true;
}

static void *count(void *memory) {
    balance += armed && memory;
    return memory;
}

void *malloc(size_t size) {
    return refuse() ? NULL : count(__libc_malloc(size));
}

// The C library names its parameters otherwise.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
void *calloc(size_t n, size_t size) {
    return refuse() ? NULL : count(__libc_calloc(n, size));
}

void *realloc(void *old, size_t size) {
    if (refuse())
        return NULL;
    void *memory = __libc_realloc(old, size);
    return old ? memory : count(memory);
}

void free(void *memory) {
    balance -= armed && memory;
    __libc_free(memory);
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
#endif

static void arm(size_t allocations) {
    balance = 0;
    failures = 0;
    until_fail = allocations;
    armed = true;
}

// Runs `decide` with memory for 0, 1, 2, … allocations until it has all it asks for. It returns 0
// when it decided in favour, and leaves nothing allocated.
static void exhaust(int (*decide)(void)) {
    size_t allocations = 0;
    int rc;
    do {
        arm(allocations++);
        rc = decide();
        armed = false;
        assert_int_equal(balance, 0);
        // Refused as soon as one is missing: going on without it would be a decision on half the
        // facts.
        assert_int_equal(rc == 0, failures == 0);
    } while (failures);
    assert_int_equal(rc, 0);
#ifndef SANITIZED
    assert_true(allocations > 3);
#endif
}

static int decide_claims(void) {
    static const struct nx_claim_rules expected = {.audience = "b"};
    struct nx_identity *who = NULL;
    struct nx_error err = {0};
    int rc = nx_claims_read(nx_span_str(claims), &expected, 1800000000, &who, &err);
    bool whole = who && who->permissions == NX_MAY_READ && who->limits_grants &&
                 who->grants.count == 2 && strcmp(who->subject, "ada") == 0;
    nx_identity_unref(who);
    return rc == 0 && !whole ? 1 : rc;
}

static int decide_policy(void) {
    static char lines[512];
    struct nx_buf problems = {.data = lines, .cap = sizeof lines, .max_bytes = sizeof lines - 1};
    struct nx_policy *policy = NULL;
    int rc = nx_policy_parse(&policy, nx_span_str(rules), "p", &problems);
    bool whole = policy && nx_policy_ceiling(policy, nx_span_str("k"))->count == 1 &&
                 nx_policy_ceiling(policy, nx_span_str("other"))->count == 1;
    nx_policy_free(policy);
    return rc == 0 && !whole ? 1 : rc;
}

static int decide_origins(void) {
    static char lines[512];
    struct nx_buf problems = {.data = lines, .cap = sizeof lines, .max_bytes = sizeof lines - 1};
    struct nx_origins *origins = NULL;
    int rc = nx_origins_parse(&origins, "http://a,http://b,http://c", &problems);
    bool whole = nx_origins_match(origins, nx_span_str("http://c")) != NULL;
    nx_origins_free(origins);
    return rc == 0 && !whole ? 1 : rc;
}

static int decide_ticket(void) {
    struct nx_span panel = nx_span_str("p");
    struct nx_ws_tickets *tickets = nx_ws_tickets_new();
    struct nx_identity who = {.refs = 1, .subject = (char[]){"ada"}}, *bearer = NULL;
    char text[NX_WS_TICKET_CHARS + 1];
    int rc = tickets ? nx_ws_ticket_issue(tickets, &who, panel, 1, text) : NX_E_NOMEM;
    bool taken = rc == 0 && nx_ws_ticket_redeem(tickets, nx_span_str(text), panel, 2, &bearer) == 0;
    if (bearer)
        nx_identity_unref(bearer);
    nx_ws_tickets_free(tickets);
    return rc == 0 && (!taken || bearer != &who) ? 1 : rc;
}

static void claims_exhausted(void **state) {
    (void)state;
    exhaust(decide_claims);
}

static void tickets_exhausted(void **state) {
    (void)state;
    struct nx_ws_tickets *tickets = nx_ws_tickets_new();
    char text[NX_WS_TICKET_CHARS + 1];
    // What libcrypto keeps for itself, it has from now on.
    assert_int_equal(nx_ws_ticket_issue(tickets, NULL, nx_span_str("p"), 1, text), 0);
    nx_ws_tickets_free(tickets);
    exhaust(decide_ticket);
}

static void policy_exhausted(void **state) {
    (void)state;
    exhaust(decide_policy);
}

static void origins_exhausted(void **state) {
    (void)state;
    exhaust(decide_origins);
}

// The whole way, through libcrypto, which keeps some memory for itself: a right token is taken or
// refused, a wrong one always refused.
static void tokens_exhausted(void **state) {
    (void)state;
    static const struct nx_claim_rules none;
    struct nx_auth_key *key = NULL;
    struct nx_auth *auth = NULL;
    struct nx_buf token;
    unsigned char mac[NX_AUTH_MAC_BYTES];
    assert_int_equal(nx_auth_key_from_secret(&key, nx_span_str(SECRET), NULL), 0);
    nx_buf_init(&token, 4096);
    nx_jose_encode(nx_span_str("{\"alg\":\"HS256\"}"), &token);
    nx_buf_append_char(&token, '.');
    nx_jose_encode(nx_span_str(claims), &token);
    assert_int_equal(nx_auth_key_sign(key, nx_buf_span(&token), mac), 0);
    nx_buf_append_char(&token, '.');
    nx_jose_encode(nx_span_of(mac, sizeof mac), &token);
    assert_int_equal(nx_auth_new(&auth, key, &none, NULL), 0);
    for (int wrong = 1; wrong >= 0; wrong--) {
        struct nx_span text = nx_span_of(token.data, token.len - (wrong ? 4 : 0));
        size_t allocations = 0;
        do {
            struct nx_identity *who = NULL;
            arm(allocations++);
            int rc = nx_auth_verify(auth, text, 1800000000, &who, NULL);
            armed = false;
            assert_true((rc == 0) == (who != NULL));
            assert_false(wrong && who);
            assert_true(!who || who->permissions == NX_MAY_READ);
            assert_true(failures || wrong || who);
            nx_identity_unref(who);
        } while (failures);
    }
    nx_auth_free(auth);
    nx_buf_free(&token);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_exhausted), cmocka_unit_test(tickets_exhausted),
        cmocka_unit_test(policy_exhausted), cmocka_unit_test(origins_exhausted),
        cmocka_unit_test(tokens_exhausted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
