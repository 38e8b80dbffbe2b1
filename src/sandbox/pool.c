// SPDX-License-Identifier: Apache-2.0
// The pool's life: start, stop, figures.
#include "sandbox/pool.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fd.h"

enum { PEER_BUFFER_BYTES = 3 * NX_MAX_FRAME_BYTES };

uint32_t nx_pool_backoff(uint32_t last_ms, uint64_t lifetime_ns) {
    if (lifetime_ns > 1000000000) {
        return 0;
    }
    const uint32_t next = last_ms == 0 ? NX_RESTART_MIN_MS : 2 * last_ms;
    return next < NX_RESTART_MAX_MS ? next : NX_RESTART_MAX_MS;
}

void nx_pool_tell(const struct nx_sandbox *pool, enum nx_sandbox_news news, pid_t pid,
                  const char *detail) {
    if (pool->config.on_news != NULL && pool->started && !pool->stopping) {
        pool->config.on_news(pool->config.on_news_user, news, pid, detail);
    }
}

// ---- start

static void init_peer(struct nx_sandbox *pool, uint32_t index) {
    struct nx_peer *peer = &pool->peers[index];
    *peer = (struct nx_peer){.pool = pool,
                             .index = index,
                             .pidfd = -1,
                             .channel = -1,
                             .spare = index >= pool->config.workers};
    nx_buf_init(&peer->in, PEER_BUFFER_BYTES);
    nx_buf_init(&peer->out, PEER_BUFFER_BYTES);
    TAILQ_INIT(&peer->flying);
    TAILQ_INIT(&peer->bound);
    TAILQ_INIT(&peer->parked);
    TAILQ_INIT(&peer->slots_lru);
    for (size_t i = 0; i < NX_WIRE_CODE_SLOTS; i++) {
        TAILQ_INSERT_TAIL(&peer->slots_lru, &peer->slots[i], link);
    }
}

static void on_prepare(uv_prepare_t *prepare) {
    nx_dispatch(prepare->data);
}

static void on_check(uv_check_t *check) {
    nx_dispatch(check->data);
}

static void init_handles(struct nx_sandbox *pool) {
    uv_prepare_init(pool->loop, &pool->prepare);
    uv_check_init(pool->loop, &pool->check);
    uv_timer_init(pool->loop, &pool->tick);
    pool->prepare.data = pool->check.data = pool->tick.data = pool;
    uv_prepare_start(&pool->prepare, on_prepare);
    uv_check_start(&pool->check, on_check);
    pool->open_handles = 3;
}

static struct nx_sandbox *new_pool(uv_loop_t *loop, const struct nx_sandbox_config *config,
                                   struct nx_error *err) {
    struct nx_sandbox *pool = calloc(1, sizeof(*pool));
    if (pool == NULL || (pool->peers = calloc(config->workers + config->spare_workers,
                                              sizeof(*pool->peers))) == NULL) {
        free(pool);
        nx_error_set(err, NX_E_NOMEM, "out of memory");
        return NULL;
    }
    pool->loop = loop;
    pool->config = *config;
    pool->ordinary = config->workers;
    pool->launcher = config->launcher;
    pool->zygote.channel = pool->zygote.pidfd = -1;
    for (int lane = 0; lane < NX_LANES; lane++) {
        TAILQ_INIT(&pool->waiting[lane]);
    }
    pool->peer_count = config->workers + config->spare_workers;
    for (uint32_t i = 0; i < pool->peer_count; i++) {
        init_peer(pool, i);
    }
    pool->owns_launcher = pool->launcher == NULL;
    if (pool->owns_launcher && nx_launcher_start(&pool->launcher, config->executable, err) != 0) {
        free(pool->peers);
        free(pool);
        return NULL;
    }
    return pool;
}

static void nothing(void *user) {
    (void)user;
}

int nx_sandbox_start(struct nx_sandbox **out, uv_loop_t *loop,
                     const struct nx_sandbox_config *config, struct nx_error *err) {
    if (config->workers < 1 || config->workers > NX_MAX_WORKERS ||
        config->spare_workers > NX_MAX_WORKERS || config->max_instances < 1) {
        return nx_error_set(err, NX_E_INVALID, "1 to %d workers and at least one instance",
                            NX_MAX_WORKERS);
    }
    struct nx_sandbox *pool = new_pool(loop, config, err);
    if (pool == NULL) {
        return NX_E_IO;
    }
    const uint64_t now = nx_clock_monotonic_ns();
    init_handles(pool);
    pool->no_worker_since_ns = now;
    int status = nx_zygote_start(pool, err);
    if (status == 0) {
        status = nx_zygote_wait(pool, now + (uint64_t)NX_SANDBOX_START_TIMEOUT_MS * 1000000, err);
    }
    if (status != 0) {
        // What is left closes when the loop runs next, or with the loop.
        nx_sandbox_stop(pool, nothing, NULL);
        return status;
    }
    pool->started = true;
    nx_dispatch_later(pool);
    *out = pool;
    return 0;
}

// ---- stop

void nx_pool_handle_closed(struct nx_sandbox *pool) {
    if (--pool->open_handles > 0 || !pool->stopping) {
        return;
    }
    void (*on_stopped)(void *user) = pool->on_stopped;
    void *user = pool->on_stopped_user;
    for (uint32_t i = 0; i < pool->peer_count; i++) {
        nx_buf_free(&pool->peers[i].in);
        nx_buf_free(&pool->peers[i].out);
    }
    nx_segment_scratch_free(&pool->scratch);
    free(pool->peers);
    if (pool->owns_launcher) {
        nx_launcher_stop(pool->launcher);
    }
    free(pool);
    on_stopped(user);
}

static void on_closed(uv_handle_t *handle) {
    nx_pool_handle_closed(handle->data);
}

void nx_sandbox_stop(struct nx_sandbox *pool, void (*on_stopped)(void *user), void *user) {
    struct nx_job *job;
    pool->stopping = true;
    pool->on_stopped = on_stopped;
    pool->on_stopped_user = user;
    for (uint32_t i = 0; i < pool->peer_count; i++) {
        // Dead ones too: this may be a callback from a worker's end, with more of them to come.
        nx_peer_end(&pool->peers[i], NX_PEER_STOPPING);
    }
    while ((job = nx_dispatch_first(pool)) != NULL) {
        nx_dispatch_unqueue(pool, job);
        nx_client_drop(job);
    }
    nx_zygote_stop(pool);
    uv_close((uv_handle_t *)&pool->prepare, on_closed);
    uv_close((uv_handle_t *)&pool->check, on_closed);
    uv_close((uv_handle_t *)&pool->tick, on_closed);
}

// ---- figures

void nx_sandbox_get_stats(const struct nx_sandbox *pool, struct nx_sandbox_stats *out) {
    *out = (struct nx_sandbox_stats){
        .running = pool->flying_executions,
        .waiting = pool->executions - pool->flying_executions - pool->parked_executions,
        .suspended = pool->parked_executions,
        .worker_restarts = pool->worker_restarts,
        .watchdog_kills = pool->watchdog_kills,
        .protocol_kills = pool->protocol_kills,
        .zygote_pid = pool->zygote.pid,
        .protections = pool->protections,
    };
    memcpy(out->resets, pool->resets, sizeof(out->resets));
    const size_t room = sizeof(out->worker_pids) / sizeof(out->worker_pids[0]);
    for (uint32_t i = 0; i < pool->peer_count; i++) {
        if (nx_peer_alive(&pool->peers[i])) {
            if (out->workers_alive < room) {
                out->worker_pids[out->workers_alive] = pool->peers[i].pid;
            }
            out->workers_alive++;
        }
    }
}
