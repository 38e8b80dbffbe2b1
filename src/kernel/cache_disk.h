// SPDX-License-Identifier: Apache-2.0
// The compile cache's second tier: a directory that outlives the process.
//
//   lookup misses in memory -> read (libuv's pool) -> entry verified -> bytecode
//   compiled                -> queued -> written (libuv's pool, one at a time)
//
// Files are read, hashed and written on libuv's threads; the loop never waits for the disk. Nothing
// that goes wrong with the disk is more than a miss: the code is compiled, the operator told once,
// and the disk left alone for NX_CACHE_RETRY_MS.
#ifndef NX_KERNEL_CACHE_DISK_H
#define NX_KERNEL_CACHE_DISK_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "kernel/cache.h"
#include "kernel/cache_entry.h"

struct nx_cache_disk;

// What the operator should hear of.
enum nx_cache_news {
    NX_CACHE_STOPPED, // the disk stopped working: full, read-only, not there
    NX_CACHE_WORKS,   // it works again
    NX_CACHE_REFUSED, // a file was there, and not one to trust
};

struct nx_cache_disk_config {
    const char *path; // copied
    size_t max_bytes; // of all files
    // Bounded: stopping and refusals are told once in NX_CACHE_RETRY_MS, each. `detail` is valid
    // during the call; it is "" for NX_CACHE_WORKS. May be NULL.
    void (*on_news)(void *user, enum nx_cache_news news, const char *detail);
    void *user;
};

// Opens the directory; the loop starts to sweep it, and with that libuv's threads: there is none
// before the loop runs, so that the process can be locked down as a whole. A disk that does not
// work just now is no error here: on_news hears of it, inside this call. On success *out is ended
// by nx_cache_disk_close. Errors: NX_E_INVALID (the directory is not one to trust, see
// nx_cache_dir_open), NX_E_NOMEM.
int nx_cache_disk_open(struct nx_cache_disk **out, uv_loop_t *loop,
                       const struct nx_cache_disk_config *config, struct nx_error *err);

// What entries are tagged with from now on, and must be tagged with to be read. Without a key at
// first.
void nx_cache_disk_set_seal(struct nx_cache_disk *disk, const struct nx_cache_seal *seal);

// For nx_cache_new. Valid until nx_cache_disk_close.
const struct nx_cache_tier *nx_cache_disk_tier(struct nx_cache_disk *disk);

enum nx_cache_read {
    NX_CACHE_READ_HIT,
    NX_CACHE_READ_MISS,
    NX_CACHE_READ_REFUSED,
    NX_CACHE_READ_FAILED,
    NX_CACHE_READS
};
enum nx_cache_write {
    NX_CACHE_WRITE_STORED,
    NX_CACHE_WRITE_SKIPPED,
    NX_CACHE_WRITE_FAILED,
    NX_CACHE_WRITES
};
// "hit", "miss", "refused" (the file is not to be trusted), "failed" (the disk, or it was too
// slow).
const char *nx_cache_read_name(enum nx_cache_read outcome);
// "stored", "skipped" (too much waits already, or the disk is left alone), "failed".
const char *nx_cache_write_name(enum nx_cache_write outcome);

struct nx_cache_disk_stats {
    uint64_t reads[NX_CACHE_READS], writes[NX_CACHE_WRITES];
    size_t bytes; // of all files, about: others may write there too
};
void nx_cache_disk_get_stats(const struct nx_cache_disk *disk, struct nx_cache_disk_stats *out);

// Writes what is waiting, for at most NX_CACHE_FLUSH_MS, and calls `on_closed` from the loop when
// `disk` is gone. The cache that uses the tier must be gone already.
void nx_cache_disk_close(struct nx_cache_disk *disk, void (*on_closed)(void *user), void *user);

#endif
