// SPDX-License-Identifier: Apache-2.0
// Worker side: COMPILE frames, in an instance of the COMPILE image that is pristine for each.
#include "base/clock.h"
#include "sandbox/runner.h"
#include "sandbox/work.h"

#include <string.h>

// One compile's limits: it makes no host calls but its report.
static struct nx_exec compile_exec = {.limits.max_value_bytes = NX_MAX_BYTECODE_BYTES};

static enum nx_trap call_compile(struct nx_instance *instance, struct nx_span source,
                                 const uint32_t position[3], uint32_t *outcome) {
    uint32_t address = 0;
    const uint32_t len = (uint32_t)source.len;
    const enum nx_trap trap =
        nx_instance_call(instance, NX_EXPORT_ALLOC, (uint32_t[5]){len}, &address);
    uint8_t *at = trap == NX_TRAP_NONE && address != 0
                      ? nx_instance_memory(instance, address, len + 1)
                      : NULL;
    if (at == NULL) {
        return trap != NX_TRAP_NONE ? trap : NX_TRAP_HOST;
    }
    memcpy(at, source.data, len);
    at[len] = 0;
    return nx_instance_call(instance, NX_EXPORT_COMPILE,
                            (uint32_t[5]){address, len, position[0], position[1], position[2]},
                            outcome);
}

int nx_runner_compile(uint32_t id, struct nx_span payload, struct nx_buf *out) {
    static struct nx_instance *instance;
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    uint32_t position[3];
    position[0] = nx_wire_get_u8(&r); // expression
    position[1] = nx_wire_get_u32(&r);
    position[2] = nx_wire_get_u32(&r);
    const struct nx_span source = nx_wire_get_bytes(&r);
    // The column becomes blanks in the wrapped source, so it is bounded like the source itself.
    if (!nx_wire_reader_done(&r) || position[2] > NX_MAX_PANEL_SOURCE_BYTES) {
        return NX_E_PROTOCOL;
    }
    if (instance == NULL && (instance = nx_instance_new(NX_GUEST_COMPILE)) == NULL) {
        return NX_E_NOMEM;
    }
    nx_work_begin(&compile_exec, NULL, 0, 0);
    const uint64_t start_ns = nx_clock_monotonic_ns();
    const struct nx_deadline deadline = nx_runner_deadline(start_ns, NX_COMPILE_TIMEOUT_MS * 1000);
    uint32_t outcome = NX_GUEST_ERROR;
    nx_engine_set_deadline(instance, &deadline);
    const enum nx_trap trap = call_compile(instance, source, position, &outcome);
    nx_engine_clear_deadline();
    const uint64_t end_ns = nx_clock_monotonic_ns();
    // A guest owned by its source may claim to be done and give nothing.
    const bool good = trap == NX_TRAP_NONE && outcome == NX_GUEST_DONE &&
                      nx_work.fatal == NX_RESULT_NONE &&
                      (position[0] != 0 || nx_work.returned.len != 0);
    const enum nx_result_code code =
        good ? NX_RESULT_NONE
             : nx_work_judge(trap, nx_instance_hit_memory_limit(instance),
                             end_ns >= deadline.soft_ns);
    nx_instance_reset(instance, trap != NX_TRAP_NONE);

    const struct nx_span nothing = {0};
    const size_t start = nx_wire_begin(out, NX_FRAME_COMPILED, id);
    nx_wire_put_u8(out, (uint8_t)code);
    nx_wire_put_u32(out, (uint32_t)((end_ns - start_ns) / 1000));
    nx_wire_put_u32(out, nx_work.line > 0 ? (uint32_t)nx_work.line : 0);
    nx_wire_put_u32(out, nx_work.column > 0 ? (uint32_t)nx_work.column : 0);
    // An expression is only checked.
    nx_wire_put_bytes(out, good && !position[0] ? nx_buf_span(&nx_work.returned) : nothing);
    nx_wire_put_bytes(out, good ? nothing : nx_buf_span(&nx_work.message));
    return nx_wire_end(out, start);
}
