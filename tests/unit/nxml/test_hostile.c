// SPDX-License-Identifier: Apache-2.0
// Sources that mean harm: mutated, cut short, random, and built to be slow. Whatever comes, the
// answer is a definition that holds together or findings that say why not.
#include "nxml_test.h"

#include <time.h>

#include "base/json.h"
#include "base/limits.h"

static const char nxml_sample[] =
    "<!-- sample --><NexusPanel id='p' title=\"T &amp; &#x1F600;\" tags='a,b'>\n"
    "<Data><State name='n' type='number' default='1'/><State name='l' type='list' default='[1]'/>"
    "<Computed name='c' value='$state.n &lt; 2 ? `${$state.l}` : /x/'/></Data>\n"
    "<Logic><Extension name='nexus.http'/><Capabilities><Capability type='state:read' scope='*'/>"
    "</Capabilities><Tool name='go' trigger='cron:*/5 1-2,3 * * *' timeoutMs='10'>"
    "<Arg name='a' type='object' default='{}' required='false' description='d'/>"
    "<Capabilities><Capability type='ext:http'/></Capabilities>"
    "<Handler><![CDATA[ if (a < b && $ext.http) $emit('x', $state['n']) ]]></Handler></Tool>"
    "<Lifecycle on='mount'><Handler>$view.focus('i') // </Handler></Lifecycle></Logic>\n"
    "<View><Layout id='r'><Text a='{$state.n}'>x {$state.c} y</Text>"
    "<Button trigger='go' args='[{\"a\": $state.n}]' bind='$state.n' disabled/></Layout></View>"
    "</NexusPanel>";

static const char json_sample[] =
    "{\"id\":\"p\",\"kind\":\"k\",\"title\":\"T\\u00e4\",\"tools\":[{\"name\":\"go\",\"handler\":"
    "\"$state.n = `${1}`\",\"args\":{\"a\":{\"type\":\"list\",\"default\":[1,{\"b\":null}]}},"
    "\"capabilities\":[\"state:write:n\",\"ext:*\"],\"trigger\":{\"type\":\"interval\",\"ms\":500},"
    "\"timeoutMs\":5,\"description\":\"d\"}],\"initialState\":{\"n\":[1,2.5e3,true]},"
    "\"capabilities\":[],\"lifecycle\":[{\"on\":\"mount\",\"handler\":\"1\"}],\"metadata\":{}}";

static const char wrapped_sample[] = "{\"id\":\"w\",\"source\":\"<NexusPanel title='x'><Data>"
                                     "<State name='a'/></Data></NexusPanel>\"}";

static uint64_t seed = 0x9E3779B97F4A7C15u;

static size_t random_below(size_t bound) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % bound);
}

// A definition that was accepted holds together.
static void check_definition(const struct nx_panel_def *def) {
    assert_int_equal(nx_json_scan(nx_span_str(def->initial_state_json), NULL, NULL), 0);
    if (def->view_json)
        assert_int_equal(nx_json_scan(nx_span_str(def->view_json), NULL, NULL), 0);
    for (size_t i = 0; i < def->tool_count; i++) {
        const struct nx_tool_def *t = &def->tools[i];
        assert_non_null(t->name);
        assert_int_equal(strlen(t->handler.code), t->handler.code_len);
        assert_true(nx_utf8_valid(nx_span_str(t->handler.code)));
        for (size_t a = 0; a < t->arg_count; a++)
            assert_non_null(t->args[a].name);
    }
}

// Parses a copy of exactly `len` bytes, so that a read past the end is seen by the sanitizer.
static void try_source(const char *data, size_t len) {
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    struct parsed r = parse_bytes(copy, len);
    if (r.def)
        check_definition(r.def);
    for (size_t i = 0; i < r.diags.count; i++)
        assert_true(r.diags.items[i].pos.line <= len + 1 && r.diags.items[i].pos.column <= len + 1);
    parsed_free(&r);
    free(copy);
}

static void try_truncations(const char *sample, size_t len) {
    for (size_t cut = 0; cut <= len; cut++)
        try_source(sample, cut);
}

// Replaces, inserts, removes or repeats a few bytes of `data`, which has room for more.
static size_t mutate(char *data, size_t len, size_t room) {
    static const char spice[] = "<>/'\"&;={}[]!-$`\\ \n\x80\xFF\xF0:*.,";
    for (size_t edits = 1 + random_below(4); edits > 0 && len > 1; edits--) {
        size_t at = random_below(len), span = 1 + random_below(12);
        if (span > len - at)
            span = len - at;
        switch (random_below(4)) {
        case 0:
            data[at] = (char)random_below(256);
            break;
        case 1:
            data[at] = spice[random_below(sizeof spice - 1)];
            break;
        case 2:
            memmove(data + at, data + at + span, len - at - span);
            len -= span;
            break;
        default:
            if (len + span > room)
                break;
            memmove(data + at + span, data + at, len - at);
            len += span;
        }
    }
    return len;
}

static void try_mutations(const char *sample, size_t len, int rounds) {
    char data[4096];
    assert_true(len < sizeof data / 2);
    for (int i = 0; i < rounds; i++) {
        memcpy(data, sample, len);
        try_source(data, mutate(data, len, sizeof data));
    }
}

static void test_samples_are_valid(void **state) {
    (void)state;
    expect_valid(nxml_sample);
    expect_valid(json_sample);
    expect_valid(wrapped_sample);
}

static void test_truncated(void **state) {
    (void)state;
    try_truncations(nxml_sample, sizeof nxml_sample - 1);
    try_truncations(json_sample, sizeof json_sample - 1);
    try_truncations(wrapped_sample, sizeof wrapped_sample - 1);
}

static void test_mutated(void **state) {
    (void)state;
    try_mutations(nxml_sample, sizeof nxml_sample - 1, 20000);
    try_mutations(json_sample, sizeof json_sample - 1, 20000);
    try_mutations(wrapped_sample, sizeof wrapped_sample - 1, 5000);
}

static void test_random(void **state) {
    (void)state;
    char data[256];
    for (int round = 0; round < 20000; round++) {
        size_t len = random_below(sizeof data);
        for (size_t i = 0; i < len; i++)
            data[i] = (char)random_below(round % 2 ? 256 : 128);
        try_source(data, len);
        if (len && round % 4 == 0)
            data[0] = '<';
        try_source(data, len);
    }
}

// ---- Slow ones

// A source of about `total` bytes: `head`, then `piece` again and again (%zu in it is a running
// number), then `tail`. Whatever the answer is, it comes soon.
static void try_big(const char *head, const char *piece, const char *tail, size_t total) {
    struct nx_buf b;
    nx_buf_init(&b, total + 4096);
    nx_buf_append_str(&b, head);
    const char *number = strstr(piece, "%");
    for (size_t i = 0; b.len + 256 < total; i++) {
        nx_buf_append(&b, piece, number ? (size_t)(number - piece) : strlen(piece));
        if (number) {
            nx_buf_printf(&b, "%zu", i);
            nx_buf_append_str(&b, number + 1);
        }
    }
    nx_buf_append_str(&b, tail);
    assert_int_equal(b.failed, 0);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    try_source(b.data, b.len);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    nx_buf_free(&b);
    // Quadratic work on a source of this size takes minutes; what is linear takes tens of
    // milliseconds, some ten times that under the sanitizers.
    if (after.tv_sec - before.tv_sec > 8)
        fail_msg("%s… took over 8 s", piece);
}

#define MOST (NX_MAX_PANEL_SOURCE_BYTES - 4096)

static void test_slow_nxml(void **state) {
    (void)state;
    const char *logic = "<NexusPanel><Logic>", *end = "</Logic></NexusPanel>";
    const char *handler = "<NexusPanel><Logic><Tool name='t'><Handler>";
    const char *handler_end = "</Handler></Tool></Logic></NexusPanel>";
    try_big("<NexusPanel ", "a% ", "/>", MOST);
    try_big("", "<a b% c d e f g>", "", MOST);
    try_big("<NexusPanel title='", "&lt;", "'/>", MOST);
    try_big("<NexusPanel title='", "&#99999;", "'/>", MOST);
    try_big("<NexusPanel title='", "&x;", "'/>", MOST);
    try_big("<NexusPanel>", "<!-- % -->", "</NexusPanel>", MOST);
    try_big("<NexusPanel>", "x<!-- -->", "</NexusPanel>", MOST);
    try_big("<NexusPanel><Data>", "<State name='s%'/>", "</Data></NexusPanel>", MOST / 8);
    try_big("<NexusPanel><Data>", "<State name='s'/>", "</Data></NexusPanel>", MOST / 8);
    try_big(logic, "<Tool name='t%'><Handler>$state.a</Handler></Tool>", end, MOST / 8);
    try_big(logic, "<Capabilities/>", end, MOST / 8);
    try_big(handler, "$ext.a% ", handler_end, MOST);
    try_big(handler, "\n$state.a%", handler_end, MOST);
    try_big(handler, "`${", handler_end, MOST);
    try_big(handler, "$emit('", handler_end, MOST);
    try_big(handler, "</Handler ", handler_end, MOST);
    try_big(handler, "/*", handler_end, MOST);
    try_big(handler, "<![CDATA[", handler_end, MOST);
    try_big("<NexusPanel><View><Text a='{", "$state.a% ", "}'/></View></NexusPanel>", MOST);
    try_big("<NexusPanel><View><Text a='", "$state", "'/></View></NexusPanel>", MOST);
    try_big("<NexusPanel><View><Text>", "<Text id='%' a='{$state.b}'/>",
            "</Text></View></NexusPanel>", MOST / 4);
}

static void test_slow_json(void **state) {
    (void)state;
    const char *tools = "{\"kind\":\"k\",\"tools\":[", *end = "]}", *more = "{}]}";
    try_big(tools, "{\"name\":\"t%\",\"handler\":\"1\"},", more, MOST / 8);
    try_big(tools, "{\"name\":\"t\",\"handler\":\"1\"},", more, MOST / 8);
    try_big(tools, "{},", more, NX_MAX_PANEL_JSON_BYTES - 4096);
    try_big(tools, "[", end, MOST);
    try_big("{\"kind\":\"k\",\"tools\":[],\"initialState\":{\"a\":0", ",\"k%\":{}", "}}", MOST);
    try_big("{\"kind\":\"k\",\"tools\":[]", ",\"k%\":1", "}", MOST);
    try_big("{\"kind\":\"k\",\"tools\":[{\"name\":\"t\",\"handler\":\"1\",\"capabilities\":[",
            "\"state:read:%\",", "\"ext:*\"]}]}", MOST);
    try_big("{\"source\":\"", "\\u003c", "\"}", MOST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_are_valid), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_mutated),           cmocka_unit_test(test_random),
        cmocka_unit_test(test_slow_nxml),         cmocka_unit_test(test_slow_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
