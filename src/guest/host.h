// SPDX-License-Identifier: Apache-2.0
// Guest side: the functions the worker provides (wasm imports of module "nx").
#ifndef NX_GUEST_HOST_H
#define NX_GUEST_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "abi.h"

#define NX_IMPORT(name) __attribute__((import_module("nx"), import_name(name)))

// Copies the key's JSON into buf if it fits in cap. Returns its length, with NX_STATE_READ_ONLY set
// where writing is not granted, or a nx_host_status.
NX_IMPORT("state_get")
int32_t nx_host_state_get(const char *key, size_t key_len, char *buf, size_t cap);
NX_IMPORT("state_set")
int32_t nx_host_state_set(const char *key, size_t key_len, const char *json, size_t json_len);
NX_IMPORT("state_delete") int32_t nx_host_state_delete(const char *key, size_t key_len);
// 1, 0 or a nx_host_status.
NX_IMPORT("state_has") int32_t nx_host_state_has(const char *key, size_t key_len);
// Fills buf with {u32 length, bytes}… of every readable key if it fits; returns the bytes needed.
NX_IMPORT("state_keys") int32_t nx_host_state_keys(char *buf, size_t cap);
NX_IMPORT("emit")
int32_t nx_host_emit(const char *name, size_t name_len, const char *json, size_t json_len);
NX_IMPORT("view")
int32_t nx_host_view(const char *type, size_t type_len, const char *id, size_t id_len,
                     const char *json, size_t json_len);
// The call's id (> 0) or a nx_host_status.
NX_IMPORT("ext_call")
int32_t nx_host_ext_call(const char *name, size_t name_len, const char *method, size_t method_len,
                         const char *json, size_t json_len);
// level: 0 debug … 3 error.
NX_IMPORT("log") int32_t nx_host_log(int32_t level, const char *text, size_t len);

// Outcome reports; each at most once per segment. `result` carries the return value's JSON (empty:
// undefined) or, in a compile instance, the bytecode.
NX_IMPORT("result") void nx_host_result(const char *data, size_t len);
NX_IMPORT("error")
void nx_host_error(int32_t kind, const char *message, size_t message_len, const char *stack,
                   size_t stack_len, const char *detail, size_t detail_len, int32_t line,
                   int32_t column);

#endif
