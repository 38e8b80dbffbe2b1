// SPDX-License-Identifier: Apache-2.0
// <View>: its one root, written out as JSON for the clients that draw it.
#include "base/json.h"
#include "nxml/lexer.h"
#include "nxml/sections.h"

// ---- Bindings

// Whether the '{' at the start of `s` is closed by the '}' at its end, not before.
static bool braces_enclose(struct nx_span s) {
    size_t depth = 0;
    char quote = 0;
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.data[i];
        if (quote) {
            if (ch == '\\')
                i++;
            else if (ch == quote)
                quote = 0;
        } else if (ch == '"' || ch == '\'' || ch == '`') {
            quote = ch;
        } else if (ch == '{') {
            depth++;
        } else if (ch == '}' && --depth == 0) {
            return i + 1 == s.len;
        }
    }
    return false;
}

enum nx_view_value nx_view_value_kind(const struct nx_attr *attr, struct nx_span *expression) {
    struct nx_span value = attr->value;
    // In args, braces are an object literal's: the attribute is an expression already.
    if (nx_span_eq(attr->name, nx_span_str("args"))) {
        *expression = value;
        return NX_VIEW_EXPRESSION;
    }
    if (value.len > 2 && value.data[0] == '{' && braces_enclose(value)) {
        *expression = nx_span_trim(nx_span_of(value.data + 1, value.len - 2));
        if (expression->len)
            return NX_VIEW_BINDING;
    }
    *expression = value;
    return nx_span_eq(attr->name, nx_span_str("bind")) ? NX_VIEW_EXPRESSION : NX_VIEW_TEXT;
}

// ---- JSON

static void append_attr(struct nx_buf *out, const struct nx_attr *attr) {
    struct nx_span expression;
    bool binding = nx_view_value_kind(attr, &expression) == NX_VIEW_BINDING;
    nx_json_append_comma(out);
    nx_json_append_string(out, attr->name);
    nx_buf_append_str(out, binding ? ":{\"$bind\":" : ":");
    nx_json_append_string(out, expression);
    nx_buf_append_str(out, binding ? "}" : "");
}

// Recurses no deeper than elements may be nested.
static void append_node(struct nx_buf *out, const struct nx_elem *e) {
    nx_json_append_comma(out);
    if (nx_elem_is_text(e)) {
        nx_buf_append_str(out, "{\"text\":");
        nx_json_append_string(out, e->text);
        nx_buf_append_char(out, '}');
        return;
    }
    nx_buf_append_str(out, "{\"type\":");
    nx_json_append_string(out, e->name);
    nx_buf_append_str(out, ",\"attributes\":{");
    for (const struct nx_attr *a = e->attrs; a; a = a->next)
        append_attr(out, a);
    nx_buf_append_str(out, "},\"children\":[");
    for (const struct nx_elem *c = e->first_child; c; c = c->next)
        append_node(out, c);
    nx_buf_append_str(out, "]}");
}

// ---- <View>

// The View's one root node; reports none, several, and text.
static const struct nx_elem *find_root(struct nx_parse *p, const struct nx_elem *view) {
    const struct nx_elem *root = NULL;
    for (const struct nx_elem *e = view->first_child; e; e = e->next) {
        if (nx_elem_is_text(e))
            nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, e->pos, "text does not belong in <View>");
        else if (root)
            nx_parse_error(p, NX_DIAG_DUPLICATE_ELEMENT, e->pos, "a <View> has one root");
        else
            root = e;
    }
    if (!root)
        nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, view->pos, "a <View> needs a root element");
    return root;
}

void nx_section_view(struct nx_parse *p, const struct nx_elem *view) {
    nx_elem_check_attrs(p, view, "");
    p->view = find_root(p, view);
    if (!p->view)
        return;
    struct nx_buf out;
    nx_buf_init(&out, NX_MAX_VIEW_JSON_BYTES);
    append_node(&out, p->view);
    p->def->view_json = nx_parse_steal(p, &out);
}
