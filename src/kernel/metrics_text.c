// SPDX-License-Identifier: Apache-2.0
#include "kernel/metrics_text.h"

#include <inttypes.h>

void nx_metrics_family(struct nx_buf *out, const char *name, const char *type, const char *help) {
    nx_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_escaped(struct nx_buf *out, struct nx_span text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '\\' || c == '"')
            nx_buf_append_char(out, '\\');
        if (c == '\n')
            nx_buf_append_str(out, "\\n");
        else
            nx_buf_append_char(out, c);
    }
}

void nx_metrics_sample(struct nx_buf *out, const char *name, const struct nx_metrics_label *labels,
                       uint64_t value) {
    nx_buf_append_str(out, name);
    for (const struct nx_metrics_label *l = labels; l && l->name; l++) {
        nx_buf_printf(out, "%c%s=\"", l == labels ? '{' : ',', l->name);
        put_escaped(out, l->value);
        nx_buf_append_char(out, '"');
    }
    if (labels && labels->name)
        nx_buf_append_char(out, '}');
    nx_buf_printf(out, " %" PRIu64 "\n", value);
}

void nx_metrics_histogram(struct nx_buf *out, const char *name, const char *help,
                          const struct nx_histogram *h, double unit) {
    uint64_t below = 0;
    nx_metrics_family(out, name, "histogram", help);
    for (unsigned i = 0; i < h->buckets; i++) {
        below += h->in[i];
        nx_buf_printf(out, "%s_bucket{le=\"%.10g\"} %" PRIu64 "\n", name,
                      (double)(UINT64_C(1) << (h->first + i)) / unit, below);
    }
    nx_buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, h->count);
    nx_buf_printf(out, "%s_sum %.17g\n%s_count %" PRIu64 "\n", name, (double)h->sum / unit, name,
                  h->count);
}
