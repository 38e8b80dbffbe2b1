// SPDX-License-Identifier: Apache-2.0
// Guest side: QuickJS's allocator over libc's malloc, counting what is in use and the peak.
#include <malloc.h>
#include <stdlib.h>

#include "glue.h"

bool nx_heap_refused;

static void count(JSMallocState *s, size_t now) {
    s->malloc_size = now;
    nx_shared.heap_bytes = (uint32_t)now;
    if (nx_shared.heap_bytes > nx_shared.heap_peak_bytes) {
        nx_shared.heap_peak_bytes = nx_shared.heap_bytes;
    }
}

void *nx_heap_extra(size_t size) {
    void *p = malloc(size);
    nx_heap_refused = nx_heap_refused || p == NULL;
    return p;
}

static void *heap_malloc(JSMallocState *s, size_t size) {
    void *p = malloc(size);
    if (p != NULL) {
        s->malloc_count++;
        count(s, s->malloc_size + malloc_usable_size(p));
    } else {
        nx_heap_refused = true;
    }
    return p;
}

static void heap_free(JSMallocState *s, void *p) {
    if (p != NULL) {
        s->malloc_count--;
        count(s, s->malloc_size - malloc_usable_size(p));
        free(p);
    }
}

static void *heap_realloc(JSMallocState *s, void *p, size_t size) {
    if (p == NULL) {
        return size != 0 ? heap_malloc(s, size) : NULL;
    }
    if (size == 0) {
        heap_free(s, p);
        return NULL;
    }
    size_t old_size = malloc_usable_size(p);
    void *q = realloc(p, size);
    if (q != NULL) {
        count(s, s->malloc_size - old_size + malloc_usable_size(q));
    } else {
        nx_heap_refused = true;
    }
    return q;
}

static size_t heap_usable_size(const void *p) {
    return malloc_usable_size((void *)p);
}

const JSMallocFunctions nx_heap_functions = {heap_malloc, heap_free, heap_realloc,
                                             heap_usable_size};
