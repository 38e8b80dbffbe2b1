// SPDX-License-Identifier: Apache-2.0
// What the tests of the sandbox client share: a pool on a loop of its own, executions whose
// segments are kept as text, programs for the fake sandbox, and forged frames.
#ifndef NX_TEST_CLIENT_TEST_H
#define NX_TEST_CLIENT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "fake_sandbox.h"
#include "sandbox/client.h"
#include "sandbox/wire.h"

// ---- the pool

enum {
    PATIENCE_MS = 20000, // a test that waits longer has failed
    MAX_TEST_WORKERS = 16,
};

extern uv_loop_t test_loop;
extern struct nx_sandbox *test_pool;

// Starts a pool of the fake sandbox, or of the real one, on test_loop; the test fails if it cannot.
void pool_start_fake(enum fake_zygote behaviour, uint32_t workers, uint32_t max_instances);
// Begins a test with a pool of one fake worker, or two.
int pool_setup_one(void **unused);
int pool_setup_two(void **unused);
// Ends a test's pool; the strict one also holds that no worker was lost, for the fake ends itself
// over anything it should not have been sent.
int pool_teardown(void **unused);
int pool_teardown_strict(void **unused);
// The same with lanes: so many spare workers beside the others.
void pool_start_lanes(uint32_t workers, uint32_t spares, uint32_t max_instances);
void pool_start_real(uint32_t workers, uint32_t max_instances, uint32_t memory_limit_bytes);
// As given, and the status as it comes.
int pool_try_start(const char *executable, enum fake_zygote behaviour, struct nx_error *err);
// Stops the pool and checks that nothing is left: no handle, no process, no descriptor.
void pool_stop(void);

// Runs the loop until `done` says so; the test fails if that takes longer than PATIENCE_MS.
void loop_until(bool (*done)(void *user), void *user);
// Runs the loop for so long.
void loop_for(unsigned ms);
struct nx_sandbox_stats pool_stats(void);
// Runs the loop until all `workers` are alive and nothing is under way.
void pool_settle(uint32_t workers);
// The number of open descriptors of this process.
unsigned count_fds(void);

// ---- executions

// One execution and what has come of it. Owned by the test; free with run_free.
struct run {
    struct nx_execution *execution; // NULL once it has ended
    struct nx_cap_set caps;
    struct nx_buf text; // of the last segment: see run_text
    uint64_t memory_used, memory_peak;
    unsigned segments; // callbacks so far
    enum nx_segment_status status;
    enum nx_result_code code;
    uint32_t line, column;
    uint32_t host_calls;
    char message[256];
};

struct run_options {
    const char *caps; // tokens with a blank between them
    const char *args, *scope;
    const struct nx_state_entry *state;
    size_t state_count;
    struct nx_exec_limits limits; // all 0: the defaults
    enum nx_lane lane;
    uint32_t expected_us;
    uint32_t chain;
    struct nx_execution *follows;
};

// Queues an execution. The status as it comes; on 0 the segments are reported to `run`.
int run_try(struct run *run, struct nx_code *code, const struct run_options *options,
            struct nx_error *err);
// The same, and it must not fail. `options` may be NULL.
void run_start(struct run *run, struct nx_code *code, const struct run_options *options);
int run_try_resume(struct run *run, const struct nx_call_result *result,
                   const struct nx_state_entry *state, size_t state_count, struct nx_error *err);
// Answers a call with JSON; it must not fail.
void run_resume(struct run *run, uint32_t call_id, const char *json);
// Runs the loop until `segments` segments in total were reported.
void run_wait(struct run *run, unsigned segments);
// The last segment: a first line `done JSON`, `suspended` or `error CODE [CAPABILITY]`, then a line
// for each effect, such as `set key=json`, `emit name=json`, `call 1 http.get=[]`, `log info text`.
const char *run_text(const struct run *run);
void run_free(struct run *run);

// Code whose bytecode is `text`, under an id of its own.
struct nx_code *code_of(struct nx_span text);

// ---- compiling

struct compiled {
    bool finished;
    enum nx_result_code code;
    struct nx_buf bytecode;
    char message[256];
    uint32_t line, column;
};

// Compiles and waits for it.
void compile_start(struct compiled *compiled, enum nx_compile_kind kind, struct nx_span source);
void compile_wait(struct compiled *compiled);
void compile_free(struct compiled *compiled);
// The code of a handler, which must compile.
struct nx_code *code_of_source(const char *source);

// Compiles and runs a source once; the text is there until the run is freed.
void run_source(struct run *run, const char *source, const struct run_options *options);
// Its first segment must be reported as this text.
void expect_source(const char *source, const struct run_options *options, const char *text);

// ---- programs of the fake sandbox

struct nx_buf *program_new(void); // the same buffer each time, emptied
void program_order(struct nx_buf *program, enum fake_order order);
void program_sleep(struct nx_buf *program, uint32_t ms);
// A handler that takes so long and returns the JSON.
struct nx_code *code_that_returns(const char *json, uint32_t ms);
void program_frame(struct nx_buf *program, uint8_t type, uint32_t id_added, struct nx_span payload);

// An effect in a SEGMENT frame. By kind: 's' set a=b, 'd' delete a (with n as the byte that says
// so, if not 0, and b as its JSON), 'e' event a=b, 'v' view command a to b with c, 'l' log of level
// n with text a, 'c' call n of a.b with c, 'x' denial of kind n on a.
struct item {
    const char *a, *b, *c;
    uint32_t n;
    char kind;
};

// The payload of a SEGMENT frame. All 0 is a handler that returned undefined.
struct forged {
    uint8_t status;
    uint8_t code;                      // of ERROR, as the message, the stack …
    uint32_t host_calls, resets;       // of each kind
    uint32_t run_us;                   // 0: 5
    uint64_t memory_used, memory_peak; // 0: some
    struct item items[5];              // in any order, ended by kind 0
    const char *json;                  // of DONE
    const char *message, *stack, *capability;
    uint32_t line, column;
};
// Sends it; after one that says SUSPENDED the program waits for the RESUME.
void program_segment(struct nx_buf *program, const struct forged *forged);
// Appends the payload alone.
void forge(struct nx_buf *out, const struct forged *forged);
// A program of a single segment.
struct nx_code *code_of_segment(const struct forged *forged);
// A handler that says that it takes long, does, and returns "slow".
struct nx_code *code_of_slow(uint32_t ms);
// The code of a program.
struct nx_code *code_of_program(const struct nx_buf *program);
// Suspends with this one call (which takes `ext:*`), and when that is answered returns 2 after so
// long.
extern const struct forged forged_one_call;
struct nx_code *code_of_two_segments(uint32_t ms);

// Nothing runs, waits or is suspended.
void pool_expect_idle(void);
// The pool still works, what is left over of `run` never comes, and the worker does not keep it.
void run_expect_silence(struct run *run, unsigned segments);

// ---- checks of forged frames
// ---

enum { CHECK_WORKERS = 2 }; // of the pool that the functions below need

// Workers that died young come back ever later: a new pool, if any did, is quicker.
void refresh_pool(void);
// Runs `code` between two neighbours; it must fail with INTERNAL_ERROR and cost the worker its
// life, and nobody else may be harmed.
void expect_killed(struct nx_code *code, const struct run_options *options);
// The first segment must be reported as this text, and no worker may die of it.
void expect_passed(struct nx_code *code, const struct run_options *options, const char *expected);

struct check {
    const char *name;
    struct forged forged; // refused under `caps` …
    const char *caps;
    struct forged control; // … while this passes under `control_caps`; all 0: the same frame
    const char *control_caps;
    const char *expected; // of the control
};
void run_checks(const struct check *checks, size_t count);
#define RUN_CHECKS(checks) run_checks(checks, sizeof(checks) / sizeof((checks)[0]))

#endif
