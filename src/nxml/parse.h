// SPDX-License-Identifier: Apache-2.0
// What the stages of one parse share: the definition being filled, the findings, the memory.
#ifndef NX_NXML_PARSE_H
#define NX_NXML_PARSE_H

#include "base/limits.h"
#include "nxml/arena.h"
#include "nxml/diag.h"
#include "nxml/panel_def.h"

struct nx_elem;

// A capability as it was declared, kept for the findings about it.
struct nx_cap_decl {
    enum nx_cap_kind kind;
    struct nx_span scope;
    struct nx_pos pos;
    const struct nx_handler_def *owner; // NULL: the panel's own
    const char *where;                  // JSON path, "" for NXML
};

enum { NX_WHERE_BYTES = 192 };

struct nx_parse {
    struct nx_panel_def *def; // owned until nx_parse_finish hands it out
    struct nx_diagnostics *diags;
    size_t errors_before; // diags->errors when the parse began
    struct nx_arena arena;
    int failed; // 0 or NX_E_NOMEM
    bool is_nxml;
    char where[NX_WHERE_BYTES]; // JSON path of what is being read; "" for NXML
    struct nx_cap_decl *caps;   // owned
    size_t cap_count, cap_capacity;
    const struct nx_elem *view; // the View's root node, NULL if none
};

// Starts a parse that reports to `diags`. Returns 0 or NX_E_NOMEM; nx_parse_finish is due even
// then.
int nx_parse_begin(struct nx_parse *p, struct nx_diagnostics *diags, bool is_nxml);

// Ends it: releases the memory and returns 0 with the definition in *out, or NX_E_NOMEM, or
// NX_E_INVALID if errors were reported, with NULL. Sorts the findings.
int nx_parse_finish(struct nx_parse *p, struct nx_panel_def **out);

// Reports a finding at `pos`, with the current JSON path in front.
void nx_parse_error(struct nx_parse *p, const char *code, struct nx_pos pos, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void nx_parse_warn(struct nx_parse *p, const char *code, struct nx_pos pos, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

// Zeroed memory of the parse's arena; NULL, noting the failure, when out of memory.
void *nx_parse_alloc(struct nx_parse *p, size_t size);

// `s` in the parse's arena; the empty span, noting the failure, when out of memory.
struct nx_span nx_parse_keep(struct nx_parse *p, struct nx_span s);

// Zeroed memory for the definition, for free(); NULL for a count of 0 or, noted, out of memory.
void *nx_parse_calloc(struct nx_parse *p, size_t count, size_t size);

// A NUL-terminated copy for the definition, for free(); NULL, noted, when out of memory.
char *nx_parse_strdup(struct nx_parse *p, struct nx_span s);

// The content of `b` as nx_parse_strdup; frees `b`.
char *nx_parse_steal(struct nx_parse *p, struct nx_buf *b);

// How much of a hostile name to quote in a message, for "%.*s": at most 64 bytes, whole characters.
int nx_quote_len(struct nx_span s);

// ---- Parts both notations share (value.c, trigger.c, caps_decl.c)

// `/^[A-Za-z_$][A-Za-z0-9_$]*$/`, at most NX_MAX_IDENTIFIER_BYTES, not `__proto__`.
bool nx_identifier_valid(struct nx_span s);

// Reports a `what` ("state", "tool" …) whose name is not a valid identifier; whether it is valid.
bool nx_parse_identifier(struct nx_parse *p, struct nx_span name, struct nx_pos pos,
                         const char *what);

// Reports a text of fewer than `min` or more than `max` characters.
void nx_parse_length(struct nx_parse *p, struct nx_span text, struct nx_pos pos, const char *what,
                     size_t min, size_t max);

// Reads a type's name; reports anything else and answers NX_TYPE_STRING.
enum nx_value_type nx_parse_type(struct nx_parse *p, struct nx_span name, struct nx_pos pos);

// The JSON text of an attribute's `text` as a value of `type`, for free(); NULL after reporting a
// text that is not of the type.
char *nx_parse_default(struct nx_parse *p, enum nx_value_type type, struct nx_span text,
                       struct nx_pos pos);

// The type of the JSON value `json` starts with; false for null (and for the empty span).
bool nx_json_value_type(struct nx_span json, enum nx_value_type *type);

// Reads decimal digits into *value; false if there are none, others, or more than `max`.
bool nx_parse_uint(struct nx_span text, uint32_t max, uint32_t *value);

// Reads timeoutMs; reports what is not 1…NX_MAX_TIMEOUT_MS and answers 0.
uint32_t nx_parse_timeout(struct nx_parse *p, struct nx_span text, struct nx_pos pos);

// Reads a trigger such as "interval:5s".
void nx_parse_trigger(struct nx_parse *p, struct nx_span text, struct nx_pos pos,
                      struct nx_trigger_def *out);

// Sets the trigger's pattern (cron fields normalised, event name, state key), reporting a bad one.
void nx_parse_trigger_pattern(struct nx_parse *p, struct nx_span text, struct nx_pos pos,
                              struct nx_trigger_def *out);

// Sets an interval, reporting one out of bounds.
void nx_parse_trigger_interval(struct nx_parse *p, uint64_t ms, struct nx_pos pos,
                               struct nx_trigger_def *out);

// Adds a capability token to `set`, reporting a bad one, and remembers it for the checks.
void nx_parse_cap(struct nx_parse *p, struct nx_span token, struct nx_pos pos,
                  const struct nx_handler_def *owner, struct nx_cap_set *set);

// Gives every handler without capabilities of its own the panel's.
void nx_parse_inherit_caps(struct nx_parse *p);

// ---- Checks over the whole definition (check.c, check_view.c)

// Reports duplicates, undefined references, undeclared extensions, and what is unused.
void nx_check_panel(struct nx_parse *p);

#endif
