// SPDX-License-Identifier: Apache-2.0
// Jobs go out in the order they came, each to the worker that lanes.c names. A worker gets several
// ahead of its answers, which keeps it busy while the kernel does other things; SLOW (wire.h) gives
// those back when one of them takes long.
#include "base/clock.h"
#include "sandbox/pool.h"

// ---- warm code

static void drop_slot(struct nx_peer *peer, struct nx_code_slot *slot) {
    peer->code_bytes -= slot->code->len;
    nx_code_unref(slot->code);
    slot->code = NULL;
    TAILQ_REMOVE(&peer->slots_lru, slot, link);
    TAILQ_INSERT_TAIL(&peer->slots_lru, slot, link);
}

void nx_dispatch_forget_code(struct nx_peer *peer) {
    for (size_t i = 0; i < NX_WIRE_CODE_SLOTS; i++) {
        if (peer->slots[i].code != NULL) {
            drop_slot(peer, &peer->slots[i]);
        }
    }
}

static void unload(struct nx_peer *peer, struct nx_code_slot *slot) {
    const size_t start = nx_wire_begin(&peer->out, NX_FRAME_UNLOAD, (uint32_t)(slot - peer->slots));
    (void)nx_wire_end(&peer->out, start);
    drop_slot(peer, slot);
}

// The last used slot that holds code.
static struct nx_code_slot *oldest(struct nx_peer *peer) {
    struct nx_code_slot *slot = TAILQ_LAST(&peer->slots_lru, nx_code_slots);
    while (slot != NULL && slot->code == NULL) {
        slot = TAILQ_PREV(slot, nx_code_slots, link);
    }
    return slot;
}

// The slot of `code` in the worker, loading it if need be. Negative: NX_E_NOMEM.
static int slot_of(struct nx_peer *peer, struct nx_code *code) {
    struct nx_code_slot *slot = &peer->slots[code->slot_hint[peer->index]];
    if (slot->code != code) {
        struct nx_code_slot *old;
        while (peer->code_bytes + code->len > NX_MAX_WORKER_CODE_BYTES &&
               (old = oldest(peer)) != NULL) {
            unload(peer, old);
        }
        slot = TAILQ_LAST(&peer->slots_lru, nx_code_slots);
        const uint32_t number = (uint32_t)(slot - peer->slots);
        const size_t start = nx_wire_begin(&peer->out, NX_FRAME_LOAD, number);
        nx_wire_put_bytes(&peer->out, nx_span_of(code->bytecode, code->len));
        if (nx_wire_end(&peer->out, start) != 0) {
            return NX_E_NOMEM;
        }
        if (slot->code != NULL) {
            drop_slot(peer, slot); // LOAD replaces it
        }
        slot->code = nx_code_ref(code);
        peer->code_bytes += code->len;
        code->slot_hint[peer->index] = (uint8_t)number;
    }
    if (slot != TAILQ_FIRST(&peer->slots_lru)) {
        TAILQ_REMOVE(&peer->slots_lru, slot, link);
        TAILQ_INSERT_HEAD(&peer->slots_lru, slot, link);
    }
    return (int)(slot - peer->slots);
}

// ---- sending

static int address_run(struct nx_peer *peer, struct nx_execution *execution) {
    const int slot = slot_of(peer, execution->code);
    if (slot < 0) {
        return slot;
    }
    const uint32_t slot_u32 = (uint32_t)slot;
    memcpy(execution->job.frame + sizeof(struct nx_frame_header), &slot_u32, sizeof(slot_u32));
    execution->id = ++peer->last_id;
    return 0;
}

// Puts the job's frame into the worker's buffer. The job must be on no list.
static int fly(struct nx_peer *peer, struct nx_job *job) {
    if (job->kind == NX_JOB_RUN && address_run(peer, nx_job_execution(job)) != 0) {
        return NX_E_NOMEM;
    }
    job->id = job->kind == NX_JOB_COMPILE ? ++peer->last_id : nx_job_execution(job)->id;
    memcpy(job->frame + offsetof(struct nx_frame_header, id), &job->id, sizeof(job->id));
    if (nx_peer_put_frame(peer, job) != 0) {
        return NX_E_NOMEM;
    }
    if (job->kind != NX_JOB_COMPILE) {
        struct nx_execution *execution = nx_job_execution(job);
        execution->phase = NX_PHASE_FLYING;
        execution->peer = peer;
        peer->pool->flying_executions++;
    }
    peer->ahead_us += job->expected_us;
    peer->unsure += job->lane != NX_LANE_LIGHT;
    if (peer->flying_count++ == 0) {
        peer->head_since_ns = nx_clock_monotonic_ns();
        peer->idle_used_ns = 0;
        peer->alone = job->suspect;
    }
    TAILQ_INSERT_TAIL(&peer->flying, job, link);
    if (job->kind == NX_JOB_RUN) {
        struct nx_execution *behind = nx_job_execution(job)->behind;
        if (behind != NULL && behind->place == NX_PLACE_HANGING) {
            nx_dispatch_bind(peer, &behind->job);
        }
    }
    return 0;
}

void nx_dispatch_bind(struct nx_peer *peer, struct nx_job *job) {
    nx_job_execution(job)->peer = peer;
    nx_job_execution(job)->place = NX_PLACE_BOUND;
    TAILQ_INSERT_TAIL(&peer->bound, job, link);
    nx_dispatch_later(peer->pool);
}

static void forget_ahead(struct nx_peer *peer, const struct nx_job *job) {
    peer->ahead_us -= job->expected_us;
    peer->unsure -= job->lane != NX_LANE_LIGHT;
}

struct nx_job *nx_dispatch_landed(struct nx_peer *peer) {
    struct nx_job *job = TAILQ_FIRST(&peer->flying);
    const uint64_t now = nx_clock_monotonic_ns();
    TAILQ_REMOVE(&peer->flying, job, link);
    peer->flying_count--;
    forget_ahead(peer, job);
    peer->slow = peer->alone = false;
    if (job->kind != NX_JOB_COMPILE) {
        nx_job_execution(job)->ran_us = (uint32_t)((now - peer->head_since_ns) / 1000);
        peer->pool->flying_executions--;
    }
    peer->head_since_ns = peer->flying_count != 0 ? now : 0;
    nx_dispatch_later(peer->pool);
    return job;
}

static void count_waiting(struct nx_sandbox *pool, const struct nx_job *job, uint32_t by) {
    uint32_t *count = job->kind == NX_JOB_COMPILE ? &pool->waiting_compiles : &pool->waiting_runs;
    *count += by; // by is 1 or UINT32_MAX: unsigned arithmetic wraps
}

struct nx_job *nx_dispatch_first(const struct nx_sandbox *pool) {
    struct nx_job *job = NULL;
    for (int lane = 0; lane < NX_LANES && job == NULL; lane++) {
        job = TAILQ_FIRST(&pool->waiting[lane]);
    }
    return job;
}

void nx_dispatch_queue(struct nx_sandbox *pool, struct nx_job *job) {
    if (job->lane != NX_LANE_LIGHT) {
        nx_lanes_want_spares(pool, job->lane == NX_LANE_UNSURE ? NX_FIRST_SPARE_WORKERS
                                                               : pool->config.spare_workers);
    }
    TAILQ_INSERT_TAIL(&pool->waiting[job->lane], job, link);
    count_waiting(pool, job, 1);
    nx_dispatch_later(pool);
}

void nx_dispatch_unqueue(struct nx_sandbox *pool, struct nx_job *job) {
    TAILQ_REMOVE(&pool->waiting[job->lane], job, link);
    count_waiting(pool, job, UINT32_MAX);
}

void nx_dispatch_take_back(struct nx_peer *peer, bool died) {
    struct nx_sandbox *pool = peer->pool;
    struct nx_job *job = TAILQ_LAST(&peer->flying, nx_job_queue), *previous;
    // From the last to the first, so that the queue keeps its order. While the worker lives, the
    // head stays.
    for (; job != NULL && (died || job != TAILQ_FIRST(&peer->flying)); job = previous) {
        previous = TAILQ_PREV(job, nx_job_queue, link);
        if (job->kind == NX_JOB_RESUME) {
            continue;
        }
        TAILQ_REMOVE(&peer->flying, job, link);
        nx_peer_release_frame(peer, job);
        peer->flying_count--;
        forget_ahead(peer, job);
        if (job->kind == NX_JOB_RUN && nx_job_execution(job)->follows) {
            pool->flying_executions--;
            nx_client_not_run(nx_job_execution(job));
            continue;
        }
        job->suspect = died;
        job->redispatched += died;
        if (job->kind == NX_JOB_RUN) {
            struct nx_execution *execution = nx_job_execution(job);
            pool->flying_executions--;
            execution->phase = NX_PHASE_WAITING;
            execution->place = NX_PLACE_QUEUED;
            execution->peer = NULL;
            if (execution->fn == NULL) { // cancelled meanwhile
                nx_client_drop(job);
                continue;
            }
        }
        TAILQ_INSERT_HEAD(&pool->waiting[job->lane], job, link);
        count_waiting(pool, job, 1);
    }
}

// Sends the worker's own waiting jobs.
static void send_bound(struct nx_peer *peer) {
    struct nx_job *job;
    while ((job = TAILQ_FIRST(&peer->bound)) != NULL && nx_peer_has_room(peer)) {
        TAILQ_REMOVE(&peer->bound, job, link);
        if (fly(peer, job) != 0) {
            if (job->kind == NX_JOB_RESUME) {
                nx_client_release(nx_job_execution(job));
            }
            nx_client_lose(job, NX_RESULT_OVERLOADED, "out of memory");
        }
    }
}

static void run_line(struct nx_sandbox *pool, struct nx_job_queue *line) {
    struct nx_job *job;
    struct nx_peer *peer;
    while ((job = TAILQ_FIRST(line)) != NULL && (peer = nx_lanes_pick(pool, job)) != NULL) {
        nx_dispatch_unqueue(pool, job);
        if (job->redispatched > NX_MAX_REDISPATCH) {
            nx_client_fail(job, NX_RESULT_INTERNAL_ERROR,
                           "the sandbox processes that were to run the handler were lost");
        } else if (fly(peer, job) != 0) {
            nx_client_fail(job, NX_RESULT_OVERLOADED, "out of memory");
        }
    }
}

void nx_dispatch(struct nx_sandbox *pool) {
    while (pool->dirty && !pool->stopping) {
        pool->dirty = false;
        if (pool->ordinary < pool->config.workers) {
            nx_lanes_regroup(pool);
        }
        for (uint32_t i = 0; i < pool->peer_count; i++) {
            send_bound(&pool->peers[i]);
        }
        for (int lane = 0; lane < NX_LANES; lane++) {
            run_line(pool, &pool->waiting[lane]);
        }
        for (uint32_t i = 0; i < pool->peer_count; i++) {
            struct nx_peer *peer = &pool->peers[i];
            if (nx_peer_alive(peer) && peer->out.failed != 0) {
                nx_peer_end(peer, NX_PEER_DIED); // a frame that must not be missing did not fit
            } else if (nx_peer_alive(peer) && nx_peer_unsent(peer) != 0 && !peer->poll_writable) {
                nx_peer_flush(peer);
            }
        }
    }
}

void nx_dispatch_later(struct nx_sandbox *pool) {
    pool->dirty = true;
    if (!pool->tick_active && !pool->stopping) {
        pool->tick_active = true;
        uv_timer_start(&pool->tick, nx_dispatch_tick, NX_WATCHDOG_PERIOD_MS, NX_WATCHDOG_PERIOD_MS);
    }
}

// ---- the watchdog

// Whether the worker's head should have been answered so long ago that it will not be.
static bool overdue(const struct nx_peer *peer, uint64_t now) {
    const struct nx_job *head = TAILQ_FIRST(&peer->flying);
    const uint64_t limit_ns = head != NULL ? (uint64_t)head->timeout_us * 1000 : 0;
    if (head == NULL || peer->watched_since_ns != peer->head_since_ns ||
        now <= peer->head_since_ns + limit_ns) {
        return false;
    }
    const uint64_t used_ns = nx_clock_process_ns(peer->pid); // 0: it is gone
    const bool starved = used_ns != 0 && used_ns < peer->watched_used_ns + limit_ns +
                                                       (uint64_t)NX_WATCHDOG_USED_MS * 1000000;
    const uint64_t grace_ms =
        NX_HARD_DEADLINE_GRACE_MS + (starved ? NX_WATCHDOG_STARVED_MS : NX_WATCHDOG_GRACE_MS);
    return now > peer->head_since_ns + limit_ns + grace_ms * 1000000;
}

// Whether all that the worker does, and holds, is a slow execution that was cancelled. A short one
// may end by itself: a new worker is cold.
static bool unwanted(const struct nx_peer *peer, uint64_t now) {
    struct nx_job *head = TAILQ_FIRST(&peer->flying);
    return peer->slow && peer->flying_count == 1 && head->kind != NX_JOB_COMPILE &&
           nx_job_execution(head)->fn == NULL && TAILQ_EMPTY(&peer->bound) &&
           TAILQ_EMPTY(&peer->parked) &&
           now > peer->head_since_ns + (uint64_t)NX_WATCHDOG_PERIOD_MS * 1000000;
}

static void watch(struct nx_peer *peer, uint64_t now) {
    if (nx_peer_alive(peer)) {
        nx_lanes_watch(peer);
    }
    if (nx_peer_alive(peer) && unwanted(peer, now)) {
        nx_peer_end(peer, NX_PEER_UNWANTED);
    }
    if (!nx_peer_alive(peer) || !overdue(peer, now)) {
        return;
    }
    // The kernel may be the one that is late: the answer may be there, unread.
    nx_peer_read(peer);
    if (nx_peer_alive(peer) && overdue(peer, now)) {
        nx_peer_end(peer, NX_PEER_HUNG);
    }
}

// Waiting is pointless if no worker comes back.
static void give_up_waiting(struct nx_sandbox *pool) {
    struct nx_job *job;
    // Read here: the last worker may have been lost a moment ago.
    const uint64_t now = nx_clock_monotonic_ns();
    if (pool->no_worker_since_ns == 0 ||
        now - pool->no_worker_since_ns < (uint64_t)NX_SANDBOX_START_TIMEOUT_MS * 1000000) {
        return;
    }
    while ((job = nx_dispatch_first(pool)) != NULL) {
        nx_dispatch_unqueue(pool, job);
        nx_client_fail(job, NX_RESULT_INTERNAL_ERROR, "no sandbox process can be started");
    }
}

void nx_dispatch_tick(uv_timer_t *timer) {
    struct nx_sandbox *pool = timer->data;
    const uint64_t now = nx_clock_monotonic_ns();
    bool busy = pool->dirty || nx_dispatch_first(pool) != NULL; // dirty: a job may be bound
    for (uint32_t i = 0; i < pool->peer_count && !pool->stopping; i++) {
        watch(&pool->peers[i], now);
        busy = busy || pool->peers[i].flying_count != 0 || nx_lanes_want(&pool->peers[i]);
    }
    if (pool->stopping) {
        return;
    }
    nx_zygote_fill(pool);
    give_up_waiting(pool);
    if (!busy) {
        pool->tick_active = false;
        uv_timer_start(timer, nx_dispatch_tick, NX_IDLE_PERIOD_MS, NX_IDLE_PERIOD_MS);
    }
}
