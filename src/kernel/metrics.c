// SPDX-License-Identifier: Apache-2.0
// The metrics: what is counted here, and what the runtime counts anyway, as text.
#include "kernel/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "ext/ext.h"
#include "kernel/metrics_panels.h"
#include "kernel/metrics_text.h"

// Times from 16 us to 67 s; memory from 64 KiB to 1 GiB, the most MEMORY_LIMIT_MB can be.
enum { TIME_FIRST = 4, TIME_BUCKETS = 23, MEMORY_FIRST = 16, MEMORY_BUCKETS = 15 };
enum { MICROSECONDS = 1000000 };
// Statuses have three digits, the first one 1 to 5.
enum { STATUS_FIRST = 100, STATUSES = 500 };

struct extension {
    char name[NX_MAX_IDENTIFIER_BYTES + 1];
    uint64_t succeeded, failed;
};

struct nx_metrics {
    struct nx_runtime *rt;
    struct nx_histogram execution_us, execution_bytes, compile_us, request_us;
    uint64_t requests[NX_ROUTE_COUNT][STATUSES];
    // Extensions that exist; the last one stands for names that nobody has.
    struct extension extensions[NX_MAX_EXTENSIONS + 1];
    struct nx_metrics_panels *panels; // NULL: not by panel
    const struct nx_cache_disk *disk; // NULL: no cache on disk
};

// ---- Counting

static void on_finished(void *user, const struct nx_run_info *run, const struct nx_result *result) {
    struct nx_metrics *m = user;
    if (m->panels)
        nx_metrics_panels_count(m->panels, m->rt, run->panel, result->status);
    if (result->metrics.segments == 0)
        return; // it never ran: no time, no memory
    nx_histogram_add(&m->execution_us, result->metrics.duration_us);
    nx_histogram_add(&m->execution_bytes, result->metrics.memory_peak_bytes);
}

static void on_compiled(void *user, enum nx_result_code code, uint32_t compile_us) {
    struct nx_metrics *m = user;
    (void)code;
    nx_histogram_add(&m->compile_us, compile_us);
}

static void on_panel_closed(void *user, struct nx_panel *panel, const char *reason) {
    struct nx_metrics *m = user;
    (void)reason;
    if (m->panels)
        nx_metrics_panels_forget(m->panels, panel);
}

// A panel may name whatever it likes; only names of real extensions become series.
static struct extension *extension_of(struct nx_metrics *m, struct nx_span name) {
    struct extension *unknown = &m->extensions[NX_MAX_EXTENSIONS];
    for (struct extension *e = m->extensions; e < unknown; e++) {
        if (nx_span_eq(name, nx_span_str(e->name)))
            return e;
        if (e->name[0])
            continue;
        if (name.len == 0 || name.len >= sizeof e->name ||
            !nx_ext_exists(nx_runtime_extensions(m->rt), name))
            return unknown;
        memcpy(e->name, name.data, name.len);
        return e;
    }
    return unknown;
}

static void on_extension(void *user, const struct nx_run_info *run, const struct nx_ext_call *call,
                         struct nx_span name, enum nx_result_code code, uint64_t us) {
    struct nx_metrics *m = user;
    (void)run;
    (void)call;
    (void)us;
    struct extension *e = extension_of(m, name);
    if (code == NX_RESULT_NONE)
        e->succeeded++;
    else
        e->failed++;
}

void nx_metrics_request(struct nx_metrics *m, enum nx_http_route route, int status, uint64_t us) {
    if (status >= STATUS_FIRST && status < STATUS_FIRST + STATUSES)
        m->requests[route][status - STATUS_FIRST]++;
    nx_histogram_add(&m->request_us, us);
}

int nx_metrics_new(struct nx_metrics **out, struct nx_runtime *rt, bool per_panel,
                   struct nx_error *err) {
    const struct nx_histogram times = {.first = TIME_FIRST, .buckets = TIME_BUCKETS};
    struct nx_metrics *m = calloc(1, sizeof *m);
    if (m && per_panel)
        m->panels = nx_metrics_panels_new();
    if (!m || (per_panel && !m->panels)) {
        free(m);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    m->rt = rt;
    m->execution_us = m->compile_us = m->request_us = times;
    m->execution_bytes = (struct nx_histogram){.first = MEMORY_FIRST, .buckets = MEMORY_BUCKETS};
    memcpy(m->extensions[NX_MAX_EXTENSIONS].name, "unknown", sizeof "unknown");
    const struct nx_observer observer = {
        .user = m,
        .on_extension = on_extension,
        .on_compiled = on_compiled,
        .on_finished = on_finished,
        .on_panel_closed = on_panel_closed,
    };
    int rc = nx_runtime_observe(rt, &observer);
    if (rc) {
        nx_metrics_free(m);
        return nx_error_set(err, rc, "too many observers");
    }
    *out = m;
    return 0;
}

void nx_metrics_watch_disk(struct nx_metrics *m, const struct nx_cache_disk *disk) {
    m->disk = disk;
}

void nx_metrics_free(struct nx_metrics *m) {
    if (!m)
        return;
    nx_metrics_panels_free(m->panels);
    free(m);
}

// ---- Text

// A sample with one label.
static void put(struct nx_buf *out, const char *name, const char *label, const char *value,
                uint64_t number) {
    const struct nx_metrics_label labels[] = {{label, nx_span_str(value)}, {0}};
    nx_metrics_sample(out, name, labels, number);
}

// A family of one sample.
static void put_one(struct nx_buf *out, const char *name, const char *type, const char *help,
                    uint64_t number) {
    nx_metrics_family(out, name, type, help);
    nx_metrics_sample(out, name, NULL, number);
}

static void put_executions(const struct nx_metrics *m, const struct nx_runtime_stats *stats,
                           struct nx_buf *out) {
    nx_metrics_family(out, "nexus_executions_total", "counter",
                      "Executions that ended, by status; suspended counts suspensions.");
    for (int i = 0; i < NX_EXEC_STATUS_COUNT; i++)
        put(out, "nexus_executions_total", "status", nx_exec_status_name((enum nx_exec_status)i),
            stats->executions[i]);
    nx_metrics_family(out, "nexus_errors_total", "counter", "Executions that failed, by code.");
    for (int i = NX_RESULT_NONE + 1; i < NX_RESULT_CODE_COUNT; i++)
        put(out, "nexus_errors_total", "code", nx_result_code_name((enum nx_result_code)i),
            stats->errors[i]);
    nx_metrics_histogram(out, "nexus_execution_duration_seconds",
                         "Running time of an execution, without its suspensions.", &m->execution_us,
                         MICROSECONDS);
    nx_metrics_histogram(out, "nexus_execution_memory_bytes",
                         "Most linear memory an execution used.", &m->execution_bytes, 1);
}

static void put_host_calls(const struct nx_runtime_stats *stats, struct nx_buf *out) {
    static const char *const names[NX_HOST_CALL_COUNT] = {
#define NAME(name, text) [NX_HOST_CALL_##name] = (text),
        NX_HOST_CALLS(NAME)
#undef NAME
    };
    nx_metrics_family(out, "nexus_host_calls_total", "counter",
                      "Host calls of handlers, refused ones included.");
    for (int i = 0; i < NX_HOST_CALL_COUNT; i++)
        put(out, "nexus_host_calls_total", "function", names[i], stats->host_calls[i]);
}

static void put_denials(const struct nx_runtime_stats *stats, struct nx_buf *out) {
    static const char name[] = "nexus_capability_denied_total";
    nx_metrics_family(out, name, "counter", "Host calls refused for want of a capability.");
    for (int i = 0; i < NX_CAP_KINDS; i++) {
        const char *prefix = nx_cap_prefix((enum nx_cap_kind)i); // "state:read:"
        const struct nx_metrics_label labels[] = {{"kind", nx_span_of(prefix, strlen(prefix) - 1)},
                                                  {0}};
        nx_metrics_sample(out, name, labels, stats->denials[i]);
    }
}

// Runs that no call asked for.
static void put_standing(const struct nx_runtime_stats *stats, struct nx_buf *out) {
    static const char set_off[] = "nexus_set_off_total", skipped[] = "nexus_skipped_total";
    nx_metrics_family(out, set_off, "counter", "Runs set off by something other than a call.");
    for (int i = NX_TRIGGER_MANUAL + 1; i < NX_TRIGGER_KINDS; i++)
        put(out, set_off, "trigger", nx_trigger_kind_name((enum nx_trigger_kind)i),
            stats->set_off[i]);
    nx_metrics_family(out, skipped, "counter", "Such runs that were skipped.");
    for (int i = 0; i < NX_SKIP_REASONS; i++)
        put(out, skipped, "reason", nx_skip_reason_name((enum nx_skip_reason)i), stats->skipped[i]);
}

static void put_compiling(const struct nx_metrics *m, const struct nx_runtime_stats *stats,
                          struct nx_buf *out) {
    nx_metrics_histogram(out, "nexus_compile_duration_seconds",
                         "Time to compile a handler or expression.", &m->compile_us, MICROSECONDS);
    put_one(out, "nexus_cache_hits_total", "counter",
            "Handlers found in the compile cache, in memory or on disk.", stats->cache_hits);
    put_one(out, "nexus_cache_misses_total", "counter", "Handlers not found there.",
            stats->cache_misses);
    put_one(out, "nexus_cache_bytes", "gauge", "Bytecode in the compile cache's memory.",
            stats->cache_bytes);
}

// All zero without a cache on disk: series that come and go are hard to alert on.
static void put_disk(const struct nx_metrics *m, struct nx_buf *out) {
    static const char reads[] = "nexus_disk_cache_reads_total",
                      writes[] = "nexus_disk_cache_writes_total";
    struct nx_cache_disk_stats stats = {0};
    if (m->disk)
        nx_cache_disk_get_stats(m->disk, &stats);
    nx_metrics_family(out, reads, "counter", "Handlers looked for in CACHE_DIR, by outcome.");
    for (int i = 0; i < NX_CACHE_READS; i++)
        put(out, reads, "outcome", nx_cache_read_name((enum nx_cache_read)i), stats.reads[i]);
    nx_metrics_family(out, writes, "counter", "Handlers to be kept in CACHE_DIR, by outcome.");
    for (int i = 0; i < NX_CACHE_WRITES; i++)
        put(out, writes, "outcome", nx_cache_write_name((enum nx_cache_write)i), stats.writes[i]);
    put_one(out, "nexus_disk_cache_bytes", "gauge", "Files in CACHE_DIR, in whole blocks.",
            stats.bytes);
}

static void put_sandbox(const struct nx_runtime_stats *stats, struct nx_buf *out) {
    const struct nx_sandbox_stats *s = &stats->sandbox;
    uint32_t used = s->running + s->suspended;
    static const char instances[] = "nexus_instances", resets[] = "nexus_sandbox_resets_total",
                      restarts[] = "nexus_worker_restarts_total";
    nx_metrics_family(out, instances, "gauge", "Instances, MAX_INSTANCES in all, by state.");
    put(out, instances, "state", "running", s->running);
    put(out, instances, "state", "suspended", s->suspended);
    put(out, instances, "state", "available",
        stats->max_instances > used ? stats->max_instances - used : 0);
    nx_metrics_family(out, resets, "counter",
                      "Times an instance was made pristine again: known pages copied back, pages "
                      "looked up and copied back, or all memory dropped.");
    put(out, resets, "kind", "copied", s->resets[NX_RESET_COPIED]);
    put(out, resets, "kind", "scanned", s->resets[NX_RESET_SCANNED]);
    put(out, resets, "kind", "dropped", s->resets[NX_RESET_DROPPED]);
    nx_metrics_family(out, restarts, "counter",
                      "Sandbox processes replaced: hung past a deadline, ended for a broken "
                      "protocol, or died.");
    put(out, restarts, "reason", "watchdog", s->watchdog_kills);
    put(out, restarts, "reason", "protocol", s->protocol_kills);
    put(out, restarts, "reason", "died",
        s->worker_restarts - s->watchdog_kills - s->protocol_kills);
}

static void put_extensions(const struct nx_metrics *m, struct nx_buf *out) {
    static const char name[] = "nexus_extension_calls_total";
    nx_metrics_family(out, name, "counter", "Extension calls that were answered, by outcome.");
    for (int i = 0; i <= NX_MAX_EXTENSIONS; i++) {
        const struct extension *e = &m->extensions[i];
        if (!e->name[0])
            continue;
        struct nx_metrics_label labels[] = {
            {"extension", nx_span_str(e->name)}, {"outcome", nx_span_str("success")}, {0}};
        nx_metrics_sample(out, name, labels, e->succeeded);
        labels[1].value = nx_span_str("error");
        nx_metrics_sample(out, name, labels, e->failed);
    }
}

static void put_requests(const struct nx_metrics *m, struct nx_buf *out) {
    static const char name[] = "nexus_http_requests_total";
    nx_metrics_family(out, name, "counter",
                      "Requests answered, by route and status; * is what has no route.");
    for (int route = 0; route < NX_ROUTE_COUNT; route++) {
        for (int i = 0; i < STATUSES; i++) {
            if (!m->requests[route][i])
                continue;
            char status[4] = {(char)('1' + i / 100), (char)('0' + i / 10 % 10),
                              (char)('0' + i % 10), '\0'};
            const char *pattern = nx_http_route_pattern((enum nx_http_route)route);
            const struct nx_metrics_label labels[] = {
                {"route", nx_span_str(pattern)}, {"status", nx_span_str(status)}, {0}};
            nx_metrics_sample(out, name, labels, m->requests[route][i]);
        }
    }
    nx_metrics_histogram(out, "nexus_http_request_duration_seconds",
                         "Time from a request's head to its answer.", &m->request_us, MICROSECONDS);
}

static void put_build(struct nx_buf *out) {
    const struct nx_metrics_label labels[] = {
        {"version", nx_span_str(NX_VERSION)}, {"build", nx_span_str(nx_sandbox_build_id())}, {0}};
    nx_metrics_family(out, "nexus_build_info", "gauge", "Always 1; the labels say what runs.");
    nx_metrics_sample(out, "nexus_build_info", labels, 1);
}

int nx_metrics_render(const struct nx_metrics *m, const struct nx_metrics_server *server,
                      struct nx_buf *out) {
    struct nx_runtime_stats stats;
    nx_runtime_get_stats(m->rt, &stats);
    put_build(out);
    put_executions(m, &stats, out);
    put_host_calls(&stats, out);
    put_denials(&stats, out);
    put_standing(&stats, out);
    put_extensions(m, out);
    put_compiling(m, &stats, out);
    put_disk(m, out);
    put_sandbox(&stats, out);
    put_one(out, "nexus_queue_depth", "gauge", "Triggers waiting for their panel's turn.",
            stats.triggers_waiting);
    put_one(out, "nexus_panels", "gauge", "Panels.", nx_runtime_panel_count(m->rt));
    put_requests(m, out);
    put_one(out, "nexus_ws_clients", "gauge", "WebSockets open.", server->ws_clients);
    put_one(out, "nexus_ws_dropped_total", "counter", "WebSockets closed for being too slow.",
            server->ws_dropped);
    if (m->panels)
        nx_metrics_panels_render(m->panels, out);
    return out->failed;
}
