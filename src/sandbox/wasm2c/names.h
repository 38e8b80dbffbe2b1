// SPDX-License-Identifier: Apache-2.0
// wasm2c's names, which differ between wabt 1.0.32 and later releases.
#ifndef NX_SANDBOX_WASM2C_NAMES_H
#define NX_SANDBOX_WASM2C_NAMES_H

#include "guest_info.h"

#ifdef NX_WABT_1_0_32
#define NX_GUEST_INSTANCE Z_guest_instance_t
#define NX_GUEST_FN(name) Z_guest_##name
#define NX_EXPORT(name)   Z_guestZ_##name
#define NX_INITIALIZE     Z_guestZ__initialize
#define NX_IMPORT(name)   Z_nxZ_##name
#define NX_WASI(name)     Z_wasi_snapshot_preview1Z_##name
#define NX_IMPORT_ENV     struct Z_nx_instance_t
#define NX_WASI_ENV       struct Z_wasi_snapshot_preview1_instance_t
#else
#define NX_GUEST_INSTANCE w2c_guest
#define NX_GUEST_FN(name) wasm2c_guest_##name
#define NX_EXPORT(name)   w2c_guest_##name
#define NX_INITIALIZE     w2c_guest_0x5Finitialize
#define NX_IMPORT(name)   w2c_nx_##name
#define NX_WASI(name)     w2c_wasi__snapshot__preview1_##name
#define NX_IMPORT_ENV     struct w2c_nx
#define NX_WASI_ENV       struct w2c_wasi__snapshot__preview1
#endif

#endif
