// SPDX-License-Identifier: Apache-2.0
// JSON that decides about access: read into a tree, strictly.
#ifndef NX_KERNEL_AUTH_JSON_H
#define NX_KERNEL_AUTH_JSON_H

#include <jansson.h>

#include "base/error.h"
#include "base/span.h"

// Parses `text`, which must be one JSON object: RFC 8259, valid UTF-8 without lone surrogates, no
// NUL in strings, nested at most NX_JSON_MAX_DEPTH deep, and no name twice in any object (readers
// differ on which one counts). The caller owns *out. Errors: NX_E_INVALID, NX_E_LIMIT, NX_E_NOMEM.
int nx_auth_json_object(struct nx_span text, json_t **out, struct nx_error *err);

#endif
