// SPDX-License-Identifier: Apache-2.0
// Warm handlers and instances at rest; see warm.h.
#include "sandbox/warm.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "sandbox/wire.h"

struct nx_warm_code {
    uint32_t references;
    uint32_t len;
    struct nx_snapshot *snapshot; // NULL until an instance has loaded the bytecode
    char bytecode[];
};

// At rest, least recently used first.
struct idle {
    struct nx_instance *instance;
    struct nx_warm_code *code; // holds a reference; NULL: a spare one, that has run nothing yet
};

static struct nx_warm_code *slots[NX_WIRE_CODE_SLOTS];
static struct idle idle[NX_MAX_IDLE_INSTANCES];
static uint32_t idle_count;

void nx_warm_unref(struct nx_warm_code *code) {
    if (code != NULL && --code->references == 0) {
        nx_snapshot_free(code->snapshot);
        free(code);
    }
}

int nx_warm_unload(uint32_t slot) {
    if (slot >= NX_WIRE_CODE_SLOTS) {
        return NX_E_PROTOCOL;
    }
    nx_warm_unref(slots[slot]);
    slots[slot] = NULL;
    return 0;
}

int nx_warm_load(uint32_t slot, struct nx_span bytecode) {
    if (slot >= NX_WIRE_CODE_SLOTS || bytecode.len > NX_MAX_BYTECODE_BYTES) {
        return NX_E_PROTOCOL;
    }
    struct nx_warm_code *code = malloc(sizeof(*code) + bytecode.len);
    if (code == NULL) {
        return NX_E_NOMEM;
    }
    *code = (struct nx_warm_code){.references = 1, .len = (uint32_t)bytecode.len};
    memcpy(code->bytecode, bytecode.data, bytecode.len);
    nx_warm_unload(slot);
    slots[slot] = code;
    return 0;
}

struct nx_warm_code *nx_warm_code(uint32_t slot) {
    struct nx_warm_code *code = slot < NX_WIRE_CODE_SLOTS ? slots[slot] : NULL;
    if (code != NULL) {
        code->references++;
    }
    return code;
}

// ---- instances

// Takes entry `i` out of the list, giving up its reference to the code.
static struct nx_instance *take_idle(uint32_t i) {
    struct idle taken = idle[i];
    idle_count--;
    memmove(&idle[i], &idle[i + 1], (idle_count - i) * sizeof(idle[0]));
    // The instance may go on being bound to the code: whoever takes it holds a reference, or binds
    // it anew before anything reads the snapshot.
    nx_warm_unref(taken.code);
    return taken.instance;
}

// Loads the bytecode into an instance that holds the plain image, and takes the snapshot.
static bool load_into(struct nx_instance *instance, struct nx_warm_code *code, enum nx_trap *trap,
                      uint32_t *outcome) {
    uint32_t address = 0;
    *trap = nx_instance_call(instance, NX_EXPORT_ALLOC, (uint32_t[5]){code->len}, &address);
    uint8_t *at = *trap == NX_TRAP_NONE && address != 0
                      ? nx_instance_memory(instance, address, code->len + 1)
                      : NULL;
    if (at == NULL) {
        *outcome = NX_GUEST_ERROR;
        return false;
    }
    memcpy(at, code->bytecode, code->len);
    at[code->len] = 0;
    *trap = nx_instance_call(instance, NX_EXPORT_LOAD, (uint32_t[5]){address, code->len}, outcome);
    if (*trap != NX_TRAP_NONE || *outcome != NX_GUEST_DONE) {
        return false;
    }
    code->snapshot = nx_instance_snapshot(instance);
    if (code->snapshot == NULL) {
        *outcome = NX_GUEST_ERROR;
        return false;
    }
    nx_instance_bind(instance, code->snapshot);
    // Loading wrote to more pages than a call will; kept, each of them would be copied back by
    // every reset.
    nx_instance_reset(instance, true);
    return true;
}

int nx_warm_spare(uint32_t count) {
    while (idle_count < count && idle_count < NX_MAX_IDLE_INSTANCES) {
        struct nx_instance *spare = nx_instance_new(NX_GUEST_EXECUTE);
        if (spare == NULL) {
            return NX_E_NOMEM;
        }
        idle[idle_count++] = (struct idle){.instance = spare};
    }
    return 0;
}

// An instance that ran something else, or nothing: a spare one, a new one, or the oldest.
static struct nx_instance *take_other(void) {
    for (uint32_t i = 0; i < idle_count; i++) {
        if (idle[i].code == NULL) {
            return take_idle(i);
        }
    }
    struct nx_instance *instance =
        idle_count == NX_MAX_IDLE_INSTANCES ? NULL : nx_instance_new(NX_GUEST_EXECUTE);
    return instance == NULL && idle_count > 0 ? take_idle(0) : instance;
}

struct nx_instance *nx_warm_take(struct nx_warm_code *code, const struct nx_deadline *deadline,
                                 enum nx_trap *trap, uint32_t *outcome) {
    *trap = NX_TRAP_NONE;
    *outcome = NX_GUEST_DONE;
    for (uint32_t i = idle_count; i > 0; i--) { // most recently used first: its pages are in cache
        if (idle[i - 1].code == code) {
            struct nx_instance *warm = take_idle(i - 1);
            nx_engine_set_deadline(warm, deadline);
            return warm;
        }
    }
    struct nx_instance *instance = take_other();
    if (instance == NULL) {
        return NULL;
    }
    nx_instance_bind(instance, code->snapshot);
    nx_engine_set_deadline(instance, deadline);
    if (code->snapshot == NULL && !load_into(instance, code, trap, outcome)) {
        nx_engine_clear_deadline(); // it would be told to an instance that is no more
        nx_instance_free(instance);
        return NULL;
    }
    return instance;
}

void nx_warm_give_back(struct nx_instance *instance, struct nx_warm_code *code, bool trapped) {
    if (idle_count == NX_MAX_IDLE_INSTANCES) {
        nx_instance_free(take_idle(0));
    }
    nx_instance_reset(instance, trapped);
    code->references++;
    idle[idle_count++] = (struct idle){instance, code};
}
