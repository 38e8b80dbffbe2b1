// SPDX-License-Identifier: Apache-2.0
// A session's queue. A ring, because a busy panel puts hundreds of messages into many of them at
// once, and the other panels wait meanwhile.
#include <stdlib.h>

#include "kernel/ws_session.h"

// Room for so many is kept when nothing waits.
enum { LEAST_ITEMS = 8 };

struct nx_ws_item *nx_ws_items_at(const struct nx_ws_items *items, uint32_t index) {
    return &items->ring[(items->first + index) & (items->cap - 1)];
}

static bool grow(struct nx_ws_items *items) {
    uint32_t cap = items->cap ? 2 * items->cap : LEAST_ITEMS;
    struct nx_ws_item *ring = calloc(cap, sizeof *ring);
    if (!ring)
        return false;
    for (uint32_t i = 0; i < items->count; i++)
        ring[i] = *nx_ws_items_at(items, i);
    free(items->ring);
    *items = (struct nx_ws_items){ring, cap, 0, items->count};
    return true;
}

bool nx_ws_items_add(struct nx_ws_items *items, struct nx_ws_item item, bool first) {
    if (items->count == items->cap && !grow(items))
        return false;
    if (first)
        items->first = (items->first - 1) & (items->cap - 1);
    items->count++;
    *nx_ws_items_at(items, first ? 0 : items->count - 1) = item;
    return true;
}

struct nx_ws_item nx_ws_items_take(struct nx_ws_items *items) {
    struct nx_ws_item item = *nx_ws_items_at(items, 0);
    items->first = (items->first + 1) & (items->cap - 1);
    items->count--;
    if (items->count == 0 && items->cap > LEAST_ITEMS)
        nx_ws_items_free(items);
    return item;
}

void nx_ws_items_free(struct nx_ws_items *items) {
    free(items->ring);
    *items = (struct nx_ws_items){0};
}
