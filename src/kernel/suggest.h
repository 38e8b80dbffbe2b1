// SPDX-License-Identifier: Apache-2.0
// The capabilities that a handler's source appears to need: help for its author, found by reading
// tokens. It follows variables that hold a part of the state (`const t = $state.todos[0]`), but
// neither functions nor values that are passed around; the sandbox decides by what really happens.
#ifndef NX_KERNEL_SUGGEST_H
#define NX_KERNEL_SUGGEST_H

#include <stdint.h>

#include "base/caps.h"
#include "base/error.h"
#include "base/span.h"

struct nx_suggestion {
    struct nx_cap_set needs; // in order of first use
    // Per kind: the line (1-based, within the code) of the first use whose scope is only known when
    // it runs; 0 if there is none.
    uint32_t unclear_line[NX_CAP_KINDS];
};

// Fills `out`, which nx_suggestion_free releases. Errors: NX_E_INVALID (not the tokens of
// JavaScript), NX_E_LIMIT (over NX_MAX_PANEL_SOURCE_BYTES), NX_E_NOMEM; *out is then empty.
int nx_suggest(struct nx_suggestion *out, struct nx_span code, struct nx_error *err);
void nx_suggestion_free(struct nx_suggestion *suggestion);

#endif
