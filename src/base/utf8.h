// SPDX-License-Identifier: Apache-2.0
// UTF-8 decoding shared by the JSON scanner and writer.
#ifndef NX_BASE_UTF8_H
#define NX_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Length (1 to 4) of the well-formed UTF-8 sequence at `p`, of which `left` >= 1 bytes may be read,
// or 0 if there is none (RFC 3629: no overlongs, no surrogates, nothing above U+10FFFF).
static inline size_t nx_utf8_sequence(const unsigned char *p, size_t left) {
    unsigned first = p[0];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || left < 2 || (p[1] & 0xc0) != 0x80)
        return 0;
    if (first < 0xe0)
        return 2;
    if (left < 3 || (p[2] & 0xc0) != 0x80)
        return 0;
    if (first < 0xf0) {
        bool overlong = first == 0xe0 && p[1] < 0xa0;
        bool surrogate = first == 0xed && p[1] >= 0xa0;
        return overlong || surrogate ? 0 : 3;
    }
    if (first > 0xf4 || left < 4 || (p[3] & 0xc0) != 0x80)
        return 0;
    bool overlong = first == 0xf0 && p[1] < 0x90;
    bool too_large = first == 0xf4 && p[1] >= 0x90;
    return overlong || too_large ? 0 : 4;
}

// Writes `code` (at most 0x10FFFF; surrogates in their three-byte WTF-8 form) and returns the
// number of bytes, 1 to 4.
static inline size_t nx_utf8_encode(uint32_t code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[n] | code);
    return n;
}

// A byte mask for each byte of `word` that is not plain in a JSON string: below 0x20, a quote, a
// backslash, or 0x80 and above. Zero exactly if all eight are plain. (A set bit may be followed by
// false ones in higher bytes because of borrows, so only "zero or not" is meaningful.)
static inline uint64_t nx_json_special(uint64_t word) {
    const uint64_t ones = 0x0101010101010101u, tops = ones << 7;
    uint64_t quote = word ^ (ones * '"');
    uint64_t slash = word ^ (ones * '\\');
    return ((word - ones * 0x20) | (quote - ones) | (slash - ones) | word) & tops;
}

// The same for long texts, a block at a time and so that compilers use vector instructions. Ends in
// front of the block that has such a byte, or near `end`.
static inline const unsigned char *nx_json_skip_plain_blocks(const unsigned char *p,
                                                             const unsigned char *end) {
    enum { BLOCK_BYTES = 64 };
    while (end - p >= BLOCK_BYTES) {
        unsigned char special = 0;
        for (size_t i = 0; i < BLOCK_BYTES; i++) {
            const signed char c = (signed char)p[i]; // negative from 0x80 on
            special |= (c < 0x20) | (c == '"') | (c == '\\');
        }
        if (special)
            break;
        p += BLOCK_BYTES;
    }
    return p;
}

// The first byte in [p, end) that is not plain in a JSON string (see nx_json_special), or `end`.
static inline const unsigned char *nx_json_skip_plain(const unsigned char *p,
                                                      const unsigned char *end) {
    enum { SHORT_WORDS = 8 };
    for (int words = 0; end - p >= 8; words++) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        if (nx_json_special(word))
            break;
        p += 8;
        if (words == SHORT_WORDS)
            p = nx_json_skip_plain_blocks(p, end);
    }
    // At most seven steps: either the word above holds a special byte, or less than one is left.
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

#endif
