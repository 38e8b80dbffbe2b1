// SPDX-License-Identifier: Apache-2.0
// A state given as the text of a JSON object, taken apart into what the store commits.
#ifndef NX_KERNEL_STATE_TEXT_H
#define NX_KERNEL_STATE_TEXT_H

#include <stddef.h>

#include "base/error.h"
#include "base/span.h"
#include "base/state.h"

// How many objects can be laid over each other: the panel's own and the caller's.
enum { NX_STATE_TEXT_OBJECTS = 2 };

// Zero-initialised = empty. Values point into the texts given, which must outlive it.
struct nx_state_text {
    struct nx_mutation *mutations; // owned; sets, in order
    size_t count, capacity;
    char *keys[NX_STATE_TEXT_OBJECTS]; // owned: the unescaped keys
    size_t objects;
};

// Adds the members of the object `text`, which is checked first. Errors: NX_E_INVALID (not JSON,
// not an object, a key over NX_MAX_KEY_BYTES), NX_E_LIMIT (depth, or one object too many),
// NX_E_NOMEM.
int nx_state_text_add(struct nx_state_text *state, struct nx_span text, struct nx_error *err);

void nx_state_text_free(struct nx_state_text *state);

#endif
