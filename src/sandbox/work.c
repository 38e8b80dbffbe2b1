// SPDX-License-Identifier: Apache-2.0
// Worker side: the running segment from its start to its SEGMENT frame.
#include "sandbox/work.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "guest/abi.h"

static void section_init(struct nx_section *section) {
    nx_buf_init(&section->items, NX_MAX_FRAME_BYTES / 4);
}

static void section_reset(struct nx_section *section) {
    nx_buf_reset(&section->items);
    section->count = 0;
    section->whole_bytes = 0;
}

int nx_work_init(void) {
    nx_buf_init(&nx_work.text, NX_MAX_FRAME_BYTES / 2);
    section_init(&nx_work.events);
    section_init(&nx_work.views);
    section_init(&nx_work.logs);
    section_init(&nx_work.calls);
    section_init(&nx_work.denials);
    nx_buf_init(&nx_work.returned, NX_MAX_FRAME_BYTES / 4);
    nx_buf_init(&nx_work.message, NX_MAX_ERROR_TEXT_BYTES + 4);
    nx_buf_init(&nx_work.stack, NX_MAX_ERROR_TEXT_BYTES + 4);
    nx_buf_init(&nx_work.detail, NX_MAX_ERROR_TEXT_BYTES + 4);
    nx_work.changes = calloc(NX_MAX_SEGMENT_CHANGES, sizeof(*nx_work.changes));
    nx_work.change_capacity = NX_MAX_SEGMENT_CHANGES;
    return nx_work.changes != NULL ? 0 : NX_E_NOMEM;
}

void nx_work_begin(struct nx_exec *exec, const struct nx_state_entry *state, uint32_t state_count,
                   double now_ms) {
    nx_work.exec = exec;
    nx_work.state = state;
    nx_work.state_count = state_count;
    nx_work.now_ms = now_ms;
    nx_work.state_bytes = 0;
    for (uint32_t i = 0; i < state_count; i++) {
        nx_work.state_bytes += state[i].key.len + state[i].json.len;
    }
    nx_work.change_count = 0;
    nx_buf_reset(&nx_work.text);
    section_reset(&nx_work.events);
    section_reset(&nx_work.views);
    section_reset(&nx_work.logs);
    section_reset(&nx_work.calls);
    section_reset(&nx_work.denials);
    nx_buf_reset(&nx_work.returned);
    nx_buf_reset(&nx_work.message);
    nx_buf_reset(&nx_work.stack);
    nx_buf_reset(&nx_work.detail);
    memset(nx_work.host_calls, 0, sizeof(nx_work.host_calls));
    nx_work.fatal = NX_RESULT_NONE;
    nx_work.reported_error = false;
    nx_work.error_kind = NX_GUEST_ERROR_THROWN;
    nx_work.line = nx_work.column = 0;
}

// ---- what became of it

// An extension error keeps its code; whatever else the guest says is an extension's plain failure.
static enum nx_result_code call_code(struct nx_span detail) {
    static const enum nx_result_code codes[] = {NX_RESULT_EXTENSION_NOT_FOUND,
                                                NX_RESULT_METHOD_NOT_FOUND};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (nx_span_eq(detail, nx_span_str(nx_result_code_name(codes[i])))) {
            return codes[i];
        }
    }
    return NX_RESULT_EXTENSION_ERROR;
}

static enum nx_result_code reported_code(bool deadline_passed) {
    switch (nx_work.error_kind) {
    case NX_GUEST_ERROR_DENIED:
        return NX_RESULT_PERMISSION_DENIED;
    case NX_GUEST_ERROR_MEMORY:
        return NX_RESULT_MEMORY_LIMIT;
    case NX_GUEST_ERROR_STACK:
        return NX_RESULT_RESOURCE_LIMIT;
    case NX_GUEST_ERROR_CALL:
        return call_code(nx_buf_span(&nx_work.detail));
    case NX_GUEST_ERROR_INTERRUPTED:
        return deadline_passed ? NX_RESULT_TIMEOUT : NX_RESULT_EXECUTION_ERROR;
    case NX_GUEST_ERROR_SYNTAX:
        return NX_RESULT_COMPILATION_ERROR;
    case NX_GUEST_ERROR_ESCAPE:
        return NX_RESULT_INVALID_HANDLER;
    default:
        return NX_RESULT_EXECUTION_ERROR;
    }
}

static void say(const char *message) {
    nx_buf_reset(&nx_work.message);
    nx_buf_append_str(&nx_work.message, message);
}

enum nx_result_code nx_work_judge(enum nx_trap trap, bool hit_memory_limit, bool deadline_passed) {
    if (nx_work.fatal != NX_RESULT_NONE) {
        say(nx_work.fatal_message);
        return nx_work.fatal;
    }
    if (trap == NX_TRAP_DEADLINE || (trap == NX_TRAP_NONE && deadline_passed &&
                                     nx_work.error_kind == NX_GUEST_ERROR_INTERRUPTED)) {
        say("running time limit reached");
        return NX_RESULT_TIMEOUT;
    }
    if (trap == NX_TRAP_STACK) {
        say("stack: limit reached");
        return NX_RESULT_RESOURCE_LIMIT;
    }
    if (trap != NX_TRAP_NONE) {
        say(hit_memory_limit ? "memory limit reached" : nx_trap_name(trap));
        return hit_memory_limit ? NX_RESULT_MEMORY_LIMIT : NX_RESULT_EXECUTION_ERROR;
    }
    if (!nx_work.reported_error) {
        say(nx_work.returned.len != 0 ? "the return value is no JSON, or nested too deeply"
                                      : "the handler ended without a result");
        return NX_RESULT_EXECUTION_ERROR;
    }
    const enum nx_result_code code = reported_code(deadline_passed);
    if (code == NX_RESULT_MEMORY_LIMIT) {
        say("memory limit reached");
    }
    return code;
}

bool nx_work_returned_json(void) {
    const struct nx_span json = nx_buf_span(&nx_work.returned);
    return json.len == 0 || nx_json_scan(json, NULL, NULL) == 0;
}

enum nx_result_code nx_work_too_large(void) {
    say("the results of the segment are too large");
    return NX_RESULT_RESOURCE_LIMIT;
}

// ---- the frame

static void put_section(struct nx_buf *out, const struct nx_section *section) {
    nx_wire_put_u32(out, section->count);
    nx_buf_append(out, section->items.data, section->whole_bytes);
}

static void put_effects(struct nx_buf *out, bool failed) {
    const uint32_t changes = failed ? 0 : nx_work.change_count;
    nx_wire_put_u32(out, changes);
    for (uint32_t i = 0; i < changes; i++) {
        const struct nx_change *c = &nx_work.changes[i];
        nx_wire_put_u8(out, c->is_delete);
        nx_wire_put_bytes(out, nx_span_of(nx_work.text.data + c->key_at, c->key_len));
        nx_wire_put_bytes(out, nx_span_of(nx_work.text.data + c->json_at, c->json_len));
    }
    static const struct nx_section none;
    put_section(out, failed ? &none : &nx_work.events);
    put_section(out, failed ? &none : &nx_work.views);
    put_section(out, &nx_work.logs);
    put_section(out, failed ? &none : &nx_work.calls);
    put_section(out, &nx_work.denials);
}

// Resets that the kernel has been told of.
static struct nx_engine_counters told;

static uint32_t resets_to_tell(int kind) {
    const uint64_t more = nx_engine_counters.resets[kind] - told.resets[kind];
    return more < NX_MAX_RESETS_TOLD ? (uint32_t)more : NX_MAX_RESETS_TOLD;
}

int nx_work_write(struct nx_buf *out, const struct nx_segment_report *report) {
    const size_t start = nx_wire_begin(out, NX_FRAME_SEGMENT, nx_work.exec->id);
    const bool failed = report->status == NX_WIRE_ERROR;
    nx_wire_put_u8(out, (uint8_t)report->status);
    nx_wire_put_u32(out, report->run_us);
    nx_wire_put_u64(out, report->memory_used_bytes);
    nx_wire_put_u64(out, report->memory_peak_bytes);
    for (int kind = 0; kind < NX_RESET_KINDS; kind++) {
        nx_wire_put_u32(out, resets_to_tell(kind));
    }
    nx_buf_append(out, nx_work.host_calls, sizeof(nx_work.host_calls));
    put_effects(out, failed || report->status == NX_WIRE_NOT_RUN);
    if (failed) {
        nx_wire_put_u8(out, (uint8_t)report->code);
        nx_wire_put_bytes(out, nx_buf_span(&nx_work.message));
        nx_wire_put_bytes(out, nx_buf_span(&nx_work.stack));
        nx_wire_put_bytes(out, report->code == NX_RESULT_PERMISSION_DENIED
                                   ? nx_buf_span(&nx_work.detail)
                                   : (struct nx_span){0});
        nx_wire_put_u32(out, nx_work.line > 0 ? (uint32_t)nx_work.line : 0);
        nx_wire_put_u32(out, nx_work.column > 0 ? (uint32_t)nx_work.column : 0);
    } else if (report->status == NX_WIRE_DONE) {
        nx_wire_put_bytes(out, nx_buf_span(&nx_work.returned));
    }
    const int status = nx_wire_end(out, start);
    for (int kind = 0; status == 0 && kind < NX_RESET_KINDS; kind++) {
        told.resets[kind] += resets_to_tell(kind);
    }
    return status;
}
