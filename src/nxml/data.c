// SPDX-License-Identifier: Apache-2.0
// <Data>: the states and the computed values.
#include "base/json.h"
#include "nxml/lexer.h"
#include "nxml/sections.h"

// What a state without a default starts as.
static const char *empty_value(enum nx_value_type type) {
    static const char *const values[] = {"\"\"", "0", "false", "[]", "{}"};
    return values[type];
}

static void read_state(struct nx_parse *p, const struct nx_elem *e, struct nx_state_def *out) {
    nx_elem_check_attrs(p, e, "name type default");
    nx_elem_check_children(p, e, "", "");
    out->pos = e->pos;
    const struct nx_attr *name = nx_elem_require(p, e, "name");
    if (name && nx_parse_identifier(p, name->value, name->value_pos, "state"))
        out->name = nx_parse_strdup(p, name->value);
    const struct nx_attr *type = nx_elem_attr(e, "type");
    if (type)
        out->type = nx_parse_type(p, type->value, type->value_pos);
    const struct nx_attr *value = nx_elem_attr(e, "default");
    if (value)
        out->default_json = nx_parse_default(p, out->type, value->value, value->value_pos);
    else
        out->default_json = nx_parse_strdup(p, nx_span_str(empty_value(out->type)));
}

static void read_computed(struct nx_parse *p, const struct nx_elem *e,
                          struct nx_computed_def *out) {
    nx_elem_check_attrs(p, e, "name value");
    nx_elem_check_children(p, e, "", "");
    out->pos = e->pos;
    const struct nx_attr *name = nx_elem_require(p, e, "name");
    if (name && nx_parse_identifier(p, name->value, name->value_pos, "computed value"))
        out->name = nx_parse_strdup(p, name->value);
    const struct nx_attr *value = nx_elem_require(p, e, "value");
    if (!value)
        return;
    out->pos = value->value_pos;
    if (nx_span_trim(value->value).len == 0)
        nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, value->value_pos,
                       "a computed value needs an expression");
    out->expression = nx_parse_strdup(p, value->value);
}

void nx_section_data(struct nx_parse *p, const struct nx_elem *data) {
    struct nx_panel_def *def = p->def;
    nx_elem_check_attrs(p, data, "");
    nx_elem_check_children(p, data, "State Computed", "");
    size_t states = nx_elem_count(data, "State"), computed = nx_elem_count(data, "Computed");
    def->states = nx_parse_calloc(p, states, sizeof *def->states);
    def->computed = nx_parse_calloc(p, computed, sizeof *def->computed);
    if (p->failed)
        return;
    for (const struct nx_elem *e = data->first_child; e; e = e->next) {
        if (nx_elem_is(e, "State"))
            read_state(p, e, &def->states[def->state_count++]);
        else if (nx_elem_is(e, "Computed"))
            read_computed(p, e, &def->computed[def->computed_count++]);
    }
}

void nx_section_initial_state(struct nx_parse *p) {
    const struct nx_panel_def *def = p->def;
    struct nx_buf b;
    nx_buf_init(&b, NX_MAX_VIEW_JSON_BYTES);
    nx_buf_append_char(&b, '{');
    for (size_t i = 0; i < def->state_count; i++) {
        const struct nx_state_def *s = &def->states[i];
        if (!s->name || !s->default_json)
            continue; // reported
        nx_json_append_key(&b, s->name);
        nx_buf_append_str(&b, s->default_json);
    }
    nx_buf_append_char(&b, '}');
    p->def->initial_state_json = nx_parse_steal(p, &b);
}
