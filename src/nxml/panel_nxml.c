// SPDX-License-Identifier: Apache-2.0
// An NXML source from its first byte to a checked definition.
#include "base/utf8.h"
#include "nxml/lexer.h"
#include "nxml/sections.h"

static const struct nx_pos file_start = {1, 1};

// ---- Before parsing

// Length of the longest prefix of `s` that is UTF-8 without NUL.
static size_t valid_prefix(struct nx_span s) {
    size_t at = 0, n = 1;
    while (at < s.len && s.data[at] && n) {
        n = nx_utf8_sequence((const unsigned char *)s.data + at, s.len - at);
        at += n;
    }
    return at;
}

// Reports a source that no parser should look at; whether it is fit.
static bool check_bytes(struct nx_parse *p, struct nx_span source) {
    if (source.len > NX_MAX_PANEL_SOURCE_BYTES) {
        nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, file_start,
                       "the source has %zu bytes; a panel has at most %d", source.len,
                       NX_MAX_PANEL_SOURCE_BYTES);
        return false;
    }
    struct nx_span valid = nx_span_of(source.data, valid_prefix(source));
    if (valid.len == source.len)
        return true;
    nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, nx_pos_after(file_start, valid),
                   "the source must be UTF-8 without NUL characters");
    return false;
}

// ---- <NexusPanel>

static char *optional_text(struct nx_parse *p, const struct nx_elem *root, const char *name) {
    const struct nx_attr *a = nx_elem_attr(root, name);
    return a ? nx_parse_strdup(p, a->value) : NULL;
}

static void read_panel_attrs(struct nx_parse *p, const struct nx_elem *root) {
    struct nx_panel_def *def = p->def;
    nx_elem_check_attrs(p, root, "id title description version author tags");
    const struct nx_attr *id = nx_elem_attr(root, "id");
    if (id && !nx_panel_id_valid(id->value))
        nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, id->value_pos,
                       "a panel's id is 1 to %d letters, digits, _ and -", NX_MAX_PANEL_ID_BYTES);
    else if (id)
        def->id = nx_parse_strdup(p, id->value);
    const struct nx_attr *title = nx_elem_attr(root, "title");
    if (title)
        nx_parse_length(p, title->value, title->value_pos, "the title", 1, NX_MAX_TITLE_CHARS);
    def->title = nx_parse_strdup(p, title ? title->value : nx_span_str("Untitled Panel"));
    const struct nx_attr *about = nx_elem_attr(root, "description");
    if (about)
        nx_parse_length(p, about->value, about->value_pos, "the description", 0,
                        NX_MAX_DESCRIPTION_CHARS);
    def->kind = nx_parse_strdup(p, nx_span_str("nxml"));
    def->description = optional_text(p, root, "description");
    def->version = optional_text(p, root, "version");
    def->author = optional_text(p, root, "author");
    def->tags = optional_text(p, root, "tags");
}

static void read_panel(struct nx_parse *p, const struct nx_elem *root) {
    if (!nx_elem_is(root, "NexusPanel")) {
        nx_parse_error(p, NX_DIAG_UNKNOWN_ELEMENT, root->pos,
                       "a panel is one <NexusPanel>, not <%.*s>", nx_quote_len(root->name),
                       root->name.data);
        return;
    }
    read_panel_attrs(p, root);
    nx_elem_check_children(p, root, "Data Logic View", "Data Logic View");
    // Of sections given twice only the first counts: the second is already reported.
    const struct nx_elem *data = nx_elem_find(root->first_child, "Data");
    const struct nx_elem *logic = nx_elem_find(root->first_child, "Logic");
    const struct nx_elem *view = nx_elem_find(root->first_child, "View");
    if (data)
        nx_section_data(p, data);
    nx_section_initial_state(p);
    if (logic)
        nx_section_logic(p, logic);
    if (view)
        nx_section_view(p, view);
    nx_parse_inherit_caps(p);
    if (!p->failed)
        nx_check_panel(p);
}

int nx_panel_def_parse_nxml(struct nx_span source, struct nx_panel_def **out,
                            struct nx_diagnostics *diags) {
    struct nx_parse p;
    if (nx_parse_begin(&p, diags, true) == 0 && check_bytes(&p, source)) {
        const struct nx_elem *root = nx_tree_parse(&p, source);
        if (root)
            read_panel(&p, root);
    }
    return nx_parse_finish(&p, out);
}

int nx_panel_def_parse(struct nx_span source, struct nx_panel_def **out,
                       struct nx_diagnostics *diags) {
    struct nx_span text = nx_span_trim(source);
    if (text.len && text.data[0] == '{')
        return nx_panel_def_parse_json(source, out, diags);
    return nx_panel_def_parse_nxml(source, out, diags);
}
