// SPDX-License-Identifier: Apache-2.0
// The interface between the guest (QuickJS and glue, compiled to wasm) and the worker. Included by
// both sides; depends on nothing but stdint.
//
// Pointers are offsets into linear memory. The host copies before it checks, and trusts nothing
// that the guest says: the guest is assumed to be owned by the handler it runs.
#ifndef NX_GUEST_ABI_H
#define NX_GUEST_ABI_H

#include <stdint.h>

// Raised whenever a change here makes old bytecode or old workers unusable.
#define NX_GUEST_ABI_VERSION 1

// Host calls as they are counted and reported in results and metrics.
#define NX_HOST_CALLS(X)                                                                           \
    X(STATE_GET, "state_get")                                                                      \
    X(STATE_SET, "state_set")                                                                      \
    X(STATE_DELETE, "state_delete")                                                                \
    X(STATE_HAS, "state_has")                                                                      \
    X(STATE_KEYS, "state_keys")                                                                    \
    X(EMIT, "emit")                                                                                \
    X(VIEW, "view")                                                                                \
    X(EXT_CALL, "ext_call")                                                                        \
    X(LOG, "log")

enum nx_host_call {
#define NX_HOST_CALL_ENUM(name, text) NX_HOST_CALL_##name,
    NX_HOST_CALLS(NX_HOST_CALL_ENUM)
#undef NX_HOST_CALL_ENUM
        NX_HOST_CALL_COUNT
};

// What a host call returns when it does not return a length or an id.
enum nx_host_status {
    NX_HOST_OK = 0,
    NX_HOST_DENIED = -1,  // a capability is missing: the guest throws PermissionDenied
    NX_HOST_ABSENT = -2,  // no such key
    NX_HOST_FATAL = -3,   // a limit was reached: the execution is over whatever the guest does now
    NX_HOST_INVALID = -4, // the argument cannot be used (e.g. a key that is too long)
};

// Set in the length that state_get returns when the handler may not write the key.
#define NX_STATE_READ_ONLY  (1 << 30)

// What state_set returns (instead of 0) when the handler may write the key but not read it.
#define NX_STATE_WRITE_ONLY 1

// What run, resume, load and compile return.
enum nx_guest_outcome {
    NX_GUEST_DONE = 0,
    NX_GUEST_SUSPENDED = 1,
    NX_GUEST_ERROR = 2,
};

// Which of the two images is being built.
enum nx_guest_mode {
    NX_GUEST_EXECUTE = 0, // no eval, no function constructors
    NX_GUEST_COMPILE = 1,
};

// How the guest classifies an error; the host decides the final code.
enum nx_guest_error {
    NX_GUEST_ERROR_THROWN = 0,      // a JavaScript value was thrown and not caught
    NX_GUEST_ERROR_DENIED = 1,      // a PermissionDenied was not caught
    NX_GUEST_ERROR_MEMORY = 2,      // out of memory
    NX_GUEST_ERROR_STACK = 3,       // stack overflow
    NX_GUEST_ERROR_NEVER = 4,       // pending with nothing outstanding
    NX_GUEST_ERROR_SYNTAX = 5,      // does not compile
    NX_GUEST_ERROR_ESCAPE = 6,      // the body closes its own function
    NX_GUEST_ERROR_CALL = 7,        // an extension call's error; `code` says which
    NX_GUEST_ERROR_INTERRUPTED = 8, // stopped by the interrupt flag
};

// One block in linear memory that both sides use instead of further calls. Its address is what
// nx_init returns. The host writes now_ms, seed and interrupt; the guest writes the rest.
enum { NX_GUEST_INBOX_BYTES = 4096 };
struct nx_guest_shared {
    double now_ms;            // what Date sees, frozen within a segment
    uint64_t seed;            // of Math.random, fresh for each execution
    uint32_t interrupt;       // non-zero: stop at the next poll
    uint32_t heap_bytes;      // allocated by QuickJS now …
    uint32_t heap_peak_bytes; // … and at most so far
    uint32_t inbox_address;   // NX_GUEST_INBOX_BYTES for small inputs
};

#endif
