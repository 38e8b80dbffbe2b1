// SPDX-License-Identifier: Apache-2.0
// The error codes of an execution's result (the public contract). One list holds name and number.
#ifndef NX_BASE_RESULT_CODE_H
#define NX_BASE_RESULT_CODE_H

#include "base/span.h"

#define NX_RESULT_CODES(X)                                                                         \
    X(TIMEOUT)                                                                                     \
    X(MEMORY_LIMIT)                                                                                \
    X(RESOURCE_LIMIT)                                                                              \
    X(PERMISSION_DENIED)                                                                           \
    X(EXECUTION_ERROR)                                                                             \
    X(COMPILATION_ERROR)                                                                           \
    X(INVALID_HANDLER)                                                                             \
    X(EXTENSION_NOT_FOUND)                                                                         \
    X(METHOD_NOT_FOUND)                                                                            \
    X(EXTENSION_ERROR)                                                                             \
    X(SUSPENSION_TIMEOUT)                                                                          \
    X(CANCELLED)                                                                                   \
    X(OVERLOADED)                                                                                  \
    X(INTERNAL_ERROR)

enum nx_result_code {
    NX_RESULT_NONE = 0, // success or suspended
#define NX_RESULT_ENUM(name) NX_RESULT_##name,
    NX_RESULT_CODES(NX_RESULT_ENUM)
#undef NX_RESULT_ENUM
        NX_RESULT_CODE_COUNT
};

// "TIMEOUT" …; "NONE" for 0 and "INTERNAL_ERROR" for anything out of range.
const char *nx_result_code_name(enum nx_result_code code);

#endif
