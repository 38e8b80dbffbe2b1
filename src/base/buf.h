// SPDX-License-Identifier: Apache-2.0
// A growable byte buffer with a hard maximum. Every append either fits or fails the buffer for
// good: a failed buffer ignores further appends, so callers check once, at the end
// (cf. curl's dynbuf). The content is always NUL-terminated for convenience; `len` excludes it.
#ifndef NX_BASE_BUF_H
#define NX_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

struct nx_buf {
    char *data;       // owned; NULL until the first append
    size_t len;       // bytes of content
    size_t cap;       // bytes allocated
    size_t max_bytes; // content never exceeds this
    int failed;       // 0, NX_E_LIMIT or NX_E_NOMEM: the first append that did not fit
};

// Prepares an empty buffer that may grow to `max_bytes`. Allocates nothing.
void nx_buf_init(struct nx_buf *b, size_t max_bytes);

// Releases the memory; the buffer is then as after nx_buf_init.
void nx_buf_free(struct nx_buf *b);

// Empties the buffer and clears `failed`, keeping the memory.
void nx_buf_reset(struct nx_buf *b);

// Each appends all of it and returns 0, or nothing and returns b->failed. The bytes must not lie in
// the buffer itself.
int nx_buf_append(struct nx_buf *b, const void *data, size_t len);
int nx_buf_append_span(struct nx_buf *b, struct nx_span s);
int nx_buf_append_str(struct nx_buf *b, const char *s);
int nx_buf_append_char(struct nx_buf *b, char c);
int nx_buf_printf(struct nx_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int nx_buf_vprintf(struct nx_buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

// Makes room for `len` more bytes and returns where they go (the caller writes them and then adds
// to b->len), or NULL when the buffer failed. The terminating NUL is there if all `len` are used,
// else from the next append or steal on.
char *nx_buf_reserve(struct nx_buf *b, size_t len);

// About `len` more bytes will come: makes room for them at once, where appending them one after the
// other would move what is there each time the buffer grows. Advice only: where they would not fit,
// or memory is short, nothing happens, and the append fails that is one too many.
void nx_buf_expect(struct nx_buf *b, size_t len);

// Removes the first `len` bytes (at most b->len), moving the rest to the front.
void nx_buf_consume(struct nx_buf *b, size_t len);

// Hands the NUL-terminated content ("" if there is none) to the caller, who frees it; the buffer is
// then empty. NULL when the buffer failed; it then still owns its memory. `len` may be NULL.
char *nx_buf_steal(struct nx_buf *b, size_t *len);

// The content, borrowed until the buffer changes.
static inline struct nx_span nx_buf_span(const struct nx_buf *b) {
    return (struct nx_span){b->data, b->len};
}

#endif
