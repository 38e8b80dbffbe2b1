// SPDX-License-Identifier: Apache-2.0
// The definition of a panel as its author wrote it, the same for NXML and JSON panels: plain data,
// owned by the definition, immutable after parsing.
#ifndef NX_NXML_PANEL_DEF_H
#define NX_NXML_PANEL_DEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/caps.h"
#include "base/error.h"
#include "base/span.h"

// A position in the panel's source file, 1-based; columns count bytes of UTF-8 code points
// (characters), as editors do. {0,0} for JSON panels, whose handlers have no file position.
struct nx_pos {
    uint32_t line;
    uint32_t column;
};

enum nx_value_type {
    NX_TYPE_STRING,
    NX_TYPE_NUMBER,
    NX_TYPE_BOOLEAN,
    NX_TYPE_LIST,
    NX_TYPE_OBJECT
};

// Name as in the source: "string", "number", "boolean", "list", "object".
const char *nx_value_type_name(enum nx_value_type type);

struct nx_state_def {
    char *name;
    enum nx_value_type type;
    char *default_json; // JSON text, never NULL
    struct nx_pos pos;
};

struct nx_computed_def {
    char *name;
    char *expression;  // JavaScript over $state
    struct nx_pos pos; // of the expression
};

struct nx_extension_def {
    char *name;   // e.g. "nexus.http"
    char *alias;  // e.g. "http"
    char *source; // NULL if absent
    struct nx_pos pos;
};

struct nx_arg_def {
    char *name;
    enum nx_value_type type;
    bool required;
    char *default_json; // NULL if none
    char *description;  // NULL if none
};

enum nx_trigger_kind {
    NX_TRIGGER_MANUAL,
    NX_TRIGGER_INTERVAL,
    NX_TRIGGER_CRON,
    NX_TRIGGER_EVENT,
    NX_TRIGGER_STATE,
};
enum { NX_TRIGGER_KINDS = NX_TRIGGER_STATE + 1 };

// "manual", "interval", "cron", "event", "state".
const char *nx_trigger_kind_name(enum nx_trigger_kind kind);

struct nx_trigger_def {
    enum nx_trigger_kind kind;
    uint32_t interval_ms; // NX_TRIGGER_INTERVAL
    // Cron's five fields with one space between, event name or glob, or state key; NULL otherwise.
    // Cron fields are numbers only: `*`, `n`, `n-m`, lists of those, `/step` after `*` and `n-m`.
    char *pattern;
};

// One piece of handler code with the grants it runs under.
struct nx_handler_def {
    char *code; // owned, NUL-terminated; may not hold NUL inside
    size_t code_len;
    struct nx_pos pos;      // of the code's first byte in the file
    struct nx_cap_set caps; // effective declaration: its own <Capabilities>, else the panel's
    bool has_own_caps;
};

struct nx_tool_def {
    char *name;
    char *description; // NULL if none
    struct nx_trigger_def trigger;
    uint32_t timeout_ms; // 0: the server's
    struct nx_arg_def *args;
    size_t arg_count;
    bool declares_args; // false: any object is accepted
    struct nx_handler_def handler;
    struct nx_pos pos;
};

struct nx_panel_def {
    char *id;                                    // NULL if the source names none
    char *kind;                                  // JSON panels; "nxml" for NXML
    char *title;                                 // never NULL
    char *description, *version, *author, *tags; // NULL if absent
    struct nx_state_def *states;
    size_t state_count;
    struct nx_computed_def *computed;
    size_t computed_count;
    struct nx_extension_def *extensions;
    size_t extension_count;
    struct nx_cap_set caps; // the panel's own <Capabilities>
    struct nx_tool_def *tools;
    size_t tool_count;
    struct nx_handler_def *mount, *unmount; // NULL if absent
    // The View's root as JSON text, NULL if none. A node is {"type","attributes","children"} or
    // {"text"}; an attribute's value is a string, or {"$bind": expression} where it was `{…}`.
    char *view_json;
    char *metadata_json;      // JSON panels' metadata, NULL if none
    char *initial_state_json; // object text: JSON panels' initialState, or the States' defaults
};

// ---- Diagnostics: every finding with its place, never only the first

struct nx_diagnostic {
    bool warning;
    const char *code; // static text: "INVALID_SYNTAX", … (NXML.md)
    char *message;    // owned
    struct nx_pos pos;
};

struct nx_diagnostics {
    struct nx_diagnostic *items; // owned array, in source order after nx_diagnostics_sort
    size_t count, capacity;
    size_t errors;  // how many are errors, including those past NX_MAX_DIAGNOSTICS
    size_t dropped; // findings past NX_MAX_DIAGNOSTICS
};

// Adds one finding; `code` must be static text. Out of memory is counted as a dropped error.
void nx_diagnostics_add(struct nx_diagnostics *d, bool warning, const char *code, struct nx_pos pos,
                        const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void nx_diagnostics_sort(struct nx_diagnostics *d);
void nx_diagnostics_free(struct nx_diagnostics *d);

// ---- Parsing

// Parses and validates NXML. On success (no errors; warnings possible) *out is a definition for
// nx_panel_def_free. Otherwise NX_E_INVALID and `diags` says why, or NX_E_NOMEM; *out is NULL.
// Handlers are not compiled here.
int nx_panel_def_parse_nxml(struct nx_span source, struct nx_panel_def **out,
                            struct nx_diagnostics *diags);

// The same for a JSON panel: an object {"id"?|"panelId"?, "kind", "title"?, "tools":[…], …} as in
// API.md. An object with "source" (NXML text) is parsed as NXML, its "id" replacing the source's.
int nx_panel_def_parse_json(struct nx_span source, struct nx_panel_def **out,
                            struct nx_diagnostics *diags);

// Chooses by content: JSON if the first byte after white space is '{', else NXML.
int nx_panel_def_parse(struct nx_span source, struct nx_panel_def **out,
                       struct nx_diagnostics *diags);

void nx_panel_def_free(struct nx_panel_def *def);

const struct nx_tool_def *nx_panel_def_find_tool(const struct nx_panel_def *def,
                                                 struct nx_span name);

// `[A-Za-z0-9_-]{1,128}`.
bool nx_panel_id_valid(struct nx_span id);

// Validates an arguments object (JSON text that passed nx_json_scan) against the tool's <Arg>
// declarations and appends the object to pass on, defaults filled in, to `out`. A tool that
// declares none takes any object unchanged; an empty `args` span counts as `{}`. A missing argument
// with a default gets it, required or not. NX_E_INVALID names the missing, unknown or mistyped
// argument; NX_E_LIMIT and NX_E_NOMEM come from `out`, which then holds a useless part. Needs
// nothing but base (hot path: no tree is built).
int nx_tool_bind_args(const struct nx_tool_def *tool, struct nx_span args, struct nx_buf *out,
                      struct nx_error *err);

#endif
