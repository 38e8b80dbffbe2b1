// SPDX-License-Identifier: Apache-2.0
// A panel given as JSON, and NXML wrapped in JSON.
#include <stdlib.h>

#include "base/json.h"
#include "nxml/json_read.h"
#include "nxml/lexer.h"

#define RULES(table) (table), sizeof(table) / sizeof(table)[0]

// ---- Members

static void read_id(struct nx_parse *p, void *target, struct nx_span value) {
    struct nx_span id = nx_json_read_string(p, value);
    (void)target;
    if (!id.data)
        return;
    if (!nx_panel_id_valid(id))
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "must be 1 to %d letters, digits, _ and -",
                      NX_MAX_PANEL_ID_BYTES);
    else if (!p->def->id)
        p->def->id = nx_parse_strdup(p, id);
    else if (!nx_span_eq(id, nx_span_str(p->def->id)))
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "id and panelId differ");
}

static void read_kind(struct nx_parse *p, void *target, struct nx_span value) {
    struct nx_span kind = nx_json_read_string(p, value);
    (void)target;
    if (!kind.data)
        return;
    nx_parse_length(p, kind, (struct nx_pos){0, 0}, "the kind", 1, NX_MAX_TITLE_CHARS);
    p->def->kind = nx_parse_strdup(p, kind);
}

static void read_title(struct nx_parse *p, void *target, struct nx_span value) {
    struct nx_span title = nx_json_read_string(p, value);
    (void)target;
    if (!title.data)
        return;
    nx_parse_length(p, title, (struct nx_pos){0, 0}, "the title", 1, NX_MAX_TITLE_CHARS);
    p->def->title = nx_parse_strdup(p, title);
}

// The object's text; NULL after reporting another value.
static char *read_object_text(struct nx_parse *p, struct nx_span value) {
    if (nx_json_is(value, '{'))
        return nx_parse_strdup(p, nx_span_trim(value));
    nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "must be an object");
    return NULL;
}

static int check_state_key(void *user, struct nx_span raw_key, struct nx_span value) {
    struct nx_parse *p = user;
    (void)value;
    if (raw_key.len <= NX_MAX_KEY_BYTES)
        return 0;
    struct nx_buf key;
    nx_buf_init(&key, NX_MAX_KEY_BYTES);
    int status = nx_json_unescape(&key, raw_key);
    nx_buf_free(&key);
    if (status == NX_E_NOMEM)
        p->failed = NX_E_NOMEM;
    else if (status)
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "a key has at most %d bytes", NX_MAX_KEY_BYTES);
    return p->failed;
}

static void read_initial_state(struct nx_parse *p, void *target, struct nx_span value) {
    (void)target;
    p->def->initial_state_json = read_object_text(p, value);
    if (p->def->initial_state_json)
        nx_json_each_member(value, check_state_key, p);
}

static void read_metadata(struct nx_parse *p, void *target, struct nx_span value) {
    (void)target;
    p->def->metadata_json = read_object_text(p, value);
}

static void read_panel_caps(struct nx_parse *p, void *target, struct nx_span value) {
    (void)target;
    nx_json_capabilities(p, value, NULL, &p->def->caps);
}

static void read_source(struct nx_parse *p, void *target, struct nx_span value) {
    *(struct nx_span *)target = nx_json_read_string(p, value);
}

static const struct nx_json_member_rule panel_rules[] = {
    {"id", read_id, false},
    {"panelId", read_id, false},
    {"kind", read_kind, true},
    {"title", read_title, false},
    {"tools", nx_json_tools, true},
    {"initialState", read_initial_state, false},
    {"capabilities", read_panel_caps, false},
    {"lifecycle", nx_json_lifecycle, false},
    {"metadata", read_metadata, false},
};

static const struct nx_json_member_rule wrapper_rules[] = {
    {"id", read_id, false},
    {"panelId", read_id, false},
    {"kind", read_kind, false},
    {"source", read_source, true},
};

// ---- Panels

static void fill_absent(struct nx_parse *p) {
    struct nx_panel_def *def = p->def;
    if (!def->title)
        def->title = nx_parse_strdup(p, nx_span_str("Untitled Panel"));
    if (!def->initial_state_json)
        def->initial_state_json = nx_parse_strdup(p, nx_span_str("{}"));
}

// {"id"?, "source": NXML}: the definition becomes the source's, under the wrapper's id.
static void read_wrapper(struct nx_parse *p, struct nx_span text) {
    struct nx_span source = {NULL, 0};
    nx_json_read_object(p, text, RULES(wrapper_rules), &source);
    const char *kind = p->def->kind;
    if (kind && strcmp(kind, "nxml") != 0)
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "the kind of a panel with a source is nxml");
    if (!source.data || p->failed)
        return;
    struct nx_panel_def *inner = NULL;
    int status = nx_panel_def_parse_nxml(source, &inner, p->diags);
    if (status == NX_E_NOMEM)
        p->failed = NX_E_NOMEM;
    if (!inner)
        return;
    if (p->def->id) {
        free(inner->id);
        inner->id = p->def->id;
        p->def->id = NULL;
    }
    nx_panel_def_free(p->def);
    p->def = inner;
}

// Reports a text that is no JSON object; whether it is one.
static bool check_text(struct nx_parse *p, struct nx_span text) {
    struct nx_error err = {0};
    enum nx_json_kind kind;
    if (text.len > NX_MAX_PANEL_JSON_BYTES)
        nx_json_error(p, NX_DIAG_INVALID_SYNTAX,
                      "the source has %zu bytes; a panel as JSON has at most %d", text.len,
                      NX_MAX_PANEL_JSON_BYTES);
    else if (nx_json_scan(text, &kind, &err))
        nx_json_error(p, NX_DIAG_INVALID_SYNTAX, "%s", err.message);
    else if (kind != NX_JSON_OBJECT)
        nx_json_error(p, NX_DIAG_INVALID_SYNTAX, "a panel is a JSON object");
    else
        return true;
    return false;
}

int nx_panel_def_parse_json(struct nx_span source, struct nx_panel_def **out,
                            struct nx_diagnostics *diags) {
    struct nx_parse p;
    struct nx_span ignored;
    if (nx_parse_begin(&p, diags, false) || !check_text(&p, source))
        return nx_parse_finish(&p, out);
    if (nx_json_member(source, "source", &ignored) == 0) {
        read_wrapper(&p, source);
        return nx_parse_finish(&p, out);
    }
    nx_json_read_object(&p, source, RULES(panel_rules), NULL);
    fill_absent(&p);
    nx_parse_inherit_caps(&p);
    if (!p.failed)
        nx_check_panel(&p);
    return nx_parse_finish(&p, out);
}
