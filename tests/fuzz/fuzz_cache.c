// SPDX-License-Identifier: Apache-2.0
// Files of the disk cache. Input: a byte that chooses the seal and what is done
// to a good file, then either a file as it lies there, or bytecode that is
// sealed here and changed.
#include <stdlib.h>

#include "base/limits.h"
#include "fuzz.h"
#include "kernel/cache_entry.h"

static const struct nx_cache_seal seals[] = {
    {.keyed = false},
    {.keyed = true, .key = "0123456789abcdef0123456789abcde"},
    {.keyed = true, .key = "another key, of somebody else .."},
};
static const uint8_t id[NX_CODE_ID_BYTES] = "the code", foreign[NX_CODE_ID_BYTES] = "another";

static bool opens(const struct nx_cache_seal *seal, const uint8_t *of, struct nx_span file,
                  struct nx_span *bytecode) {
    struct nx_error err = {0};
    struct nx_span exact = fuzz_copy(file);
    int rc = nx_cache_entry_open(seal, of, exact, bytecode, &err);
    FUZZ_CHECK_ERROR(rc, &err);
    FUZZ_CHECK(rc == 0 || rc == NX_E_INVALID);
    if (rc == 0) {
        FUZZ_CHECK(bytecode->len > 0 && bytecode->len <= NX_MAX_BYTECODE_BYTES);
        FUZZ_CHECK(bytecode->data == exact.data + NX_CACHE_HEAD_BYTES);
        FUZZ_CHECK(bytecode->len + NX_CACHE_ENTRY_OVERHEAD_BYTES == file.len);
        bytecode->data = file.data + NX_CACHE_HEAD_BYTES;
    }
    free((void *)exact.data);
    return rc == 0;
}

// Only the seal and the code it was made for open a file.
static void check_sealed(const struct nx_cache_seal *seal, struct nx_span code,
                         struct nx_span file) {
    struct nx_span got;
    FUZZ_CHECK(opens(seal, id, file, &got) && nx_span_eq(got, code));
    FUZZ_CHECK(!opens(seal, foreign, file, &got));
    for (size_t i = 0; i < sizeof seals / sizeof seals[0]; i++)
        FUZZ_CHECK(&seals[i] == seal || !opens(&seals[i], id, file, &got));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = fuzz_input(data, size);
    uint8_t how = fuzz_u8(&in), changes = how >> 4;
    const struct nx_cache_seal *seal = &seals[(how & 3) % 3];
    struct nx_span got;
    struct nx_buf file;
    if (how & 4) {
        // Nobody forges what has a key: a fuzzer that does has found a hole.
        struct nx_span raw = fuzz_rest(&in);
        FUZZ_CHECK(!opens(seal, id, raw, &got) || !seal->keyed);
        return 0;
    }
    nx_buf_init(&file, size + NX_CACHE_ENTRY_OVERHEAD_BYTES);
    struct nx_span changed = fuzz_take(&in, (size_t)changes * 3), code = fuzz_rest(&in);
    int rc = nx_cache_entry_seal(seal, id, code, &file);
    FUZZ_CHECK(rc == (code.len ? 0 : NX_E_INVALID));
    if (rc == 0) {
        check_sealed(seal, code, nx_buf_span(&file));
        struct nx_span was = fuzz_copy(nx_buf_span(&file));
        for (size_t i = 0; i + 3 <= changed.len; i += 3)
            file.data[((size_t)(uint8_t)changed.data[i] << 8 | (uint8_t)changed.data[i + 1]) %
                      file.len] = changed.data[i + 2];
        FUZZ_CHECK(nx_span_eq(was, nx_buf_span(&file)) ==
                   opens(seal, id, nx_buf_span(&file), &got));
        free((void *)was.data);
    }
    nx_buf_free(&file);
    return 0;
}
