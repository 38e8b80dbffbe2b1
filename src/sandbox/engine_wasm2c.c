// SPDX-License-Identifier: Apache-2.0
// The default engine: the guest as C code made by wasm2c.
//
// There is one set of generated globals and one table (`guest`), and many linear memories. Before a
// call the running instance's memory and stack pointer are put in place; after it they are taken
// back. So a new instance costs a mapping, not an instantiation.
#include "sandbox/engine_wasm2c.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <asm/prctl.h>
#endif

#include "base/limits.h"
#include "sandbox/engine_imports.h"
#include "sandbox/trap.h"

struct nx_instance *nx_running;

static NX_GUEST_INSTANCE guest;
static struct nx_engine_config settings;
static struct nx_image images[2]; // by enum nx_guest_mode

const char *nx_trap_name(enum nx_trap trap) {
    static const char *const names[] = {
        [NX_TRAP_NONE] = "none",
        [NX_TRAP_MEMORY] = "access outside memory",
        [NX_TRAP_STACK] = "stack exhausted",
        [NX_TRAP_UNREACHABLE] = "the guest aborted",
        [NX_TRAP_ARITHMETIC] = "arithmetic trap",
        [NX_TRAP_CALL] = "bad indirect call",
        [NX_TRAP_DEADLINE] = "deadline",
        [NX_TRAP_HOST] = "stopped by the host",
    };
    return (size_t)trap < sizeof(names) / sizeof(names[0]) ? names[trap] : "unknown";
}

// ---- entering and leaving

// Generated loads and stores are relative to %gs on x86-64, which user code otherwise leaves alone.
static void set_guest_base(uint8_t *base) {
#if defined(__x86_64__)
    static uint8_t *current;
    if (current != base) {
        syscall(SYS_arch_prctl, ARCH_SET_GS, base);
        current = base;
    }
#else
    (void)base;
#endif
}

static void enter(struct nx_instance *instance) {
    nx_running = instance;
    guest.w2c_memory.data = instance->memory.base;
    guest.w2c_memory.pages = instance->wasm_pages;
    guest.w2c_memory.max_pages = instance->max_wasm_pages;
    guest.w2c_memory.size = instance->wasm_pages * (uint32_t)NX_WASM_PAGE_BYTES;
    guest.w2c_g0 = instance->stack_pointer;
    set_guest_base(instance->memory.base);
    nx_trap_state.memory = instance->memory.base;
    nx_trap_state.memory_reserved = (size_t)8 << 30;
    nx_trap_state.unwinding = 0;
}

static void leave(struct nx_instance *instance) {
    nx_trap_state.in_guest = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    instance->stack_pointer = guest.w2c_g0;
    nx_running = NULL;
}

static uint32_t dispatch(enum nx_export export, const uint32_t a[5]) {
    switch (export) {
    case NX_EXPORT_ALLOC:
        return NX_EXPORT(nx_alloc)(&guest, a[0]);
    case NX_EXPORT_LOAD:
        return NX_EXPORT(nx_load)(&guest, a[0], a[1]);
    case NX_EXPORT_RUN:
        return NX_EXPORT(nx_run)(&guest, a[0], a[1], a[2]);
    case NX_EXPORT_RESUME:
        return NX_EXPORT(nx_resume)(&guest, a[0], a[1], a[2], a[3]);
    case NX_EXPORT_COMPILE:
        return NX_EXPORT(nx_compile)(&guest, a[0], a[1], a[2], a[3], a[4]);
    default:
        return NX_GUEST_ERROR;
    }
}

enum nx_trap nx_instance_call(struct nx_instance *instance, enum nx_export export,
                              const uint32_t args[5], uint32_t *result) {
    enter(instance);
    // The signal mask is not saved: handlers run with nothing blocked (trap.c).
    const int trap = sigsetjmp(nx_trap_state.unwind, 0);
    if (trap == 0) {
        nx_trap_leave_host();
        *result = dispatch(export, args);
    }
    leave(instance);
    return (enum nx_trap)trap;
}

// ---- images

struct start_up {
    struct nx_instance instance;
    enum nx_guest_mode mode;
    struct nx_span prelude; // bytecode for NX_GUEST_EXECUTE
    uint32_t shared_address;
};

static bool boot(struct start_up *s) {
    const uint32_t len = (uint32_t)s->prelude.len;
    const uint32_t address = NX_EXPORT(nx_alloc)(&guest, len);
    uint8_t *at = address != 0 ? nx_engine_memory(address, len + 1) : NULL;
    if (at == NULL) {
        return false;
    }
    memcpy(at, s->prelude.data, len);
    at[len] = 0;
    return NX_EXPORT(nx_boot)(&guest, address, len) == NX_GUEST_DONE;
}

// Runs the guest's start-up in s->instance, whose memory is still empty.
static bool start(struct start_up *s) {
    nx_running = &s->instance;
    set_guest_base(s->instance.memory.base);
    nx_trap_state.in_guest = 0;
    if (sigsetjmp(nx_trap_state.unwind, 0) != 0) {
        return false;
    }
    NX_GUEST_FN(free)(&guest); // the table of the image made before, if any
    NX_GUEST_FN(instantiate)(&guest, NULL, NULL);
    NX_INITIALIZE(&guest);
    s->shared_address = NX_EXPORT(nx_init)(&guest, s->mode, settings.stack_limit_bytes);
    const bool started =
        s->shared_address != 0 &&
        nx_engine_memory(s->shared_address, sizeof(struct nx_guest_shared)) != NULL;
    return started && (s->mode == NX_GUEST_COMPILE || boot(s));
}

static int make_image(enum nx_guest_mode mode, struct nx_span prelude, struct nx_error *err) {
    static struct start_up s; // survives the jump of a trap
    s = (struct start_up){.mode = mode, .prelude = prelude};
    s.instance.max_wasm_pages = settings.memory_limit_bytes / NX_WASM_PAGE_BYTES;
    int status = nx_linmem_create(&s.instance.memory, NULL, settings.memory_limit_bytes, err);
    if (status != 0) {
        return status;
    }
    if (!start(&s)) {
        status =
            nx_error_set(err, NX_E_INVALID, "the guest does not start (memory limit too low?)");
    } else {
        // What lies below the stack pointer is dead; zeros keep it out of the image.
        memset(s.instance.memory.base, 0, guest.w2c_g0);
        status = nx_image_create(&images[mode], &s.instance.memory, s.instance.wasm_pages, err);
        images[mode].stack_pointer = guest.w2c_g0;
        images[mode].shared_address = s.shared_address;
    }
    nx_running = NULL;
    nx_linmem_destroy(&s.instance.memory);
    return status;
}

// The prelude's bytecode, made by a throw-away instance of the COMPILE image.
static int compile_prelude(struct nx_buf *out, struct nx_error *err) {
    struct nx_instance *instance = nx_instance_new(NX_GUEST_COMPILE);
    if (instance == NULL) {
        return nx_error_set(err, NX_E_NOMEM, "no memory for the compile instance");
    }
    enter(instance);
    nx_imports_capture(out);
    uint32_t outcome = NX_GUEST_ERROR;
    if (sigsetjmp(nx_trap_state.unwind, 0) == 0) {
        outcome = NX_EXPORT(nx_compile_prelude)(&guest);
    }
    nx_imports_capture(NULL);
    leave(instance);
    nx_instance_free(instance);
    return outcome == NX_GUEST_DONE && out->failed == 0 && out->len > 0
               ? 0
               : nx_error_set(err, NX_E_INVALID, "the prelude does not compile");
}

int nx_engine_create(const struct nx_engine_config *config, struct nx_error *err) {
    settings = *config;
    nx_imports_set(settings.imports, settings.user);
#ifdef NX_WABT_1_0_32
    NX_GUEST_FN(init_module)();
#endif
    struct nx_buf prelude;
    nx_buf_init(&prelude, NX_MAX_BYTECODE_BYTES);
    int status = make_image(NX_GUEST_COMPILE, (struct nx_span){0}, err);
    if (status == 0) {
        status = compile_prelude(&prelude, err);
    }
    if (status == 0) {
        status = make_image(NX_GUEST_EXECUTE, nx_buf_span(&prelude), err);
    }
    nx_buf_free(&prelude);
    return status;
}

int nx_engine_attach(struct nx_error *err) {
    nx_linmem_open_scanner(NX_SCAN_AUTO);
    return nx_trap_attach(err);
}

// ---- instances

static void rest(struct nx_instance *instance) {
    instance->wasm_pages = instance->snapshot != NULL ? instance->snapshot->delta.wasm_pages
                                                      : instance->image->wasm_pages;
    instance->stack_pointer = instance->image->stack_pointer;
    instance->hit_memory_limit = false;
}

struct nx_instance *nx_instance_new(enum nx_guest_mode mode) {
    struct nx_instance *instance = calloc(1, sizeof(*instance));
    if (instance == NULL) {
        return NULL;
    }
    instance->image = &images[mode];
    instance->max_wasm_pages = settings.memory_limit_bytes / NX_WASM_PAGE_BYTES;
    if (nx_linmem_create(&instance->memory, instance->image, settings.memory_limit_bytes, NULL) !=
        0) {
        free(instance);
        return NULL;
    }
    rest(instance);
    return instance;
}

void nx_instance_free(struct nx_instance *instance) {
    if (instance != NULL) {
        nx_linmem_destroy(&instance->memory);
        free(instance);
    }
}

uint8_t *nx_instance_memory(struct nx_instance *instance, uint32_t address, uint32_t len) {
    const uint64_t bytes = (uint64_t)instance->wasm_pages * NX_WASM_PAGE_BYTES;
    return (uint64_t)address + len <= bytes ? instance->memory.base + address : NULL;
}

uint8_t *nx_engine_memory(uint32_t address, uint32_t len) {
    return nx_instance_memory(nx_running, address, len);
}

struct nx_guest_shared *nx_instance_shared(struct nx_instance *instance) {
    // Checked when the image was made; memory never shrinks below the image.
    return (struct nx_guest_shared *)(void *)(instance->memory.base +
                                              instance->image->shared_address);
}

uint32_t nx_instance_memory_bytes(const struct nx_instance *instance) {
    return instance->wasm_pages * (uint32_t)NX_WASM_PAGE_BYTES;
}

uint32_t nx_engine_memory_limit(void) {
    return settings.memory_limit_bytes;
}

bool nx_instance_hit_memory_limit(const struct nx_instance *instance) {
    return instance->hit_memory_limit;
}

void nx_instance_reset(struct nx_instance *instance, bool trapped) {
    if (trapped) {
        nx_linmem_drop(&instance->memory);
    } else {
        nx_linmem_reset(&instance->memory);
    }
    rest(instance);
}

void nx_instance_park(struct nx_instance *instance) {
    instance->memory.unknown = true;
}

struct nx_snapshot *nx_instance_snapshot(struct nx_instance *instance) {
    struct nx_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL ||
        nx_linmem_capture(&instance->memory, instance->wasm_pages, &snapshot->delta) != 0) {
        free(snapshot);
        return NULL;
    }
    return snapshot;
}

size_t nx_snapshot_bytes(const struct nx_snapshot *snapshot) {
    return snapshot->delta.bytes;
}

void nx_snapshot_free(struct nx_snapshot *snapshot) {
    if (snapshot != NULL) {
        nx_delta_free(&snapshot->delta);
        free(snapshot);
    }
}

void nx_instance_bind(struct nx_instance *instance, const struct nx_snapshot *snapshot) {
    instance->snapshot = snapshot;
    nx_linmem_bind(&instance->memory, snapshot != NULL ? &snapshot->delta : NULL);
    rest(instance);
}
