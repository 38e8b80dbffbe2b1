// SPDX-License-Identifier: Apache-2.0
// The compile cache: a hash of entries with a least-recently-used list, and a hash of compilations
// under way ("flights") with those who wait for each.
#include "kernel/cache.h"

#include <openssl/evp.h>
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
    enum nx_compile_kind kind;
    struct nx_cache_wait_list waits;
};

struct nx_cache {
    struct nx_sandbox *sandbox;
    size_t max_bytes, bytes;
    const struct nx_cache_tier *tier;
    void (*on_compiled)(void *user, const struct nx_compiled *compiled);
    void *user;
    struct entry *by_id;
    struct entry_list recent; // most recently used first
    struct flight *flights;
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
        HASH_DEL(cache->flights, flight); // NOLINT(clang-analyzer-unix.Malloc)
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

static struct nx_code *load_from_tier(struct nx_cache *cache, const uint8_t *id) {
    if (!cache->tier)
        return NULL;
    struct nx_code *code = NULL;
    struct nx_buf bytecode;
    nx_buf_init(&bytecode, NX_MAX_BYTECODE_BYTES);
    if (cache->tier->load(cache->tier->user, id, &bytecode) && !bytecode.failed && bytecode.len)
        code = nx_code_new(id, nx_buf_span(&bytecode));
    nx_buf_free(&bytecode);
    if (code)
        keep(cache, id, code);
    return code;
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
    *code = load_from_tier(cache, id);
    if (*code)
        cache->hits++;
    else
        cache->misses++;
    return *code != NULL;
}

static void deliver(struct flight *flight, const struct nx_compiled *compiled) {
    struct nx_cache_wait *wait;
    // One at a time from the front: a callback may make others forget.
    while ((wait = TAILQ_FIRST(&flight->waits))) {
        TAILQ_REMOVE(&flight->waits, wait, link);
        wait->list = NULL;
        wait->fn(wait->user, compiled);
    }
}

static void on_compile(void *user, const struct nx_compile_result *result) {
    struct flight *flight = user;
    struct nx_cache *cache = flight->cache;
    struct nx_compiled compiled = {result->code, NULL,           result->message,
                                   result->line, result->column, result->compile_us};
    if (result->code == NX_RESULT_NONE && flight->kind == NX_COMPILE_HANDLER) {
        compiled.bytecode = nx_code_new(flight->id, result->bytecode);
        if (!compiled.bytecode) {
            compiled.code = NX_RESULT_INTERNAL_ERROR;
            compiled.message = nx_span_str("out of memory");
        }
    }
    if (compiled.code == NX_RESULT_NONE) {
        keep(cache, flight->id, compiled.bytecode);
        if (cache->tier && compiled.bytecode)
            cache->tier->save(cache->tier->user, flight->id, result->bytecode);
    }
    HASH_DEL(cache->flights, flight);
    if (cache->on_compiled)
        cache->on_compiled(cache->user, &compiled);
    deliver(flight, &compiled);
    nx_code_unref(compiled.bytecode);
    free(flight);
}

static int start_flight(struct nx_cache *cache, const struct nx_cache_source *source,
                        const uint8_t *id, struct flight **out, struct nx_error *err) {
    struct flight *flight = calloc(1, sizeof *flight);
    if (!flight)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    flight->cache = cache;
    flight->kind = source->kind;
    memcpy(flight->id, id, NX_CODE_ID_BYTES);
    TAILQ_INIT(&flight->waits);
    HASH_ADD(hh, cache->flights, id, NX_CODE_ID_BYTES, flight);
    if (flight->unhashed) {
        free(flight);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    int rc = nx_sandbox_compile(cache->sandbox, source->kind, source->text, source->line,
                                source->column, on_compile, flight, err);
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
