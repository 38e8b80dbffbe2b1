// SPDX-License-Identifier: Apache-2.0
// The kernel's half of the sandbox: a pool of worker processes that compile and run handlers.
//
// Glossary
//   zygote     the `nexus-sandbox` process, exec'ed with an empty environment; forks the workers
//   worker     a single-threaded process that runs handlers in guest instances
//   code       a compiled handler: bytecode plus the hash that names it
//   execution  one call of a handler, from run to its last segment
//   segment    the part of an execution between two suspensions; commits atomically
//
// Invariants
//   1. Everything a worker sends is hostile: frames, lengths, JSON and ids are checked here, and
//      every mutation, event, view command and extension call is checked against the execution's
//      grants again. A worker that breaks a rule is killed.
//   2. State that the grants do not let a handler read is never sent to a worker.
//   3. A segment is reported exactly once: done, suspended, or failed. What a failed segment
//      mutated or emitted is not reported at all.
//   4. A worker's death fails the executions it was running or holding suspended, and no others;
//      those still waiting in its queue go to another worker. The pool is refilled.
//   5. An API call that returns an error never calls its callback; callbacks are never called from
//      inside the API call that registered them.
//
// Single-threaded: call everything from the thread of the loop given at start.
#ifndef NX_SANDBOX_CLIENT_H
#define NX_SANDBOX_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/caps.h"
#include "base/error.h"
#include "base/result_code.h"
#include "base/span.h"
#include "base/state.h"
#include "guest/abi.h"
#include "sandbox/resets.h"

struct nx_sandbox;
struct nx_execution;

struct nx_launcher;

// What became of a process of the sandbox though nobody meant it to. Whatever was lost is replaced.
enum nx_sandbox_news {
    NX_SANDBOX_WORKER_DIED,  // by itself, or somebody killed it
    NX_SANDBOX_WORKER_HUNG,  // it did not answer in time, and was killed
    NX_SANDBOX_WORKER_ROGUE, // it said what no honest worker says, and was killed
    NX_SANDBOX_ZYGOTE_LOST,  // it ended, or could not be started again
    NX_SANDBOX_ZYGOTE_BACK,
};

struct nx_sandbox_config {
    // What starts nexus-sandbox (launcher.h); borrowed until the pool is gone. NULL: one of the
    // pool's own.
    struct nx_launcher *launcher;
    const char *executable;      // for a launcher of the pool's own, see there
    uint32_t workers;            // 1..NX_MAX_WORKERS
    uint32_t spare_workers;      // more of them, 0..NX_MAX_WORKERS, started when first needed: for
                                 // heavy executions, and when the others are slow. 0: no lanes
    uint32_t max_instances;      // executing + suspended, over all workers
    uint32_t memory_limit_bytes; // linear memory per instance
    uint32_t stack_limit_bytes;  // JavaScript stack per instance
    uint32_t spare_instances;    // that each worker makes before its first execution
    // Hears of what happens between start and stop; NULL: nobody does. `pid` is the process's, 0 if
    // there was none; `detail` says why the zygote was lost, else it is empty, and is valid during
    // the call. Must not call the pool.
    void (*on_news)(void *user, enum nx_sandbox_news news, pid_t pid, const char *detail);
    void *on_news_user;
};

// Starts the zygote and its workers and waits until the first one is ready (bounded, 10 s).
// The pool lives on `loop`. On success *out is freed by nx_sandbox_stop.
// Errors: NX_E_IO, NX_E_INVALID, NX_E_NOMEM; nothing is left running.
int nx_sandbox_start(struct nx_sandbox **out, uv_loop_t *loop,
                     const struct nx_sandbox_config *config, struct nx_error *err);

// Kills the workers and the zygote, reaps them and closes every handle; `on_stopped` is called from
// the loop when nothing of the pool is left (the pool is freed by then). Executions that have not
// ended are dropped without a callback.
void nx_sandbox_stop(struct nx_sandbox *pool, void (*on_stopped)(void *user), void *user);

// ---- Code

enum { NX_CODE_ID_BYTES = 32 };

// A compiled handler, reference counted. `id` is the caller's name for it (the compile cache uses
// SHA-256 of build id and source): equal ids mean equal bytecode.
struct nx_code;
struct nx_code *nx_code_new(const uint8_t id[NX_CODE_ID_BYTES],
                            struct nx_span bytecode); // NULL: no memory
struct nx_code *nx_code_ref(struct nx_code *code);
void nx_code_unref(struct nx_code *code); // NULL is fine
size_t nx_code_size_bytes(const struct nx_code *code);
const uint8_t *nx_code_id(const struct nx_code *code); // NX_CODE_ID_BYTES bytes, while referenced
struct nx_span nx_code_bytecode(const struct nx_code *code); // while referenced; never changes

// Changes with anything that makes old bytecode unusable (guest image, QuickJS, glue). Static text.
const char *nx_sandbox_build_id(void);

enum nx_compile_kind {
    NX_COMPILE_HANDLER,    // the body of an async function
    NX_COMPILE_EXPRESSION, // one expression over $state (Computed); checked, gives no bytecode
};

struct nx_compile_result {
    enum nx_result_code code; // NX_RESULT_NONE, COMPILATION_ERROR, INVALID_HANDLER, TIMEOUT, …
    struct nx_span bytecode;  // valid during the callback
    struct nx_span message;   // valid during the callback
    uint32_t line, column;    // of the error in the author's file; 0 if unknown
    uint32_t compile_us;
};
typedef void nx_compile_fn(void *user, const struct nx_compile_result *result);

// Compiles `source` in a separate instance of a worker. `source` is copied. `line` and `column` say
// where its first character stands in the author's file (1-based; 1, 1 for text of its own): they
// are built into the bytecode, so every position in results, stacks and errors is the file's. They
// are part of what a cache key must cover. Errors: NX_E_LIMIT (source over
// NX_MAX_PANEL_SOURCE_BYTES, or too many requests waiting), NX_E_NOMEM.
int nx_sandbox_compile(struct nx_sandbox *pool, enum nx_compile_kind kind, struct nx_span source,
                       uint32_t line, uint32_t column, nx_compile_fn *fn, void *user,
                       struct nx_error *err);

// ---- Executions

// Limits of one execution. All count over the whole execution except max_value_bytes (each value)
// and max_state_bytes (keys and values of the state a segment would leave, as far as the worker
// sees it; the kernel checks the whole).
struct nx_exec_limits {
    uint32_t timeout_ms; // running time, without suspensions
    uint32_t max_host_calls;
    uint32_t max_mutations;
    uint32_t max_events; // events and view commands together
    uint32_t max_log_bytes;
    uint32_t max_value_bytes;
    uint32_t max_state_bytes;
};

// The documented defaults.
void nx_exec_limits_default(struct nx_exec_limits *limits);

// What is known of an execution before it runs. Where workers are short, those of a later lane wait
// for those of an earlier one (docs/adr/0017-lanes.md).
enum nx_lane {
    NX_LANE_LIGHT,  // its handler has been quick: any worker
    NX_LANE_UNSURE, // it never ran: a spare worker first, and never the last free place
    NX_LANE_SPENT,  // quick, but its panel has had its share: any spare worker
    NX_LANE_SLOW,   // its handler was slow of late: a spare worker, and not the last free one
    NX_LANE_HEAVY,  // the same, or never ran, and its panel has had its share: likewise
    NX_LANES,
};

struct nx_exec_request {
    struct nx_code *code;          // referenced by the execution while it lives
    const struct nx_cap_set *caps; // borrowed until the execution ends
    struct nx_exec_limits limits;
    struct nx_span args_json;           // an object
    struct nx_span scope_json;          // an object; empty span means {}
    const struct nx_state_entry *state; // the whole state; entries not readable are left out here
    size_t state_count;
    // Chains: executions of one handler, each beginning with the state that the one before leaves
    // if it is DONE. `chain` names one (0: none) and is not used again for another. `follows` is
    // the one before, still running, or NULL for the first, whose state is given; then `state` is
    // not used. What is not DONE ends the chain for those that follow: cancel them, from the last
    // to the first, before anything else is done with the panel.
    uint32_t chain;
    struct nx_execution *follows;
    // What it will probably take: jobs go to the worker with the least ahead of it.
    uint32_t expected_us;
    enum nx_lane lane;
};

enum nx_segment_status {
    NX_SEGMENT_DONE,
    NX_SEGMENT_SUSPENDED,
    NX_SEGMENT_ERROR,
    NX_SEGMENT_NOT_RUN, // it followed in a chain that ended, and did not begin: run it anew
};

struct nx_event {
    struct nx_span name;
    struct nx_span payload_json; // empty: no payload was given
};
struct nx_view_command {
    struct nx_span type; // setFilter, scrollTo, focus, custom
    struct nx_span component_id;
    struct nx_span args_json; // an object
};
struct nx_log_entry {
    struct nx_span level; // debug, info, warn, error
    struct nx_span message;
};
struct nx_ext_call {
    uint32_t call_id;
    struct nx_span extension;
    struct nx_span method;
    struct nx_span args_json; // an array
};
struct nx_denial {
    enum nx_cap_kind kind;
    struct nx_span scope;
};

// What one segment did. Every span is valid during the callback only.
struct nx_segment {
    enum nx_segment_status status;
    const struct nx_mutation *mutations; // net effect, in order of first write
    size_t mutation_count;
    const struct nx_event *events;
    size_t event_count;
    const struct nx_view_command *views;
    size_t view_count;
    const struct nx_log_entry *logs;
    size_t log_count;
    const struct nx_ext_call *calls; // SUSPENDED: those made in this segment and not yet answered
    size_t call_count;
    const struct nx_denial *denials; // every refused host call, caught by the handler or not
    size_t denial_count;
    struct nx_span return_json; // DONE; empty: undefined
    struct {                    // ERROR
        enum nx_result_code code;
        struct nx_span message;
        struct nx_span stack;
        uint32_t line, column;     // 1-based within the handler's source; 0 if unknown
        struct nx_span capability; // token, for PERMISSION_DENIED
    } error;
    uint32_t run_us; // running time of this segment; until its worker was lost
    uint64_t memory_used_bytes, memory_peak_bytes;
    uint32_t resets[NX_RESET_KINDS];         // of the worker's instances, since its segment before
    uint32_t host_calls[NX_HOST_CALL_COUNT]; // in this segment, by enum nx_host_call
};

// Called once per segment. After DONE, ERROR or NOT_RUN the execution is gone when the callback
// returns.
typedef void nx_segment_fn(void *user, struct nx_execution *execution,
                           const struct nx_segment *segment);

// Queues an execution. Everything in `request` is copied or referenced as stated there.
// Errors: NX_E_BUSY (max_instances reached or queue full), NX_E_LIMIT (frame too large),
// NX_E_INVALID (`follows` has ended, or another follows it already), NX_E_NOMEM.
int nx_sandbox_run(struct nx_sandbox *pool, const struct nx_exec_request *request,
                   nx_segment_fn *fn, void *user, struct nx_execution **out, struct nx_error *err);

struct nx_call_result {
    uint32_t call_id;
    bool ok;
    struct nx_span json;      // ok: the value (has passed nx_json_scan); empty: undefined
    enum nx_result_code code; // not ok: the handler sees an Error with this code …
    struct nx_span message;   // … and this message
};

// Starts the next segment of a suspended execution by answering one outstanding call; `state` is
// the latest committed state. The segment callback follows. Errors: NX_E_INVALID (not suspended, or
// no such outstanding call), NX_E_LIMIT, NX_E_NOMEM.
int nx_sandbox_resume(struct nx_execution *execution, const struct nx_call_result *result,
                      const struct nx_state_entry *state, size_t state_count, struct nx_error *err);

// How long a cancelled segment has kept its worker busy.
typedef void nx_spent_fn(void *user, uint32_t run_us);

// Ends an execution without a further segment: a waiting or suspended one is dropped, the result
// of a running one is ignored. If that takes its time and its worker has nothing else to do and
// holds nothing suspended, another worker takes its place within two NX_WATCHDOG_PERIOD_MS.
// `execution` must not be used afterwards. Of a running one `fn` (NULL: nobody) hears once, when
// its worker is done with it or lost, or the pool stops. Returns whether it will.
bool nx_sandbox_cancel(struct nx_execution *execution, nx_spent_fn *fn, void *user);

// ---- Figures

struct nx_sandbox_stats {
    uint32_t workers_alive;
    uint32_t running;   // sent to a worker and not answered
    uint32_t waiting;   // not yet sent
    uint32_t suspended; // parked
    uint64_t worker_restarts, watchdog_kills, protocol_kills;
    uint64_t resets[NX_RESET_KINDS]; // as workers tell them; a dead one's last are missing
    uint32_t protections; // in force in the workers: bits of enum nx_protection (lockdown.h)
    pid_t zygote_pid;
    pid_t worker_pids[16]; // the first ones alive, 0-terminated if fewer
};
void nx_sandbox_get_stats(const struct nx_sandbox *pool, struct nx_sandbox_stats *out);

#endif
