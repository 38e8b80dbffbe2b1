// SPDX-License-Identifier: Apache-2.0
// Reading a call's arguments: JSON arrays that have passed nx_json_scan.
#ifndef NX_EXT_ARGS_H
#define NX_EXT_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

// Sets *out to element `index` of the array `list`, without white space around it; false, and an
// empty *out, if the array is shorter.
bool nx_ext_args_item(struct nx_span list, size_t index, struct nx_span *out);

// Whether `value` is missing (empty) or null.
static inline bool nx_ext_args_none(struct nx_span value) {
    return value.len == 0 || nx_span_eq(value, nx_span_str("null"));
}

// Whether `value` starts as an object ('{'), array ('[') or string ('"') does.
static inline bool nx_ext_args_is(struct nx_span value, char first) {
    return value.len && value.data[0] == first;
}

// Appends the unescaped text of the string `value`; false if it is no string, does not fit, or is
// not valid UTF-8 once unescaped (a lone surrogate).
bool nx_ext_args_text(struct nx_span value, struct nx_buf *out);

#endif
