// SPDX-License-Identifier: Apache-2.0
// Work put off to the loop's next turn, so that no callback runs inside the call that asked for it.
#include "kernel/core.h"

static void run_all(uv_timer_t *timer) {
    struct nx_runtime *rt = timer->data;
    struct nx_later *later;
    size_t count = 0;
    TAILQ_FOREACH(later, &rt->later, link)
    count++;
    // No more than were there at first: what these add may add more again, for ever.
    while (count-- > 0 && (later = TAILQ_FIRST(&rt->later))) {
        TAILQ_REMOVE(&rt->later, later, link);
        later->linked = false;
        later->run(later);
    }
}

void nx_later_add(struct nx_runtime *rt, struct nx_later *later) {
    if (later->linked)
        return;
    later->linked = true;
    TAILQ_INSERT_TAIL(&rt->later, later, link);
    uv_timer_start(&rt->later_timer, run_all, 0, 0);
}

void nx_later_forget(struct nx_runtime *rt, struct nx_later *later) {
    if (!later->linked)
        return;
    later->linked = false;
    TAILQ_REMOVE(&rt->later, later, link);
}
