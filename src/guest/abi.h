// SPDX-License-Identifier: Apache-2.0
// The interface between the guest (QuickJS and glue, compiled to wasm) and the worker. Included by
// both sides; depends on nothing but stdint.
//
// Pointers are offsets into linear memory. The host copies before it checks, and trusts nothing.
#ifndef NX_GUEST_ABI_H
#define NX_GUEST_ABI_H

#include <stdint.h>

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

#endif
