// SPDX-License-Identifier: Apache-2.0
// What the two halves of the wasm2c engine share: engine_wasm2c.c (instances) and wasm_rt.c (the
// runtime interface that generated code calls).
#ifndef NX_SANDBOX_ENGINE_WASM2C_H
#define NX_SANDBOX_ENGINE_WASM2C_H

#include "sandbox/engine.h"
#include "sandbox/linmem.h"
#include "sandbox/wasm2c/names.h" // before guest.h: says which wabt made it

#include "guest.h"

struct nx_instance {
    struct nx_linmem memory;
    const struct nx_image *image;
    const struct nx_snapshot *snapshot;
    uint32_t wasm_pages;
    uint32_t max_wasm_pages;
    uint32_t stack_pointer;
    bool hit_memory_limit;
};

struct nx_snapshot {
    struct nx_delta delta;
};

// The instance whose guest code runs or is being called; NULL otherwise.
extern struct nx_instance *nx_running;

#endif
