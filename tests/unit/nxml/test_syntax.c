// SPDX-License-Identifier: Apache-2.0
// The lexical side of NXML: tags, attributes, entities, handler bodies, positions, caps.
#include "nxml_test.h"

#include "base/limits.h"

#define ERR "INVALID_SYNTAX"

static void test_minimal_panels(void **state) {
    (void)state;
    expect_valid("<NexusPanel/>");
    expect_valid("<NexusPanel></NexusPanel>");
    expect_valid("\xEF\xBB\xBF <!-- a panel --> <NexusPanel id='a-B_9' ></NexusPanel >\n<!-->-->");
    struct parsed r = parse_valid("<NexusPanel/>");
    assert_string_equal(r.def->title, "Untitled Panel");
    assert_string_equal(r.def->kind, "nxml");
    assert_string_equal(r.def->initial_state_json, "{}");
    assert_null(r.def->id);
    assert_null(r.def->view_json);
    parsed_free(&r);
}

static void test_documents_that_are_none(void **state) {
    (void)state;
    expect_error("", ERR, 1, 1);
    expect_error("  \n ", ERR, 1, 1);
    expect_error("<NexusPanel/>\n text", ERR, 2, 2);
    expect_error("<NexusPanel/><NexusPanel/>", ERR, 1, 14);
    expect_error("<Panel/>", "UNKNOWN_ELEMENT", 1, 1);
    expect_error("<!DOCTYPE x [<!ENTITY a 'b'>]><NexusPanel/>", ERR, 1, 1);
    expect_error("<?xml version='1.0'?>\n<NexusPanel/>", ERR, 1, 1);
    expect_error("<NexusPanel xmlns='urn:x'/>", "INVALID_ATTRIBUTE", 1, 13);
}

static void test_broken_tags(void **state) {
    (void)state;
    expect_error("<NexusPanel>", ERR, 1, 1);
    expect_error("<NexusPanel", ERR, 1, 1);
    expect_error("<NexusPanel>\n <Data>\n</NexusPanel>", ERR, 3, 1);
    expect_error("<NexusPanel></Data></NexusPanel>", ERR, 1, 13);
    expect_error(VIEW("<Text>a < b</Text>"), ERR, 1, 27);
    expect_error("<NexusPanel title=x></NexusPanel>", ERR, 1, 19);
    expect_error("<NexusPanel title='x></NexusPanel>", ERR, 1, 19);
    expect_error("<NexusPanel title='a'id='b'/>", ERR, 1, 22);
    expect_error("<NexusPanel title='a' % />", ERR, 1, 23);
    expect_error(PANEL("<!-- "), ERR, 1, 13);
    expect_error("<NexusPanel></NexusPanel x>", ERR, 1, 13);
    expect_valid("<NexusPanel title='a' id='b'/>");
}

// Errors of one source are all found, each in its place, in the order of the source.
static void test_several_errors(void **state) {
    (void)state;
    struct parsed r = parse("<NexusPanel id='no/pe'>\n"
                            "  <Data>\n"
                            "    <State name='1st'/>\n"
                            "    <Stat/>\n"
                            "    &bogus;\n"
                            "  </Dat>\n"
                            "  </Data>\n"
                            "</NexusPanel>");
    static const struct {
        const char *code;
        uint32_t line, column;
    } expected[] = {
        {"INVALID_ATTRIBUTE", 1, 17}, {"INVALID_IDENTIFIER", 3, 18}, {"UNKNOWN_ELEMENT", 4, 5},
        {"INVALID_SYNTAX", 5, 5},     {"INVALID_SYNTAX", 6, 3},
    };
    assert_int_equal(r.status, NX_E_INVALID);
    assert_int_equal(r.diags.count, 5);
    for (size_t i = 0; i < r.diags.count; i++) {
        assert_string_equal(r.diags.items[i].code, expected[i].code);
        assert_int_equal(r.diags.items[i].pos.line, expected[i].line);
        assert_int_equal(r.diags.items[i].pos.column, expected[i].column);
    }
    parsed_free(&r);
}

static void expect_title(const char *source, const char *title) {
    struct parsed r = parse_valid(source);
    assert_string_equal(r.def->title, title);
    parsed_free(&r);
}

static void test_attribute_values(void **state) {
    (void)state;
    expect_title("<NexusPanel title='a > b \"q\"'/>", "a > b \"q\"");
    expect_title("<NexusPanel title = \"it's\"/>", "it's");
    expect_title("<NexusPanel title/>", "true");
    expect_title("<NexusPanel title id='x'/>", "true");
    expect_title("<NexusPanel title='&lt;&gt;&amp;&quot;&apos;'/>", "<>&\"'");
    expect_title("<NexusPanel title='&#65;&#x1F600;&#xe9;'/>", "A\xF0\x9F\x98\x80\xC3\xA9");
    expect_title("<NexusPanel title='a && b &c &amp;lt;'/>", "a && b &c &lt;");
    expect_error("<NexusPanel title='ab&nbsp;'/>", ERR, 1, 22);
    expect_error("<NexusPanel title='x&#0;'/>", ERR, 1, 21);
    expect_error("<NexusPanel title='x&#xD800;'/>", ERR, 1, 21);
    expect_error("<NexusPanel title='x&#x110000;'/>", ERR, 1, 21);
    expect_error("<NexusPanel title='x&#x;'/>", ERR, 1, 21);
    expect_error("<NexusPanel title='x&#65'/>", ERR, 1, 21);
    expect_error("<NexusPanel title='x&#99999999999999999999;'/>", ERR, 1, 21);
    expect_error("<NexusPanel title='a' title='b'/>", "INVALID_ATTRIBUTE", 1, 23);
    // Columns count characters: the umlauts are one each.
    expect_error("<NexusPanel title='\xC3\xA4\xF0\x9F\x98\x80&x;'/>", ERR, 1, 22);
}

static void test_bytes(void **state) {
    (void)state;
    expect_error("<NexusPanel\n title='a\xFFz'/>", ERR, 2, 10);
    expect_error("<NexusPanel title='\xF0\x9F\x98\x80\xED\xA0\x80'/>", ERR, 1, 21);
    static const char nul[] = "<NexusPanel>\n\0</NexusPanel>";
    struct parsed r = parse_bytes(nul, sizeof nul - 1);
    assert_int_equal(r.status, NX_E_INVALID);
    assert_int_equal(r.diags.count, 1);
    assert_int_equal(r.diags.items[0].pos.line, 2);
    assert_int_equal(r.diags.items[0].pos.column, 1);
    parsed_free(&r);
}

// The handler's code and place; `line` and `column` are the file's.
static void expect_handler(const char *source, const char *code, uint32_t line, uint32_t column) {
    struct parsed r = parse_valid(source);
    assert_int_equal(r.def->tool_count, 1);
    const struct nx_handler_def *h = &r.def->tools[0].handler;
    assert_string_equal(h->code, code);
    assert_int_equal(h->code_len, strlen(code));
    assert_int_equal(h->pos.line, line);
    assert_int_equal(h->pos.column, column);
    parsed_free(&r);
}

static void test_handler_bodies(void **state) {
    (void)state;
    expect_handler(TOOL("<Handler>a < b && c > d</Handler>"), "a < b && c > d", 1, 44);
    expect_handler(TOOL("<Handler>\n  x &lt; <!-- y --> </Tool>\n</Handler>"),
                   "\n  x &lt; <!-- y --> </Tool>\n", 1, 44);
    expect_handler(TOOL("<Handler>\n \n<![CDATA[if (a</Handler>/.x) b]]> \n</Handler >"),
                   "if (a</Handler>/.x) b", 3, 10);
    expect_handler(TOOL("<Handler>s = '<![CDATA[</Handler>]]>'</Handler>"),
                   "s = '<![CDATA[</Handler>]]>'", 1, 44);
    expect_handler(TOOL("<Handler>'</Handle>' + '</Handlers>'</Handler>"),
                   "'</Handle>' + '</Handlers>'", 1, 44);
    expect_handler(TOOL("<Handler></Handler>"), "", 1, 44);
    expect_handler(TOOL("<Handler/>"), "", 1, 45);
    expect_handler("<NexusPanel>\r\n<Logic>\r\n<Tool name='t'>\r\n\t<Handler>\r\n\tx\r\n</Handler>"
                   "</Tool></Logic></NexusPanel>",
                   "\r\n\tx\r\n", 4, 11);
}

static void test_bad_handler_bodies(void **state) {
    (void)state;
    expect_error(TOOL("<Handler>x"), ERR, 1, 35);
    expect_error(TOOL("<Handler>x '<![CDATA['</Handler>"), ERR, 1, 35);
    expect_error(TOOL("<Handler><![CDATA[a]]> b</Handler>"), ERR, 1, 58);
    expect_error(TOOL("<Handler>\n<![CDATA[a]]><![CDATA[b]]></Handler>"), ERR, 2, 14);
}

// ---- Caps

// `open` `depth` times, `middle` `count` times, `close` `depth` times, as one source.
static struct parsed parse_repeated(const char *open, const char *middle, const char *close,
                                    size_t depth, size_t count) {
    struct nx_buf b;
    nx_buf_init(&b, 4 * NX_MAX_PANEL_SOURCE_BYTES);
    nx_buf_append_str(&b, "<NexusPanel><View><Layout>");
    for (size_t i = 0; i < depth; i++)
        nx_buf_append_str(&b, open);
    for (size_t i = 0; i < count; i++)
        nx_buf_append_str(&b, middle);
    for (size_t i = 0; i < depth; i++)
        nx_buf_append_str(&b, close);
    nx_buf_append_str(&b, "</Layout></View></NexusPanel>");
    struct parsed r = parse_bytes(b.data, b.len);
    nx_buf_free(&b);
    return r;
}

static void expect_cap(struct parsed r, const char *part) {
    assert_int_equal(r.status, NX_E_INVALID);
    assert_int_equal(r.diags.errors, 1);
    assert_non_null(strstr(r.diags.items[0].message, part));
    parsed_free(&r);
}

static void expect_within(struct parsed r) {
    assert_int_equal(r.status, 0);
    parsed_free(&r);
}

static void test_caps(void **state) {
    (void)state;
    const char *open = "<Container>", *close = "</Container>", *text = "<Text/>";
    expect_within(parse_repeated(open, "", close, NX_MAX_NXML_DEPTH - 3, 0));
    expect_cap(parse_repeated(open, "", close, NX_MAX_NXML_DEPTH - 2, 0), "deeper than 64");
    expect_cap(parse_repeated(open, "", close, 40000, 0), "deeper than 64");
    expect_within(parse_repeated("", text, "", 0, NX_MAX_NXML_ELEMENTS - 3));
    expect_cap(parse_repeated("", text, "", 0, NX_MAX_NXML_ELEMENTS - 2), "10000 elements");
    expect_cap(parse_repeated("", "          ", "", 0, NX_MAX_PANEL_SOURCE_BYTES / 10), "bytes");
}

static void test_attribute_cap(void **state) {
    (void)state;
    for (int count = NX_MAX_NXML_ATTRIBUTES; count <= NX_MAX_NXML_ATTRIBUTES + 1; count++) {
        struct nx_buf b;
        nx_buf_init(&b, NX_MAX_PANEL_SOURCE_BYTES);
        nx_buf_append_str(&b, "<NexusPanel><View><Text");
        for (int i = 0; i < count; i++)
            nx_buf_printf(&b, " a%d", i);
        nx_buf_append_str(&b, "/></View></NexusPanel>");
        struct parsed r = parse_bytes(b.data, b.len);
        if (count == NX_MAX_NXML_ATTRIBUTES)
            expect_within(r);
        else
            expect_cap(r, "256 attributes");
        nx_buf_free(&b);
    }
}

static void test_diagnostics_cap(void **state) {
    (void)state;
    struct parsed r = parse_repeated("", "<", "", 0, 5000);
    assert_int_equal(r.status, NX_E_INVALID);
    assert_int_equal(r.diags.count, NX_MAX_DIAGNOSTICS);
    assert_true(r.diags.errors >= 4999);
    assert_int_equal(r.diags.dropped, r.diags.errors - NX_MAX_DIAGNOSTICS);
    parsed_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimal_panels),
        cmocka_unit_test(test_documents_that_are_none),
        cmocka_unit_test(test_broken_tags),
        cmocka_unit_test(test_several_errors),
        cmocka_unit_test(test_attribute_values),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_handler_bodies),
        cmocka_unit_test(test_bad_handler_bodies),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_attribute_cap),
        cmocka_unit_test(test_diagnostics_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
