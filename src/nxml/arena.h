// SPDX-License-Identifier: Apache-2.0
// Memory that lives as long as one parse: handed out in pieces, released all at once. What one
// parse may ask for is bounded by the caps on its source, so the arena has none of its own.
#ifndef NX_NXML_ARENA_H
#define NX_NXML_ARENA_H

#include <stddef.h>

struct nx_arena_chunk;

// Zero-initialised = empty.
struct nx_arena {
    struct nx_arena_chunk *head; // the chunk being filled
};

// `size` zeroed bytes aligned for any object, or NULL when out of memory.
void *nx_arena_alloc(struct nx_arena *a, size_t size);

// Releases everything; the arena is then empty.
void nx_arena_free(struct nx_arena *a);

#endif
