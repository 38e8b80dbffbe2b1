// SPDX-License-Identifier: Apache-2.0
// See client_test.h. This file: the pool, the executions and the compile requests.
#include "client_test.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limits.h"

uv_loop_t test_loop;
struct nx_sandbox *test_pool;

static bool in_api; // an API call is under way: no callback may come
static unsigned fds_before;
static uint64_t news_count[NX_SANDBOX_ZYGOTE_BACK + 1];

// ---- the pool

unsigned count_fds(void) {
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

static void close_handle(uv_handle_t *handle, void *user) {
    (void)user;
    uv_close(handle, NULL);
}

// libuv keeps a pipe for signals from the first use on: it must not look like a leak of the pool.
static void warm_up_libuv(void) {
    uv_signal_t handle;
    assert_int_equal(uv_loop_init(&test_loop), 0);
    assert_int_equal(uv_signal_init(&test_loop, &handle), 0);
    assert_int_equal(uv_signal_start(&handle, NULL, SIGCHLD), 0);
    uv_walk(&test_loop, close_handle, NULL);
    uv_run(&test_loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&test_loop), 0);
}

static void on_news(void *user, enum nx_sandbox_news news, pid_t pid, const char *detail) {
    assert_ptr_equal(user, &test_pool);
    assert_true(pid != 0 || news == NX_SANDBOX_ZYGOTE_LOST);
    assert_int_equal(detail[0] != '\0', news == NX_SANDBOX_ZYGOTE_LOST);
    news_count[news]++;
}

static int try_start(const struct nx_sandbox_config *wanted, struct nx_error *err) {
    struct nx_sandbox_config config = *wanted;
    static bool warm;
    if (!warm) {
        warm_up_libuv();
        warm = true;
    }
    fds_before = count_fds();
    assert_int_equal(uv_loop_init(&test_loop), 0);
    config.on_news = on_news;
    config.on_news_user = &test_pool;
    memset(news_count, 0, sizeof(news_count));
    in_api = true;
    const int status = nx_sandbox_start(&test_pool, &test_loop, &config, err);
    in_api = false;
    return status;
}

static void start(const struct nx_sandbox_config *config) {
    struct nx_error err = {0};
    const int status = try_start(config, &err);
    if (status != 0) {
        print_error("the pool does not start: %s\n", err.message);
    }
    assert_int_equal(status, 0);
    assert_non_null(test_pool);
}

static struct nx_sandbox_config fake_config(enum fake_zygote behaviour, uint32_t workers,
                                            uint32_t max_instances) {
    return (struct nx_sandbox_config){.executable = NX_TEST_FAKE_SANDBOX,
                                      .workers = workers,
                                      .max_instances = max_instances,
                                      .memory_limit_bytes = FAKE_MEMORY_BYTES(behaviour),
                                      .stack_limit_bytes = FAKE_STACK_BYTES};
}

void pool_start_fake(enum fake_zygote behaviour, uint32_t workers, uint32_t max_instances) {
    const struct nx_sandbox_config config = fake_config(behaviour, workers, max_instances);
    start(&config);
}

void pool_start_lanes(uint32_t workers, uint32_t spares, uint32_t max_instances) {
    struct nx_sandbox_config config = fake_config(FAKE_GOOD, workers, max_instances);
    config.spare_workers = spares;
    start(&config);
}

void pool_start_real(uint32_t workers, uint32_t max_instances, uint32_t memory_limit_bytes) {
    const struct nx_sandbox_config config = {.executable = NX_TEST_REAL_SANDBOX,
                                             .workers = workers,
                                             .max_instances = max_instances,
                                             .memory_limit_bytes = memory_limit_bytes,
                                             .stack_limit_bytes = NX_DEFAULT_STACK_LIMIT_KB * 1024};
    start(&config);
}

// Nothing may be left behind: no handle on the loop, no child to reap, no descriptor.
static void check_nothing_left(void) {
    uv_run(&test_loop, UV_RUN_DEFAULT); // returns once every handle is closed
    assert_int_equal(uv_loop_close(&test_loop), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(count_fds(), fds_before);
}

int pool_try_start(const char *executable, enum fake_zygote behaviour, struct nx_error *err) {
    struct nx_sandbox_config config = fake_config(behaviour, 2, 8);
    if (executable != NULL) {
        config.executable = executable;
    }
    const int status = try_start(&config, err);
    if (status != 0) {
        check_nothing_left();
    }
    return status;
}

// Not there, or dead and not yet collected by whoever adopted it.
static bool process_gone(pid_t pid) {
    char path[64], state = 'Z';
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return true;
    }
    const int got = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    return got != 1 || state == 'Z' || state == 'X';
}

static void on_stopped(void *user) {
    assert_false(in_api);
    *(bool *)user = true;
}

static bool is_set(void *user) {
    return *(bool *)user;
}

void pool_stop(void) {
    const struct nx_sandbox_stats stats = pool_stats();
    bool stopped = false;
    assert_int_equal(news_count[NX_SANDBOX_WORKER_HUNG], stats.watchdog_kills);
    assert_int_equal(news_count[NX_SANDBOX_WORKER_ROGUE], stats.protocol_kills);
    in_api = true;
    nx_sandbox_stop(test_pool, on_stopped, &stopped);
    in_api = false;
    loop_until(is_set, &stopped);
    test_pool = NULL;
    check_nothing_left();
    for (int tries = 0; tries < PATIENCE_MS / 10 && !process_gone(stats.zygote_pid); tries++) {
        usleep(10000);
    }
    assert_true(process_gone(stats.zygote_pid));
    for (size_t i = 0; i < MAX_TEST_WORKERS && stats.worker_pids[i] != 0; i++) {
        for (int tries = 0; tries < PATIENCE_MS / 10 && !process_gone(stats.worker_pids[i]);
             tries++) {
            usleep(10000);
        }
        assert_true(process_gone(stats.worker_pids[i]));
    }
}

struct nx_sandbox_stats pool_stats(void) {
    struct nx_sandbox_stats stats;
    nx_sandbox_get_stats(test_pool, &stats);
    return stats;
}

static void on_tick(uv_timer_t *timer) {
    (void)timer;
}

static void on_tick_closed(uv_handle_t *handle) {
    *(bool *)handle->data = true;
}

static bool run_loop(bool (*done)(void *user), void *user, unsigned ms) {
    uv_timer_t ticks; // so that the loop never sleeps for long
    bool closed = false, good;
    assert_int_equal(uv_timer_init(&test_loop, &ticks), 0);
    ticks.data = &closed;
    assert_int_equal(uv_timer_start(&ticks, on_tick, 1, 2), 0);
    uv_update_time(&test_loop);
    const uint64_t end = uv_now(&test_loop) + ms;
    while (!(good = done != NULL && done(user)) && uv_now(&test_loop) < end) {
        uv_run(&test_loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&ticks, on_tick_closed);
    while (!closed) {
        uv_run(&test_loop, UV_RUN_NOWAIT);
    }
    return good;
}

void loop_until(bool (*done)(void *user), void *user) {
    assert_true(run_loop(done, user, PATIENCE_MS));
}

void loop_for(unsigned ms) {
    run_loop(NULL, NULL, ms);
}

static bool settled(void *user) {
    const struct nx_sandbox_stats stats = pool_stats();
    return stats.workers_alive == *(uint32_t *)user && stats.running == 0 && stats.waiting == 0;
}

void pool_settle(uint32_t workers) {
    loop_until(settled, &workers);
}

// ---- executions

static void put_effects(struct nx_buf *out, const struct nx_segment *s) {
    for (size_t i = 0; i < s->mutation_count; i++) {
        const struct nx_mutation *m = &s->mutations[i];
        nx_buf_append_str(out, m->is_delete ? "\ndelete " : "\nset ");
        nx_buf_append_span(out, m->key);
        nx_buf_append_str(out, m->is_delete ? "" : "=");
        nx_buf_append_span(out, m->json);
    }
    for (size_t i = 0; i < s->event_count; i++) {
        nx_buf_append_str(out, "\nemit ");
        nx_buf_append_span(out, s->events[i].name);
        nx_buf_append_str(out, "=");
        nx_buf_append_span(out, s->events[i].payload_json);
    }
    for (size_t i = 0; i < s->view_count; i++) {
        nx_buf_append_str(out, "\nview ");
        nx_buf_append_span(out, s->views[i].type);
        nx_buf_append_str(out, " ");
        nx_buf_append_span(out, s->views[i].component_id);
        nx_buf_append_str(out, "=");
        nx_buf_append_span(out, s->views[i].args_json);
    }
    for (size_t i = 0; i < s->call_count; i++) {
        nx_buf_printf(out, "\ncall %u ", s->calls[i].call_id);
        nx_buf_append_span(out, s->calls[i].extension);
        nx_buf_append_str(out, ".");
        nx_buf_append_span(out, s->calls[i].method);
        nx_buf_append_str(out, "=");
        nx_buf_append_span(out, s->calls[i].args_json);
    }
}

static void put_notes(struct nx_buf *out, const struct nx_segment *s) {
    for (size_t i = 0; i < s->log_count; i++) {
        nx_buf_append_str(out, "\nlog ");
        nx_buf_append_span(out, s->logs[i].level);
        nx_buf_append_str(out, " ");
        nx_buf_append_span(out, s->logs[i].message);
    }
    for (size_t i = 0; i < s->denial_count; i++) {
        nx_buf_append_str(out, "\ndenied ");
        nx_cap_format(out, s->denials[i].kind, s->denials[i].scope);
    }
}

static void copy_message(char *to, size_t size, struct nx_span from) {
    const size_t len = from.len < size ? from.len : size - 1;
    if (len != 0) {
        memcpy(to, from.data, len);
    }
    to[len] = '\0';
}

static void on_segment(void *user, struct nx_execution *execution, const struct nx_segment *s) {
    struct run *run = user;
    assert_false(in_api);
    assert_ptr_equal(execution, run->execution);
    run->segments++;
    run->status = s->status;
    run->code = s->error.code;
    run->line = s->error.line;
    run->column = s->error.column;
    run->memory_used = s->memory_used_bytes;
    run->memory_peak = s->memory_peak_bytes;
    for (size_t i = 0; i < NX_HOST_CALL_COUNT; i++) {
        run->host_calls += s->host_calls[i];
    }
    copy_message(run->message, sizeof(run->message), s->error.message);
    nx_buf_reset(&run->text);
    if (s->status == NX_SEGMENT_DONE) {
        nx_buf_append_str(&run->text, "done ");
        nx_buf_append_span(&run->text, s->return_json);
    } else if (s->status == NX_SEGMENT_SUSPENDED) {
        nx_buf_append_str(&run->text, "suspended");
    } else {
        nx_buf_append_str(&run->text, "error ");
        nx_buf_append_str(&run->text, nx_result_code_name(s->error.code));
        nx_buf_append_str(&run->text, s->error.capability.len != 0 ? " " : "");
        nx_buf_append_span(&run->text, s->error.capability);
    }
    put_effects(&run->text, s);
    put_notes(&run->text, s);
    assert_int_equal(run->text.failed, 0);
    if (s->status != NX_SEGMENT_SUSPENDED) {
        run->execution = NULL;
    }
}

static void add_caps(struct nx_cap_set *set, const char *tokens) {
    while (tokens != NULL && *tokens != '\0') {
        const size_t len = strcspn(tokens, " ");
        assert_int_equal(nx_caps_add(set, nx_span_of(tokens, len), NULL), 0);
        tokens += len + strspn(tokens + len, " ");
    }
}

int run_try(struct run *run, struct nx_code *code, const struct run_options *options,
            struct nx_error *err) {
    static const struct run_options none;
    const struct nx_exec_limits unset = {0};
    if (options == NULL) {
        options = &none;
    }
    *run = (struct run){0};
    nx_buf_init(&run->text, NX_MAX_FRAME_BYTES);
    add_caps(&run->caps, options->caps);
    struct nx_exec_request request = {.code = code,
                                      .caps = &run->caps,
                                      .limits = options->limits,
                                      .args_json =
                                          nx_span_str(options->args ? options->args : "{}"),
                                      .scope_json = nx_span_str(options->scope),
                                      .state = options->state,
                                      .state_count = options->state_count,
                                      .expected_us = options->expected_us,
                                      .chain = options->chain,
                                      .follows = options->follows,
                                      .lane = options->lane};
    if (memcmp(&request.limits, &unset, sizeof(unset)) == 0) {
        nx_exec_limits_default(&request.limits);
    }
    in_api = true;
    const int status = nx_sandbox_run(test_pool, &request, on_segment, run, &run->execution, err);
    in_api = false;
    return status;
}

void run_start(struct run *run, struct nx_code *code, const struct run_options *options) {
    struct nx_error err = {0};
    const int status = run_try(run, code, options, &err);
    if (status != 0) {
        print_error("the execution is refused: %s\n", err.message);
    }
    assert_int_equal(status, 0);
    assert_non_null(run->execution);
}

int run_try_resume(struct run *run, const struct nx_call_result *result,
                   const struct nx_state_entry *state, size_t state_count, struct nx_error *err) {
    in_api = true;
    const int status = nx_sandbox_resume(run->execution, result, state, state_count, err);
    in_api = false;
    return status;
}

void run_resume(struct run *run, uint32_t call_id, const char *json) {
    const struct nx_call_result result = {
        .call_id = call_id, .ok = true, .json = nx_span_str(json)};
    struct nx_error err = {0};
    const int status = run_try_resume(run, &result, NULL, 0, &err);
    if (status != 0) {
        print_error("the call's result is refused: %s\n", err.message);
    }
    assert_int_equal(status, 0);
}

struct wanted {
    const struct run *run;
    unsigned segments;
};

static bool has_segments(void *user) {
    const struct wanted *wanted = user;
    return wanted->run->segments >= wanted->segments;
}

void run_wait(struct run *run, unsigned segments) {
    struct wanted wanted = {run, segments};
    loop_until(has_segments, &wanted);
    assert_int_equal(run->segments, segments);
}

const char *run_text(const struct run *run) {
    return run->text.data != NULL ? run->text.data : "nothing";
}

void run_free(struct run *run) {
    if (run->execution != NULL) {
        in_api = true;
        nx_sandbox_cancel(run->execution, NULL, NULL);
        in_api = false;
    }
    nx_caps_free(&run->caps);
    nx_buf_free(&run->text);
    run->execution = NULL;
}

struct nx_code *code_of(struct nx_span text) {
    static uint32_t count;
    uint8_t id[NX_CODE_ID_BYTES] = {0};
    count++;
    memcpy(id, &count, sizeof(count));
    struct nx_code *code = nx_code_new(id, text);
    assert_non_null(code);
    return code;
}

// ---- compiling

static void on_compiled(void *user, const struct nx_compile_result *result) {
    struct compiled *compiled = user;
    assert_false(in_api);
    assert_false(compiled->finished);
    compiled->finished = true;
    compiled->code = result->code;
    compiled->line = result->line;
    compiled->column = result->column;
    nx_buf_append_span(&compiled->bytecode, result->bytecode);
    copy_message(compiled->message, sizeof(compiled->message), result->message);
}

void compile_start(struct compiled *compiled, enum nx_compile_kind kind, struct nx_span source) {
    struct nx_error err = {0};
    *compiled = (struct compiled){0};
    nx_buf_init(&compiled->bytecode, NX_MAX_FRAME_BYTES);
    in_api = true;
    const int status =
        nx_sandbox_compile(test_pool, kind, source, 1, 1, on_compiled, compiled, &err);
    in_api = false;
    if (status != 0) {
        print_error("the source is refused: %s\n", err.message);
    }
    assert_int_equal(status, 0);
}

static bool is_compiled(void *user) {
    return ((const struct compiled *)user)->finished;
}

void compile_wait(struct compiled *compiled) {
    loop_until(is_compiled, compiled);
}

void compile_free(struct compiled *compiled) {
    nx_buf_free(&compiled->bytecode);
}

struct nx_code *code_of_source(const char *source) {
    struct compiled compiled;
    compile_start(&compiled, NX_COMPILE_HANDLER, nx_span_str(source));
    compile_wait(&compiled);
    if (compiled.code != NX_RESULT_NONE) {
        print_error("%s: %s\n", nx_result_code_name(compiled.code), compiled.message);
    }
    assert_int_equal(compiled.code, NX_RESULT_NONE);
    struct nx_code *code = code_of(nx_buf_span(&compiled.bytecode));
    compile_free(&compiled);
    return code;
}

void run_source(struct run *run, const char *source, const struct run_options *options) {
    struct nx_code *code = code_of_source(source);
    run_start(run, code, options);
    run_wait(run, 1);
    nx_code_unref(code);
}

void expect_source(const char *source, const struct run_options *options, const char *text) {
    struct run run;
    run_source(&run, source, options);
    if (strcmp(run_text(&run), text) != 0) {
        print_error("%s\n%s\n", source, run.message);
    }
    assert_string_equal(run_text(&run), text);
    run_free(&run);
}
