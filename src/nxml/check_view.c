// SPDX-License-Identifier: Apache-2.0
// Checks of the View: ids, the tools its triggers name, the states its expressions use.
#include "nxml/lexer.h"
#include "nxml/names.h"
#include "nxml/refs.h"
#include "nxml/sections.h"

struct walk {
    struct nx_parse *p;
    struct nx_view_check *check;
    struct nx_names ids;
    // While an expression is looked at:
    struct nx_pos pos; // of its byte `offset`
    size_t offset;
    bool verbatim; // its bytes are the source's
    struct nx_span expression;
};

static void note(struct walk *w, struct nx_names *names, struct nx_span name) {
    if (nx_names_add(names, name, (struct nx_pos){0, 0}, names->count))
        w->p->failed = NX_E_NOMEM;
}

static bool is_standard(const struct nx_elem *e) {
    static const char *const types[] = {"Layout",      "Container", "If",    "Iterate", "Text",
                                        "Metric",      "Chart",     "Input", "Switch",  "Button",
                                        "StatusBadge", "LogStream", "Action"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (nx_elem_is(e, types[i]))
            return true;
    return false;
}

static int check_state_ref(void *user, const struct nx_ref *ref) {
    struct walk *w = user;
    if (ref->kind != NX_REF_STATE)
        return 0;
    if (ref->name.len == 0) {
        w->check->any_state_used = true;
        return 0;
    }
    note(w, w->check->used_states, ref->name);
    if (nx_names_find(w->check->states, ref->name))
        return 0;
    if (w->verbatim) {
        w->pos = nx_pos_after(w->pos,
                              nx_span_of(w->expression.data + w->offset, ref->offset - w->offset));
        w->offset = ref->offset;
    }
    nx_parse_error(w->p, NX_DIAG_UNDEFINED_STATE_REFERENCE, w->pos,
                   "'%.*s' is neither a <State> nor a <Computed>", nx_quote_len(ref->name),
                   ref->name.data);
    return 0;
}

static void check_expression(struct walk *w, const struct nx_attr *a, struct nx_span expression) {
    w->pos = a->value_pos;
    w->offset = 0;
    w->verbatim = a->verbatim;
    w->expression = expression;
    size_t before = (size_t)(expression.data - a->value.data);
    if (w->verbatim && before)
        w->pos = nx_pos_after(w->pos, nx_span_of(a->value.data, before));
    nx_refs_each(expression, check_state_ref, w);
}

// Text is not evaluated, but a client may fill in what it mentions: that counts as use.
static void note_states_in_text(struct walk *w, struct nx_span text) {
    const char marker[] = "$state";
    const char *found;
    while (text.len && (found = memmem(text.data, text.len, marker, sizeof marker - 1))) {
        size_t skip = (size_t)(found - text.data) + sizeof marker - 1;
        text = nx_span_of(text.data + skip, text.len - skip);
        struct nx_cursor c = {text.data, text.len, 0, {1, 1}};
        if (!nx_cursor_at(&c, ".")) {
            w->check->any_state_used = true;
            continue;
        }
        nx_cursor_advance(&c, 1);
        struct nx_span name = nx_cursor_name(&c);
        const char *minus = name.len ? memchr(name.data, '-', name.len) : NULL;
        if (minus)
            name.len = (size_t)(minus - name.data);
        note(w, w->check->used_states, name);
    }
}

static void check_trigger(struct walk *w, const struct nx_attr *a) {
    note(w, w->check->used_tools, a->value);
    if (!nx_names_find(w->check->tools, a->value))
        nx_parse_error(w->p, NX_DIAG_UNDEFINED_TOOL_REFERENCE, a->value_pos,
                       "there is no <Tool> '%.*s'", nx_quote_len(a->value), a->value.data);
}

static void check_attr(struct walk *w, const struct nx_attr *a) {
    struct nx_span expression;
    enum nx_view_value kind = nx_view_value_kind(a, &expression);
    bool trigger = nx_span_eq(a->name, nx_span_str("trigger"));
    if (nx_span_eq(a->name, nx_span_str("__proto__")))
        nx_parse_error(w->p, NX_DIAG_INVALID_ATTRIBUTE, a->pos, "no attribute is named __proto__");
    if (kind != NX_VIEW_TEXT)
        check_expression(w, a, expression);
    else if (trigger)
        check_trigger(w, a);
    else
        note_states_in_text(w, a->value);
    if (trigger && kind != NX_VIEW_TEXT)
        w->check->any_tool_used = true;
    if (nx_span_eq(a->name, nx_span_str("id")) && kind == NX_VIEW_TEXT &&
        nx_names_add(&w->ids, a->value, a->pos, w->ids.count))
        w->p->failed = NX_E_NOMEM;
}

static void check_node(struct walk *w, const struct nx_elem *e) {
    if (nx_elem_is_text(e)) {
        note_states_in_text(w, e->text);
        return;
    }
    if (nx_elem_is(e, "Handler"))
        nx_parse_error(w->p, NX_DIAG_UNKNOWN_ELEMENT, e->pos,
                       "<Handler> does not belong in <View>");
    else if (!is_standard(e))
        nx_parse_warn(w->p, NX_DIAG_UNKNOWN_ELEMENT, e->pos,
                      "<%.*s> is not a standard component: a client may not know it",
                      nx_quote_len(e->name), e->name.data);
    for (const struct nx_attr *a = e->attrs; a; a = a->next)
        check_attr(w, a);
}

// The node after `e` in source order within `root`, or NULL.
static const struct nx_elem *next_node(const struct nx_elem *root, const struct nx_elem *e) {
    if (e->first_child)
        return e->first_child;
    while (e != root && !e->next)
        e = e->parent;
    return e == root ? NULL : e->next;
}

void nx_check_view(struct nx_parse *p, struct nx_view_check *check) {
    struct walk w = {.p = p, .check = check};
    for (const struct nx_elem *e = p->view; e && !p->failed; e = next_node(p->view, e))
        check_node(&w, e);
    nx_names_seal(&w.ids);
    for (size_t i = 0; i < w.ids.count; i++) {
        const struct nx_name *twice = nx_names_repeated(&w.ids, i);
        if (twice)
            nx_parse_error(p, NX_DIAG_DUPLICATE_VIEW_ID, twice->pos,
                           "another component has the id '%.*s'", nx_quote_len(twice->name),
                           twice->name.data);
    }
    nx_names_free(&w.ids);
}
