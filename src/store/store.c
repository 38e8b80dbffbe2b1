// SPDX-License-Identifier: Apache-2.0
// The public face of storage: hands each call to the backend that made the store.
#include "store/store.h"

#include "store/backend.h"

void nx_store_free(struct nx_store *store) {
    if (store)
        store->ops->free(store);
}

int nx_store_open(struct nx_store *store, struct nx_span id, struct nx_store_panel **out,
                  struct nx_error *err) {
    return store->ops->open(store, id, out, err);
}

void nx_store_close(struct nx_store_panel *panel) {
    if (panel)
        panel->store->ops->close(panel);
}

void nx_store_remove(struct nx_store_panel *panel) {
    panel->store->ops->remove(panel);
}

int nx_store_commit(struct nx_store_panel *panel, const struct nx_mutation *mutations, size_t count,
                    size_t max_bytes, struct nx_error *err) {
    return panel->store->ops->commit(panel, mutations, count, max_bytes, err);
}

const struct nx_state_entry *nx_store_entries(const struct nx_store_panel *panel, size_t *count) {
    *count = panel->count;
    return panel->entries;
}

struct nx_span nx_store_get(const struct nx_store_panel *panel, struct nx_span key) {
    return panel->store->ops->get(panel, key);
}

uint64_t nx_store_version(const struct nx_store_panel *panel) {
    return panel->version;
}

size_t nx_store_bytes(const struct nx_store_panel *panel) {
    return panel->bytes;
}
