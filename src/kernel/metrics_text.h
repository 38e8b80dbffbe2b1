// SPDX-License-Identifier: Apache-2.0
// The text format of Prometheus: families, samples, histograms. Nothing here knows a metric.
#ifndef NX_KERNEL_METRICS_TEXT_H
#define NX_KERNEL_METRICS_TEXT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

// Counts by powers of two: bucket i holds what is at most 2^(first + i); what is larger than the
// last bound is in `count` alone.
enum { NX_HISTOGRAM_BUCKETS = 24 };

struct nx_histogram {
    unsigned first, buckets; // buckets <= NX_HISTOGRAM_BUCKETS
    uint64_t count, sum;
    uint64_t in[NX_HISTOGRAM_BUCKETS];
};

static inline void nx_histogram_add(struct nx_histogram *h, uint64_t value) {
    // The least n with value <= 2^n.
    unsigned n = value > 1 ? 64u - (unsigned)__builtin_clzll(value - 1) : 0;
    unsigned i = n > h->first ? n - h->first : 0;
    h->count++;
    h->sum += value;
    if (i < h->buckets)
        h->in[i]++;
}

// `# HELP` and `# TYPE` of a family; its samples follow. `type`: counter, gauge, histogram. `help`
// holds neither '\' nor a line break.
void nx_metrics_family(struct nx_buf *out, const char *name, const char *type, const char *help);

// One sample. `labels` are name, value, name, value …, ended by a name of NULL; values are escaped.
struct nx_metrics_label {
    const char *name;
    struct nx_span value;
};
void nx_metrics_sample(struct nx_buf *out, const char *name, const struct nx_metrics_label *labels,
                       uint64_t value);

// Family and samples of a histogram. `unit`: how many of what was counted make one of what the name
// says, e.g. 1e6 for microseconds under a name that ends in _seconds.
void nx_metrics_histogram(struct nx_buf *out, const char *name, const char *help,
                          const struct nx_histogram *h, double unit);

#endif
