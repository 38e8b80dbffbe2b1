// SPDX-License-Identifier: Apache-2.0
// <Logic>: extensions, capabilities, tools and lifecycle handlers.
#include <stdio.h>
#include <stdlib.h>

#include "nxml/lexer.h"
#include "nxml/sections.h"

// ---- <Extension>

static bool extension_name_valid(struct nx_span name) {
    if (name.len == 0 || name.len > NX_MAX_PANEL_ID_BYTES)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char ch = name.data[i];
        bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
        bool inner = ch == '.' && i > 0 && i + 1 < name.len && name.data[i - 1] != '.';
        if (!letter && !inner && !(ch >= '0' && ch <= '9') && ch != '_' && ch != '-' && ch != '$')
            return false;
    }
    return true;
}

static void read_extension(struct nx_parse *p, const struct nx_elem *e,
                           struct nx_extension_def *out) {
    nx_elem_check_attrs(p, e, "name alias source");
    nx_elem_check_children(p, e, "", "");
    out->pos = e->pos;
    const struct nx_attr *source = nx_elem_attr(e, "source");
    if (source)
        out->source = nx_parse_strdup(p, source->value);
    const struct nx_attr *name = nx_elem_require(p, e, "name");
    if (!name)
        return;
    if (!extension_name_valid(name->value)) {
        nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, name->value_pos,
                       "'%.*s' is not an extension's name such as nexus.http",
                       nx_quote_len(name->value), name->value.data);
        return;
    }
    out->name = nx_parse_strdup(p, name->value);
    const struct nx_attr *given = nx_elem_attr(e, "alias");
    struct nx_span alias = given ? given->value : name->value;
    const char *dot = given ? NULL : memrchr(alias.data, '.', alias.len);
    if (dot)
        alias = nx_span_of(dot + 1, alias.len - (size_t)(dot + 1 - alias.data));
    struct nx_pos pos = given ? given->value_pos : name->value_pos;
    if (nx_parse_identifier(p, alias, pos, "extension's alias"))
        out->alias = nx_parse_strdup(p, alias);
}

// ---- <Capabilities>

static bool bad_capability(struct nx_parse *p, struct nx_pos pos, struct nx_span type) {
    nx_parse_error(p, NX_DIAG_INVALID_CAPABILITY, pos,
                   "'%.*s' is not a capability: state:read, state:write, events:emit, "
                   "view:update or ext, each with a scope",
                   nx_quote_len(type), type.data);
    return false;
}

// Writes the token of `e` to `out`; false after reporting.
static bool capability_token(struct nx_parse *p, const struct nx_elem *e, struct nx_buf *out) {
    static const char *const types[] = {"state:read", "state:write", "events:emit", "view:update",
                                        "ext"};
    const struct nx_attr *type = nx_elem_require(p, e, "type");
    const struct nx_attr *scope = nx_elem_attr(e, "scope");
    if (!type)
        return false;
    // ext:http, whose only scope is everything.
    struct nx_span ext = nx_span_str("ext:");
    if (nx_span_starts(type->value, ext)) {
        bool named = type->value.len > ext.len && type->value.data[ext.len] != '*';
        if (!named || (scope && !nx_span_eq(scope->value, nx_span_str("*"))))
            return bad_capability(p, type->value_pos, type->value);
        nx_buf_append_span(out, type->value);
        return true;
    }
    bool known = false;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        known = known || nx_span_eq(type->value, nx_span_str(types[i]));
    if (!known)
        return bad_capability(p, type->value_pos, type->value);
    scope = nx_elem_require(p, e, "scope");
    if (!scope)
        return false;
    nx_buf_append_span(out, type->value);
    nx_buf_append_char(out, ':');
    nx_buf_append_span(out, scope->value);
    return true;
}

static void read_capabilities(struct nx_parse *p, const struct nx_elem *list,
                              const struct nx_handler_def *owner, struct nx_cap_set *set) {
    nx_elem_check_attrs(p, list, "");
    nx_elem_check_children(p, list, "Capability", "");
    for (const struct nx_elem *e = list->first_child; e; e = e->next) {
        if (!nx_elem_is(e, "Capability"))
            continue;
        nx_elem_check_attrs(p, e, "type scope");
        nx_elem_check_children(p, e, "", "");
        struct nx_buf token;
        nx_buf_init(&token, NX_MAX_PANEL_SOURCE_BYTES);
        if (capability_token(p, e, &token)) {
            if (token.failed)
                p->failed = NX_E_NOMEM;
            else
                nx_parse_cap(p, nx_buf_span(&token), e->pos, owner, set);
        }
        nx_buf_free(&token);
    }
}

// ---- Handlers

// The <Capabilities> and the <Handler> of a <Tool> or <Lifecycle>.
static void read_handler(struct nx_parse *p, const struct nx_elem *parent,
                         struct nx_handler_def *out) {
    const struct nx_elem *caps = nx_elem_find(parent->first_child, "Capabilities");
    if (caps) {
        out->has_own_caps = true;
        read_capabilities(p, caps, out, &out->caps);
    }
    const struct nx_elem *handler = nx_elem_find(parent->first_child, "Handler");
    if (!handler) {
        nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, parent->pos, "<%.*s> needs a <Handler>",
                       nx_quote_len(parent->name), parent->name.data);
        return;
    }
    nx_elem_check_attrs(p, handler, "");
    out->code = nx_parse_strdup(p, handler->text);
    out->code_len = handler->text.len;
    out->pos = handler->text_pos;
}

static bool read_required(struct nx_parse *p, const struct nx_elem *e) {
    const struct nx_attr *a = nx_elem_attr(e, "required");
    if (a && nx_span_eq(a->value, nx_span_str("false")))
        return false;
    if (a && !nx_span_eq(a->value, nx_span_str("true")))
        nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, a->value_pos,
                       "required must be true or false");
    return true;
}

static void read_arg(struct nx_parse *p, const struct nx_elem *e, struct nx_arg_def *out) {
    nx_elem_check_attrs(p, e, "name type required default description");
    nx_elem_check_children(p, e, "", "");
    const struct nx_attr *name = nx_elem_require(p, e, "name");
    if (name && nx_parse_identifier(p, name->value, name->value_pos, "argument"))
        out->name = nx_parse_strdup(p, name->value);
    const struct nx_attr *type = nx_elem_attr(e, "type");
    if (type)
        out->type = nx_parse_type(p, type->value, type->value_pos);
    out->required = read_required(p, e);
    const struct nx_attr *value = nx_elem_attr(e, "default");
    if (value)
        out->default_json = nx_parse_default(p, out->type, value->value, value->value_pos);
    const struct nx_attr *about = nx_elem_attr(e, "description");
    if (about)
        out->description = nx_parse_strdup(p, about->value);
}

static void read_args(struct nx_parse *p, const struct nx_elem *tool, struct nx_tool_def *out) {
    size_t count = nx_elem_count(tool, "Arg");
    if (count > NX_MAX_TOOL_ARGS) {
        nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, tool->pos, "a tool has at most %d arguments",
                       NX_MAX_TOOL_ARGS);
        return;
    }
    out->declares_args = count > 0;
    out->args = nx_parse_calloc(p, count, sizeof *out->args);
    if (count && !out->args)
        return;
    const struct nx_elem *e = nx_elem_find(tool->first_child, "Arg");
    for (; e; e = nx_elem_find(e->next, "Arg")) {
        struct nx_arg_def *arg = &out->args[out->arg_count++];
        read_arg(p, e, arg);
        for (size_t i = 0; arg->name && i + 1 < out->arg_count; i++)
            if (out->args[i].name && strcmp(out->args[i].name, arg->name) == 0)
                nx_parse_error(p, NX_DIAG_DUPLICATE_ELEMENT, e->pos,
                               "the tool has an argument '%s' already", arg->name);
    }
}

static void read_tool(struct nx_parse *p, const struct nx_elem *e, struct nx_tool_def *out) {
    nx_elem_check_attrs(p, e, "name description trigger timeoutMs");
    nx_elem_check_children(p, e, "Arg Capabilities Handler", "Capabilities Handler");
    out->pos = e->pos;
    const struct nx_attr *name = nx_elem_require(p, e, "name");
    if (name && nx_parse_identifier(p, name->value, name->value_pos, "tool"))
        out->name = nx_parse_strdup(p, name->value);
    const struct nx_attr *about = nx_elem_attr(e, "description");
    if (about)
        out->description = nx_parse_strdup(p, about->value);
    const struct nx_attr *trigger = nx_elem_attr(e, "trigger");
    if (trigger)
        nx_parse_trigger(p, trigger->value, trigger->value_pos, &out->trigger);
    const struct nx_attr *timeout = nx_elem_attr(e, "timeoutMs");
    if (timeout)
        out->timeout_ms = nx_parse_timeout(p, timeout->value, timeout->value_pos);
    read_args(p, e, out);
    read_handler(p, e, &out->handler);
}

static void read_lifecycle(struct nx_parse *p, const struct nx_elem *e) {
    nx_elem_check_attrs(p, e, "on");
    nx_elem_check_children(p, e, "Capabilities Handler", "Capabilities Handler");
    const struct nx_attr *on = nx_elem_require(p, e, "on");
    if (!on)
        return;
    bool mount = nx_span_eq(on->value, nx_span_str("mount"));
    if (!mount && !nx_span_eq(on->value, nx_span_str("unmount"))) {
        nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, on->value_pos,
                       "a lifecycle handler is on mount or on unmount");
        return;
    }
    struct nx_handler_def **slot = mount ? &p->def->mount : &p->def->unmount;
    if (*slot) {
        nx_parse_error(p, NX_DIAG_DUPLICATE_LIFECYCLE, e->pos,
                       "the panel has a handler on %s already", mount ? "mount" : "unmount");
        return;
    }
    *slot = nx_parse_calloc(p, 1, sizeof **slot);
    if (*slot)
        read_handler(p, e, *slot);
}

// ---- <Logic>

void nx_section_logic(struct nx_parse *p, const struct nx_elem *logic) {
    struct nx_panel_def *def = p->def;
    nx_elem_check_attrs(p, logic, "");
    nx_elem_check_children(p, logic, "Extension Capabilities Tool Lifecycle", "Capabilities");
    size_t tools = nx_elem_count(logic, "Tool"), extensions = nx_elem_count(logic, "Extension");
    def->tools = nx_parse_calloc(p, tools, sizeof *def->tools);
    def->extensions = nx_parse_calloc(p, extensions, sizeof *def->extensions);
    if (p->failed)
        return;
    const struct nx_elem *caps = nx_elem_find(logic->first_child, "Capabilities");
    if (caps)
        read_capabilities(p, caps, NULL, &def->caps);
    for (const struct nx_elem *e = logic->first_child; e && !p->failed; e = e->next) {
        if (nx_elem_is(e, "Extension"))
            read_extension(p, e, &def->extensions[def->extension_count++]);
        else if (nx_elem_is(e, "Tool"))
            read_tool(p, e, &def->tools[def->tool_count++]);
        else if (nx_elem_is(e, "Lifecycle"))
            read_lifecycle(p, e);
    }
}
