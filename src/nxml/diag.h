// SPDX-License-Identifier: Apache-2.0
// The diagnostic codes, and adding a finding with notice of exhausted memory.
#ifndef NX_NXML_DIAG_H
#define NX_NXML_DIAG_H

#include <stdarg.h>

#include "nxml/panel_def.h"

#define NX_DIAG_INVALID_SYNTAX            "INVALID_SYNTAX"
#define NX_DIAG_UNKNOWN_ELEMENT           "UNKNOWN_ELEMENT"
#define NX_DIAG_DUPLICATE_ELEMENT         "DUPLICATE_ELEMENT"
#define NX_DIAG_MISSING_ATTRIBUTE         "MISSING_ATTRIBUTE"
#define NX_DIAG_INVALID_ATTRIBUTE         "INVALID_ATTRIBUTE"
#define NX_DIAG_INVALID_IDENTIFIER        "INVALID_IDENTIFIER"
#define NX_DIAG_DUPLICATE_STATE           "DUPLICATE_STATE"
#define NX_DIAG_DUPLICATE_TOOL            "DUPLICATE_TOOL"
#define NX_DIAG_DUPLICATE_LIFECYCLE       "DUPLICATE_LIFECYCLE"
#define NX_DIAG_DUPLICATE_VIEW_ID         "DUPLICATE_VIEW_ID"
#define NX_DIAG_DUPLICATE_EXTENSION_ALIAS "DUPLICATE_EXTENSION_ALIAS"
#define NX_DIAG_UNDEFINED_STATE_REFERENCE "UNDEFINED_STATE_REFERENCE"
#define NX_DIAG_UNDEFINED_TOOL_REFERENCE  "UNDEFINED_TOOL_REFERENCE"
#define NX_DIAG_UNDECLARED_EXTENSION      "UNDECLARED_EXTENSION"
#define NX_DIAG_INVALID_CAPABILITY        "INVALID_CAPABILITY"
#define NX_DIAG_UNUSED_STATE              "UNUSED_STATE"
#define NX_DIAG_UNUSED_TOOL               "UNUSED_TOOL"
#define NX_DIAG_UNUSED_CAPABILITY         "UNUSED_CAPABILITY"
#define NX_DIAG_BROAD_CAPABILITY          "BROAD_CAPABILITY"

// As nx_diagnostics_add, with `where` (a path such as "tools[0].name", "" for none) put in front of
// the message as "where: ". Returns 0, or NX_E_NOMEM when the finding could not be kept.
int nx_diagnostics_vadd(struct nx_diagnostics *d, bool warning, const char *code, struct nx_pos pos,
                        const char *where, const char *fmt, va_list ap)
    __attribute__((format(printf, 6, 0)));

#endif
