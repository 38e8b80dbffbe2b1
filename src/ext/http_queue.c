// SPDX-License-Identifier: Apache-2.0
// Whose turn it is. Panels that wait stand in two rings, those with nothing on the wire and the
// others, and start one call each when they come up. The first ring goes first and has room that
// the second does not have, so a panel with a hundred slow requests does not hold up one with one.
//
// Invariant: a panel is in the ring that its running calls say exactly if it has waiting calls and
// runs fewer than it may.

// Without memory for the table a panel is left out of it, instead of the process ended.
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((element)->unhashed = true)

#include <stdlib.h>
#include <string.h>

#include "ext/http_call.h"

static struct nx_ext_http_panel *find_panel(const struct nx_ext_http *http, struct nx_span id) {
    struct nx_ext_http_panel *panel = NULL;
    HASH_FIND(hh, http->panels, id.data ? id.data : "", id.len, panel);
    return panel;
}

static struct nx_ext_http_panel *new_panel(struct nx_ext_http *http, struct nx_span id) {
    struct nx_ext_http_panel *panel = calloc(1, sizeof *panel + id.len + 1);
    if (!panel)
        return NULL;
    TAILQ_INIT(&panel->waiting);
    if (id.len)
        memcpy(panel->id, id.data, id.len);
    HASH_ADD_KEYPTR(hh, http->panels, panel->id, id.len, panel);
    if (panel->unhashed) {
        free(panel);
        return NULL;
    }
    return panel;
}

static void drop_if_empty(struct nx_ext_http *http, struct nx_ext_http_panel *panel) {
    if (panel->waiting_count || panel->running_count)
        return;
    HASH_DEL(http->panels, panel);
    free(panel);
}

// Restores the invariant after a change.
static void update_turn(struct nx_ext_http *http, struct nx_ext_http_panel *panel) {
    bool wants = panel->waiting_count && panel->running_count < http->max_concurrent;
    struct nx_ext_http_ring *ring = panel->running_count ? &http->more : &http->first;
    if (panel->ring == (wants ? ring : NULL))
        return;
    if (panel->ring)
        TAILQ_REMOVE(panel->ring, panel, turn);
    panel->ring = wants ? ring : NULL;
    if (wants)
        TAILQ_INSERT_TAIL(ring, panel, turn);
}

int nx_ext_http_queue_add(struct nx_ext_http_call *call, struct nx_span tenant,
                          struct nx_error *err) {
    struct nx_ext_http *http = call->http;
    size_t bytes = call->request.bytes;
    struct nx_ext_http_panel *panel = find_panel(http, tenant);
    if (panel && (panel->waiting_count >= NX_MAX_HTTP_EXT_WAITING ||
                  panel->bytes + bytes > NX_MAX_HTTP_EXT_PANEL_BYTES))
        return nx_error_set(err, NX_E_LIMIT, "too many HTTP requests of this panel are waiting");
    if (http->bytes + bytes > NX_MAX_HTTP_EXT_BYTES)
        return nx_error_set(err, NX_E_LIMIT, "too many HTTP requests are waiting");
    if (!panel)
        panel = new_panel(http, tenant);
    if (!panel)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    call->panel = panel;
    call->state = NX_EXT_HTTP_WAITING;
    TAILQ_INSERT_TAIL(&panel->waiting, call, link);
    panel->waiting_count++;
    panel->bytes += bytes;
    http->bytes += bytes;
    update_turn(http, panel);
    return 0;
}

void nx_ext_http_queue_remove(struct nx_ext_http_call *call) {
    struct nx_ext_http *http = call->http;
    struct nx_ext_http_panel *panel = call->panel;
    if (call->state == NX_EXT_HTTP_WAITING) {
        TAILQ_REMOVE(&panel->waiting, call, link);
        panel->waiting_count--;
    } else {
        TAILQ_REMOVE(&http->active, call, link);
        http->active_count--;
        panel->running_count--;
    }
    panel->bytes -= call->request.bytes;
    http->bytes -= call->request.bytes;
    call->panel = NULL;
    update_turn(http, panel);
    drop_if_empty(http, panel);
}

// The panel whose turn it is, or NULL.
static struct nx_ext_http_panel *next_panel(const struct nx_ext_http *http) {
    if (!TAILQ_EMPTY(&http->first) &&
        http->active_count < http->max_concurrent * NX_HTTP_EXT_FIRST_FACTOR)
        return TAILQ_FIRST(&http->first);
    return http->active_count < http->max_concurrent * NX_HTTP_EXT_PANELS_FACTOR
               ? TAILQ_FIRST(&http->more)
               : NULL;
}

void nx_ext_http_queue_run(struct nx_ext_http *http) {
    struct nx_ext_http_panel *panel;
    while ((panel = next_panel(http))) {
        struct nx_ext_http_call *call = TAILQ_FIRST(&panel->waiting);
        TAILQ_REMOVE(&panel->waiting, call, link);
        panel->waiting_count--;
        panel->running_count++;
        TAILQ_INSERT_TAIL(&http->active, call, link);
        http->active_count++;
        call->state = NX_EXT_HTTP_RUNNING;
        // To the end of a ring, or out of it.
        TAILQ_REMOVE(panel->ring, panel, turn);
        panel->ring = NULL;
        update_turn(http, panel);
        nx_ext_http_start(call);
    }
}
