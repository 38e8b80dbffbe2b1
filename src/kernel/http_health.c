// SPDX-License-Identifier: Apache-2.0
// GET /health (is this process of use?) and GET /ready (should it get traffic?).
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "kernel/http_conn.h"
#include "sandbox/lockdown.h"

enum { PROCESSES_MAX_AGE_MS = 1000, MAX_PROC_BYTES = 16384 };

// ---- Figures from /proc

static bool read_proc(pid_t pid, const char *name, struct nx_buf *out) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return nx_fd_read_file(path, MAX_PROC_BYTES, out, NULL) == 0;
}

static uint64_t resident_bytes(pid_t pid) {
    struct nx_buf text;
    unsigned long long pages = 0;
    if (!read_proc(pid, "statm", &text))
        return 0;
    const char *second = text.data ? strchr(text.data, ' ') : NULL;
    if (second)
        pages = strtoull(second, NULL, 10);
    nx_buf_free(&text);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

// The number after "\nname:\t" in a process's status, or -1.
static int status_number(const struct nx_buf *text, const char *name) {
    const char *line = text->data ? strstr(text->data, name) : NULL;
    return line ? (int)strtol(line + strlen(name), NULL, 10) : -1;
}

static void read_locks(pid_t pid, struct nx_http_locks *out) {
    struct nx_buf text;
    *out = (struct nx_http_locks){-1, -1};
    if (read_proc(pid, "status", &text)) {
        out->seccomp = status_number(&text, "\nSeccomp:\t");
        out->no_new_privs = status_number(&text, "\nNoNewPrivs:\t");
        nx_buf_free(&text);
    }
}

static const struct nx_http_processes *processes(struct nx_http *http,
                                                 const struct nx_sandbox_stats *sandbox) {
    struct nx_http_processes *p = &http->processes;
    uint64_t now = uv_now(http->loop);
    if (p->taken_ms && now - p->taken_ms < PROCESSES_MAX_AGE_MS)
        return p;
    *p =
        (struct nx_http_processes){.taken_ms = now, .worker = {-1, -1}, .worker_oom_score_adj = -1};
    p->memory_bytes = resident_bytes(getpid()) + resident_bytes(sandbox->zygote_pid);
    size_t pids = sizeof sandbox->worker_pids / sizeof sandbox->worker_pids[0];
    for (size_t i = 0; i < pids && sandbox->worker_pids[i]; i++)
        p->memory_bytes += resident_bytes(sandbox->worker_pids[i]);
    read_locks(getpid(), &p->own);
    struct nx_buf text;
    if (sandbox->worker_pids[0]) {
        read_locks(sandbox->worker_pids[0], &p->worker);
        if (read_proc(sandbox->worker_pids[0], "oom_score_adj", &text)) {
            p->worker_oom_score_adj = (int)strtol(text.data, NULL, 10);
            nx_buf_free(&text);
        }
    }
    return p;
}

// ---- Health

static const char *seccomp_name(int mode) {
    static const char *const names[] = {"off", "strict", "filter"};
    return mode >= 0 && mode < 3 ? names[mode] : "unknown";
}

static void put_runtime(struct nx_buf *out, const struct nx_runtime_stats *stats,
                        const struct nx_http_processes *p) {
    uint32_t active = stats->sandbox.running + stats->sandbox.suspended;
    uint32_t available = stats->max_instances > active ? stats->max_instances - active : 0;
    uint64_t lookups = stats->cache_hits + stats->cache_misses;
    double rate = lookups ? (double)stats->cache_hits / (double)lookups : 0;
    nx_buf_printf(out,
                  ",\"runtime\":{\"activeInstances\":%" PRIu32 ",\"availableInstances\":%" PRIu32
                  ",\"cacheHitRate\":%.4f,\"memoryBytes\":%" PRIu64 ",\"workers\":%" PRIu32 "}",
                  active, available, rate, p->memory_bytes, stats->sandbox.workers_alive);
}

static const char *json_bool(bool value) {
    return value ? "true" : "false";
}

// seccomp and no_new_privs as the system reports them, the rest as the process found it.
static void put_locks(struct nx_buf *out, const char *name, const struct nx_http_locks *locks,
                      uint32_t protections) {
    nx_buf_printf(out, ",\"%s\":{\"seccomp\":\"%s\",\"landlock\":%s,", name,
                  seccomp_name(locks->seccomp), json_bool(protections & NX_PROTECT_LANDLOCK));
    nx_buf_printf(out, "\"noCapabilities\":%s,\"noNewPrivs\":%s",
                  json_bool(protections & NX_PROTECT_NO_CAPABILITIES),
                  locks->no_new_privs < 0 ? "null" : json_bool(locks->no_new_privs == 1));
}

static void put_protections(struct nx_buf *out, const struct nx_http_processes *p,
                            uint32_t of_workers, uint32_t own) {
    put_locks(out, "sandbox", &p->worker, of_workers);
    nx_buf_printf(out, ",\"namespaces\":%s,\"oomScoreAdj\":%d}",
                  json_bool(of_workers & NX_PROTECT_NAMESPACES), p->worker_oom_score_adj);
    put_locks(out, "kernel", &p->own, own);
    nx_buf_append_char(out, '}');
}

void nx_http_health(const struct nx_http_request *request) {
    struct nx_http *http = request->conn->http;
    struct nx_runtime_stats stats;
    nx_runtime_get_stats(http->runtime, &stats);
    const struct nx_http_processes *p = processes(http, &stats.sandbox);
    bool alive = stats.sandbox.workers_alive > 0;
    struct nx_buf *out = nx_http_body(http);
    nx_buf_printf(out,
                  "{\"status\":\"%s\",\"version\":\"%s\",\"uptime\":%.3f,"
                  "\"panels\":{\"active\":%" PRIu32 ",\"suspended\":%" PRIu32 "}",
                  alive ? "healthy" : "unhealthy", NX_VERSION,
                  (double)(uv_now(http->loop) - http->started_ms) / 1000, stats.panels_active,
                  stats.panels_suspended);
    put_runtime(out, &stats, p);
    put_protections(out, p, stats.sandbox.protections, http->protections);
    nx_buf_append_char(out, '}');
    struct nx_http_reply reply = {.status = alive ? 200 : 503, .retry_after_s = alive ? 0 : 1};
    nx_http_send(request->conn, &reply);
}

static const char *why_not_ready(const struct nx_http *http) {
    struct nx_runtime_stats stats;
    if (http->draining)
        return "draining";
    if (!http->ready)
        return "starting";
    nx_runtime_get_stats(http->runtime, &stats);
    return stats.sandbox.workers_alive ? NULL : "no worker is alive";
}

void nx_http_ready(const struct nx_http_request *request) {
    const char *reason = why_not_ready(request->conn->http);
    struct nx_buf *out = nx_http_body(request->conn->http);
    nx_buf_append_str(out, reason ? "{\"status\":\"not ready\"" : "{\"status\":\"ready\"}");
    if (reason)
        nx_buf_printf(out, ",\"reason\":\"%s\"}", reason);
    struct nx_http_reply reply = {.status = reason ? 503 : 200, .retry_after_s = reason ? 1 : 0};
    nx_http_send(request->conn, &reply);
}
