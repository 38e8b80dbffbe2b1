// SPDX-License-Identifier: Apache-2.0
// Questions about elements that every section of a panel asks.
#include "nxml/tree.h"

// Whether `name` is one of the words of `list`.
static bool listed(struct nx_span name, const char *list) {
    while (*list) {
        size_t len = strcspn(list, " ");
        if (nx_span_eq(name, nx_span_of(list, len)))
            return true;
        list += len;
        list += strspn(list, " ");
    }
    return false;
}

bool nx_elem_is(const struct nx_elem *e, const char *name) {
    return nx_span_eq(e->name, nx_span_str(name));
}

const struct nx_attr *nx_elem_attr(const struct nx_elem *e, const char *name) {
    for (const struct nx_attr *a = e->attrs; a; a = a->next)
        if (nx_span_eq(a->name, nx_span_str(name)))
            return a;
    return NULL;
}

const struct nx_attr *nx_elem_require(struct nx_parse *p, const struct nx_elem *e,
                                      const char *name) {
    const struct nx_attr *a = nx_elem_attr(e, name);
    if (!a)
        nx_parse_error(p, NX_DIAG_MISSING_ATTRIBUTE, e->pos, "<%.*s> needs the attribute '%s'",
                       nx_quote_len(e->name), e->name.data, name);
    return a;
}

void nx_elem_check_attrs(struct nx_parse *p, const struct nx_elem *e, const char *allowed) {
    for (const struct nx_attr *a = e->attrs; a; a = a->next)
        if (!listed(a->name, allowed))
            nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, a->pos, "<%.*s> has no attribute '%.*s'",
                           nx_quote_len(e->name), e->name.data, nx_quote_len(a->name),
                           a->name.data);
}

// Whether a child before `e` has its name.
static bool seen_before(const struct nx_elem *parent, const struct nx_elem *e) {
    for (const struct nx_elem *c = parent->first_child; c != e; c = c->next)
        if (nx_span_eq(c->name, e->name))
            return true;
    return false;
}

static void check_child(struct nx_parse *p, const struct nx_elem *e, const struct nx_elem *child,
                        const char *allowed, const char *single) {
    if (nx_elem_is_text(child))
        nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, child->pos, "text does not belong in <%.*s>",
                       nx_quote_len(e->name), e->name.data);
    else if (!listed(child->name, allowed))
        nx_parse_error(p, NX_DIAG_UNKNOWN_ELEMENT, child->pos, "<%.*s> does not belong in <%.*s>",
                       nx_quote_len(child->name), child->name.data, nx_quote_len(e->name),
                       e->name.data);
    else if (listed(child->name, single) && seen_before(e, child))
        nx_parse_error(p, NX_DIAG_DUPLICATE_ELEMENT, child->pos, "<%.*s> may hold only one <%.*s>",
                       nx_quote_len(e->name), e->name.data, nx_quote_len(child->name),
                       child->name.data);
}

void nx_elem_check_children(struct nx_parse *p, const struct nx_elem *e, const char *allowed,
                            const char *single) {
    for (const struct nx_elem *child = e->first_child; child; child = child->next)
        check_child(p, e, child, allowed, single);
}

size_t nx_elem_count(const struct nx_elem *e, const char *name) {
    size_t n = 0;
    for (const struct nx_elem *c = e->first_child; c; c = c->next)
        n += nx_elem_is(c, name);
    return n;
}

const struct nx_elem *nx_elem_find(const struct nx_elem *from, const char *name) {
    while (from && !nx_elem_is(from, name))
        from = from->next;
    return from;
}
