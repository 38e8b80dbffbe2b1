// SPDX-License-Identifier: Apache-2.0
// The in-memory store.
//
// A panel is a hash from key to node plus two parallel arrays in insertion order: `nodes` and the
// `entries` that readers see. A commit has two phases. The first finds or makes the node of every
// mutation, allocates whatever room the new values need, and adds up the sizes: it may fail, and
// then undoes itself. The second only copies and relinks: it cannot fail. Values that fit the room
// their key already has are overwritten in place, so a counter never allocates.
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/limits.h"
#include "base/siphash.h"
#include "store/backend.h"

// Handlers choose the keys: a keyed hash keeps them from choosing collisions.
static struct nx_siphash_key hash_key;
#define HASH_FUNCTION(data, len, out) ((out) = (unsigned)nx_siphash(&hash_key, (data), (len)))
// uthash ends the process when memory runs out unless told to report it.
#define HASH_NONFATAL_OOM             1
#define uthash_nonfatal_oom(element)  ((element)->unhashed = true)
#include <uthash.h>

// Room beyond this multiple of the value (and this many bytes) is given back.
enum { MEM_SLACK_FACTOR = 4, MEM_SLACK_BYTES = 4096 };

enum mem_pending { MEM_NOTHING, MEM_SET, MEM_DELETE };

struct mem_node {
    UT_hash_handle hh;
    bool unhashed;   // uthash could not insert it
    bool listed;     // has a place in nodes[] and entries[]
    size_t index;    // that place
    char *data;      // the committed value, owned
    size_t len, cap; // of data
    // Phase one leaves here what phase two does.
    enum mem_pending pending;
    struct nx_span pending_json;
    char *pending_data; // new room, or NULL when the value fits in `data`
    size_t key_len;
    char key[];
};

struct mem_panel {
    struct nx_store_panel base; // entries and count mirror the fields below
    struct mem_node *by_key;
    struct mem_node **nodes;
    struct nx_state_entry *entries;
    size_t capacity;           // of nodes and entries
    struct mem_node **touched; // scratch of a commit
    size_t touched_capacity;
};

static struct mem_node *find_node(const struct mem_panel *panel, struct nx_span key) {
    struct mem_node *node = NULL;
    HASH_FIND(hh, panel->by_key, key.len ? key.data : "", key.len, node);
    return node;
}

static struct mem_node *add_node(struct mem_panel *panel, struct nx_span key) {
    struct mem_node *node = calloc(1, sizeof *node + key.len + 1);
    if (!node)
        return NULL;
    if (key.len)
        memcpy(node->key, key.data, key.len);
    node->key_len = key.len;
    HASH_ADD_KEYPTR(hh, panel->by_key, node->key, node->key_len, node);
    if (node->unhashed) {
        free(node);
        return NULL;
    }
    return node;
}

static void free_node(struct mem_panel *panel, struct mem_node *node) {
    HASH_DEL(panel->by_key, node); // NOLINT(clang-analyzer-unix.Malloc)
    free(node->pending_data);
    free(node->data);
    free(node);
}

static int grow(void **array, size_t *capacity, size_t need, size_t item_bytes) {
    if (need <= *capacity)
        return 0;
    size_t bigger = *capacity ? *capacity : 8;
    while (bigger < need)
        bigger *= 2;
    void *moved = realloc(*array, bigger * item_bytes);
    if (!moved)
        return NX_E_NOMEM;
    *array = moved;
    *capacity = bigger;
    return 0;
}

// Whether the committed room takes a value of `len` bytes without waste.
static bool fits(const struct mem_node *node, size_t len) {
    return len <= node->cap && node->cap <= len * MEM_SLACK_FACTOR + MEM_SLACK_BYTES;
}

static int prepare_one(struct mem_panel *panel, const struct nx_mutation *m, size_t *touched) {
    struct mem_node *node = find_node(panel, m->key);
    if (!node) {
        if (m->is_delete)
            return 0;
        node = add_node(panel, m->key);
        if (!node)
            return NX_E_NOMEM;
    }
    if (node->pending == MEM_NOTHING)
        panel->touched[(*touched)++] = node;
    free(node->pending_data); // the same key again: the last mutation wins
    node->pending_data = NULL;
    node->pending = m->is_delete ? MEM_DELETE : MEM_SET;
    node->pending_json = m->is_delete ? (struct nx_span){NULL, 0} : m->json;
    if (!m->is_delete && !fits(node, m->json.len)) {
        node->pending_data = malloc(m->json.len + 1);
        if (!node->pending_data)
            return NX_E_NOMEM;
    }
    return 0;
}

static void undo(struct mem_panel *panel, size_t touched) {
    for (size_t i = 0; i < touched; i++) {
        struct mem_node *node = panel->touched[i];
        if (!node->listed) {
            free_node(panel, node);
            continue;
        }
        free(node->pending_data);
        node->pending_data = NULL;
        node->pending = MEM_NOTHING;
    }
}

// What the state would measure after the commit.
static void measure(const struct mem_panel *panel, size_t touched, size_t *bytes, size_t *count) {
    *bytes = panel->base.bytes;
    *count = panel->base.count;
    for (size_t i = 0; i < touched; i++) {
        const struct mem_node *node = panel->touched[i];
        if (node->listed) {
            *bytes -= node->key_len + node->len;
            *count -= 1;
        }
        if (node->pending == MEM_SET) {
            *bytes += node->key_len + node->pending_json.len;
            *count += 1;
        }
    }
}

static int prepare(struct mem_panel *panel, const struct nx_mutation *mutations, size_t count,
                   size_t max_bytes, size_t *touched, struct nx_error *err) {
    if (grow((void **)&panel->touched, &panel->touched_capacity, count, sizeof *panel->touched))
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        if (prepare_one(panel, &mutations[i], touched))
            return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    size_t bytes, keys;
    measure(panel, *touched, &bytes, &keys);
    if (bytes > max_bytes)
        return nx_error_set(err, NX_E_LIMIT, "state of %zu bytes is over the limit of %zu", bytes,
                            max_bytes);
    if (keys > NX_MAX_STATE_KEYS)
        return nx_error_set(err, NX_E_LIMIT, "state of %zu keys is over the limit of %d", keys,
                            NX_MAX_STATE_KEYS);
    size_t need = panel->base.count + *touched;
    size_t nodes_capacity = panel->capacity;
    if (grow((void **)&panel->nodes, &nodes_capacity, need, sizeof(struct mem_node *)) ||
        grow((void **)&panel->entries, &panel->capacity, need, sizeof *panel->entries))
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    return 0;
}

static void apply_set(struct mem_panel *panel, struct mem_node *node) {
    if (node->pending_data) {
        free(node->data);
        node->data = node->pending_data;
        node->cap = node->pending_json.len;
        node->pending_data = NULL;
    }
    if (node->pending_json.len)
        memcpy(node->data, node->pending_json.data, node->pending_json.len);
    node->len = node->pending_json.len;
    if (!node->listed) {
        node->listed = true;
        node->index = panel->base.count++;
        panel->nodes[node->index] = node;
    }
    panel->entries[node->index] =
        (struct nx_state_entry){{node->key, node->key_len}, {node->data, node->len}};
    node->pending = MEM_NOTHING;
}

// Closes the holes that deleted nodes left.
static void compact(struct mem_panel *panel) {
    size_t kept = 0;
    for (size_t i = 0; i < panel->base.count; i++) {
        if (!panel->nodes[i])
            continue;
        panel->nodes[kept] = panel->nodes[i];
        panel->entries[kept] = panel->entries[i];
        panel->nodes[kept]->index = kept;
        kept++;
    }
    panel->base.count = kept;
}

static int mem_commit(struct nx_store_panel *base, const struct nx_mutation *mutations,
                      size_t count, size_t max_bytes, struct nx_error *err) {
    struct mem_panel *panel = (struct mem_panel *)base;
    size_t touched = 0;
    int rc = prepare(panel, mutations, count, max_bytes, &touched, err);
    if (rc) {
        undo(panel, touched);
        base->entries = panel->entries; // the arrays may have moved
        return rc;
    }
    size_t keys;
    measure(panel, touched, &base->bytes, &keys);
    bool holes = false;
    for (size_t i = 0; i < touched; i++) {
        struct mem_node *node = panel->touched[i];
        if (node->pending == MEM_SET) {
            apply_set(panel, node);
            continue;
        }
        if (node->listed) {
            panel->nodes[node->index] = NULL;
            holes = true;
        }
        free_node(panel, node);
    }
    if (holes)
        compact(panel);
    base->entries = panel->entries;
    base->version++;
    return 0;
}

static int mem_open(struct nx_store *store, struct nx_span id, struct nx_store_panel **out,
                    struct nx_error *err) {
    (void)id; // nothing outlives the handle, so there is nothing to look up
    struct mem_panel *panel = calloc(1, sizeof *panel);
    if (!panel)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    panel->base.store = store;
    *out = &panel->base;
    return 0;
}

static void mem_close(struct nx_store_panel *base) {
    struct mem_panel *panel = (struct mem_panel *)base;
    struct mem_node *node, *next;
    HASH_ITER(hh, panel->by_key, node, next) {
        free_node(panel, node);
    }
    free(panel->nodes);
    free(panel->entries);
    free(panel->touched);
    free(panel);
}

static struct nx_span mem_get(const struct nx_store_panel *base, struct nx_span key) {
    const struct mem_node *node = find_node((const struct mem_panel *)base, key);
    return node ? (struct nx_span){node->data, node->len} : (struct nx_span){NULL, 0};
}

static void mem_free(struct nx_store *store) {
    free(store);
}

static const struct nx_store_ops mem_ops = {
    .open = mem_open,
    .close = mem_close,
    .remove = mem_close,
    .commit = mem_commit,
    .get = mem_get,
    .free = mem_free,
};

int nx_store_mem_new(struct nx_store **out, struct nx_error *err) {
    // One key for the process: a second store must not change the hashes of the first.
    if (hash_key.k0 == 0 && getrandom(&hash_key, sizeof hash_key, 0) != sizeof hash_key)
        return nx_error_errno(err, "getrandom");
    struct nx_store *store = malloc(sizeof *store);
    if (!store)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    store->ops = &mem_ops;
    *out = store;
    return 0;
}
