// SPDX-License-Identifier: Apache-2.0
// SipHash-1-3 for hash tables whose keys a client or handler chooses: without the secret key nobody
// can prepare keys that all fall into one bucket. Not for authentication.
#ifndef NX_BASE_SIPHASH_H
#define NX_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct nx_siphash_key {
    uint64_t k0, k1; // from getrandom, once for each table or process
};

struct nx_siphash_state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t nx_siphash_rotl(uint64_t x, int bits) {
    return (x << bits) | (x >> (64 - bits));
}

static inline void nx_siphash_round(struct nx_siphash_state *s) {
    s->v0 += s->v1;
    s->v1 = nx_siphash_rotl(s->v1, 13) ^ s->v0;
    s->v0 = nx_siphash_rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = nx_siphash_rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = nx_siphash_rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = nx_siphash_rotl(s->v1, 17) ^ s->v2;
    s->v2 = nx_siphash_rotl(s->v2, 32);
}

// The 64-bit hash of `len` bytes. The value depends on the machine's byte order: never store it.
static inline uint64_t nx_siphash(const struct nx_siphash_key *key, const void *data, size_t len) {
    struct nx_siphash_state s = {key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du,
                                 key->k0 ^ 0x6c7967656e657261u, key->k1 ^ 0x7465646279746573u};
    const unsigned char *p = data;
    uint64_t word;
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        s.v3 ^= word;
        nx_siphash_round(&s);
        s.v0 ^= word;
    }
    word = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)p[i] << (8 * i);
    s.v3 ^= word;
    nx_siphash_round(&s);
    s.v0 ^= word;
    s.v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        nx_siphash_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

#endif
