// SPDX-License-Identifier: Apache-2.0
// Bearer tokens: JSON Web Tokens (RFC 7519) under one key and one algorithm, both configured.
//
//   size, parts -> header -> signature -> claims
//
// In this order, so that nothing of a forged token is looked at but its form, and nothing fetches
// or looks up a key. Single-threaded.
#ifndef NX_KERNEL_AUTH_H
#define NX_KERNEL_AUTH_H

#include <stdint.h>

#include "base/error.h"
#include "base/span.h"
#include "kernel/auth_claims.h"
#include "kernel/auth_key.h"

struct nx_auth;

// Takes over `key`, also on failure. The strings of `rules` are copied. NX_E_NOMEM.
int nx_auth_new(struct nx_auth **out, struct nx_auth_key *key, const struct nx_claim_rules *rules,
                struct nx_error *err);
void nx_auth_free(struct nx_auth *auth); // NULL is fine; identities live on

// Puts `key`, which it takes over, in place of the old one. Tokens that were remembered are not
// taken on its word: they are verified anew. Identities that were handed out live on.
void nx_auth_set_key(struct nx_auth *auth, struct nx_auth_key *key);

// Whether the identity's token was verified with the key of today, and is not over at `now_s`
// (Unix): what is to be decided by an identity that was kept for later.
bool nx_auth_still_valid(const struct nx_auth *auth, const struct nx_identity *identity,
                         int64_t now_s);

// Verifies a token at the time `now_s` (Unix). On success *out is a reference for the caller to
// drop. Tokens once found valid are remembered by their SHA-256, so that the next request with the
// same one costs a hash; their expiry is checked each time.
// Errors: NX_E_INVALID or NX_E_LIMIT (refused: the message says why, without any of the token's
// text), NX_E_NOMEM.
int nx_auth_verify(struct nx_auth *auth, struct nx_span token, int64_t now_s,
                   struct nx_identity **out, struct nx_error *err);

#endif
