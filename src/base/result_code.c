// SPDX-License-Identifier: Apache-2.0
// Names of the result codes.
#include "base/result_code.h"

const char *nx_result_code_name(enum nx_result_code code) {
    static const char *const names[NX_RESULT_CODE_COUNT] = {[NX_RESULT_NONE] = "NONE",
#define NX_RESULT_NAME(name) [NX_RESULT_##name] = #name,
                                                            NX_RESULT_CODES(NX_RESULT_NAME)
#undef NX_RESULT_NAME
    };
    // Codes arrive from workers as plain numbers, hence the range check.
    if ((unsigned)code >= NX_RESULT_CODE_COUNT)
        return names[NX_RESULT_INTERNAL_ERROR];
    return names[code];
}
