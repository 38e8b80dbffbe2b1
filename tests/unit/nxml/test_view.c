// SPDX-License-Identifier: Apache-2.0
// The View as the JSON that clients get, and what a View may not be.
#include "nxml_test.h"

#include "base/json.h"

static void expect_view(const char *inside, const char *json) {
    char source[1024];
    snprintf(source, sizeof source,
             PANEL("<Data><State name='n'/></Data><Logic><Tool name='t'>" HANDLER
                   "</Tool></Logic><View>%s</View>"),
             inside);
    struct parsed r = parse_valid(source);
    assert_string_equal(r.def->view_json, json);
    assert_int_equal(nx_json_scan(nx_span_str(json), NULL, NULL), 0);
    parsed_free(&r);
}

static void expect_attr(const char *attr, const char *json) {
    char inside[256], whole[512];
    snprintf(inside, sizeof inside, "<Text %s/>", attr);
    snprintf(whole, sizeof whole, "{\"type\":\"Text\",\"attributes\":{%s},\"children\":[]}", json);
    expect_view(inside, whole);
}

static void test_tree(void **state) {
    (void)state;
    expect_view(
        "<Layout id='r'><!-- c --><Text>\n Hi &lt; <![CDATA[<b> ]]></Text>\n<Chart/></Layout>",
        "{\"type\":\"Layout\",\"attributes\":{\"id\":\"r\"},\"children\":["
        "{\"type\":\"Text\",\"attributes\":{},\"children\":[{\"text\":\"Hi <\"},"
        "{\"text\":\"<b>\"}]},"
        "{\"type\":\"Chart\",\"attributes\":{},\"children\":[]}]}");
}

static void test_attributes(void **state) {
    (void)state;
    expect_attr("a='x' b c=''", "\"a\":\"x\",\"b\":\"true\",\"c\":\"\"");
    expect_attr("a='\"\\'", "\"a\":\"\\\"\\\\\"");
    expect_attr("a='{$state.n}'", "\"a\":{\"$bind\":\"$state.n\"}");
    expect_attr("a='{ $state.n &gt; 1 }'", "\"a\":{\"$bind\":\"$state.n > 1\"}");
    expect_attr("a='{f({b: \"}\"})}'", "\"a\":{\"$bind\":\"f({b: \\\"}\\\"})\"}");
    expect_attr("a='{x} and {y}'", "\"a\":\"{x} and {y}\"");
    expect_attr("a='{x} '", "\"a\":\"{x} \"");
    expect_attr("a='{}' b='{ }' c='{x'", "\"a\":\"{}\",\"b\":\"{ }\",\"c\":\"{x\"");
    expect_attr("bind='$state.n'", "\"bind\":\"$state.n\"");
    expect_attr("bind='{$state.n}'", "\"bind\":{\"$bind\":\"$state.n\"}");
    expect_attr("trigger='t' args='[$state.n]'", "\"trigger\":\"t\",\"args\":\"[$state.n]\"");
    expect_attr("args='{a: 1}'", "\"args\":\"{a: 1}\"");
}

static void test_roots(void **state) {
    (void)state;
    expect_error(VIEW(""), "INVALID_SYNTAX", 1, 13);
    expect_error(VIEW("<Text/><Text/>"), "DUPLICATE_ELEMENT", 1, 26);
    expect_error(VIEW("hello <Text/>"), "INVALID_SYNTAX", 1, 19);
    expect_error(PANEL("<View mode='x'><Text/></View>"), "INVALID_ATTRIBUTE", 1, 19);
    expect_error(VIEW("<Text __proto__='x'/>"), "INVALID_ATTRIBUTE", 1, 25);
    expect_valid(VIEW("<Text/>"));
}

static void test_components(void **state) {
    (void)state;
    expect_no_warning(VIEW("<Layout><Container/><If/><Iterate/><Text/><Metric/><StatusBadge/>"
                           "<LogStream/><Chart/><Input/><Switch/><Button/><Action/></Layout>"),
                      "UNKNOWN_ELEMENT");
    expect_warning(VIEW("<Layout><Gauge/></Layout>"), "UNKNOWN_ELEMENT", 1, 27);
    expect_error(VIEW("<Layout><Handler>x</Handler></Layout>"), "UNKNOWN_ELEMENT", 1, 27);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_components),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
