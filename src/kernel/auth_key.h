// SPDX-License-Identifier: Apache-2.0
// The one key that tokens are checked against, bound to the one algorithm it is for.
#ifndef NX_KERNEL_AUTH_KEY_H
#define NX_KERNEL_AUTH_KEY_H

#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"

enum nx_auth_alg { NX_AUTH_HS256, NX_AUTH_RS256, NX_AUTH_ES256, NX_AUTH_EDDSA, NX_AUTH_ALGS };
enum { NX_AUTH_MAC_BYTES = 32, NX_AUTH_DERIVED_BYTES = 32 };

struct nx_auth_key;

// "HS256", …: the value of a token's "alg", and of the setting JWT_ALG.
const char *nx_auth_alg_name(enum nx_auth_alg alg);

// An HS256 key from a secret. Refused (NX_E_INVALID) are secrets shorter than NX_MIN_SECRET_BYTES,
// longer than NX_MAX_SECRET_BYTES, placeholders from documentation, repetitions of a few
// characters, and PEM files: whoever configures a public key as a secret publishes the secret. The
// message says what is wrong and never holds any of it. `secret` is copied; the copy is erased by
// nx_auth_key_free. NX_E_NOMEM.
int nx_auth_key_from_secret(struct nx_auth_key **out, struct nx_span secret, struct nx_error *err);

// A key that verifies RS256 (RSA of 2048 to 8192 bits), ES256 (P-256) or EdDSA (Ed25519), from a
// public key in PEM. Errors: NX_E_INVALID (not a public key, a private key, or not one for `alg`),
// NX_E_NOMEM.
int nx_auth_key_from_pem(struct nx_auth_key **out, enum nx_auth_alg alg, struct nx_span pem,
                         struct nx_error *err);

void nx_auth_key_free(struct nx_auth_key *key); // NULL is fine

enum nx_auth_alg nx_auth_key_alg(const struct nx_auth_key *key);

// Whether both are the same key, for the same algorithm.
bool nx_auth_key_eq(const struct nx_auth_key *a, const struct nx_auth_key *b);

// Whether `signature` (decoded) is the key's over `data`. Takes the same time for every wrong HS256
// signature of the right length.
bool nx_auth_key_verify(const struct nx_auth_key *key, struct nx_span data,
                        struct nx_span signature);

// Signs with an HS256 key. Errors: NX_E_INVALID (a public key), NX_E_NOMEM.
int nx_auth_key_sign(const struct nx_auth_key *key, struct nx_span data,
                     unsigned char mac[NX_AUTH_MAC_BYTES]);

// A key for another purpose, from the secret of an HS256 key: HKDF-SHA-256 (RFC 5869) without salt,
// `purpose` as info. Whoever learns it learns nothing of the secret, nor of what the secret signs.
// Errors: NX_E_INVALID (a public key: there is no secret), NX_E_NOMEM.
int nx_auth_key_derive(const struct nx_auth_key *key, const char *purpose,
                       unsigned char out[NX_AUTH_DERIVED_BYTES]);

#endif
