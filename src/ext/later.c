// SPDX-License-Identifier: Apache-2.0
// An operation that completes with a known result after a delay: what `time` and the mock are made
// of, and how any extension answers without calling back too early.
#include <stdlib.h>
#include <string.h>

#include "ext/ext.h"

struct later {
    struct nx_ext_op op; // first: cancel gets its address
    uv_timer_t timer;    // the memory lives until its close callback
    nx_ext_done_fn *fn;
    void *user;
    struct nx_ext_result result; // spans point into `bytes`
    char bytes[];
};

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void cancel(struct nx_ext_op *op) {
    struct later *later = (struct later *)op;
    uv_close((uv_handle_t *)&later->timer, on_closed);
}

static void on_timer(uv_timer_t *timer) {
    struct later *later = timer->data;
    uv_close((uv_handle_t *)timer, on_closed);
    later->fn(later->user, &later->result);
}

static struct nx_span copy(char **to, struct nx_span from) {
    struct nx_span copied = {*to, from.len};
    if (from.len)
        memcpy(*to, from.data, from.len);
    *to += from.len;
    return copied;
}

int nx_ext_complete_later(uv_loop_t *loop, uint64_t delay_ms, const struct nx_ext_result *result,
                          nx_ext_done_fn *fn, void *user, struct nx_ext_op **out,
                          struct nx_error *err) {
    struct later *later = malloc(sizeof *later + result->json.len + result->message.len);
    if (!later)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    char *end = later->bytes;
    later->op.cancel = cancel;
    later->fn = fn;
    later->user = user;
    later->result = *result;
    later->result.json = copy(&end, result->json);
    later->result.message = copy(&end, result->message);
    uv_timer_init(loop, &later->timer);
    later->timer.data = later;
    // The loop's clock stands still while it runs a callback: bring it up to date, or a long
    // callback would shorten the delay.
    uv_update_time(loop);
    uv_timer_start(&later->timer, on_timer, delay_ms, 0);
    *out = &later->op;
    return 0;
}
