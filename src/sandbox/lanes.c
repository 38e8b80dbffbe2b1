// SPDX-License-Identifier: Apache-2.0
// Which worker may take a job. It is the one with the least ahead of it; where workers are short,
// lanes (client.h, docs/adr/0017-lanes.md) decide who may take which place. A place is a worker
// that is not slow and has nothing before it that may be.
//
// A worker is an ordinary or a spare one. Spare ones stand back: others go before them on the
// processors. What takes long on an ordinary worker makes that one stand back, too, for good; it
// changes places with a spare one, which becomes ordinary with a new process.
#include "base/clock.h"
#include "sandbox/pool.h"

static bool may_take(const struct nx_peer *peer, const struct nx_job *job) {
    return nx_peer_has_room(peer) && !peer->slow && !peer->alone &&
           ((!job->suspect && !peer->spare) || peer->flying_count == 0);
}

static bool is_place(const struct nx_peer *peer) {
    return nx_peer_alive(peer) && !peer->slow && peer->unsure == 0;
}

static bool is_better(const struct nx_peer *peer, const struct nx_peer *best) {
    if (best == NULL || peer->ahead_us != best->ahead_us) {
        return best == NULL || peer->ahead_us < best->ahead_us;
    }
    return peer->flying_count < best->flying_count;
}

// What the workers of one kind have for a job.
struct offer {
    struct nx_peer *best; // the one with the least ahead of it that may take the job; NULL: none
    uint32_t places;      // that are free
    uint32_t alive;       // some may never come: processes or descriptors ran out
};

static void look_at(struct offer *offer, struct nx_peer *peer, const struct nx_job *job) {
    offer->alive += nx_peer_alive(peer);
    offer->places += is_place(peer);
    if (may_take(peer, job) && (job->lane == NX_LANE_LIGHT || peer->unsure == 0) &&
        is_better(peer, offer->best)) {
        offer->best = peer;
    }
}

struct nx_peer *nx_lanes_pick(struct nx_sandbox *pool, const struct nx_job *job) {
    struct offer ordinary = {0}, spare = {0};
    for (uint32_t i = 0; i < pool->peer_count; i++) {
        look_at(pool->peers[i].spare ? &spare : &ordinary, &pool->peers[i], job);
    }
    if (job->lane == NX_LANE_LIGHT) {
        return ordinary.best != NULL ? ordinary.best : spare.best;
    }
    if (job->lane >= NX_LANE_SPENT && spare.alive > 1) {
        return job->lane == NX_LANE_SPENT || spare.places > 1 ? spare.best : NULL;
    }
    // One place stays free, unless there is no second one. A spare one first: whoever turns out to
    // loop does so where it stands back.
    if (ordinary.places + spare.places > 1 || ordinary.alive + spare.alive == 1) {
        return spare.best != NULL ? spare.best : ordinary.best;
    }
    return NULL;
}

// ---- ordinary and spare ones

// They come in a moment, or never if the system has no processes left: nobody waits for them alone.
void nx_lanes_want_spares(struct nx_sandbox *pool, uint32_t count) {
    const uint32_t most = pool->config.spare_workers;
    const uint32_t wanted = count < most ? count : most;
    if (wanted > pool->spares_wanted) {
        pool->spares_wanted = wanted;
        nx_zygote_fill(pool);
    }
}

static bool is_idle(const struct nx_peer *peer) {
    return peer->flying_count == 0 && TAILQ_EMPTY(&peer->bound) && TAILQ_EMPTY(&peer->parked);
}

// Where ordinary workers became spare ones, spare ones become ordinary: those without a process
// first, then those that have nothing to do and will get a new one. Nothing raises a priority.
void nx_lanes_regroup(struct nx_sandbox *pool) {
    for (int idle = 0; idle < 2; idle++) {
        for (uint32_t i = 0; i < pool->peer_count && pool->ordinary < pool->config.workers; i++) {
            struct nx_peer *peer = &pool->peers[i];
            const bool fits = nx_peer_alive(peer) ? idle && is_idle(peer) : !peer->starting;
            if (peer->spare && fits) {
                peer->spare = false;
                pool->ordinary++;
                if (nx_peer_alive(peer)) {
                    nx_peer_end(peer, NX_PEER_UNWANTED);
                }
            }
        }
    }
    nx_zygote_fill(pool);
}

bool nx_lanes_want(const struct nx_peer *peer) {
    const struct nx_sandbox *pool = peer->pool;
    if (nx_peer_alive(peer)) {
        return false;
    }
    if (!peer->spare) {
        return true;
    }
    uint32_t others = 0;
    for (uint32_t i = 0; i < pool->peer_count; i++) {
        const struct nx_peer *other = &pool->peers[i];
        others += other != peer && other->spare && (nx_peer_alive(other) || other->starting);
    }
    return others < pool->spares_wanted;
}

static void watch_idle(struct nx_peer *peer, uint64_t used_ns) {
    if (peer->idle_used_ns == 0) {
        peer->idle_used_ns = used_ns;
    } else if (used_ns > peer->idle_used_ns + (uint64_t)NX_IDLE_USED_MS * 1000000) {
        nx_peer_end(peer, NX_PEER_ROGUE);
    }
}

void nx_lanes_watch(struct nx_peer *peer) {
    struct nx_sandbox *pool = peer->pool;
    // Processor time, not the clock: on a busy machine a quick one may take long as well. It is the
    // system that says so, not the worker.
    const uint64_t used_ns = nx_clock_process_ns(peer->pid);
    if (peer->flying_count == 0) {
        watch_idle(peer, used_ns);
    } else if (peer->watched_since_ns != peer->head_since_ns) {
        peer->watched_since_ns = peer->head_since_ns;
        peer->watched_used_ns = used_ns;
    } else if (!peer->spare && pool->config.spare_workers != 0 &&
               used_ns > peer->watched_used_ns + (uint64_t)NX_STAND_BACK_US * 1000) {
        nx_zygote_lower(pool, peer->pid);
        peer->spare = true;
        pool->ordinary--;
        nx_lanes_want_spares(pool, pool->config.spare_workers);
        nx_dispatch_later(pool);
    }
}
