// SPDX-License-Identifier: Apache-2.0
// From a handler's arguments to a request, and what redirects make of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "ext/http_request.h"

static struct nx_domains domains;
static struct nx_error err;

static int set_up(void **state) {
    (void)state;
    return nx_domains_parse(&domains, "a.org,*.b.org,127.0.0.1,::1", &err);
}

static int tear_down(void **state) {
    (void)state;
    nx_domains_free(&domains);
    return 0;
}

static int read_call(const char *method, const char *args, struct nx_ext_http_request *out) {
    struct nx_ext_request call = {.method = nx_span_str(method), .args_json = nx_span_str(args)};
    if (nx_json_scan(call.args_json, NULL, &err))
        fail_msg("%s: %s", args, err.message);
    assert_true(nx_ext_http_has_method(call.method));
    err = (struct nx_error){0};
    return nx_ext_http_request_read(out, &call, &domains, &err);
}

static struct nx_ext_http_request good(const char *method, const char *args) {
    struct nx_ext_http_request request;
    if (read_call(method, args, &request))
        fail_msg("%s%s: %s", method, args, err.message);
    return request;
}

static void assert_url(const struct nx_ext_http_request *request, const char *wanted) {
    char *text = NULL;
    assert_int_equal(curl_url_get(request->url, CURLUPART_URL, &text, 0), CURLUE_OK);
    assert_string_equal(text, wanted);
    curl_free(text);
}

static bool has_line(const struct nx_ext_http_request *request, const char *line) {
    for (const struct curl_slist *at = request->headers; at; at = at->next)
        if (strcmp(at->data, line) == 0)
            return true;
    return false;
}

static void good_calls(void **state) {
    (void)state;
    struct nx_ext_http_request r = good("get", "[\"http://a.org/x y?q=\\u00fc\"]");
    assert_string_equal(r.method, "GET");
    assert_url(&r, "http://a.org/x%20y?q=%c3%bc");
    assert_true(r.follow && !r.has_body && r.timeout_ms == 0);
    nx_ext_http_request_free(&r);

    r = good("post", " [ \"https://x.b.org\" , {\"a\": [1, \"]\"]} , "
                     "{\"headers\": {\"X-A\": \"b\", \"X-N\": 5, \"X-E\": \"\", \"X-0\": null}, "
                     "\"timeoutMs\": 1.5e3, \"followRedirects\": false} ] ");
    assert_string_equal(r.method, "POST");
    assert_true(r.has_body && !r.follow && r.timeout_ms == 1500);
    assert_string_equal(r.body.data, "{\"a\": [1, \"]\"]}");
    assert_true(has_line(&r, "X-A: b") && has_line(&r, "X-N: 5") && has_line(&r, "X-E;"));
    assert_true(has_line(&r, "Content-Type: application/json"));
    assert_false(nx_ext_http_headers_has(r.headers, "x-0"));
    nx_ext_http_request_free(&r);

    r = good("put", "[\"http://a.org\", \"te\\u0000xt\\n\", {\"headers\": {\"content-type\": "
                    "\"text/csv\"}}]");
    assert_int_equal(r.body.len, 6);
    assert_memory_equal(r.body.data, "te\0xt\n", 6);
    assert_true(has_line(&r, "content-type: text/csv"));
    nx_ext_http_request_free(&r);

    r = good("post", "[\"http://a.org\", null, null]");
    assert_true(!r.has_body && !r.headers);
    nx_ext_http_request_free(&r);

    r = good("request", "[{\"method\": \"pAtch\", \"url\": \"HTTP://A.org:8080\", \"body\": 1}]");
    assert_string_equal(r.method, "PATCH");
    assert_url(&r, "http://A.org:8080/");
    nx_ext_http_request_free(&r);

    r = good("post", "[\"http://a.org\"]");
    assert_true(!r.has_body && !r.headers);
    nx_ext_http_request_free(&r);

    r = good("request", "[{\"url\": \"http://[::1]/\"}]");
    assert_string_equal(r.method, "GET");
    nx_ext_http_request_free(&r);

    r = good("delete", "[\"http://a.org.\", {\"body\": false, \"timeoutMs\": 1e300}]");
    assert_string_equal(r.body.data, "false");
    assert_int_equal(r.timeout_ms, NX_MAX_HTTP_EXT_TIMEOUT_MS);
    nx_ext_http_request_free(&r);

    // Spellings of one address are one host.
    r = good("get", "[\"http://0x7f.1/\"]");
    assert_url(&r, "http://127.0.0.1/");
    nx_ext_http_request_free(&r);
}

static void bad_calls(void **state) {
    (void)state;
    static const struct {
        const char *method, *args, *says;
    } cases[] = {
        {"get", "[]", "needs a URL"},
        {"get", "[null]", "needs a URL"},
        {"get", "[5]", "needs a URL"},
        {"get", "[\"\"]", "URL"},
        {"get", "[\"a.org\"]", "http://"},
        {"get", "[\"//a.org\"]", "http://"},
        {"get", "[\"/path\"]", "http://"},
        {"get", "[\"file:///etc/passwd\"]", "http://"},
        {"get", "[\"gopher://a.org\"]", "http://"},
        {"get", "[\"ftp://a.org\"]", "http://"},
        {"get", "[\"javascript:1\"]", "http://"},
        {"get", "[\"http://\"]", "URL"},
        {"get", "[\"http://user@a.org\"]", "user name"},
        {"get", "[\"http://user:pw@a.org\"]", "user name"},
        {"get", "[\"http://:pw@a.org\"]", "user name"},
        {"get", "[\"http://a.org@evil.org\"]", "user name"},
        {"get", "[\"http://evil.org\"]", "HTTP_ALLOWED_DOMAINS does not allow the host 'evil.org'"},
        {"get", "[\"http://b.org\"]", "does not allow"},
        {"get", "[\"http://evil.org#@a.org\"]", "does not allow"},
        {"get", "[\"http://evil.org?@a.org\"]", "does not allow"},
        {"get", "[\"http://evil.org\\\\@a.org\"]", "URL"},
        {"get", "[\"http://a.org\\u0000.evil.org\"]", "URL"},
        {"get", "[\"http://a.org\\r\\nX: y\"]", "URL"},
        {"get", "[\"http://a.org/\\r\\nX: y\"]", "URL"},
        {"get", "[\"http://a.org/ HTTP/1.1\\r\\nHost: b\"]", "URL"},
        {"get", "[\"http://a\\u2024org/\"]", "xn--"},
        {"get", "[\"http://\\uff41.org/\"]", "xn--"},
        {"get", "[\"http://a.org%2eevil.org/\"]", "does not allow"},
        {"get", "[\"http://a.org%00.evil.org/\"]", "URL"},
        {"get", "[\"http://a.org:99999/\"]", "URL"},
        {"get", "[\"http://2130706434/\"]", "does not allow"},
        {"get", "[\"http://[::ffff:127.0.0.1]/\"]", "does not allow"},
        {"get", "[\"http://a.org/\", 5]", "must be an object"},
        {"get", "[\"http://a.org/\", {}, 1]", "at most 2 arguments"},
        {"get", "[\"http://a.org/\", {\"body\": 1}]", "no option 'body'"},
        {"get", "[\"http://a.org/\", {\"proxy\": 1}]", "no option 'proxy'"},
        {"get", "[\"http://a.org/\", {\"timeoutMs\": 0}]", "timeoutMs"},
        {"get", "[\"http://a.org/\", {\"timeoutMs\": -5}]", "timeoutMs"},
        {"get", "[\"http://a.org/\", {\"timeoutMs\": \"5\"}]", "timeoutMs"},
        {"get", "[\"http://a.org/\", {\"followRedirects\": 1}]", "followRedirects"},
        {"get", "[\"http://a.org/\", {\"headers\": []}]", "must be an object"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"X\": {}}}]", "strings or numbers"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"X\": \"\\ud800\"}}]", "strings or numbers"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"\": \"a\"}}]", "name is not valid"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"X Y\": \"a\"}}]", "name is not valid"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"X:\": \"a\"}}]", "name is not valid"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"X\\r\\nY\": \"a\"}}]", "name is not valid"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"X\\u0000\": \"a\"}}]", "name is not valid"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"\\u00fc\": \"a\"}}]", "name is not valid"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"X\": \"a\\r\\nY: b\"}}]", "line break"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"X\": \"a\\nY: b\"}}]", "line break"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"X\": \"a\\rY: b\"}}]", "line break"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"X\": \"a\\u0000b\"}}]", "line break"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"host\": \"b\"}}]", "cannot be set"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"Connection\": \"b\"}}]", "cannot be set"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"TE\": \"b\"}}]", "cannot be set"},
        {"get", "[\"http://a.org/\", {\"headers\": {\"proxy-authorization\": \"b\"}}]",
         "cannot be"},
        {"post", "[\"http://a.org/\", 1, {\"headers\": {\"Content-Length\": 5}}]", "cannot be set"},
        {"post", "[\"http://a.org/\", 1, {\"headers\": {\"Transfer-Encoding\": \"chunked\"}}]",
         "cannot be set"},
        {"post", "[\"http://a.org/\", \"\\udc00\"]", "surrogate"},
        {"request", "[]", "needs a URL"},
        {"request", "[{\"url\": \"http://a.org\", \"method\": \"TRACE\"}]", "method must be"},
        {"request", "[{\"url\": \"http://a.org\", \"method\": \"CONNECT\"}]", "method must be"},
        {"request", "[{\"url\": \"http://a.org\", \"method\": \"GET / HTTP/1.1\\r\\n\"}]",
         "method must be"},
        {"request", "[{\"url\": \"http://a.org\", \"body\": 1}]", "GET takes no body"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_ext_http_request r;
        if (read_call(cases[i].method, cases[i].args, &r) == 0)
            fail_msg("%s%s is taken", cases[i].method, cases[i].args);
        if (!strstr(err.message, cases[i].says))
            fail_msg("%s%s: %s", cases[i].method, cases[i].args, err.message);
    }
}

// ["http://a.org", "aaa…"] or {"headers": {"X": "aaa…"}}, and so on: `len` letters between the two.
static int read_long(const char *method, const char *before, size_t len, const char *after) {
    struct nx_buf args;
    nx_buf_init(&args, 4 * NX_MAX_HTTP_EXT_BODY_BYTES);
    nx_buf_append_str(&args, before);
    memset(nx_buf_reserve(&args, len), 'a', len);
    args.len += len;
    nx_buf_append_str(&args, after);
    struct nx_ext_http_request r;
    int rc = read_call(method, args.data, &r);
    if (rc == 0)
        nx_ext_http_request_free(&r);
    nx_buf_free(&args);
    return rc;
}

static void limits(void **state) {
    (void)state;
    size_t body = NX_MAX_HTTP_EXT_BODY_BYTES;
    assert_int_equal(read_long("post", "[\"http://a.org\", \"", body, "\"]"), 0);
    assert_int_equal(read_long("post", "[\"http://a.org\", \"", body + 1, "\"]"), NX_E_LIMIT);
    assert_int_equal(read_long("post", "[\"http://a.org\", [\"", body - 4, "\"]]"), 0);
    assert_int_equal(read_long("post", "[\"http://a.org\", [\"", body - 3, "\"]]"), NX_E_LIMIT);
    size_t url = NX_MAX_HTTP_EXT_URL_BYTES - strlen("http://a.org/");
    assert_int_equal(read_long("get", "[\"http://a.org/", url, "\"]"), 0);
    assert_int_equal(read_long("get", "[\"http://a.org/", url + 1, "\"]"), NX_E_LIMIT);
    const char *value = "[\"http://a.org/\", {\"headers\": {\"X\": \"";
    assert_int_equal(read_long("get", value, NX_MAX_HTTP_EXT_SENT_HEAD - 100, "\"}}]"), 0);
    assert_int_equal(read_long("get", value, NX_MAX_HTTP_EXT_SENT_HEAD, "\"}}]"), NX_E_LIMIT);

    char many[4096] = "[\"http://a.org\", {\"headers\": {";
    size_t len = strlen(many);
    for (int i = 0; i < NX_MAX_HTTP_EXT_SENT_HEADERS; i++)
        len += (size_t)snprintf(many + len, sizeof many - len, "\"X%d\": 1, ", i);
    struct nx_ext_http_request r;
    snprintf(many + len, sizeof many - len, "\"Y\": null}}]");
    assert_int_equal(read_call("get", many, &r), 0);
    nx_ext_http_request_free(&r);
    snprintf(many + len, sizeof many - len, "\"Y\": 1}}]");
    assert_int_equal(read_call("get", many, &r), NX_E_LIMIT);
}

static void redirects(void **state) {
    (void)state;
    static const struct {
        const char *method, *from;
        long status;
        const char *to, *becomes; // NULL: refused
        bool keeps_secrets, keeps_body;
    } cases[] = {
        {"POST", "http://a.org/", 301, "http://a.org/2", "GET", true, false},
        {"POST", "http://a.org/", 302, "http://a.org/2", "GET", true, false},
        {"POST", "http://a.org/", 303, "http://a.org/2", "GET", true, false},
        {"PUT", "http://a.org/", 303, "http://a.org/2", "GET", true, false},
        {"PUT", "http://a.org/", 302, "http://a.org/2", "PUT", true, true},
        {"POST", "http://a.org/", 307, "http://A.org:80/2", "POST", true, true},
        {"POST", "http://a.org/", 308, "http://a.org/2", "POST", true, true},
        {"POST", "http://a.org/", 307, "http://x.b.org/", "POST", false, true},
        {"POST", "http://a.org/", 307, "http://a.org:81/", "POST", false, true},
        {"POST", "http://a.org/", 307, "https://a.org/", "POST", false, true},
        {"POST", "https://a.org/", 307, "http://a.org/", NULL, false, false},
        {"POST", "http://a.org/", 307, "http://evil.org/", NULL, false, false},
        {"POST", "http://a.org/", 307, "file:///etc/passwd", NULL, false, false},
        {"POST", "http://a.org/", 307, "ftp://a.org/", NULL, false, false},
        {"POST", "http://a.org/", 307, "http://u:p@a.org/", NULL, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char args[512];
        snprintf(args, sizeof args,
                 "[{\"url\": \"%s\", \"method\": \"%s\", \"body\": \"b\", \"headers\": "
                 "{\"authorization\": \"s\", \"Cookie\": \"s\", \"X-Kept\": \"k\"}}]",
                 cases[i].from, cases[i].method);
        struct nx_ext_http_request r = good("request", args);
        int rc = nx_ext_http_request_redirect(&r, cases[i].status, cases[i].to, &domains, &err);
        assert_int_equal(rc == 0, cases[i].becomes != NULL);
        if (rc == 0) {
            assert_string_equal(r.method, cases[i].becomes);
            assert_int_equal(r.has_body, cases[i].keeps_body);
            assert_int_equal(nx_ext_http_headers_has(r.headers, "Content-Type"),
                             cases[i].keeps_body);
            assert_int_equal(has_line(&r, "authorization: s"), cases[i].keeps_secrets);
            assert_int_equal(has_line(&r, "Cookie: s"), cases[i].keeps_secrets);
            assert_true(has_line(&r, "X-Kept: k"));
        }
        nx_ext_http_request_free(&r);
    }
    struct nx_ext_http_request head = good("head", "[\"http://a.org\"]");
    assert_int_equal(nx_ext_http_request_redirect(&head, 303, "http://a.org/2", &domains, &err), 0);
    assert_string_equal(head.method, "HEAD");
    nx_ext_http_request_free(&head);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_calls), cmocka_unit_test(bad_calls),
                                       cmocka_unit_test(limits), cmocka_unit_test(redirects)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
