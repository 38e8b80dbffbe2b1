// SPDX-License-Identifier: Apache-2.0
// The registry of extensions, and the dispatch of a call to one of them.
#include "ext/registry.h"

#include <stdlib.h>

int nx_ext_registry_new(struct nx_ext_registry **out, uv_loop_t *loop, struct nx_error *err) {
    struct nx_ext_registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    registry->loop = loop;
    *out = registry;
    return 0;
}

static void destroy(const struct nx_ext *ext) {
    if (ext->destroy)
        ext->destroy(ext->self);
}

void nx_ext_registry_free(struct nx_ext_registry *registry) {
    if (!registry)
        return;
    for (size_t i = 0; i < registry->count; i++)
        destroy(&registry->items[i]);
    nx_ext_mock_free(registry->mock);
    free(registry);
}

uv_loop_t *nx_ext_registry_loop(const struct nx_ext_registry *registry) {
    return registry->loop;
}

static const struct nx_ext *find(const struct nx_ext_registry *registry, struct nx_span name) {
    for (size_t i = 0; i < registry->count; i++) {
        if (nx_span_eq(nx_span_str(registry->items[i].name), name))
            return &registry->items[i];
    }
    return NULL;
}

int nx_ext_register(struct nx_ext_registry *registry, const struct nx_ext *ext,
                    struct nx_error *err) {
    int rc = 0;
    if (find(registry, nx_span_str(ext->name)))
        rc = nx_error_set(err, NX_E_EXISTS, "extension %s is already there", ext->name);
    else if (registry->count == NX_MAX_EXTENSIONS)
        rc = nx_error_set(err, NX_E_LIMIT, "over %d extensions", NX_MAX_EXTENSIONS);
    if (rc) {
        destroy(ext);
        return rc;
    }
    registry->items[registry->count++] = *ext;
    return 0;
}

bool nx_ext_exists(const struct nx_ext_registry *registry, struct nx_span name) {
    if (registry->mock)
        return nx_ext_mock_exists(registry->mock, name);
    return find(registry, name) != NULL;
}

int nx_ext_call(struct nx_ext_registry *registry, const struct nx_ext_request *request,
                nx_ext_done_fn *fn, void *user, struct nx_ext_op **out, enum nx_result_code *code,
                struct nx_error *err) {
    if (registry->mock)
        return nx_ext_mock_call(registry->mock, registry->loop, request, fn, user, out, code, err);
    const struct nx_ext *ext = find(registry, request->extension);
    if (!ext) {
        *code = NX_RESULT_EXTENSION_NOT_FOUND;
        return nx_error_set(err, NX_E_NOTFOUND, "there is no extension '%.*s'",
                            (int)request->extension.len, request->extension.data);
    }
    if (!ext->has_method(ext->self, request->method)) {
        *code = NX_RESULT_METHOD_NOT_FOUND;
        return nx_error_set(err, NX_E_NOTFOUND, "extension '%s' has no method '%.*s'", ext->name,
                            (int)request->method.len, request->method.data);
    }
    *code = NX_RESULT_EXTENSION_ERROR;
    return ext->call(ext->self, request, fn, user, out, err);
}

void nx_ext_cancel(struct nx_ext_op *op) {
    if (op)
        op->cancel(op);
}
