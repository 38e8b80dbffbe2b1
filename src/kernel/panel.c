// SPDX-License-Identifier: Apache-2.0
// The table of panels: adding, finding, listing, looking at and deleting them.
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"

// Clients choose the ids: a keyed hash keeps them from choosing collisions.
static struct nx_siphash_key hash_key;
#define HASH_FUNCTION(data, len, out) ((out) = (unsigned)nx_siphash(&hash_key, (data), (len)))
#define HASH_NONFATAL_OOM             1
#define uthash_nonfatal_oom(element)  ((element)->unhashed = true)
#include "base/clock.h"
#include "base/json.h"
#include "kernel/core.h"

// ---- Making and freeing

// `{"panelId":"…","tool":"…"`: what $scope says of every run of this handler.
static int make_scope_head(const struct nx_panel *panel, struct nx_handler *handler) {
    struct nx_buf head;
    nx_buf_init(&head, SIZE_MAX);
    nx_buf_append_str(&head, "{\"panelId\":");
    nx_json_append_string(&head, nx_span_of(panel->id, panel->id_len));
    nx_buf_append_str(&head, ",\"tool\":");
    nx_json_append_string(&head, nx_span_str(handler->name));
    handler->scope_head = nx_buf_steal(&head, &handler->scope_head_len);
    return handler->scope_head ? 0 : NX_E_NOMEM;
}

static int add_handler(struct nx_panel *panel, const struct nx_tool_def *tool,
                       const struct nx_handler_def *def, const char *name) {
    struct nx_handler *handler = &panel->handlers[panel->handler_count++];
    handler->mean_us = NX_UNKNOWN_SEGMENT_US;
    handler->tool = tool;
    handler->def = def;
    handler->name = name;
    return make_scope_head(panel, handler);
}

static int make_handlers(struct nx_panel *panel, const struct nx_panel_def *def) {
    int rc = 0;
    panel->handlers = calloc(def->tool_count + 2, sizeof *panel->handlers);
    if (!panel->handlers)
        return NX_E_NOMEM;
    for (size_t i = 0; rc == 0 && i < def->tool_count; i++)
        rc = add_handler(panel, &def->tools[i], &def->tools[i].handler, def->tools[i].name);
    if (rc == 0 && def->mount) {
        panel->mount = &panel->handlers[panel->handler_count];
        rc = add_handler(panel, NULL, def->mount, "mount");
    }
    if (rc == 0 && def->unmount) {
        panel->unmount = &panel->handlers[panel->handler_count];
        rc = add_handler(panel, NULL, def->unmount, "unmount");
    }
    return rc;
}

static void free_parts(struct nx_panel *panel) {
    for (size_t i = 0; i < panel->handler_count; i++) {
        nx_caps_free(&panel->handlers[i].caps);
        free(panel->handlers[i].scope_head);
    }
    free(panel->handlers);
    nx_standing_free(panel);
    if (panel->state)
        nx_store_remove(panel->state);
    free(panel->id);
    free(panel);
}

static struct nx_panel *find_any(const struct nx_runtime *rt, struct nx_span id) {
    struct nx_panel *panel = NULL;
    HASH_FIND(hh, rt->panels, id.len ? id.data : "", id.len, panel);
    return panel;
}

static int make_panel(struct nx_panel *panel, struct nx_span id, const struct nx_panel_def *def,
                      struct nx_error *err) {
    TAILQ_INIT(&panel->waiting);
    TAILQ_INIT(&panel->chained);
    TAILQ_INIT(&panel->ready);
    TAILQ_INIT(&panel->suspended);
    panel->id = strndup(id.data, id.len);
    panel->id_len = id.len;
    if (!panel->id || make_handlers(panel, def))
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    int rc = nx_store_open(panel->rt->store, id, &panel->state, err);
    if (rc)
        return rc;
    HASH_ADD_KEYPTR(hh, panel->rt->panels, panel->id, panel->id_len, panel);
    return panel->unhashed ? nx_error_set(err, NX_E_NOMEM, "out of memory") : 0;
}

int nx_panel_new(struct nx_runtime *rt, struct nx_span id, struct nx_panel_def *def,
                 struct nx_panel **out, struct nx_error *err) {
    if (hash_key.k0 == 0 && getrandom(&hash_key, sizeof hash_key, 0) != sizeof hash_key)
        return nx_error_errno(err, "getrandom");
    if (find_any(rt, id))
        return nx_error_set(err, NX_E_EXISTS, "panel %.*s exists already", (int)id.len, id.data);
    if (rt->panel_count >= rt->config.max_panels)
        return nx_error_set(err, NX_E_LIMIT, "there are already %zu panels", rt->panel_count);
    struct nx_panel *panel = calloc(1, sizeof *panel);
    if (!panel)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    panel->rt = rt;
    panel->created_at_ms = panel->last_activity_ms = nx_clock_wall_ms();
    int rc = make_panel(panel, id, def, err);
    if (rc) {
        free_parts(panel);
        return rc;
    }
    panel->def = def;
    rt->panel_count++;
    *out = panel;
    return 0;
}

// Where `id` is or would be in the sorted list.
static size_t sorted_place(const struct nx_runtime *rt, struct nx_span id) {
    size_t low = 0, high = rt->sorted_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct nx_panel *panel = rt->sorted[middle];
        size_t common = panel->id_len < id.len ? panel->id_len : id.len;
        int order = memcmp(panel->id, id.data, common);
        if (order < 0 || (order == 0 && panel->id_len < id.len))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int nx_panel_activate(struct nx_panel *panel) {
    struct nx_runtime *rt = panel->rt;
    if (rt->sorted_count == rt->sorted_capacity) {
        size_t capacity = rt->sorted_capacity ? rt->sorted_capacity * 2 : 16;
        struct nx_panel **sorted = realloc(rt->sorted, capacity * sizeof(struct nx_panel *));
        if (!sorted)
            return NX_E_NOMEM;
        rt->sorted = sorted;
        rt->sorted_capacity = capacity;
    }
    size_t place = sorted_place(rt, nx_span_of(panel->id, panel->id_len));
    memmove(rt->sorted + place + 1, rt->sorted + place,
            (rt->sorted_count - place) * sizeof(struct nx_panel *));
    rt->sorted[place] = panel;
    rt->sorted_count++;
    panel->phase = NX_PANEL_ACTIVE;
    return 0;
}

static void hide(struct nx_panel *panel) {
    struct nx_runtime *rt = panel->rt;
    size_t place = sorted_place(rt, nx_span_of(panel->id, panel->id_len));
    rt->sorted_count--;
    memmove(rt->sorted + place, rt->sorted + place + 1,
            (rt->sorted_count - place) * sizeof(struct nx_panel *));
}

void nx_panel_free(struct nx_panel *panel) {
    struct nx_runtime *rt = panel->rt;
    if (panel->phase == NX_PANEL_ACTIVE)
        hide(panel);
    nx_standing_stop(panel);
    nx_later_forget(rt, &panel->next_turn);
    if (panel->starved)
        TAILQ_REMOVE(&rt->starved, panel, starved_link);
    nx_share_forget(panel);
    HASH_DEL(rt->panels, panel);
    rt->panel_count--;
    struct nx_panel_def *def = panel->def;
    free_parts(panel);
    nx_panel_def_free(def);
}

// ---- Deleting

void nx_panel_fail_triggers(struct nx_panel *panel) {
    struct nx_trigger *t;
    nx_turn_break_chain(panel, NULL);
    while ((t = TAILQ_FIRST(&panel->waiting)) || (t = TAILQ_FIRST(&panel->ready)) ||
           (t = TAILQ_FIRST(&panel->suspended)))
        nx_trigger_fail(t, NX_RESULT_CANCELLED, nx_span_str("the panel is closed"));
}

static void gone(struct nx_later *later) {
    struct nx_panel *panel = (struct nx_panel *)((char *)later - offsetof(struct nx_panel, gone));
    struct nx_runtime *rt = panel->rt;
    void (*fn)(void *user) = panel->on_deleted;
    void *user = panel->on_deleted_user;
    NX_OBSERVE(rt, on_panel_closed, panel, panel->close_reason);
    nx_panel_free(panel);
    rt->closing_count--;
    if (fn)
        fn(user);
    nx_runtime_check_drained(rt);
}

void nx_panel_check_closed(struct nx_panel *panel) {
    struct nx_error err = {0};
    if (panel->phase != NX_PANEL_CLOSING || panel->trigger_count > 0)
        return;
    if (panel->unmount && !panel->unmounted && !panel->rt->finishing) {
        panel->unmounted = true;
        if (nx_trigger_internal(panel, panel->unmount, NULL, NULL, &err) == 0) {
            nx_turn_give(panel);
            return;
        }
    }
    panel->gone.run = gone;
    nx_later_add(panel->rt, &panel->gone);
}

int nx_runtime_delete_panel(struct nx_panel *panel, const char *reason, void (*fn)(void *user),
                            void *user, struct nx_error *err) {
    if (panel->phase != NX_PANEL_ACTIVE)
        return nx_error_set(err, NX_E_NOTFOUND, "panel %s is being deleted", panel->id);
    nx_standing_stop(panel);
    hide(panel);
    panel->phase = NX_PANEL_CLOSING;
    panel->close_reason = reason;
    panel->on_deleted = fn;
    panel->on_deleted_user = user;
    panel->rt->closing_count++;
    nx_panel_fail_triggers(panel);
    nx_turn_give(panel);
    return 0;
}

// ---- Looking

struct nx_panel *nx_runtime_find_panel(struct nx_runtime *rt, struct nx_span id) {
    struct nx_panel *panel = find_any(rt, id);
    return panel && panel->phase == NX_PANEL_ACTIVE ? panel : NULL;
}

size_t nx_runtime_list_panels(struct nx_runtime *rt, struct nx_span after, struct nx_panel **out,
                              size_t limit) {
    size_t place = after.len ? sorted_place(rt, after) : 0;
    if (after.len && place < rt->sorted_count &&
        nx_span_eq(nx_span_of(rt->sorted[place]->id, rt->sorted[place]->id_len), after))
        place++;
    size_t count = rt->sorted_count - place < limit ? rt->sorted_count - place : limit;
    if (count)
        memcpy(out, rt->sorted + place, count * sizeof(struct nx_panel *));
    return count;
}

size_t nx_runtime_panel_count(const struct nx_runtime *rt) {
    return rt->sorted_count;
}

struct nx_handler *nx_panel_tool_handler(const struct nx_panel *panel,
                                         const struct nx_tool_def *tool) {
    return &panel->handlers[tool - panel->def->tools];
}

const char *nx_panel_id(const struct nx_panel *panel) {
    return panel->id;
}

const struct nx_panel_def *nx_panel_definition(const struct nx_panel *panel) {
    return panel->def;
}

const char *nx_panel_status(const struct nx_panel *panel) {
    return panel->parked_count ? "suspended" : "active";
}

int64_t nx_panel_created_at_ms(const struct nx_panel *panel) {
    return panel->created_at_ms;
}

int64_t nx_panel_last_activity_ms(const struct nx_panel *panel) {
    return panel->last_activity_ms;
}

uint64_t nx_panel_state_version(const struct nx_panel *panel) {
    return nx_store_version(panel->state);
}

int nx_panel_render_state(const struct nx_panel *panel, struct nx_buf *out) {
    size_t count;
    const struct nx_state_entry *entries = nx_store_entries(panel->state, &count);
    nx_buf_append_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i)
            nx_buf_append_char(out, ',');
        nx_json_append_string(out, entries[i].key);
        nx_buf_append_char(out, ':');
        nx_buf_append_span(out, entries[i].json);
    }
    return nx_buf_append_char(out, '}');
}

struct nx_span nx_panel_state_value(const struct nx_panel *panel, struct nx_span key) {
    return nx_store_get(panel->state, key);
}

const struct nx_cap_set *nx_panel_tool_caps(const struct nx_panel *panel,
                                            const struct nx_tool_def *tool) {
    return &nx_panel_tool_handler(panel, tool)->caps;
}

void *nx_panel_user_data(const struct nx_panel *panel) {
    return panel->user_data;
}

void nx_panel_set_user_data(struct nx_panel *panel, void *data) {
    panel->user_data = data;
}
