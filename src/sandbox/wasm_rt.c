// SPDX-License-Identifier: Apache-2.0
// The runtime interface of wasm2c (wasm2c/wasm-rt.h): memory, tables, function types, traps. Called
// by generated code.
#include <stdarg.h>
#include <stdlib.h>

#include "sandbox/engine_wasm2c.h"
#include "sandbox/trap.h"

bool wasm_rt_is_initialized(void) {
    return true;
}

void wasm_rt_trap(wasm_rt_trap_t code) {
    static const enum nx_trap traps[] = {
        [WASM_RT_TRAP_OOB] = NX_TRAP_MEMORY,
        [WASM_RT_TRAP_INT_OVERFLOW] = NX_TRAP_ARITHMETIC,
        [WASM_RT_TRAP_DIV_BY_ZERO] = NX_TRAP_ARITHMETIC,
        [WASM_RT_TRAP_INVALID_CONVERSION] = NX_TRAP_ARITHMETIC,
        [WASM_RT_TRAP_UNREACHABLE] = NX_TRAP_UNREACHABLE,
        [WASM_RT_TRAP_CALL_INDIRECT] = NX_TRAP_CALL,
        [WASM_RT_TRAP_EXHAUSTION] = NX_TRAP_STACK,
    };
    const size_t known = sizeof(traps) / sizeof(traps[0]);
    const enum nx_trap trap = (size_t)code < known ? traps[code] : NX_TRAP_NONE;
    nx_trap_raise(trap != NX_TRAP_NONE ? trap : NX_TRAP_UNREACHABLE);
}

// ---- memory: the running instance's

static void show_memory(wasm_rt_memory_t *memory) {
    memory->data = nx_running->memory.base;
    memory->pages = nx_running->wasm_pages;
    memory->max_pages = nx_running->max_wasm_pages;
    memory->size = nx_running->wasm_pages * (uint32_t)NX_WASM_PAGE_BYTES;
}

static uint32_t grow(wasm_rt_memory_t *memory, uint64_t delta) {
    const uint32_t before = memory->pages;
    if (delta > nx_running->max_wasm_pages - before) {
        nx_running->hit_memory_limit = true;
        return UINT32_MAX;
    }
    // The pages are mapped already, up to the limit: growing only moves the bound that memory.size
    // and the bulk operations go by.
    nx_running->wasm_pages = before + (uint32_t)delta;
    show_memory(memory);
    return before;
}

#ifdef NX_WABT_1_0_32
void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t initial_pages, uint32_t max_pages) {
    (void)max_pages; // the module's own maximum is far above any limit set
    nx_running->wasm_pages = initial_pages;
    show_memory(memory);
}

uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t delta_pages) {
    return grow(memory, delta_pages);
}
#else
void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint64_t initial_pages, uint64_t max_pages,
                             bool is64) {
    (void)max_pages;
    (void)is64; // the guest is wasm32
    nx_running->wasm_pages = (uint32_t)initial_pages;
    show_memory(memory);
}

uint64_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint64_t delta_pages) {
    const uint32_t before = grow(memory, delta_pages);
    return before == UINT32_MAX ? UINT64_MAX : before;
}
#endif

void wasm_rt_free_memory(wasm_rt_memory_t *memory) {
    *memory = (wasm_rt_memory_t){0}; // belongs to the instance
}

// ---- tables

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t elements,
                                    uint32_t max_elements) {
    table->data = calloc(elements, sizeof(*table->data));
    if (table->data == NULL && elements != 0) {
        abort(); // at start-up only: nothing could run without its table
    }
    table->size = elements;
    table->max_size = max_elements;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table) {
    free(table->data);
    *table = (wasm_rt_funcref_table_t){0};
}

#ifdef NX_WABT_1_0_32
// Function types are numbered by signature; the guest has about a hundred.
enum { MAX_FUNC_TYPES = 512, MAX_SIGNATURE = 32 };
static struct signature {
    uint32_t params, results;
    uint8_t types[MAX_SIGNATURE];
} signatures[MAX_FUNC_TYPES];
static uint32_t signature_count;

uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...) {
    struct signature wanted = {.params = params, .results = results};
    if (params + results > MAX_SIGNATURE) {
        abort(); // a guest this build does not know how to hold
    }
    va_list types;
    va_start(types, results);
    for (uint32_t i = 0; i < params + results; i++) {
        wanted.types[i] = (uint8_t)va_arg(types, int);
    }
    va_end(types);
    for (uint32_t i = 0; i < signature_count; i++) {
        if (memcmp(&signatures[i], &wanted, sizeof(wanted)) == 0) {
            return i + 1;
        }
    }
    if (signature_count == MAX_FUNC_TYPES) {
        abort();
    }
    signatures[signature_count] = wanted;
    return ++signature_count;
}
#endif
