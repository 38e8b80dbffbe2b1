// SPDX-License-Identifier: Apache-2.0
// Parse-scoped memory; see arena.h.
#include "nxml/arena.h"

#include <stdint.h>
#include <stdlib.h>

enum { CHUNK_BYTES = 32 * 1024 };

struct nx_arena_chunk {
    struct nx_arena_chunk *next;
    size_t used, size;
    max_align_t bytes[]; // this type for its alignment
};

static struct nx_arena_chunk *chunk_new(struct nx_arena *a, size_t size) {
    if (size < CHUNK_BYTES)
        size = CHUNK_BYTES;
    struct nx_arena_chunk *c = calloc(1, sizeof *c + size);
    if (!c)
        return NULL;
    c->size = size;
    c->next = a->head;
    a->head = c;
    return c;
}

void *nx_arena_alloc(struct nx_arena *a, size_t size) {
    const size_t align = _Alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + align - 1) / align * align;
    struct nx_arena_chunk *c = a->head;
    if (!c || c->size - c->used < size) {
        c = chunk_new(a, size);
        if (!c)
            return NULL;
    }
    void *p = (char *)c->bytes + c->used;
    c->used += size;
    return p;
}

void nx_arena_free(struct nx_arena *a) {
    while (a->head) {
        struct nx_arena_chunk *next = a->head->next;
        free(a->head);
        a->head = next;
    }
}
