// SPDX-License-Identifier: Apache-2.0
// Error records: formatting, wrapping, cutting, aliasing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static void set_records_code_and_message(void **state) {
    (void)state;
    struct nx_error err = {0};
    assert_int_equal(nx_error_set(&err, NX_E_LIMIT, "%d of %s", 7, "nine"), NX_E_LIMIT);
    assert_int_equal(err.code, NX_E_LIMIT);
    assert_string_equal(err.message, "7 of nine");
}

static void null_record_still_returns_the_code(void **state) {
    (void)state;
    assert_int_equal(nx_error_set(NULL, NX_E_BUSY, "x"), NX_E_BUSY);
    errno = ENOMEM;
    assert_int_equal(nx_error_errno(NULL, "x"), NX_E_NOMEM);
    errno = EPERM;
    assert_int_equal(nx_error_errno(NULL, "x"), NX_E_IO);
    assert_true(nx_error_wrap(NULL, "x") < 0);
}

static void errno_is_told_and_classified(void **state) {
    (void)state;
    struct nx_error err = {0};
    errno = ENOENT;
    assert_int_equal(nx_error_errno(&err, "open %s", "f"), NX_E_IO);
    assert_string_equal(err.message, "open f: No such file or directory");
    errno = ENOMEM;
    assert_int_equal(nx_error_errno(&err, "map"), NX_E_NOMEM);
    assert_int_equal(err.code, NX_E_NOMEM);
}

static void wrap_puts_context_in_front(void **state) {
    (void)state;
    struct nx_error err = {0};
    nx_error_set(&err, NX_E_INVALID, "bad");
    assert_int_equal(nx_error_wrap(&err, "line %d", 3), NX_E_INVALID);
    assert_int_equal(nx_error_wrap(&err, "file"), NX_E_INVALID);
    assert_string_equal(err.message, "file: line 3: bad");
}

static void arguments_may_be_the_message_itself(void **state) {
    (void)state;
    struct nx_error err = {0};
    nx_error_set(&err, NX_E_INVALID, "inner");
    nx_error_set(&err, NX_E_IO, "outer (%s)", err.message);
    assert_string_equal(err.message, "outer (inner)");
    nx_error_wrap(&err, "<%s>", err.message);
    assert_string_equal(err.message, "<outer (inner)>: outer (inner)");
}

static void long_messages_are_cut_and_terminated(void **state) {
    (void)state;
    for (size_t len = NX_ERROR_MESSAGE_BYTES - 4; len <= NX_ERROR_MESSAGE_BYTES + 4; len++) {
        char *text = calloc(1, len + 1);
        assert_non_null(text);
        memset(text, 'x', len);
        struct nx_error err = {0};
        nx_error_set(&err, NX_E_INVALID, "%s", text);
        size_t kept = len < NX_ERROR_MESSAGE_BYTES ? len : NX_ERROR_MESSAGE_BYTES - 1;
        assert_int_equal(strlen(err.message), kept);
        nx_error_wrap(&err, "ab");
        assert_int_equal(strlen(err.message), NX_ERROR_MESSAGE_BYTES - 1);
        assert_memory_equal(err.message, "ab: xxx", 7);
        errno = EPERM;
        nx_error_errno(&err, "%s", text);
        assert_int_equal(strlen(err.message), NX_ERROR_MESSAGE_BYTES - 1);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_records_code_and_message),
        cmocka_unit_test(null_record_still_returns_the_code),
        cmocka_unit_test(errno_is_told_and_classified),
        cmocka_unit_test(wrap_puts_context_in_front),
        cmocka_unit_test(arguments_may_be_the_message_itself),
        cmocka_unit_test(long_messages_are_cut_and_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
