// SPDX-License-Identifier: Apache-2.0
// State storage: per panel an ordered map from key to JSON bytes that are never parsed here,
// changed only by atomic commits. Nothing outside this folder knows which backend holds it.
//
// Invariants
//   1. A commit applies all of its mutations or none, and then raises the version by one.
//   2. Entries keep the order in which their keys first appeared; setting an existing key keeps its
//      place.
//   3. The entries array is contiguous, without holes, and valid until the next commit or close.
#ifndef NX_STORE_STORE_H
#define NX_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"
#include "base/state.h"

struct nx_store;
struct nx_store_panel;

// A store in the memory of this process: gone with it. NX_E_NOMEM.
int nx_store_mem_new(struct nx_store **out, struct nx_error *err);

// Frees the store. Every panel must have been closed or removed.
void nx_store_free(struct nx_store *store);

// Opens a panel's state: empty at version 0 if the store does not know `id` yet, else as last
// committed. `id` is copied. Errors: NX_E_BUSY (already open), NX_E_IO, NX_E_NOMEM.
int nx_store_open(struct nx_store *store, struct nx_span id, struct nx_store_panel **out,
                  struct nx_error *err);

// Releases the handle; a durable store keeps the data. NULL is fine.
void nx_store_close(struct nx_store_panel *panel);

// Deletes the panel's state for good and releases the handle.
void nx_store_remove(struct nx_store_panel *panel);

// Applies `mutations` in order, all or none, as long as keys and values together stay within
// `max_bytes` and the keys within NX_MAX_STATE_KEYS. The values must have passed nx_json_scan and
// may not point into this panel's own entries. Deleting an absent key does nothing. The version
// rises even if `count` is 0: callers commit only what is worth a version.
// Errors (nothing was changed): NX_E_LIMIT, NX_E_NOMEM, NX_E_IO.
int nx_store_commit(struct nx_store_panel *panel, const struct nx_mutation *mutations, size_t count,
                    size_t max_bytes, struct nx_error *err);

// All entries, for reading only. See invariant 3.
const struct nx_state_entry *nx_store_entries(const struct nx_store_panel *panel, size_t *count);

// The value of `key`, or an empty span. Valid as long as the entries are.
struct nx_span nx_store_get(const struct nx_store_panel *panel, struct nx_span key);

// How many commits the panel has seen.
uint64_t nx_store_version(const struct nx_store_panel *panel);

// Bytes of all keys and values.
size_t nx_store_bytes(const struct nx_store_panel *panel);

#endif
