// SPDX-License-Identifier: Apache-2.0
// What a file of the disk cache holds: bytecode, what it is the bytecode of, and a tag over both.
//
//   offset  bytes
//        0      8  "NXCODE\r\n": no text file, and nothing that went through one
//        8      4  version of this layout: 1
//       12      4  kind of tag: 0 SHA-256, 1 HMAC-SHA-256
//       16      4  length of the bytecode
//       20      4  zero
//       24     32  SHA-256 of the build id
//       56     32  code id (see nx_cache_id)
//       88      n  bytecode
//     88+n     32  tag over all that stands before it
//
// Numbers are little-endian. With a key, a file is what somebody who had the key wrote for exactly
// this code. Without one the tag shows damage only: whoever may write the file may write the tag.
#ifndef NX_KERNEL_CACHE_ENTRY_H
#define NX_KERNEL_CACHE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"
#include "sandbox/client.h"

enum {
    NX_CACHE_KEY_BYTES = 32,
    NX_CACHE_HEAD_BYTES = 88,
    NX_CACHE_TAG_BYTES = 32,
    NX_CACHE_ENTRY_OVERHEAD_BYTES = NX_CACHE_HEAD_BYTES + NX_CACHE_TAG_BYTES,
};

// What entries are tagged with. An entry of the one kind is never taken for one of the other.
struct nx_cache_seal {
    bool keyed; // HMAC-SHA-256 under `key`; else SHA-256
    uint8_t key[NX_CACHE_KEY_BYTES];
};

// Appends the file of `bytecode` to `out`. NX_E_LIMIT (over NX_MAX_BYTECODE_BYTES, or `out` is too
// small), NX_E_INVALID (no bytecode), NX_E_NOMEM.
int nx_cache_entry_seal(const struct nx_cache_seal *seal, const uint8_t id[NX_CODE_ID_BYTES],
                        struct nx_span bytecode, struct nx_buf *out);

// Checks a file that is said to hold the bytecode of `id`; *bytecode then points into it. Every
// byte of it counts. NX_E_INVALID, the message saying what is wrong; NX_E_NOMEM.
int nx_cache_entry_open(const struct nx_cache_seal *seal, const uint8_t id[NX_CODE_ID_BYTES],
                        struct nx_span file, struct nx_span *bytecode, struct nx_error *err);

#endif
