// SPDX-License-Identifier: Apache-2.0
// A state given as the text of a JSON object, taken apart into what the store commits.
#include "kernel/state_text.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/limits.h"

struct walk {
    struct nx_state_text *state;
    struct nx_buf keys;
    struct nx_error *err;
};

static int add_member(void *user, struct nx_span raw_key, struct nx_span value) {
    struct walk *walk = user;
    struct nx_state_text *state = walk->state;
    if (state->count == state->capacity) {
        size_t capacity = state->capacity ? state->capacity * 2 : 16;
        struct nx_mutation *bigger = realloc(state->mutations, capacity * sizeof *state->mutations);
        if (!bigger)
            return nx_error_set(walk->err, NX_E_NOMEM, "out of memory");
        state->mutations = bigger;
        state->capacity = capacity;
    }
    size_t start = walk->keys.len;
    if (nx_json_unescape(&walk->keys, raw_key))
        return nx_error_set(walk->err, NX_E_NOMEM, "out of memory");
    size_t len = walk->keys.len - start;
    if (len > NX_MAX_KEY_BYTES)
        return nx_error_set(walk->err, NX_E_INVALID, "state key over %d bytes", NX_MAX_KEY_BYTES);
    state->mutations[state->count++] =
        (struct nx_mutation){false, {walk->keys.data + start, len}, value};
    return 0;
}

int nx_state_text_add(struct nx_state_text *state, struct nx_span text, struct nx_error *err) {
    enum nx_json_kind kind;
    int rc = nx_json_scan(text, &kind, err);
    if (rc)
        return nx_error_wrap(err, "state");
    if (kind != NX_JSON_OBJECT)
        return nx_error_set(err, NX_E_INVALID, "state: not a JSON object");
    if (state->objects == NX_STATE_TEXT_OBJECTS)
        return nx_error_set(err, NX_E_LIMIT, "state: too many objects");
    struct walk walk = {.state = state, .err = err};
    // Unescaping never lengthens: with all the room reserved now, the keys never move.
    nx_buf_init(&walk.keys, text.len + 1);
    if (!nx_buf_reserve(&walk.keys, text.len + 1))
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    rc = nx_json_each_member(text, add_member, &walk);
    state->keys[state->objects++] = walk.keys.data;
    return rc;
}

void nx_state_text_free(struct nx_state_text *state) {
    for (size_t i = 0; i < state->objects; i++)
        free(state->keys[i]);
    free(state->mutations);
    *state = (struct nx_state_text){0};
}
