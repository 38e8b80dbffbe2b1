// SPDX-License-Identifier: Apache-2.0
// The element tree of an NXML source, with the place of everything in it. Lives in the parse's
// arena; spans point into the source or the arena.
#ifndef NX_NXML_TREE_H
#define NX_NXML_TREE_H

#include "nxml/parse.h"

struct nx_attr {
    struct nx_attr *next;
    struct nx_span name;
    struct nx_span value; // decoded; "true" for a bare attribute
    struct nx_pos pos;
    struct nx_pos value_pos; // of the value's first byte
    bool verbatim;           // the value is the source's bytes: offsets in it are offsets there
};

// An element, or a run of text (then `name` is empty).
struct nx_elem {
    struct nx_elem *parent, *next, *first_child, *last_child;
    struct nx_span name;
    struct nx_span text;    // of text: decoded, trimmed, not empty; of a Handler: its code
    struct nx_pos pos;      // of the '<' or the text's first byte
    struct nx_pos text_pos; // of `text`
    struct nx_attr *attrs;  // in source order
    struct nx_attr **attr_end;
    uint32_t attr_count;
    uint32_t depth; // 1 for the root
};

// Builds the tree of `source` (valid UTF-8 without NUL), reporting every syntax error. Returns the
// root, or NULL when there is none or the source broke off or passed a cap, so that what is missing
// is not the author's doing.
struct nx_elem *nx_tree_parse(struct nx_parse *p, struct nx_span source);

bool nx_elem_is(const struct nx_elem *e, const char *name);

static inline bool nx_elem_is_text(const struct nx_elem *e) {
    return e->name.len == 0;
}

// The attribute, or NULL.
const struct nx_attr *nx_elem_attr(const struct nx_elem *e, const char *name);

// The same, reporting MISSING_ATTRIBUTE when there is none.
const struct nx_attr *nx_elem_require(struct nx_parse *p, const struct nx_elem *e,
                                      const char *name);

// Reports attributes that are not in `allowed`, a list separated by spaces.
void nx_elem_check_attrs(struct nx_parse *p, const struct nx_elem *e, const char *allowed);

// Reports text, and elements not in `allowed`, among the children of `e`; and for names that are
// also in `single`, every one after the first.
void nx_elem_check_children(struct nx_parse *p, const struct nx_elem *e, const char *allowed,
                            const char *single);

// How many children are called `name`.
size_t nx_elem_count(const struct nx_elem *e, const char *name);

// The first child called `name` at or after `from`, or NULL.
const struct nx_elem *nx_elem_find(const struct nx_elem *from, const char *name);

#endif
