// SPDX-License-Identifier: Apache-2.0
// The bases of chains; see chain.h.
#include "sandbox/chain.h"

#include <stdlib.h>
#include <string.h>

struct base {
    uint32_t chain; // 0: free
    uint64_t used;  // when, in segments: the base longest unused makes room
    uint32_t count, capacity;
    struct nx_state_entry *entries; // spans point into `text`
    struct nx_buf text;
};

static struct base bases[NX_CHAIN_BASES];
static struct base spare; // where the next base is built, since the old one is read meanwhile
static uint64_t clock_segments;

static struct base *find(uint32_t chain) {
    for (size_t i = 0; i < NX_CHAIN_BASES && chain != 0; i++) {
        if (bases[i].chain == chain) {
            return &bases[i];
        }
    }
    return NULL;
}

const struct nx_state_entry *nx_chain_base(uint32_t chain, uint32_t *count) {
    static const struct nx_state_entry none;
    const struct base *base = find(chain);
    *count = base != NULL ? base->count : 0;
    if (base == NULL) {
        return NULL;
    }
    return base->count != 0 ? base->entries : &none; // an empty state is one
}

void nx_chain_drop(uint32_t chain) {
    struct base *base = find(chain);
    if (base != NULL) {
        base->chain = 0;
    }
}

// Adds one entry to `spare`; its text was reserved, so the buffer does not move. False: too many.
static bool add(struct nx_span key, struct nx_span json) {
    if (spare.count == spare.capacity) {
        const uint32_t capacity = spare.capacity == 0 ? 16 : 2 * spare.capacity;
        void *grown = realloc(spare.entries, capacity * sizeof(*spare.entries));
        if (grown == NULL) {
            return false;
        }
        spare.entries = grown;
        spare.capacity = capacity;
    }
    char *at = spare.text.data + spare.text.len;
    memcpy(at, key.data, key.len);
    if (json.len != 0) {
        memcpy(at + key.len, json.data, json.len);
    }
    spare.text.len += key.len + json.len;
    spare.entries[spare.count++] = (struct nx_state_entry){{at, key.len}, {at + key.len, json.len}};
    return true;
}

static struct nx_span text_of(uint32_t at, uint32_t len) {
    return nx_span_of(nx_work.text.data + at, len);
}

// The segment's state into `spare`, in the order in which the store keeps it: a key that is set
// keeps its place, a new one comes last. No deadline holds here, so no key is searched for.
static bool build(void) {
    static uint16_t changed[NX_MAX_CHAIN_STATE_BYTES + 1]; // by nx_change.state_at: which + 1
    _Static_assert(NX_MAX_SEGMENT_CHANGES < UINT16_MAX, "their numbers fit");
    memset(changed, 0, (nx_work.state_count + 1) * sizeof(changed[0]));
    for (uint32_t i = 0; i < nx_work.change_count; i++) {
        changed[nx_work.changes[i].state_at] = (uint16_t)(i + 1);
    }
    for (uint32_t i = 0; i < nx_work.state_count; i++) {
        const struct nx_state_entry *entry = &nx_work.state[i];
        const uint16_t number = changed[i + 1];
        const struct nx_change *c = number != 0 ? &nx_work.changes[number - 1] : NULL;
        const struct nx_span json = c != NULL ? text_of(c->json_at, c->json_len) : entry->json;
        if ((c == NULL || !c->is_delete) && !add(entry->key, json)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < nx_work.change_count; i++) {
        const struct nx_change *c = &nx_work.changes[i];
        const struct nx_span key = text_of(c->key_at, c->key_len);
        // What the handler may write but not read is not part of what it sees.
        if (!c->is_delete && c->state_at == 0 &&
            nx_caps_allow(&nx_work.exec->grants, NX_CAP_STATE_READ, key) &&
            !add(key, text_of(c->json_at, c->json_len))) {
            return false;
        }
    }
    return true;
}

static struct base *oldest(void) {
    struct base *base = &bases[0];
    for (size_t i = 1; i < NX_CHAIN_BASES; i++) {
        if (bases[i].chain == 0 || (base->chain != 0 && bases[i].used < base->used)) {
            base = &bases[i];
        }
    }
    return base;
}

void nx_chain_keep(uint32_t chain) {
    struct base *base = find(chain);
    size_t bytes = nx_work.text.len;
    for (uint32_t i = 0; i < nx_work.state_count; i++) {
        bytes += nx_work.state[i].key.len + nx_work.state[i].json.len;
    }
    spare.count = 0;
    spare.text.max_bytes = 2 * NX_MAX_CHAIN_STATE_BYTES;
    nx_buf_reset(&spare.text);
    // Each entry has a key, so there are no more of them than bytes.
    if (bytes > NX_MAX_CHAIN_STATE_BYTES || nx_buf_reserve(&spare.text, bytes + 1) == NULL ||
        !build()) {
        nx_chain_drop(chain);
        return;
    }
    if (base == NULL) {
        base = oldest();
    }
    const struct base built = spare;
    spare = *base; // its memory is used for the next one
    *base = built;
    base->chain = chain;
    base->used = ++clock_segments;
}
