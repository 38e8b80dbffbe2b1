// SPDX-License-Identifier: Apache-2.0
// The definition as data: names, finding, releasing.
#include <stdlib.h>

#include "base/limits.h"
#include "nxml/panel_def.h"

const char *nx_value_type_name(enum nx_value_type type) {
    switch (type) {
    case NX_TYPE_STRING:
        return "string";
    case NX_TYPE_NUMBER:
        return "number";
    case NX_TYPE_BOOLEAN:
        return "boolean";
    case NX_TYPE_LIST:
        return "list";
    case NX_TYPE_OBJECT:
        return "object";
    }
    return "unknown";
}

bool nx_panel_id_valid(struct nx_span id) {
    if (id.len == 0 || id.len > NX_MAX_PANEL_ID_BYTES)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char ch = id.data[i];
        bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
        if (!letter && !(ch >= '0' && ch <= '9') && ch != '_' && ch != '-')
            return false;
    }
    return true;
}

const struct nx_tool_def *nx_panel_def_find_tool(const struct nx_panel_def *def,
                                                 struct nx_span name) {
    for (size_t i = 0; i < def->tool_count; i++)
        if (nx_span_eq(nx_span_str(def->tools[i].name), name))
            return &def->tools[i];
    return NULL;
}

static void free_handler(struct nx_handler_def *h) {
    free(h->code);
    nx_caps_free(&h->caps);
}

static void free_tool(struct nx_tool_def *tool) {
    for (size_t i = 0; i < tool->arg_count; i++) {
        free(tool->args[i].name);
        free(tool->args[i].default_json);
        free(tool->args[i].description);
    }
    free(tool->args);
    free(tool->name);
    free(tool->description);
    free(tool->trigger.pattern);
    free_handler(&tool->handler);
}

static void free_data(struct nx_panel_def *def) {
    for (size_t i = 0; i < def->state_count; i++) {
        free(def->states[i].name);
        free(def->states[i].default_json);
    }
    free(def->states);
    for (size_t i = 0; i < def->computed_count; i++) {
        free(def->computed[i].name);
        free(def->computed[i].expression);
    }
    free(def->computed);
    free(def->initial_state_json);
}

static void free_logic(struct nx_panel_def *def) {
    for (size_t i = 0; i < def->extension_count; i++) {
        free(def->extensions[i].name);
        free(def->extensions[i].alias);
        free(def->extensions[i].source);
    }
    free(def->extensions);
    for (size_t i = 0; i < def->tool_count; i++)
        free_tool(&def->tools[i]);
    free(def->tools);
    if (def->mount)
        free_handler(def->mount);
    if (def->unmount)
        free_handler(def->unmount);
    free(def->mount);
    free(def->unmount); // analyzer: not the pointer that was freed one line above
    nx_caps_free(&def->caps);
}

void nx_panel_def_free(struct nx_panel_def *def) {
    if (!def)
        return;
    free_data(def);
    free_logic(def);
    free(def->id);
    free(def->kind);
    free(def->title);
    free(def->description);
    free(def->version);
    free(def->author);
    free(def->tags);
    free(def->view_json);
    free(def->metadata_json);
    free(def);
}
