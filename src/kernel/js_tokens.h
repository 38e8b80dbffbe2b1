// SPDX-License-Identifier: Apache-2.0
// JavaScript taken apart into tokens, for tools that help an author. It knows no grammar: never for
// deciding what a handler may do.
#ifndef NX_KERNEL_JS_TOKENS_H
#define NX_KERNEL_JS_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum nx_js_kind {
    NX_JS_WORD,    // identifier or keyword
    NX_JS_STRING,  // string, or template without ${}: the text between the quotes
    NX_JS_PUNCT,   // operator or bracket
    NX_JS_LITERAL, // number or regular expression
};

struct nx_js_token {
    enum nx_js_kind kind;
    struct nx_span text; // in the source; of a template's synthetic brackets, see below
    bool escaped;        // a string that holds a backslash: `text` is not its value
    uint32_t match;      // brackets: index of the partner
    uint32_t offset;     // of the first byte in the source
};

// A template `a${x}b${y}` appears as "(" x "," y ")": what matters of it is the expressions.
struct nx_js_tokens {
    struct nx_js_token *items; // owned
    size_t count;
};

// Splits `code` (at most NX_MAX_PANEL_SOURCE_BYTES; it must outlive the tokens). Comments and white
// space are left out. Errors: NX_E_INVALID (brackets that do not pair, a literal that does not
// end), NX_E_LIMIT (too long), NX_E_NOMEM; *out is then empty.
int nx_js_tokens_read(struct nx_js_tokens *out, struct nx_span code);
void nx_js_tokens_free(struct nx_js_tokens *tokens);

#endif
