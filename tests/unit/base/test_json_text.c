// SPDX-License-Identifier: Apache-2.0
// Members, unescaping and writing of JSON strings.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define S(text) nx_span_of(text, sizeof(text) - 1)

static void assert_span(struct nx_span got, struct nx_span want) {
    if (!nx_span_eq(got, want))
        fail_msg("got %.*s, want %.*s", (int)got.len, got.data, (int)want.len, want.data);
}

static int list_member(void *user, struct nx_span raw_key, struct nx_span value) {
    nx_buf_printf(user, "(%.*s=%.*s)", (int)raw_key.len, raw_key.data, (int)value.len, value.data);
    return 0;
}

static void members_come_in_order(void **state) {
    (void)state;
    struct nx_buf out;
    nx_buf_init(&out, 1000);
    struct nx_span text = S(" { \"a\" : 1 ,\"b\\\"}\":{\"x\":[\"]}\\\\\",{}]} , \"\":\"\\\\\\\"\","
                            "\"c\":[ ] ,\"d\":-1e5,\"e\":null\n} ");
    assert_int_equal(nx_json_scan(text, NULL, NULL), 0);
    assert_int_equal(nx_json_each_member(text, list_member, &out), 0);
    assert_string_equal(out.data,
                        "(a=1)(b\\\"}={\"x\":[\"]}\\\\\",{}]})(=\"\\\\\\\"\")(c=[ ])(d=-1e5)"
                        "(e=null)");
    nx_buf_reset(&out);
    assert_int_equal(nx_json_each_member(S(" { } "), list_member, &out), 0);
    assert_int_equal(out.len, 0);
    nx_buf_free(&out);
}

static int stop_at_second(void *user, struct nx_span raw_key, struct nx_span value) {
    (void)raw_key;
    (void)value;
    return ++*(int *)user == 2 ? 77 : 0;
}

static void callback_stops_the_walk(void **state) {
    (void)state;
    int calls = 0;
    assert_int_equal(nx_json_each_member(S("{\"a\":1,\"b\":2,\"c\":3}"), stop_at_second, &calls),
                     77);
    assert_int_equal(calls, 2);
}

static void other_kinds_have_no_members(void **state) {
    (void)state;
    static const char *const texts[] = {"", " ", "[]", "\"{}\"", "1", "null"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int calls = 0;
        assert_int_equal(nx_json_each_member(nx_span_str(texts[i]), stop_at_second, &calls),
                         NX_E_INVALID);
        assert_int_equal(calls, 0);
    }
}

static int touch_member(void *user, struct nx_span raw_key, struct nx_span value) {
    for (size_t i = 0; i < raw_key.len; i++)
        *(unsigned *)user += (unsigned char)raw_key.data[i];
    for (size_t i = 0; i < value.len; i++)
        *(unsigned *)user += (unsigned char)value.data[i];
    return 0;
}

// Texts that were never scanned: whatever is cut or changed, nothing outside is read.
static void unscanned_texts_are_memory_safe(void **state) {
    (void)state;
    static const char whole[] = "{\"a\\\\\":[1,{\"b\":\"\\\"\"}],\"c\":\"x\",\"d\":true}";
    static const char changes[] = "\"\\{}[]:, a";
    unsigned sum = 0;
    for (size_t len = 0; len < sizeof whole; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t c = 0; c < sizeof changes; c++) {
                char *text = malloc(len);
                assert_non_null(text);
                memcpy(text, whole, len);
                text[at] = changes[c];
                int rc = nx_json_each_member(nx_span_of(text, len), touch_member, &sum);
                assert_true(rc == 0 || rc == NX_E_INVALID);
                struct nx_span value;
                if (nx_json_member(nx_span_of(text, len), "d", &value) == 0)
                    assert_true(value.data >= text && value.data + value.len <= text + len);
                free(text);
            }
        }
    }
    assert_true(sum > 0);
}

static void member_is_found_by_meaning(void **state) {
    (void)state;
    struct nx_span object =
        S("{\"a\":1,\"\\u0061b\":2,\"q\\\"\":3,\"\\ud83d\\ude00\":4,\"\xc3\xa9\":5,\"a\\u0000\":6,"
          "\"\":7,\"dup\":8,\"d\\u0075p\":9,\"\\ud800\":10,\"n\":{\"in\":11}}");
    assert_int_equal(nx_json_scan(object, NULL, NULL), 0);
    static const struct {
        const char *key, *value;
    } found[] = {
        {"a", "1"},           {"ab", "2"}, {"q\"", "3"}, {"\xf0\x9f\x98\x80", "4"},
        {"\xc3\xa9", "5"},    {"", "7"},   {"dup", "9"}, {"\xed\xa0\x80", "10"},
        {"n", "{\"in\":11}"},
    };
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        struct nx_span value = {0};
        assert_int_equal(nx_json_member(object, found[i].key, &value), 0);
        assert_span(value, nx_span_str(found[i].value));
    }
    static const char *const missing[] = {"b", "in", "A", "a ", "q\\\"", "du", "dupp", "\\u0061b"};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        struct nx_span value = S("untouched");
        assert_int_equal(nx_json_member(object, missing[i], &value), NX_E_NOTFOUND);
        assert_span(value, S("untouched"));
    }
    struct nx_span value;
    assert_int_equal(nx_json_member(S("[\"a\",1]"), "a", &value), NX_E_NOTFOUND);
}

static void unescape_gives_utf8(void **state) {
    (void)state;
    static const struct {
        struct nx_span raw, plain;
    } cases[] = {
        {{"", 0}, {"", 0}},
        {{"plain", 5}, {"plain", 5}},
        {{"\\\"\\\\\\/\\b\\f\\n\\r\\t", 16}, {"\"\\/\b\f\n\r\t", 8}},
        {{"a\\u0000b", 8}, {"a\0b", 3}},
        {{"\\u0041\\u00e9\\u20AC", 18}, {"A\xc3\xa9\xe2\x82\xac", 6}},
        {{"\\ud83d\\ude00", 12}, {"\xf0\x9f\x98\x80", 4}},
        {{"\\udbff\\udfff", 12}, {"\xf4\x8f\xbf\xbf", 4}},
        {{"\\ud800", 6}, {"\xed\xa0\x80", 3}},
        {{"\\udfff", 6}, {"\xed\xbf\xbf", 3}},
        {{"\\ud800x", 7}, {"\xed\xa0\x80x", 4}},
        {{"\\ud800\\n", 8}, {"\xed\xa0\x80\n", 4}},
        {{"\\ud800\\u0041", 12},
         {"\xed\xa0\x80"
          "A",
          4}},
        {{"\\ud800\\ud83d\\ude00", 18}, {"\xed\xa0\x80\xf0\x9f\x98\x80", 7}},
        {{"\\ude00\\ud83d", 12}, {"\xed\xb8\x80\xed\xa0\xbd", 6}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_buf out;
        nx_buf_init(&out, 100);
        assert_int_equal(nx_json_unescape(&out, cases[i].raw), 0);
        assert_span(nx_buf_span(&out), cases[i].plain);
        nx_buf_free(&out);
    }
}

static void malformed_escapes_are_refused(void **state) {
    (void)state;
    static const char *const raws[] = {"\\",
                                       "a\\",
                                       "\\x",
                                       "\\u",
                                       "\\u12",
                                       "\\u12g4",
                                       "\\u-123",
                                       "\\U0041",
                                       "ok\\u00",
                                       "\\ud800\\",
                                       "\\ud800\\u",
                                       "\\ud800\\udc0",
                                       "\\ud800\\uzzzz",
                                       "\\ "};
    for (size_t i = 0; i < sizeof raws / sizeof raws[0]; i++) {
        size_t len = strlen(raws[i]);
        char *exact = malloc(len);
        assert_non_null(exact);
        memcpy(exact, raws[i], len);
        struct nx_buf out;
        nx_buf_init(&out, 100);
        assert_int_equal(nx_json_unescape(&out, nx_span_of(exact, len)), NX_E_INVALID);
        nx_buf_free(&out);
        free(exact);
    }
}

static void strings_are_escaped(void **state) {
    (void)state;
    static const struct {
        struct nx_span plain;
        const char *json;
    } cases[] = {
        {{NULL, 0}, "\"\""},
        {{"plain /", 7}, "\"plain /\""},
        {{"\"\\\b\f\n\r\t", 7}, "\"\\\"\\\\\\b\\f\\n\\r\\t\""},
        {{"a\0\x01\x1f\x7f"
          "b",
          6},
         "\"a\\u0000\\u0001\\u001f\\u007fb\""},
        {{"\x7f\x7f", 2}, "\"\\u007f\\u007f\""},
        {{"\xc2\x80\xc2\x9f\xc2\xa0", 6}, "\"\\u0080\\u009f\xc2\xa0\""},
        {{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9}, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {{"\xed\xa0\x80|\xed\xbf\xbf", 7}, "\"\\ud800|\\udfff\""},
        {{"\xff", 1}, "\"\xef\xbf\xbd\""},
        {{"\xe2\x82", 2}, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {{"\xed\xa0", 2}, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {{"\xc0\x80x", 3}, "\"\xef\xbf\xbd\xef\xbf\xbdx\""},
        {{"\xc3\"", 2}, "\"\xef\xbf\xbd\\\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_buf out;
        nx_buf_init(&out, 100);
        assert_int_equal(nx_json_append_string(&out, cases[i].plain), 0);
        assert_span(nx_buf_span(&out), nx_span_str(cases[i].json));
        nx_buf_free(&out);
    }
}

// Any bytes become a valid text; well-formed ones come back unchanged.
static void random_bytes_round_trip(void **state) {
    (void)state;
    uint32_t seed = 4711;
    for (int round = 0; round < 20000; round++) {
        char bytes[40];
        size_t len = 0;
        while (len + 4 <= sizeof bytes) {
            seed = seed * 1664525u + 1013904223u;
            static const char *const pieces[] = {"a",
                                                 "\"",
                                                 "\\",
                                                 "\n",
                                                 "\x7f",
                                                 "\xc3\xa9",
                                                 "\xe2\x82\xac",
                                                 "\xf0\x9f\x98\x80",
                                                 "\xed\xa0\x80",
                                                 "long text",
                                                 "\xff",
                                                 "\xe2"};
            const char *piece = pieces[(seed >> 10) % (round % 2 ? 12 : 8)];
            size_t n = strlen(piece) < 4 ? strlen(piece) : 4;
            memcpy(bytes + len, piece, n);
            len += n;
        }
        struct nx_buf json, back;
        nx_buf_init(&json, 1000);
        nx_buf_init(&back, 1000);
        assert_int_equal(nx_json_append_string(&json, nx_span_of(bytes, len)), 0);
        assert_int_equal(nx_json_scan(nx_buf_span(&json), NULL, NULL), 0);
        assert_int_equal(nx_json_unescape(&back, nx_span_of(json.data + 1, json.len - 2)), 0);
        if (round % 2 == 0)
            assert_span(nx_buf_span(&back), nx_span_of(bytes, len));
        nx_buf_free(&json);
        nx_buf_free(&back);
    }
}

static void all_code_units_round_trip(void **state) {
    (void)state;
    for (unsigned unit = 0; unit < 0x10000; unit++) {
        struct nx_buf raw, plain, json, back;
        nx_buf_init(&raw, 16);
        nx_buf_init(&plain, 16);
        nx_buf_init(&json, 16);
        nx_buf_init(&back, 16);
        nx_buf_printf(&raw, "\\u%04x", unit);
        assert_int_equal(nx_json_unescape(&plain, nx_buf_span(&raw)), 0);
        assert_int_equal(nx_utf8_valid(nx_buf_span(&plain)), unit < 0xd800 || unit > 0xdfff);
        assert_int_equal(nx_json_append_string(&json, nx_buf_span(&plain)), 0);
        assert_int_equal(nx_json_unescape(&back, nx_span_of(json.data + 1, json.len - 2)), 0);
        assert_span(nx_buf_span(&back), nx_buf_span(&plain));
        nx_buf_free(&raw);
        nx_buf_free(&plain);
        nx_buf_free(&json);
        nx_buf_free(&back);
    }
}

static void objects_are_built_with_commas(void **state) {
    (void)state;
    struct nx_buf out;
    nx_buf_init(&out, 100);
    assert_int_equal(nx_json_append_comma(&out), 0); // nothing in front, nothing to separate
    nx_buf_append_char(&out, '{');
    assert_int_equal(nx_json_append_key(&out, "a"), 0);
    nx_buf_append_char(&out, '[');
    for (int i = 0; i < 2; i++) {
        nx_json_append_comma(&out);
        nx_json_append_string(&out, S("["));
    }
    nx_buf_append_char(&out, ']');
    nx_json_append_key(&out, "\"");
    nx_buf_append_str(&out, "{}");
    nx_json_append_key(&out, "c");
    nx_buf_append_str(&out, "1}");
    assert_string_equal(out.data, "{\"a\":[\"[\",\"[\"],\"\\\"\":{},\"c\":1}");
    nx_buf_free(&out);
}

static void full_buffers_fail(void **state) {
    (void)state;
    struct nx_span text = S("a\"\n\xc3\xa9\xed\xa0\x80\xff\x7fz");
    struct nx_buf whole;
    nx_buf_init(&whole, 100);
    nx_json_append_string(&whole, text); // 13 bytes once unescaped: \xff became three
    for (size_t max = 0; max <= whole.len; max++) {
        struct nx_buf out;
        nx_buf_init(&out, max);
        assert_int_equal(nx_json_append_string(&out, text), max == whole.len ? 0 : NX_E_LIMIT);
        nx_buf_reset(&out);
        struct nx_span raw = {whole.data + 1, whole.len - 2};
        assert_int_equal(nx_json_unescape(&out, raw), max >= 13 ? 0 : NX_E_LIMIT);
        nx_buf_free(&out);
        nx_buf_init(&out, max < 4 ? max : 3);
        assert_int_equal(nx_json_append_key(&out, "k"), NX_E_LIMIT);
        assert_int_equal(nx_json_append_comma(&out), NX_E_LIMIT);
        nx_buf_free(&out);
    }
    nx_buf_free(&whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_in_order),
        cmocka_unit_test(callback_stops_the_walk),
        cmocka_unit_test(other_kinds_have_no_members),
        cmocka_unit_test(unscanned_texts_are_memory_safe),
        cmocka_unit_test(member_is_found_by_meaning),
        cmocka_unit_test(unescape_gives_utf8),
        cmocka_unit_test(malformed_escapes_are_refused),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(random_bytes_round_trip),
        cmocka_unit_test(all_code_units_round_trip),
        cmocka_unit_test(objects_are_built_with_commas),
        cmocka_unit_test(full_buffers_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
