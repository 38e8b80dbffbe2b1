// SPDX-License-Identifier: Apache-2.0
// "args" and "trigger" of a JSON panel's tool.
#include "base/json.h"
#include "nxml/json_read.h"
#include "nxml/lexer.h"

#define RULES(table) (table), sizeof(table) / sizeof(table)[0]

// ---- Arguments

// An argument while its members are read: the default waits for the type.
struct arg_reader {
    struct nx_arg_def *arg;
    struct nx_span value; // JSON of the default; empty if none
};

static void read_name(struct nx_parse *p, void *target, struct nx_span value) {
    struct arg_reader *r = target;
    struct nx_span name = nx_json_read_string(p, value);
    if (name.data && nx_parse_identifier(p, name, (struct nx_pos){0, 0}, "argument"))
        r->arg->name = nx_parse_strdup(p, name);
}

static void read_type(struct nx_parse *p, void *target, struct nx_span value) {
    struct arg_reader *r = target;
    struct nx_span type = nx_json_read_string(p, value);
    if (type.data)
        r->arg->type = nx_parse_type(p, type, (struct nx_pos){0, 0});
}

static void read_required(struct nx_parse *p, void *target, struct nx_span value) {
    struct arg_reader *r = target;
    enum nx_value_type type;
    if (!nx_json_value_type(value, &type) || type != NX_TYPE_BOOLEAN)
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "must be true or false");
    else
        r->arg->required = nx_json_is(value, 't');
}

static void read_default(struct nx_parse *p, void *target, struct nx_span value) {
    (void)p;
    ((struct arg_reader *)target)->value = nx_span_trim(value);
}

static void read_arg_description(struct nx_parse *p, void *target, struct nx_span value) {
    ((struct arg_reader *)target)->arg->description = nx_json_read_strdup(p, value);
}

// With "name" last, so that the map notation, where the key is the name, can leave it out.
static const struct nx_json_member_rule arg_rules[] = {
    {"type", read_type, false},       {"required", read_required, false},
    {"default", read_default, false}, {"description", read_arg_description, false},
    {"name", read_name, true},
};

enum { ARG_RULES = sizeof arg_rules / sizeof arg_rules[0] };

static void finish_arg(struct nx_parse *p, struct nx_tool_def *tool, struct arg_reader *r) {
    for (size_t i = 0; r->arg->name && i + 1 < tool->arg_count; i++)
        if (tool->args[i].name && strcmp(tool->args[i].name, r->arg->name) == 0)
            nx_json_error(p, NX_DIAG_DUPLICATE_ELEMENT, "the tool has an argument '%s' already",
                          r->arg->name);
    if (r->value.len == 0)
        return;
    size_t mark = nx_json_path_push(p, ".default");
    bool is_string = nx_json_is(r->value, '"');
    if (r->arg->type != NX_TYPE_STRING)
        r->arg->default_json = nx_parse_default(p, r->arg->type, r->value, (struct nx_pos){0, 0});
    else if (is_string)
        r->arg->default_json = nx_parse_strdup(p, r->value);
    else
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "the default is not a string");
    nx_json_path_pop(p, mark);
}

static void read_listed_arg(struct nx_parse *p, void *user, size_t index, struct nx_span value) {
    struct nx_tool_def *tool = user;
    (void)index;
    struct arg_reader r = {.arg = &tool->args[tool->arg_count++]};
    r.arg->required = true;
    nx_json_read_object(p, value, RULES(arg_rules), &r);
    finish_arg(p, tool, &r);
}

struct map_reader {
    struct nx_parse *p;
    struct nx_tool_def *tool;
};

static int read_mapped_arg(void *user, struct nx_span raw_key, struct nx_span value) {
    struct map_reader *m = user;
    struct nx_parse *p = m->p;
    struct arg_reader r = {.arg = &m->tool->args[m->tool->arg_count++]};
    r.arg->required = true;
    size_t mark = nx_json_path_push(p, ".%.*s", nx_quote_len(raw_key), raw_key.data);
    // The key with its quotes is a JSON string like any other.
    read_name(p, &r, nx_span_of(raw_key.data - 1, raw_key.len + 2));
    nx_json_read_object(p, value, arg_rules, ARG_RULES - 1, &r);
    finish_arg(p, m->tool, &r);
    nx_json_path_pop(p, mark);
    return p->failed;
}

void nx_json_args(struct nx_parse *p, void *target, struct nx_span value) {
    struct nx_tool_def *tool = target;
    bool listed = nx_json_is(value, '[');
    if (!listed && !nx_json_is(value, '{')) {
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "must be an array or an object");
        return;
    }
    size_t count = nx_json_count(value);
    if (count > NX_MAX_TOOL_ARGS) {
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "a tool has at most %d arguments",
                      NX_MAX_TOOL_ARGS);
        return;
    }
    tool->declares_args = count > 0;
    tool->args = nx_parse_calloc(p, count, sizeof *tool->args);
    if (!tool->args)
        return;
    struct map_reader m = {p, tool};
    if (listed)
        nx_json_each_element(p, value, read_listed_arg, tool);
    else
        nx_json_each_member(value, read_mapped_arg, &m);
}

// ---- Triggers

struct trigger_reader {
    struct nx_span type, ms, pattern, expression, path; // raw JSON; empty if absent
};

#define RAW_READER(member)                                                                         \
    static void read_##member(struct nx_parse *p, void *target, struct nx_span value) {            \
        (void)p;                                                                                   \
        ((struct trigger_reader *)target)->member = nx_span_trim(value);                           \
    }
RAW_READER(ms)
RAW_READER(pattern)
RAW_READER(expression)
RAW_READER(path)
#undef RAW_READER

static void read_trigger_type(struct nx_parse *p, void *target, struct nx_span value) {
    ((struct trigger_reader *)target)->type = nx_json_read_string(p, value);
}

static const struct nx_json_member_rule trigger_rules[] = {
    {"type", read_trigger_type, true}, {"ms", read_ms, false},
    {"pattern", read_pattern, false},  {"expression", read_expression, false},
    {"path", read_path, false},
};

// Which member goes with a type of trigger.
struct trigger_shape {
    const char *type, *member;
    enum nx_trigger_kind kind;
};

static const struct trigger_shape trigger_shapes[] = {
    {"manual", NULL, NX_TRIGGER_MANUAL},        {"interval", "ms", NX_TRIGGER_INTERVAL},
    {"event", "pattern", NX_TRIGGER_EVENT},     {"cron", "expression", NX_TRIGGER_CRON},
    {"state_change", "path", NX_TRIGGER_STATE},
};

static const struct trigger_shape *find_shape(struct nx_span type) {
    for (size_t i = 0; i < sizeof trigger_shapes / sizeof trigger_shapes[0]; i++)
        if (nx_span_eq(type, nx_span_str(trigger_shapes[i].type)))
            return &trigger_shapes[i];
    return NULL;
}

// The member the shape asks for; reports members that belong to other types.
static struct nx_span pick_member(struct nx_parse *p, const struct trigger_reader *r,
                                  const struct trigger_shape *shape) {
    const struct {
        const char *name;
        struct nx_span value;
    } members[] = {
        {"ms", r->ms}, {"pattern", r->pattern}, {"expression", r->expression}, {"path", r->path}};
    struct nx_span picked = {NULL, 0};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (shape->member && strcmp(shape->member, members[i].name) == 0)
            picked = members[i].value;
        else if (members[i].value.len)
            nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "'%s' does not belong to type '%s'",
                          members[i].name, shape->type);
    }
    if (shape->member && picked.len == 0)
        nx_json_error(p, NX_DIAG_MISSING_ATTRIBUTE, "the member '%s' is missing", shape->member);
    return picked;
}

static void read_trigger_object(struct nx_parse *p, struct nx_span value,
                                struct nx_trigger_def *out) {
    struct trigger_reader r = {0};
    nx_json_read_object(p, value, RULES(trigger_rules), &r);
    if (!r.type.data)
        return;
    const struct trigger_shape *shape = find_shape(r.type);
    if (!shape) {
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "'%.*s' is not a type of trigger",
                      nx_quote_len(r.type), r.type.data);
        return;
    }
    out->kind = shape->kind;
    struct nx_span member = pick_member(p, &r, shape);
    if (member.len == 0)
        return;
    size_t mark = nx_json_path_push(p, ".%s", shape->member);
    uint32_t ms = 0;
    if (shape->kind == NX_TRIGGER_INTERVAL) {
        nx_parse_uint(member, UINT32_MAX, &ms); // what is no number stays 0, which is refused
        nx_parse_trigger_interval(p, ms, (struct nx_pos){0, 0}, out);
    } else {
        struct nx_span text = nx_json_read_string(p, member);
        if (text.data)
            nx_parse_trigger_pattern(p, text, (struct nx_pos){0, 0}, out);
    }
    nx_json_path_pop(p, mark);
}

void nx_json_trigger(struct nx_parse *p, void *target, struct nx_span value) {
    struct nx_tool_def *tool = target;
    if (!nx_json_is(value, '"')) {
        read_trigger_object(p, value, &tool->trigger);
        return;
    }
    struct nx_span text = nx_json_read_string(p, value);
    if (text.data)
        nx_parse_trigger(p, text, (struct nx_pos){0, 0}, &tool->trigger);
}
