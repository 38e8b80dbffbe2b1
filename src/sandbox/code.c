// SPDX-License-Identifier: Apache-2.0
// Handles of compiled handlers.
#include <stdlib.h>

#include "guest_info.h"
#include "sandbox/pool.h"

const char *nx_sandbox_build_id(void) {
    return NX_GUEST_BUILD_ID;
}

struct nx_code *nx_code_new(const uint8_t id[NX_CODE_ID_BYTES], struct nx_span bytecode) {
    struct nx_code *code = calloc(1, sizeof(*code) + bytecode.len);
    if (code == NULL) {
        return NULL;
    }
    code->refs = 1;
    memcpy(code->id, id, NX_CODE_ID_BYTES);
    code->len = bytecode.len;
    if (bytecode.len != 0) {
        memcpy(code->bytecode, bytecode.data, bytecode.len);
    }
    return code;
}

struct nx_code *nx_code_ref(struct nx_code *code) {
    code->refs++;
    return code;
}

void nx_code_unref(struct nx_code *code) {
    if (code != NULL && --code->refs == 0) {
        free(code);
    }
}

size_t nx_code_size_bytes(const struct nx_code *code) {
    return sizeof(*code) + code->len;
}

const uint8_t *nx_code_id(const struct nx_code *code) {
    return code->id;
}

struct nx_span nx_code_bytecode(const struct nx_code *code) {
    return nx_span_of(code->bytecode, code->len);
}
