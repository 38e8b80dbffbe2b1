// SPDX-License-Identifier: Apache-2.0
// The kernel's half of the sandbox, inside: what client.h hides. Files:
//
//   code.c        handles of compiled handlers
//   pool.c        start, stop, figures
//   launcher.c    the process that starts it (launcher_child.c: what that does)
//   zygote_link.c the zygote process and its channel: asks for workers, gets their pidfds
//   peer.c        one worker as the kernel sees it: its channel, frames in and out, its end
//   lanes.c       which worker may take a job; which workers stand back
//   dispatch.c    sends jobs, in order, to workers with room; warm code; the watchdog
//   client.c      the functions of client.h that make and end jobs
//   client_frames.c  the frames of these jobs
//   segment_check.c  what a SEGMENT frame may say
//
// A job is one frame that will be answered: COMPILE, RUN or RESUME. It waits in the pool's queue
// (or, a RESUME or one that follows in a chain, in its worker's own), then flies: it was sent and
// its answer is due after those of the jobs sent before it. Answers are matched by that order and
// by id.
#ifndef NX_SANDBOX_POOL_H
#define NX_SANDBOX_POOL_H

#include <sys/queue.h>

#include "base/limits.h"
#include "sandbox/client.h"
#include "sandbox/launcher.h"
#include "sandbox/wire.h"

struct nx_peer;

struct nx_code {
    uint32_t refs;
    uint8_t id[NX_CODE_ID_BYTES];
    // Where each worker may hold it: a hint, checked against the worker's own table.
    uint8_t slot_hint[2 * NX_MAX_WORKERS];
    size_t len;
    uint8_t bytecode[];
};

enum nx_job_kind { NX_JOB_COMPILE, NX_JOB_RUN, NX_JOB_RESUME };

struct nx_job {
    TAILQ_ENTRY(nx_job) link; // in a queue, or among its worker's flying ones
    enum nx_job_kind kind;
    char *frame; // owned; kept until the answer, because a worker may die before it starts
    size_t frame_len;
    uint64_t sent_at_bytes; // it is all sent when its worker was sent so many bytes
    uint32_t id;            // of the frame; given when it is sent
    uint32_t timeout_us;    // the worker answers within this, or is killed
    uint32_t expected_us;   // what it will probably take
    enum nx_lane lane;
    uint32_t redispatched;
    bool suspect; // was in a worker that died: sent to an idle worker, and alone
};
TAILQ_HEAD(nx_job_queue, nx_job);

struct nx_compile_job {
    struct nx_job job;
    enum nx_compile_kind of;
    nx_compile_fn *fn;
    void *user;
};

enum nx_exec_phase { NX_PHASE_WAITING, NX_PHASE_FLYING, NX_PHASE_PARKED };

// Where a WAITING one waits.
enum nx_exec_place {
    NX_PLACE_QUEUED,  // in the pool's queue
    NX_PLACE_BOUND,   // in its worker's
    NX_PLACE_HANGING, // on the one before it in its chain, which was not sent yet
};

struct nx_execution {
    struct nx_job job; // of the current segment
    struct nx_sandbox *sandbox;
    struct nx_code *code;
    const struct nx_cap_set *caps;
    struct nx_exec_limits limits;
    nx_segment_fn *fn; // NULL: cancelled while flying
    void *user;
    struct nx_peer *peer; // flying or parked there
    uint32_t chain;       // 0: none
    // The one before and the one behind in the chain, while both wait or fly.
    struct nx_execution *before, *behind;
    bool follows;     // its frame has no state: it is of no use anywhere else
    bool place_given; // it has ended, and counts no longer
    TAILQ_ENTRY(nx_execution) parked_link;
    enum nx_exec_phase phase;
    enum nx_exec_place place;
    uint32_t id; // in its worker
    uint64_t left_us;
    uint32_t ran_us;       // of the segment that landed last, as the kernel saw it
    nx_spent_fn *spent_fn; // of a cancelled one, NULL: nobody wants to know; `user` is its
    // What earlier segments used up.
    uint64_t host_calls, mutations, events, log_bytes;
    uint32_t last_call_id, outstanding;
    uint32_t outstanding_ids[NX_MAX_OUTSTANDING_CALLS];
};
TAILQ_HEAD(nx_parked_executions, nx_execution);

// One warm handler of a worker.
struct nx_code_slot {
    struct nx_code *code; // holds a reference; NULL: free
    TAILQ_ENTRY(nx_code_slot) link;
};
TAILQ_HEAD(nx_code_slots, nx_code_slot);

// A worker. `pidfd` is -1 while it is not alive; the struct stays and gets a new process.
struct nx_peer {
    struct nx_sandbox *pool;
    uint32_t index;
    pid_t pid;
    int pidfd, channel;
    uv_poll_t *poll; // NULL: no process
    bool poll_writable;
    bool starting; // SPAWN was sent, SPAWNED has not come
    struct nx_buf in, out;
    size_t out_sent;     // how far `out` was sent already
    uint64_t sent_bytes; // to this process, in all
    // A flying job whose frame is too large to be copied into `out`: it is sent from where it is,
    // before out[large_at]. NULL: none.
    struct nx_job *large;
    size_t large_at, large_sent;
    struct nx_job_queue flying;
    struct nx_job_queue bound; // wait for room in this worker: RESUMEs, and RUNs that follow
    uint32_t flying_count;
    uint64_t ahead_us;                          // what these are expected to take
    uint32_t unsure;                            // how many of them are not light
    bool spare;                                 // stands back: for what may take long
    uint64_t head_since_ns;                     // when the first of `flying` could begin
    uint64_t watched_since_ns, watched_used_ns; // nx_lanes_watch: of the head it saw last, and the
                                                // processor time that the worker had used by then
    uint64_t idle_used_ns; // likewise, since it has nothing to do; 0: not looked at since
    bool slow;             // its head is slow: gets no new work
    bool alone;            // its head is a suspect: likewise
    struct nx_parked_executions parked;
    uint32_t last_id;
    struct nx_code_slots slots_lru; // most recently used first; free ones last
    struct nx_code_slot slots[NX_WIRE_CODE_SLOTS];
    size_t code_bytes;
    uint64_t started_ns, restart_at_ns;
    uint32_t restart_delay_ms;
};

struct nx_zygote_link {
    int channel;
    uv_poll_t *poll;
    int pidfd; // -1: none
    pid_t pid;
    bool ready;
    struct nx_peer *spawning; // workers are asked for one at a time
    uint64_t started_ns, restart_at_ns;
    uint32_t restart_delay_ms;
    struct nx_error error; // why it last failed
};

// Grown arrays that one SEGMENT frame is read into.
struct nx_segment_scratch {
    struct nx_mutation *mutations;
    struct nx_event *events;
    struct nx_view_command *views;
    struct nx_log_entry *logs;
    struct nx_denial *denials;
    const struct nx_mutation **sorted;
    size_t mutation_room, event_room, view_room, log_room, denial_room, sorted_room;
    struct nx_ext_call calls[NX_MAX_OUTSTANDING_CALLS];
};

struct nx_sandbox {
    uv_loop_t *loop;
    struct nx_sandbox_config config;
    struct nx_launcher *launcher;
    bool owns_launcher;
    struct nx_zygote_link zygote;
    struct nx_peer *peers;
    uint32_t peer_count;
    uint32_t ordinary;      // of the peers: those that are not spare; fewer than there should be
                            // while a slow one stands back and no other can take its place
    uint32_t spares_wanted; // so many were needed: they are kept running
    struct nx_job_queue waiting[NX_LANES];
    uint32_t waiting_compiles, waiting_runs;
    uint32_t executions; // waiting, flying and parked, cancelled ones still flying included
    uint32_t flying_executions, parked_executions;
    uint32_t protections; // of the workers
    uint64_t worker_restarts, watchdog_kills, protocol_kills;
    uint64_t resets[NX_RESET_KINDS];
    uint64_t no_worker_since_ns; // 0: one is alive
    uv_prepare_t prepare;        // before waiting: dispatch and write what callbacks left behind
    uv_check_t check;            // after reading: the same, without waiting for the next round
    uv_timer_t tick;
    bool tick_active; // often; else only for idle workers
    bool dirty;       // something to dispatch or write
    struct nx_segment_scratch scratch;
    bool started, stopping;
    uint32_t open_handles;
    void (*on_stopped)(void *user);
    void *on_stopped_user;
};

// ---- pool.c

// One of the pool's libuv handles has closed; the last one of a stopping pool ends the pool.
void nx_pool_handle_closed(struct nx_sandbox *pool);
// The wait before a process that lived for `lifetime_ns` is started again, given the last wait:
// none for one that lived a second.
uint32_t nx_pool_backoff(uint32_t last_ms, uint64_t lifetime_ns);
// Tells the pool's owner, unless the pool starts or stops.
void nx_pool_tell(const struct nx_sandbox *pool, enum nx_sandbox_news news, pid_t pid,
                  const char *detail);

// ---- zygote_link.c

// Starts the zygote; READY comes through the loop or nx_zygote_wait.
int nx_zygote_start(struct nx_sandbox *pool, struct nx_error *err);
// Blocks until the zygote is ready and the first worker is there, at most until `deadline_ns`.
int nx_zygote_wait(struct nx_sandbox *pool, uint64_t deadline_ns, struct nx_error *err);
// Asks for the processes of workers that have none and whose wait is over.
void nx_zygote_fill(struct nx_sandbox *pool);
// Has a worker's priority lowered, for good. If the zygote does not live, the worker soon will not.
void nx_zygote_lower(const struct nx_sandbox *pool, pid_t pid);
void nx_zygote_stop(struct nx_sandbox *pool);

// ---- peer.c

// The worker's process exists: `channel` and `pidfd` become the peer's. Without a pidfd
// (descriptors ran out) or memory it is not attached: both are closed, and it ends with its
// channel.
int nx_peer_attach(struct nx_peer *peer, int channel, pid_t pid, int pidfd);
bool nx_peer_alive(const struct nx_peer *peer);
// Whether it is alive and may be sent another job.
bool nx_peer_has_room(const struct nx_peer *peer);
// Puts the job's frame in line for the worker. NX_E_NOMEM, NX_E_LIMIT: it is not.
int nx_peer_put_frame(struct nx_peer *peer, struct nx_job *job);
// The job stops flying, and its frame may change or go: copies what the worker must still get of
// it. Without memory for that the peer ends, at the next dispatch.
void nx_peer_release_frame(struct nx_peer *peer, const struct nx_job *job);
// Bytes in line for the worker.
size_t nx_peer_unsent(const struct nx_peer *peer);
// Writes what is waiting, as far as the socket takes it.
void nx_peer_flush(struct nx_peer *peer);
// Reads and handles what has arrived.
void nx_peer_read(struct nx_peer *peer);

enum nx_peer_end {
    NX_PEER_DIED = NX_SANDBOX_WORKER_DIED,   // its channel closed
    NX_PEER_HUNG = NX_SANDBOX_WORKER_HUNG,   // past its deadline
    NX_PEER_ROGUE = NX_SANDBOX_WORKER_ROGUE, // broke a rule
    NX_PEER_UNWANTED,                        // nobody wants to know what it computes
    NX_PEER_STOPPING,                        // the pool stops
};
// Kills the worker, settles what it had, and marks the peer for a new process. Calls callbacks.
void nx_peer_end(struct nx_peer *peer, enum nx_peer_end why);

// ---- lanes.c

// The worker that is to do the job now. NULL: the job waits.
struct nx_peer *nx_lanes_pick(struct nx_sandbox *pool, const struct nx_job *job);
// So many spare workers, or as many as there may be, are needed from now on.
void nx_lanes_want_spares(struct nx_sandbox *pool, uint32_t count);
// Notes the processor time at which its head began, and makes a worker stand back if that takes
// long: it is a spare one then. Ends one that computes with nothing to do. Called every
// NX_WATCHDOG_PERIOD_MS while the pool has work, else every NX_IDLE_PERIOD_MS.
void nx_lanes_watch(struct nx_peer *peer);
// Puts spare workers in the place of ordinary ones that stand back now. May end idle ones.
void nx_lanes_regroup(struct nx_sandbox *pool);
// Whether the worker has no process and should have one.
bool nx_lanes_want(const struct nx_peer *peer);

// ---- dispatch.c

// Puts a new job in the pool's queue.
void nx_dispatch_queue(struct nx_sandbox *pool, struct nx_job *job);
// Sends jobs to workers that have room.
void nx_dispatch(struct nx_sandbox *pool);
// Something has to be done before the loop waits again.
void nx_dispatch_later(struct nx_sandbox *pool);
// Takes the head of the worker's flying jobs off: its answer came.
struct nx_job *nx_dispatch_landed(struct nx_peer *peer);
// The worker will not do its flying RUNs and COMPILEs: it dropped all but its head, or it `died`.
// They wait again, first in line.
void nx_dispatch_take_back(struct nx_peer *peer, bool died);
// A waiting job, the first of its lane; NULL: none waits.
struct nx_job *nx_dispatch_first(const struct nx_sandbox *pool);
// Takes a waiting job out of the pool's queue.
void nx_dispatch_unqueue(struct nx_sandbox *pool, struct nx_job *job);
// Puts a job in its worker's own queue.
void nx_dispatch_bind(struct nx_peer *peer, struct nx_job *job);
// The watchdog and the restarts; often while the pool has work or misses workers.
void nx_dispatch_tick(uv_timer_t *timer);
// Drops the worker's table of warm code.
void nx_dispatch_forget_code(struct nx_peer *peer);

// ---- client.c

static inline struct nx_execution *nx_job_execution(struct nx_job *job) {
    return (struct nx_execution *)(void *)((char *)job - offsetof(struct nx_execution, job));
}
static inline struct nx_compile_job *nx_job_compile(struct nx_job *job) {
    return (struct nx_compile_job *)(void *)((char *)job - offsetof(struct nx_compile_job, job));
}

// An answer to the job came. NX_E_PROTOCOL: the worker broke a rule, the job is still the caller's.
int nx_client_answered(struct nx_peer *peer, struct nx_job *job, struct nx_span payload);
// Ends a job without an answer; calls its callback with `code`.
void nx_client_fail(struct nx_job *job, enum nx_result_code code, const char *message);
// The same for a job that has not begun: one that follows in a chain is NOT_RUN.
void nx_client_lose(struct nx_job *job, enum nx_result_code code, const char *message);
// The worker need not hold the suspended execution any longer.
void nx_client_release(struct nx_execution *execution);
// Ends an execution that followed in a chain and did not begin: NOT_RUN.
void nx_client_not_run(struct nx_execution *execution);
// Ends a parked execution; calls its callback.
void nx_client_fail_parked(struct nx_execution *execution, const char *message);
// Frees a job and what hangs on it without a callback.
void nx_client_drop(struct nx_job *job);

// ---- client_frames.c

// Each makes the frame of a job from its other members and what is given. 0; NX_E_LIMIT: it would
// be over NX_MAX_FRAME_BYTES; NX_E_NOMEM.
int nx_client_frame_run(struct nx_execution *execution, const struct nx_exec_request *request,
                        struct nx_error *err);
int nx_client_frame_resume(struct nx_execution *execution, const struct nx_call_result *result,
                           const struct nx_state_entry *state, size_t state_count,
                           struct nx_error *err);
int nx_client_frame_compile(struct nx_compile_job *compile, struct nx_span source, uint32_t line,
                            uint32_t column, struct nx_error *err);

// ---- segment_check.c

// Reads a SEGMENT payload into `out` (its arrays are the pool's scratch) and adds what it used to
// the execution. NX_E_PROTOCOL: it says what no honest worker would; NX_E_NOMEM.
int nx_segment_check(struct nx_execution *execution, struct nx_span payload,
                     struct nx_segment *out);
void nx_segment_scratch_free(struct nx_segment_scratch *scratch);

#endif
