// SPDX-License-Identifier: Apache-2.0
// The compile cache: a hash of entries with a least-recently-used list, and a hash of answers under
// way ("flights") with those who wait for each. A flight asks the second tier first, if there is
// one, and then has the source compiled.
#include "kernel/cache.h"

#include <openssl/evp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

// SHA-256 is already as good a hash as any; uthash ends the process on failed allocations unless
// told to report them.
#define HASH_FUNCTION(data, len, out) memcpy(&(out), (data), sizeof(unsigned))
#define HASH_NONFATAL_OOM             1
#define uthash_nonfatal_oom(element)  ((element)->unhashed = true)
#include <uthash.h>

#include "base/limits.h"

// What an entry costs besides its bytecode: the entry, the code object, allocator overhead.
enum { ENTRY_OVERHEAD_BYTES = 256 };

struct entry {
    UT_hash_handle hh;
    bool unhashed;
    TAILQ_ENTRY(entry) recent;
    uint8_t id[NX_CODE_ID_BYTES];
    struct nx_code *code; // NULL: a valid expression
};

TAILQ_HEAD(entry_list, entry);

struct flight {
    UT_hash_handle hh;
    bool unhashed;
    struct nx_cache *cache;
    uint8_t id[NX_CODE_ID_BYTES];
    struct nx_cache_source source; // its text is in `text`, or gone once the sandbox has it
    struct nx_cache_wait_list waits;
    uint32_t asked; // how often it was waited for
    struct nx_cache_load load;
    TAILQ_ENTRY(flight) stalled; // the tier did not have it, and too many compilations wait
    char text[];                 // of the source, while the tier is asked
};
TAILQ_HEAD(flight_list, flight);

struct nx_cache {
    struct nx_sandbox *sandbox;
    size_t max_bytes, bytes;
    const struct nx_cache_tier *tier;
    void (*on_compiled)(void *user, const struct nx_compiled *compiled);
    void *user;
    struct entry *by_id;
    struct entry_list recent; // most recently used first
    struct flight *flights;
    struct flight_list stalled;
    uint32_t compiling; // flights that the sandbox has
    uint64_t hits, misses;
};

int nx_cache_new(struct nx_cache **out, struct nx_sandbox *sandbox, size_t max_bytes,
                 const struct nx_cache_tier *tier,
                 void (*on_compiled)(void *user, const struct nx_compiled *compiled), void *user,
                 struct nx_error *err) {
    struct nx_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    cache->sandbox = sandbox;
    cache->max_bytes = max_bytes;
    cache->tier = tier;
    cache->on_compiled = on_compiled;
    cache->user = user;
    TAILQ_INIT(&cache->recent);
    TAILQ_INIT(&cache->stalled);
    *out = cache;
    return 0;
}

// The analyzer does not follow uthash: hence the remarks at its macros.
static size_t entry_bytes(const struct entry *entry) {
    return ENTRY_OVERHEAD_BYTES + (entry->code ? nx_code_size_bytes(entry->code) : 0);
}

static void drop_entry(struct nx_cache *cache, struct entry *entry) {
    cache->bytes -= entry_bytes(entry);
    TAILQ_REMOVE(&cache->recent, entry, recent);
    HASH_DEL(cache->by_id, entry); // NOLINT(clang-analyzer-core.NullDereference)
    nx_code_unref(entry->code);
    free(entry);
}

void nx_cache_free(struct nx_cache *cache) {
    if (!cache)
        return;
    while (!TAILQ_EMPTY(&cache->recent))
        drop_entry(cache, TAILQ_FIRST(&cache->recent));
    struct flight *flight, *next;
    HASH_ITER(hh, cache->flights, flight, next) {
        if (cache->tier)
            cache->tier->forget(cache->tier->user, &flight->load);
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc,clang-analyzer-core.NullDereference)
        HASH_DEL(cache->flights, flight);
        free(flight);
    }
    free(cache);
}

int nx_cache_id(const struct nx_cache_source *source, uint8_t id[NX_CODE_ID_BYTES]) {
    const char *build = nx_sandbox_build_id();
    const uint32_t head[] = {(uint32_t)source->kind, source->line, source->column};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    // The build id's NUL is hashed too, and what follows has a fixed length: no two different
    // inputs run together into the same bytes.
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
              EVP_DigestUpdate(ctx, build, strlen(build) + 1) &&
              EVP_DigestUpdate(ctx, head, sizeof head) &&
              EVP_DigestUpdate(ctx, source->text.len ? source->text.data : "", source->text.len) &&
              EVP_DigestFinal_ex(ctx, id, NULL);
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : NX_E_NOMEM;
}

static struct entry *find_entry(struct nx_cache *cache, const uint8_t *id) {
    struct entry *entry = NULL;
    HASH_FIND(hh, cache->by_id, id, NX_CODE_ID_BYTES, entry);
    return entry;
}

// Keeps `code` if it fits; running out of memory only means that it is not kept.
static void keep(struct nx_cache *cache, const uint8_t *id, struct nx_code *code) {
    struct entry *entry = find_entry(cache, id) ? NULL : calloc(1, sizeof *entry);
    if (!entry)
        return;
    memcpy(entry->id, id, NX_CODE_ID_BYTES);
    entry->code = code;
    size_t bytes = entry_bytes(entry);
    if (bytes > cache->max_bytes) {
        free(entry);
        return;
    }
    while (cache->bytes + bytes > cache->max_bytes)
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
        drop_entry(cache, TAILQ_LAST(&cache->recent, entry_list));
    HASH_ADD(hh, cache->by_id, id, NX_CODE_ID_BYTES, entry);
    if (entry->unhashed) {
        free(entry);
        return;
    }
    if (code)
        nx_code_ref(code);
    TAILQ_INSERT_HEAD(&cache->recent, entry, recent);
    cache->bytes += bytes;
}

bool nx_cache_lookup(struct nx_cache *cache, const uint8_t id[NX_CODE_ID_BYTES],
                     struct nx_code **code) {
    struct entry *entry = find_entry(cache, id);
    if (entry) {
        if (TAILQ_FIRST(&cache->recent) != entry) {
            TAILQ_REMOVE(&cache->recent, entry, recent);
            TAILQ_INSERT_HEAD(&cache->recent, entry, recent);
        }
        *code = entry->code ? nx_code_ref(entry->code) : NULL;
        cache->hits++;
        return true;
    }
    *code = NULL;
    return false;
}

// ---- Flights

static void deliver(struct flight *flight, const struct nx_compiled *compiled) {
    struct nx_cache_wait *wait;
    // One at a time from the front: a callback may make others forget.
    while ((wait = TAILQ_FIRST(&flight->waits))) {
        TAILQ_REMOVE(&flight->waits, wait, link);
        wait->list = NULL;
        wait->fn(wait->user, compiled);
    }
}

// Tells everybody, and is gone.
static void land(struct flight *flight, const struct nx_compiled *compiled) {
    HASH_DEL(flight->cache->flights, flight);
    *(compiled->cached ? &flight->cache->hits : &flight->cache->misses) += flight->asked;
    deliver(flight, compiled);
    free(flight);
}

static void retry_stalled(struct nx_cache *cache);

static void on_compile(void *user, const struct nx_compile_result *result) {
    struct flight *flight = user;
    struct nx_cache *cache = flight->cache;
    struct nx_compiled compiled = {.code = result->code,
                                   .message = result->message,
                                   .line = result->line,
                                   .column = result->column,
                                   .compile_us = result->compile_us};
    cache->compiling--;
    if (result->code == NX_RESULT_NONE && flight->source.kind == NX_COMPILE_HANDLER) {
        compiled.bytecode = nx_code_new(flight->id, result->bytecode);
        if (!compiled.bytecode) {
            compiled.code = NX_RESULT_INTERNAL_ERROR;
            compiled.message = nx_span_str("out of memory");
        }
    }
    if (compiled.code == NX_RESULT_NONE) {
        keep(cache, flight->id, compiled.bytecode);
        if (cache->tier && compiled.bytecode)
            cache->tier->save(cache->tier->user, compiled.bytecode);
    }
    if (cache->on_compiled)
        cache->on_compiled(cache->user, &compiled);
    land(flight, &compiled);
    nx_code_unref(compiled.bytecode);
    retry_stalled(cache);
}

static int compile(struct flight *flight, struct nx_error *err) {
    const struct nx_cache_source *source = &flight->source;
    int rc = nx_sandbox_compile(flight->cache->sandbox, source->kind, source->text, source->line,
                                source->column, on_compile, flight, err);
    flight->cache->compiling += rc == 0;
    return rc;
}

// The tier did not have it. Too many compilations waiting is no reason to fail as long as one of
// ours will end: then this one has its turn.
static void compile_later(struct flight *flight) {
    struct nx_cache *cache = flight->cache;
    struct nx_error err = {0};
    // Who asked may have gone away in the meantime.
    int rc = TAILQ_EMPTY(&flight->waits) ? NX_E_CLOSED : compile(flight, &err);
    if (rc == NX_E_LIMIT && cache->compiling) {
        TAILQ_INSERT_TAIL(&cache->stalled, flight, stalled);
    } else if (rc) {
        const struct nx_compiled compiled = {.code = NX_RESULT_OVERLOADED,
                                             .message = nx_span_str(err.message)};
        land(flight, &compiled);
    }
}

// A place has become free. Where none of ours will end any more, nobody else would come back here.
static void retry_stalled(struct nx_cache *cache) {
    struct flight *flight;
    bool again = true;
    while (again && (flight = TAILQ_FIRST(&cache->stalled))) {
        TAILQ_REMOVE(&cache->stalled, flight, stalled);
        compile_later(flight);
        again = cache->compiling == 0;
    }
}

static void on_loaded(struct nx_cache_load *load, struct nx_span bytecode) {
    struct flight *flight = (struct flight *)((char *)load - offsetof(struct flight, load));
    struct nx_code *code = bytecode.len ? nx_code_new(flight->id, bytecode) : NULL;
    if (!code) {
        compile_later(flight);
        return;
    }
    const struct nx_compiled compiled = {.cached = true, .bytecode = code};
    keep(flight->cache, flight->id, code);
    land(flight, &compiled);
    nx_code_unref(code);
}

// Whether the tier was asked. Expressions give no bytecode that it could keep.
static bool ask_tier(struct flight *flight) {
    const struct nx_cache_tier *tier = flight->cache->tier;
    flight->load.fn = on_loaded;
    return tier && flight->source.kind == NX_COMPILE_HANDLER &&
           tier->load(tier->user, flight->id, &flight->load);
}

static int start_flight(struct nx_cache *cache, const struct nx_cache_source *source,
                        const uint8_t *id, struct flight **out, struct nx_error *err) {
    // Those who ask may be gone, and their source with them, when the tier has answered.
    size_t kept = cache->tier ? source->text.len : 0;
    if (source->text.len > NX_MAX_PANEL_SOURCE_BYTES)
        return nx_error_set(err, NX_E_LIMIT, "source too large");
    struct flight *flight = calloc(1, sizeof *flight + kept);
    if (!flight)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    flight->cache = cache;
    flight->source = *source;
    memcpy(flight->id, id, NX_CODE_ID_BYTES);
    TAILQ_INIT(&flight->waits);
    HASH_ADD(hh, cache->flights, id, NX_CODE_ID_BYTES, flight);
    if (flight->unhashed) {
        free(flight);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    if (kept) {
        memcpy(flight->text, source->text.data, kept);
        flight->source.text.data = flight->text;
    }
    int rc = ask_tier(flight) ? 0 : compile(flight, err);
    if (rc) {
        HASH_DEL(cache->flights, flight);
        free(flight);
        return rc;
    }
    *out = flight;
    return 0;
}

int nx_cache_compile(struct nx_cache *cache, const struct nx_cache_source *source,
                     const uint8_t id[NX_CODE_ID_BYTES], struct nx_cache_wait *wait,
                     struct nx_error *err) {
    struct flight *flight = NULL;
    HASH_FIND(hh, cache->flights, id, NX_CODE_ID_BYTES, flight);
    if (!flight) {
        int rc = start_flight(cache, source, id, &flight, err);
        if (rc)
            return rc;
    }
    TAILQ_INSERT_TAIL(&flight->waits, wait, link);
    wait->list = &flight->waits;
    flight->asked++; // analyzer: start_flight sets it where the table has none
    return 0;
}

void nx_cache_forget(struct nx_cache_wait *wait) {
    if (!wait->list)
        return;
    TAILQ_REMOVE(wait->list, wait, link);
    wait->list = NULL;
}

void nx_cache_get_stats(const struct nx_cache *cache, struct nx_cache_stats *out) {
    *out = (struct nx_cache_stats){
        .hits = cache->hits,
        .misses = cache->misses,
        .bytes = cache->bytes,
        .entries = HASH_COUNT(cache->by_id),
    };
}
