// SPDX-License-Identifier: Apache-2.0
// The lines of code around an error.
#ifndef NX_KERNEL_SNIPPET_H
#define NX_KERNEL_SNIPPET_H

#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

enum {
    NX_SNIPPET_BYTES = (2 * NX_SNIPPET_CONTEXT_LINES + 1) * (NX_MAX_SNIPPET_LINE_BYTES + 1),
};

struct nx_snippet {
    char code[NX_SNIPPET_BYTES];
    size_t len;
    uint32_t highlight_line; // 1-based, within `code`; 0 if the line does not exist
};

// Copies the lines around `line` (1-based, within `code`); long lines are cut between characters.
void nx_snippet_cut(struct nx_snippet *out, struct nx_span code, uint32_t line);

#endif
