// SPDX-License-Identifier: Apache-2.0
// What GET /metrics tells, in the text format of Prometheus (version 0.0.4).
//
// Counting costs a few additions: no locks, no allocation (one for each panel, only with
// `per_panel`), histograms whose buckets are powers of two. Single-threaded, as the runtime.
#ifndef NX_KERNEL_METRICS_H
#define NX_KERNEL_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "kernel/cache_disk.h"
#include "kernel/http_route.h"
#include "kernel/runtime.h"

struct nx_metrics;

// Observes `rt` from now on. `per_panel`: executions are counted by panel too, for at most
// NX_MAX_METRICS_PANELS panels at once. On success *out is freed by nx_metrics_free, after the
// runtime. Errors: NX_E_NOMEM, NX_E_LIMIT.
int nx_metrics_new(struct nx_metrics **out, struct nx_runtime *rt, bool per_panel,
                   struct nx_error *err);
void nx_metrics_free(struct nx_metrics *metrics); // NULL is fine

// A request was answered with `status` after `us` microseconds.
void nx_metrics_request(struct nx_metrics *metrics, enum nx_http_route route, int status,
                        uint64_t us);

// What only the server knows.
struct nx_metrics_server {
    uint32_t ws_clients;
    uint64_t ws_dropped;
};

// Shows the figures of a cache on disk too, from now on; it must outlive the last rendering.
void nx_metrics_watch_disk(struct nx_metrics *metrics, const struct nx_cache_disk *disk);

// Appends every metric. The runtime must still be there. Returns 0 or out->failed.
int nx_metrics_render(const struct nx_metrics *metrics, const struct nx_metrics_server *server,
                      struct nx_buf *out);

#endif
