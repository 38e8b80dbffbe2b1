// SPDX-License-Identifier: Apache-2.0
// What the C code that wasm2c generates needs from its embedder: the interface of wabt's wasm-rt.h,
// declared anew for our own implementation (../wasm_rt.c). Only the parts that this guest uses, for
// wabt 1.0.32 (Debian 12) and 1.0.36 (Debian 13).
//
// Differences from wabt's sample runtime:
//  - memory has a fixed reservation with guard pages; an access outside faults, and the handler
//    checks the fault's address and the interrupted PC before it takes the fault for a trap
//    (../trap.c);
//  - on x86-64 the generated loads and stores address memory relative to %gs, which saves a
//    register and a reload of the base after every store;
//  - no call depth counting: the native stack has a guard page and the same checks.
#ifndef WASM_RT_H_
#define WASM_RT_H_

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define UNLIKELY(x)                     __builtin_expect(!!(x), 0)
#define LIKELY(x)                       __builtin_expect(!!(x), 1)
#define wasm_rt_memcpy                  __builtin_memcpy
#define wasm_rt_unreachable             __builtin_unreachable
#define WASM_RT_MEMCHECK_SIGNAL_HANDLER 1
#define WASM_RT_MEMCHECK_GUARD_PAGES    1
#define WASM_RT_MEMCHECK_BOUNDS_CHECK   0
#define WASM_RT_USE_STACK_DEPTH_COUNT   0
#define WASM_RT_STACK_DEPTH_COUNT       0
#define WASM_RT_NO_RETURN               __attribute__((noreturn))

typedef enum {
    WASM_RT_TRAP_NONE,
    WASM_RT_TRAP_OOB,
    WASM_RT_TRAP_INT_OVERFLOW,
    WASM_RT_TRAP_DIV_BY_ZERO,
    WASM_RT_TRAP_INVALID_CONVERSION,
    WASM_RT_TRAP_UNREACHABLE,
    WASM_RT_TRAP_CALL_INDIRECT,
    WASM_RT_TRAP_UNCAUGHT_EXCEPTION,
    WASM_RT_TRAP_UNALIGNED,
    WASM_RT_TRAP_EXHAUSTION,
} wasm_rt_trap_t;

typedef enum {
    WASM_RT_I32,
    WASM_RT_I64,
    WASM_RT_F32,
    WASM_RT_F64,
    WASM_RT_V128,
    WASM_RT_FUNCREF,
    WASM_RT_EXTERNREF,
} wasm_rt_type_t;

typedef void (*wasm_rt_function_ptr_t)(void);
typedef void *wasm_rt_externref_t;
static const wasm_rt_externref_t wasm_rt_externref_null_value = NULL;

typedef struct {
    uint8_t *data;
    uint32_t pages, max_pages;
    uint32_t size;
} wasm_rt_memory_t;

#ifdef NX_WABT_1_0_32
typedef uint32_t wasm_rt_func_type_t; // an index that wasm_rt_register_func_type returns
#else
typedef const char *wasm_rt_func_type_t; // 32 bytes that name the type
typedef struct wasm_rt_tailcallee_t {
    void (*fn)(void **instance_ptr, void *tail_call_stack, struct wasm_rt_tailcallee_t *next);
} wasm_rt_tailcallee_t;
#endif

typedef struct {
    wasm_rt_func_type_t func_type;
    wasm_rt_function_ptr_t func;
#ifndef NX_WABT_1_0_32
    wasm_rt_tailcallee_t func_tailcallee;
#endif
    void *module_instance;
} wasm_rt_funcref_t;
static const wasm_rt_funcref_t wasm_rt_funcref_null_value;

typedef struct {
    wasm_rt_funcref_t *data;
    uint32_t max_size, size;
} wasm_rt_funcref_table_t;

typedef struct {
    wasm_rt_externref_t *data;
    uint32_t max_size, size;
} wasm_rt_externref_table_t;

bool wasm_rt_is_initialized(void);
WASM_RT_NO_RETURN void wasm_rt_trap(wasm_rt_trap_t);
#ifdef NX_WABT_1_0_32
uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...);
void wasm_rt_allocate_memory(wasm_rt_memory_t *, uint32_t initial_pages, uint32_t max_pages);
uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *, uint32_t delta_pages);
#else
void wasm_rt_allocate_memory(wasm_rt_memory_t *, uint64_t initial_pages, uint64_t max_pages,
                             bool is64);
uint64_t wasm_rt_grow_memory(wasm_rt_memory_t *, uint64_t delta_pages);
#endif
void wasm_rt_free_memory(wasm_rt_memory_t *);
void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *, uint32_t elements,
                                    uint32_t max_elements);
void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *);

// ---- loads and stores
// src/guest/build/adapt.cmake turns the generated DEFINE_LOAD(…)/DEFINE_STORE(…) lines into these.
// The empty asm keeps a load whose result is unused: it must still trap.
#if defined(__x86_64__)
#define NX_GUEST_BASE_IN_GS  1
#define NX_MEM(t, mem, addr) (*(__seg_gs nx_unaligned_##t *)(uintptr_t)(addr))
#else
#define NX_GUEST_BASE_IN_GS  0
#define NX_MEM(t, mem, addr) (*(nx_unaligned_##t *)&(mem)->data[addr])
#endif
#define NX_UNALIGNED(t, ctype)                                                                     \
    typedef ctype __attribute__((aligned(1), may_alias)) nx_unaligned_##t;
NX_UNALIGNED(u8, uint8_t)
NX_UNALIGNED(s8, int8_t)
NX_UNALIGNED(u16, uint16_t)
NX_UNALIGNED(s16, int16_t)
NX_UNALIGNED(u32, uint32_t)
NX_UNALIGNED(s32, int32_t)
NX_UNALIGNED(u64, uint64_t)
NX_UNALIGNED(f32, float)
NX_UNALIGNED(f64, double)

#define NX_DEFINE_LOAD(name, t1, t2, t3, ...)                                                      \
    static inline t3 name(wasm_rt_memory_t *mem, u64 addr) {                                       \
        (void)mem;                                                                                 \
        t1 result = NX_MEM(t1, mem, addr);                                                         \
        __asm__("" ::"r"(result));                                                                 \
        return (t3)(t2)result;                                                                     \
    }
#define NX_DEFINE_LOAD_FLOAT(name, t1, t2, t3, ...)                                                \
    static inline t3 name(wasm_rt_memory_t *mem, u64 addr) {                                       \
        (void)mem;                                                                                 \
        t1 result = NX_MEM(t1, mem, addr);                                                         \
        __asm__("" ::"x"(result));                                                                 \
        return (t3)(t2)result;                                                                     \
    }
#define NX_DEFINE_STORE(name, t1, t2)                                                              \
    static inline void name(wasm_rt_memory_t *mem, u64 addr, t2 value) {                           \
        (void)mem;                                                                                 \
        NX_MEM(t1, mem, addr) = (t1)value;                                                         \
    }

#endif
