// SPDX-License-Identifier: Apache-2.0
// The sections of an NXML panel: each fills its part of the definition and reports what it finds.
#ifndef NX_NXML_SECTIONS_H
#define NX_NXML_SECTIONS_H

#include "nxml/tree.h"

void nx_section_data(struct nx_parse *p, const struct nx_elem *data);
void nx_section_logic(struct nx_parse *p, const struct nx_elem *logic);
void nx_section_view(struct nx_parse *p, const struct nx_elem *view);

// Builds initial_state_json from the states' defaults.
void nx_section_initial_state(struct nx_parse *p);

// What an attribute of a View node means.
enum nx_view_value {
    NX_VIEW_TEXT,       // itself
    NX_VIEW_BINDING,    // `{expression}`
    NX_VIEW_EXPRESSION, // a bare expression: bind and args
};

// Tells which, and sets *expression to the expression's bytes (part of the value) if it is one.
enum nx_view_value nx_view_value_kind(const struct nx_attr *attr, struct nx_span *expression);

// The checks of the View, with the names declared elsewhere.
struct nx_names;
struct nx_view_check {
    const struct nx_names *states; // states and computed
    const struct nx_names *tools;
    struct nx_names *used_states; // filled
    struct nx_names *used_tools;  // filled
    bool any_state_used;          // set when a name cannot be told
    bool any_tool_used;
};
void nx_check_view(struct nx_parse *p, struct nx_view_check *check);

#endif
