// SPDX-License-Identifier: Apache-2.0
// UTF-8 validation of whole texts.
#include "base/utf8.h"

#include "base/json.h"

bool nx_utf8_valid(struct nx_span s) {
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
        if (n == 0)
            return false;
        p += n;
        left -= n;
    }
    return true;
}
