// SPDX-License-Identifier: Apache-2.0
// The bounded buffer: limits, stickiness of failures, NUL termination, ownership.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"

// Lets a huge allocation return NULL under AddressSanitizer, as it does without.
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

static void starts_empty_without_memory(void **state) {
    (void)state;
    struct nx_buf b;
    nx_buf_init(&b, 10);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    assert_int_equal(nx_buf_span(&b).len, 0);
    nx_buf_consume(&b, 5);
    nx_buf_reset(&b);
    nx_buf_free(&b);
}

static void empty_appends_give_a_terminated_string(void **state) {
    (void)state;
    struct nx_buf b;
    nx_buf_init(&b, 0);
    assert_int_equal(nx_buf_append(&b, NULL, 0), 0);
    assert_string_equal(b.data, "");
    assert_int_equal(nx_buf_append_str(&b, NULL), 0);
    assert_int_equal(nx_buf_append_span(&b, (struct nx_span){NULL, 0}), 0);
    assert_int_equal(nx_buf_append_char(&b, 'x'), NX_E_LIMIT);
    nx_buf_free(&b);
}

// Every limit from 0 on, filled in steps of every size, holds exactly what fits.
static void limit_is_exact(void **state) {
    (void)state;
    char bytes[64];
    memset(bytes, 'a', sizeof bytes);
    for (size_t max = 0; max < 200; max++) {
        for (size_t step = 1; step <= sizeof bytes; step++) {
            struct nx_buf b;
            nx_buf_init(&b, max);
            size_t fits = max / step * step;
            while (nx_buf_append(&b, bytes, step) == 0) {
                assert_true(b.len <= max && b.cap <= max + 1);
                assert_int_equal(strlen(b.data), b.len);
            }
            assert_int_equal(b.len, fits);
            assert_int_equal(b.failed, NX_E_LIMIT);
            nx_buf_free(&b);
        }
    }
}

static void failure_sticks_until_reset(void **state) {
    (void)state;
    struct nx_buf b;
    nx_buf_init(&b, 4);
    assert_int_equal(nx_buf_append_str(&b, "abc"), 0);
    assert_int_equal(nx_buf_append_str(&b, "de"), NX_E_LIMIT);
    assert_int_equal(nx_buf_append_char(&b, 'd'), NX_E_LIMIT);
    assert_int_equal(nx_buf_append(&b, "", 0), NX_E_LIMIT);
    assert_int_equal(nx_buf_printf(&b, "x"), NX_E_LIMIT);
    assert_null(nx_buf_reserve(&b, 0));
    assert_null(nx_buf_steal(&b, NULL));
    assert_string_equal(b.data, "abc");
    char *memory = b.data;
    nx_buf_reset(&b);
    assert_ptr_equal(b.data, memory);
    assert_string_equal(b.data, "");
    assert_int_equal(nx_buf_append_str(&b, "wxyz"), 0);
    nx_buf_free(&b);
    assert_null(b.data);
    assert_int_equal(nx_buf_append_str(&b, "again"), NX_E_LIMIT); // the maximum survives a free
    nx_buf_free(&b);
}

static void lengths_near_the_top_do_not_wrap(void **state) {
    (void)state;
    struct nx_buf b;
    nx_buf_init(&b, SIZE_MAX);
    assert_int_equal(nx_buf_append_str(&b, "abc"), 0);
    assert_null(nx_buf_reserve(&b, SIZE_MAX));
    assert_int_equal(b.failed, NX_E_LIMIT);
    nx_buf_reset(&b);
    nx_buf_append_str(&b, "abc");
    assert_null(nx_buf_reserve(&b, SIZE_MAX - 3));
    assert_int_equal(b.failed, NX_E_LIMIT);
    assert_string_equal(b.data, "abc");
    nx_buf_free(&b);
}

static void allocation_failure_keeps_the_content(void **state) {
    (void)state;
    struct nx_buf b;
    nx_buf_init(&b, SIZE_MAX);
    nx_buf_append_str(&b, "abc");
    assert_null(nx_buf_reserve(&b, PTRDIFF_MAX - 64));
    assert_int_equal(b.failed, NX_E_NOMEM);
    assert_string_equal(b.data, "abc");
    nx_buf_free(&b);
}

// All lengths around the first allocation, against every smaller and larger maximum.
static void printf_fits_exactly_or_not_at_all(void **state) {
    (void)state;
    for (int len = 0; len < 150; len++) {
        for (size_t max = 0; max < 150; max++) {
            struct nx_buf b;
            nx_buf_init(&b, max);
            int rc = nx_buf_printf(&b, "%*s", len, "");
            assert_int_equal(rc, (size_t)len <= max ? 0 : NX_E_LIMIT);
            assert_int_equal(b.len, rc ? 0 : len);
            assert_int_equal(strlen(b.data), b.len);
            nx_buf_free(&b);
        }
    }
}

static void printf_appends_after_content(void **state) {
    (void)state;
    struct nx_buf b;
    nx_buf_init(&b, 1000);
    for (int i = 0; i < 100; i++)
        assert_int_equal(nx_buf_printf(&b, "%02d,", i), 0);
    assert_int_equal(b.len, 300);
    assert_memory_equal(b.data + 297, "99,", 4);
    nx_buf_free(&b);
}

static void reserve_then_commit(void **state) {
    (void)state;
    struct nx_buf b;
    nx_buf_init(&b, 100);
    nx_buf_append_str(&b, "ab");
    char *to = nx_buf_reserve(&b, 98);
    assert_non_null(to);
    memset(to, 'z', 98);
    b.len += 98;
    assert_int_equal(strlen(b.data), 100);
    assert_null(nx_buf_reserve(&b, 1));
    nx_buf_free(&b);
    to = nx_buf_reserve(&b, 50); // only part of the room is used
    assert_non_null(to);
    memset(to, 'z', 50);
    b.len += 10;
    size_t len = 0;
    char *text = nx_buf_steal(&b, &len);
    assert_int_equal(len, 10);
    assert_string_equal(text, "zzzzzzzzzz");
    free(text);
}

static void consume_moves_the_rest(void **state) {
    (void)state;
    struct nx_buf b;
    nx_buf_init(&b, 100);
    nx_buf_append_str(&b, "abcdef");
    nx_buf_consume(&b, 0);
    assert_string_equal(b.data, "abcdef");
    nx_buf_consume(&b, 2);
    assert_string_equal(b.data, "cdef");
    nx_buf_consume(&b, 99);
    assert_string_equal(b.data, "");
    assert_int_equal(b.len, 0);
    nx_buf_free(&b);
}

static void steal_passes_ownership(void **state) {
    (void)state;
    struct nx_buf b;
    nx_buf_init(&b, 100);
    size_t len = 99;
    char *text = nx_buf_steal(&b, &len);
    assert_string_equal(text, "");
    assert_int_equal(len, 0);
    free(text);
    nx_buf_append(&b, "a\0b", 3);
    text = nx_buf_steal(&b, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(text, "a\0b", 4);
    assert_null(b.data);
    assert_int_equal(nx_buf_append_str(&b, "next"), 0);
    free(text);
    nx_buf_free(&b);
}

// Room that was announced: no growth on the way, nothing lost, and no advice ever fails a buffer.
static void expected_content_is_not_moved(void **state) {
    (void)state;
    struct nx_buf b;
    nx_buf_init(&b, 100000);
    assert_int_equal(nx_buf_append_str(&b, "head"), 0);
    nx_buf_expect(&b, 90000);
    assert_string_equal(b.data, "head");
    const char *memory = b.data;
    for (int i = 0; i < 90000; i++)
        assert_int_equal(nx_buf_append_char(&b, 'x'), 0);
    assert_ptr_equal(b.data, memory);
    assert_int_equal(strlen(b.data), 90004);
    size_t cap = b.cap;
    nx_buf_expect(&b, 0);
    nx_buf_expect(&b, 100000 - 90004 + 1); // over the maximum
    nx_buf_expect(&b, SIZE_MAX);
    assert_int_equal(b.failed, 0);
    assert_int_equal(b.cap, cap);
    nx_buf_expect(&b, 100000 - 90004);
    assert_int_equal(b.cap, 100001);
    nx_buf_free(&b);
    nx_buf_init(&b, SIZE_MAX);
    nx_buf_expect(&b, PTRDIFF_MAX - 2); // no such memory
    assert_int_equal(b.failed, 0);
    assert_null(b.data);
    nx_buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty_without_memory),
        cmocka_unit_test(empty_appends_give_a_terminated_string),
        cmocka_unit_test(limit_is_exact),
        cmocka_unit_test(failure_sticks_until_reset),
        cmocka_unit_test(expected_content_is_not_moved),
        cmocka_unit_test(lengths_near_the_top_do_not_wrap),
        cmocka_unit_test(allocation_failure_keeps_the_content),
        cmocka_unit_test(printf_fits_exactly_or_not_at_all),
        cmocka_unit_test(printf_appends_after_content),
        cmocka_unit_test(reserve_then_commit),
        cmocka_unit_test(consume_moves_the_rest),
        cmocka_unit_test(steal_passes_ownership),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
