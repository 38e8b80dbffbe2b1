// SPDX-License-Identifier: Apache-2.0
// What a token says about its bearer, once its signature is known to be right.
#ifndef NX_KERNEL_AUTH_CLAIMS_H
#define NX_KERNEL_AUTH_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/caps.h"
#include "base/error.h"
#include "base/span.h"

// Permissions, one bit each. A token's "*" is all of them.
enum nx_permission {
    NX_MAY_CREATE = 1 << 0,  // panel:create
    NX_MAY_READ = 1 << 1,    // panel:read
    NX_MAY_EXECUTE = 1 << 2, // panel:execute
    NX_MAY_DELETE = 1 << 3,  // panel:delete
    NX_MAY_METRICS = 1 << 4, // metrics:read
    NX_MAY_ALL = (1 << 5) - 1,
};

// The bit of "panel:create", … or "*"; 0 if there is no such permission.
unsigned nx_permission_parse(struct nx_span name);
// The name of a single bit.
const char *nx_permission_name(enum nx_permission permission);

// The bearer of a valid token. Immutable and shared: see nx_identity_ref.
struct nx_identity {
    unsigned refs;
    char *subject;            // "sub", owned; "" if the token names none
    unsigned permissions;     // NX_MAY_* bits
    int64_t expires_at_s;     // Unix time
    uint32_t key_number;      // of the key that its token was verified with, see auth.h
    bool limits_grants;       // the token says what may be granted: `grants`, and nothing else
    struct nx_cap_set grants; // to panels that this bearer creates
};

struct nx_identity *nx_identity_ref(struct nx_identity *identity);
void nx_identity_unref(struct nx_identity *identity); // NULL is fine

// What the claims are held against. NULL: not checked.
struct nx_claim_rules {
    const char *issuer, *audience, *workspace_id;
};

// Reads the claims of a token at the time `now_s` (Unix): a JSON object without duplicates, in
// which every claim that is looked at has its type.
//   exp            required; a number of seconds up to the year 9999
//   nbf, iat       not in the future
//   iss, aud, workspace_id   as `rules` has them; aud may be an array that holds it
//   sub            at most NX_MAX_SUBJECT_BYTES
//   permissions    array of strings; those of other services are skipped
//   capabilities   array of capability tokens, every one valid
// Times have a leeway of NX_TOKEN_LEEWAY_S. On success *out is one reference. Errors: NX_E_INVALID
// with what is wrong, NX_E_NOMEM.
int nx_claims_read(struct nx_span json, const struct nx_claim_rules *rules, int64_t now_s,
                   struct nx_identity **out, struct nx_error *err);

// Whether a token with this "exp" is over at `now_s`.
bool nx_claims_expired(int64_t expires_at_s, int64_t now_s);

#endif
