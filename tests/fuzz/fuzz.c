// SPDX-License-Identifier: Apache-2.0
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

void fuzz_fail(const char *what, const char *file, int line) {
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

struct nx_span fuzz_take(struct fuzz_input *in, size_t len) {
    struct nx_span taken = nx_span_of(in->at, len < in->left ? len : in->left);
    in->at += taken.len;
    in->left -= taken.len;
    return taken;
}

struct nx_span fuzz_rest(struct fuzz_input *in) {
    return fuzz_take(in, in->left);
}

uint8_t fuzz_u8(struct fuzz_input *in) {
    struct nx_span byte = fuzz_take(in, 1);
    return byte.len ? (uint8_t)byte.data[0] : 0;
}

uint32_t fuzz_u32(struct fuzz_input *in) {
    uint32_t value = 0;
    struct nx_span bytes = fuzz_take(in, sizeof value);
    if (bytes.len)
        memcpy(&value, bytes.data, bytes.len);
    return value;
}

struct nx_span fuzz_until(struct fuzz_input *in, char end) {
    const char *at = in->left ? memchr(in->at, end, in->left) : NULL;
    struct nx_span taken = fuzz_take(in, at ? (size_t)(at - in->at) : in->left);
    if (at)
        fuzz_take(in, 1);
    return taken;
}

struct nx_span fuzz_copy(struct nx_span s) {
    char *copy = malloc(s.len ? s.len : 1);
    FUZZ_CHECK(copy);
    if (s.len)
        memcpy(copy, s.data, s.len);
    return nx_span_of(copy, s.len);
}

char *fuzz_string(struct nx_span s) {
    char *copy = s.len ? strndup(s.data, s.len) : strdup("");
    FUZZ_CHECK(copy);
    return copy;
}

// The code point at the front of `s` and how many bytes it takes; 0: there is
// none.
static size_t decode(struct nx_span s, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = (uint8_t)s.data[0];
    size_t len = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (len == 0 || first >= 0xf8 || len > s.len)
        return 0;
    *code = len == 1 ? first : first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (((uint8_t)s.data[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | ((uint8_t)s.data[i] & 0x3f);
    }
    return *code >= least[len] && *code <= 0x10ffff ? len : 0;
}

bool fuzz_utf8(struct nx_span s, bool surrogates) {
    uint32_t before = 0;
    while (s.len) {
        uint32_t code = 0;
        size_t len = decode(s, &code);
        bool low = code >= 0xdc00 && code <= 0xdfff, high = code >= 0xd800 && code < 0xdc00;
        if (len == 0 || ((low || high) && !surrogates))
            return false;
        if (low && before >= 0xd800 && before < 0xdc00)
            return false;
        before = code;
        s = nx_span_of(s.data + len, s.len - len);
    }
    return true;
}
