// SPDX-License-Identifier: Apache-2.0
// The compact form of a signed token (RFC 7515): its three parts, their encoding, its header.
// Strict: what two readers might understand differently is refused. Pure functions over bytes.
#ifndef NX_KERNEL_AUTH_JOSE_H
#define NX_KERNEL_AUTH_JOSE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"

// The parts of a token as they stand in it, still encoded.
struct nx_jose {
    struct nx_span header, payload, signature;
    struct nx_span signed_part; // header, '.', payload: what the signature is over
};

// Splits `token` into exactly three parts. Errors: NX_E_INVALID, NX_E_LIMIT (over
// NX_MAX_TOKEN_BYTES, or empty).
int nx_jose_split(struct nx_span token, struct nx_jose *out, struct nx_error *err);

// Appends the bytes that `encoded` stands for: base64url without padding, and of the encodings of
// the same bytes only the canonical one. Errors: NX_E_INVALID, out->failed.
int nx_jose_decode(struct nx_span encoded, struct nx_buf *out, struct nx_error *err);

// Appends `data` as base64url without padding. Returns 0 or out->failed.
int nx_jose_encode(struct nx_span data, struct nx_buf *out);

// Checks a decoded header: a JSON object without duplicates, whose "alg" is `alg` byte for byte,
// and that holds nothing but alg, typ ("JWT" or "at+jwt"), kid, x5t and x5t#S256. The last three
// name keys: they are checked for their shape and then ignored, because there is one key. Whatever
// would bring a key along or change the meaning of the token (jwk, jku, x5u, x5c, crit, b64, zip,
// cty, …) is refused. Errors: NX_E_INVALID, NX_E_NOMEM.
int nx_jose_check_header(struct nx_span json, const char *alg, struct nx_error *err);

#endif
