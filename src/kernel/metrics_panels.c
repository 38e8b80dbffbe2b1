// SPDX-License-Identifier: Apache-2.0
#include "kernel/metrics_panels.h"

#include <stdlib.h>

#include "base/limits.h"
#include "kernel/metrics_text.h"

#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((element)->unhashed = true)
#include <uthash.h>

struct counted {
    UT_hash_handle hh;
    bool unhashed;
    const struct nx_panel *panel; // the key
    uint64_t ended[NX_EXEC_STATUS_COUNT];
};

struct nx_metrics_panels {
    struct counted *all; // by pointer: nothing a client chooses
};

struct nx_metrics_panels *nx_metrics_panels_new(void) {
    return calloc(1, sizeof(struct nx_metrics_panels));
}

static void drop(struct nx_metrics_panels *panels, struct counted *one) {
    HASH_DEL(panels->all, one); // NOLINT(clang-analyzer-unix.Malloc): it takes it out
    free(one);
}

void nx_metrics_panels_free(struct nx_metrics_panels *panels) {
    if (!panels)
        return;
    struct counted *one, *next;
    HASH_ITER(hh, panels->all, one, next) {
        drop(panels, one);
    }
    free(panels);
}

static struct counted *find(const struct nx_metrics_panels *panels, const struct nx_panel *panel) {
    struct counted *one;
    HASH_FIND_PTR(panels->all, &panel, one);
    return one;
}

// Only panels that can be found are certain to be reported closed.
static struct counted *add(struct nx_metrics_panels *panels, struct nx_runtime *rt,
                           const struct nx_panel *panel) {
    if (HASH_COUNT(panels->all) >= NX_MAX_METRICS_PANELS ||
        nx_runtime_find_panel(rt, nx_span_str(nx_panel_id(panel))) != panel)
        return NULL;
    struct counted *one = calloc(1, sizeof *one);
    if (!one)
        return NULL;
    one->panel = panel;
    HASH_ADD_PTR(panels->all, panel, one);
    if (!one->unhashed)
        return one;
    free(one);
    return NULL;
}

void nx_metrics_panels_count(struct nx_metrics_panels *panels, struct nx_runtime *rt,
                             const struct nx_panel *panel, enum nx_exec_status status) {
    struct counted *one = find(panels, panel);
    if (!one)
        one = add(panels, rt, panel);
    if (one)
        one->ended[status]++;
}

void nx_metrics_panels_forget(struct nx_metrics_panels *panels, const struct nx_panel *panel) {
    struct counted *one = find(panels, panel);
    if (one)
        drop(panels, one);
}

void nx_metrics_panels_render(const struct nx_metrics_panels *panels, struct nx_buf *out) {
    static const char name[] = "nexus_panel_executions_total";
    static const enum nx_exec_status ends[] = {NX_EXEC_SUCCESS, NX_EXEC_ERROR};
    nx_metrics_family(out, name, "counter", "Executions that ended, by panel and status.");
    for (const struct counted *one = panels->all; one; one = one->hh.next) {
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            const struct nx_metrics_label labels[] = {
                {"panel", nx_span_str(nx_panel_id(one->panel))},
                {"status", nx_span_str(nx_exec_status_name(ends[i]))},
                {0}};
            nx_metrics_sample(out, name, labels, one->ended[ends[i]]);
        }
    }
}
