// SPDX-License-Identifier: Apache-2.0
// Starting and stopping the pool: with programs that are not ours, a zygote that misbehaves, work
// in every phase. Whatever happens, nothing may be left: pool_stop and pool_try_start check it.
#include "client_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"

static const char all[] = "state:write:* events:emit:* view:update:* ext:*";

static struct nx_code *returns(uint32_t ms) {
    struct nx_buf *program = program_new();
    program_sleep(program, ms);
    program_segment(program, &(struct forged){.json = "1"});
    return code_of_program(program);
}

static void expect_works(void) {
    struct nx_code *code = returns(0);
    struct run run;
    run_start(&run, code, NULL);
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "done 1");
    run_free(&run);
    nx_code_unref(code);
}

// ---- starting

static void it_starts_works_and_stops(void **unused) {
    (void)unused;
    for (uint32_t workers = 1; workers <= 4; workers++) {
        pool_start_fake(FAKE_GOOD, workers, 4);
        expect_works();
        pool_settle(workers);
        pool_stop();
    }
    pool_start_fake(FAKE_GOOD, MAX_TEST_WORKERS + 4, 4); // more than the figures have room for
    pool_settle(MAX_TEST_WORKERS + 4);
    const struct nx_sandbox_stats stats = pool_stats();
    for (size_t i = 0; i < MAX_TEST_WORKERS; i++) {
        assert_int_not_equal(stats.worker_pids[i], 0);
    }
    pool_stop();
    pool_start_fake(FAKE_GOOD, 2, 4); // stopped before the loop ever ran
    pool_stop();
}

// The fake refuses to start with an environment or a descriptor; this process has both to give
// away.
static void the_zygote_inherits_nothing(void **unused) {
    (void)unused;
    extern char **environ;
    assert_non_null(environ[0]);
    const int inheritable = open("/dev/null", O_RDONLY); // without close-on-exec, on purpose
    assert_true(inheritable >= 0);
    const int high = fcntl(inheritable, F_DUPFD, 200);
    assert_true(high >= 200);
    pool_start_fake(FAKE_GOOD, 1, 4);
    expect_works();
    pool_stop();
    close(inheritable);
    close(high);
}

// Fails with a clear message that names the program and has `reason` in it.
static void expect_refused(const char *executable, enum fake_zygote behaviour, const char *reason) {
    struct nx_error err = {0};
    const uint64_t start_ns = nx_clock_monotonic_ns();
    const int status = pool_try_start(executable, behaviour, &err);
    assert_true(status == NX_E_IO || status == NX_E_INVALID);
    assert_int_equal(err.code, status);
    if (strstr(err.message, reason) == NULL) {
        print_error("message without '%s': %s\n", reason, err.message);
    }
    assert_non_null(strstr(err.message, reason));
    assert_non_null(strstr(err.message, executable != NULL ? executable : "fake-sandbox"));
    assert_true(nx_clock_monotonic_ns() - start_ns <
                (uint64_t)(NX_SANDBOX_START_TIMEOUT_MS + PATIENCE_MS) * 1000000);
}

static void programs_that_are_not_ours(void **unused) {
    (void)unused;
    expect_refused("/nonexistent/nexus-sandbox", FAKE_GOOD, "no such file");
    expect_refused("/dev/null", FAKE_GOOD, "permission denied");
    expect_refused("/", FAKE_GOOD, "permission denied");
    for (int i = 0; i < 10; i++) { // it may be gone before or after it is told anything
        expect_refused("/bin/true", FAKE_GOOD, "ended before it was ready");
    }
    expect_refused("/bin/false", FAKE_GOOD, "ended before it was ready");
}

static void zygotes_that_do_not_get_ready(void **unused) {
    (void)unused;
    expect_refused(NULL, FAKE_OTHER_BUILD, "another build");
    expect_refused(NULL, FAKE_FAILS, FAKE_FAILURE);
    expect_refused(NULL, FAKE_EXITS, "ended before it was ready");
    expect_refused(NULL, FAKE_GARBAGE, "malformed");
    expect_refused(NULL, FAKE_NO_PIDFD, "malformed");
}

static void a_zygote_that_hangs_is_given_up(void **unused) {
    (void)unused;
    expect_refused(NULL, FAKE_NOT_READY, "was not ready within");
}

static void settings_out_of_range(void **unused) {
    (void)unused;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    static const struct {
        uint32_t workers, max_instances;
    } rows[] = {{0, 1}, {NX_MAX_WORKERS + 1, 1}, {UINT32_MAX, 1}, {1, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct nx_sandbox_config config = {.executable = NX_TEST_FAKE_SANDBOX,
                                                 .workers = rows[i].workers,
                                                 .max_instances = rows[i].max_instances,
                                                 .memory_limit_bytes = FAKE_MEMORY_BYTES(FAKE_GOOD),
                                                 .stack_limit_bytes = FAKE_STACK_BYTES};
        struct nx_sandbox *pool = NULL;
        struct nx_error err = {0};
        assert_int_equal(nx_sandbox_start(&pool, &loop, &config, &err), NX_E_INVALID);
        assert_true(err.message[0] != '\0');
        assert_null(pool);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

// ---- a pool that cannot keep its workers

// Every worker dies at once: executions fail within a bounded time, and processes are not started
// in a tight loop.
static void workers_that_all_die(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_WORKERS_DIE, 2, 16);
    struct nx_code *code = returns(0);
    struct run runs[8];
    for (size_t i = 0; i < 8; i++) {
        run_start(&runs[i], code, NULL);
    }
    for (size_t i = 0; i < 8; i++) {
        run_wait(&runs[i], 1);
        assert_string_equal(run_text(&runs[i]), "error INTERNAL_ERROR");
        run_free(&runs[i]);
    }
    loop_for(500);
    assert_in_range(pool_stats().worker_restarts, 2, 40);
    nx_code_unref(code);
    pool_stop();
}

// The zygote fails at the second worker, again and again: the first one serves while it can, and
// every execution gets an answer.
static void a_zygote_with_one_worker_in_it(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_ONE_SPAWN_LEFT, 2, 16);
    struct nx_code *code = returns(0);
    for (size_t i = 0; i < 5; i++) {
        struct run run;
        run_start(&run, code, NULL);
        run_wait(&run, 1);
        assert_true(run.status == NX_SEGMENT_DONE || run.code == NX_RESULT_INTERNAL_ERROR);
        run_free(&run);
    }
    nx_code_unref(code);
    pool_stop();
}

// No second worker, however often it is asked for: what the first one said of its protections
// holds.
static void no_worker_says_nothing_of_protections(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_ONE_WORKER, 2, 16);
    loop_for(300); // it is asked for after 50 ms, and after another 100
    assert_int_equal(pool_stats().workers_alive, 1);
    assert_int_equal(pool_stats().protections, FAKE_PROTECTIONS);
    pool_stop();
}

// ---- descriptors that run out

// Somebody who takes every descriptor but two, which is what asking for a worker needs, and in the
// end the one that is left then, which the answer needs.
static struct {
    int held[64];
    unsigned count;
    bool took_the_last;
} greedy;

static void take_descriptors(uv_prepare_t *prepare) {
    (void)prepare;
    unsigned got = 0;
    int fd;
    while (!greedy.took_the_last && (fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0) {
        assert_true(greedy.count < sizeof(greedy.held) / sizeof(greedy.held[0]));
        greedy.held[greedy.count++] = fd;
        got++;
    }
    greedy.took_the_last = greedy.took_the_last || got == 1;
    for (int i = 0; got >= 2 && i < 2; i++) {
        close(greedy.held[--greedy.count]);
    }
}

static bool answer_is_lost(void *user) {
    (void)user;
    // The channel of the worker that could not be held was closed, and that is all there is free.
    const int fd = greedy.took_the_last ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static void workers_stay_when_another_cannot_be_held(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_GOOD, 2, 4);
    pool_settle(2);
    const pid_t zygote = pool_stats().zygote_pid;
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = count_fds() + 8;
    greedy.count = 0;
    greedy.took_the_last = false;
    uv_prepare_t prepare;
    uv_prepare_init(&test_loop, &prepare);
    uv_prepare_start(&prepare, take_descriptors);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(kill(pool_stats().worker_pids[1], SIGKILL), 0);
    loop_until(answer_is_lost, NULL);
    assert_int_equal(pool_stats().workers_alive, 1);
    expect_works();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (greedy.count > 0) {
        close(greedy.held[--greedy.count]);
    }
    uv_close((uv_handle_t *)&prepare, NULL);
    pool_settle(2);
    assert_int_equal(pool_stats().zygote_pid, zygote);
    assert_int_equal(pool_stats().worker_restarts, 1);
    pool_stop();
}

// ---- stopping

enum { PHASES = 6 };

static bool nothing_waits(void *unused) {
    (void)unused;
    return pool_stats().waiting == 0;
}

// One execution, or more, in every phase there is.
static void start_in_every_phase(struct run runs[PHASES], struct nx_code *codes[2]) {
    struct nx_buf *program = program_new();
    program_segment(
        program, &(struct forged){.status = NX_SEGMENT_SUSPENDED,
                                  .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"},
                                            {.kind = 'c', .n = 2, .a = "e", .b = "m", .c = "[]"}}});
    program_sleep(program, 1000);
    codes[0] = code_of_program(program);
    codes[1] = returns(1000);
    const struct run_options options = {.caps = all};
    for (size_t i = 0; i < 3; i++) {
        run_start(&runs[i], codes[0], &options);
        run_wait(&runs[i], 1);
    }
    run_start(&runs[3], codes[1], &options); // runs
    run_start(&runs[4], codes[1], &options); // was sent
    run_resume(&runs[1], 1, "null");         // likewise
    loop_until(nothing_waits, NULL);
    run_resume(&runs[2], 1, "null");         // not yet sent
    run_start(&runs[5], codes[1], &options); // likewise
    assert_int_equal(pool_stats().suspended, 1);
    assert_int_equal(pool_stats().waiting, 2); // the resume and the execution
}

static void stop_with_work_in_every_phase(void **unused) {
    (void)unused;
    struct run runs[PHASES];
    struct nx_code *codes[2];
    struct compiled compiled[2];
    pool_start_fake(FAKE_GOOD, 1, 16);
    start_in_every_phase(runs, codes);
    struct nx_buf *program = program_new();
    program_order(program, FAKE_HANG);
    compile_start(&compiled[0], NX_COMPILE_HANDLER, nx_buf_span(program));
    loop_for(5);
    compile_start(&compiled[1], NX_COMPILE_HANDLER, nx_buf_span(program));
    unsigned segments[PHASES];
    for (size_t i = 0; i < PHASES; i++) {
        segments[i] = runs[i].segments;
    }
    pool_stop();
    for (size_t i = 0; i < PHASES; i++) {
        assert_int_equal(runs[i].segments, segments[i]);
        runs[i].execution = NULL; // gone with the pool
        run_free(&runs[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_false(compiled[i].finished);
        compile_free(&compiled[i]);
        nx_code_unref(codes[i]);
    }
}

static bool stopped;
static unsigned callbacks;

static void on_stopped(void *user) {
    (void)user;
    stopped = true;
}

static bool is_stopped(void *user) {
    (void)user;
    return stopped;
}

static void stop_at_once(void *user, struct nx_execution *execution, const struct nx_segment *s) {
    (void)user;
    (void)execution;
    (void)s;
    if (callbacks++ == 0) {
        nx_sandbox_stop(test_pool, on_stopped, NULL);
    }
}

// The first callback there is stops the pool. It must be the last one.
static void stop_from_a_callback(void **unused) {
    (void)unused;
    static const enum fake_order ends[] = {FAKE_IGNORE, FAKE_EXIT, FAKE_HANG};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct nx_buf *program = program_new();
        program_sleep(program, 10);
        program_order(program, ends[i]);
        if (ends[i] != FAKE_HANG) {
            nx_wire_put_u32(program, 0); // an operand for either
        }
        if (ends[i] == FAKE_IGNORE) {
            program_segment(program, &(struct forged){.json = "1"});
        }
        struct nx_code *code = code_of_program(program);
        struct nx_execution *execution;
        const struct nx_cap_set caps = {0};
        struct nx_exec_request request = {
            .code = code, .caps = &caps, .args_json = nx_span_str("{}")};
        nx_exec_limits_default(&request.limits);
        request.limits.timeout_ms = 50;
        stopped = false;
        callbacks = 0;
        pool_start_fake(FAKE_GOOD, 1, 16);
        for (int n = 0; n < 5; n++) {
            assert_int_equal(
                nx_sandbox_run(test_pool, &request, stop_at_once, NULL, &execution, NULL), 0);
        }
        loop_until(is_stopped, NULL);
        assert_int_equal(callbacks, 1);
        uv_run(&test_loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&test_loop), 0);
        nx_code_unref(code);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_works_and_stops),
        cmocka_unit_test(the_zygote_inherits_nothing),
        cmocka_unit_test(programs_that_are_not_ours),
        cmocka_unit_test(zygotes_that_do_not_get_ready),
        cmocka_unit_test(a_zygote_that_hangs_is_given_up),
        cmocka_unit_test(settings_out_of_range),
        cmocka_unit_test(workers_that_all_die),
        cmocka_unit_test(a_zygote_with_one_worker_in_it),
        cmocka_unit_test(no_worker_says_nothing_of_protections),
        cmocka_unit_test(workers_stay_when_another_cannot_be_held),
        cmocka_unit_test(stop_with_work_in_every_phase),
        cmocka_unit_test(stop_from_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
