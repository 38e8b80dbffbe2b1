// SPDX-License-Identifier: Apache-2.0
// The inside of the runtime, shared by the files that make it up. Not for the server or the command
// line: they use runtime.h.
//
// Who does what
//   runtime.c   start, stop, figures, observers
//   create.c    from a panel's source to a mounted panel
//   compile.c   every handler and expression of a definition through the cache
//   later.c     work put off to the loop's next turn
//   grants.c    what a handler may do in effect; extension aliases
//   panel.c     the table of panels, accessors, deletion
//   trigger.c   accepting, cancelling and ending triggers
//   turn.c      who gets the panel's turn next, and starting its segment
//   share.c     what a panel uses of the processors
//   segment.c   what a finished segment leads to: commit, suspend, end
//   suspend.c   extension calls of a suspended trigger, and its time limit
//   gather.c    what finished segments of one execution add up to
//   standing.h  tools that the clock, events or changes of state set off
//
// A trigger's phases, and the functions that move it on:
//
//   nx_runtime_trigger --> WAITING --nx_turn_give--> RUNNING --nx_segment_done--> (ended)
//                             |  (code not cached)     ^ |   (CHAINED: sent ahead of the turn)
//                             +---> COMPILING ---------+ | nx_suspend
//                                                      | v
//                                  READY <----------- SUSPENDED
//                                    |  an answer came
//                                    +--nx_turn_give--> RUNNING
//
// Any phase --nx_trigger_end--> ended: cancelled, timed out, or its worker died.
#ifndef NX_KERNEL_CORE_H
#define NX_KERNEL_CORE_H

#include <sys/queue.h>

#include <uthash.h>

#include "base/limits.h"
#include "ext/ext.h"
#include "kernel/cache.h"
#include "kernel/runtime.h"
#include "kernel/standing.h"
#include "store/store.h"

// ---- Work put off to the loop's next turn

// Part of the object that has something to do later; zero it before first use.
struct nx_later {
    void (*run)(struct nx_later *later);
    bool linked;
    TAILQ_ENTRY(nx_later) link;
};
TAILQ_HEAD(nx_later_list, nx_later);

// Makes rt->later_async.
void nx_later_open(struct nx_runtime *rt);
// Calls `later->run` from the loop, once, when it has looked at its sockets again. Nothing happens
// if it is already linked.
void nx_later_add(struct nx_runtime *rt, struct nx_later *later);
void nx_later_forget(struct nx_runtime *rt, struct nx_later *later);

// ---- Panels

// One piece of handler code of a panel, ready to run.
struct nx_handler {
    const struct nx_tool_def *tool; // NULL for mount and unmount
    const struct nx_handler_def *def;
    const char *name;       // tool name, "mount" or "unmount"
    struct nx_cap_set caps; // in effect; lives as long as the panel: executions borrow it
    uint8_t code_id[NX_CODE_ID_BYTES];
    uint32_t mean_us; // what a segment takes, of late
    bool has_run;
    char *scope_head; // owned: `{"panelId":"…","tool":"…"`, the constant part of $scope
    size_t scope_head_len;
};

// A panel's account with the processors.
struct nx_share {
    uint64_t owed_us;    // running time not yet made up for
    uint64_t settled_ns; // up to when
};

enum nx_panel_phase { NX_PANEL_CREATING, NX_PANEL_ACTIVE, NX_PANEL_CLOSING };

TAILQ_HEAD(nx_trigger_list, nx_trigger);
LIST_HEAD(nx_spending_list, nx_spending);

struct nx_panel {
    struct nx_runtime *rt;
    UT_hash_handle hh;
    bool unhashed; // uthash could not insert it
    enum nx_panel_phase phase;
    char *id; // owned
    size_t id_len;
    struct nx_panel_def *def;     // owned
    struct nx_store_panel *state; // owned
    struct nx_handler *handlers;  // owned: the tools in order, then mount and unmount
    size_t handler_count;
    struct nx_handler *mount, *unmount; // NULL if absent
    int64_t created_at_ms, last_activity_ms;
    void *user_data;

    // The turn: who runs, and who waits for it. Both lists are in order of arrival; a trigger's
    // `arrival` decides between their heads.
    struct nx_trigger *running; // COMPILING or RUNNING; NULL when the turn is free
    // CHAINED: sent after `running`, each to begin with the state the one before leaves. They have
    // the turn after it unless the chain breaks; then they wait again, at their old places.
    struct nx_trigger_list chained;
    uint32_t chained_count;
    uint32_t chain;                 // names the chain that `running` is in; 0: in none
    struct nx_trigger_list waiting; // WAITING
    struct nx_trigger_list ready;   // READY
    uint32_t waiting_count;
    size_t waiting_args_bytes;
    struct nx_trigger_list suspended; // SUSPENDED
    uint32_t parked_count;            // SUSPENDED and READY: each holds an instance
    uint32_t trigger_count;           // alive, in any phase
    size_t held_bytes;                // of its triggers, see nx_suspend_hold

    struct nx_share share;
    struct nx_spending_list spending; // cancelled segments that workers are still busy with

    struct nx_standing *standing; // owned: its tools that set themselves off
    size_t standing_count;
    uint32_t set_off_count;   // runs of these alive, in any phase
    uint32_t set_off_waiting; // of waiting_count
    size_t cause_bytes;       // that its waiting runs hold

    struct nx_later next_turn; // see nx_turn_give_after

    bool starved; // on rt->starved: its next trigger needs an instance and none is free
    TAILQ_ENTRY(nx_panel) starved_link;

    // While CLOSING.
    const char *close_reason;
    void (*on_deleted)(void *user);
    void *on_deleted_user;
    bool unmounted;
    struct nx_later gone;
};
TAILQ_HEAD(nx_panel_list, nx_panel);

// ---- Triggers

enum nx_trigger_phase {
    NX_TRIGGER_WAITING,
    NX_TRIGGER_COMPILING,
    NX_TRIGGER_RUNNING,
    NX_TRIGGER_CHAINED,
    NX_TRIGGER_SUSPENDED,
    NX_TRIGGER_READY,
    NX_TRIGGER_ENDED,
};

// One extension call of a suspended trigger: on `calls` until it is answered, on `answers` until
// the answer was given to the handler.
struct nx_call {
    struct nx_trigger *trigger;
    TAILQ_ENTRY(nx_call) link;
    struct nx_ext_op *op;    // NULL when answered
    struct nx_ext_call call; // spans point into `bytes`
    uint64_t started_ns;
    struct nx_call_result result;
    char *result_bytes; // owned: what result's spans point to
    size_t held_bytes;  // of the trigger's
    char bytes[];
};
TAILQ_HEAD(nx_call_list, nx_call);

struct nx_gather;

struct nx_trigger {
    TAILQ_ENTRY(nx_trigger) link; // in one of its panel's lists, by phase
    struct nx_panel *panel;
    struct nx_handler *handler;
    nx_trigger_fn *fn; // NULL: nobody listens
    void *user;
    enum nx_trigger_phase phase;
    uint64_t arrival; // when it asked for its next turn; rises through the whole runtime
    uint32_t timeout_ms;
    const struct nx_standing *standing; // what set it off; NULL: a call
    struct nx_cause *cause;             // of a standing one, while it has not started
    uint32_t depth;                     // how many runs led to it, one by another
    char *args;                         // owned, while it has not started; NULL stands for {}
    size_t args_len;
    struct nx_cache_wait compile;   // COMPILING
    struct nx_execution *execution; // RUNNING and later; NULL before
    uint64_t suspension_id;
    struct nx_suspend_timer *timer; // NULL until the first suspension
    struct nx_call_list calls, answers;
    uint32_t call_count;      // on `calls`
    struct nx_gather *gather; // NULL until the first suspension
    size_t held_bytes;        // see nx_suspend_hold
    struct nx_result result;  // metrics build up here; the rest is filled in for each callback
    size_t request_id_len, subject_len, traceparent_len;
    char request_id[]; // then the subject, then the traceparent
};

struct nx_creation; // create.c
TAILQ_HEAD(nx_creation_list, nx_creation);

// ---- The runtime

struct nx_runtime {
    uv_loop_t *loop;
    struct nx_runtime_config config; // strings are not kept
    struct nx_sandbox *sandbox;
    struct nx_store *store;
    struct nx_cache *cache;
    struct nx_ext_registry *ext;
    struct nx_observer observers[NX_MAX_OBSERVERS];
    size_t observer_count;

    struct nx_panel *panels;  // by id
    struct nx_panel **sorted; // by id, ACTIVE ones only
    size_t sorted_count, sorted_capacity;
    size_t panel_count;           // of any phase
    struct nx_panel_list starved; // panels waiting for a free instance
    struct nx_creation_list creations;
    uint32_t creation_count, check_count;
    uint32_t closing_count; // panels being deleted

    uint64_t arrivals;      // last number given to nx_trigger.arrival
    uint64_t suspensions;   // last suspension id
    uint32_t chains;        // last chain; 0 is skipped
    uint32_t trigger_count; // alive, in any phase
    uint32_t waiting_count, suspended_count;
    uint32_t set_off_count, set_off_waiting; // as of the panels
    uint32_t panels_parked;                  // panels with parked_count > 0
    size_t waiting_args_bytes;
    size_t held_bytes;                         // as of the panels
    struct nx_buf args_scratch, scope_scratch; // of the trigger being started
    struct nx_runtime_stats totals;            // the counters that only rise

    struct nx_standings *standings; // owned

    uv_async_t later_async; // runs `later`; referenced while there is any
    struct nx_later_list later;

    bool stopping;
    uv_timer_t drain_timer;
    struct nx_later finish; // `run` is set once it is on its way
    bool finishing;
    int open_handles; // handles still to close at the end
    void (*on_stopped)(void *user);
    void *on_stopped_user;
};

// Calls one observer function of everybody who has it.
#define NX_OBSERVE(rt, fn, ...)                                                                    \
    do {                                                                                           \
        for (size_t observer_ = 0; observer_ < (rt)->observer_count; observer_++) {                \
            const struct nx_observer *o_ = &(rt)->observers[observer_];                            \
            if (o_->fn)                                                                            \
                o_->fn(o_->user, __VA_ARGS__);                                                     \
        }                                                                                          \
    } while (0)

// runtime.c: what ended may let a stop go on.
void nx_runtime_check_drained(struct nx_runtime *rt);

// create.c: gives up everything under way; the callbacks hear INTERNAL_ERROR.
void nx_creation_abort_all(struct nx_runtime *rt);

// compile.c: what of a handler gets compiled; and a job that compiles every handler and expression
// of `def`. Findings go to `diags`. `fn` is called later, once; `fault` is NULL, or why the sandbox
// could not do it. `ids` (may be NULL) receives the code ids of the handlers, in the order of
// nx_panel.handlers. Everything is borrowed until then.
struct nx_compile_job;
struct nx_cache_source nx_handler_source(const struct nx_handler_def *def);
typedef void nx_compile_job_fn(void *user, const char *fault);
int nx_compile_job_start(struct nx_compile_job **out, struct nx_runtime *rt,
                         const struct nx_panel_def *def, struct nx_diagnostics *diags,
                         uint8_t (*ids)[NX_CODE_ID_BYTES], nx_compile_job_fn *fn, void *user,
                         struct nx_error *err);
void nx_compile_job_cancel(struct nx_compile_job *job); // NULL is fine; not after `fn`

// panel.c
// A CREATING panel in the table, its handlers without grants yet. Takes `def` over on success.
// NX_E_EXISTS, NX_E_LIMIT (max_panels), NX_E_NOMEM.
int nx_panel_new(struct nx_runtime *rt, struct nx_span id, struct nx_panel_def *def,
                 struct nx_panel **out, struct nx_error *err);
int nx_panel_activate(struct nx_panel *panel);       // from now on it can be found; NX_E_NOMEM
void nx_panel_fail_triggers(struct nx_panel *panel); // all that are not RUNNING: CANCELLED
void nx_panel_free(struct nx_panel *panel);          // out of the table and gone
void nx_panel_check_closed(struct nx_panel *panel);  // moves a deletion on when idle
struct nx_handler *nx_panel_tool_handler(const struct nx_panel *panel,
                                         const struct nx_tool_def *tool);

// grants.c
int nx_grants_effective(const struct nx_ext_registry *ext, const struct nx_panel_def *def,
                        const struct nx_cap_set *declared, const struct nx_cap_set *ceiling,
                        struct nx_cap_set *out, struct nx_error *err);
// The registered name behind what a handler of this panel calls `name`.
struct nx_span nx_grants_extension(const struct nx_ext_registry *ext,
                                   const struct nx_panel_def *def, struct nx_span name);

// trigger.c
// Queues a lifecycle handler, past the limits of queues. NX_E_NOMEM.
int nx_trigger_internal(struct nx_panel *panel, struct nx_handler *handler, nx_trigger_fn *fn,
                        void *user, struct nx_error *err);
// The same for a run that `standing` was set off to make by `cause`, with the arguments' defaults.
int nx_trigger_standing(struct nx_standing *standing, struct nx_cause *cause, nx_trigger_fn *fn,
                        struct nx_error *err);
void nx_trigger_drop_cause(struct nx_trigger *t); // it has started, or never will
// Ends a trigger that is on none of its panel's lists and does not hold the turn: gives back calls,
// timer and instance (`execution` must be NULL if it ended by itself), reports t->result to
// observers and the caller, and frees it.
void nx_trigger_end(struct nx_trigger *t);
// Takes it from its list or from the turn, and ends it with an error. The caller gives the turn on.
void nx_trigger_fail(struct nx_trigger *t, enum nx_result_code code, struct nx_span message);
struct nx_run_info nx_trigger_info(const struct nx_trigger *t);

// turn.c
void nx_turn_enqueue(struct nx_trigger *t, enum nx_trigger_phase phase); // WAITING or READY
void nx_turn_dequeue(struct nx_trigger *t);
// Gives the turn away as long as it is free and somebody can use it, then does the same for panels
// that starved for an instance. To be called whenever a turn or an instance became free.
void nx_turn_give(struct nx_panel *panel);
// The same after a segment. Where the next one begins with much state, others get in between: all
// that one panel does at a time, they wait for.
void nx_turn_give_after(struct nx_panel *panel);
// Takes a RUNNING, COMPILING or CHAINED trigger out of the turn.
void nx_turn_leave(struct nx_trigger *t);
// Whether a new trigger could start at once, overtaking nobody.
bool nx_turn_is_free(const struct nx_panel *panel);
// Sends what waits next along behind what runs, as far as a chain may go.
void nx_turn_extend(struct nx_panel *panel);
// Those behind `t` in the chain (NULL: all) wait again. What the worker makes of them is not taken:
// no effect of theirs is visible anywhere, so that running them again is running them once.
void nx_turn_break_chain(struct nx_panel *panel, const struct nx_trigger *t);
// `t` followed in a chain that had ended before it: it waits again.
void nx_turn_not_run(struct nx_trigger *t);
// Starts the first segment of `t`, whose panel's turn is free. 0: it holds the turn now. NX_E_BUSY:
// no instance is free, and the panel is listed as starved. Other errors: it cannot run.
int nx_turn_start(struct nx_trigger *t, struct nx_span args, struct nx_error *err);

// share.c
// A segment of the handler has run.
void nx_share_charge(struct nx_panel *panel, struct nx_handler *handler, uint32_t run_us);
// Cancels the trigger's execution. What it runs until its worker is done with it is charged then.
void nx_share_cancel(struct nx_trigger *t);
// The panel is about to be freed: nothing is charged to it any more.
void nx_share_forget(struct nx_panel *panel);
// How the handler's next execution is to be taken.
enum nx_lane nx_share_lane(struct nx_panel *panel, const struct nx_handler *handler);

// segment.c
void nx_segment_done(void *user, struct nx_execution *execution, const struct nx_segment *segment);

// suspend.c
// Parks a trigger and starts its calls. NX_E_NOMEM: it is parked and must be failed.
int nx_suspend(struct nx_trigger *t, const struct nx_segment *segment);
// `t`, just taken from the ready list, has the turn: gives an answer to its handler.
void nx_suspend_resume(struct nx_trigger *t);
void nx_suspend_unpark(struct nx_trigger *t);  // it no longer sits on an idle instance
void nx_suspend_release(struct nx_trigger *t); // gives up calls and timer
// Counts bytes that the trigger makes the kernel keep across a suspension, or takes them off.
// NX_E_LIMIT: its panel has too many already; NX_E_NOMEM: all panels together have.
size_t nx_suspend_call_bytes(const struct nx_ext_call *call); // what a call of its own holds
int nx_suspend_hold(struct nx_trigger *t, size_t bytes, struct nx_error *err);
void nx_suspend_let_go(struct nx_trigger *t, size_t bytes);

// gather.c
// Copies what a segment did and makes room for it, so that nx_gather_merge cannot fail once the
// segment is committed. *step is freed by that, or by nx_gather_free. NX_E_LIMIT over
// NX_MAX_RESULT_BYTES, NX_E_NOMEM.
int nx_gather_prepare(struct nx_gather **gather, const struct nx_segment *segment,
                      struct nx_gather **step);
void nx_gather_merge(struct nx_gather *gather, struct nx_gather *step);
int nx_gather_add_logs(struct nx_gather **gather, const struct nx_log_entry *logs, size_t count);
// Points the result's lists at what was gathered.
void nx_gather_view(const struct nx_gather *gather, struct nx_result *result);
size_t nx_gather_bytes(const struct nx_gather *gather); // what its items hold
void nx_gather_free(struct nx_gather *gather);

#endif
