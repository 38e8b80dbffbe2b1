// SPDX-License-Identifier: Apache-2.0
// The runtime: sandbox, compile cache, store, extensions and panels on one event loop. This is all
// that the HTTP server and the command line know of the kernel core.
//
// Glossary
//   panel      a definition (tools, grants) plus its state
//   trigger    one request to run a tool of a panel: from nx_runtime_trigger to its final result
//   segment    a stretch of an execution between two suspensions; its effects commit atomically
//   turn       the right of one trigger to run a segment; a panel has one turn, given in FIFO order
//
// Invariants
//   1. The segments of a panel take effect one at a time, each on the state that the one before
//      left. A suspended trigger gives its turn up.
//   2. A segment's mutations, events, view commands all take effect, or none; committed segments
//      stay whatever happens later. Nothing runs twice.
//   3. A call that returns an error never calls its callback. A callback is never called from
//      inside the call that registered it.
//   4. A trigger's callback is called zero or more times with SUSPENDED, then exactly once with
//      SUCCESS or ERROR (unless the trigger was detached, or the call itself failed).
//   5. Observers see commits, events and view commands in commit order, after the commit, and
//      before the trigger's own callback for that segment.
//
// Single-threaded: everything is called from the thread of the loop.
#ifndef NX_KERNEL_RUNTIME_H
#define NX_KERNEL_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/caps.h"
#include "base/error.h"
#include "base/span.h"
#include "kernel/result.h"
#include "nxml/panel_def.h"
#include "sandbox/client.h"

struct nx_runtime;
struct nx_panel;
struct nx_trigger;
struct nx_ext_registry;
struct nx_policy;
struct nx_cache_tier;

// ---- Life cycle

struct nx_runtime_config {
    struct nx_sandbox_config sandbox;
    struct nx_exec_limits limits; // the most any execution gets; max_state_bytes also caps a panel
    uint32_t suspend_timeout_ms;  // each suspension
    uint32_t max_panels;
    uint32_t max_queue; // triggers waiting for their turn, per panel; see NX_QUEUE_PANELS_FACTOR
    size_t max_cache_bytes; // bytecode kept in memory
    // What keeps bytecode beyond this process; NULL: nothing does. Borrowed until the runtime is
    // gone.
    const struct nx_cache_tier *cache_tier;
    // What every panel may be granted at most, by its kind; NULL: what it declares. Borrowed until
    // the runtime is gone; may be reloaded meanwhile.
    const struct nx_policy *policy;
};

// Every field at its documented default (one worker; the server sets more).
void nx_runtime_config_default(struct nx_runtime_config *config);

// Starts the sandbox (bounded wait, see nx_sandbox_start), store, cache and built-in extensions on
// `loop`, which the caller owns and runs. `config` is copied except the strings, which must outlive
// the call only. On success *out is freed by nx_runtime_stop.
// Errors: those of nx_sandbox_start; nothing is left running.
int nx_runtime_start(struct nx_runtime **out, uv_loop_t *loop,
                     const struct nx_runtime_config *config, struct nx_error *err);

// Stops taking work, lets triggers that are running, waiting or suspended finish for at most
// `drain_ms`, ends the rest with CANCELLED, then stops the sandbox and frees everything. Panels'
// unmount handlers do not run: the panels are not deleted. `on_stopped` is called from the loop
// when nothing is left; `rt` and every panel are gone by then. A second call only shortens the
// drain. Until `on_stopped`, accessors stay usable.
void nx_runtime_stop(struct nx_runtime *rt, uint32_t drain_ms, void (*on_stopped)(void *user),
                     void *user);

// True from nx_runtime_stop on: creations and triggers are refused with NX_E_CLOSED.
bool nx_runtime_stopping(const struct nx_runtime *rt);

// Where further extensions (http), or canned answers, are registered right after start. Owned by
// the runtime.
struct nx_ext_registry *nx_runtime_extensions(struct nx_runtime *rt);

// ---- Creating panels

struct nx_panel_request {
    struct nx_span id;     // empty: the id in the source, else a generated one
    struct nx_span source; // NXML or JSON text (chosen by its first character)
    // What the creator's token may grant, beside the runtime's policy; NULL: anything. Copied.
    // Names of extensions here are their real names, not a panel's aliases.
    const struct nx_cap_set *ceiling;
    // Replaces every declaration in the panel when not NULL (`nexus run --grant`). Copied.
    const struct nx_cap_set *grants;
    struct nx_span state_json; // an object merged over the initial state; empty: none
    bool skip_mount;           // the mount handler does not run (`nexus run`)
    bool calls_only;           // nothing but calls sets its tools off (`nexus run`)
};

// Why a panel was not created. Everything is valid during the callback.
struct nx_panel_failure {
    // Static text: INVALID_NXML (see `diagnostics`), INVALID_REQUEST, PANEL_EXISTS,
    // RESOURCE_LIMIT (too many panels, state too large), OVERLOADED, INTERNAL_ERROR.
    const char *code;
    const char *message;
    const struct nx_diagnostics *diagnostics; // every finding, sorted; never NULL, may be empty
};

// Exactly one of `panel` and `failure` is set. `mount` is the result of the mount handler, NULL
// without one: a failing mount does not undo the creation, its error is reported here.
typedef void nx_panel_created_fn(void *user, struct nx_panel *panel, const struct nx_result *mount,
                                 const struct nx_panel_failure *failure);

// Parses, validates and compiles the panel, checks the id, and runs `mount` to its end (suspensions
// included). The panel can be found once the callback says so; its id is taken at once. The result
// always comes through the callback, except: NX_E_CLOSED (stopping), NX_E_NOMEM, NX_E_BUSY (over
// NX_MAX_CREATIONS at work).
int nx_runtime_create_panel(struct nx_runtime *rt, const struct nx_panel_request *request,
                            nx_panel_created_fn *fn, void *user, struct nx_error *err);

// Parses, validates and compiles a source without making a panel of it. The callback gets the
// definition (NULL if it does not parse) and every finding, sorted; or, if the sandbox could not do
// its part, `fault` says why and the findings may be incomplete. All valid during the callback.
// Errors: NX_E_CLOSED (stopping), NX_E_NOMEM.
typedef void nx_checked_fn(void *user, const struct nx_panel_def *def,
                           const struct nx_diagnostics *diagnostics, const char *fault);
int nx_runtime_check_source(struct nx_runtime *rt, struct nx_span source, nx_checked_fn *fn,
                            void *user, struct nx_error *err);

// Removes the panel from sight at once, ends its waiting and suspended triggers with CANCELLED
// (their callbacks run inside this call), lets a running segment finish, runs `unmount`, and then
// calls `fn` (may be NULL) from the loop; observers' `on_panel_closed` comes just before, and the
// panel is gone after it. `reason` is static text handed to observers.
// Errors: NX_E_NOTFOUND (already being deleted), NX_E_NOMEM.
int nx_runtime_delete_panel(struct nx_panel *panel, const char *reason, void (*fn)(void *user),
                            void *user, struct nx_error *err);

// ---- Looking at panels

// The panel, or NULL. The pointer holds until on_panel_closed; keep the id across waits, or watch.
struct nx_panel *nx_runtime_find_panel(struct nx_runtime *rt, struct nx_span id);

// Fills `out` with up to `limit` panels ordered by id (bytes), those with an id after `after`
// (empty: from the start). Returns how many.
size_t nx_runtime_list_panels(struct nx_runtime *rt, struct nx_span after, struct nx_panel **out,
                              size_t limit);
size_t nx_runtime_panel_count(const struct nx_runtime *rt);

const char *nx_panel_id(const struct nx_panel *panel);
const struct nx_panel_def *nx_panel_definition(const struct nx_panel *panel);
// "active", or "suspended" while at least one of its triggers is.
const char *nx_panel_status(const struct nx_panel *panel);
int64_t nx_panel_created_at_ms(const struct nx_panel *panel);    // Unix time
int64_t nx_panel_last_activity_ms(const struct nx_panel *panel); // Unix time of the last trigger
// Rises by one with each commit that changed the state; 1 for a new panel.
uint64_t nx_panel_state_version(const struct nx_panel *panel);
// Appends the whole state as a JSON object, keys in insertion order. Returns 0 or out->failed.
int nx_panel_render_state(const struct nx_panel *panel, struct nx_buf *out);
// The value of one key, or an empty span. Valid until the next commit of the panel.
struct nx_span nx_panel_state_value(const struct nx_panel *panel, struct nx_span key);
// What handlers of `tool` may do in effect (declared ∩ ceiling, or the replacing grants).
const struct nx_cap_set *nx_panel_tool_caps(const struct nx_panel *panel,
                                            const struct nx_tool_def *tool);
// A slot for the server's own data about the panel (its sockets). NULL at first; never read here.
void *nx_panel_user_data(const struct nx_panel *panel);
void nx_panel_set_user_data(struct nx_panel *panel, void *data);

// ---- Triggers

struct nx_trigger_request {
    struct nx_span tool;
    struct nx_span args_json;  // untrusted JSON text, an object; empty: {}
    struct nx_span request_id; // for $scope.requestId; empty: none. At most NX_MAX_REQUEST_ID_BYTES
    // For observers and extensions only; both may be empty. Whose token asked, at most
    // NX_MAX_SUBJECT_BYTES; a valid `traceparent`, at most NX_TRACEPARENT_BYTES.
    struct nx_span subject, traceparent;
    uint32_t timeout_ms; // lowers the tool's limit; 0: as the tool has it
};

// See invariant 4. `trigger` is the handle that nx_runtime_trigger gave; it is gone after the final
// call. `result` is valid during the call.
typedef void nx_trigger_fn(void *user, struct nx_trigger *trigger, const struct nx_result *result);

// Queues one run of a tool. `request` is copied as needed. `out` may be NULL.
// Errors (nothing was queued): NX_E_NOTFOUND (no such tool), NX_E_INVALID (arguments: not JSON, not
// an object, or not what the tool declares; the message says which), NX_E_BUSY (queue full:
// OVERLOADED), NX_E_LIMIT (arguments too large), NX_E_CLOSED (stopping or panel being deleted),
// NX_E_NOMEM.
int nx_runtime_trigger(struct nx_panel *panel, const struct nx_trigger_request *request,
                       nx_trigger_fn *fn, void *user, struct nx_trigger **out,
                       struct nx_error *err);

// Ends the trigger with CANCELLED; its callback runs inside this call. Committed segments stay; a
// running one is dropped. Not from inside the trigger's own callback with a final result.
void nx_trigger_cancel(struct nx_trigger *trigger);

// Lets the trigger go on without its caller: no further callback. The handle must not be used
// afterwards. For clients that went away.
void nx_trigger_detach(struct nx_trigger *trigger);

// The panel and tool; the tool is NULL for mount and unmount.
struct nx_panel *nx_trigger_panel(const struct nx_trigger *trigger);
const struct nx_tool_def *nx_trigger_tool(const struct nx_trigger *trigger);

// ---- Observers

// One execution's run, for those who watch everything: its panel, the name of its handler (tool
// name, "mount" or "unmount"), what its request said of itself (each may be empty), and what set it
// off (MANUAL: a call, or the panel's creation or deletion). Valid during the callback.
struct nx_run_info {
    struct nx_panel *panel;
    const char *handler;
    struct nx_span request_id, subject, traceparent;
    enum nx_trigger_kind set_off_by;
};

// Why a tool with a trigger of its own was not run although its time had come.
enum nx_skip_reason {
    NX_SKIP_BUSY,  // interval, cron: its previous run has not ended
    NX_SKIP_LATE,  // interval, cron: the time went by unseen
    NX_SKIP_FULL,  // too many such runs, or bytes of payloads, are waiting
    NX_SKIP_DEPTH, // event, state: NX_MAX_TRIGGER_DEPTH runs led to it, one by another
    NX_SKIP_REASONS,
};
// "busy", "late", "full", "depth".
const char *nx_skip_reason_name(enum nx_skip_reason reason);

struct nx_skip {
    const char *tool; // or the handler whose event was dropped
    enum nx_trigger_kind kind;
    enum nx_skip_reason reason;
    uint64_t count; // since the last report
};

// Every member may be NULL. Everything handed over is valid during the call. Observers may trigger,
// cancel and delete, but not stop observing from inside a callback.
struct nx_observer {
    void *user;
    // A segment changed the state: `version` is the new one. One call a commit.
    void (*on_commit)(void *user, struct nx_panel *panel, uint64_t version,
                      const struct nx_mutation *mutations, size_t count);
    void (*on_event)(void *user, struct nx_panel *panel, const struct nx_event *event);
    void (*on_view)(void *user, struct nx_panel *panel, const struct nx_view_command *view);
    void (*on_log)(void *user, const struct nx_run_info *run, const struct nx_log_entry *entry);
    // A host call was refused (caught by the handler or not): audit.
    void (*on_denied)(void *user, const struct nx_run_info *run, const struct nx_denial *denial);
    // An extension call ended after `us`; `code` is NX_RESULT_NONE when it succeeded. `name` is
    // what the panel's name for the extension stands for; no extension may have it.
    void (*on_extension)(void *user, const struct nx_run_info *run, const struct nx_ext_call *call,
                         struct nx_span name, enum nx_result_code code, uint64_t us);
    void (*on_compiled)(void *user, enum nx_result_code code, uint32_t compile_us);
    // Final result of every execution, also of mount, unmount and detached ones.
    void (*on_finished)(void *user, const struct nx_run_info *run, const struct nx_result *result);
    // Runs that were skipped: once in NX_SKIP_REPORT_MS for each tool and reason.
    void (*on_skipped)(void *user, struct nx_panel *panel, const struct nx_skip *skip);
    void (*on_panel_created)(void *user, struct nx_panel *panel);
    void (*on_panel_closed)(void *user, struct nx_panel *panel, const char *reason);
};

// Registers a copy of `observer` for the runtime's life. NX_E_LIMIT past NX_MAX_OBSERVERS.
int nx_runtime_observe(struct nx_runtime *rt, const struct nx_observer *observer);

// ---- Figures

struct nx_runtime_stats {
    struct nx_sandbox_stats sandbox;
    uint32_t max_instances;    // executing + suspended may not exceed it
    uint32_t panels_active;    // panels with no suspended trigger
    uint32_t panels_suspended; // panels with one
    uint32_t triggers_waiting; // for their turn
    uint32_t triggers_suspended;
    uint64_t cache_hits, cache_misses;
    size_t cache_bytes, cache_entries;
    uint64_t executions[NX_EXEC_STATUS_COUNT]; // ended, by status; SUSPENDED counts suspensions
    uint64_t errors[NX_RESULT_CODE_COUNT];     // by code
    uint64_t host_calls[NX_HOST_CALL_COUNT];
    uint64_t denials[NX_CAP_KINDS];
    uint64_t set_off[NX_TRIGGER_KINDS]; // runs queued by what set them off; of MANUAL none
    uint64_t skipped[NX_SKIP_REASONS];
};
void nx_runtime_get_stats(const struct nx_runtime *rt, struct nx_runtime_stats *out);

#endif
