// SPDX-License-Identifier: Apache-2.0
// The frames of jobs: RUN, RESUME, COMPILE.
#include "sandbox/chain.h"
#include "sandbox/pool.h"

enum {
    SMALL_STATE_BYTES = 16 * 1024,
    HEAD_BYTES = 512, // more than the numbers of a frame take, and the grants of most handlers
};

// Makes `frame` the job's. 0, NX_E_LIMIT, NX_E_NOMEM.
static int finish_frame(struct nx_job *job, struct nx_buf *frame, struct nx_error *err) {
    const int status = nx_wire_end(frame, 0);
    if (status == 0) {
        job->frame = nx_buf_steal(frame, &job->frame_len);
        return 0;
    }
    nx_buf_free(frame);
    return status == NX_E_LIMIT
               ? nx_error_set(err, status, "state, arguments or result over %u bytes",
                              NX_MAX_FRAME_BYTES)
               : nx_error_set(err, status, "out of memory");
}

// What put_state will write, at most. Where that is little, grants are not looked at for it.
static size_t state_bytes(const struct nx_cap_set *caps, const struct nx_state_entry *state,
                          size_t count) {
    size_t all = sizeof(uint32_t), readable = sizeof(uint32_t);
    for (size_t i = 0; i < count; i++) {
        all += 2 * sizeof(uint32_t) + state[i].key.len + state[i].json.len;
    }
    for (size_t i = 0; i < count && all > SMALL_STATE_BYTES; i++) {
        if (nx_caps_allow(caps, NX_CAP_STATE_READ, state[i].key)) {
            readable += 2 * sizeof(uint32_t) + state[i].key.len + state[i].json.len;
        }
    }
    return all > SMALL_STATE_BYTES ? readable : all;
}

// Only what the grants let the handler read: the rest never enters a worker.
static void put_state(struct nx_buf *out, const struct nx_cap_set *caps,
                      const struct nx_state_entry *state, size_t count) {
    const size_t at = out->len;
    uint32_t sent = 0;
    nx_wire_put_u32(out, 0);
    for (size_t i = 0; i < count && sent < NX_MAX_STATE_ENTRIES; i++) {
        if (nx_caps_allow(caps, NX_CAP_STATE_READ, state[i].key)) {
            nx_wire_put_bytes(out, state[i].key);
            nx_wire_put_bytes(out, state[i].json);
            sent++;
        }
    }
    if (out->failed == 0) {
        memcpy(out->data + at, &sent, sizeof(sent));
    }
}

static void put_caps(struct nx_buf *out, const struct nx_cap_set *caps) {
    uint32_t count = (uint32_t)caps->count;
    for (uint32_t kind = 0; kind < NX_CAP_KINDS; kind++) {
        count += caps->all[kind];
    }
    nx_wire_put_u32(out, count);
    for (uint32_t kind = 0; kind < NX_CAP_KINDS; kind++) {
        if (caps->all[kind]) {
            nx_wire_put_u8(out, (uint8_t)kind);
            nx_wire_put_bytes(out, nx_span_str("*"));
        }
    }
    for (size_t i = 0; i < caps->count; i++) {
        nx_wire_put_u8(out, (uint8_t)caps->items[i].kind);
        nx_wire_put_bytes(out, nx_span_of(caps->items[i].scope, caps->items[i].scope_len));
    }
}

// The end of a RUN frame, and what goes out in place of the state of one that follows.
static void put_chain(struct nx_buf *out, const struct nx_exec_request *request) {
    const uint8_t keep = request->chain != 0 ? NX_RUN_KEEP : 0;
    nx_wire_put_u8(out, request->follows != NULL ? keep | NX_RUN_FOLLOWS : keep);
    nx_wire_put_u32(out, request->chain);
}

int nx_client_frame_run(struct nx_execution *execution, const struct nx_exec_request *request,
                        struct nx_error *err) {
    const struct nx_exec_limits *limits = &request->limits;
    struct nx_buf frame;
    const size_t state_count = request->follows == NULL ? request->state_count : 0;
    nx_buf_init(&frame, NX_MAX_FRAME_BYTES + sizeof(struct nx_frame_header));
    nx_buf_expect(&frame, HEAD_BYTES + state_bytes(request->caps, request->state, state_count) +
                              request->args_json.len + request->scope_json.len);
    nx_wire_begin(&frame, NX_FRAME_RUN, 0);
    nx_wire_put_u32(&frame, 0); // the code slot: chosen with the worker
    nx_wire_put_u32(&frame, execution->job.timeout_us);
    nx_wire_put_u32(&frame, limits->max_host_calls);
    nx_wire_put_u32(&frame, limits->max_mutations);
    nx_wire_put_u32(&frame, limits->max_events);
    nx_wire_put_u32(&frame, limits->max_log_bytes);
    nx_wire_put_u32(&frame, limits->max_value_bytes);
    nx_wire_put_u32(&frame, limits->max_state_bytes);
    put_state(&frame, request->caps, request->state, state_count);
    put_caps(&frame, request->caps);
    nx_wire_put_bytes(&frame, request->args_json);
    nx_wire_put_bytes(&frame,
                      request->scope_json.len != 0 ? request->scope_json : nx_span_str("{}"));
    put_chain(&frame, request);
    return finish_frame(&execution->job, &frame, err);
}

int nx_client_frame_resume(struct nx_execution *execution, const struct nx_call_result *result,
                           const struct nx_state_entry *state, size_t state_count,
                           struct nx_error *err) {
    struct nx_buf frame;
    nx_buf_init(&frame, NX_MAX_FRAME_BYTES + sizeof(struct nx_frame_header));
    nx_buf_expect(&frame,
                  HEAD_BYTES + state_bytes(execution->caps, state, state_count) + result->json.len);
    nx_wire_begin(&frame, NX_FRAME_RESUME, 0);
    nx_wire_put_u32(&frame, execution->job.timeout_us);
    nx_wire_put_u32(&frame, result->call_id);
    nx_wire_put_u8(&frame, result->ok);
    nx_wire_put_bytes(&frame,
                      result->ok ? result->json : nx_span_str(nx_result_code_name(result->code)));
    nx_wire_put_bytes(&frame, result->ok ? nx_span_of(NULL, 0) : result->message);
    put_state(&frame, execution->caps, state, state_count);
    return finish_frame(&execution->job, &frame, err);
}

int nx_client_frame_compile(struct nx_compile_job *compile, struct nx_span source, uint32_t line,
                            uint32_t column, struct nx_error *err) {
    struct nx_buf frame;
    nx_buf_init(&frame, NX_MAX_FRAME_BYTES);
    nx_wire_begin(&frame, NX_FRAME_COMPILE, 0);
    nx_wire_put_u8(&frame, compile->of == NX_COMPILE_EXPRESSION);
    nx_wire_put_u32(&frame, line);
    nx_wire_put_u32(&frame, column);
    nx_wire_put_bytes(&frame, source);
    return finish_frame(&compile->job, &frame, err);
}
