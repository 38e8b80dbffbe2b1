// SPDX-License-Identifier: Apache-2.0
// What panels use of the processors: an account each that fills at a fixed rate (a token bucket),
// and how long each handler's segments take, as far as one knows. Neither refuses anything: they
// decide in which lane a segment runs, and how many go ahead together.
#include <stdlib.h>

#include "base/clock.h"
#include "kernel/core.h"

// An average that forgets: each segment counts for an eighth.
enum { MEAN_SHIFT = 3 };

static void settle(struct nx_share *share, uint64_t now_ns) {
    const uint64_t earned_us = (now_ns - share->settled_ns) / 1000 * NX_PANEL_SHARE_PERCENT / 100;
    share->owed_us -= earned_us < share->owed_us ? earned_us : share->owed_us;
    share->settled_ns = now_ns;
}

static void learn(struct nx_handler *handler, uint32_t run_us) {
    const int64_t off = (int64_t)run_us - handler->mean_us;
    handler->mean_us = (uint32_t)(handler->mean_us + (off >> MEAN_SHIFT));
    handler->has_run = true;
}

static void owe(struct nx_share *share, uint32_t run_us) {
    settle(share, nx_clock_monotonic_ns());
    share->owed_us += run_us;
    if (share->owed_us > NX_PANEL_CREDIT_US + NX_PANEL_MAX_DEBT_US)
        share->owed_us = NX_PANEL_CREDIT_US + NX_PANEL_MAX_DEBT_US;
}

void nx_share_charge(struct nx_panel *panel, struct nx_handler *handler, uint32_t run_us) {
    learn(handler, run_us);
    owe(&panel->share, run_us);
}

// A cancelled segment that a worker may still be busy with. The panel may be gone by then.
struct nx_spending {
    struct nx_panel *panel; // NULL: gone
    struct nx_handler *handler;
    LIST_ENTRY(nx_spending) link;
};

static void on_spent(void *user, uint32_t run_us) {
    struct nx_spending *spending = user;
    if (spending->panel) {
        LIST_REMOVE(spending, link);
        owe(&spending->panel->share, run_us);
        // It took at least so long. Of a short one that says little: it may not have begun.
        if (run_us > NX_SLOW_SEGMENT_US && run_us > spending->handler->mean_us)
            learn(spending->handler, run_us);
    }
    free(spending);
}

void nx_share_cancel(struct nx_trigger *t) {
    struct nx_panel *panel = t->panel;
    struct nx_spending *spending = malloc(sizeof *spending);
    if (!spending) {
        (void)nx_sandbox_cancel(t->execution, NULL, NULL); // and is not charged
    } else if (nx_sandbox_cancel(t->execution, on_spent, spending)) {
        *spending = (struct nx_spending){.panel = panel, .handler = t->handler};
        LIST_INSERT_HEAD(&panel->spending, spending, link);
    } else {
        free(spending);
    }
    t->execution = NULL;
}

void nx_share_forget(struct nx_panel *panel) {
    struct nx_spending *spending;
    LIST_FOREACH(spending, &panel->spending, link) {
        spending->panel = NULL;
    }
}

static bool is_spent(struct nx_share *share) {
    if (share->owed_us <= NX_PANEL_CREDIT_US)
        return false;
    settle(share, nx_clock_monotonic_ns());
    return share->owed_us > NX_PANEL_CREDIT_US;
}

enum nx_lane nx_share_lane(struct nx_panel *panel, const struct nx_handler *handler) {
    bool quick = handler->has_run && handler->mean_us <= NX_SLOW_SEGMENT_US;
    if (is_spent(&panel->share))
        return quick ? NX_LANE_SPENT : NX_LANE_HEAVY;
    if (!handler->has_run)
        return NX_LANE_UNSURE;
    return quick ? NX_LANE_LIGHT : NX_LANE_SLOW;
}
