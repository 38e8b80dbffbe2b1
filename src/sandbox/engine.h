// SPDX-License-Identifier: Apache-2.0
// The only interface to a WebAssembly engine. The default implementation is engine_wasm2c.c.
//
// Glossary
//   image     linear memory after start-up: what every instance begins as
//   instance  a linear memory of its own in which the guest runs; at rest it holds exactly its
//   base:
//             the image, or the image plus a snapshot
//   snapshot  what a loaded handler changed relative to the image (a warm handler)
//   trap      the guest was stopped: nothing it holds can be used again but by a reset
//
// Invariants
//   1. One engine per process, used by one thread; one instance runs at a time.
//   2. After nx_instance_reset an instance's memory equals its base, byte for byte, whatever ran.
//   3. A fault that is not the guest's (its address outside the running instance's memory
//      and stack, or its program counter outside guest code, but for the end of the stack in what
//      that calls before a host call is at work) ends the process.
#ifndef NX_SANDBOX_ENGINE_H
#define NX_SANDBOX_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"
#include "guest/abi.h"
#include "sandbox/resets.h"

struct nx_instance;
struct nx_snapshot;

enum nx_trap {
    NX_TRAP_NONE,
    NX_TRAP_MEMORY,      // an access outside linear memory
    NX_TRAP_STACK,       // the native stack ran out
    NX_TRAP_UNREACHABLE, // the guest gave up (abort)
    NX_TRAP_ARITHMETIC,  // division by zero, bad conversion
    NX_TRAP_CALL,        // a bad indirect call
    NX_TRAP_DEADLINE,    // the hard deadline passed
    NX_TRAP_HOST,        // a host call refused to go on
};

// Text for people, static.
const char *nx_trap_name(enum nx_trap trap);

// The host calls, as functions of the embedder. Pointers and lengths are the guest's, unchecked:
// implementations use nx_engine_memory. `user` is what nx_engine_config names.
struct nx_engine_imports {
    int32_t (*state_get)(void *user, uint32_t key, uint32_t key_len, uint32_t buf, uint32_t cap);
    int32_t (*state_set)(void *user, uint32_t key, uint32_t key_len, uint32_t json, uint32_t len);
    int32_t (*state_delete)(void *user, uint32_t key, uint32_t key_len);
    int32_t (*state_has)(void *user, uint32_t key, uint32_t key_len);
    int32_t (*state_keys)(void *user, uint32_t buf, uint32_t cap);
    int32_t (*emit)(void *user, uint32_t name, uint32_t name_len, uint32_t json, uint32_t len);
    int32_t (*view)(void *user, uint32_t type, uint32_t type_len, uint32_t id, uint32_t id_len,
                    uint32_t json, uint32_t len);
    int32_t (*ext_call)(void *user, uint32_t name, uint32_t name_len, uint32_t method,
                        uint32_t method_len, uint32_t json, uint32_t len);
    int32_t (*log)(void *user, int32_t level, uint32_t text, uint32_t len);
    void (*result)(void *user, uint32_t data, uint32_t len);
    void (*error)(void *user, int32_t kind, uint32_t message, uint32_t message_len, uint32_t stack,
                  uint32_t stack_len, uint32_t detail, uint32_t detail_len, int32_t line,
                  int32_t column);
    double (*now_ms)(void *user); // what WASI clocks show
};

struct nx_engine_config {
    uint32_t memory_limit_bytes; // of an instance
    uint32_t stack_limit_bytes;  // of JavaScript
    const struct nx_engine_imports *imports;
    void *user;
};

// Builds both images (start-up runs once here, in the zygote). Forked children inherit them.
// Errors: NX_E_NOMEM, NX_E_IO, NX_E_INVALID (the guest would not start, or limits too small).
int nx_engine_create(const struct nx_engine_config *config, struct nx_error *err);

// Prepares the calling process to run guests: signal handlers, timer, its own view of its page
// tables. Once per worker, after fork and before any instance.
int nx_engine_attach(struct nx_error *err);

// ---- instances

// A new instance at rest, of the given image. NULL when memory or address space is short.
struct nx_instance *nx_instance_new(enum nx_guest_mode mode);
void nx_instance_free(struct nx_instance *instance);

// The guest's exports.
enum nx_export {
    NX_EXPORT_ALLOC,
    NX_EXPORT_LOAD,
    NX_EXPORT_RUN,
    NX_EXPORT_RESUME,
    NX_EXPORT_COMPILE
};

// Calls an export with up to five arguments (surplus ones are ignored). On NX_TRAP_NONE *result is
// what it returned. After any trap only nx_instance_reset may follow.
enum nx_trap nx_instance_call(struct nx_instance *instance, enum nx_export export,
                              const uint32_t args[5], uint32_t *result);

// The block shared with the guest; valid while the instance is at rest or a host call runs.
struct nx_guest_shared *nx_instance_shared(struct nx_instance *instance);

// `len` bytes of the instance's memory at `address`, or NULL if they are not all inside.
uint8_t *nx_instance_memory(struct nx_instance *instance, uint32_t address, uint32_t len);

// The same for the instance that runs now; for host calls.
uint8_t *nx_engine_memory(uint32_t address, uint32_t len);

// Bytes of linear memory in use.
uint32_t nx_instance_memory_bytes(const struct nx_instance *instance);

// Whether a memory.grow was refused since the instance's last reset.
bool nx_instance_hit_memory_limit(const struct nx_instance *instance);

// The memory limit in bytes that the engine was created with.
uint32_t nx_engine_memory_limit(void);

// Puts the instance back to its base. `trapped`: assume nothing, drop every page.
void nx_instance_reset(struct nx_instance *instance, bool trapped);

// The instance stays as it is while others run; its next reset must look at everything again.
void nx_instance_park(struct nx_instance *instance);

// What the instance holds now relative to the image, as a new base for this and other instances.
// NULL: no memory, or larger than NX_MAX_SNAPSHOT_BYTES.
struct nx_snapshot *nx_instance_snapshot(struct nx_instance *instance);
size_t nx_snapshot_bytes(const struct nx_snapshot *snapshot);
void nx_snapshot_free(struct nx_snapshot *snapshot); // no instance may be bound to it

// Makes `snapshot` (NULL: the plain image) the instance's base and resets it to that.
void nx_instance_bind(struct nx_instance *instance, const struct nx_snapshot *snapshot);

// ---- preemption

// When what happens to guest code that runs (monotonic clock).
struct nx_deadline {
    uint64_t slow_ns; // the function given to nx_engine_on_slow is called
    uint64_t
        soft_ns; // the guest is asked to stop at its next poll, so that it can say where it was
    uint64_t hard_ns; // it is stopped wherever it is, also inside a built-in
};

// Applies until nx_engine_clear_deadline. `deadline` is copied.
void nx_engine_set_deadline(struct nx_instance *instance, const struct nx_deadline *deadline);
void nx_engine_clear_deadline(void);

// `fn` is called from a signal handler, at most once between setting and clearing a deadline: only
// async-signal-safe functions. NULL: nothing is called.
void nx_engine_on_slow(void (*fn)(void));

// ---- figures

struct nx_engine_counters {
    uint64_t resets[NX_RESET_KINDS];
};
extern struct nx_engine_counters nx_engine_counters;

#endif
