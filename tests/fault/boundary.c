// SPDX-License-Identifier: Apache-2.0
// The host's half of the guest's calls with a place before and one after each where the test may
// hold or kill the worker. The linker puts this table where zygote.c names the real one.
#include "fault.h"
#include "sandbox/exec.h"

extern const struct nx_engine_imports __real_nx_host_imports;
extern const struct nx_engine_imports __wrap_nx_host_imports;

#define HOST_CALL(name, parameters, arguments)                                                     \
    static int32_t name parameters {                                                               \
        fault_boundary();                                                                          \
        const int32_t result = __real_nx_host_imports.name arguments;                              \
        fault_boundary();                                                                          \
        return result;                                                                             \
    }

HOST_CALL(state_get, (void *u, uint32_t a, uint32_t b, uint32_t c, uint32_t d), (u, a, b, c, d))
HOST_CALL(state_set, (void *u, uint32_t a, uint32_t b, uint32_t c, uint32_t d), (u, a, b, c, d))
HOST_CALL(state_delete, (void *u, uint32_t a, uint32_t b), (u, a, b))
HOST_CALL(state_has, (void *u, uint32_t a, uint32_t b), (u, a, b))
HOST_CALL(state_keys, (void *u, uint32_t a, uint32_t b), (u, a, b))
HOST_CALL(emit, (void *u, uint32_t a, uint32_t b, uint32_t c, uint32_t d), (u, a, b, c, d))
HOST_CALL(view, (void *u, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f),
          (u, a, b, c, d, e, f))
HOST_CALL(ext_call,
          (void *u, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f),
          (u, a, b, c, d, e, f))

static int32_t log_line(void *user, int32_t level, uint32_t text, uint32_t len) {
    fault_boundary();
    const int32_t status = __real_nx_host_imports.log(user, level, text, len);
    fault_boundary();
    return status;
}

static void result(void *user, uint32_t data, uint32_t len) {
    fault_boundary();
    __real_nx_host_imports.result(user, data, len);
    fault_boundary();
}

static void report_error(void *user, int32_t kind, uint32_t message, uint32_t message_len,
                         uint32_t stack, uint32_t stack_len, uint32_t detail, uint32_t detail_len,
                         int32_t line, int32_t column) {
    fault_boundary();
    __real_nx_host_imports.error(user, kind, message, message_len, stack, stack_len, detail,
                                 detail_len, line, column);
    fault_boundary();
}

static double now_ms(void *user) {
    return __real_nx_host_imports.now_ms(user);
}

const struct nx_engine_imports __wrap_nx_host_imports = {
    .state_get = state_get,
    .state_set = state_set,
    .state_delete = state_delete,
    .state_has = state_has,
    .state_keys = state_keys,
    .emit = emit,
    .view = view,
    .ext_call = ext_call,
    .log = log_line,
    .result = result,
    .error = report_error,
    .now_ms = now_ms,
};
