// SPDX-License-Identifier: Apache-2.0
// Keys: secrets that are refused, signatures of each algorithm with vectors of the RFCs, and
// confusing one algorithm's key for another's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "kernel/auth.h"
#include "kernel/auth_jose.h"

// ---- Secrets

static int try_secret(struct nx_span secret, struct nx_error *err) {
    struct nx_auth_key *key = NULL;
    *err = (struct nx_error){0};
    int rc = nx_auth_key_from_secret(&key, secret, err);
    assert_true((rc == 0) == (key != NULL));
    nx_auth_key_free(key);
    return rc;
}

static void weak_secrets(void **state) {
    (void)state;
    static const char *const weak[] = {
        "",
        "secret",
        "Xq3vT9kLm2Rw8YpZ5sUd7GhJ4bNc6Ae", // 31
        "change-me-change-me-change-me-change-me",
        "please-CHANGEME-before-production-1a2b3c",
        "your-256-bit-secret-your-256-bit-secret",
        "a-string-secret-at-least-256-bits-long",
        "your_jwt_secret_key_min_32_characters_long",
        "super-secret-jwt-key-for-production-use-42",
        "development-only-9f8e7d6c5b4a39281706",
        "keyboard cat keyboard cat keyboard cat!",
        "00000000000000000000000000000000",
        "abababababababababababababababababab",
        "abcdefgh12345678abcdefgh12345678",
        "1212121212121212121212121212121212123434",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMl\n",
    };
    struct nx_error err;
    for (size_t i = 0; i < sizeof weak / sizeof weak[0]; i++) {
        if (try_secret(nx_span_str(weak[i]), &err) != NX_E_INVALID)
            fail_msg("taken: %s", weak[i]);
        // The message never repeats the secret.
        assert_true(!weak[i][0] || !strstr(err.message, weak[i]));
    }
    char huge[NX_MAX_SECRET_BYTES + 1];
    for (size_t i = 0; i < sizeof huge; i++)
        huge[i] = (char)(i * 167 + i / 251);
    assert_int_equal(try_secret(nx_span_of(huge, sizeof huge), &err), NX_E_INVALID);
    assert_int_equal(try_secret(nx_span_of(huge, sizeof huge - 1), &err), 0);
}

static void strong_secrets(void **state) {
    (void)state;
    static const char *const strong[] = {
        "Xq3vT9kLm2Rw8YpZ5sUd7GhJ4bNc6Aef",                                 // 32
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", // hexadecimal
        "vW8k1u5rQ2nE0pYbZtA6cS3dGfHjKlMo7xIi9wUqRvPzNeTyXaBsCgDhFkJmLoO1",
    };
    struct nx_error err;
    for (size_t i = 0; i < sizeof strong / sizeof strong[0]; i++)
        if (try_secret(nx_span_str(strong[i]), &err))
            fail_msg("refused: %s: %s", strong[i], err.message);
}

// ---- Vectors

static const char es256_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
                                "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                                "-----END PUBLIC KEY-----\n";
static const char ed25519_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                                  "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                                  "-----END PUBLIC KEY-----\n";

static struct nx_auth_key *public_key(enum nx_auth_alg alg, const char *pem) {
    struct nx_auth_key *key = NULL;
    struct nx_error err = {0};
    if (nx_auth_key_from_pem(&key, alg, nx_span_str(pem), &err))
        fail_msg("%s: %s", nx_auth_alg_name(alg), err.message);
    assert_int_equal(nx_auth_key_alg(key), alg);
    return key;
}

// The signature as given is right; with any byte changed, shorter or longer, it is not.
static void check_vector(enum nx_auth_alg alg, const char *pem, const char *data,
                         const char *signature) {
    struct nx_auth_key *key = public_key(alg, pem);
    struct nx_buf raw;
    nx_buf_init(&raw, 1024);
    assert_int_equal(nx_jose_decode(nx_span_str(signature), &raw, NULL), 0);
    assert_true(nx_auth_key_verify(key, nx_span_str(data), nx_buf_span(&raw)));
    assert_false(nx_auth_key_verify(key, nx_span_str(data + 1), nx_buf_span(&raw)));
    for (size_t i = 0; i < raw.len; i += 7) {
        raw.data[i] ^= 1;
        assert_false(nx_auth_key_verify(key, nx_span_str(data), nx_buf_span(&raw)));
        raw.data[i] ^= 1;
    }
    for (size_t len = 0; len < raw.len; len++)
        assert_false(nx_auth_key_verify(key, nx_span_str(data), nx_span_of(raw.data, len)));
    nx_buf_append_char(&raw, '\0');
    assert_false(nx_auth_key_verify(key, nx_span_str(data), nx_buf_span(&raw)));
    // Zeros: the pair that some verifiers took for a signature of everything.
    memset(raw.data, 0, raw.len);
    assert_false(nx_auth_key_verify(key, nx_span_str(data), nx_span_of(raw.data, raw.len - 1)));
    nx_buf_free(&raw);
    nx_auth_key_free(key);
}

static void es256_of_rfc_7515(void **state) {
    (void)state;
    check_vector(
        NX_AUTH_ES256, es256_pem,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9l"
        "eGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6"
        "NU1Q");
}

static void eddsa_of_rfc_8037(void **state) {
    (void)state;
    check_vector(
        NX_AUTH_EDDSA, ed25519_pem, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM"
        "0KAg");
}

// ---- Keys made here

static void to_pem(EVP_PKEY *pair, bool private, char *out, size_t size) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    assert_true(private ? PEM_write_bio_PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL)
                        : PEM_write_bio_PUBKEY(bio, pair));
    long len = BIO_get_mem_data(bio, &text);
    assert_true(len > 0 && (size_t)len < size);
    memcpy(out, text, (size_t)len);
    out[len] = '\0';
    BIO_free(bio);
}

static void rs256(void **state) {
    (void)state;
    EVP_PKEY *pair = EVP_RSA_gen(2048);
    char pem[4096], signature[512];
    unsigned char raw[256];
    size_t len = sizeof raw;
    struct nx_buf encoded;
    to_pem(pair, false, pem, sizeof pem);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pair), 1);
    assert_int_equal(EVP_DigestSign(ctx, raw, &len, (const unsigned char *)"a.b", 3), 1);
    EVP_MD_CTX_free(ctx);
    nx_buf_init(&encoded, sizeof signature);
    nx_jose_encode(nx_span_of(raw, len), &encoded);
    check_vector(NX_AUTH_RS256, pem, "a.b", encoded.data);
    nx_buf_free(&encoded);
    EVP_PKEY_free(pair);
}

static void refuse_pem(enum nx_auth_alg alg, const char *pem, const char *reason) {
    struct nx_auth_key *key = NULL;
    struct nx_error err = {0};
    int rc = nx_auth_key_from_pem(&key, alg, nx_span_str(pem), &err);
    if (rc != NX_E_INVALID || key || !strstr(err.message, reason))
        fail_msg("%s: %d %s", nx_auth_alg_name(alg), rc, err.message);
}

static void keys_that_do_not_fit(void **state) {
    (void)state;
    char pem[4096];
    static const enum nx_auth_alg algs[] = {NX_AUTH_RS256, NX_AUTH_ES256, NX_AUTH_EDDSA};
    for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
        refuse_pem(algs[i], "", "no public key");
        refuse_pem(algs[i], "not a key", "no public key");
        refuse_pem(algs[i], "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                   "no public key");
    }
    refuse_pem(NX_AUTH_RS256, es256_pem, "not a key for RS256");
    refuse_pem(NX_AUTH_EDDSA, es256_pem, "not a key for EdDSA");
    refuse_pem(NX_AUTH_ES256, ed25519_pem, "not a key for ES256");
    refuse_pem(NX_AUTH_HS256, es256_pem, "not a key for HS256");
    EVP_PKEY *pair = EVP_RSA_gen(1024);
    to_pem(pair, false, pem, sizeof pem);
    refuse_pem(NX_AUTH_RS256, pem, "2048");
    EVP_PKEY_free(pair);
    pair = EVP_EC_gen("P-384");
    to_pem(pair, false, pem, sizeof pem);
    refuse_pem(NX_AUTH_ES256, pem, "P-256");
    to_pem(pair, true, pem, sizeof pem);
    refuse_pem(NX_AUTH_ES256, pem, "private key");
    EVP_PKEY_free(pair);
    pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    to_pem(pair, false, pem, sizeof pem);
    refuse_pem(NX_AUTH_EDDSA, pem, "not a key for EdDSA");
    EVP_PKEY_free(pair);
}

// ---- Confusion

// A token "signed" with HMAC, the public key as its secret: whoever lets the token choose the
// algorithm takes it.
static void forge_with_public_key(const char *alg, const char *pem, struct nx_buf *out) {
    unsigned char mac[NX_AUTH_MAC_BYTES];
    char header[64];
    size_t len = 0;
    snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg);
    nx_buf_init(out, NX_MAX_TOKEN_BYTES);
    nx_jose_encode(nx_span_str(header), out);
    nx_buf_append_char(out, '.');
    nx_jose_encode(nx_span_str("{\"exp\":1800000600,\"permissions\":[\"*\"]}"), out);
    assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, pem, strlen(pem),
                              (const unsigned char *)out->data, out->len, mac, sizeof mac, &len));
    nx_buf_append_char(out, '.');
    nx_jose_encode(nx_span_of(mac, len), out);
}

static void public_keys_are_no_secrets(void **state) {
    (void)state;
    static const struct {
        enum nx_auth_alg alg;
        const char *pem;
    } keys[] = {{NX_AUTH_ES256, es256_pem}, {NX_AUTH_EDDSA, ed25519_pem}};
    static const char *const algs[] = {"HS256", "HS384", "HS512", "RS256",
                                       "ES256", "EdDSA", "none",  "None"};
    for (size_t k = 0; k < 2; k++) {
        struct nx_auth *auth = NULL;
        const struct nx_claim_rules none = {0};
        struct nx_identity *who = NULL;
        assert_int_equal(nx_auth_new(&auth, public_key(keys[k].alg, keys[k].pem), &none, NULL), 0);
        for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
            struct nx_buf token;
            forge_with_public_key(algs[i], keys[k].pem, &token);
            assert_int_equal(nx_auth_verify(auth, nx_buf_span(&token), 1800000000, &who, NULL),
                             NX_E_INVALID);
            assert_null(who);
            nx_buf_free(&token);
        }
        nx_auth_free(auth);
    }
}

static void public_keys_do_not_sign(void **state) {
    (void)state;
    unsigned char mac[NX_AUTH_MAC_BYTES];
    struct nx_auth_key *key = public_key(NX_AUTH_EDDSA, ed25519_pem);
    assert_int_equal(nx_auth_key_sign(key, nx_span_str("x"), mac), NX_E_INVALID);
    nx_auth_key_free(key);
    nx_auth_key_free(NULL);
}

static struct nx_auth_key *secret_key(const char *secret) {
    struct nx_auth_key *key = NULL;
    assert_int_equal(nx_auth_key_from_secret(&key, nx_span_str(secret), NULL), 0);
    return key;
}

static void a_key_is_the_same_as_itself_alone(void **state) {
    (void)state;
    char pem[4096];
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    to_pem(pair, false, pem, sizeof pem);
    EVP_PKEY_free(pair);
    for (int i = 0; i < 5 * 5; i++) {
        struct nx_auth_key *keys[2];
        for (int k = 0; k < 2; k++) {
            int which = k ? i / 5 : i % 5;
            keys[k] = which == 0   ? secret_key("Xq3vT9kLm2Rw8YpZ5sUd7GhJ4bNc6Aef")
                      : which == 1 ? secret_key("Xq3vT9kLm2Rw8YpZ5sUd7GhJ4bNc6AefX")
                      : which == 2 ? public_key(NX_AUTH_ES256, es256_pem)
                      : which == 3 ? public_key(NX_AUTH_ES256, pem)
                                   : public_key(NX_AUTH_EDDSA, ed25519_pem);
        }
        assert_int_equal(nx_auth_key_eq(keys[0], keys[1]), i / 5 == i % 5);
        nx_auth_key_free(keys[0]);
        nx_auth_key_free(keys[1]);
    }
}

// ---- Encoding

static void base64url(void **state) {
    (void)state;
    static const char *const wrong[] = {"A",   "AAAAA", "AA=",   "AA==",     "AB",  "AAB",
                                        "A A", "A+A/",  "AAA\n", "\xc3\xa9", "AA.A"};
    static const char *const texts[] = {"",     "f",     "fo",     "foo",
                                        "foob", "fooba", "foobar", "\xff\xfe"};
    static const char *const encodings[] = {"",       "Zg",      "Zm8",      "Zm9v",
                                            "Zm9vYg", "Zm9vYmE", "Zm9vYmFy", "__4"};
    struct nx_buf out;
    nx_buf_init(&out, 64);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (nx_jose_decode(nx_span_str(wrong[i]), &out, NULL) != NX_E_INVALID)
            fail_msg("taken: %s", wrong[i]);
        nx_buf_reset(&out);
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(nx_jose_encode(nx_span_str(texts[i]), &out), 0);
        assert_true(nx_span_eq(nx_buf_span(&out), nx_span_str(encodings[i])));
        nx_buf_reset(&out);
        assert_int_equal(nx_jose_decode(nx_span_str(encodings[i]), &out, NULL), 0);
        assert_true(nx_span_eq(nx_buf_span(&out), nx_span_str(texts[i])));
        nx_buf_reset(&out);
    }
    nx_buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weak_secrets),
        cmocka_unit_test(strong_secrets),
        cmocka_unit_test(es256_of_rfc_7515),
        cmocka_unit_test(eddsa_of_rfc_8037),
        cmocka_unit_test(rs256),
        cmocka_unit_test(keys_that_do_not_fit),
        cmocka_unit_test(public_keys_are_no_secrets),
        cmocka_unit_test(public_keys_do_not_sign),
        cmocka_unit_test(a_key_is_the_same_as_itself_alone),
        cmocka_unit_test(base64url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
