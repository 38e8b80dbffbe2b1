// SPDX-License-Identifier: Apache-2.0
// UTF-8 validation of whole texts.
#include "base/utf8.h"

#include "base/json.h"

// Whether a surrogate in three bytes is at `p`: a high one is 0xed 0xa0…0xaf, a low one 0xb0…0xbf.
static bool is_surrogate(const unsigned char *p, size_t left) {
    return left >= 3 && p[0] == 0xed && p[1] >= 0xa0 && p[1] < 0xc0 && (p[2] & 0xc0) == 0x80;
}

// The length of the lone surrogate at `p`, or 0. A pair has to be written as the character it
// stands for: the same string would have two spellings.
static size_t lone_surrogate(const unsigned char *p, size_t left) {
    if (!is_surrogate(p, left))
        return 0;
    bool pair = p[1] < 0xb0 && is_surrogate(p + 3, left - 3) && p[4] >= 0xb0;
    return pair ? 0 : 3;
}

static bool valid(struct nx_span s, bool surrogates) {
    const unsigned char *p = (const unsigned char *)s.data;
    size_t left = s.len;
    while (left > 0) {
        uint64_t word;
        if (left >= sizeof word) {
            memcpy(&word, p, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                p += sizeof word;
                left -= sizeof word;
                continue;
            }
        }
        size_t n = nx_utf8_sequence(p, left);
        if (n == 0 && surrogates)
            n = lone_surrogate(p, left);
        if (n == 0)
            return false;
        p += n;
        left -= n;
    }
    return true;
}

bool nx_utf8_valid(struct nx_span s) {
    return valid(s, false);
}

bool nx_wtf8_valid(struct nx_span s) {
    return valid(s, true);
}
