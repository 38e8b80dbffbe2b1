// SPDX-License-Identifier: Apache-2.0
// What the finished segments of one execution add up to, for the result of an execution that
// suspends: lists that own their bytes. Executions that never suspend do without.
#include <stdlib.h>
#include <string.h>

#include "kernel/core.h"

// A growable list; the items are copied in whole.
struct list {
    void *items;
    size_t count, capacity;
};

// Every item's first span points at the start of the one block that holds all its bytes.
struct nx_gather {
    struct list mutations, events, views, logs;
    size_t bytes;
};

static void *add_item(struct list *list, size_t item_bytes) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 8;
        void *items = realloc(list->items, capacity * item_bytes);
        if (!items)
            return NULL;
        list->items = items;
        list->capacity = capacity;
    }
    return memset((char *)list->items + item_bytes * list->count, 0, item_bytes);
}

// Moves up to three spans into one new block. Absent spans stay empty.
static int own(struct nx_gather *g, struct nx_span *a, struct nx_span *b, struct nx_span *c) {
    struct nx_span *spans[] = {a, b, c};
    size_t len = 0;
    for (int i = 0; i < 3; i++)
        len += spans[i] ? spans[i]->len : 0;
    if (g->bytes + len > NX_MAX_RESULT_BYTES)
        return NX_E_LIMIT;
    char *block = malloc(len + 1);
    if (!block)
        return NX_E_NOMEM;
    g->bytes += len;
    for (int i = 0; i < 3; i++) {
        if (!spans[i])
            continue;
        if (spans[i]->len)
            memcpy(block, spans[i]->data, spans[i]->len);
        spans[i]->data = block;
        block += spans[i]->len;
    }
    return 0;
}

// The keys of one segment are distinct.
static int add_mutation(struct nx_gather *g, struct nx_mutation mutation) {
    struct nx_mutation *item = add_item(&g->mutations, sizeof *item);
    int rc = item ? own(g, &mutation.key, &mutation.json, NULL) : NX_E_NOMEM;
    if (rc)
        return rc;
    *item = mutation;
    g->mutations.count++;
    return 0;
}

static int add_event(struct nx_gather *g, struct nx_event event) {
    struct nx_event *item = add_item(&g->events, sizeof *item);
    int rc = item ? own(g, &event.name, &event.payload_json, NULL) : NX_E_NOMEM;
    if (rc)
        return rc;
    *item = event;
    g->events.count++;
    return 0;
}

static int add_view(struct nx_gather *g, struct nx_view_command view) {
    struct nx_view_command *item = add_item(&g->views, sizeof *item);
    int rc = item ? own(g, &view.type, &view.component_id, &view.args_json) : NX_E_NOMEM;
    if (rc)
        return rc;
    *item = view;
    g->views.count++;
    return 0;
}

static int add_log(struct nx_gather *g, struct nx_log_entry log) {
    struct nx_log_entry *item = add_item(&g->logs, sizeof *item);
    int rc = item ? own(g, &log.level, &log.message, NULL) : NX_E_NOMEM;
    if (rc)
        return rc;
    *item = log;
    g->logs.count++;
    return 0;
}

// Makes room for so many more items.
static int reserve(struct list *list, size_t more, size_t item_bytes) {
    if (more <= list->capacity - list->count)
        return 0;
    void *items = realloc(list->items, (list->count + more) * item_bytes);
    if (!items)
        return NX_E_NOMEM;
    list->items = items;
    list->capacity = list->count + more;
    return 0;
}

static int ensure(struct nx_gather **gather) {
    if (!*gather)
        *gather = calloc(1, sizeof **gather);
    return *gather ? 0 : NX_E_NOMEM;
}

int nx_gather_add_logs(struct nx_gather **gather, const struct nx_log_entry *logs, size_t count) {
    int rc = ensure(gather);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_log(*gather, logs[i]);
    return rc;
}

// What a segment did, copied: a gather of its own.
static int copy_segment(struct nx_gather **step, const struct nx_segment *segment) {
    int rc = nx_gather_add_logs(step, segment->logs, segment->log_count);
    for (size_t i = 0; rc == 0 && i < segment->mutation_count; i++)
        rc = add_mutation(*step, segment->mutations[i]);
    for (size_t i = 0; rc == 0 && i < segment->event_count; i++)
        rc = add_event(*step, segment->events[i]);
    for (size_t i = 0; rc == 0 && i < segment->view_count; i++)
        rc = add_view(*step, segment->views[i]);
    return rc;
}

static int make_room(struct nx_gather *g, const struct nx_gather *step) {
    if (g->bytes + step->bytes > NX_MAX_RESULT_BYTES)
        return NX_E_LIMIT;
    int rc = reserve(&g->mutations, step->mutations.count, sizeof(struct nx_mutation));
    if (rc == 0)
        rc = reserve(&g->events, step->events.count, sizeof(struct nx_event));
    if (rc == 0)
        rc = reserve(&g->views, step->views.count, sizeof(struct nx_view_command));
    if (rc == 0)
        rc = reserve(&g->logs, step->logs.count, sizeof(struct nx_log_entry));
    return rc;
}

int nx_gather_prepare(struct nx_gather **gather, const struct nx_segment *segment,
                      struct nx_gather **step) {
    *step = NULL;
    int rc = ensure(gather);
    if (rc == 0)
        rc = copy_segment(step, segment);
    if (rc == 0)
        rc = make_room(*gather, *step);
    if (rc) {
        nx_gather_free(*step);
        *step = NULL;
    }
    return rc;
}

// Net effect in order of first write: the later value takes the earlier one's place.
static void merge_mutation(struct nx_gather *g, struct nx_mutation m) {
    struct nx_mutation *known = g->mutations.items;
    for (size_t i = 0; i < g->mutations.count; i++) {
        if (!nx_span_eq(known[i].key, m.key))
            continue;
        g->bytes -= known[i].key.len + known[i].json.len;
        free((char *)known[i].key.data);
        known[i] = m;
        return;
    }
    known[g->mutations.count++] = m;
}

// Moves the items of one list to the end of another, which has room.
static void move(struct list *to, struct list *from, size_t item_bytes) {
    if (from->count)
        memcpy((char *)to->items + to->count * item_bytes, from->items, from->count * item_bytes);
    to->count += from->count;
    from->count = 0;
}

void nx_gather_merge(struct nx_gather *g, struct nx_gather *step) {
    g->bytes += step->bytes;
    const struct nx_mutation *mutations = step->mutations.items;
    for (size_t i = 0; i < step->mutations.count; i++)
        merge_mutation(g, mutations[i]);
    step->mutations.count = 0;
    move(&g->events, &step->events, sizeof(struct nx_event));
    move(&g->views, &step->views, sizeof(struct nx_view_command));
    move(&g->logs, &step->logs, sizeof(struct nx_log_entry));
    nx_gather_free(step);
}

void nx_gather_view(const struct nx_gather *g, struct nx_result *result) {
    static const struct nx_gather nothing;
    if (!g)
        g = &nothing;
    result->mutations = g->mutations.items;
    result->mutation_count = g->mutations.count;
    result->events = g->events.items;
    result->event_count = g->events.count;
    result->views = g->views.items;
    result->view_count = g->views.count;
    result->logs = g->logs.items;
    result->log_count = g->logs.count;
}

size_t nx_gather_bytes(const struct nx_gather *g) {
    return g->bytes;
}

void nx_gather_free(struct nx_gather *g) {
    if (!g)
        return;
    for (size_t i = 0; i < g->mutations.count; i++)
        free((char *)((struct nx_mutation *)g->mutations.items)[i].key.data);
    for (size_t i = 0; i < g->events.count; i++)
        free((char *)((struct nx_event *)g->events.items)[i].name.data);
    for (size_t i = 0; i < g->views.count; i++)
        free((char *)((struct nx_view_command *)g->views.items)[i].type.data);
    for (size_t i = 0; i < g->logs.count; i++)
        free((char *)((struct nx_log_entry *)g->logs.items)[i].level.data);
    free(g->mutations.items);
    free(g->events.items);
    free(g->views.items);
    free(g->logs.items);
    free(g);
}
