// SPDX-License-Identifier: Apache-2.0
// Starting and stopping the runtime, its observers and figures.
//
// Stopping has four steps: refuse new work; wait for what is under way, but not for ever; end the
// rest; stop the sandbox and free everything once it is gone.
#include "kernel/runtime.h"

#include <stdlib.h>

#include "kernel/core.h"

void nx_runtime_config_default(struct nx_runtime_config *config) {
    *config = (struct nx_runtime_config){
        .sandbox =
            {
                .workers = 1,
                .max_instances = NX_DEFAULT_MAX_INSTANCES,
                .memory_limit_bytes = NX_DEFAULT_MEMORY_LIMIT_MB * 1024u * 1024u,
                .stack_limit_bytes = NX_DEFAULT_STACK_LIMIT_KB * 1024u,
            },
        .suspend_timeout_ms = NX_DEFAULT_SUSPEND_TIMEOUT_MS,
        .max_panels = NX_DEFAULT_MAX_PANELS,
        .max_queue = NX_DEFAULT_MAX_QUEUE,
        .max_cache_bytes = NX_DEFAULT_MAX_CACHE_MB * 1024u * 1024u,
    };
    nx_exec_limits_default(&config->limits);
}

// ---- Starting

static void on_compiled(void *user, const struct nx_compiled *compiled) {
    struct nx_runtime *rt = user;
    NX_OBSERVE(rt, on_compiled, compiled->code, compiled->compile_us);
}

static int start_parts(struct nx_runtime *rt, const struct nx_runtime_config *config,
                       struct nx_error *err) {
    int rc = nx_store_mem_new(&rt->store, err);
    if (rc == 0)
        rc = nx_standings_new(rt);
    if (rc == 0)
        rc = nx_ext_registry_new(&rt->ext, rt->loop, err);
    if (rc == 0)
        rc = nx_ext_register_time(rt->ext, err);
    // The cache only notes the sandbox, so the sandbox can come last: once it runs, nothing fails.
    if (rc == 0)
        rc = nx_sandbox_start(&rt->sandbox, rt->loop, &config->sandbox, err);
    return rc;
}

static void free_parts(struct nx_runtime *rt) {
    nx_cache_free(rt->cache);
    nx_ext_registry_free(rt->ext);
    nx_store_free(rt->store);
    nx_standings_free(rt);
    nx_buf_free(&rt->args_scratch);
    nx_buf_free(&rt->scope_scratch);
    free(rt->sorted);
    free(rt);
}

static void stop_after_failure(void *user) {
    (void)user;
}

int nx_runtime_start(struct nx_runtime **out, uv_loop_t *loop,
                     const struct nx_runtime_config *config, struct nx_error *err) {
    struct nx_runtime *rt = calloc(1, sizeof *rt);
    if (!rt)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    rt->loop = loop;
    rt->config = *config;
    rt->config.sandbox.executable = NULL;
    TAILQ_INIT(&rt->starved);
    TAILQ_INIT(&rt->later);
    TAILQ_INIT(&rt->creations);
    nx_buf_init(&rt->args_scratch, NX_MAX_FRAME_BYTES);
    nx_buf_init(&rt->scope_scratch, NX_MAX_FRAME_BYTES);
    int rc = start_parts(rt, config, err);
    if (rc == 0) {
        rc = nx_cache_new(&rt->cache, rt->sandbox, config->max_cache_bytes, config->cache_tier,
                          on_compiled, rt, err);
        if (rc)
            nx_sandbox_stop(rt->sandbox, stop_after_failure, NULL);
    }
    if (rc) {
        free_parts(rt);
        return rc;
    }
    nx_later_open(rt);
    uv_timer_init(loop, &rt->drain_timer);
    rt->drain_timer.data = rt;
    nx_standings_open(rt);
    *out = rt;
    return 0;
}

// ---- Stopping

static void on_handle_closed(uv_handle_t *handle) {
    struct nx_runtime *rt = handle->data;
    if (--rt->open_handles > 0)
        return;
    void (*on_stopped)(void *user) = rt->on_stopped;
    void *user = rt->on_stopped_user;
    free_parts(rt);
    if (on_stopped)
        on_stopped(user);
}

static void on_sandbox_stopped(void *user) {
    struct nx_runtime *rt = user;
    rt->open_handles = 2 + NX_STANDING_TIMERS;
    uv_close((uv_handle_t *)&rt->later_async, on_handle_closed);
    uv_close((uv_handle_t *)&rt->drain_timer, on_handle_closed);
    nx_standings_close(rt, on_handle_closed);
}

// Nothing is under way any more: takes everything down.
static void finish(struct nx_later *later) {
    struct nx_runtime *rt =
        (struct nx_runtime *)((char *)later - offsetof(struct nx_runtime, finish));
    struct nx_panel *panel, *next;
    HASH_ITER(hh, rt->panels, panel, next) {
        NX_OBSERVE(rt, on_panel_closed, panel, "shutdown");
        nx_panel_free(panel);
    }
    nx_sandbox_stop(rt->sandbox, on_sandbox_stopped, rt);
}

void nx_runtime_check_drained(struct nx_runtime *rt) {
    if (!rt->stopping || rt->finish.run || rt->trigger_count || rt->creation_count ||
        rt->closing_count || rt->check_count)
        return;
    uv_timer_stop(&rt->drain_timer);
    rt->finishing = true;
    rt->finish.run = finish;
    nx_later_add(rt, &rt->finish);
}

// The wait is over: ends what is still under way. Deletions then finish by themselves.
static void on_drain_over(uv_timer_t *timer) {
    struct nx_runtime *rt = timer->data;
    struct nx_panel *panel, *next;
    rt->finishing = true;
    HASH_ITER(hh, rt->panels, panel, next) {
        nx_panel_fail_triggers(panel);
        if (panel->running)
            nx_trigger_fail(panel->running, NX_RESULT_CANCELLED,
                            nx_span_str("the server is stopping"));
    }
    nx_creation_abort_all(rt);
    HASH_ITER(hh, rt->panels, panel, next) {
        nx_panel_check_closed(panel);
    }
    nx_runtime_check_drained(rt);
}

void nx_runtime_stop(struct nx_runtime *rt, uint32_t drain_ms, void (*on_stopped)(void *user),
                     void *user) {
    if (rt->stopping) {
        if (!rt->finishing && drain_ms < uv_timer_get_due_in(&rt->drain_timer))
            uv_timer_start(&rt->drain_timer, on_drain_over, drain_ms, 0);
        return;
    }
    rt->stopping = true;
    nx_standings_halt(rt);
    rt->on_stopped = on_stopped;
    rt->on_stopped_user = user;
    uv_timer_start(&rt->drain_timer, on_drain_over, drain_ms, 0);
    nx_runtime_check_drained(rt);
}

bool nx_runtime_stopping(const struct nx_runtime *rt) {
    return rt->stopping;
}

struct nx_ext_registry *nx_runtime_extensions(struct nx_runtime *rt) {
    return rt->ext;
}

// ---- Observers and figures

int nx_runtime_observe(struct nx_runtime *rt, const struct nx_observer *observer) {
    if (rt->observer_count == NX_MAX_OBSERVERS)
        return NX_E_LIMIT;
    rt->observers[rt->observer_count++] = *observer;
    return 0;
}

void nx_runtime_get_stats(const struct nx_runtime *rt, struct nx_runtime_stats *out) {
    struct nx_cache_stats cache;
    nx_cache_get_stats(rt->cache, &cache);
    *out = rt->totals;
    nx_sandbox_get_stats(rt->sandbox, &out->sandbox);
    out->max_instances = rt->config.sandbox.max_instances;
    out->panels_suspended = rt->panels_parked;
    // A panel being created or deleted may be parked too, and is not among the sorted.
    out->panels_active =
        rt->sorted_count > rt->panels_parked ? (uint32_t)(rt->sorted_count - rt->panels_parked) : 0;
    out->triggers_waiting = rt->waiting_count;
    out->triggers_suspended = rt->suspended_count;
    out->cache_hits = cache.hits;
    out->cache_misses = cache.misses;
    out->cache_bytes = cache.bytes;
    out->cache_entries = cache.entries;
}
