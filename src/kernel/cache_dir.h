// SPDX-License-Identifier: Apache-2.0
// The directory of the disk cache: one file for each code id, the least recently used go first.
//
// Everything in it is hostile until shown otherwise: names are opened relative to the directory,
// never followed when they are links, never waited for when they are FIFOs, and read only if they
// are regular files of this user that nobody else may write. Several processes may share one.
//
// These calls block. Reading may go on in several threads at once; writing and sweeping take one
// thread at a time.
#ifndef NX_KERNEL_CACHE_DIR_H
#define NX_KERNEL_CACHE_DIR_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"
#include "sandbox/client.h"

struct nx_cache_dir {
    int fd;           // -1: not open
    size_t max_bytes; // of all files, in whole blocks
    size_t bytes;     // as the last sweep found it, and what was written since
    size_t written;   // since the last sweep
};

// Opens the directory at `path`, which is made (for this user alone) if only its last part is
// missing. `max_bytes` is lowered to 7/8 of the file system's size.
// Errors: NX_E_INVALID (not a directory, a link, not this user's own, or others may write to it:
// whatever is in there may be anybody's), NX_E_IO (it cannot be had).
int nx_cache_dir_open(struct nx_cache_dir *dir, const char *path, size_t max_bytes,
                      struct nx_error *err);
void nx_cache_dir_close(struct nx_cache_dir *dir);

// Reads the file of `id` into `out` (initialised by the caller, whose maximum is the file's), and
// marks it as used just now. Errors: NX_E_NOTFOUND; NX_E_INVALID (it is not a file to trust, or too
// large); NX_E_IO; NX_E_NOMEM.
int nx_cache_dir_read(const struct nx_cache_dir *dir, const uint8_t id[NX_CODE_ID_BYTES],
                      struct nx_buf *out, struct nx_error *err);

// Puts `file` in place of whatever has the name of `id`, at once and as a whole, after making room.
// Errors: NX_E_LIMIT (larger than the whole cache may be), NX_E_IO. Nothing is left behind then.
int nx_cache_dir_write(struct nx_cache_dir *dir, const uint8_t id[NX_CODE_ID_BYTES],
                       struct nx_span file, struct nx_error *err);

// Removes unfinished files left behind, and the least recently used ones while all together take
// more than `most_bytes`. Leaves alone what is not the cache's. NX_E_IO, NX_E_NOMEM.
int nx_cache_dir_sweep(struct nx_cache_dir *dir, size_t most_bytes, struct nx_error *err);

#endif
