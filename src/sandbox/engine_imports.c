// SPDX-License-Identifier: Apache-2.0
// The functions that generated code imports: the host calls, each between nx_trap_enter_host and
// nx_trap_leave_host, and the few of WASI that libc links against. WASI has no files, no
// environment and no way to end anything here: a clock that shows the segment's frozen time, and
// refusals.
#include "sandbox/engine_imports.h"

#include <string.h>

#include "sandbox/engine_wasm2c.h"
#include "sandbox/trap.h"

static const struct nx_engine_imports *host;
static void *host_user;
static struct nx_buf *capture;

void nx_imports_set(const struct nx_engine_imports *imports, void *user) {
    host = imports;
    host_user = user;
}

void nx_imports_capture(struct nx_buf *out) {
    capture = out;
}

// The call in between may use the guest's memory and owns nothing that a trap would leak.
#define NX_HOST(call)                                                                              \
    (void)env;                                                                                     \
    nx_trap_enter_host();                                                                          \
    const int32_t status = host->call;                                                             \
    nx_trap_leave_host();                                                                          \
    return (u32)status

u32 NX_IMPORT(state_get)(NX_IMPORT_ENV *env, u32 key, u32 key_len, u32 buf, u32 cap) {
    NX_HOST(state_get(host_user, key, key_len, buf, cap));
}

u32 NX_IMPORT(state_set)(NX_IMPORT_ENV *env, u32 key, u32 key_len, u32 json, u32 len) {
    NX_HOST(state_set(host_user, key, key_len, json, len));
}

u32 NX_IMPORT(state_delete)(NX_IMPORT_ENV *env, u32 key, u32 key_len) {
    NX_HOST(state_delete(host_user, key, key_len));
}

u32 NX_IMPORT(state_has)(NX_IMPORT_ENV *env, u32 key, u32 key_len) {
    NX_HOST(state_has(host_user, key, key_len));
}

u32 NX_IMPORT(state_keys)(NX_IMPORT_ENV *env, u32 buf, u32 cap) {
    NX_HOST(state_keys(host_user, buf, cap));
}

u32 NX_IMPORT(emit)(NX_IMPORT_ENV *env, u32 name, u32 name_len, u32 json, u32 len) {
    NX_HOST(emit(host_user, name, name_len, json, len));
}

u32 NX_IMPORT(view)(NX_IMPORT_ENV *env, u32 type, u32 type_len, u32 id, u32 id_len, u32 json,
                    u32 len) {
    NX_HOST(view(host_user, type, type_len, id, id_len, json, len));
}

u32 NX_IMPORT(ext_call)(NX_IMPORT_ENV *env, u32 name, u32 name_len, u32 method, u32 method_len,
                        u32 json, u32 len) {
    NX_HOST(ext_call(host_user, name, name_len, method, method_len, json, len));
}

u32 NX_IMPORT(log)(NX_IMPORT_ENV *env, u32 level, u32 text, u32 len) {
    NX_HOST(log(host_user, (int32_t)level, text, len));
}

void NX_IMPORT(result)(NX_IMPORT_ENV *env, u32 data, u32 len) {
    (void)env;
    nx_trap_enter_host();
    if (capture != NULL) {
        const uint8_t *bytes = nx_engine_memory(data, len);
        if (bytes != NULL) {
            nx_buf_append(capture, bytes, len);
        }
    } else {
        host->result(host_user, data, len);
    }
    nx_trap_leave_host();
}

// NOLINTNEXTLINE(readability-function-size): the guest's ABI decides the arguments.
void NX_IMPORT(error)(NX_IMPORT_ENV *env, u32 kind, u32 message, u32 message_len, u32 stack,
                      u32 stack_len, u32 detail, u32 detail_len, u32 line, u32 column) {
    (void)env;
    nx_trap_enter_host();
    if (capture == NULL) {
        host->error(host_user, (int32_t)kind, message, message_len, stack, stack_len, detail,
                    detail_len, (int32_t)line, (int32_t)column);
    }
    nx_trap_leave_host();
}

// ---- WASI

enum { WASI_OK = 0, WASI_EBADF = 8, WASI_EFAULT = 21 };

u32 NX_WASI(clock_time_get)(NX_WASI_ENV *env, u32 clock, u64 precision, u32 out) {
    (void)env;
    (void)clock;
    (void)precision;
    nx_trap_enter_host();
    uint8_t *at = nx_engine_memory(out, sizeof(uint64_t));
    if (at != NULL) {
        // Nothing is shown of the time at which the image was made.
        const double now_ms = capture == NULL && host->now_ms != NULL ? host->now_ms(host_user) : 0;
        const uint64_t now_ns = (uint64_t)(now_ms * 1e6);
        memcpy(at, &now_ns, sizeof(now_ns));
    }
    nx_trap_leave_host();
    return at != NULL ? WASI_OK : WASI_EFAULT;
}

u32 NX_WASI(fd_close)(NX_WASI_ENV *env, u32 fd) {
    (void)env;
    (void)fd;
    return WASI_EBADF;
}

u32 NX_WASI(fd_seek)(NX_WASI_ENV *env, u32 fd, u64 offset, u32 whence, u32 out) {
    (void)env;
    (void)fd;
    (void)offset;
    (void)whence;
    (void)out;
    return WASI_EBADF;
}

u32 NX_WASI(fd_write)(NX_WASI_ENV *env, u32 fd, u32 vectors, u32 count, u32 out) {
    (void)env;
    (void)fd;
    (void)vectors;
    (void)count;
    (void)out;
    return WASI_EBADF;
}
