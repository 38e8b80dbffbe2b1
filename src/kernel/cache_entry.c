// SPDX-License-Identifier: Apache-2.0
// Entries of the disk cache, on OpenSSL's libcrypto. Called from several threads at once: no state.
#include "kernel/cache_entry.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/limits.h"

enum {
    VERSION = 1,
    AT_VERSION = 8,
    AT_TAG_KIND = 12,
    AT_LEN = 16,
    AT_ZERO = 20,
    AT_BUILD = 24,
    AT_ID = 56,
    DIGEST_BYTES = NX_CACHE_TAG_BYTES, // SHA-256, either way
};
static const char magic[8] = "NXCODE\r\n";

static_assert(AT_ID + NX_CODE_ID_BYTES == NX_CACHE_HEAD_BYTES, "the head has no gaps");

static void put_u32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static bool digest(const void *data, size_t len, uint8_t out[DIGEST_BYTES]) {
    return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1;
}

static bool make_tag(const struct nx_cache_seal *seal, const uint8_t *data, size_t len,
                     uint8_t out[NX_CACHE_TAG_BYTES]) {
    if (!seal->keyed)
        return digest(data, len, out);
    return HMAC(EVP_sha256(), seal->key, sizeof seal->key, data, len, out, NULL) != NULL;
}

// Everything in the head follows from what is asked for and the length.
static bool make_head(const struct nx_cache_seal *seal, const uint8_t *id, size_t len,
                      uint8_t head[NX_CACHE_HEAD_BYTES]) {
    const char *build = nx_sandbox_build_id();
    memcpy(head, magic, sizeof magic);
    put_u32(head + AT_VERSION, VERSION);
    put_u32(head + AT_TAG_KIND, seal->keyed ? 1 : 0);
    put_u32(head + AT_LEN, (uint32_t)len);
    put_u32(head + AT_ZERO, 0);
    memcpy(head + AT_ID, id, NX_CODE_ID_BYTES);
    return digest(build, strlen(build), head + AT_BUILD);
}

int nx_cache_entry_seal(const struct nx_cache_seal *seal, const uint8_t id[NX_CODE_ID_BYTES],
                        struct nx_span bytecode, struct nx_buf *out) {
    uint8_t head[NX_CACHE_HEAD_BYTES], tag[NX_CACHE_TAG_BYTES];
    size_t start = out->len;
    if (bytecode.len == 0)
        return NX_E_INVALID;
    if (bytecode.len > NX_MAX_BYTECODE_BYTES)
        return NX_E_LIMIT;
    if (!make_head(seal, id, bytecode.len, head))
        return NX_E_NOMEM;
    nx_buf_append(out, head, sizeof head);
    nx_buf_append_span(out, bytecode);
    if (!out->failed && !make_tag(seal, (const uint8_t *)out->data + start, out->len - start, tag))
        return NX_E_NOMEM;
    return nx_buf_append(out, tag, sizeof tag);
}

// Why a head is not the one that was to be expected.
static const char *head_fault(const uint8_t *head, const uint8_t *expected) {
    if (memcmp(head, expected, AT_TAG_KIND) != 0)
        return "not a cache entry of this version";
    if (memcmp(head + AT_TAG_KIND, expected + AT_TAG_KIND, AT_LEN - AT_TAG_KIND) != 0)
        return "made with a key by a server without one, or the other way round";
    if (memcmp(head + AT_BUILD, expected + AT_BUILD, DIGEST_BYTES) != 0)
        return "made by another build";
    if (memcmp(head + AT_ID, expected + AT_ID, NX_CODE_ID_BYTES) != 0)
        return "made for other code";
    return "the length is wrong";
}

int nx_cache_entry_open(const struct nx_cache_seal *seal, const uint8_t id[NX_CODE_ID_BYTES],
                        struct nx_span file, struct nx_span *bytecode, struct nx_error *err) {
    const uint8_t *data = (const uint8_t *)file.data;
    uint8_t head[NX_CACHE_HEAD_BYTES], tag[NX_CACHE_TAG_BYTES];
    if (file.len <= NX_CACHE_ENTRY_OVERHEAD_BYTES ||
        file.len > NX_CACHE_ENTRY_OVERHEAD_BYTES + NX_MAX_BYTECODE_BYTES)
        return nx_error_set(err, NX_E_INVALID, "the length is wrong");
    size_t len = file.len - NX_CACHE_ENTRY_OVERHEAD_BYTES, tagged = file.len - sizeof tag;
    if (!make_head(seal, id, len, head) || !make_tag(seal, data, tagged, tag))
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    // Compared as a whole: no field is read, so none can lie about the bytes that follow.
    if (memcmp(data, head, sizeof head) != 0)
        return nx_error_set(err, NX_E_INVALID, "%s", head_fault(data, head));
    if (CRYPTO_memcmp(data + tagged, tag, sizeof tag) != 0)
        return nx_error_set(err, NX_E_INVALID, "the tag is wrong");
    *bytecode = nx_span_of(file.data + NX_CACHE_HEAD_BYTES, len);
    return 0;
}
