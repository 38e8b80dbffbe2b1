// SPDX-License-Identifier: Apache-2.0
// The JSON scanner: grammar, UTF-8, depth, and bounds. Every text is scanned from a block of
// exactly its size, so that AddressSanitizer sees any read past its end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

static int scan(const char *text, size_t len, enum nx_json_kind *kind, struct nx_error *err) {
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    int rc = nx_json_scan(nx_span_of(len ? exact : NULL, len), kind, err);
    free(exact);
    return rc;
}

static void accepts(const char *text, size_t len, enum nx_json_kind expected) {
    struct nx_error err = {0};
    enum nx_json_kind kind = NX_JSON_NULL;
    if (scan(text, len, &kind, &err) != 0)
        fail_msg("refused %.*s: %s", (int)len, text, err.message);
    assert_int_equal(kind, expected);
}

static void refuses(const char *text, size_t len) {
    struct nx_error err = {0};
    if (scan(text, len, NULL, &err) != NX_E_INVALID)
        fail_msg("not refused: %.*s", (int)len, text);
    assert_int_equal(err.code, NX_E_INVALID);
    assert_non_null(strstr(err.message, "byte "));
}

#define ACCEPTS(text, kind) accepts(text, sizeof(text) - 1, kind)

static void valid_texts(void **state) {
    (void)state;
    ACCEPTS("null", NX_JSON_NULL);
    ACCEPTS("true", NX_JSON_BOOL);
    ACCEPTS("false", NX_JSON_BOOL);
    ACCEPTS(" \t\r\n0 \t\r\n", NX_JSON_NUMBER);
    ACCEPTS("\"\"", NX_JSON_STRING);
    ACCEPTS("[]", NX_JSON_ARRAY);
    ACCEPTS("{}", NX_JSON_OBJECT);
    ACCEPTS("[ ]", NX_JSON_ARRAY);
    ACCEPTS("{ }", NX_JSON_OBJECT);
    ACCEPTS("{\"\":0}", NX_JSON_OBJECT);
    ACCEPTS("{\"a\":1,\"a\":2}", NX_JSON_OBJECT);
    ACCEPTS(" { \"a\" : [ 1 , { \"b\" : [ ] } , \"c\" ] , \"d\" : { } } ", NX_JSON_OBJECT);
    ACCEPTS("[[],[[]],{},[{}],{\"a\":[{}]},null]", NX_JSON_ARRAY);
    ACCEPTS("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uFfFf\"", NX_JSON_STRING);
    ACCEPTS("\"\\ud800\"", NX_JSON_STRING);
    ACCEPTS("\"\\udc00\\ud800\\ud800\\udc00\"", NX_JSON_STRING);
    ACCEPTS("\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
            NX_JSON_STRING);
    ACCEPTS("\"\xe2\x80\xa8\xe2\x80\xa9\"", NX_JSON_STRING);
}

static void numbers(void **state) {
    (void)state;
    static const char *const good[] = {
        "0",    "-0",  "1",    "-1",    "10",      "1234567890", "0.0",   "-0.5",
        "1.25", "0e0", "0E+0", "1e-10", "1.5E400", "-1e+00",     "9e999", "123456789012345678901",
    };
    static const char *const bad[] = {
        "-",  "+1",  "01",    "-01", "00",    "1.",    ".5",   "-.5",      "1.e1",
        "1e", "1e+", "1e1.5", "0x1", "1_0",   "NaN",   "-NaN", "Infinity", "-Infinity",
        "1a", "1 2", "--1",   "-+1", "1e++1", "0.0.0", "1,",   "٣",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        accepts(good[i], strlen(good[i]), NX_JSON_NUMBER);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuses(bad[i], strlen(bad[i]));
}

static void invalid_texts(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "tru e",
        "undefined",
        "[",
        "]",
        "{",
        "}",
        "[,]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,,2]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "{'a':1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\"::1}",
        "{\"a\":1:2}",
        "[1}",
        "{\"a\":1]",
        "[[]",
        "[]]",
        "{}}",
        "{} {}",
        "[] []",
        "1,2",
        "\"a\" \"b\"",
        "\"",
        "\"a",
        "\"\\\"",
        "'a'",
        "\"\\x41\"",
        "\"\\u\"",
        "\"\\u12\"",
        "\"\\u123\"",
        "\"\\u123g\"",
        "\"\\U0041\"",
        "\"\\'\"",
        "\"\\0\"",
        "\"\\",
        "\"\\u",
        "\"\\u1234",
        "// c\n1",
        "/**/1",
        "1//",
        "\xef\xbb\xbf"
        "1",
        "\v1",
        "\f1",
        "\xc2\xa0"
        "1",
        "\"\t\"",
        "\"\n\"",
        "\"\x1f\"",
        "[\"a\",\n\"b]",
        "{\"a\":1,\"b\"",
        "{\"a\":[1,{\"b\":2}}",
        "[null,tru]",
        "[1]x",
        "{\"a\\q\":1}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuses(bad[i], strlen(bad[i]));
    refuses("1\0", 2);
    refuses("\0", 1);
    refuses("\"a\0b\"", 5);
    refuses("[1\0]", 4);
}

static void error_names_the_byte(void **state) {
    (void)state;
    struct nx_error err = {0};
    assert_int_equal(scan("{\"a\": tru}", 10, NULL, &err), NX_E_INVALID);
    assert_non_null(strstr(err.message, "byte 6:"));
    assert_int_equal(scan("[\"ab\xff\"]", 7, NULL, &err), NX_E_INVALID);
    assert_non_null(strstr(err.message, "byte 4: invalid UTF-8"));
}

// Whether four bytes start with a well-formed sequence, by decoding and encoding again; its length
// or 0.
static size_t reference_sequence(const unsigned char b[4]) {
    size_t n = b[0] < 0x80 ? 1 : (b[0] >> 5) == 6 ? 2 : (b[0] >> 4) == 14 ? 3 : 4;
    if (n == 4 && (b[0] >> 3) != 30)
        return 0;
    uint32_t code = n == 1 ? b[0] : b[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (b[i] >> 6 != 2)
            return 0;
        code = code << 6 | (b[i] & 0x3f);
    }
    size_t shortest = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (shortest != n || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return n;
}

// All leading pairs with telling third and fourth bytes, cut at every length, in and out of a
// string.
static void utf8_matches_the_reference(void **state) {
    (void)state;
    static const unsigned char tails[] = {0x00, 'a', 0x7f, 0x80, 0x8f, 0xbf, 0xc0, 0xe2, 0xff};
    enum { TAILS = sizeof tails };
    for (unsigned first = 0x80; first < 0x100; first++) {
        for (unsigned rest = 0; rest < 256 * TAILS * TAILS; rest++) {
            const unsigned char b[4] = {(unsigned char)first, (unsigned char)(rest & 255),
                                        tails[rest / 256 % TAILS], tails[rest / 256 / TAILS]};
            size_t n = reference_sequence(b);
            for (size_t len = 1; len <= 4; len++) {
                char text[6] = {'"'};
                memcpy(text + 1, b, len);
                text[len + 1] = '"';
                // Valid exactly if one whole sequence is there; longer ones are seen elsewhere.
                if (n > 0 && len > n)
                    break;
                bool valid = n == len;
                assert_int_equal(nx_utf8_valid(nx_span_of(b, len)), valid);
                assert_int_equal(nx_json_scan(nx_span_of(text, len + 2), NULL, NULL) == 0, valid);
            }
        }
    }
}

// A special byte at every place of a text of every length: the paths by word and by block must miss
// none. Blocks begin after nine words.
static void specials_are_seen_at_every_offset(void **state) {
    (void)state;
    char text[9 * 8 + 2 * 64 + 20];
    for (size_t len = 2; len < sizeof text; len++) {
        for (size_t at = 1; at + 1 < len; at++) {
            memset(text, 'a', len);
            text[0] = text[len - 1] = '"';
            accepts(text, len, NX_JSON_STRING);
            static const unsigned char bad[] = {0x00, 0x01, 0x1f, 0x80, 0xc0, 0xff, '"', '\\'};
            for (size_t i = 0; i < sizeof bad; i++) {
                text[at] = (char)bad[i];
                refuses(text, len);
                assert_int_equal(nx_utf8_valid(nx_span_of(text, len)), bad[i] < 0x80);
            }
            static const char good[] = " !#[]~\x7f";
            for (size_t i = 0; i + 1 < sizeof good; i++) {
                text[at] = good[i];
                accepts(text, len, NX_JSON_STRING);
            }
        }
    }
}

static void depth_limit_is_exact(void **state) {
    (void)state;
    enum { MOST = NX_JSON_MAX_DEPTH };
    char text[8 * (MOST + 1)];
    for (int pattern = 0; pattern < 3; pattern++) {
        for (size_t depth = MOST - 1; depth <= MOST + 1; depth++) {
            size_t len = 0;
            char closers[MOST + 1];
            for (size_t i = 0; i < depth; i++) {
                bool object = pattern == 1 || (pattern == 2 && i % 3 == 0);
                const char *open = object ? "{\"a\":" : "[";
                memcpy(text + len, open, strlen(open));
                len += strlen(open);
                closers[i] = object ? '}' : ']';
            }
            text[len++] = '1';
            for (size_t i = depth; i > 0; i--)
                text[len++] = closers[i - 1];
            struct nx_error err = {0};
            assert_int_equal(scan(text, len, NULL, &err), depth <= MOST ? 0 : NX_E_LIMIT);
            assert_int_equal(err.code, depth <= MOST ? 0 : NX_E_LIMIT);
        }
    }
}

// Brackets that never close, and siblings that do: depth counts nesting, not brackets.
static void many_brackets(void **state) {
    (void)state;
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES);
    assert_non_null(text);
    memset(text, '[', BYTES);
    assert_int_equal(scan(text, BYTES, NULL, NULL), NX_E_LIMIT);
    for (size_t i = 1; i + 3 < BYTES; i += 3)
        memcpy(text + i, "[],", 3);
    text[BYTES - 3] = '[';
    text[BYTES - 2] = ']';
    text[BYTES - 1] = ']';
    size_t tail = (BYTES - 4) % 3;
    memset(text + BYTES - 3 - tail, ' ', tail);
    accepts(text, BYTES, NX_JSON_ARRAY);
    free(text);
}

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

// Appends a random valid value.
static void generate(struct nx_buf *out, uint32_t *seed, int depth) {
    static const char *const scalars[] = {
        "null",
        "true",
        "false",
        "0",
        "-1.5e+3",
        "\"\"",
        "\"\\u00e9\\n\"",
        "\"h\xc3\xa9llo w\xc3\xb6rld\"",
        "\"\\\\\\\"\"",
        "12345678",
        "\"plain text that is longer than a word\"",
    };
    static const char *const spaces[] = {"", "", "", " ", "\n\t"};
    uint32_t pick = next_random(seed) % (depth > 0 ? 14 : 11);
    if (pick < 11) {
        nx_buf_append_str(out, scalars[pick]);
        return;
    }
    bool object = pick == 13;
    uint32_t count = next_random(seed) % 5;
    nx_buf_append_char(out, object ? '{' : '[');
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            nx_buf_append_char(out, ',');
        nx_buf_append_str(out, spaces[next_random(seed) % 5]);
        if (object)
            nx_buf_append_str(out, "\"k\\t\\\"\":");
        generate(out, seed, depth - 1);
        nx_buf_append_str(out, spaces[next_random(seed) % 5]);
    }
    nx_buf_append_char(out, object ? '}' : ']');
}

// Generated texts pass; each cut short fails unless it is a number; mutated ones never read out of
// bounds, and what still passes is walked without complaint.
static int count_member(void *user, struct nx_span raw_key, struct nx_span value) {
    (void)raw_key;
    assert_int_equal(nx_json_scan(value, NULL, NULL), 0);
    ++*(int *)user;
    return 0;
}

static void random_texts(void **state) {
    (void)state;
    uint32_t seed = 20260131;
    for (int round = 0; round < 4000; round++) {
        struct nx_buf text;
        nx_buf_init(&text, 1 << 20);
        nx_buf_append_char(&text, '[');
        generate(&text, &seed, 5);
        nx_buf_append_char(&text, ']');
        accepts(text.data, text.len, NX_JSON_ARRAY);
        refuses(text.data, next_random(&seed) % text.len);
        static const char bytes[] = "{}[]\",:\\ue0-1.tfn \x00\x1f\x80\xc3\xff";
        for (int i = 0; i < 4; i++)
            text.data[next_random(&seed) % text.len] = bytes[next_random(&seed) % sizeof bytes];
        char *exact = malloc(text.len);
        assert_non_null(exact);
        memcpy(exact, text.data, text.len);
        struct nx_span span = {exact, text.len};
        enum nx_json_kind kind = NX_JSON_NULL;
        int members = 0;
        if (nx_json_scan(span, &kind, NULL) == 0 && kind == NX_JSON_OBJECT)
            assert_int_equal(nx_json_each_member(span, count_member, &members), 0);
        free(exact);
        nx_buf_free(&text);
    }
}

// A string has one spelling: two surrogates that make a character are written as that.
static void wtf8_has_no_pairs(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"\xed\xa0\x80", true},                           // high alone
        {"\xed\xb0\x80", true},                           // low alone
        {"\xed\xb0\x80\xed\xa0\x80", true},               // low, high: no pair
        {"\xed\xa0\x80\xed\xa0\x80", true},               // high, high
        {"\xed\xa0\x80 \xed\xb0\x80", true},              // apart
        {"\xed\xa0\x80\xed\xb0\x80", false},              // U+10000
        {"\xed\xaf\xbf\xed\xbf\xbf", false},              // U+10FFFF
        {"a\xed\xa0\x80\xed\xa0\x80\xed\xb0\x80", false}, // the second and the third
        {"\xf0\x90\x80\x80", true},
        {"\xed\xa0\x80\xed\xb0", false}, // cut
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (nx_wtf8_valid(nx_span_str(cases[i].text)) != cases[i].valid)
            fail_msg("case %zu", i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts),
        cmocka_unit_test(numbers),
        cmocka_unit_test(invalid_texts),
        cmocka_unit_test(error_names_the_byte),
        cmocka_unit_test(utf8_matches_the_reference),
        cmocka_unit_test(wtf8_has_no_pairs),
        cmocka_unit_test(specials_are_seen_at_every_offset),
        cmocka_unit_test(depth_limit_is_exact),
        cmocka_unit_test(many_brackets),
        cmocka_unit_test(random_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
