// SPDX-License-Identifier: Apache-2.0
// The compile cache: bytecode by the hash of what it was compiled from.
// The key is SHA-256 over build id, kind, position and source, so equal handlers at equal places
// share one entry whatever panel they come from, and a new build never meets old bytecode. Bytecode
// is only ever loaded inside the sandbox; nothing here looks into it.
#ifndef NX_KERNEL_CACHE_H
#define NX_KERNEL_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"
#include "sandbox/client.h"

struct nx_cache;

// A question to the second tier, part of the asker's own memory. Zero it before first use.
struct nx_cache_load {
    // The answer; an empty span: there is none. The bytecode is valid during the call.
    void (*fn)(struct nx_cache_load *load, struct nx_span bytecode);
    void *of_tier; // the tier's; NULL when nothing is asked
};

// A second tier below the memory, e.g. a directory. It never has the last word: whatever it returns
// is untrusted until the sandbox has loaded it. No call blocks.
struct nx_cache_tier {
    void *user;
    // Looks for the bytecode of `id`; `load->fn` is called later, once, unless it is forgotten
    // before. False: the tier cannot say now, and fn is not called.
    bool (*load)(void *user, const uint8_t id[NX_CODE_ID_BYTES], struct nx_cache_load *load);
    void (*forget)(void *user, struct nx_cache_load *load); // harmless when nothing is asked
    // Keeps `code`, referencing it as long as need be; failing is the tier's own business.
    void (*save)(void *user, struct nx_code *code);
};

// What is to be compiled. The position of its first character in the author's file (1-based; 1, 1
// for text of its own) is built into the bytecode.
struct nx_cache_source {
    enum nx_compile_kind kind;
    struct nx_span text;
    uint32_t line, column;
};

// What a compilation gave, or the second tier instead; valid during the callback.
struct nx_compiled {
    bool cached;              // the tier had it: nothing was compiled
    enum nx_result_code code; // NX_RESULT_NONE: compiled
    struct nx_code *bytecode; // reference it to keep it; NULL for expressions and on errors
    struct nx_span message;   // on errors
    uint32_t line, column;    // of the error in the author's file, 1-based; 0 if unknown
    uint32_t compile_us;
};

// A caller waiting for a compilation, part of the caller's own memory. Zero it before first use.
struct nx_cache_wait {
    void (*fn)(void *user, const struct nx_compiled *compiled);
    void *user;
    struct nx_cache_wait_list *list; // where it is linked; NULL when not waiting
    TAILQ_ENTRY(nx_cache_wait) link;
};
TAILQ_HEAD(nx_cache_wait_list, nx_cache_wait);

// `tier` may be NULL; borrowed. `on_compiled` (may be NULL) hears of every compilation that ended,
// not of what the tier had.
// NX_E_NOMEM.
int nx_cache_new(struct nx_cache **out, struct nx_sandbox *sandbox, size_t max_bytes,
                 const struct nx_cache_tier *tier,
                 void (*on_compiled)(void *user, const struct nx_compiled *compiled), void *user,
                 struct nx_error *err);

// Drops everything. The sandbox must have been stopped: no compilation may report any more.
void nx_cache_free(struct nx_cache *cache);

// The key for a source. NX_E_NOMEM.
int nx_cache_id(const struct nx_cache_source *source, uint8_t id[NX_CODE_ID_BYTES]);

// Looks in memory, and counts a hit if it is there; *code is then a new reference (NULL for an
// expression, which is merely known to be valid).
bool nx_cache_lookup(struct nx_cache *cache, const uint8_t id[NX_CODE_ID_BYTES],
                     struct nx_code **code);

// Gets what lookup did not find from the second tier, else compiles it; counts a hit or a miss for
// everybody who asked. All who ask for the same id meanwhile share one answer. `source` is copied
// as needed. `wait->fn` is called later, once, unless nx_cache_forget comes first. Errors as of
// nx_sandbox_compile, and NX_E_NOMEM.
int nx_cache_compile(struct nx_cache *cache, const struct nx_cache_source *source,
                     const uint8_t id[NX_CODE_ID_BYTES], struct nx_cache_wait *wait,
                     struct nx_error *err);

// Stops waiting. Harmless when not waiting.
void nx_cache_forget(struct nx_cache_wait *wait);

struct nx_cache_stats {
    uint64_t hits, misses;
    size_t bytes, entries;
};
void nx_cache_get_stats(const struct nx_cache *cache, struct nx_cache_stats *out);

#endif
