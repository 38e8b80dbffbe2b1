// SPDX-License-Identifier: Apache-2.0
// What a handler gets of a response, whatever a server sends.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "ext/http_response.h"

static bool feed(struct nx_ext_http_response *r, const char *lines) {
    for (const char *p = lines; *p;) {
        const char *end = strchrnul(p, '\n');
        size_t len = (size_t)(end - p) + (*end == '\n');
        if (nx_ext_http_response_line(r, p, len))
            return false;
        p += len;
    }
    return true;
}

static void assert_rendered(const char *head, const char *body, size_t len, long status,
                            const char *wanted) {
    struct nx_ext_http_response r;
    struct nx_buf out;
    nx_ext_http_response_init(&r, 4096);
    nx_buf_init(&out, 65536);
    assert_true(feed(&r, head));
    nx_buf_append(&r.body, body, len);
    assert_int_equal(nx_ext_http_response_render(&r, status, &out), 0);
    assert_int_equal(nx_json_scan(nx_buf_span(&out), NULL, NULL), 0);
    assert_string_equal(out.data, wanted);
    nx_ext_http_response_free(&r);
    nx_buf_free(&out);
}

#define RENDERED(head, body, status, wanted)                                                       \
    assert_rendered(head, body, sizeof(body) - 1, status, wanted)

static void rendering(void **state) {
    (void)state;
    RENDERED("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", " {\"a\": [1]} ", 200,
             "{\"status\":200,\"statusText\":\"OK\",\"headers\":{\"content-type\":"
             "\"application/json\"},\"data\": {\"a\": [1]} ,\"ok\":true}");
    RENDERED("HTTP/1.1 404 Not  Here \r\nX: a\r\nSet-Cookie: 1\r\nx:  b\r\nset-cookie: 2\r\n\r\n",
             "te\xff\"xt\n", 404,
             "{\"status\":404,\"statusText\":\"Not  Here\",\"headers\":{\"x\":\"a, b\","
             "\"set-cookie\":[\"1\",\"2\"]},\"data\":\"te\xef\xbf\xbd\\\"xt\\n\",\"ok\":false}");
    RENDERED("HTTP/1.1 299\r\n\r\n", "", 299,
             "{\"status\":299,\"statusText\":\"\",\"headers\":{},\"data\":\"\",\"ok\":true}");
    // The head of an interim response is not that of the final one.
    RENDERED("HTTP/1.1 103 Early\r\nX: early\r\n\r\nHTTP/1.1 200 OK\r\nY: late\r\n\r\n", "b", 200,
             "{\"status\":200,\"statusText\":\"OK\",\"headers\":{\"y\":\"late\"},\"data\":\"b\","
             "\"ok\":true}");
    // Nor is a line with a name that is none, of which two could come out as one.
    RENDERED("HTTP/1.1 200 OK\r\nx\x80: 1\r\nx\x81: 2\r\nx y: 3\r\nX-Y : 4\r\n\r\n", "b", 200,
             "{\"status\":200,\"statusText\":\"OK\",\"headers\":{\"x-y\":\"4\"},\"data\":\"b\","
             "\"ok\":true}");
    RENDERED("HTTP/1.1 200 OK\r\n: no name\r\nno colon\r\n\r\n",
             "\xef\xbb\xbf"
             "b",
             200,
             "{\"status\":200,\"statusText\":\"OK\",\"headers\":{},\"data\":\"b\",\"ok\":true}");
}

static void content_types(void **state) {
    (void)state;
    static const struct {
        const char *type;
        bool json;
    } cases[] = {{"application/json", true},
                 {"Application/JSON; charset=utf-8", true},
                 {"application/problem+json", true},
                 {"text/json ;x", true},
                 {"text/plain", false},
                 {"application/jsonx", false},
                 {"application/x-json", false},
                 {"+json", false},
                 {"text/html; a=application/json", false},
                 {"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char head[128], wanted[256];
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n", cases[i].type);
        snprintf(wanted, sizeof wanted,
                 "{\"status\":200,\"statusText\":\"OK\",\"headers\":{\"content-type\":\"%s\"},"
                 "\"data\":%s,\"ok\":true}",
                 cases[i].type, cases[i].json ? "[1]" : "\"[1]\"");
        RENDERED(head, "[1]", 200, wanted);
    }
}

static void bodies_that_are_not_json(void **state) {
    (void)state;
#define JSON_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define FRAME(data)                                                                                \
    "{\"status\":200,\"statusText\":\"OK\",\"headers\":{\"content-type\":\"application/json\"},"   \
    "\"data\":" data ",\"ok\":true}"
    RENDERED(JSON_HEAD, "", 200, FRAME("\"\""));
    RENDERED(JSON_HEAD, "{", 200, FRAME("\"{\""));
    RENDERED(JSON_HEAD, "NaN", 200, FRAME("\"NaN\""));
    RENDERED(JSON_HEAD, "\"\xff\"", 200, FRAME("\"\\\"\xef\xbf\xbd\\\"\""));
    RENDERED(JSON_HEAD, "1\0", 200, FRAME("\"1\\u0000\""));
    // What would be JSON only inside the result.
    RENDERED(JSON_HEAD, "1,\"ok\":true,\"status\":1", 200,
             FRAME("\"1,\\\"ok\\\":true,\\\"status\\\":1\""));
    RENDERED(JSON_HEAD, "1},{\"a\":1", 200, FRAME("\"1},{\\\"a\\\":1\""));
    RENDERED(JSON_HEAD, "\xef\xbb\xbf[]", 200, FRAME("[]"));
}

static void depth(void **state) {
    (void)state;
    for (size_t levels = NX_JSON_MAX_DEPTH - 1; levels <= NX_JSON_MAX_DEPTH + 1; levels++) {
        char body[2 * NX_JSON_MAX_DEPTH + 4], wanted[2048];
        memset(body, '[', levels);
        memset(body + levels, ']', levels);
        body[2 * levels] = '\0';
        const char *quote = levels < NX_JSON_MAX_DEPTH ? "" : "\"";
        snprintf(wanted, sizeof wanted, FRAME("%s%s%s"), quote, body, quote);
        assert_rendered(JSON_HEAD, body, 2 * levels, 200, wanted);
    }
}

static void limits(void **state) {
    (void)state;
    struct nx_ext_http_response r;
    nx_ext_http_response_init(&r, 10);
    assert_true(feed(&r, "HTTP/1.1 200 OK\r\n"));
    for (int i = 0; i < NX_MAX_HTTP_EXT_HEADERS; i++)
        assert_true(feed(&r, "A: b\r\n"));
    assert_false(feed(&r, "A: b\r\n"));
    // Interim responses count, too, or they could go on for ever.
    nx_ext_http_response_reset(&r);
    size_t lines = 0;
    while (feed(&r, "HTTP/1.1 100 Continue\r\n"))
        lines++;
    assert_int_equal(lines, NX_MAX_HTTP_EXT_HEAD_BYTES / strlen("HTTP/1.1 100 Continue\r\n"));
    nx_ext_http_response_reset(&r);
    assert_true(feed(&r, "HTTP/1.1 200 OK\r\n"));
    assert_int_equal(nx_buf_append(&r.body, "0123456789", 10), 0);
    assert_int_not_equal(nx_buf_append(&r.body, "0", 1), 0);
    nx_ext_http_response_free(&r);
}

static void encodings(void **state) {
    (void)state;
    static const struct {
        const char *headers;
        bool taken;
    } cases[] = {
        {"Content-Encoding: gzip", true},
        {"content-encoding:  GZIP ", true},
        {"Content-Encoding: deflate", true},
        {"Content-Encoding: identity\r\nContent-Encoding: x-gzip", true},
        {"Content-Encoding:", true},
        {"Transfer-Encoding: chunked", true},
        {"Transfer-Encoding: chunked\r\nContent-Encoding: gzip", true},
        {"Content-Encoding: gzip, gzip", false},
        {"Content-Encoding: gzip,", false},
        {"Content-Encoding: gzip\r\nX: y\r\ncontent-encoding: gzip", false},
        {"Content-Encoding: br", false},
        {"Content-Encoding: zstd", false},
        {"Content-Encoding: x", false},
        {"Transfer-Encoding: gzip, chunked", false},
        {"Transfer-Encoding: gzip", false},
        // An interim response's are not the final one's.
        {"Content-Encoding: gzip\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: gzip", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_ext_http_response r;
        char head[256];
        nx_ext_http_response_init(&r, 10);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", cases[i].headers);
        if (feed(&r, head) != cases[i].taken)
            fail_msg("%s", cases[i].headers);
        nx_ext_http_response_free(&r);
    }
}

static void status_codes(void **state) {
    (void)state;
    static const struct {
        const char *line;
        bool taken;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n", true},  {"HTTP/1.1  200\r\n", true},
        {"HTTP/2 200 \r\n", true},      {"HTTP/1.1 99999 X\r\n", false},
        {"HTTP/1.1 99 X\r\n", false},   {"HTTP/1.1 200OK\r\n", false},
        {"HTTP/1.1 OK 200\r\n", false}, {"HTTP/1.1\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_ext_http_response r;
        nx_ext_http_response_init(&r, 10);
        if (feed(&r, cases[i].line) != cases[i].taken)
            fail_msg("%s", cases[i].line);
        nx_ext_http_response_free(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rendering),
        cmocka_unit_test(content_types),
        cmocka_unit_test(bodies_that_are_not_json),
        cmocka_unit_test(depth),
        cmocka_unit_test(limits),
        cmocka_unit_test(encodings),
        cmocka_unit_test(status_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
