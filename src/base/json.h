// SPDX-License-Identifier: Apache-2.0
// A bounded JSON scanner and writer that build no tree. JSON that crosses a trust boundary is
// scanned once (grammar of RFC 8259, UTF-8, depth) and then carried as bytes.
#ifndef NX_BASE_JSON_H
#define NX_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"

enum nx_json_kind {
    NX_JSON_NULL,
    NX_JSON_BOOL,
    NX_JSON_NUMBER,
    NX_JSON_STRING,
    NX_JSON_ARRAY,
    NX_JSON_OBJECT,
};

// Checks that `text` is exactly one JSON value (white space around it allowed), valid UTF-8 (lone
// \uD800 escapes are accepted, as JSON.stringify produces them), nested at most NX_JSON_MAX_DEPTH
// deep. Runs in O(len) time and constant memory besides one bit per level; never recurses. `kind`
// may be NULL. Errors: NX_E_INVALID with the byte offset in the message, NX_E_LIMIT for depth.
int nx_json_scan(struct nx_span text, enum nx_json_kind *kind, struct nx_error *err);

// Walks the members of the object `text`, which must have passed nx_json_scan: calls `fn` with each
// member's key (still escaped, without quotes) and its value's bytes, in order. Stops at and
// returns the first non-zero value `fn` returns. NX_E_INVALID if `text` is not an object.
int nx_json_each_member(struct nx_span text,
                        int (*fn)(void *user, struct nx_span raw_key, struct nx_span value),
                        void *user);

// Finds member `key` (plain bytes; compared after unescaping) of an object that passed
// nx_json_scan. Returns 0 and sets *value (the last one wins among duplicates), or NX_E_NOTFOUND.
int nx_json_member(struct nx_span object, const char *key, struct nx_span *value);

// Appends the unescaped form of a JSON string's inner bytes (no quotes) as UTF-8. Lone surrogates
// become their three-byte (WTF-8) form so that keys keep their identity. Returns 0, out->failed, or
// NX_E_INVALID for a malformed escape (impossible in a scanned text), leaving what came before it.
int nx_json_unescape(struct nx_buf *out, struct nx_span raw);

// Appends `s` as a quoted JSON string. Bytes that are not valid UTF-8 become U+FFFD, each byte one;
// control characters (also DEL and C1), quotes and backslashes are escaped; WTF-8 surrogates become
// \uXXXX. Returns 0 or out->failed, as do the two functions below.
int nx_json_append_string(struct nx_buf *out, struct nx_span s);

// Convenience for building objects: appends `,` if needed (unless the last byte is '{' or '['),
// then "key": .
int nx_json_append_key(struct nx_buf *out, const char *key);

// Appends a comma unless the buffer's last byte is '{' or '[' (or the buffer is empty).
int nx_json_append_comma(struct nx_buf *out);

// True if `s` is valid UTF-8 (RFC 3629: no surrogates, no overlongs).
bool nx_utf8_valid(struct nx_span s);

// The same with lone surrogates allowed in their three-byte form (WTF-8), as in JavaScript's
// strings. Two that make a pair are not lone: they have to be one character in four bytes.
bool nx_wtf8_valid(struct nx_span s);

#endif
