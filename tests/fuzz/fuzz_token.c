// SPDX-License-Identifier: Apache-2.0
// Bearer tokens. Input: a first line that chooses; then
//   raw    the token as a client would send it
//   sign   a line with a header, then claims: both signed here with the right
//   key, so that what
//          follows the signature is reached
//   bytes  what base64url is made of
//   key    a PEM file, or a secret
#include <stdlib.h>

#include "base/limits.h"
#include "fuzz.h"
#include "kernel/auth.h"
#include "kernel/auth_jose.h"

#define SECRET "Xq3vT9kLm2Rw8YpZ5sUd7GhJ4bNc6Aef"
enum { NOW_S = 1800000000 };

static struct nx_auth_key *secret_key(void) {
    struct nx_auth_key *key = NULL;
    FUZZ_CHECK(nx_auth_key_from_secret(&key, nx_span_str(SECRET), NULL) == 0);
    return key;
}

// One with rules and one without; they live as long as the process.
static struct nx_auth *auth_of(bool strict) {
    static struct nx_auth *auths[2];
    static const struct nx_claim_rules rules[] = {
        {0}, {.issuer = "https://issuer", .audience = "nexus", .workspace_id = "w1"}};
    if (!auths[strict])
        FUZZ_CHECK(nx_auth_new(&auths[strict], secret_key(), &rules[strict], NULL) == 0);
    return auths[strict];
}

// Nothing of a token belongs into a message.
static void check_message(const struct nx_error *err, struct nx_span token) {
    enum { TELLING_BYTES = 16 };
    for (size_t i = 0; i + TELLING_BYTES <= token.len; i++)
        FUZZ_CHECK(!memmem(err->message, strlen(err->message), token.data + i, TELLING_BYTES));
}

static void check_identity(const struct nx_identity *who) {
    FUZZ_CHECK(who->subject && strlen(who->subject) <= NX_MAX_SUBJECT_BYTES);
    FUZZ_CHECK((who->permissions & ~(unsigned)NX_MAY_ALL) == 0);
    FUZZ_CHECK(!nx_claims_expired(who->expires_at_s, NOW_S));
    FUZZ_CHECK(nx_claims_expired(who->expires_at_s, who->expires_at_s + NX_TOKEN_LEEWAY_S));
    FUZZ_CHECK(who->limits_grants || who->grants.count == 0);
    FUZZ_CHECK(fuzz_utf8(nx_span_str(who->subject), false));
}

static int verify(bool strict, struct nx_span token, int64_t now_s) {
    struct nx_identity *who = NULL;
    struct nx_error err = {0};
    int rc = nx_auth_verify(auth_of(strict), token, now_s, &who, &err);
    FUZZ_CHECK_ERROR(rc, &err);
    FUZZ_CHECK((rc == 0) == (who != NULL));
    check_message(&err, token);
    if (who && now_s == NOW_S)
        check_identity(who);
    nx_identity_unref(who);
    return rc;
}

static void check_raw(struct nx_span token) {
    // Nobody without the key makes a valid token: a fuzzer that does has found a
    // hole. One that is in the corpus on purpose is signed with the key above.
    int rc = verify(false, token, NOW_S);
    FUZZ_CHECK(verify(false, token, NOW_S) == rc);
    FUZZ_CHECK(rc == 0 || verify(true, token, NOW_S) != 0);
}

static void make_token(struct nx_buf *out, struct nx_span header, struct nx_span claims) {
    unsigned char mac[NX_AUTH_MAC_BYTES];
    struct nx_auth_key *key = secret_key();
    nx_jose_encode(header, out);
    nx_buf_append_char(out, '.');
    nx_jose_encode(claims, out);
    FUZZ_CHECK(nx_auth_key_sign(key, nx_buf_span(out), mac) == 0);
    nx_buf_append_char(out, '.');
    nx_jose_encode(nx_span_of(mac, sizeof mac), out);
    FUZZ_CHECK(out->failed == 0);
    nx_auth_key_free(key);
}

// No character of a valid token can be another.
static void check_changed(struct nx_buf *token) {
    for (size_t i = 0; i < token->len; i += token->len / 16 + 1) {
        char was = token->data[i];
        token->data[i] = was == 'A' ? 'B' : 'A';
        FUZZ_CHECK(verify(false, nx_buf_span(token), NOW_S) != 0);
        token->data[i] = was;
    }
}

static void check_signed(struct nx_span header, struct nx_span claims) {
    struct nx_buf token;
    nx_buf_init(&token, (header.len + claims.len) * 2 + 128);
    make_token(&token, header, claims);
    struct nx_span text = nx_buf_span(&token);
    int rc = verify(false, text, NOW_S), strict = verify(true, text, NOW_S);
    FUZZ_CHECK(rc == 0 || strict != 0);
    FUZZ_CHECK(verify(false, text, NOW_S) == rc);
    FUZZ_CHECK(verify(false, text, (int64_t)260000000000) != 0);
    if (rc == 0)
        check_changed(&token);
    nx_buf_free(&token);
}

// Text that decodes encodes to itself; bytes that are encoded decode to
// themselves.
static void check_base64(struct nx_span bytes) {
    struct nx_buf one, two;
    nx_buf_init(&one, bytes.len * 2 + 4);
    nx_buf_init(&two, bytes.len * 2 + 4);
    if (nx_jose_decode(bytes, &one, NULL) == 0) {
        FUZZ_CHECK(nx_jose_encode(nx_buf_span(&one), &two) == 0);
        FUZZ_CHECK(nx_span_eq(nx_buf_span(&two), bytes));
    }
    nx_buf_reset(&one);
    nx_buf_reset(&two);
    FUZZ_CHECK(nx_jose_encode(bytes, &one) == 0);
    FUZZ_CHECK(nx_jose_decode(nx_buf_span(&one), &two, NULL) == 0);
    FUZZ_CHECK(nx_span_eq(nx_buf_span(&two), bytes));
    nx_buf_free(&one);
    nx_buf_free(&two);
}

static void check_key(struct nx_span text) {
    for (int alg = NX_AUTH_HS256; alg < NX_AUTH_ALGS; alg++) {
        struct nx_auth_key *key = NULL;
        struct nx_error err = {0};
        int rc = alg == NX_AUTH_HS256
                     ? nx_auth_key_from_secret(&key, text, &err)
                     : nx_auth_key_from_pem(&key, (enum nx_auth_alg)alg, text, &err);
        FUZZ_CHECK_ERROR(rc, &err);
        FUZZ_CHECK((rc == 0) == (key != NULL));
        if (alg == NX_AUTH_HS256 && !memmem(text.data, text.len, "-----", 5))
            check_message(&err, text);
        if (key) {
            FUZZ_CHECK(nx_auth_key_alg(key) == (enum nx_auth_alg)alg);
            FUZZ_CHECK(!nx_auth_key_verify(key, text, nx_span_str("no signature")));
        }
        nx_auth_key_free(key);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = fuzz_input(data, size);
    struct nx_span choice = fuzz_until(&in, '\n');
    if (nx_span_eq(choice, nx_span_str("sign"))) {
        struct nx_span header = fuzz_until(&in, '\n');
        check_signed(header, fuzz_rest(&in));
    } else if (nx_span_eq(choice, nx_span_str("bytes"))) {
        check_base64(fuzz_rest(&in));
    } else if (nx_span_eq(choice, nx_span_str("key"))) {
        check_key(fuzz_rest(&in));
    } else {
        check_raw(fuzz_rest(&in));
    }
    return 0;
}
