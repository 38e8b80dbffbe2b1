// SPDX-License-Identifier: Apache-2.0
// Sorted sets of names; see names.h.
#include "nxml/names.h"

#include <stdlib.h>

int nx_names_add(struct nx_names *set, struct nx_span name, struct nx_pos pos, size_t index) {
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 16;
        struct nx_name *items = realloc(set->items, capacity * sizeof *items);
        if (!items)
            return NX_E_NOMEM;
        set->items = items;
        set->capacity = capacity;
    }
    set->items[set->count++] = (struct nx_name){name, pos, index};
    return 0;
}

static int compare_spans(struct nx_span a, struct nx_span b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_items(const void *left, const void *right) {
    const struct nx_name *a = left, *b = right;
    int order = compare_spans(a->name, b->name);
    if (order)
        return order;
    if (a->pos.line != b->pos.line)
        return a->pos.line > b->pos.line ? 1 : -1;
    if (a->pos.column != b->pos.column)
        return a->pos.column > b->pos.column ? 1 : -1;
    return (a->index > b->index) - (a->index < b->index);
}

void nx_names_seal(struct nx_names *set) {
    if (set->count)
        qsort(set->items, set->count, sizeof *set->items, compare_items);
}

const struct nx_name *nx_names_find(const struct nx_names *set, struct nx_span name) {
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_spans(set->items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < set->count && nx_span_eq(set->items[low].name, name);
    return found ? &set->items[low] : NULL;
}

const struct nx_name *nx_names_repeated(const struct nx_names *set, size_t i) {
    bool same = i > 0 && nx_span_eq(set->items[i - 1].name, set->items[i].name);
    return same ? &set->items[i] : NULL;
}

void nx_names_free(struct nx_names *set) {
    free(set->items);
    *set = (struct nx_names){0};
}
