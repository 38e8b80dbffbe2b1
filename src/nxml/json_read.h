// SPDX-License-Identifier: Apache-2.0
// Reading JSON panels: objects by tables of their members, with the path of every finding. All
// texts must have passed nx_json_scan.
#ifndef NX_NXML_JSON_READ_H
#define NX_NXML_JSON_READ_H

#include "nxml/parse.h"

// What to do with a member's value.
struct nx_json_member_rule {
    const char *name;
    void (*read)(struct nx_parse *p, void *target, struct nx_span value);
    bool required;
};

enum { NX_JSON_MAX_RULES = 16 };

// Hands every member of `object` to its rule; reports a value that is no object, members that no
// rule names or that are given twice, and required ones that are missing.
void nx_json_read_object(struct nx_parse *p, struct nx_span object,
                         const struct nx_json_member_rule *rules, size_t count, void *target);

// Calls `fn` with each element and its index, "[index]" added to the path. `value` must be an
// array.
void nx_json_each_element(struct nx_parse *p, struct nx_span value,
                          void (*fn)(struct nx_parse *p, void *user, size_t index,
                                     struct nx_span element),
                          void *user);

// How many elements the array or members the object `value` has.
size_t nx_json_count(struct nx_span value);

// Whether `value` starts as an object ('{'), array ('[') or string ('"') does.
bool nx_json_is(struct nx_span value, char first);

// The string `value` as UTF-8 in the parse's arena. Reports what is no string, or one that holds
// NUL or a lone surrogate, and returns a span whose data is NULL.
struct nx_span nx_json_read_string(struct nx_parse *p, struct nx_span value);

// The same, copied for the definition; NULL after reporting.
char *nx_json_read_strdup(struct nx_parse *p, struct nx_span value);

// Adds to the path of findings; returns what nx_json_path_pop needs to take it off again.
size_t nx_json_path_push(struct nx_parse *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void nx_json_path_pop(struct nx_parse *p, size_t mark);

// Reports at the current path; JSON panels have no positions.
#define nx_json_error(p, code, ...) nx_parse_error((p), (code), (struct nx_pos){0, 0}, __VA_ARGS__)

// ---- json_tool.c: the parts of a panel, as rules' readers

// "tools", "lifecycle": fill the definition (`target` unused).
void nx_json_tools(struct nx_parse *p, void *target, struct nx_span value);
void nx_json_lifecycle(struct nx_parse *p, void *target, struct nx_span value);

// An array of tokens, for `owner` (NULL: the panel).
void nx_json_capabilities(struct nx_parse *p, struct nx_span value,
                          const struct nx_handler_def *owner, struct nx_cap_set *set);

// json_args.c: "args" and "trigger" of the tool that `target` is.
void nx_json_args(struct nx_parse *p, void *target, struct nx_span value);
void nx_json_trigger(struct nx_parse *p, void *target, struct nx_span value);

#endif
