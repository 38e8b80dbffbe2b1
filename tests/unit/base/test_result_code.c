// SPDX-License-Identifier: Apache-2.0
// Names of the result codes are a public contract.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/result_code.h"

static void names_are_the_contract(void **state) {
    (void)state;
    static const char *const names[] = {
        "NONE",
        "TIMEOUT",
        "MEMORY_LIMIT",
        "RESOURCE_LIMIT",
        "PERMISSION_DENIED",
        "EXECUTION_ERROR",
        "COMPILATION_ERROR",
        "INVALID_HANDLER",
        "EXTENSION_NOT_FOUND",
        "METHOD_NOT_FOUND",
        "EXTENSION_ERROR",
        "SUSPENSION_TIMEOUT",
        "CANCELLED",
        "OVERLOADED",
        "INTERNAL_ERROR",
    };
    assert_int_equal(NX_RESULT_CODE_COUNT, sizeof names / sizeof names[0]);
    for (unsigned i = 0; i < NX_RESULT_CODE_COUNT; i++)
        assert_string_equal(nx_result_code_name((enum nx_result_code)i), names[i]);
}

static void out_of_range_is_internal(void **state) {
    (void)state;
    const unsigned codes[] = {NX_RESULT_CODE_COUNT, 1000, 0x80000000u, 0xffffffffu};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        // As it would arrive from the wire; copying avoids a conversion the compiler could reject.
        enum nx_result_code code;
        _Static_assert(sizeof code == sizeof codes[0], "enums are four bytes here");
        __builtin_memcpy(&code, &codes[i], sizeof code);
        assert_string_equal(nx_result_code_name(code), "INTERNAL_ERROR");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_the_contract),
        cmocka_unit_test(out_of_range_is_internal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
