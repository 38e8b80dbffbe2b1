// SPDX-License-Identifier: Apache-2.0
#include "kernel/glob.h"

#include <string.h>

static bool takes(struct nx_span *text, struct nx_span piece) {
    if (piece.len == 0)
        return true;
    const char *at = text->len ? memmem(text->data, text->len, piece.data, piece.len) : NULL;
    if (!at)
        return false;
    size_t used = (size_t)(at - text->data) + piece.len;
    *text = nx_span_of(text->data + used, text->len - used);
    return true;
}

// The text begins with what stands before the first star, ends with what follows the last, and
// holds the pieces between in order. The leftmost place is always good enough for these.
bool nx_glob_match(struct nx_span pattern, struct nx_span text) {
    const char *star = pattern.len ? memchr(pattern.data, '*', pattern.len) : NULL;
    if (!star)
        return nx_span_eq(pattern, text);
    size_t head = (size_t)(star - pattern.data);
    const char *last = memrchr(pattern.data, '*', pattern.len);
    size_t tail = pattern.len - (size_t)(last - pattern.data) - 1;
    if (text.len < head + tail || (head && memcmp(text.data, pattern.data, head) != 0) ||
        (tail && memcmp(text.data + text.len - tail, last + 1, tail) != 0))
        return false;
    text = nx_span_of(text.data + head, text.len - head - tail);
    while (star < last) {
        const char *next = memchr(star + 1, '*', (size_t)(last - star));
        if (!takes(&text, nx_span_of(star + 1, (size_t)(next - star) - 1)))
            return false;
        star = next;
    }
    return true;
}
