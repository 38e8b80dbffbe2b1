// SPDX-License-Identifier: Apache-2.0
// What a storage backend provides. Only for files of this folder.
#ifndef NX_STORE_BACKEND_H
#define NX_STORE_BACKEND_H

#include "store/store.h"

// A backend embeds this as the first member of its panel and keeps it current, so that the hot
// readers need no indirect call.
struct nx_store_panel {
    struct nx_store *store;
    const struct nx_state_entry *entries;
    size_t count;
    uint64_t version;
    size_t bytes;
};

// Semantics as in store.h.
struct nx_store_ops {
    int (*open)(struct nx_store *store, struct nx_span id, struct nx_store_panel **out,
                struct nx_error *err);
    void (*close)(struct nx_store_panel *panel);
    void (*remove)(struct nx_store_panel *panel);
    int (*commit)(struct nx_store_panel *panel, const struct nx_mutation *mutations, size_t count,
                  size_t max_bytes, struct nx_error *err);
    struct nx_span (*get)(const struct nx_store_panel *panel, struct nx_span key);
    void (*free)(struct nx_store *store);
};

// First member of every backend's store.
struct nx_store {
    const struct nx_store_ops *ops;
};

#endif
