// SPDX-License-Identifier: Apache-2.0
// What a worker does, timed inside one process: the frames that the kernel would send are handed to
// the worker's own functions, and its answers are checked. No sockets, no other process.
//
// usage: bench_engine engine ROUNDS [NAME]
//                                     prints "name<TAB>nanoseconds per call", all names in turn (or
//                                     only NAME: for profilers), ROUNDS times
//        bench_engine js FILE RUNS    runs the handler body in FILE once to warm up and RUNS times
//                                     timed; prints "median ms<TAB>returned JSON"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "sandbox/runner.h"
#include "sandbox/warm.h"
#include "sandbox/wire.h"
#include "sandbox/work.h"

enum {
    MEMORY_LIMIT_BYTES = NX_DEFAULT_MEMORY_LIMIT_MB * 1024 * 1024,
    STACK_LIMIT_BYTES = NX_DEFAULT_STACK_LIMIT_KB * 1024,
    TIMEOUT_US = 30 * 1000 * 1000,
    EXECUTION = 1, // the only one at any time
    MAX_RUNS = 1000,
};

static const struct nx_deadline never = {UINT64_MAX, UINT64_MAX, UINT64_MAX};

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bench_engine: %s\n", what);
    exit(1);
}

// ---- frames: what the kernel would send, and what comes back

// Hands over the one frame in `frame`; the answer, if any, is in `out`.
static void deliver(const struct nx_buf *frame, struct nx_buf *out) {
    struct nx_frame_header header;
    struct nx_span payload;
    if (nx_wire_next(nx_buf_span(frame), &header, &payload) != 1) {
        die("not a frame");
    }
    nx_buf_reset(out);
    int status = NX_E_PROTOCOL;
    switch (header.type) {
    case NX_FRAME_COMPILE:
        status = nx_runner_compile(header.id, payload, out);
        break;
    case NX_FRAME_LOAD:
        status = nx_runner_load(header.id, payload);
        break;
    case NX_FRAME_RUN:
        status = nx_runner_run(header.id, payload, out);
        break;
    case NX_FRAME_RESUME:
        status = nx_runner_resume(header.id, payload, out);
        break;
    default:
        break;
    }
    if (status != 0) {
        die("the worker would have ended");
    }
}

static void put_compile(struct nx_buf *frame, struct nx_span source) {
    const size_t start = nx_wire_begin(frame, NX_FRAME_COMPILE, 0);
    nx_wire_put_u8(frame, 0);
    nx_wire_put_u32(frame, 1);
    nx_wire_put_u32(frame, 1);
    nx_wire_put_bytes(frame, source);
    nx_wire_end(frame, start);
}

static void put_load(struct nx_buf *frame, uint32_t slot, struct nx_span bytecode) {
    const size_t start = nx_wire_begin(frame, NX_FRAME_LOAD, slot);
    nx_wire_put_bytes(frame, bytecode);
    nx_wire_end(frame, start);
}

// The state every handler here starts from, and the grants it has.
static void put_state(struct nx_buf *frame) {
    nx_wire_put_u32(frame, 1);
    nx_wire_put_bytes(frame, nx_span_str("counter"));
    nx_wire_put_bytes(frame, nx_span_str("41"));
}

static void put_caps(struct nx_buf *frame) {
    static const struct {
        enum nx_cap_kind kind;
        const char *scope;
    } caps[] = {
        {NX_CAP_STATE_READ, "counter"}, {NX_CAP_STATE_WRITE, "counter"}, {NX_CAP_EXT, "time"}};
    nx_wire_put_u32(frame, sizeof(caps) / sizeof(caps[0]));
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        nx_wire_put_u8(frame, (uint8_t)caps[i].kind);
        nx_wire_put_bytes(frame, nx_span_str(caps[i].scope));
    }
}

static void put_run(struct nx_buf *frame, uint32_t slot) {
    const size_t start = nx_wire_begin(frame, NX_FRAME_RUN, EXECUTION);
    nx_wire_put_u32(frame, slot);
    nx_wire_put_u32(frame, TIMEOUT_US);
    nx_wire_put_u32(frame, NX_DEFAULT_MAX_HOST_CALLS);
    nx_wire_put_u32(frame, NX_DEFAULT_MAX_STATE_MUTATIONS);
    nx_wire_put_u32(frame, NX_DEFAULT_MAX_EVENTS);
    nx_wire_put_u32(frame, NX_DEFAULT_MAX_LOG_KB * 1024);
    nx_wire_put_u32(frame, NX_DEFAULT_MAX_VALUE_KB * 1024);
    nx_wire_put_u32(frame, NX_DEFAULT_MAX_STATE_KB * 1024);
    put_state(frame);
    put_caps(frame);
    nx_wire_put_bytes(frame, nx_span_str("{}"));
    nx_wire_put_bytes(frame, nx_span_str("{}"));
    nx_wire_put_u8(frame, 0); // no chain
    nx_wire_put_u32(frame, 0);
    nx_wire_end(frame, start);
}

static void put_resume(struct nx_buf *frame) {
    const size_t start = nx_wire_begin(frame, NX_FRAME_RESUME, EXECUTION);
    nx_wire_put_u32(frame, TIMEOUT_US);
    nx_wire_put_u32(frame, 1); // call ids count up from 1
    nx_wire_put_u8(frame, 1);
    nx_wire_put_bytes(frame, nx_span_str("null"));
    nx_wire_put_bytes(frame, (struct nx_span){0});
    put_state(frame);
    nx_wire_end(frame, start);
}

// The bytecode of a COMPILED frame.
static struct nx_span compiled(const struct nx_buf *answer) {
    struct nx_frame_header header;
    struct nx_span payload;
    struct nx_wire_reader r;
    if (nx_wire_next(nx_buf_span(answer), &header, &payload) != 1) {
        die("no COMPILED frame");
    }
    nx_wire_reader_init(&r, payload);
    const uint8_t code = nx_wire_get_u8(&r);
    for (int i = 0; i < 3; i++) { // time, line, column
        nx_wire_get_u32(&r);
    }
    const struct nx_span bytecode = nx_wire_get_bytes(&r), message = nx_wire_get_bytes(&r);
    if (code != NX_RESULT_NONE || !nx_wire_reader_done(&r)) {
        fprintf(stderr, "%.*s\n", (int)message.len, message.data);
        die("a handler does not compile");
    }
    return bytecode;
}

// The status is the first byte after the header: cheap enough to look at in every timed call.
static void expect(const struct nx_buf *answer, enum nx_wire_status status) {
    if (answer->len <= sizeof(struct nx_frame_header) ||
        answer->data[sizeof(struct nx_frame_header)] != (char)status) {
        fprintf(stderr, "%.*s\n", (int)nx_work.message.len, nx_work.message.data);
        die("a segment did not end as it should");
    }
}

// ---- handlers

// One handler and the frames that load and run it.
struct handler {
    struct nx_buf bytecode, load, run;
};

static struct nx_buf answer, resume_frame, compile_frame;

static void prepare(struct handler *h, uint32_t slot, struct nx_span source) {
    struct nx_buf frame;
    nx_buf_init(&frame, NX_MAX_FRAME_BYTES);
    nx_buf_init(&h->bytecode, NX_MAX_BYTECODE_BYTES);
    nx_buf_init(&h->load, NX_MAX_FRAME_BYTES);
    nx_buf_init(&h->run, NX_MAX_FRAME_BYTES);
    put_compile(&frame, source);
    deliver(&frame, &answer);
    nx_buf_append_span(&h->bytecode, compiled(&answer));
    put_load(&h->load, slot, nx_buf_span(&h->bytecode));
    deliver(&h->load, &answer);
    put_run(&h->run, slot);
    nx_buf_free(&frame);
}

// More copies of the counter handler than a worker keeps instances at rest.
enum { CROWD = NX_MAX_IDLE_INSTANCES + 16 };
enum { COUNTER, EMPTY, READ, WRITE, AWAIT, SUSPEND, COLD, HANDLER_COUNT };
static const char *const sources[HANDLER_COUNT] = {
    [COUNTER] = "$state.counter = ($state.counter || 0) + 1",
    [EMPTY] = "",
    [READ] = "$state.counter",
    [WRITE] = "$state.counter = 42",
    [AWAIT] = "await null",
    [SUSPEND] = "await $ext.time.sleep(1)",
    [COLD] = "$state.counter = ($state.counter || 0) + 1",
};
static struct handler handlers[HANDLER_COUNT], crowd[CROWD];

// The counter handler's effect, once: what is timed below is the real thing.
static void check_counter(void) {
    deliver(&handlers[COUNTER].run, &answer);
    expect(&answer, NX_WIRE_DONE);
    const struct nx_change *change = &nx_work.changes[0];
    if (nx_work.change_count != 1 || change->is_delete || change->json_len != 2 ||
        memcmp(nx_work.text.data + change->json_at, "42", 2) != 0) {
        die("the counter handler does not count");
    }
}

// ---- what is timed

// One call each; `arg` is a handler.
static void call_frame(int arg) {
    deliver(&handlers[arg].run, &answer);
    expect(&answer, NX_WIRE_DONE);
}

static void call_suspended(int arg) {
    deliver(&handlers[arg].run, &answer);
    expect(&answer, NX_WIRE_SUSPENDED);
    deliver(&resume_frame, &answer);
    expect(&answer, NX_WIRE_DONE);
}

static void call_cold(int arg) {
    deliver(&handlers[arg].load, &answer); // anew: no instance holds it
    call_frame(arg);
}

// The next of more handlers than there are instances: its instance is another one's before.
static void call_crowd(int arg) {
    static size_t next;
    (void)arg;
    deliver(&crowd[next].run, &answer);
    expect(&answer, NX_WIRE_DONE);
    next = (next + 1) % CROWD;
}

static void call_compile(int arg) {
    (void)arg;
    deliver(&compile_frame, &answer);
}

// The same call without frames: instance, call, reset.
static void call_bare(int arg) {
    static struct nx_exec exec;
    static struct nx_state_entry state;
    struct nx_warm_code *code = nx_warm_code((uint32_t)arg);
    enum nx_trap trap;
    uint32_t outcome;
    state = (struct nx_state_entry){.key = nx_span_str("counter"), .json = nx_span_str("41")};
    exec = (struct nx_exec){.limits = {1000, 1000, 100, 65536, 1 << 20, 8 << 20}};
    exec.grants.all[NX_CAP_STATE_READ] = exec.grants.all[NX_CAP_STATE_WRITE] = true;
    nx_work_begin(&exec, &state, 1, 0);
    struct nx_instance *instance = nx_warm_take(code, &never, &trap, &outcome);
    struct nx_guest_shared *shared = nx_instance_shared(instance);
    shared->seed = 1;
    memcpy(nx_instance_memory(instance, shared->inbox_address, 6), "{}\0{}", 6);
    trap = nx_instance_call(instance, NX_EXPORT_RUN, (uint32_t[5]){shared->inbox_address, 2, 2},
                            &outcome);
    if (trap != NX_TRAP_NONE || outcome != NX_GUEST_DONE) {
        die("a bare call failed");
    }
    nx_engine_clear_deadline();
    nx_warm_give_back(instance, code, false);
    nx_warm_unref(code);
}

// Taking an instance and resetting it, with no call between.
static void reset_only(int arg) {
    struct nx_warm_code *code = nx_warm_code((uint32_t)arg);
    enum nx_trap trap;
    uint32_t outcome;
    struct nx_instance *instance = nx_warm_take(code, &never, &trap, &outcome);
    nx_warm_give_back(instance, code, false);
    nx_warm_unref(code);
}

static const struct measure {
    const char *name;
    void (*once)(int arg);
    int arg, calls;
} measures[] = {
    {"counter", call_frame, COUNTER, 20000}, {"counter without frames", call_bare, COUNTER, 20000},
    {"reset", reset_only, COUNTER, 20000},   {"empty handler", call_frame, EMPTY, 20000},
    {"state read", call_frame, READ, 20000}, {"state write", call_frame, WRITE, 20000},
    {"await", call_frame, AWAIT, 20000},     {"suspend and resume", call_suspended, SUSPEND, 2000},
    {"counter, cold", call_cold, COLD, 200}, {"counter, crowd", call_crowd, 0, 10 * CROWD},
    {"compile", call_compile, COUNTER, 200},
};

static uint64_t time_calls(const struct measure *m) {
    // Instances move from handler to handler; the first calls after another measure are not
    // typical.
    for (int i = 0; i < m->calls / 10; i++) {
        m->once(m->arg);
    }
    const uint64_t start = nx_clock_monotonic_ns();
    for (int i = 0; i < m->calls; i++) {
        m->once(m->arg);
    }
    return nx_clock_monotonic_ns() - start;
}

static void bench_engine(long rounds, const char *only) {
    for (uint32_t i = 0; i < HANDLER_COUNT; i++) {
        prepare(&handlers[i], i, nx_span_str(sources[i]));
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        prepare(&crowd[i], HANDLER_COUNT + i, nx_span_str(sources[COUNTER]));
    }
    put_resume(&resume_frame);
    put_compile(&compile_frame, nx_span_str(sources[COUNTER]));
    check_counter();
    for (long round = 0; round < rounds; round++) {
        for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++) {
            const struct measure *m = &measures[i];
            if (only == NULL || strcmp(only, m->name) == 0) {
                printf("%s\t%.1f\n", m->name, (double)time_calls(m) / m->calls);
            }
        }
    }
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench_js(const char *path, long runs) {
    static double ms[MAX_RUNS];
    struct nx_buf source;
    struct nx_error err;
    nx_buf_init(&source, NX_MAX_PANEL_SOURCE_BYTES);
    if (nx_fd_read_file(path, NX_MAX_PANEL_SOURCE_BYTES, &source, &err) != 0) {
        die(err.message);
    }
    prepare(&handlers[0], 0, nx_buf_span(&source));
    nx_buf_free(&source);
    for (long i = -1; i < runs; i++) {
        const uint64_t start = nx_clock_monotonic_ns();
        call_frame(0);
        if (i >= 0) {
            ms[i] = (double)(nx_clock_monotonic_ns() - start) / 1e6;
        }
    }
    qsort(ms, (size_t)runs, sizeof(ms[0]), by_value);
    printf("%.3f\t%.*s\n", ms[runs / 2], (int)nx_work.returned.len, nx_work.returned.data);
}

int main(int argc, char **argv) {
    const bool js = argc == 4 && strcmp(argv[1], "js") == 0;
    const bool engine = (argc == 3 || argc == 4) && strcmp(argv[1], "engine") == 0;
    const long count = js || engine ? strtol(argv[js ? 3 : 2], NULL, 10) : 0;
    if (count < 1 || count > MAX_RUNS) {
        die("usage: bench_engine engine ROUNDS [NAME] | js FILE RUNS");
    }
    nx_buf_init(&answer, NX_MAX_FRAME_BYTES);
    nx_buf_init(&resume_frame, NX_MAX_FRAME_BYTES);
    nx_buf_init(&compile_frame, NX_MAX_FRAME_BYTES);
    const struct nx_engine_config config = {.memory_limit_bytes = MEMORY_LIMIT_BYTES,
                                            .stack_limit_bytes = STACK_LIMIT_BYTES,
                                            .imports = &nx_host_imports};
    struct nx_error err;
    if (nx_engine_create(&config, &err) != 0) {
        die(err.message);
    }
    if (nx_runner_init(0) != 0) {
        die("the worker does not start");
    }
    if (js) {
        bench_js(argv[2], count);
    } else {
        bench_engine(count, argc == 4 ? argv[3] : NULL);
    }
    return 0;
}
