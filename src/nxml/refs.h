// SPDX-License-Identifier: Apache-2.0
// What a piece of JavaScript refers to, found by a lexical scan that skips strings, comments and
// regular expressions. It knows no scopes: good for findings that help an author, never for
// deciding what a handler may do.
#ifndef NX_NXML_REFS_H
#define NX_NXML_REFS_H

#include "base/span.h"

enum nx_ref_kind {
    NX_REF_STATE, // $state.NAME
    NX_REF_EXT,   // $ext.NAME
    NX_REF_EMIT,  // $emit("NAME"
    NX_REF_VIEW,  // $view
    NX_REF_KINDS, // count
};

struct nx_ref {
    enum nx_ref_kind kind;
    struct nx_span name; // empty: the name is not to be seen (`$state[key]`), it may be any
    size_t offset;       // of the '$'
};

// Calls `fn` for every reference, in order; stops at and returns the first non-zero answer. Code
// too tangled for the scan ends it, after a nameless reference of every kind.
int nx_refs_each(struct nx_span code, int (*fn)(void *user, const struct nx_ref *ref), void *user);

#endif
