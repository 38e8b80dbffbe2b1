// SPDX-License-Identifier: Apache-2.0
// Taking arguments out of a JSON array.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ext/args.h"

static void items(void **state) {
    (void)state;
    static const struct {
        const char *list;
        const char *items[4];
    } cases[] = {
        {"[]", {NULL}},
        {" [ ] ", {NULL}},
        {"[1]", {"1"}},
        {" [ 1 , null,\t\"x\" ] ", {"1", "null", "\"x\""}},
        {"[[],{},[[1,2],3]]", {"[]", "{}", "[[1,2],3]"}},
        {"[\"],[\",\"\\\"]\",{\"a]\":\"}\"}]", {"\"],[\"", "\"\\\"]\"", "{\"a]\":\"}\"}"}},
        {"[\"\\\\\",2]", {"\"\\\\\"", "2"}},
        {"{}", {NULL}},
        {"5", {NULL}},
        {"", {NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        // In memory of its exact size, so that reading past it is seen.
        size_t len = strlen(cases[i].list);
        char *list = malloc(len ? len : 1);
        assert_non_null(list);
        memcpy(list, cases[i].list, len);
        size_t at = 0;
        struct nx_span item;
        for (; nx_ext_args_item(nx_span_of(list, len), at, &item); at++)
            if (!cases[i].items[at] || !nx_span_eq(item, nx_span_str(cases[i].items[at])))
                fail_msg("%s [%zu]: %.*s", cases[i].list, at, (int)item.len, item.data);
        if (cases[i].items[at])
            fail_msg("%s has no [%zu]", cases[i].list, at);
        assert_int_equal(item.len, 0);
        free(list);
    }
}

static void texts(void **state) {
    (void)state;
    struct nx_buf out;
    nx_buf_init(&out, 8);
    assert_true(nx_ext_args_text(nx_span_str("\"a\\u00fc\\n\""), &out));
    assert_string_equal(out.data, "a\xc3\xbc\n");
    nx_buf_reset(&out);
    assert_true(nx_ext_args_text(nx_span_str("\"\""), &out));
    assert_int_equal(out.len, 0);
    assert_false(nx_ext_args_text(nx_span_str("5"), &out));
    assert_false(nx_ext_args_text((struct nx_span){0}, &out));
    assert_false(nx_ext_args_text(nx_span_str("\"\\ud800\""), &out));
    nx_buf_reset(&out);
    assert_false(nx_ext_args_text(nx_span_str("\"123456789\""), &out));
    assert_int_not_equal(out.failed, 0);
    nx_buf_free(&out);
    assert_true(nx_ext_args_none(nx_span_str("null")) && nx_ext_args_none((struct nx_span){0}));
    assert_false(nx_ext_args_none(nx_span_str("0")));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(items), cmocka_unit_test(texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
