// SPDX-License-Identifier: Apache-2.0
// Checks that need the whole definition: duplicates, references between its parts, what is unused.
#include <stdio.h>

#include "nxml/lexer.h"
#include "nxml/names.h"
#include "nxml/refs.h"
#include "nxml/sections.h"

// What a group of handlers refers to.
struct usage {
    struct nx_names names[NX_REF_KINDS];
    bool any[NX_REF_KINDS];     // refers to the kind at all
    bool unknown[NX_REF_KINDS]; // refers to a name that cannot be told
};

struct checker {
    struct nx_parse *p;
    struct nx_names states;     // <State> and <Computed>
    struct nx_names keys;       // <State>
    struct nx_names tools;      // index: of the tool
    struct nx_names extensions; // aliases
    struct nx_names ext_names;  // names
    struct nx_names used_states, used_tools;
    bool any_state_used, any_tool_used;
    struct usage panel; // of the handlers that run with the panel's capabilities
};

static void note(struct nx_parse *p, struct nx_names *set, const char *name, struct nx_pos pos,
                 size_t index) {
    if (name && nx_names_add(set, nx_span_str(name), pos, index))
        p->failed = NX_E_NOMEM;
}

// ---- Names and duplicates

static void collect_names(struct checker *c) {
    const struct nx_panel_def *def = c->p->def;
    for (size_t i = 0; i < def->state_count; i++) {
        note(c->p, &c->states, def->states[i].name, def->states[i].pos, i);
        note(c->p, &c->keys, def->states[i].name, def->states[i].pos, i);
    }
    for (size_t i = 0; i < def->computed_count; i++)
        note(c->p, &c->states, def->computed[i].name, def->computed[i].pos, i);
    for (size_t i = 0; i < def->tool_count; i++)
        note(c->p, &c->tools, def->tools[i].name, def->tools[i].pos, i);
    for (size_t i = 0; i < def->extension_count; i++) {
        note(c->p, &c->extensions, def->extensions[i].alias, def->extensions[i].pos, i);
        note(c->p, &c->ext_names, def->extensions[i].name, def->extensions[i].pos, i);
    }
    nx_names_seal(&c->states);
    nx_names_seal(&c->keys);
    nx_names_seal(&c->tools);
    nx_names_seal(&c->extensions);
    nx_names_seal(&c->ext_names);
}

static void report_repeated(struct nx_parse *p, const struct nx_names *set, const char *code,
                            const char *what) {
    for (size_t i = 0; i < set->count; i++) {
        const struct nx_name *twice = nx_names_repeated(set, i);
        if (!twice)
            continue;
        if (!p->is_nxml) // of a JSON panel's lists only the tools can repeat
            snprintf(p->where, sizeof p->where, "tools[%zu].name", twice->index);
        nx_parse_error(p, code, twice->pos, "there is another %s '%.*s'", what,
                       nx_quote_len(twice->name), twice->name.data);
        p->where[0] = 0;
    }
}

// ---- Handlers

struct handler_scan {
    struct checker *c;
    struct usage *usage; // NULL: not collected
    bool report;         // undeclared extensions, and use of states
    struct nx_span code;
    struct nx_pos pos; // of the byte at `offset`
    size_t offset;
};

static void check_ext_ref(struct handler_scan *s, const struct nx_ref *ref) {
    if (!s->c->p->is_nxml || nx_names_find(&s->c->extensions, ref->name))
        return;
    s->pos = nx_pos_after(s->pos, nx_span_of(s->code.data + s->offset, ref->offset - s->offset));
    s->offset = ref->offset;
    nx_parse_error(s->c->p, NX_DIAG_UNDECLARED_EXTENSION, s->pos,
                   "the handler uses $ext.%.*s but no <Extension> declares it",
                   nx_quote_len(ref->name), ref->name.data);
}

static int check_ref(void *user, const struct nx_ref *ref) {
    struct handler_scan *s = user;
    struct nx_pos nowhere = {0, 0};
    int status = 0;
    if (s->usage) {
        s->usage->any[ref->kind] = true;
        if (ref->name.len)
            status = nx_names_add(&s->usage->names[ref->kind], ref->name, nowhere, 0);
        else
            s->usage->unknown[ref->kind] = true;
    }
    if (s->report && ref->kind == NX_REF_EXT && ref->name.len)
        check_ext_ref(s, ref);
    if (s->report && ref->kind == NX_REF_STATE && ref->name.len && !status)
        status = nx_names_add(&s->c->used_states, ref->name, nowhere, 0);
    else if (s->report && ref->kind == NX_REF_STATE)
        s->c->any_state_used = true;
    return status;
}

static void scan_handler(struct checker *c, const struct nx_handler_def *h, struct usage *usage,
                         bool report) {
    if (!h || !h->code)
        return;
    struct handler_scan s = {.c = c, .usage = usage, .report = report, .pos = h->pos};
    s.code = nx_span_of(h->code, h->code_len);
    if (nx_refs_each(s.code, check_ref, &s))
        c->p->failed = NX_E_NOMEM;
}

static void usage_seal(struct usage *u) {
    for (int kind = 0; kind < NX_REF_KINDS; kind++)
        nx_names_seal(&u->names[kind]);
}

static void usage_free(struct usage *u) {
    for (int kind = 0; kind < NX_REF_KINDS; kind++)
        nx_names_free(&u->names[kind]);
}

static void check_handlers(struct checker *c) {
    const struct nx_panel_def *def = c->p->def;
    for (size_t i = 0; i < def->tool_count; i++) {
        const struct nx_handler_def *h = &def->tools[i].handler;
        scan_handler(c, h, h->has_own_caps ? NULL : &c->panel, true);
    }
    const struct nx_handler_def *lifecycle[] = {def->mount, def->unmount};
    for (int i = 0; i < 2; i++) {
        const struct nx_handler_def *h = lifecycle[i];
        scan_handler(c, h, h && h->has_own_caps ? NULL : &c->panel, true);
    }
    usage_seal(&c->panel);
}

// ---- Capabilities

// What handlers call the extension that a capability names, be it by alias or by name.
static struct nx_span ext_alias(const struct checker *c, struct nx_span scope) {
    const struct nx_name *by_name = nx_names_find(&c->ext_names, scope);
    const char *alias = by_name ? c->p->def->extensions[by_name->index].alias : NULL;
    return alias && !nx_names_find(&c->extensions, scope) ? nx_span_str(alias) : scope;
}

static bool capability_used(const struct checker *c, const struct usage *u,
                            const struct nx_cap_decl *cap, bool broad) {
    static const enum nx_ref_kind kinds[NX_CAP_KINDS] = {
        [NX_CAP_STATE_READ] = NX_REF_STATE, [NX_CAP_STATE_WRITE] = NX_REF_STATE,
        [NX_CAP_EVENTS_EMIT] = NX_REF_EMIT, [NX_CAP_VIEW_UPDATE] = NX_REF_VIEW,
        [NX_CAP_EXT] = NX_REF_EXT,
    };
    enum nx_ref_kind kind = kinds[cap->kind];
    if (u->unknown[kind] || (broad && u->any[kind]))
        return true;
    struct nx_span name = kind == NX_REF_EXT ? ext_alias(c, cap->scope) : cap->scope;
    return nx_names_find(&u->names[kind], name) != NULL;
}

static void check_capability(struct checker *c, const struct usage *u,
                             const struct nx_cap_decl *cap) {
    struct nx_parse *p = c->p;
    bool broad = nx_span_eq(cap->scope, nx_span_str("*"));
    const char *prefix = nx_cap_prefix(cap->kind);
    snprintf(p->where, sizeof p->where, "%s", cap->where);
    if (broad)
        nx_parse_warn(p, NX_DIAG_BROAD_CAPABILITY, cap->pos, "'%s*' grants every scope", prefix);
    if (p->is_nxml && cap->kind == NX_CAP_EXT && !broad &&
        !nx_names_find(&c->extensions, cap->scope) && !nx_names_find(&c->ext_names, cap->scope))
        nx_parse_error(p, NX_DIAG_UNDECLARED_EXTENSION, cap->pos,
                       "'%s%.*s' is granted but no <Extension> declares it", prefix,
                       nx_quote_len(cap->scope), cap->scope.data);
    else if (!capability_used(c, u, cap, broad))
        nx_parse_warn(p, NX_DIAG_UNUSED_CAPABILITY, cap->pos, "nothing seems to use '%s%.*s'",
                      prefix, nx_quote_len(cap->scope), cap->scope.data);
    p->where[0] = 0;
}

static void check_capabilities(struct checker *c) {
    struct nx_parse *p = c->p;
    // One owner's capabilities follow each other.
    for (size_t i = 0; i < p->cap_count && !p->failed;) {
        const struct nx_handler_def *owner = p->caps[i].owner;
        struct usage own = {0};
        if (owner)
            scan_handler(c, owner, &own, false);
        usage_seal(&own);
        for (; i < p->cap_count && p->caps[i].owner == owner; i++)
            check_capability(c, owner ? &own : &c->panel, &p->caps[i]);
        usage_free(&own);
    }
}

// ---- Computed values and triggers

struct computed_scan {
    struct checker *c;
    const struct nx_computed_def *computed;
};

static int check_computed_ref(void *user, const struct nx_ref *ref) {
    struct computed_scan *s = user;
    struct checker *c = s->c;
    if (ref->kind != NX_REF_STATE)
        return 0;
    if (ref->name.len == 0) {
        c->any_state_used = true;
        return 0;
    }
    if (!nx_names_find(&c->states, ref->name))
        nx_parse_error(c->p, NX_DIAG_UNDEFINED_STATE_REFERENCE, s->computed->pos,
                       "'%.*s' is neither a <State> nor a <Computed>", nx_quote_len(ref->name),
                       ref->name.data);
    return nx_names_add(&c->used_states, ref->name, s->computed->pos, 0);
}

static void check_computed(struct checker *c) {
    const struct nx_panel_def *def = c->p->def;
    for (size_t i = 0; i < def->computed_count; i++) {
        struct computed_scan s = {c, &def->computed[i]};
        if (nx_refs_each(nx_span_str(s.computed->expression), check_computed_ref, &s))
            c->p->failed = NX_E_NOMEM;
    }
}

static void check_state_triggers(struct checker *c) {
    const struct nx_panel_def *def = c->p->def;
    for (size_t i = 0; i < def->tool_count; i++) {
        const struct nx_tool_def *tool = &def->tools[i];
        if (tool->trigger.kind != NX_TRIGGER_STATE || !tool->trigger.pattern)
            continue;
        note(c->p, &c->used_states, tool->trigger.pattern, tool->pos, 0);
        struct nx_span key = nx_span_str(tool->trigger.pattern);
        if (!nx_names_find(&c->keys, key))
            nx_parse_error(c->p, NX_DIAG_UNDEFINED_STATE_REFERENCE, tool->pos,
                           "the trigger waits for '%.*s', which is no <State>", nx_quote_len(key),
                           key.data);
    }
}

// What sets itself off gets no arguments: each has to do without, or have a default.
static void check_args_of_standing(struct nx_parse *p, const struct nx_tool_def *tool) {
    for (size_t i = 0; i < tool->arg_count; i++) {
        const struct nx_arg_def *arg = &tool->args[i];
        if (arg->name && arg->required && !arg->default_json)
            nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, tool->pos,
                           "nothing gives the argument '%s' when the tool is set off by '%s': it "
                           "needs a default, or must not be required",
                           arg->name, nx_trigger_kind_name(tool->trigger.kind));
    }
}

static void check_standing(struct nx_parse *p) {
    const struct nx_panel_def *def = p->def;
    size_t count = 0;
    for (size_t i = 0; i < def->tool_count; i++) {
        const struct nx_tool_def *tool = &def->tools[i];
        if (tool->trigger.kind == NX_TRIGGER_MANUAL)
            continue;
        if (!p->is_nxml)
            snprintf(p->where, sizeof p->where, "tools[%zu].trigger", i);
        check_args_of_standing(p, tool);
        if (++count == NX_MAX_PANEL_STANDING + 1)
            nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, tool->pos,
                           "a panel may have at most %d tools that something other than a call "
                           "sets off",
                           NX_MAX_PANEL_STANDING);
        p->where[0] = 0;
    }
}

// ---- What is unused

static void check_unused(struct checker *c) {
    const struct nx_panel_def *def = c->p->def;
    nx_names_seal(&c->used_states);
    nx_names_seal(&c->used_tools);
    for (size_t i = 0; i < def->state_count && !c->any_state_used; i++) {
        const struct nx_state_def *s = &def->states[i];
        if (s->name && !nx_names_find(&c->used_states, nx_span_str(s->name)))
            nx_parse_warn(c->p, NX_DIAG_UNUSED_STATE, s->pos, "nothing uses the state '%s'",
                          s->name);
    }
    if (!c->p->view || c->any_tool_used)
        return;
    for (size_t i = 0; i < def->tool_count; i++) {
        const struct nx_tool_def *t = &def->tools[i];
        if (t->name && t->trigger.kind == NX_TRIGGER_MANUAL &&
            !nx_names_find(&c->used_tools, nx_span_str(t->name)))
            nx_parse_warn(c->p, NX_DIAG_UNUSED_TOOL, t->pos,
                          "nothing in the View triggers the tool '%s'", t->name);
    }
}

static void check_nxml_view(struct checker *c) {
    struct nx_view_check view = {.states = &c->states,
                                 .tools = &c->tools,
                                 .used_states = &c->used_states,
                                 .used_tools = &c->used_tools};
    nx_check_view(c->p, &view);
    c->any_state_used |= view.any_state_used;
    c->any_tool_used |= view.any_tool_used;
}

void nx_check_panel(struct nx_parse *p) {
    struct checker c = {.p = p};
    collect_names(&c);
    report_repeated(p, &c.states, NX_DIAG_DUPLICATE_STATE, "state or computed value");
    report_repeated(p, &c.tools, NX_DIAG_DUPLICATE_TOOL, "tool");
    report_repeated(p, &c.extensions, NX_DIAG_DUPLICATE_EXTENSION_ALIAS, "extension");
    check_handlers(&c);
    check_capabilities(&c);
    check_standing(p);
    if (p->is_nxml) {
        check_computed(&c);
        check_state_triggers(&c);
        check_nxml_view(&c);
        check_unused(&c);
    }
    struct nx_names *sets[] = {&c.states,    &c.keys,        &c.tools,     &c.extensions,
                               &c.ext_names, &c.used_states, &c.used_tools};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        nx_names_free(sets[i]);
    usage_free(&c.panel);
}
