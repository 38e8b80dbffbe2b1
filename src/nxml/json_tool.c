// SPDX-License-Identifier: Apache-2.0
// "tools", "lifecycle" and "capabilities" of a JSON panel.
#include "base/json.h"
#include "nxml/json_read.h"
#include "nxml/lexer.h"

#define RULES(table) (table), sizeof(table) / sizeof(table)[0]

// ---- Capabilities

struct caps_reader {
    const struct nx_handler_def *owner;
    struct nx_cap_set *set;
};

static void read_token(struct nx_parse *p, void *user, size_t index, struct nx_span value) {
    const struct caps_reader *r = user;
    (void)index;
    struct nx_span token = nx_json_read_string(p, value);
    if (token.data)
        nx_parse_cap(p, token, (struct nx_pos){0, 0}, r->owner, r->set);
}

void nx_json_capabilities(struct nx_parse *p, struct nx_span value,
                          const struct nx_handler_def *owner, struct nx_cap_set *set) {
    struct caps_reader r = {owner, set};
    if (nx_json_is(value, '['))
        nx_json_each_element(p, value, read_token, &r);
    else
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "must be an array of capability tokens");
}

static void read_own_caps(struct nx_parse *p, struct nx_handler_def *h, struct nx_span value) {
    h->has_own_caps = true;
    nx_json_capabilities(p, value, h, &h->caps);
}

static void read_code(struct nx_parse *p, struct nx_handler_def *h, struct nx_span value) {
    struct nx_span code = nx_json_read_string(p, value);
    if (!code.data)
        return;
    h->code = nx_parse_strdup(p, code);
    h->code_len = code.len;
}

// ---- Tools

static void tool_name(struct nx_parse *p, void *target, struct nx_span value) {
    struct nx_tool_def *tool = target;
    struct nx_span name = nx_json_read_string(p, value);
    if (name.data && nx_parse_identifier(p, name, (struct nx_pos){0, 0}, "tool"))
        tool->name = nx_parse_strdup(p, name);
}

static void tool_handler(struct nx_parse *p, void *target, struct nx_span value) {
    read_code(p, &((struct nx_tool_def *)target)->handler, value);
}

static void tool_caps(struct nx_parse *p, void *target, struct nx_span value) {
    read_own_caps(p, &((struct nx_tool_def *)target)->handler, value);
}

static void tool_timeout(struct nx_parse *p, void *target, struct nx_span value) {
    struct nx_tool_def *tool = target;
    tool->timeout_ms = nx_parse_timeout(p, nx_span_trim(value), (struct nx_pos){0, 0});
}

static void tool_description(struct nx_parse *p, void *target, struct nx_span value) {
    ((struct nx_tool_def *)target)->description = nx_json_read_strdup(p, value);
}

static const struct nx_json_member_rule tool_rules[] = {
    {"name", tool_name, true},
    {"handler", tool_handler, true},
    {"args", nx_json_args, false},
    {"capabilities", tool_caps, false},
    {"trigger", nx_json_trigger, false},
    {"timeoutMs", tool_timeout, false},
    {"description", tool_description, false},
};

static void read_tool(struct nx_parse *p, void *user, size_t index, struct nx_span value) {
    struct nx_panel_def *def = user;
    def->tool_count = index + 1;
    nx_json_read_object(p, value, RULES(tool_rules), &def->tools[index]);
}

void nx_json_tools(struct nx_parse *p, void *target, struct nx_span value) {
    struct nx_panel_def *def = p->def;
    (void)target;
    if (!nx_json_is(value, '[')) {
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "must be an array");
        return;
    }
    size_t count = nx_json_count(value);
    if (count > NX_MAX_PANEL_TOOLS) {
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "a panel has at most %d tools",
                      NX_MAX_PANEL_TOOLS);
        return;
    }
    def->tools = nx_parse_calloc(p, count, sizeof *def->tools);
    if (def->tools)
        nx_json_each_element(p, value, read_tool, def);
}

// ---- Lifecycle

// A lifecycle handler while its members are read, before it is known which one it is.
struct lifecycle_reader {
    struct nx_span on, code, caps; // raw JSON; empty if absent
};

#define RAW_READER(member)                                                                         \
    static void lifecycle_##member(struct nx_parse *p, void *target, struct nx_span value) {       \
        (void)p;                                                                                   \
        ((struct lifecycle_reader *)target)->member = value;                                       \
    }
RAW_READER(on)
RAW_READER(code)
RAW_READER(caps)
#undef RAW_READER

static const struct nx_json_member_rule named_lifecycle_rules[] = {
    {"handler", lifecycle_code, true},
    {"capabilities", lifecycle_caps, false},
};

static const struct nx_json_member_rule listed_lifecycle_rules[] = {
    {"on", lifecycle_on, true},
    {"handler", lifecycle_code, true},
    {"capabilities", lifecycle_caps, false},
};

static void keep_lifecycle(struct nx_parse *p, const struct lifecycle_reader *r,
                           struct nx_handler_def **slot) {
    if (*slot) {
        nx_json_error(p, NX_DIAG_DUPLICATE_LIFECYCLE, "the panel has such a handler already");
        return;
    }
    struct nx_handler_def *h = *slot = nx_parse_calloc(p, 1, sizeof **slot);
    if (!h)
        return;
    size_t mark = nx_json_path_push(p, ".handler");
    if (r->code.len)
        read_code(p, h, r->code);
    nx_json_path_pop(p, mark);
    mark = nx_json_path_push(p, ".capabilities");
    if (r->caps.len)
        read_own_caps(p, h, r->caps);
    nx_json_path_pop(p, mark);
}

static void named_lifecycle(struct nx_parse *p, struct nx_span value,
                            struct nx_handler_def **slot) {
    struct lifecycle_reader r = {0};
    nx_json_read_object(p, value, RULES(named_lifecycle_rules), &r);
    keep_lifecycle(p, &r, slot);
}

static void read_mount(struct nx_parse *p, void *target, struct nx_span value) {
    (void)target;
    named_lifecycle(p, value, &p->def->mount);
}

static void read_unmount(struct nx_parse *p, void *target, struct nx_span value) {
    (void)target;
    named_lifecycle(p, value, &p->def->unmount);
}

static const struct nx_json_member_rule lifecycle_rules[] = {
    {"mount", read_mount, false},
    {"unmount", read_unmount, false},
};

static void listed_lifecycle(struct nx_parse *p, void *user, size_t index, struct nx_span value) {
    struct nx_panel_def *def = user;
    struct lifecycle_reader r = {0};
    (void)index;
    nx_json_read_object(p, value, RULES(listed_lifecycle_rules), &r);
    struct nx_span on = r.on.len ? nx_json_read_string(p, r.on) : r.on;
    if (!on.data)
        return;
    if (nx_span_eq(on, nx_span_str("mount")))
        keep_lifecycle(p, &r, &def->mount);
    else if (nx_span_eq(on, nx_span_str("unmount")))
        keep_lifecycle(p, &r, &def->unmount);
    else
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "a lifecycle handler is on mount or unmount");
}

void nx_json_lifecycle(struct nx_parse *p, void *target, struct nx_span value) {
    (void)target;
    if (nx_json_is(value, '['))
        nx_json_each_element(p, value, listed_lifecycle, p->def);
    else
        nx_json_read_object(p, value, RULES(lifecycle_rules), NULL);
}
