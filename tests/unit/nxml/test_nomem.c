// SPDX-License-Identifier: Apache-2.0
// Memory that runs out at any point of a parse: NX_E_NOMEM, nothing lost, nothing half done. The
// test stands in front of the C library's allocator, which the sanitizers do too: with them it
// only checks that the sources are fit for it.
#include "nxml_test.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static const char nxml_source[] =
    "<NexusPanel id='p' title='a &amp; b' description='d'>"
    "<Data><State name='n' type='number'/><Computed name='c' value='$state.n'/></Data>"
    "<Logic><Extension name='nexus.http'/><Capabilities><Capability type='state:read' scope='*'/>"
    "</Capabilities><Tool name='go' trigger='cron:* * * * *'><Arg name='a' default='x'/>"
    "<Capabilities><Capability type='ext:http'/></Capabilities>"
    "<Handler>$ext.http.get($state.n)</Handler></Tool>"
    "<Lifecycle on='mount'><Handler>1</Handler></Lifecycle></Logic>"
    "<View><Text id='i' a='{$state.n}'>x</Text></View></NexusPanel>";

static const char json_source[] =
    "{\"id\":\"p\",\"kind\":\"k\",\"tools\":[{\"name\":\"go\",\"handler\":\"$state.n\",\"args\":"
    "[{\"name\":\"a\",\"type\":\"list\",\"default\":[1]}],\"capabilities\":[\"state:read:n\"],"
    "\"trigger\":{\"type\":\"event\",\"pattern\":\"e\"}}],\"initialState\":{\"n\":1},"
    "\"lifecycle\":{\"mount\":{\"handler\":\"1\"}}}";

static const char wrapped_source[] =
    "{\"id\":\"w\",\"source\":\"<NexusPanel><Data><State name='a'/></Data></NexusPanel>\"}";

static const char broken_source[] = "<NexusPanel id='/'><Data><State/></Data><View/></NexusPanel>";

#ifndef SANITIZED

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *memory);

static bool armed;        // counts and fails only while a parse runs
static size_t until_fail; // allocations that still succeed
static long balance;      // allocated and not yet freed
static size_t failures;

static bool refuse(void) {
    if (!armed || until_fail-- > 0)
        return false;
    until_fail = 0; // once memory is out it stays out
    failures++;
    return true;
}

static void *count(void *memory) {
    balance += armed && memory;
    return memory;
}

void *malloc(size_t size) {
    return refuse() ? NULL : count(__libc_malloc(size));
}

// The C library names its parameters otherwise.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
void *calloc(size_t n, size_t size) {
    return refuse() ? NULL : count(__libc_calloc(n, size));
}

void *realloc(void *old, size_t size) {
    if (refuse())
        return NULL;
    void *memory = __libc_realloc(old, size);
    return old ? memory : count(memory);
}

void free(void *memory) {
    balance -= armed && memory;
    __libc_free(memory);
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)

// Parses with memory for `allocations` of them; returns the parse's status.
static int parse_within(const char *source, size_t allocations) {
    struct nx_panel_def *def = NULL;
    struct nx_diagnostics diags = {0};
    struct nx_span text = nx_span_str(source);
    balance = 0;
    failures = 0;
    until_fail = allocations;
    armed = true;
    int status = nx_panel_def_parse(text, &def, &diags);
    bool has_def = def != NULL;
    nx_panel_def_free(def);
    nx_diagnostics_free(&diags);
    armed = false;
    assert_int_equal(balance, 0);
    assert_int_equal(has_def, status == 0);
    return status;
}

// Lets every allocation of the parse fail in turn, until it comes through with `expected`.
static void exhaust(const char *source, int expected) {
    size_t allocations = 0;
    for (;; allocations++) {
        int status = parse_within(source, allocations);
        if (failures == 0) {
            assert_int_equal(status, expected);
            break;
        }
        assert_int_equal(status, NX_E_NOMEM);
    }
    assert_true(allocations > 3);
}

static void test_exhausted(void **state) {
    (void)state;
    exhaust(nxml_source, 0);
    exhaust(json_source, 0);
    exhaust(wrapped_source, 0);
    exhaust(broken_source, NX_E_INVALID);
}

static void test_binding(void **state) {
    (void)state;
    struct parsed r = parse_valid(json_source);
    struct nx_buf out;
    struct nx_error err = {0};
    nx_buf_init(&out, 4096);
    struct nx_span args = nx_span_str("{\"\\u0061\":[1]}");
    until_fail = 0;
    armed = true;
    int status = nx_tool_bind_args(&r.def->tools[0], args, &out, &err);
    armed = false;
    assert_int_equal(status, NX_E_NOMEM);
    nx_buf_reset(&out);
    assert_int_equal(nx_tool_bind_args(&r.def->tools[0], args, &out, &err), 0);
    assert_string_equal(out.data, "{\"a\":[1]}");
    nx_buf_free(&out);
    parsed_free(&r);
}

#endif

static void test_sources(void **state) {
    (void)state;
    expect_valid(nxml_source);
    expect_valid(json_source);
    expect_valid(wrapped_source);
    struct parsed r = parse(broken_source);
    assert_int_equal(r.diags.errors, 3);
    parsed_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),
#ifndef SANITIZED
        cmocka_unit_test(test_exhausted),
        cmocka_unit_test(test_binding),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
