// SPDX-License-Identifier: Apache-2.0
// Work put off to the loop's next turn, so that no callback runs inside the call that asked for it.
#include "kernel/core.h"

static void run_all(uv_async_t *async) {
    struct nx_runtime *rt = async->data;
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
    if (TAILQ_EMPTY(&rt->later))
        uv_unref((uv_handle_t *)async);
}

void nx_later_open(struct nx_runtime *rt) {
    // Cannot fail: the descriptor that such handles share is there since the loop was made.
    (void)uv_async_init(rt->loop, &rt->later_async, run_all);
    uv_unref((uv_handle_t *)&rt->later_async);
    rt->later_async.data = rt;
}

void nx_later_add(struct nx_runtime *rt, struct nx_later *later) {
    if (later->linked)
        return;
    later->linked = true;
    TAILQ_INSERT_TAIL(&rt->later, later, link);
    uv_ref((uv_handle_t *)&rt->later_async); // the loop does not end before
    uv_async_send(&rt->later_async);
}

void nx_later_forget(struct nx_runtime *rt, struct nx_later *later) {
    if (!later->linked)
        return;
    later->linked = false;
    TAILQ_REMOVE(&rt->later, later, link);
}
