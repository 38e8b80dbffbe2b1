// SPDX-License-Identifier: Apache-2.0
#include "guest.h"

#include <signal.h>
#include <stdlib.h>

#include "base/json.h"
#include "sandbox/exec.h"
#include "sandbox/pool.h"
#include "sandbox/runner.h"

// What the kernel's checks need of a pool.
static struct nx_sandbox pool = {.config.memory_limit_bytes = GUEST_MEMORY_BYTES};

// ---- Faults

// The engine's handler leaves by a jump if the fault is the guest's. Any other
// is a bug of ours: it goes to whoever was there before, the fuzzer or the
// sanitizer, so that the input is kept.
static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE};
enum { FAULT_SIGNALS = sizeof fault_signals / sizeof fault_signals[0] };
static struct sigaction before[FAULT_SIGNALS], engines[FAULT_SIGNALS];

static void on_fault(int number, siginfo_t *info, void *context) {
    for (int i = 0; i < FAULT_SIGNALS; i++) {
        if (fault_signals[i] != number)
            continue;
        engines[i].sa_sigaction(number, info, context);
        if (before[i].sa_flags & SA_SIGINFO)
            before[i].sa_sigaction(number, info, context);
    }
}

// The engine's timer and the fuzzer's alarm are one signal. The fuzzer looks
// whether an input takes too long; then the engine may leave by a jump.
static struct sigaction alarm_before, alarm_engine;

static void on_alarm(int number, siginfo_t *info, void *context) {
    if (alarm_before.sa_flags & SA_SIGINFO)
        alarm_before.sa_sigaction(number, info, context);
    alarm_engine.sa_handler(number);
}

static void put_before_engine(void) {
    FUZZ_CHECK(sigaction(SIGALRM, NULL, &alarm_engine) == 0);
    struct sigaction both = alarm_engine;
    both.sa_flags |= SA_SIGINFO;
    both.sa_sigaction = on_alarm;
    FUZZ_CHECK(sigaction(SIGALRM, &both, NULL) == 0);
    for (int i = 0; i < FAULT_SIGNALS; i++) {
        FUZZ_CHECK(sigaction(fault_signals[i], NULL, &engines[i]) == 0);
        struct sigaction ours = engines[i];
        ours.sa_sigaction = on_fault;
        FUZZ_CHECK(sigaction(fault_signals[i], &ours, NULL) == 0);
    }
}

void guest_start(const struct nx_engine_imports *imports) {
    static bool started;
    if (started)
        return;
    started = true;
    for (int i = 0; i < FAULT_SIGNALS; i++)
        FUZZ_CHECK(sigaction(fault_signals[i], NULL, &before[i]) == 0);
    FUZZ_CHECK(sigaction(SIGALRM, NULL, &alarm_before) == 0);
    struct nx_error err = {0};
    struct nx_engine_config config = {.memory_limit_bytes = GUEST_MEMORY_BYTES,
                                      .stack_limit_bytes = GUEST_STACK_BYTES,
                                      .imports = imports ? imports : &nx_host_imports};
    FUZZ_CHECK(nx_engine_create(&config, &err) == 0);
    FUZZ_CHECK(nx_runner_init(2) == 0);
    put_before_engine();
}

// ---- Code

// The payload of the one frame in `frame`.
static struct nx_span payload_of(const struct nx_buf *frame, enum nx_frame_type type, uint32_t id) {
    struct nx_frame_header header;
    struct nx_span payload = {0};
    FUZZ_CHECK(nx_wire_next(nx_buf_span(frame), &header, &payload) == 1);
    FUZZ_CHECK(header.type == type && header.id == id);
    FUZZ_CHECK(sizeof header + payload.len == frame->len);
    return payload;
}

bool guest_try_compile(struct nx_span source, struct nx_span *bytecode, struct nx_buf *message) {
    struct nx_buf request, answer;
    struct nx_wire_reader r;
    nx_buf_init(&request, NX_MAX_FRAME_BYTES);
    nx_buf_init(&answer, NX_MAX_FRAME_BYTES);
    nx_wire_put_u8(&request, 0);
    nx_wire_put_u32(&request, 1);
    nx_wire_put_u32(&request, 1);
    nx_wire_put_bytes(&request, source);
    FUZZ_CHECK(nx_runner_compile(1, nx_buf_span(&request), &answer) == 0);
    nx_wire_reader_init(&r, payload_of(&answer, NX_FRAME_COMPILED, 1));
    uint8_t code = nx_wire_get_u8(&r);
    for (int i = 0; i < 3; i++) // time, line, column
        nx_wire_get_u32(&r);
    struct nx_span got = nx_wire_get_bytes(&r);
    struct nx_span why = nx_wire_get_bytes(&r);
    FUZZ_CHECK(nx_wire_reader_done(&r) && (got.len > 0) == (code == NX_RESULT_NONE));
    FUZZ_CHECK(code == NX_RESULT_NONE || (why.len > 0 && fuzz_utf8(why, false)));
    nx_buf_append_span(message, why);
    if (got.len)
        *bytecode = fuzz_copy(got);
    nx_buf_free(&request);
    nx_buf_free(&answer);
    return got.len > 0;
}

struct nx_span guest_compile(const char *source) {
    struct nx_span bytecode = {0};
    struct nx_buf message;
    nx_buf_init(&message, NX_MAX_FRAME_BYTES);
    FUZZ_CHECK(guest_try_compile(nx_span_str(source), &bytecode, &message));
    nx_buf_free(&message);
    return bytecode;
}

void guest_load(uint32_t slot, struct nx_span bytecode) {
    struct nx_buf frame;
    nx_buf_init(&frame, NX_MAX_FRAME_BYTES);
    nx_wire_put_bytes(&frame, bytecode);
    FUZZ_CHECK(nx_runner_load(slot, nx_buf_span(&frame)) == 0);
    nx_buf_free(&frame);
}

// ---- Executions

void guest_run_init(struct guest_run *run, uint32_t id) {
    *run = (struct guest_run){
        .id = id,
        .timeout_us = 20000,
        .limits = {.timeout_ms = 20,
                   .max_host_calls = 24,
                   .max_mutations = 6,
                   .max_events = 5,
                   .max_log_bytes = 100,
                   .max_value_bytes = 200,
                   .max_state_bytes = 400},
    };
    run->kernel = calloc(1, sizeof *run->kernel);
    FUZZ_CHECK(run->kernel);
    nx_buf_init(&run->out, NX_MAX_FRAME_BYTES + sizeof(struct nx_frame_header));
}

void guest_run_free(struct guest_run *run) {
    nx_caps_free(&run->caps);
    nx_buf_free(&run->out);
    free(run->kernel);
}

void guest_grant(struct guest_run *run, const char *token) {
    FUZZ_CHECK(nx_caps_add(&run->caps, nx_span_str(token), NULL) == 0);
}

static void put_grants(struct nx_buf *out, const struct nx_cap_set *caps) {
    uint32_t count = (uint32_t)caps->count;
    for (int kind = 0; kind < NX_CAP_KINDS; kind++)
        count += caps->all[kind];
    nx_wire_put_u32(out, count);
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        if (!caps->all[kind])
            continue;
        nx_wire_put_u8(out, (uint8_t)kind);
        nx_wire_put_bytes(out, nx_span_str("*"));
    }
    for (size_t i = 0; i < caps->count; i++) {
        nx_wire_put_u8(out, (uint8_t)caps->items[i].kind);
        nx_wire_put_bytes(out, nx_span_of(caps->items[i].scope, caps->items[i].scope_len));
    }
}

static void put_state(struct nx_buf *out, const struct guest_run *run) {
    nx_wire_put_u32(out, run->state_count);
    for (uint32_t i = 0; i < run->state_count; i++) {
        nx_wire_put_bytes(out, run->state[i].key);
        nx_wire_put_bytes(out, run->state[i].json);
    }
}

static struct nx_span or_empty_object(struct nx_span json) {
    return json.len ? json : nx_span_str("{}");
}

int guest_call(struct guest_run *run) {
    const struct nx_exec_limits *limits = &run->limits;
    struct nx_buf frame;
    nx_buf_init(&frame, NX_MAX_FRAME_BYTES);
    nx_wire_put_u32(&frame, run->slot);
    nx_wire_put_u32(&frame, run->timeout_us);
    nx_wire_put_u32(&frame, limits->max_host_calls);
    nx_wire_put_u32(&frame, limits->max_mutations);
    nx_wire_put_u32(&frame, limits->max_events);
    nx_wire_put_u32(&frame, limits->max_log_bytes);
    nx_wire_put_u32(&frame, limits->max_value_bytes);
    nx_wire_put_u32(&frame, limits->max_state_bytes);
    put_state(&frame, run);
    put_grants(&frame, &run->caps);
    nx_wire_put_bytes(&frame, or_empty_object(run->args));
    nx_wire_put_bytes(&frame, or_empty_object(run->scope));
    nx_wire_put_u8(&frame, run->flags);
    nx_wire_put_u32(&frame, run->chain);
    nx_buf_reset(&run->out);
    run->kernel->job.kind = NX_JOB_RUN;
    run->kernel->sandbox = &pool;
    run->kernel->caps = &run->caps;
    run->kernel->limits = run->limits;
    run->kernel->follows = (run->flags & 2) != 0;
    int rc = nx_runner_run(run->id, nx_buf_span(&frame), &run->out);
    nx_buf_free(&frame); // a suspended execution must not need it any more
    if (rc == 0)
        guest_check_answer(run);
    return rc;
}

int guest_resume(struct guest_run *run, uint32_t call_id, bool ok, struct nx_span first,
                 struct nx_span second) {
    struct nx_execution *kernel = run->kernel;
    struct nx_buf frame;
    nx_buf_init(&frame, NX_MAX_FRAME_BYTES);
    nx_wire_put_u32(&frame, run->timeout_us);
    nx_wire_put_u32(&frame, call_id);
    nx_wire_put_u8(&frame, ok);
    nx_wire_put_bytes(&frame, first);
    nx_wire_put_bytes(&frame, second);
    put_state(&frame, run);
    for (uint32_t i = 0; i < kernel->outstanding; i++) {
        if (kernel->outstanding_ids[i] == call_id) {
            kernel->outstanding_ids[i] = kernel->outstanding_ids[--kernel->outstanding];
            break;
        }
    }
    nx_buf_reset(&run->out);
    kernel->job.kind = NX_JOB_RESUME;
    int rc = nx_runner_resume(run->id, nx_buf_span(&frame), &run->out);
    nx_buf_free(&frame);
    if (rc == 0)
        guest_check_answer(run);
    return rc;
}

void guest_release(struct guest_run *run) {
    FUZZ_CHECK(nx_runner_release(run->id) == 0);
}

// ---- What must hold

static bool json_ok(struct nx_span json, const struct nx_exec_limits *limits,
                    enum nx_json_kind *kind) {
    return json.len <= limits->max_value_bytes && nx_json_scan(json, kind, NULL) == 0;
}

static bool name_ok(struct nx_span name) {
    return name.len >= 1 && name.len <= NX_MAX_KEY_BYTES && fuzz_utf8(name, true);
}

static void check_mutations(const struct nx_segment *s, const struct nx_cap_set *caps,
                            const struct nx_exec_limits *limits) {
    FUZZ_CHECK(s->mutation_count <= limits->max_mutations);
    for (size_t i = 0; i < s->mutation_count; i++) {
        const struct nx_mutation *m = &s->mutations[i];
        FUZZ_CHECK(name_ok(m->key) && nx_caps_allow(caps, NX_CAP_STATE_WRITE, m->key));
        FUZZ_CHECK(m->is_delete ? m->json.len == 0 : json_ok(m->json, limits, NULL));
        for (size_t k = 0; k < i; k++)
            FUZZ_CHECK(!nx_span_eq(m->key, s->mutations[k].key));
    }
}

static void check_messages(const struct nx_segment *s, const struct nx_cap_set *caps,
                           const struct nx_exec_limits *limits) {
    enum nx_json_kind kind;
    FUZZ_CHECK(s->event_count + s->view_count <= limits->max_events);
    for (size_t i = 0; i < s->event_count; i++) {
        const struct nx_event *e = &s->events[i];
        FUZZ_CHECK(name_ok(e->name) && nx_caps_allow(caps, NX_CAP_EVENTS_EMIT, e->name));
        FUZZ_CHECK(e->payload_json.len == 0 || json_ok(e->payload_json, limits, NULL));
    }
    for (size_t i = 0; i < s->view_count; i++) {
        const struct nx_view_command *v = &s->views[i];
        FUZZ_CHECK(name_ok(v->component_id) &&
                   nx_caps_allow(caps, NX_CAP_VIEW_UPDATE, v->component_id));
        FUZZ_CHECK(json_ok(v->args_json, limits, &kind) && kind == NX_JSON_OBJECT);
    }
    for (size_t i = 0; i < s->call_count; i++) {
        const struct nx_ext_call *c = &s->calls[i];
        FUZZ_CHECK(name_ok(c->extension) && name_ok(c->method) && c->call_id > 0);
        FUZZ_CHECK(nx_caps_allow(caps, NX_CAP_EXT, c->extension));
        FUZZ_CHECK(json_ok(c->args_json, limits, &kind) && kind == NX_JSON_ARRAY);
    }
}

void guest_check_segment(const struct nx_segment *s, const struct nx_cap_set *caps,
                         const struct nx_exec_limits *limits) {
    size_t log_bytes = 0;
    FUZZ_CHECK(s->status <= NX_SEGMENT_NOT_RUN);
    check_mutations(s, caps, limits);
    check_messages(s, caps, limits);
    for (size_t i = 0; i < s->log_count; i++) {
        FUZZ_CHECK(fuzz_utf8(s->logs[i].message, false) && s->logs[i].level.len > 0);
        log_bytes += s->logs[i].message.len;
    }
    FUZZ_CHECK(log_bytes <= limits->max_log_bytes);
    for (size_t i = 0; i < s->denial_count; i++)
        FUZZ_CHECK(s->denials[i].kind < NX_CAP_KINDS && fuzz_utf8(s->denials[i].scope, true));
    FUZZ_CHECK(s->return_json.len == 0 || json_ok(s->return_json, limits, NULL));
    for (int i = 0; i < NX_RESET_KINDS; i++)
        FUZZ_CHECK(s->resets[i] <= NX_MAX_RESETS_TOLD);
    FUZZ_CHECK(s->memory_used_bytes <= GUEST_MEMORY_BYTES);
    FUZZ_CHECK(s->memory_peak_bytes <= GUEST_MEMORY_BYTES);
    FUZZ_CHECK(fuzz_utf8(s->error.message, false) && fuzz_utf8(s->error.stack, false) &&
               fuzz_utf8(s->error.capability, false));
    if (s->status != NX_SEGMENT_ERROR)
        return;
    FUZZ_CHECK(s->error.code != NX_RESULT_NONE && s->error.code < NX_RESULT_CODE_COUNT);
    FUZZ_CHECK(!s->mutation_count && !s->event_count && !s->view_count && !s->call_count);
}

void guest_check_answer(struct guest_run *run) {
    struct nx_span payload = payload_of(&run->out, NX_FRAME_SEGMENT, run->id);
    FUZZ_CHECK(nx_segment_check(run->kernel, payload, &run->segment) == 0);
    guest_check_segment(&run->segment, &run->caps, &run->limits);
}
