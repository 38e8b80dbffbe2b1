// SPDX-License-Identifier: Apache-2.0
// Patterns of event names, also against a plain matcher that tries everything.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kernel/glob.h"

static bool match(const char *pattern, const char *text) {
    return nx_glob_match(nx_span_str(pattern), nx_span_str(text));
}

static void matches_and_not(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"*", "", true},
        {"*", "anything", true},
        {"", "", true},
        {"", "a", false},
        {"order", "order", true},
        {"order", "orders", false},
        {"order.*", "order.", true},
        {"order.*", "order.paid", true},
        {"order.*", "order", false},
        {"*.paid", "order.paid", true},
        {"*.paid", ".paid", true},
        {"*.paid", "paid", false},
        {"a*a", "a", false},
        {"a*a", "aa", true},
        {"a*b*c", "axbxc", true},
        {"a*b*c", "acb", false},
        {"*b*", "abc", true},
        {"*ab*ba*", "aba", false},
        {"*ab*ba*", "abba", true},
        {"a**b", "ab", true},
        {"?", "x", false},
        {"?", "?", true},
        {"[ab]", "a", false},
        {"Order", "order", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (match(cases[i].pattern, cases[i].text) != cases[i].matches)
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].text);
}

static bool plainly(const char *pattern, const char *text) {
    if (*pattern == '*')
        return plainly(pattern + 1, text) || (*text && plainly(pattern, text + 1));
    if (*pattern == 0 || *text == 0)
        return *pattern == *text;
    return *pattern == *text && plainly(pattern + 1, text + 1);
}

static void fill(char *text, const char *letters, unsigned number) {
    size_t count = strlen(letters), i = 0;
    for (; number; number /= (unsigned)count + 1)
        text[i++] = letters[number % ((unsigned)count + 1) % count];
    text[i] = 0;
}

static void agrees_with_a_plain_matcher(void **state) {
    (void)state;
    char pattern[16], text[16];
    unsigned agreed = 0;
    for (unsigned p = 0; p < 1024; p++) {
        fill(pattern, "ab*", p);
        for (unsigned t = 0; t < 729; t++) {
            fill(text, "ab", t);
            if (match(pattern, text) != plainly(pattern, text))
                fail_msg("'%s' and '%s'", pattern, text);
            agreed += plainly(pattern, text);
        }
    }
    assert_true(agreed > 10000);
}

// A matcher that goes back would take the product of the lengths, or worse.
static void takes_no_longer_for_bad_patterns(void **state) {
    (void)state;
    static char pattern[1025], text[1025];
    for (int i = 0; i < 1024; i++) {
        pattern[i] = i % 2 ? 'a' : '*';
        text[i] = 'a';
    }
    pattern[1023] = 'b';
    text[1023] = 'c';
    uint64_t began = nx_clock_monotonic_ns();
    for (int i = 0; i < 1000; i++)
        assert_false(match(pattern, text));
    assert_true(nx_clock_monotonic_ns() - began < UINT64_C(5000000000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_and_not),
        cmocka_unit_test(agrees_with_a_plain_matcher),
        cmocka_unit_test(takes_no_longer_for_bad_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
