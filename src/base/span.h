// SPDX-License-Identifier: Apache-2.0
// A borrowed, read-only run of bytes. Never owns; may hold NUL bytes; is not NUL-terminated.
#ifndef NX_BASE_SPAN_H
#define NX_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct nx_span {
    const char *data; // may be NULL when len is 0
    size_t len;
};

// The span of a NUL-terminated string (NULL gives the empty span).
static inline struct nx_span nx_span_str(const char *s) {
    return (struct nx_span){s, s ? strlen(s) : 0};
}

static inline struct nx_span nx_span_of(const void *data, size_t len) {
    return (struct nx_span){data, len};
}

// Byte-exact comparison.
static inline bool nx_span_eq(struct nx_span a, struct nx_span b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

// Order by bytes: negative, 0 or positive, as of memcmp; a prefix comes first.
static inline int nx_span_compare(struct nx_span a, struct nx_span b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.data, b.data, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static inline bool nx_span_starts(struct nx_span s, struct nx_span prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

#endif
