// SPDX-License-Identifier: Apache-2.0
// A worker as the kernel meets it: executions, compilations and chains under
// way in a pool, and a worker that sends anything, at any time: right answers,
// wrong ones, half frames, or nothing and its end. What the kernel was asked to
// do ends exactly once. Input: operations.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"
#include "sandbox/pool.h"

enum {
    WORKERS = 2,
    MAX_TASKS = 16,
    MAX_OPERATIONS = 60,
    BUFFER_BYTES = 256 * 1024,
    READ_BYTES = 65536
};

// Something the kernel asked for. `ended` by its callback, or because it was
// cancelled; then it is `spending` until the pool says how long it has run.
struct task {
    struct nx_execution *execution; // NULL: a compilation, or over
    uint32_t chain;
    bool used, ended, spending;
};

static struct fuzz_input input;
static uv_loop_t loop;
static struct nx_sandbox *pool;
static int ends[WORKERS]; // the workers' ends of their channels; -1: none
static struct task tasks[MAX_TASKS];
static struct nx_cap_set caps;
static struct nx_exec_limits limits;
static struct nx_code *code;
static unsigned task_count;
static bool stopped;

// ---- The pool, without processes

static void attach(uint32_t i) {
    int pair[2];
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    // A descriptor that is no pidfd: there is nobody to be killed.
    int pidfd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    FUZZ_CHECK(pidfd >= 0 && nx_peer_attach(&pool->peers[i], pair[0], 1, pidfd) == 0);
    ends[i] = pair[1];
}

static void init_peer(uint32_t i) {
    struct nx_peer *peer = &pool->peers[i];
    *peer = (struct nx_peer){.pool = pool, .index = i, .pidfd = -1, .channel = -1};
    nx_buf_init(&peer->in, BUFFER_BYTES);
    nx_buf_init(&peer->out, BUFFER_BYTES);
    TAILQ_INIT(&peer->flying);
    TAILQ_INIT(&peer->bound);
    TAILQ_INIT(&peer->parked);
    TAILQ_INIT(&peer->slots_lru);
    for (size_t k = 0; k < NX_WIRE_CODE_SLOTS; k++)
        TAILQ_INSERT_TAIL(&peer->slots_lru, &peer->slots[k], link);
    attach(i);
}

// As nx_sandbox_start leaves it, but that no zygote is there, nor will be.
static void start_pool(void) {
    pool = calloc(1, sizeof *pool);
    FUZZ_CHECK(pool && uv_loop_init(&loop) == 0);
    pool->loop = &loop;
    pool->config.workers = pool->ordinary = WORKERS;
    pool->config.max_instances = MAX_TASKS;
    pool->config.memory_limit_bytes = GUEST_MEMORY_BYTES;
    pool->zygote.channel = pool->zygote.pidfd = -1;
    pool->zygote.restart_at_ns = UINT64_MAX;
    for (int lane = 0; lane < NX_LANES; lane++)
        TAILQ_INIT(&pool->waiting[lane]);
    pool->peer_count = WORKERS;
    pool->peers = calloc(WORKERS, sizeof *pool->peers);
    FUZZ_CHECK(pool->peers);
    uv_prepare_init(&loop, &pool->prepare);
    uv_check_init(&loop, &pool->check);
    uv_timer_init(&loop, &pool->tick);
    pool->prepare.data = pool->check.data = pool->tick.data = pool;
    pool->open_handles = 3;
    for (uint32_t i = 0; i < WORKERS; i++)
        init_peer(i);
}

static void on_stopped(void *user) {
    (void)user;
    stopped = true;
}

static void stop_pool(void) {
    stopped = false;
    nx_sandbox_stop(pool, on_stopped, NULL);
    while (!stopped)
        uv_run(&loop, UV_RUN_NOWAIT);
    FUZZ_CHECK(uv_loop_close(&loop) == 0);
    for (int i = 0; i < WORKERS; i++)
        if (ends[i] >= 0)
            close(ends[i]);
}

// What the books of the pool say agrees with its lists.
static void check_pool(void) {
    uint32_t flying = 0, parked = 0, waiting = 0, live = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        const struct nx_peer *peer = &pool->peers[i];
        struct nx_job *job;
        struct nx_execution *execution;
        uint32_t of_peer = 0;
        TAILQ_FOREACH(job, &peer->flying, link) {
            of_peer++;
            flying += job->kind != NX_JOB_COMPILE;
        }
        FUZZ_CHECK(of_peer == peer->flying_count && of_peer <= NX_MAX_IN_FLIGHT);
        FUZZ_CHECK(of_peer == 0 || nx_peer_alive(peer));
        TAILQ_FOREACH(execution, &peer->parked, parked_link) {
            FUZZ_CHECK(execution->phase == NX_PHASE_PARKED && execution->outstanding > 0);
            parked++;
        }
    }
    struct nx_job *job;
    for (int lane = 0; lane < NX_LANES; lane++)
        TAILQ_FOREACH(job, &pool->waiting[lane], link)
    waiting++;
    FUZZ_CHECK(waiting == pool->waiting_compiles + pool->waiting_runs);
    FUZZ_CHECK(flying == pool->flying_executions && parked == pool->parked_executions);
    for (unsigned i = 0; i < task_count; i++)
        live += tasks[i].execution != NULL;
    // Those that were cancelled while they ran are still counted.
    FUZZ_CHECK(live <= pool->executions && flying + parked <= pool->executions);
}

// ---- What the kernel asks for

static void on_segment(void *user, struct nx_execution *execution, const struct nx_segment *s) {
    struct task *task = user;
    FUZZ_CHECK(!task->ended && task->execution == execution);
    if (s->status != NX_SEGMENT_ERROR || s->error.code != NX_RESULT_INTERNAL_ERROR)
        guest_check_segment(s, &caps, &limits);
    if (s->status == NX_SEGMENT_SUSPENDED)
        return;
    task->ended = true;
    task->execution = NULL;
}

static void on_compiled(void *user, const struct nx_compile_result *result) {
    struct task *task = user;
    FUZZ_CHECK(!task->ended && result->code < NX_RESULT_CODE_COUNT);
    FUZZ_CHECK(result->bytecode.len <= NX_MAX_BYTECODE_BYTES);
    FUZZ_CHECK(result->bytecode.len == 0 || result->code == NX_RESULT_NONE);
    FUZZ_CHECK(fuzz_utf8(result->message, false));
    task->ended = true;
}

static struct task *new_task(void) {
    struct task *task = task_count < MAX_TASKS ? &tasks[task_count++] : NULL;
    if (task)
        *task = (struct task){.used = true};
    return task;
}

static void run(struct task *before) {
    static uint32_t chains;
    struct nx_state_entry state = {nx_span_str("a"), nx_span_str("1")};
    struct task *task = before && !before->execution ? NULL : new_task();
    if (!task)
        return;
    task->chain = before ? before->chain : ++chains;
    struct nx_exec_request request = {.code = code,
                                      .caps = &caps,
                                      .limits = limits,
                                      .args_json = nx_span_str("{}"),
                                      .state = &state,
                                      .state_count = 1,
                                      .chain = task->chain,
                                      .follows = before ? before->execution : NULL};
    struct nx_error err = {0};
    int rc = nx_sandbox_run(pool, &request, on_segment, task, &task->execution, &err);
    FUZZ_CHECK_ERROR(rc, &err);
    task->ended = rc != 0;
}

static void compile(uint8_t how) {
    struct task *task = new_task();
    if (task)
        FUZZ_CHECK(nx_sandbox_compile(pool, how & 1 ? NX_COMPILE_EXPRESSION : NX_COMPILE_HANDLER,
                                      nx_span_str("x"), 1, 1, on_compiled, task, NULL) == 0);
}

static void resume(struct task *task, uint8_t how) {
    struct nx_call_result result = {.call_id = how & 7,
                                    .ok = how & 8,
                                    .json = nx_span_str("1"),
                                    .code = NX_RESULT_EXTENSION_ERROR,
                                    .message = nx_span_str("m")};
    if (!task->execution)
        return;
    bool parked = task->execution->phase == NX_PHASE_PARKED;
    int rc = nx_sandbox_resume(task->execution, &result, NULL, 0, NULL);
    FUZZ_CHECK(rc == 0 || rc == NX_E_INVALID);
    FUZZ_CHECK(rc != 0 || parked);
}

static void on_spent(void *user, uint32_t run_us) {
    struct task *task = user;
    (void)run_us;
    FUZZ_CHECK(task->ended && task->spending);
    task->spending = false;
}

// Chains are cancelled from their end, as client.h asks.
static void cancel(struct task *task) {
    if (!task->execution)
        return;
    if (task->execution->behind)
        cancel(task->execution->behind->user);
    task->spending = nx_sandbox_cancel(task->execution, on_spent, task);
    task->execution = NULL;
    task->ended = true;
}

// ---- What the worker says

static void put_text(struct nx_buf *out) {
    static const char *const words[] = {"a", "ok", "[]", "{}", "\"x\"", "", "\xff", "secret"};
    uint8_t len = fuzz_u8(&input);
    nx_wire_put_bytes(out, len >= 0x20 ? nx_span_str(words[len & 7]) : fuzz_take(&input, len));
}

// An answer that is mostly right: what is in it, `how` says.
static void put_segment(struct nx_buf *out, uint8_t how) {
    uint8_t status = how & 3;
    nx_wire_put_u8(out, status);
    nx_wire_put_u32(out, 1);
    nx_wire_put_u64(out, 1);
    nx_wire_put_u64(out, 1);
    for (int i = 0; i < NX_RESET_KINDS; i++)
        nx_wire_put_u32(out, 1);
    for (int i = 0; i < NX_HOST_CALL_COUNT; i++)
        nx_wire_put_u32(out, how >> 7);
    static const char *const forms[] = {"1bb", "bb", "bbb", "1b", "4bbb", "1b"};
    for (int i = 0; i < 6; i++) {
        bool one = how & 4 ? fuzz_u8(&input) & 1 : i == 4 && status == NX_SEGMENT_SUSPENDED;
        nx_wire_put_u32(out, one);
        for (const char *f = forms[i]; one && *f; f++) {
            if (i == 4 && !(how & 4)) { // the call that it waits for
                if (*f == '4')
                    nx_wire_put_u32(out, how >> 4 & 3);
                else
                    nx_wire_put_bytes(out, nx_span_str(f[1] ? "ok" : "[]"));
            } else if (*f == 'b') {
                put_text(out);
            } else if (*f == '1') {
                nx_wire_put_u8(out, fuzz_u8(&input) & 3);
            } else {
                nx_wire_put_u32(out, fuzz_u8(&input));
            }
        }
    }
    if (status == NX_SEGMENT_DONE)
        put_text(out);
    if (status != NX_SEGMENT_ERROR)
        return;
    nx_wire_put_u8(out, fuzz_u8(&input));
    for (int i = 0; i < 3; i++)
        put_text(out);
    nx_wire_put_u32(out, 0);
    nx_wire_put_u32(out, 0);
}

static void put_compiled(struct nx_buf *out) {
    nx_wire_put_u8(out, fuzz_u8(&input) & 0x1f);
    for (int i = 0; i < 3; i++)
        nx_wire_put_u32(out, 1);
    put_text(out);
    put_text(out);
}

static void answer(struct nx_peer *peer, struct nx_buf *out, uint8_t how) {
    const struct nx_job *head = TAILQ_FIRST(&peer->flying);
    bool compiled = head ? head->kind == NX_JOB_COMPILE : how & 1;
    uint32_t id = (head ? head->id : 1) + (how >= 0xf0);
    size_t start = nx_wire_begin(out, compiled ? NX_FRAME_COMPILED : NX_FRAME_SEGMENT, id);
    if (compiled)
        put_compiled(out);
    else
        put_segment(out, how);
    FUZZ_CHECK(nx_wire_end(out, start) == 0);
}

static void speak(uint32_t i, uint8_t what) {
    struct nx_peer *peer = &pool->peers[i];
    struct nx_buf out;
    static char heard[READ_BYTES];
    if (!nx_peer_alive(peer))
        return;
    nx_buf_init(&out, BUFFER_BYTES);
    uint8_t how = fuzz_u8(&input);
    if (what == 0) {
        answer(peer, &out, how);
    } else if (what == 1) {
        nx_wire_end(&out, nx_wire_begin(&out, NX_FRAME_SLOW, how == 0xff));
    } else {
        nx_buf_append_span(&out, fuzz_take(&input, how & 0x3f));
    }
    // Perhaps only a part of it arrives, and the rest with what comes next.
    if (out.len)
        FUZZ_CHECK(write(ends[i], out.data, out.len) == (ssize_t)out.len);
    nx_buf_free(&out);
    nx_peer_read(peer);
    while (read(ends[i], heard, sizeof heard) > 0) {
    }
}

static void hang_up(uint32_t i) {
    struct nx_peer *peer = &pool->peers[i];
    if (nx_peer_alive(peer)) {
        close(ends[i]);
        nx_peer_read(peer);
        FUZZ_CHECK(!nx_peer_alive(peer));
    } else {
        close(ends[i]);
    }
    ends[i] = -1;
    nx_buf_reset(&peer->in);
    nx_buf_reset(&peer->out);
    attach(i);
}

static void operate(void) {
    uint8_t what = fuzz_u8(&input), which = what >> 4;
    struct task *task = task_count ? &tasks[which % task_count] : NULL;
    uint32_t worker = which % WORKERS;
    switch (what & 0x0f) {
    case 0:
    case 1:
        run(NULL);
        break;
    case 2:
        compile(which);
        break;
    case 3:
        if (task)
            run(task);
        break;
    case 4:
        if (task)
            resume(task, fuzz_u8(&input));
        break;
    case 5:
        if (task)
            cancel(task);
        break;
    case 6:
        hang_up(worker);
        break;
    case 7:
    case 8:
        speak(worker, what & 1);
        break;
    case 9:
        speak(worker, 2);
        break;
    case 10:
    case 11:
    case 12:
        nx_dispatch(pool);
        break;
    default:
        speak(worker, 0);
        break;
    }
}

// Nothing is left waiting for a worker that is gone for good.
static void check_ends(void) {
    for (uint32_t i = 0; i < WORKERS; i++)
        if (nx_peer_alive(&pool->peers[i]))
            hang_up(i);
    for (unsigned i = 0; i < task_count; i++)
        FUZZ_CHECK(!tasks[i].spending);
    for (unsigned i = 0; i < task_count; i++)
        FUZZ_CHECK(tasks[i].ended || tasks[i].execution == NULL ||
                   tasks[i].execution->phase == NX_PHASE_WAITING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t id[NX_CODE_ID_BYTES];
    if (!code) {
        code = nx_code_new(id, nx_span_str("bytecode"));
        FUZZ_CHECK(code && nx_caps_add(&caps, nx_span_str("state:write:a"), NULL) == 0);
        FUZZ_CHECK(nx_caps_add(&caps, nx_span_str("ext:ok"), NULL) == 0);
        limits = (struct nx_exec_limits){.timeout_ms = 1000,
                                         .max_host_calls = 20,
                                         .max_mutations = 4,
                                         .max_events = 4,
                                         .max_log_bytes = 40,
                                         .max_value_bytes = 40,
                                         .max_state_bytes = 100};
    }
    input = fuzz_input(data, size);
    task_count = 0;
    start_pool();
    for (int i = 0; i < MAX_OPERATIONS && input.left; i++) {
        operate();
        check_pool();
    }
    check_ends();
    stop_pool();
    return 0;
}
