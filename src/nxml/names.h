// SPDX-License-Identifier: Apache-2.0
// A set of names for the checks: filled, then sealed, then asked. Sorted rather than hashed, so
// that no choice of names makes it slow.
#ifndef NX_NXML_NAMES_H
#define NX_NXML_NAMES_H

#include "nxml/panel_def.h"

struct nx_name {
    struct nx_span name; // borrowed
    struct nx_pos pos;
    size_t index; // the caller's
};

// Zero-initialised = empty.
struct nx_names {
    struct nx_name *items; // owned
    size_t count, capacity;
};

// Returns 0 or NX_E_NOMEM.
int nx_names_add(struct nx_names *set, struct nx_span name, struct nx_pos pos, size_t index);

// Sorts by name, equal names by their place and then their index. Asking before that finds nothing.
void nx_names_seal(struct nx_names *set);

// The first of that name, or NULL.
const struct nx_name *nx_names_find(const struct nx_names *set, struct nx_span name);

// In a sealed set: the i-th item if an item before it has the same name, else NULL.
const struct nx_name *nx_names_repeated(const struct nx_names *set, size_t i);

void nx_names_free(struct nx_names *set);

#endif
