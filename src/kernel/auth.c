// SPDX-License-Identifier: Apache-2.0
// Verifying tokens, and remembering those that were valid.
#include "kernel/auth.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "kernel/auth_jose.h"

enum { DIGEST_BYTES = 32 };

// The tokens themselves are not kept: a digest proves the same and is of no use to a thief.
struct known {
    unsigned char digest[DIGEST_BYTES];
    struct nx_identity *identity; // NULL: an empty place
};

struct nx_auth {
    struct nx_auth_key *key;
    uint32_t key_number;                    // counts the different keys
    char *issuer, *audience, *workspace_id; // owned; NULL: not checked
    EVP_MD *sha256;
    EVP_MD_CTX *hashing;
    struct known known[NX_TOKEN_CACHE_ENTRIES]; // each digest has one place
};

// ---- Making

static bool copy_text(char **out, const char *text) {
    *out = text ? strdup(text) : NULL;
    return *out || !text;
}

int nx_auth_new(struct nx_auth **out, struct nx_auth_key *key, const struct nx_claim_rules *rules,
                struct nx_error *err) {
    struct nx_auth *auth = calloc(1, sizeof *auth);
    if (!auth) {
        nx_auth_key_free(key);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    auth->key = key;
    auth->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    auth->hashing = EVP_MD_CTX_new();
    if (!auth->sha256 || !auth->hashing || !copy_text(&auth->issuer, rules->issuer) ||
        !copy_text(&auth->audience, rules->audience) ||
        !copy_text(&auth->workspace_id, rules->workspace_id)) {
        nx_auth_free(auth);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    *out = auth;
    return 0;
}

static void forget_all(struct nx_auth *auth) {
    for (size_t i = 0; i < NX_TOKEN_CACHE_ENTRIES; i++) {
        nx_identity_unref(auth->known[i].identity);
        auth->known[i].identity = NULL;
    }
}

void nx_auth_set_key(struct nx_auth *auth, struct nx_auth_key *key) {
    // A file is read anew for the sake of others, too: what the same key vouched for stays good.
    if (!nx_auth_key_eq(auth->key, key))
        auth->key_number++;
    nx_auth_key_free(auth->key);
    auth->key = key;
    forget_all(auth);
}

bool nx_auth_still_valid(const struct nx_auth *auth, const struct nx_identity *identity,
                         int64_t now_s) {
    return identity->key_number == auth->key_number &&
           !nx_claims_expired(identity->expires_at_s, now_s);
}

void nx_auth_free(struct nx_auth *auth) {
    if (!auth)
        return;
    forget_all(auth);
    EVP_MD_CTX_free(auth->hashing);
    EVP_MD_free(auth->sha256);
    nx_auth_key_free(auth->key);
    free(auth->issuer);
    free(auth->audience);
    free(auth->workspace_id);
    free(auth);
}

// ---- Remembering

static bool digest_of(struct nx_auth *auth, struct nx_span token,
                      unsigned char digest[DIGEST_BYTES]) {
    return EVP_DigestInit_ex(auth->hashing, auth->sha256, NULL) == 1 &&
           EVP_DigestUpdate(auth->hashing, token.data, token.len) == 1 &&
           EVP_DigestFinal_ex(auth->hashing, digest, NULL) == 1;
}

// Nobody without the key can make valid tokens, so nobody can choose digests that push out others'.
static struct known *place_of(struct nx_auth *auth, const unsigned char digest[DIGEST_BYTES]) {
    return &auth->known[(digest[0] << 8 | digest[1]) % NX_TOKEN_CACHE_ENTRIES];
}

static struct nx_identity *recall(struct nx_auth *auth, const unsigned char digest[DIGEST_BYTES],
                                  int64_t now_s) {
    struct known *place = place_of(auth, digest);
    if (!place->identity || memcmp(place->digest, digest, DIGEST_BYTES) != 0 ||
        nx_claims_expired(place->identity->expires_at_s, now_s))
        return NULL;
    return nx_identity_ref(place->identity);
}

static void remember(struct nx_auth *auth, const unsigned char digest[DIGEST_BYTES],
                     struct nx_identity *identity) {
    struct known *place = place_of(auth, digest);
    nx_identity_unref(place->identity);
    place->identity = nx_identity_ref(identity);
    memcpy(place->digest, digest, DIGEST_BYTES);
}

// ---- Verifying

static int check_header(const struct nx_auth *auth, const struct nx_jose *parts,
                        struct nx_buf *room, struct nx_error *err) {
    int rc = nx_jose_decode(parts->header, room, err);
    if (rc == 0)
        rc = nx_jose_check_header(nx_buf_span(room), nx_auth_alg_name(nx_auth_key_alg(auth->key)),
                                  err);
    nx_buf_reset(room);
    return rc;
}

static int check_signature(const struct nx_auth *auth, const struct nx_jose *parts,
                           struct nx_buf *room, struct nx_error *err) {
    int rc = nx_jose_decode(parts->signature, room, err);
    if (rc == 0 && !nx_auth_key_verify(auth->key, parts->signed_part, nx_buf_span(room)))
        rc = nx_error_set(err, NX_E_INVALID, "the token's signature is wrong");
    nx_buf_reset(room);
    return rc;
}

static int verify(const struct nx_auth *auth, struct nx_span token, int64_t now_s,
                  struct nx_identity **out, struct nx_error *err) {
    const struct nx_claim_rules rules = {auth->issuer, auth->audience, auth->workspace_id};
    struct nx_jose parts;
    struct nx_buf room;
    int rc = nx_jose_split(token, &parts, err);
    if (rc)
        return rc;
    nx_buf_init(&room, NX_MAX_TOKEN_BYTES);
    rc = check_header(auth, &parts, &room, err);
    if (rc == 0)
        rc = check_signature(auth, &parts, &room, err);
    if (rc == 0)
        rc = nx_jose_decode(parts.payload, &room, err);
    if (rc == 0 && nx_claims_read(nx_buf_span(&room), &rules, now_s, out, err))
        rc = nx_error_wrap(err, "the token is refused");
    nx_buf_free(&room);
    return rc;
}

int nx_auth_verify(struct nx_auth *auth, struct nx_span token, int64_t now_s,
                   struct nx_identity **out, struct nx_error *err) {
    struct nx_error local = {0};
    unsigned char digest[DIGEST_BYTES];
    if (!err)
        err = &local; // verify() needs the code that nx_error_wrap gives back
    if (token.len > NX_MAX_TOKEN_BYTES)
        return nx_error_set(err, NX_E_LIMIT, "a token has 1 to %d bytes", NX_MAX_TOKEN_BYTES);
    bool hashed = digest_of(auth, token, digest);
    *out = hashed ? recall(auth, digest, now_s) : NULL;
    if (*out)
        return 0;
    int rc = verify(auth, token, now_s, out, err);
    if (rc == 0)
        (*out)->key_number = auth->key_number;
    if (rc == 0 && hashed)
        remember(auth, digest, *out);
    return rc;
}
