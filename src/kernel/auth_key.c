// SPDX-License-Identifier: Apache-2.0
// Keys and signatures, on OpenSSL's libcrypto. The algorithm belongs to the key: no function here
// takes one from a token, so none can be confused for another.
#include "kernel/auth_key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"

enum { ES256_HALF = 32, ES256_BYTES = 2 * ES256_HALF, ES256_DER_MAX = 80 };

struct nx_auth_key {
    enum nx_auth_alg alg;
    EVP_PKEY *public_key;  // owned; NULL for HS256
    unsigned char *secret; // owned; HS256 only
    size_t secret_len;
};

const char *nx_auth_alg_name(enum nx_auth_alg alg) {
    static const char *const names[NX_AUTH_ALGS] = {
        [NX_AUTH_HS256] = "HS256",
        [NX_AUTH_RS256] = "RS256",
        [NX_AUTH_ES256] = "ES256",
        [NX_AUTH_EDDSA] = "EdDSA",
    };
    return (size_t)alg < NX_AUTH_ALGS ? names[alg] : "unknown";
}

enum nx_auth_alg nx_auth_key_alg(const struct nx_auth_key *key) {
    return key->alg;
}

bool nx_auth_key_eq(const struct nx_auth_key *a, const struct nx_auth_key *b) {
    if (a->alg != b->alg)
        return false;
    if (a->public_key)
        return EVP_PKEY_eq(a->public_key, b->public_key) == 1;
    return a->secret_len == b->secret_len &&
           CRYPTO_memcmp(a->secret, b->secret, a->secret_len) == 0;
}

// ---- Secrets

// What people leave standing when they copy an example. Whoever knows the example knows the secret.
static const char *const placeholders[] = {
    "changeme",     "change-me",  "change_me",    "change-this", "change_this", "changethis",
    "change this",  "replace",    "placeholder",  "example",     "your-",       "your_",
    "yoursecret",   "my-secret",  "my_secret",    "mysecret",    "supersecret", "super-secret",
    "super_secret", "topsecret",  "secret-key",   "secret_key",  "secretkey",   "jwt-secret",
    "jwt_secret",   "jwtsecret",  "a-string-sec", "development", "dev-secret",  "dev_secret",
    "devsecret",    "insecure",   "not-secure",   "do-not-use",  "password",    "default",
    "keyboard cat", "-----begin",
};

static bool is_placeholder(struct nx_span secret) {
    for (size_t i = 0; i < sizeof placeholders / sizeof placeholders[0]; i++) {
        size_t len = strlen(placeholders[i]);
        for (size_t at = 0; at + len <= secret.len; at++)
            if (strncasecmp(secret.data + at, placeholders[i], len) == 0)
                return true;
    }
    return false;
}

// A short text repeated, or only a handful of different characters.
static bool is_monotonous(struct nx_span secret) {
    enum { MIN_DISTINCT = 8, MAX_PERIOD = 16 };
    bool seen[256] = {false};
    int distinct = 0;
    for (size_t i = 0; i < secret.len; i++) {
        bool *one = &seen[(unsigned char)secret.data[i]];
        distinct += !*one;
        *one = true;
    }
    if (distinct < MIN_DISTINCT)
        return true;
    for (size_t period = 1; period <= MAX_PERIOD && period < secret.len; period++)
        if (memcmp(secret.data, secret.data + period, secret.len - period) == 0)
            return true;
    return false;
}

static int check_secret(struct nx_span secret, struct nx_error *err) {
    if (secret.len < NX_MIN_SECRET_BYTES || secret.len > NX_MAX_SECRET_BYTES)
        return nx_error_set(err, NX_E_INVALID,
                            "must have %d to %d bytes; make one with: openssl rand -base64 48",
                            NX_MIN_SECRET_BYTES, NX_MAX_SECRET_BYTES);
    if (is_placeholder(secret))
        return nx_error_set(err, NX_E_INVALID,
                            "holds text that examples use, so others know it; make one with: "
                            "openssl rand -base64 48");
    if (is_monotonous(secret))
        return nx_error_set(err, NX_E_INVALID,
                            "repeats itself and can be guessed; make one with: "
                            "openssl rand -base64 48");
    return 0;
}

int nx_auth_key_from_secret(struct nx_auth_key **out, struct nx_span secret, struct nx_error *err) {
    int rc = check_secret(secret, err);
    if (rc)
        return rc;
    struct nx_auth_key *key = calloc(1, sizeof *key);
    unsigned char *copy = malloc(secret.len);
    if (!key || !copy) {
        free(key);
        free(copy);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    memcpy(copy, secret.data, secret.len);
    *key = (struct nx_auth_key){NX_AUTH_HS256, NULL, copy, secret.len};
    *out = key;
    return 0;
}

// ---- Public keys

static bool key_fits(const EVP_PKEY *public_key, enum nx_auth_alg alg) {
    char group[32] = "";
    switch (alg) {
    case NX_AUTH_RS256:
        return EVP_PKEY_get_base_id(public_key) == EVP_PKEY_RSA &&
               EVP_PKEY_get_bits(public_key) >= NX_MIN_RSA_BITS &&
               EVP_PKEY_get_bits(public_key) <= NX_MAX_RSA_BITS;
    case NX_AUTH_ES256:
        return EVP_PKEY_get_base_id(public_key) == EVP_PKEY_EC &&
               EVP_PKEY_get_group_name(public_key, group, sizeof group, NULL) &&
               strcmp(group, SN_X9_62_prime256v1) == 0;
    case NX_AUTH_EDDSA:
        return EVP_PKEY_get_base_id(public_key) == EVP_PKEY_ED25519;
    case NX_AUTH_HS256:
    case NX_AUTH_ALGS:
        break;
    }
    return false;
}

static const char *key_wanted(enum nx_auth_alg alg) {
    return alg == NX_AUTH_RS256   ? "RSA of 2048 to 8192 bits"
           : alg == NX_AUTH_ES256 ? "an elliptic curve key on P-256"
                                  : "Ed25519";
}

int nx_auth_key_from_pem(struct nx_auth_key **out, enum nx_auth_alg alg, struct nx_span pem,
                         struct nx_error *err) {
    if (pem.len && memmem(pem.data, pem.len, "PRIVATE KEY", 11))
        return nx_error_set(err, NX_E_INVALID,
                            "holds a private key; the server takes the public one only, made with: "
                            "openssl pkey -in private.pem -pubout");
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *public_key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (!public_key)
        return nx_error_set(err, NX_E_INVALID,
                            "holds no public key in PEM (\"BEGIN PUBLIC KEY\" and so on)");
    struct nx_auth_key *key = NULL;
    int rc = 0;
    if (!key_fits(public_key, alg))
        rc = nx_error_set(err, NX_E_INVALID, "is not a key for %s: that takes %s",
                          nx_auth_alg_name(alg), key_wanted(alg));
    else if (!(key = calloc(1, sizeof *key)))
        rc = nx_error_set(err, NX_E_NOMEM, "out of memory");
    if (!key) {
        EVP_PKEY_free(public_key);
        return rc;
    }
    key->alg = alg;
    key->public_key = public_key;
    *out = key;
    return 0;
}

void nx_auth_key_free(struct nx_auth_key *key) {
    if (!key)
        return;
    EVP_PKEY_free(key->public_key);
    if (key->secret)
        OPENSSL_cleanse(key->secret, key->secret_len);
    free(key->secret);
    free(key);
}

// ---- Signatures

int nx_auth_key_sign(const struct nx_auth_key *key, struct nx_span data,
                     unsigned char mac[NX_AUTH_MAC_BYTES]) {
    unsigned len = 0;
    if (key->alg != NX_AUTH_HS256)
        return NX_E_INVALID;
    const unsigned char *done = HMAC(EVP_sha256(), key->secret, (int)key->secret_len,
                                     (const unsigned char *)data.data, data.len, mac, &len);
    return done && len == NX_AUTH_MAC_BYTES ? 0 : NX_E_NOMEM;
}

int nx_auth_key_derive(const struct nx_auth_key *key, const char *purpose,
                       unsigned char out[NX_AUTH_DERIVED_BYTES]) {
    if (key->alg != NX_AUTH_HS256)
        return NX_E_INVALID;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    // OpenSSL's parameters are not const where it only reads.
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key->secret, key->secret_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)purpose,
                                          strlen(purpose)),
        OSSL_PARAM_construct_end(),
    };
    bool ok = ctx && EVP_KDF_derive(ctx, out, NX_AUTH_DERIVED_BYTES, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    ERR_clear_error();
    return ok ? 0 : NX_E_NOMEM;
}

static bool verify_mac(const struct nx_auth_key *key, struct nx_span data,
                       struct nx_span signature) {
    unsigned char mac[NX_AUTH_MAC_BYTES];
    return signature.len == sizeof mac && nx_auth_key_sign(key, data, mac) == 0 &&
           CRYPTO_memcmp(mac, signature.data, sizeof mac) == 0;
}

// Tokens carry ES256 signatures as two numbers of 32 bytes, libcrypto takes them in DER. Returns
// the length, 0 on failure.
static size_t es256_to_der(struct nx_span signature, unsigned char der[ES256_DER_MAX]) {
    if (signature.len != ES256_BYTES)
        return 0;
    const unsigned char *raw = (const unsigned char *)signature.data;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, ES256_HALF, NULL),
           *s = BN_bin2bn(raw + ES256_HALF, ES256_HALF, NULL);
    int len = 0;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
        r = s = NULL; // the signature's now
        unsigned char *end = der;
        if (i2d_ECDSA_SIG(sig, NULL) <= ES256_DER_MAX)
            len = i2d_ECDSA_SIG(sig, &end);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len > 0 ? (size_t)len : 0;
}

static bool verify_public(const struct nx_auth_key *key, struct nx_span data,
                          const unsigned char *signature, size_t len) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    // Ed25519 hashes by itself. For RSA the padding is PKCS #1 v1.5 unless asked otherwise: RS256.
    const EVP_MD *digest = key->alg == NX_AUTH_EDDSA ? NULL : EVP_sha256();
    bool valid =
        ctx && EVP_DigestVerifyInit(ctx, NULL, digest, NULL, key->public_key) == 1 &&
        EVP_DigestVerify(ctx, signature, len, (const unsigned char *)data.data, data.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error(); // a wrong signature leaves its mark there
    return valid;
}

bool nx_auth_key_verify(const struct nx_auth_key *key, struct nx_span data,
                        struct nx_span signature) {
    unsigned char der[ES256_DER_MAX];
    if (key->alg == NX_AUTH_HS256)
        return verify_mac(key, data, signature);
    if (key->alg != NX_AUTH_ES256)
        return verify_public(key, data, (const unsigned char *)signature.data, signature.len);
    size_t len = es256_to_der(signature, der);
    return len && verify_public(key, data, der, len);
}
