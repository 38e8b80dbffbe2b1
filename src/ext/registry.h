// SPDX-License-Identifier: Apache-2.0
// The registry's inside, shared with the mock that takes it over.
#ifndef NX_EXT_REGISTRY_H
#define NX_EXT_REGISTRY_H

#include "base/limits.h"
#include "ext/ext.h"

struct nx_ext_mock;

struct nx_ext_registry {
    uv_loop_t *loop;
    struct nx_ext items[NX_MAX_EXTENSIONS];
    size_t count;
    struct nx_ext_mock *mock; // answers every call when set
};

// As nx_ext_call.
int nx_ext_mock_call(struct nx_ext_mock *mock, uv_loop_t *loop,
                     const struct nx_ext_request *request, nx_ext_done_fn *fn, void *user,
                     struct nx_ext_op **out, enum nx_result_code *code, struct nx_error *err);
bool nx_ext_mock_exists(const struct nx_ext_mock *mock, struct nx_span extension);
void nx_ext_mock_free(struct nx_ext_mock *mock); // NULL is fine

#endif
