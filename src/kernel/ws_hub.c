// SPDX-License-Identifier: Apache-2.0
// Who watches what. A message is made when the first session wants it, and shared by all.
#include <stdlib.h>

#include "kernel/ws_session.h"

// ---- Watching

int nx_ws_watch(struct nx_ws_session *s, struct nx_panel *panel) {
    struct nx_ws_panel *watched = nx_panel_user_data(panel);
    if (!watched) {
        watched = calloc(1, sizeof *watched);
        if (!watched)
            return NX_E_NOMEM;
        TAILQ_INIT(&watched->sessions);
        nx_panel_set_user_data(panel, watched);
    }
    s->panel = panel;
    TAILQ_INSERT_TAIL(&watched->sessions, s, panel_link);
    watched->count++;
    return 0;
}

void nx_ws_unwatch(struct nx_ws_session *s) {
    if (!s->panel)
        return;
    struct nx_ws_panel *watched = nx_panel_user_data(s->panel);
    TAILQ_REMOVE(&watched->sessions, s, panel_link);
    if (--watched->count == 0) {
        nx_panel_set_user_data(s->panel, NULL);
        free(watched);
    }
    s->panel = NULL;
}

unsigned nx_ws_client_count(const struct nx_panel *panel) {
    const struct nx_ws_panel *watched = nx_panel_user_data(panel);
    return watched ? watched->count : 0;
}

size_t nx_ws_key_place(const struct nx_ws_session *s, struct nx_span key, bool *found) {
    size_t low = 0, high = s->key_count;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        int order = nx_span_compare(nx_span_str(s->keys[middle]), key);
        *found = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return high;
}

bool nx_ws_wants_key(const struct nx_ws_session *s, struct nx_span key) {
    bool found = s->key_count == 0;
    if (!found)
        (void)nx_ws_key_place(s, key, &found);
    return found;
}

// ---- Telling

// The next session of the panel from `s` on that has subscribed to `topic`.
static struct nx_ws_session *subscriber(struct nx_ws_session *s, unsigned topic) {
    while (s && !(s->topics & topic))
        s = TAILQ_NEXT(s, panel_link);
    return s;
}

static struct nx_ws_session *first_subscriber(struct nx_panel *panel, unsigned topic) {
    struct nx_ws_panel *watched = nx_panel_user_data(panel);
    return watched ? subscriber(TAILQ_FIRST(&watched->sessions), topic) : NULL;
}

static struct nx_ws_session *next_subscriber(struct nx_ws_session *s, unsigned topic) {
    return subscriber(TAILQ_NEXT(s, panel_link), topic);
}

// Sends one text to every subscriber and drops the reference. Nobody learns that there was no
// memory for it but those who wait: they are closed.
static void tell(struct nx_ws_session *first, unsigned topic, struct nx_ws_text *text) {
    for (struct nx_ws_session *s = first; s; s = next_subscriber(s, topic)) {
        if (text)
            nx_ws_send(s, text, NX_WS_PLAIN);
        else
            nx_ws_close(s, NX_WS_TRY_AGAIN_LATER, "out of memory");
    }
    nx_ws_text_unref(text);
}

// A commit's PATCH, and one session that it was made for.
struct patch {
    const struct nx_ws_session *session; // NULL: none yet
    struct nx_ws_text *text;             // NULL: no memory
};

// Whether both hear the same of a commit, whatever else they have narrowed to.
static bool want_alike(const struct nx_ws_session *a, const struct nx_ws_session *b,
                       const struct nx_mutation *mutations, size_t count) {
    bool alike = true;
    for (size_t i = 0; alike && i < count && (a->key_count || b->key_count); i++)
        alike = nx_ws_wants_key(a, mutations[i].key) == nx_ws_wants_key(b, mutations[i].key);
    return alike;
}

// Many that have narrowed to a large value would each have it made, and hold it, for themselves.
static void on_commit(void *user, struct nx_panel *panel, uint64_t version,
                      const struct nx_mutation *mutations, size_t count) {
    enum { PATCHES = 4 };
    struct patch made[PATCHES] = {{0}};
    unsigned next = 0;
    struct nx_ws_session *s = first_subscriber(panel, NX_TOPIC_STATE);
    for (; s; s = next_subscriber(s, NX_TOPIC_STATE)) {
        unsigned i = 0;
        while (i < PATCHES &&
               !(made[i].session && want_alike(made[i].session, s, mutations, count)))
            i++;
        if (i == PATCHES) {
            i = next++ % PATCHES;
            nx_ws_text_unref(made[i].text);
            made[i] = (struct patch){
                s, nx_ws_text_patch(user, s->key_count ? s : NULL, version, mutations, count)};
        }
        if (made[i].text)
            nx_ws_send(s, made[i].text, NX_WS_PATCH);
        else
            nx_ws_close(s, NX_WS_TRY_AGAIN_LATER, "out of memory");
    }
    for (unsigned i = 0; i < PATCHES; i++)
        nx_ws_text_unref(made[i].text);
}

static void on_event(void *user, struct nx_panel *panel, const struct nx_event *event) {
    struct nx_ws_session *first = first_subscriber(panel, NX_TOPIC_EVENTS);
    if (first)
        tell(first, NX_TOPIC_EVENTS, nx_ws_text_event(user, event));
}

static void on_view(void *user, struct nx_panel *panel, const struct nx_view_command *view) {
    struct nx_ws_session *first = first_subscriber(panel, NX_TOPIC_VIEW);
    if (first)
        tell(first, NX_TOPIC_VIEW, nx_ws_text_view(user, view));
}

static void on_log(void *user, const struct nx_run_info *run, const struct nx_log_entry *entry) {
    struct nx_ws_session *first = first_subscriber(run->panel, NX_TOPIC_LOGS);
    if (first)
        tell(first, NX_TOPIC_LOGS, nx_ws_text_log(user, run->handler, entry));
}

static void on_panel_closed(void *user, struct nx_panel *panel, const char *reason) {
    struct nx_ws_panel *watched = nx_panel_user_data(panel);
    if (!watched)
        return;
    struct nx_ws *ws = user;
    struct nx_ws_text *text = nx_ws_text_closed(ws, reason);
    unsigned left = watched->count;
    // The last one to go frees `watched`, hence the count.
    while (left-- > 0) {
        struct nx_ws_session *s = TAILQ_FIRST(&watched->sessions);
        if (text)
            nx_ws_send(s, text, NX_WS_PLAIN);
        nx_ws_close(s, ws->draining ? NX_WS_GOING_AWAY : NX_WS_NORMAL, "the panel is closed");
        nx_ws_unwatch(s);
    }
    nx_ws_text_unref(text);
}

// ---- The server's sockets

static void on_flusher(uv_prepare_t *flusher) {
    nx_ws_flush_all(flusher->data);
}

static ssize_t on_framed(const uint8_t *data, size_t len, int flags, void *user) {
    (void)flags;
    struct nx_ws *ws = user;
    memcpy(ws->framed->data + ws->framed->len, data, len);
    ws->framed->len += len;
    return (ssize_t)len;
}

static void free_ws(struct nx_ws *ws) {
    wslay_event_context_free(ws->at_rest);
    wslay_frame_context_free(ws->framer);
    nx_buf_free(&ws->spare);
    nx_buf_free(&ws->scratch);
    free(ws);
}

int nx_ws_new(struct nx_ws **out, struct nx_http *http, struct nx_error *err) {
    static const struct wslay_frame_callbacks callbacks = {.send_callback = on_framed};
    struct nx_ws *ws = calloc(1, sizeof *ws);
    if (!ws || wslay_frame_context_init(&ws->framer, &callbacks, ws)) {
        free(ws);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    ws->http = http;
    TAILQ_INIT(&ws->all);
    TAILQ_INIT(&ws->dirty);
    TAILQ_INIT(&ws->holding);
    nx_buf_init(&ws->spare, http->config.body_limit_bytes);
    nx_buf_init(&ws->scratch, NX_MAX_HTTP_REPLY_BYTES);
    struct nx_observer observer = {
        .user = ws,
        .on_commit = on_commit,
        .on_event = on_event,
        .on_view = on_view,
        .on_log = on_log,
        .on_panel_closed = on_panel_closed,
    };
    int rc = nx_runtime_observe(http->runtime, &observer);
    if (rc) {
        free_ws(ws);
        return nx_error_set(err, rc, "too many observers");
    }
    uv_prepare_init(http->loop, &ws->flusher);
    uv_idle_init(http->loop, &ws->hurry);
    ws->flusher.data = ws->hurry.data = ws;
    ws->open_handles = 2;
    uv_prepare_start(&ws->flusher, on_flusher);
    *out = ws;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle) {
    struct nx_ws *ws = handle->data;
    if (--ws->open_handles > 0)
        return;
    void (*on_closed)(void *user) = ws->on_closed;
    void *user = ws->on_closed_user;
    free_ws(ws);
    on_closed(user);
}

void nx_ws_free(struct nx_ws *ws, void (*on_closed)(void *user), void *user) {
    ws->on_closed = on_closed;
    ws->on_closed_user = user;
    uv_close((uv_handle_t *)&ws->flusher, on_handle_closed);
    uv_close((uv_handle_t *)&ws->hurry, on_handle_closed);
}

void nx_ws_figures(const struct nx_ws *ws, uint32_t *clients, uint64_t *dropped) {
    *clients = ws->count;
    *dropped = ws->dropped;
}

void nx_ws_drain(struct nx_ws *ws) {
    struct nx_ws_session *s;
    ws->draining = true;
    TAILQ_FOREACH(s, &ws->all, all_link)
    if (s->call_count == 0)
        nx_ws_close(s, NX_WS_GOING_AWAY, "the server is stopping");
}
