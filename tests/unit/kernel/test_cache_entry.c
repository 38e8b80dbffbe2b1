// SPDX-License-Identifier: Apache-2.0
// Entries of the disk cache: what was sealed opens; anything else does not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "kernel/auth_key.h"
#include "kernel/cache_entry.h"

enum { AT_BUILD = 24, AT_ID = 56 };

static const struct nx_cache_seal plain = {.keyed = false};
static const struct nx_cache_seal keyed = {.keyed = true, .key = "0123456789abcdef0123456789abcde"};
static const struct nx_cache_seal other = {.keyed = true, .key = "0123456789abcdef0123456789abcdE"};
static const uint8_t id[NX_CODE_ID_BYTES] = {1, 2, 3}, foreign_id[NX_CODE_ID_BYTES] = {1, 2, 4};
static const char code[] = "bytecode, for all that the cache knows";

static struct nx_buf sealed_of(const struct nx_cache_seal *seal, const uint8_t *of) {
    struct nx_buf file;
    nx_buf_init(&file, 4096);
    assert_int_equal(nx_cache_entry_seal(seal, of, nx_span_str(code), &file), 0);
    assert_int_equal(file.len, strlen(code) + NX_CACHE_ENTRY_OVERHEAD_BYTES);
    return file;
}

static bool opens(const struct nx_cache_seal *seal, const uint8_t *of, struct nx_span file,
                  const char *why) {
    struct nx_error err = {0};
    struct nx_span got = {0};
    int rc = nx_cache_entry_open(seal, of, file, &got, &err);
    if (rc == 0)
        return nx_span_eq(got, nx_span_str(code));
    assert_int_equal(rc, NX_E_INVALID);
    if (!strstr(err.message, why))
        fail_msg("'%s' does not say '%s'", err.message, why);
    return false;
}

static void what_was_sealed_opens(void **state) {
    (void)state;
    const struct nx_cache_seal *const seals[] = {&plain, &keyed};
    for (size_t i = 0; i < 2; i++) {
        struct nx_buf file = sealed_of(seals[i], id);
        assert_true(opens(seals[i], id, nx_buf_span(&file), ""));
        nx_buf_free(&file);
    }
}

static void every_flipped_bit_counts(void **state) {
    (void)state;
    const struct nx_cache_seal *const seals[] = {&plain, &keyed};
    for (size_t i = 0; i < 2; i++) {
        struct nx_buf file = sealed_of(seals[i], id);
        for (size_t bit = 0; bit < 8 * file.len; bit++) {
            file.data[bit / 8] = (char)(file.data[bit / 8] ^ 1 << bit % 8);
            assert_false(opens(seals[i], id, nx_buf_span(&file), ""));
            file.data[bit / 8] = (char)(file.data[bit / 8] ^ 1 << bit % 8);
        }
        assert_true(opens(seals[i], id, nx_buf_span(&file), ""));
        nx_buf_free(&file);
    }
}

// Each length is copied to memory of its own: reading beyond it shows under AddressSanitizer.
static void every_truncation_counts(void **state) {
    (void)state;
    struct nx_buf file = sealed_of(&keyed, id);
    for (size_t len = 0; len <= file.len; len++) {
        char *cut = malloc(len ? len : 1);
        assert_non_null(cut);
        memcpy(cut, file.data, len);
        assert_int_equal(opens(&keyed, id, nx_span_of(cut, len), ""), len == file.len);
        free(cut);
    }
    nx_buf_append_char(&file, '\0');
    assert_false(opens(&keyed, id, nx_buf_span(&file), "length is wrong"));
    nx_buf_free(&file);
}

static void a_swapped_entry_is_refused(void **state) {
    (void)state;
    struct nx_buf file = sealed_of(&keyed, foreign_id);
    assert_false(opens(&keyed, id, nx_buf_span(&file), "other code"));
    assert_true(opens(&keyed, foreign_id, nx_buf_span(&file), ""));
    nx_buf_free(&file);
}

static void keys_do_not_mix(void **state) {
    (void)state;
    struct nx_buf file = sealed_of(&keyed, id), bare = sealed_of(&plain, id);
    assert_false(opens(&other, id, nx_buf_span(&file), "tag is wrong"));
    assert_false(opens(&plain, id, nx_buf_span(&file), "with a key"));
    assert_false(opens(&keyed, id, nx_buf_span(&bare), "with a key"));
    assert_true(opens(&keyed, id, nx_buf_span(&file), ""));
    nx_buf_free(&file);
    nx_buf_free(&bare);
}

// Gives a changed file a tag that is right, as its author would.
static void tag(const struct nx_cache_seal *seal, struct nx_buf *file) {
    size_t len = file->len - NX_CACHE_TAG_BYTES;
    const unsigned char *data = (const unsigned char *)file->data;
    unsigned char *to = (unsigned char *)file->data + len;
    if (seal->keyed)
        assert_non_null(HMAC(EVP_sha256(), seal->key, sizeof seal->key, data, len, to, NULL));
    else
        assert_int_equal(EVP_Digest(data, len, to, NULL, EVP_sha256(), NULL), 1);
}

static void refused_once_tagged(size_t at, const char *why) {
    struct nx_buf file = sealed_of(&plain, id);
    tag(&plain, &file);
    assert_true(opens(&plain, id, nx_buf_span(&file), "")); // tagging by hand works
    file.data[at] = (char)(file.data[at] ^ 1);
    tag(&plain, &file);
    assert_false(opens(&plain, id, nx_buf_span(&file), why));
    nx_buf_free(&file);
}

static void the_head_counts_even_with_a_right_tag(void **state) {
    (void)state;
    refused_once_tagged(0, "this version");
    refused_once_tagged(8, "this version");
    refused_once_tagged(12, "with a key");
    refused_once_tagged(16, "length");
    refused_once_tagged(20, "length");
    refused_once_tagged(AT_BUILD, "another build");
    refused_once_tagged(AT_ID, "other code");
}

// Without a key, nothing tells a forgery: it ends in the sandbox like all bytecode. With one, the
// best that somebody without it can do is this.
static void a_forgery_needs_the_key(void **state) {
    (void)state;
    struct nx_buf file = sealed_of(&keyed, id);
    struct nx_span got;
    file.data[NX_CACHE_HEAD_BYTES] = '!';
    tag(&other, &file);
    assert_false(opens(&keyed, id, nx_buf_span(&file), "tag is wrong"));
    tag(&plain, &file);
    assert_false(opens(&keyed, id, nx_buf_span(&file), "tag is wrong"));
    tag(&keyed, &file); // the control: with the key it is no forgery
    assert_int_equal(nx_cache_entry_open(&keyed, id, nx_buf_span(&file), &got, NULL), 0);
    nx_buf_free(&file);
}

static void sizes(void **state) {
    (void)state;
    struct nx_buf file;
    struct nx_span got;
    char *most = calloc(1, NX_MAX_BYTECODE_BYTES + 1);
    assert_non_null(most);
    nx_buf_init(&file, NX_CACHE_ENTRY_OVERHEAD_BYTES + NX_MAX_BYTECODE_BYTES);
    assert_int_equal(nx_cache_entry_seal(&plain, id, nx_span_of(most, 0), &file), NX_E_INVALID);
    assert_int_equal(
        nx_cache_entry_seal(&plain, id, nx_span_of(most, NX_MAX_BYTECODE_BYTES + 1), &file),
        NX_E_LIMIT);
    assert_int_equal(file.len, 0);
    assert_int_equal(
        nx_cache_entry_seal(&plain, id, nx_span_of(most, NX_MAX_BYTECODE_BYTES), &file), 0);
    assert_int_equal(nx_cache_entry_open(&plain, id, nx_buf_span(&file), &got, NULL), 0);
    assert_int_equal(got.len, NX_MAX_BYTECODE_BYTES);
    nx_buf_free(&file);
    nx_buf_init(&file, 100);
    assert_int_equal(nx_cache_entry_seal(&plain, id, nx_span_str(code), &file), NX_E_LIMIT);
    nx_buf_free(&file);
    free(most);
}

// RFC 5869 with SHA-256, computed with Python's hmac: the secret
// below, no salt, info "nexus bytecode cache, version 1".
static void the_derived_key(void **state) {
    (void)state;
    static const char secret[] = "k7Qx!m2Vz9#tRb4Lw8&pYc6Nd3^sHf5G";
    struct nx_auth_key *key;
    unsigned char out[NX_AUTH_DERIVED_BYTES], again[NX_AUTH_DERIVED_BYTES];
    assert_int_equal(nx_auth_key_from_secret(&key, nx_span_str(secret), NULL), 0);
    assert_int_equal(nx_auth_key_derive(key, "nexus bytecode cache, version 1", out), 0);
    static const unsigned char expected[] = {0x28, 0xf6, 0xef, 0x97, 0x86, 0x4f, 0x34, 0xd5,
                                             0xe8, 0xed, 0x43, 0xdb, 0xb6, 0x3e, 0x41, 0xc9,
                                             0xa4, 0x89, 0x1b, 0x4a, 0x8c, 0x2b, 0xeb, 0x5f,
                                             0xaa, 0x01, 0x46, 0x8e, 0x65, 0x84, 0xb7, 0xdf};
    assert_memory_equal(out, expected, sizeof expected);
    assert_int_equal(nx_auth_key_derive(key, "something else", again), 0);
    assert_memory_not_equal(out, again, sizeof out);
    nx_auth_key_free(key);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens),
        cmocka_unit_test(every_flipped_bit_counts),
        cmocka_unit_test(every_truncation_counts),
        cmocka_unit_test(a_swapped_entry_is_refused),
        cmocka_unit_test(keys_do_not_mix),
        cmocka_unit_test(the_head_counts_even_with_a_right_tag),
        cmocka_unit_test(a_forgery_needs_the_key),
        cmocka_unit_test(sizes),
        cmocka_unit_test(the_derived_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
