// SPDX-License-Identifier: Apache-2.0
// The bounded growable buffer.
#include "base/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

// Small enough not to matter per buffer, large enough that most messages never reallocate.
enum { FIRST_ALLOCATION_BYTES = 64 };

// Leaves room for the terminating NUL and keeps every sum below SIZE_MAX.
static const size_t MAX_CONTENT_BYTES = PTRDIFF_MAX - 1;

static size_t content_limit(const struct nx_buf *b) {
    return b->max_bytes < MAX_CONTENT_BYTES ? b->max_bytes : MAX_CONTENT_BYTES;
}

// Makes cap >= len + extra + 1, growing by doubling but never past the limit.
static int grow(struct nx_buf *b, size_t extra) {
    if (b->failed)
        return b->failed;
    size_t limit = content_limit(b);
    if (b->len > limit || extra > limit - b->len)
        return b->failed = NX_E_LIMIT;
    size_t need = b->len + extra + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap < FIRST_ALLOCATION_BYTES ? FIRST_ALLOCATION_BYTES : b->cap;
    if (cap < need)
        cap = cap > limit / 2 ? limit + 1 : cap * 2;
    if (cap < need)
        cap = need;
    if (cap > limit + 1)
        cap = limit + 1;
    char *data = realloc(b->data, cap);
    if (!data)
        return b->failed = NX_E_NOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

// The same; mostly there is room already, for frames are made of many small appends. The maximum is
// looked at all the same: an owner may have lowered it since.
static inline int ensure(struct nx_buf *b, size_t extra) {
    bool fits = extra < b->cap - b->len && b->len + extra <= b->max_bytes;
    return fits && !b->failed ? 0 : grow(b, extra);
}

void nx_buf_init(struct nx_buf *b, size_t max_bytes) {
    *b = (struct nx_buf){.max_bytes = max_bytes};
}

void nx_buf_free(struct nx_buf *b) {
    free(b->data);
    nx_buf_init(b, b->max_bytes);
}

void nx_buf_reset(struct nx_buf *b) {
    b->len = 0;
    b->failed = 0;
    if (b->data)
        b->data[0] = '\0';
}

int nx_buf_append(struct nx_buf *b, const void *data, size_t len) {
    int rc = ensure(b, len);
    if (rc)
        return rc;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return 0;
}

int nx_buf_append_span(struct nx_buf *b, struct nx_span s) {
    return nx_buf_append(b, s.data, s.len);
}

int nx_buf_append_str(struct nx_buf *b, const char *s) {
    return nx_buf_append_span(b, nx_span_str(s));
}

int nx_buf_append_char(struct nx_buf *b, char c) {
    return nx_buf_append(b, &c, 1);
}

int nx_buf_printf(struct nx_buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int rc = nx_buf_vprintf(b, fmt, ap);
    va_end(ap);
    return rc;
}

int nx_buf_vprintf(struct nx_buf *b, const char *fmt, va_list ap) {
    int rc = ensure(b, 0);
    if (rc)
        return rc;
    va_list again;
    va_copy(again, ap);
    size_t room = b->cap - b->len;
    errno = 0;
    int want = vsnprintf(b->data + b->len, room, fmt, ap);
    if (want < 0)
        b->failed = errno == ENOMEM ? NX_E_NOMEM : NX_E_LIMIT;
    else if (ensure(b, (size_t)want) == 0) {
        if ((size_t)want >= room)
            vsnprintf(b->data + b->len, (size_t)want + 1, fmt, again);
        b->len += (size_t)want;
    }
    va_end(again);
    b->data[b->len] = '\0'; // what did not fit was written in part
    return b->failed;
}

char *nx_buf_reserve(struct nx_buf *b, size_t len) {
    if (ensure(b, len))
        return NULL;
    b->data[b->len + len] = '\0';
    return b->data + b->len;
}

void nx_buf_expect(struct nx_buf *b, size_t len) {
    size_t limit = content_limit(b);
    if (b->failed || b->len > limit || len > limit - b->len || b->len + len < b->cap)
        return;
    char *data = realloc(b->data, b->len + len + 1);
    if (!data)
        return;
    data[b->len] = '\0';
    b->data = data;
    b->cap = b->len + len + 1;
}

void nx_buf_consume(struct nx_buf *b, size_t len) {
    if (len > b->len)
        len = b->len;
    if (len == 0)
        return;
    b->len -= len;
    memmove(b->data, b->data + len, b->len);
    b->data[b->len] = '\0';
}

char *nx_buf_steal(struct nx_buf *b, size_t *len) {
    if (ensure(b, 0))
        return NULL;
    char *data = b->data;
    data[b->len] = '\0';
    if (len)
        *len = b->len;
    nx_buf_init(b, b->max_bytes);
    return data;
}
