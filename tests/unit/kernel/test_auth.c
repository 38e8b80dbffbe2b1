// SPDX-License-Identifier: Apache-2.0
// Tokens: one that is right, and every way in which one can be wrong. All are made here, with the
// right key unless the test is about the key, so that each is refused for its own reason.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "kernel/auth.h"
#include "kernel/auth_jose.h"

#define SECRET "Xq3vT9kLm2Rw8YpZ5sUd7GhJ4bNc6Aef"
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
enum { NOW = 1800000000 };

static struct nx_auth_key *secret_key(const char *secret) {
    struct nx_auth_key *key = NULL;
    assert_int_equal(nx_auth_key_from_secret(&key, nx_span_str(secret), NULL), 0);
    return key;
}

static struct nx_auth *new_auth(const struct nx_claim_rules *rules) {
    static const struct nx_claim_rules none;
    struct nx_auth *auth = NULL;
    assert_int_equal(nx_auth_new(&auth, secret_key(SECRET), rules ? rules : &none, NULL), 0);
    return auth;
}

// "header.payload.signature", signed with `secret`. The caller frees the buffer.
static void make_token(struct nx_buf *out, struct nx_span header, struct nx_span payload,
                       const char *secret) {
    unsigned char mac[NX_AUTH_MAC_BYTES];
    struct nx_auth_key *key = secret_key(secret);
    nx_buf_init(out, (size_t)4 * 1024 * 1024);
    nx_jose_encode(header, out);
    nx_buf_append_char(out, '.');
    nx_jose_encode(payload, out);
    assert_int_equal(nx_auth_key_sign(key, nx_buf_span(out), mac), 0);
    nx_buf_append_char(out, '.');
    nx_jose_encode(nx_span_of(mac, sizeof mac), out);
    assert_int_equal(out->failed, 0);
    nx_auth_key_free(key);
}

static int verify_bytes(struct nx_auth *auth, struct nx_span token, struct nx_identity **out,
                        struct nx_error *err) {
    *out = NULL;
    *err = (struct nx_error){0};
    int rc = nx_auth_verify(auth, token, NOW, out, err);
    if ((rc == 0) != (*out != NULL))
        fail_msg("code %d with%s an identity", rc, *out ? "" : "out");
    if (rc && (err->code != rc || !err->message[0]))
        fail_msg("no message for %d", rc);
    return rc;
}

static int verify_span(struct nx_auth *auth, struct nx_span header, struct nx_span payload,
                       struct nx_identity **out, struct nx_error *err) {
    struct nx_buf token;
    make_token(&token, header, payload, SECRET);
    int rc = verify_bytes(auth, nx_buf_span(&token), out, err);
    nx_buf_free(&token);
    return rc;
}

static struct nx_identity *accept(struct nx_auth *auth, const char *header, const char *payload) {
    struct nx_identity *identity;
    struct nx_error err;
    if (verify_span(auth, nx_span_str(header), nx_span_str(payload), &identity, &err))
        fail_msg("%s %s: %s", header, payload, err.message);
    return identity;
}

static void accepted(struct nx_auth *auth, const char *header, const char *payload) {
    nx_identity_unref(accept(auth, header, payload));
}

static void refused(struct nx_auth *auth, const char *header, const char *payload,
                    const char *reason) {
    struct nx_identity *identity;
    struct nx_error err;
    int rc = verify_span(auth, nx_span_str(header), nx_span_str(payload), &identity, &err);
    nx_identity_unref(identity);
    if (rc != NX_E_INVALID || !strstr(err.message, reason))
        fail_msg("%s %s: %d \"%s\" instead of \"%s\"", header, payload, rc, err.message, reason);
}

static void token_refused(struct nx_auth *auth, struct nx_span token, int code) {
    struct nx_identity *identity;
    struct nx_error err;
    int rc = verify_bytes(auth, token, &identity, &err);
    nx_identity_unref(identity);
    if (rc != code)
        fail_msg("%.*s: %d %s", (int)(token.len < 200 ? token.len : 200), token.data, rc,
                 err.message);
}

// ---- Right

static void a_right_token(void **state) {
    (void)state;
    struct nx_auth *auth = new_auth(NULL);
    struct nx_identity *who = accept(
        auth, HEADER,
        "{\"sub\":\"ada\",\"exp\":1800000600,\"iat\":1800000000,\"nbf\":1799999999,"
        "\"permissions\":[\"panel:create\",\"panel:read\",\"mail:send\"],"
        "\"capabilities\":[\"state:read:*\",\"ext:time\"],\"workspace_id\":\"w\",\"extra\":[{}]}");
    assert_string_equal(who->subject, "ada");
    assert_int_equal(who->permissions, NX_MAY_CREATE | NX_MAY_READ);
    assert_int_equal(who->expires_at_s, 1800000600);
    assert_true(who->limits_grants);
    assert_true(nx_caps_allow(&who->grants, NX_CAP_STATE_READ, nx_span_str("x")));
    assert_true(nx_caps_allow(&who->grants, NX_CAP_EXT, nx_span_str("time")));
    assert_false(nx_caps_allow(&who->grants, NX_CAP_STATE_WRITE, nx_span_str("x")));
    nx_identity_unref(who);
    nx_auth_free(auth);
}

// RFC 7515, A.1: a token with line breaks in its JSON that somebody else signed.
static void the_token_of_the_rfc(void **state) {
    (void)state;
    static const char secret[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    static const char token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
        "Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEj"
        "Xk";
    struct nx_buf raw;
    struct nx_auth_key *key = NULL;
    struct nx_auth *auth = NULL;
    struct nx_identity *who = NULL;
    nx_buf_init(&raw, 64);
    assert_int_equal(nx_jose_decode(nx_span_str(secret), &raw, NULL), 0);
    assert_int_equal(nx_auth_key_from_secret(&key, nx_buf_span(&raw), NULL), 0);
    assert_int_equal(nx_auth_new(&auth, key, &(struct nx_claim_rules){.issuer = "joe"}, NULL), 0);
    assert_int_equal(nx_auth_verify(auth, nx_span_str(token), 1300819379, &who, NULL), 0);
    nx_identity_unref(who);
    // The same token again, remembered; and over, though remembered.
    assert_int_equal(nx_auth_verify(auth, nx_span_str(token), 1300819380 + 29, &who, NULL), 0);
    nx_identity_unref(who);
    assert_int_equal(nx_auth_verify(auth, nx_span_str(token), 1300819380 + 30, &who, NULL),
                     NX_E_INVALID);
    nx_auth_free(auth);
    nx_buf_free(&raw);
}

// ---- Headers

#define CLAIMS "{\"exp\":1800000600}"

static void foreign_algorithms(void **state) {
    (void)state;
    static const char *const algorithms[] = {
        "\"none\"",        "\"None\"",  "\"NONE\"",  "\"nOnE\"",  "\"\"",        "\"hs256\"",
        "\"HS256 \"",      "\"HS384\"", "\"HS512\"", "\"RS256\"", "\"ES256\"",   "\"EdDSA\"",
        "\"PS256\"",       "null",      "true",      "256",       "[\"HS256\"]", "{\"HS256\":1}",
        "\"\\u041dS256\"", "\"dir\"",
    };
    struct nx_auth *auth = new_auth(NULL);
    accepted(auth, "{\"alg\":\"HS256\"}", CLAIMS);
    // An escape is another spelling of the same string.
    accepted(auth, "{\"alg\":\"\\u0048S256\"}", CLAIMS);
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        char header[64];
        snprintf(header, sizeof header, "{\"alg\":%s}", algorithms[i]);
        refused(auth, header, CLAIMS, "algorithm");
    }
    refused(auth, "{}", CLAIMS, "algorithm");
    refused(auth, "{\"ALG\":\"HS256\"}", CLAIMS, "algorithm");
    nx_auth_free(auth);
}

static void headers_that_change_the_meaning(void **state) {
    (void)state;
    static const char *const members[] = {
        "\"crit\":[\"exp\"],\"exp\":1",
        "\"crit\":[]",
        "\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}",
        "\"jku\":\"https://keys.example/\"",
        "\"x5u\":\"https://keys.example/\"",
        "\"x5c\":[\"AA\"]",
        "\"b64\":false",
        "\"zip\":\"DEF\"",
        "\"enc\":\"A128GCM\"",
        "\"cty\":\"JWT\"",
        "\"unknown\":1",
        "\"typ\":\"logout+jwt\"",
        "\"typ\":7",
        "\"typ\":null",
        "\"kid\":7",
        "\"kid\":null",
        "\"kid\":\"\"",
        "\"kid\":\"../../dev/null\"",
        "\"kid\":\"a' or '1'='1\"",
        "\"kid\":\"a|id\"",
        "\"kid\":\"a\\u0000b\"",
        "\"kid\":\"\\u00e9\"",
        "\"kid\":[\"a\"]",
        "\"x5t\":{}",
        "\"alg\":\"HS256\"",
        "\"\\u0061lg\":\"none\"",
    };
    struct nx_auth *auth = new_auth(NULL);
    char header[512];
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        snprintf(header, sizeof header, "{\"alg\":\"HS256\",%s}", members[i]);
        refused(auth, header, CLAIMS, "");
    }
    snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"%0*d\"}",
             NX_MAX_TOKEN_KID_BYTES + 1, 0);
    refused(auth, header, CLAIMS, "kid");
    // What identity providers send beside the algorithm.
    accepted(auth, "{\"alg\":\"HS256\",\"typ\":\"jwt\",\"kid\":\"key-1/A+b=\"}", CLAIMS);
    accepted(auth, "{\"typ\":\"at+jwt\",\"alg\":\"HS256\",\"x5t\":\"aGk\",\"x5t#S256\":\"aGk\"}",
             CLAIMS);
    nx_auth_free(auth);
}

static void headers_that_are_none(void **state) {
    (void)state;
    struct nx_auth *auth = new_auth(NULL);
    static const char *const headers[] = {
        "[]",
        "\"HS256\"",
        "null",
        "{",
        "{\"alg\":\"HS256\"} x",
        "{'alg':'HS256'}",
        "{\"alg\":\"HS256\",}",
        "\xef\xbb\xbf{\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\xff\"}",
        "{\"alg\":\"HS256\",\"kid\":\"\\ud800\"}",
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        refused(auth, headers[i], CLAIMS, "header");
    nx_auth_free(auth);
}

// ---- Bytes

static void keys_and_signatures(void **state) {
    (void)state;
    struct nx_auth *auth = new_auth(NULL);
    struct nx_identity *who;
    struct nx_error err;
    struct nx_buf right, other;
    make_token(&right, nx_span_str(HEADER), nx_span_str(CLAIMS), SECRET);
    assert_int_equal(verify_bytes(auth, nx_buf_span(&right), &who, &err), 0);
    nx_identity_unref(who);
    make_token(&other, nx_span_str(HEADER), nx_span_str(CLAIMS), "another" SECRET);
    token_refused(auth, nx_buf_span(&other), NX_E_INVALID);
    // Every single changed character, also right after the right token was remembered.
    for (size_t i = 0; i < right.len; i++) {
        char kept = right.data[i];
        right.data[i] = kept == 'A' ? 'B' : 'A';
        token_refused(auth, nx_buf_span(&right), NX_E_INVALID);
        right.data[i] = kept;
    }
    // Cut anywhere, at both ends.
    for (size_t len = 0; len < right.len; len++) {
        token_refused(auth, nx_span_of(right.data, len), len ? NX_E_INVALID : NX_E_LIMIT);
        token_refused(auth, nx_span_of(right.data + right.len - len, len),
                      len ? NX_E_INVALID : NX_E_LIMIT);
    }
    assert_int_equal(verify_bytes(auth, nx_buf_span(&right), &who, &err), 0);
    nx_identity_unref(who);
    nx_buf_free(&right);
    nx_buf_free(&other);
    nx_auth_free(auth);
}

// The right signature with something after it, or with its end missing, is another signature.
static void signatures_of_other_lengths(void **state) {
    (void)state;
    unsigned char mac[2 * NX_AUTH_MAC_BYTES] = {0};
    struct nx_auth *auth = new_auth(NULL);
    struct nx_auth_key *key = secret_key(SECRET);
    struct nx_buf token;
    nx_buf_init(&token, NX_MAX_TOKEN_BYTES);
    nx_jose_encode(nx_span_str(HEADER), &token);
    nx_buf_append_char(&token, '.');
    nx_jose_encode(nx_span_str(CLAIMS), &token);
    assert_int_equal(nx_auth_key_sign(key, nx_buf_span(&token), mac), 0);
    nx_buf_append_char(&token, '.');
    size_t before = token.len;
    for (size_t len = 1; len <= sizeof mac; len++) {
        token.len = before;
        nx_jose_encode(nx_span_of(mac, len), &token);
        if (len != NX_AUTH_MAC_BYTES)
            token_refused(auth, nx_buf_span(&token), NX_E_INVALID);
    }
    nx_buf_free(&token);
    nx_auth_key_free(key);
    nx_auth_free(auth);
}

static void parts_and_encoding(void **state) {
    (void)state;
    struct nx_auth *auth = new_auth(NULL);
    struct nx_buf token, bad;
    make_token(&token, nx_span_str(HEADER), nx_span_str(CLAIMS), SECRET);
    struct nx_jose parts;
    assert_int_equal(nx_jose_split(nx_buf_span(&token), &parts, NULL), 0);
    const char *unsigned_end = parts.signature.data;
    static const char *const tails[] = {"", ".", "..", ".e30", " ", "\n", "=", "==", "%", "\x80"};
    nx_buf_init(&bad, NX_MAX_TOKEN_BYTES + 16);
    for (size_t i = 1; i < sizeof tails / sizeof tails[0]; i++) {
        nx_buf_reset(&bad);
        nx_buf_append_span(&bad, nx_buf_span(&token));
        nx_buf_append_str(&bad, tails[i]);
        token_refused(auth, nx_buf_span(&bad), NX_E_INVALID);
    }
    // Without a signature, as for "none".
    token_refused(auth, nx_span_of(token.data, (size_t)(unsigned_end - token.data)), NX_E_INVALID);
    token_refused(auth, nx_span_of(token.data, (size_t)(unsigned_end - token.data) - 1),
                  NX_E_INVALID);
    token_refused(auth, nx_span_str("eyJhbGciOiJub25lIn0.eyJleHAiOjE4MDAwMDA2MDB9."), NX_E_INVALID);
    token_refused(auth, nx_span_str(".."), NX_E_INVALID);
    token_refused(auth, nx_span_str("a.b.c.d.e"), NX_E_INVALID);
    token_refused(auth, nx_span_str("a\0b.c.d"), NX_E_INVALID);
    // A second spelling of the same signature: its last character carries two unused bits.
    char *last = &token.data[token.len - 1];
    *last = (char)(*last + 1);
    token_refused(auth, nx_buf_span(&token), NX_E_INVALID);
    nx_buf_free(&bad);
    nx_buf_free(&token);
    nx_auth_free(auth);
}

static void sizes(void **state) {
    (void)state;
    struct nx_auth *auth = new_auth(NULL);
    struct nx_buf payload, token;
    struct nx_identity *who;
    struct nx_error err;
    nx_buf_init(&payload, 100000);
    nx_buf_printf(&payload, "{\"exp\":1800000600,\"pad\":\"%05900d\"}", 0);
    make_token(&token, nx_span_str(HEADER), nx_buf_span(&payload), SECRET);
    assert_true(token.len < NX_MAX_TOKEN_BYTES && token.len > NX_MAX_TOKEN_BYTES - 400);
    assert_int_equal(verify_bytes(auth, nx_buf_span(&token), &who, &err), 0);
    nx_identity_unref(who);
    nx_buf_free(&token);
    nx_buf_reset(&payload);
    nx_buf_printf(&payload, "{\"exp\":1800000600,\"pad\":\"%06200d\"}", 0);
    make_token(&token, nx_span_str(HEADER), nx_buf_span(&payload), SECRET);
    assert_true(token.len > NX_MAX_TOKEN_BYTES);
    token_refused(auth, nx_buf_span(&token), NX_E_LIMIT);
    nx_buf_free(&token);
    // Deep nesting costs no stack.
    nx_buf_reset(&payload);
    nx_buf_append_str(&payload, "{\"exp\":1800000600,\"deep\":");
    for (int i = 0; i < 5000; i++)
        nx_buf_append_char(&payload, '[');
    make_token(&token, nx_span_str(HEADER), nx_buf_span(&payload), SECRET);
    token_refused(auth, nx_buf_span(&token), NX_E_LIMIT);
    nx_buf_free(&token);
    nx_buf_free(&payload);
    nx_auth_free(auth);
}

// More tokens than are remembered: all stay valid, and nothing is lost or freed twice.
static void many_tokens(void **state) {
    (void)state;
    struct nx_auth *auth = new_auth(NULL);
    struct nx_identity *first = accept(auth, HEADER, CLAIMS);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2 * NX_TOKEN_CACHE_ENTRIES; i++) {
            char claims[64], name[16];
            snprintf(name, sizeof name, "u%d", i);
            snprintf(claims, sizeof claims, "{\"exp\":1800000600,\"sub\":\"%s\"}", name);
            struct nx_identity *who = accept(auth, HEADER, claims);
            assert_string_equal(who->subject, name);
            nx_identity_unref(who);
        }
    }
    nx_auth_free(auth);
    assert_int_equal(first->refs, 1);
    assert_int_equal(first->expires_at_s, 1800000600);
    nx_identity_unref(first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_token),
        cmocka_unit_test(the_token_of_the_rfc),
        cmocka_unit_test(foreign_algorithms),
        cmocka_unit_test(headers_that_change_the_meaning),
        cmocka_unit_test(headers_that_are_none),
        cmocka_unit_test(keys_and_signatures),
        cmocka_unit_test(signatures_of_other_lengths),
        cmocka_unit_test(parts_and_encoding),
        cmocka_unit_test(sizes),
        cmocka_unit_test(many_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
