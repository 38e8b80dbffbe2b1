// SPDX-License-Identifier: Apache-2.0
// The functions of client.h that make jobs, and what their answers lead to.
#include "sandbox/client.h"

#include <stdlib.h>

#include "base/json.h"
#include "sandbox/pool.h"

void nx_exec_limits_default(struct nx_exec_limits *limits) {
    *limits = (struct nx_exec_limits){
        .timeout_ms = NX_DEFAULT_TIMEOUT_MS,
        .max_host_calls = NX_DEFAULT_MAX_HOST_CALLS,
        .max_mutations = NX_DEFAULT_MAX_STATE_MUTATIONS,
        .max_events = NX_DEFAULT_MAX_EVENTS,
        .max_log_bytes = NX_DEFAULT_MAX_LOG_KB * 1024u,
        .max_value_bytes = NX_DEFAULT_MAX_VALUE_KB * 1024u,
        .max_state_bytes = NX_DEFAULT_MAX_STATE_KB * 1024u,
    };
}

// ---- running

// It has ended: others may have its place, also in the callback that says so.
static void give_place(struct nx_execution *execution) {
    if (!execution->place_given) {
        execution->place_given = true;
        execution->sandbox->executions--;
    }
}

static void free_execution(struct nx_execution *execution) {
    give_place(execution);
    if (execution->before != NULL) {
        execution->before->behind = NULL;
    }
    if (execution->behind != NULL) {
        // Not freed: that would have taken it off here. The analyzer does not follow the links.
        execution->behind->before = NULL; // NOLINT(clang-analyzer-unix.Malloc)
    }
    if (execution->spent_fn != NULL) {
        execution->spent_fn(execution->user, execution->ran_us);
    }
    nx_code_unref(execution->code);
    free(execution->job.frame);
    free(execution);
}

// Whether an execution may follow `before` now. A slow worker takes nothing new.
static bool can_follow(const struct nx_execution *before, uint32_t chain) {
    if (before->chain != chain || before->behind != NULL || before->fn == NULL ||
        before->job.kind != NX_JOB_RUN || before->phase == NX_PHASE_PARKED) {
        return false;
    }
    const struct nx_peer *peer = before->peer;
    return peer == NULL || (nx_peer_alive(peer) && !peer->slow && !peer->alone);
}

// Lines the execution up behind `before`.
static void follow(struct nx_execution *execution, struct nx_execution *before) {
    execution->follows = true;
    execution->before = before;
    before->behind = execution;
    if (before->peer != NULL) {
        nx_dispatch_bind(before->peer, &execution->job);
    } else {
        execution->place = NX_PLACE_HANGING;
    }
}

int nx_sandbox_run(struct nx_sandbox *pool, const struct nx_exec_request *request,
                   nx_segment_fn *fn, void *user, struct nx_execution **out, struct nx_error *err) {
    if (pool->stopping || pool->executions >= pool->config.max_instances) {
        return nx_error_set(err, NX_E_BUSY, "%u executions are under way", pool->executions);
    }
    if (request->follows != NULL && !can_follow(request->follows, request->chain)) {
        return nx_error_set(err, NX_E_INVALID, "the chain goes no further");
    }
    struct nx_execution *execution = calloc(1, sizeof(*execution));
    if (execution == NULL) {
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    execution->chain = request->chain;
    execution->job.kind = NX_JOB_RUN;
    execution->job.timeout_us = request->limits.timeout_ms * 1000;
    execution->job.expected_us = request->expected_us;
    execution->job.lane = pool->config.spare_workers != 0 ? request->lane : NX_LANE_LIGHT;
    execution->sandbox = pool;
    execution->code = nx_code_ref(request->code);
    execution->caps = request->caps;
    execution->limits = request->limits;
    execution->fn = fn;
    execution->user = user;
    execution->left_us = (uint64_t)request->limits.timeout_ms * 1000;
    pool->executions++;
    const int status = nx_client_frame_run(execution, request, err);
    if (status != 0) {
        free_execution(execution);
        return status;
    }
    if (request->follows != NULL) {
        follow(execution, request->follows);
    } else {
        nx_dispatch_queue(pool, &execution->job);
    }
    *out = execution;
    return 0;
}

// Where the call is among the outstanding ones; NULL if it is not.
static uint32_t *find_outstanding(struct nx_execution *execution, uint32_t call_id) {
    for (uint32_t i = 0; i < execution->outstanding; i++) {
        if (execution->outstanding_ids[i] == call_id) {
            return &execution->outstanding_ids[i];
        }
    }
    return NULL;
}

int nx_sandbox_resume(struct nx_execution *execution, const struct nx_call_result *result,
                      const struct nx_state_entry *state, size_t state_count,
                      struct nx_error *err) {
    uint32_t *outstanding = find_outstanding(execution, result->call_id);
    if (execution->phase != NX_PHASE_PARKED || outstanding == NULL) {
        return nx_error_set(err, NX_E_INVALID, "the execution does not wait for that call");
    }
    struct nx_job *job = &execution->job;
    // An execution that used up its time gets a moment to notice.
    const uint64_t left_us = execution->left_us > 1000 ? execution->left_us : 1000;
    job->kind = NX_JOB_RESUME;
    job->timeout_us = (uint32_t)left_us;
    const int status = nx_client_frame_resume(execution, result, state, state_count, err);
    if (status != 0) {
        return status;
    }
    *outstanding = execution->outstanding_ids[--execution->outstanding];
    TAILQ_REMOVE(&execution->peer->parked, execution, parked_link);
    execution->sandbox->parked_executions--;
    execution->phase = NX_PHASE_WAITING;
    nx_dispatch_bind(execution->peer, job);
    return 0;
}

void nx_client_release(struct nx_execution *execution) {
    const struct nx_frame_header header = {
        .version = NX_WIRE_VERSION, .type = NX_FRAME_RELEASE, .id = execution->id};
    nx_buf_append(&execution->peer->out, &header, sizeof(header));
    nx_dispatch_later(execution->sandbox);
}

bool nx_sandbox_cancel(struct nx_execution *execution, nx_spent_fn *fn, void *user) {
    struct nx_sandbox *pool = execution->sandbox;
    if (execution->phase == NX_PHASE_FLYING) {
        execution->fn = NULL; // freed when its answer comes
        execution->spent_fn = fn;
        execution->user = user;
        return fn != NULL;
    }
    if (execution->phase == NX_PHASE_PARKED) {
        TAILQ_REMOVE(&execution->peer->parked, execution, parked_link);
        pool->parked_executions--;
        nx_client_release(execution);
    } else if (execution->place == NX_PLACE_BOUND) {
        TAILQ_REMOVE(&execution->peer->bound, &execution->job, link);
        if (execution->job.kind == NX_JOB_RESUME) {
            nx_client_release(execution);
        }
    } else if (execution->place == NX_PLACE_QUEUED) {
        nx_dispatch_unqueue(pool, &execution->job);
    }
    free_execution(execution);
    return false;
}

// ---- compiling

int nx_sandbox_compile(struct nx_sandbox *pool, enum nx_compile_kind kind, struct nx_span source,
                       uint32_t line, uint32_t column, nx_compile_fn *fn, void *user,
                       struct nx_error *err) {
    if (source.len > NX_MAX_PANEL_SOURCE_BYTES || pool->stopping ||
        pool->waiting_compiles >= NX_MAX_COMPILE_QUEUE) {
        return nx_error_set(err, NX_E_LIMIT, "source too large, or too many compilations waiting");
    }
    struct nx_compile_job *compile = calloc(1, sizeof(*compile));
    if (compile == NULL) {
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    compile->job.kind = NX_JOB_COMPILE;
    compile->job.timeout_us = NX_COMPILE_TIMEOUT_MS * 1000;
    compile->job.expected_us = NX_SLOW_SEGMENT_US;
    compile->of = kind;
    compile->fn = fn;
    compile->user = user;
    const int status = nx_client_frame_compile(compile, source, line, column, err);
    if (status != 0) {
        free(compile);
        return status;
    }
    nx_dispatch_queue(pool, &compile->job);
    return 0;
}

// An honest worker's COMPILED frame, or NX_E_PROTOCOL.
static int read_compiled(enum nx_compile_kind kind, struct nx_span payload,
                         struct nx_compile_result *result) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    const uint8_t code = nx_wire_get_u8(&r);
    result->code = (enum nx_result_code)code;
    result->compile_us = nx_wire_get_u32(&r);
    result->line = nx_wire_get_u32(&r);
    result->column = nx_wire_get_u32(&r);
    result->bytecode = nx_wire_get_bytes(&r);
    result->message = nx_wire_get_bytes(&r);
    const bool gives_bytecode = code == NX_RESULT_NONE && kind == NX_COMPILE_HANDLER;
    if (!nx_wire_reader_done(&r) || code >= NX_RESULT_CODE_COUNT ||
        (result->bytecode.len != 0) != gives_bytecode ||
        result->message.len > NX_MAX_ERROR_TEXT_BYTES + 4 || !nx_utf8_valid(result->message)) {
        return NX_E_PROTOCOL;
    }
    if (result->bytecode.len > NX_MAX_BYTECODE_BYTES) {
        result->code = NX_RESULT_COMPILATION_ERROR;
        result->bytecode = (struct nx_span){0};
        result->message = nx_span_str("the compiled handler is too large");
    }
    return 0;
}

static void end_compile(struct nx_compile_job *compile, const struct nx_compile_result *result) {
    if (compile->fn != NULL) {
        compile->fn(compile->user, result);
    }
    free(compile->job.frame);
    free(compile);
}

// ---- answers

static void park(struct nx_execution *execution, struct nx_peer *peer) {
    execution->phase = NX_PHASE_PARKED;
    TAILQ_INSERT_TAIL(&peer->parked, execution, parked_link);
    execution->sandbox->parked_executions++;
    execution->ran_us = 0; // of the next segment, from now on
    free(execution->job.frame);
    execution->job.frame = NULL;
}

// Nobody wants this segment any more, and its grants may be gone: all that counts is whether the
// worker still holds the execution.
static void drop_segment(struct nx_peer *peer, struct nx_execution *execution,
                         struct nx_span payload) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    const uint8_t status = nx_wire_get_u8(&r);
    nx_dispatch_landed(peer);
    if (status == NX_SEGMENT_SUSPENDED) {
        nx_client_release(execution);
    }
    free_execution(execution);
}

// It suspended with no time left. For each answer it would get a moment all the same, and for many
// of them that adds up: the segment that used up the time fails, with what it logged and nothing
// else.
static void time_out(struct nx_execution *execution, struct nx_segment *segment) {
    nx_client_release(execution);
    segment->status = NX_SEGMENT_ERROR;
    segment->mutation_count = segment->event_count = segment->view_count = segment->call_count = 0;
    segment->error.code = NX_RESULT_TIMEOUT;
    segment->error.message = nx_span_str("running time limit reached");
}

static int segment_ended(struct nx_peer *peer, struct nx_execution *execution,
                         struct nx_span payload) {
    struct nx_segment segment;
    if (execution->fn == NULL) {
        drop_segment(peer, execution, payload);
        return 0;
    }
    const int status = nx_segment_check(execution, payload, &segment);
    if (status == NX_E_NOMEM) {
        nx_dispatch_landed(peer);
        if (segment.status == NX_SEGMENT_SUSPENDED) {
            nx_client_release(execution);
        }
        nx_client_fail(&execution->job, NX_RESULT_OVERLOADED, "out of memory");
        return 0;
    }
    if (status != 0) {
        return status;
    }
    nx_dispatch_landed(peer);
    execution->left_us -= segment.run_us < execution->left_us ? segment.run_us : execution->left_us;
    if (segment.status == NX_SEGMENT_SUSPENDED && execution->left_us == 0) {
        time_out(execution, &segment);
    }
    const bool suspended = segment.status == NX_SEGMENT_SUSPENDED;
    if (suspended) {
        park(execution, peer);
    } else {
        give_place(execution);
    }
    execution->fn(execution->user, execution, &segment);
    if (!suspended) { // a suspended one may have been cancelled in the callback
        free_execution(execution);
    }
    return 0;
}

int nx_client_answered(struct nx_peer *peer, struct nx_job *job, struct nx_span payload) {
    if (job->kind != NX_JOB_COMPILE) {
        return segment_ended(peer, nx_job_execution(job), payload);
    }
    struct nx_compile_result result = {0};
    const int status = read_compiled(nx_job_compile(job)->of, payload, &result);
    if (status == 0) {
        nx_dispatch_landed(peer);
        end_compile(nx_job_compile(job), &result);
    }
    return status;
}

static void fail_execution(struct nx_execution *execution, enum nx_result_code code,
                           const char *message) {
    struct nx_segment segment = {.status = NX_SEGMENT_ERROR, .run_us = execution->ran_us};
    segment.error.code = code;
    segment.error.message = nx_span_str(message);
    give_place(execution);
    if (execution->fn != NULL) {
        execution->fn(execution->user, execution, &segment);
    }
    free_execution(execution);
}

void nx_client_not_run(struct nx_execution *execution) {
    const struct nx_segment segment = {.status = NX_SEGMENT_NOT_RUN};
    give_place(execution);
    if (execution->fn != NULL) {
        execution->fn(execution->user, execution, &segment);
    }
    free_execution(execution);
}

// The last of those that hang on `execution`, or itself.
static struct nx_execution *last_hanging(struct nx_execution *execution) {
    while (execution->behind != NULL && execution->behind->place == NX_PLACE_HANGING) {
        execution = execution->behind;
    }
    return execution;
}

// Takes the end off a chain; returns the one before it.
static struct nx_execution *take_end(struct nx_execution *end) {
    struct nx_execution *before = end->before;
    end->before = NULL;
    before->behind = NULL;
    return before;
}

// Those that hang on an execution which will not be sent, the last one first.
static void unhang(struct nx_execution *execution) {
    struct nx_execution *end = last_hanging(execution);
    while (end != execution) {
        struct nx_execution *before = take_end(end);
        nx_client_not_run(end);
        end = before;
    }
}

void nx_client_fail(struct nx_job *job, enum nx_result_code code, const char *message) {
    if (job->kind == NX_JOB_COMPILE) {
        const struct nx_compile_result result = {.code = code, .message = nx_span_str(message)};
        end_compile(nx_job_compile(job), &result);
        return;
    }
    unhang(nx_job_execution(job));
    fail_execution(nx_job_execution(job), code, message);
}

void nx_client_lose(struct nx_job *job, enum nx_result_code code, const char *message) {
    if (job->kind == NX_JOB_RUN && nx_job_execution(job)->follows) {
        nx_client_not_run(nx_job_execution(job)); // its turn had not come: nothing is lost with it
    } else {
        nx_client_fail(job, code, message);
    }
}

void nx_client_fail_parked(struct nx_execution *execution, const char *message) {
    TAILQ_REMOVE(&execution->peer->parked, execution, parked_link);
    execution->sandbox->parked_executions--;
    fail_execution(execution, NX_RESULT_INTERNAL_ERROR, message);
}

void nx_client_drop(struct nx_job *job) {
    if (job->kind == NX_JOB_COMPILE) {
        free(job->frame);
        free(nx_job_compile(job));
        return;
    }
    struct nx_execution *execution = nx_job_execution(job);
    struct nx_execution *end = last_hanging(execution);
    while (end != execution) {
        struct nx_execution *before = take_end(end);
        free_execution(end);
        end = before;
    }
    if (execution->phase == NX_PHASE_PARKED) {
        TAILQ_REMOVE(&execution->peer->parked, execution, parked_link);
        execution->sandbox->parked_executions--;
    }
    free_execution(execution);
}
