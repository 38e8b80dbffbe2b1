// SPDX-License-Identifier: Apache-2.0
// The request parser: what it accepts, what it refuses, and that neither depends on how the bytes
// are cut into pieces.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "kernel/http_parse.h"

// Parses bytes in memory of exactly their size, so that a read past the end is caught.
static enum nx_http_parsed parse(const char *text, size_t len, struct nx_http_head *head) {
    char *copy = malloc(len + 1);
    assert_non_null(copy);
    char *exact = len ? realloc(copy, len) : copy;
    assert_non_null(exact);
    memcpy(exact, text, len);
    enum nx_http_parsed rc = nx_http_parse_head(nx_span_of(exact, len), head);
    memset(head->headers, 0, sizeof head->headers); // they point into what is freed now
    head->target = (struct nx_span){NULL, 0};
    free(exact);
    return rc;
}

static void assert_span(struct nx_span span, const char *text) {
    if (!nx_span_eq(span, nx_span_str(text)))
        fail_msg("'%.*s' is not '%s'", (int)span.len, span.data, text);
}

static void reads_a_request(void **state) {
    (void)state;
    static const char text[] =
        "POST /panels/a/trigger/b?x=1 HTTP/1.1\r\n"
        "host: h\r\nCONTENT-LENGTH: 12\r\nContent-Type:application/json \t\r\n"
        "X-Request-Id: id-1\r\nPrefer: wait=1, Respond-Async; x=y\r\n"
        "If-None-Match: \"7\"\r\nX-Other:\r\n\r\nbody";
    struct nx_http_head head;
    assert_int_equal(nx_http_parse_head(nx_span_str(text), &head), NX_HTTP_COMPLETE);
    assert_int_equal(head.method, NX_HTTP_POST);
    assert_span(head.target, "/panels/a/trigger/b?x=1");
    assert_span(head.headers[NX_HEADER_CONTENT_TYPE], "application/json");
    assert_span(head.headers[NX_HEADER_X_REQUEST_ID], "id-1");
    assert_span(head.headers[NX_HEADER_IF_NONE_MATCH], "\"7\"");
    assert_null(head.headers[NX_HEADER_ORIGIN].data);
    assert_true(head.keep_alive && head.respond_async && !head.chunked && !head.expect_continue);
    assert_int_equal(head.content_length, 12);
    assert_int_equal(head.bytes, sizeof text - 1 - 4);
}

static void every_beginning_is_incomplete(void **state) {
    (void)state;
    static const char text[] = "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    struct nx_http_head head;
    for (size_t len = 0; len < sizeof text - 1; len++)
        assert_int_equal(parse(text, len, &head), NX_HTTP_INCOMPLETE);
    assert_int_equal(parse(text, sizeof text - 1, &head), NX_HTTP_COMPLETE);
    assert_false(head.keep_alive);
}

static void methods_and_versions(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum nx_http_method method;
        bool keep_alive;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", NX_HTTP_GET, true},
        {"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", NX_HTTP_HEAD, true},
        {"DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", NX_HTTP_DELETE, true},
        {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", NX_HTTP_OPTIONS, true},
        {"get / HTTP/1.1\r\nHost: h\r\n\r\n", NX_HTTP_OTHER, true},
        {"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", NX_HTTP_OTHER, true},
        {"GET / HTTP/1.0\r\n\r\n", NX_HTTP_GET, false},
        {"\r\nGET / HTTP/1.1\r\nHost:\r\n\r\n", NX_HTTP_GET, true},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", NX_HTTP_GET, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_http_head head;
        if (parse(cases[i].text, strlen(cases[i].text), &head) != NX_HTTP_COMPLETE)
            fail_msg("%s", cases[i].text);
        assert_int_equal(head.method, cases[i].method);
        assert_int_equal(head.keep_alive, cases[i].keep_alive);
    }
}

static void refuses_what_could_be_read_in_two_ways(void **state) {
    (void)state;
#define LINE "POST / HTTP/1.1\r\nHost: h\r\n"
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\nHost: h\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400},
        {"\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400},
        {LINE "X: a\r\n Content-Length: 3\r\n\r\n", 400},
        {LINE " Content-Length: 3\r\n\r\n", 400},
        {LINE "Content-Length : 3\r\n\r\n", 400},
        {LINE "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
        {LINE "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400},
        {LINE "Content-Length: 3, 3\r\n\r\n", 400},
        {LINE "Content-Length: +3\r\n\r\n", 400},
        {LINE "Content-Length: -3\r\n\r\n", 400},
        {LINE "Content-Length: 0x3\r\n\r\n", 400},
        {LINE "Content-Length:\r\n\r\n", 400},
        {LINE "Content-Length: 99999999999999999999\r\n\r\n", 400},
        {LINE "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {LINE "Transfer-Encoding: chunked, chunked\r\n\r\n", 501},
        {LINE "Transfer-Encoding: identity\r\n\r\n", 501},
        {LINE "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {LINE "Host: h\r\n\r\n", 400},
        {LINE "X\r\n\r\n", 400},
        {LINE ": x\r\n\r\n", 400},
        {LINE "X y: x\r\n\r\n", 400},
        {LINE "X: a\x01z\r\n\r\n", 400},
        {LINE "X: a\x7fz\r\n\r\n", 400},
        {LINE "Expect: something\r\n\r\n", 417},
        {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
        {"GET /\r\n", 400},
        {" GET / HTTP/1.1\r\n", 400},
        {"G(T / HTTP/1.1\r\n", 400},
        {"GET /a#b HTTP/1.1\r\n", 400},
        {"GET /\x80 HTTP/1.1\r\n", 400},
        {"GET / http/1.1\r\n", 400},
        {"GET / HTTP/2.0\r\n", 505},
        {"\r\n\r\n", 400},
        {"\x16\x03\x01\x02\r\n", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_http_head head;
        enum nx_http_parsed rc = parse(cases[i].text, strlen(cases[i].text), &head);
        if (rc != NX_HTTP_REFUSED || head.fault_status != cases[i].status)
            fail_msg("%s: %d, status %d", cases[i].text, rc, head.fault_status);
        assert_non_null(head.fault_message);
    }
}

static void refuses_nul(void **state) {
    (void)state;
    static const char text[] = LINE "X: a\0b\r\n\r\n";
    struct nx_http_head head;
    assert_int_equal(parse(text, sizeof text - 1, &head), NX_HTTP_REFUSED);
}

// The largest head is accepted, one byte more is not, whole or unfinished.
static void head_size_is_exact(void **state) {
    (void)state;
    char *text = malloc(NX_MAX_HTTP_HEAD_BYTES + 8);
    assert_non_null(text);
    struct nx_http_head head;
    for (size_t over = 0; over < 2; over++) {
        size_t size = NX_MAX_HTTP_HEAD_BYTES + over;
        memset(text, 'x', size);
        memcpy(text, LINE "X: ", sizeof LINE "X: " - 1);
        memcpy(text + size - 4, "\r\n\r\n", 4);
        enum nx_http_parsed rc = parse(text, size, &head);
        assert_int_equal(rc, over ? NX_HTTP_REFUSED : NX_HTTP_COMPLETE);
        if (over)
            assert_int_equal(head.fault_status, 431);
    }
    memset(text, 'x', NX_MAX_HTTP_HEAD_BYTES);
    assert_int_equal(parse(text, NX_MAX_HTTP_HEAD_BYTES - 1, &head), NX_HTTP_INCOMPLETE);
    assert_int_equal(parse(text, NX_MAX_HTTP_HEAD_BYTES, &head), NX_HTTP_REFUSED);
    assert_int_equal(head.fault_status, 414);
    free(text);
}

static void target_and_header_count_are_bounded(void **state) {
    (void)state;
    struct nx_http_head head;
    for (int over = 0; over < 2; over++) {
        struct nx_buf b;
        nx_buf_init(&b, 65536);
        nx_buf_append_str(&b, "GET /");
        for (int i = 1; i < NX_MAX_HTTP_TARGET_BYTES + over; i++)
            nx_buf_append_char(&b, 'a');
        nx_buf_append_str(&b, " HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_int_equal(parse(b.data, b.len, &head), over ? NX_HTTP_REFUSED : NX_HTTP_COMPLETE);
        assert_int_equal(head.fault_status, over ? 414 : 0);
        nx_buf_reset(&b);
        nx_buf_append_str(&b, LINE);
        for (int i = 1; i < NX_MAX_HTTP_HEADERS + over; i++)
            nx_buf_append_str(&b, "X: y\r\n");
        nx_buf_append_str(&b, "\r\n");
        assert_int_equal(parse(b.data, b.len, &head), over ? NX_HTTP_REFUSED : NX_HTTP_COMPLETE);
        assert_int_equal(head.fault_status, over ? 431 : 0);
        nx_buf_free(&b);
    }
}

// ---- Chunked bodies

// Decodes `text` fed in pieces of `step` bytes.
static enum nx_http_parsed decode(const char *text, size_t step, struct nx_buf *body,
                                  size_t *total) {
    struct nx_http_chunks chunks = {0};
    enum nx_http_parsed rc = NX_HTTP_INCOMPLETE;
    size_t len = strlen(text);
    *total = 0;
    for (size_t at = 0; at < len && rc == NX_HTTP_INCOMPLETE; at += step) {
        size_t used = 0, piece = len - at < step ? len - at : step;
        rc = nx_http_chunks_feed(&chunks, nx_span_of(text + at, piece), body, &used);
        *total += used;
    }
    return rc;
}

static void chunks_in_any_pieces(void **state) {
    (void)state;
    static const char text[] = "5\r\n{\"a\":\r\n00a\r\n0123456789\r\n1\r\n}\r\n0\r\n\r\nGET";
    for (size_t step = 1; step < sizeof text; step++) {
        struct nx_buf body;
        size_t total;
        nx_buf_init(&body, 16);
        assert_int_equal(decode(text, step, &body, &total), NX_HTTP_COMPLETE);
        assert_span(nx_buf_span(&body), "{\"a\":0123456789}");
        assert_int_equal(total, sizeof text - 1 - 3);
        nx_buf_free(&body);
    }
}

static void malformed_chunks(void **state) {
    (void)state;
    static const char *const cases[] = {
        "\r\n",          "g\r\n",         "5;x=y\r\n",      "5\n",
        "5 \r\n",        "-1\r\n",        "1\r\nab\r\n",    "1\r\na\n",
        "0\r\nX: y\r\n", "fffffffff\r\n", "1\r\na\r\n\r\n", "0x1\r\na\r\n",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step < 12; step++) {
            struct nx_buf body;
            size_t total;
            nx_buf_init(&body, 1000);
            if (decode(cases[i], step, &body, &total) != NX_HTTP_REFUSED)
                fail_msg("%s", cases[i]);
            assert_int_equal(body.failed, 0);
            nx_buf_free(&body);
        }
    }
}

static void chunks_keep_the_limit(void **state) {
    (void)state;
    struct nx_buf body;
    size_t total;
    nx_buf_init(&body, 4);
    assert_int_equal(decode("2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", 3, &body, &total), NX_HTTP_COMPLETE);
    nx_buf_free(&body);
    nx_buf_init(&body, 4);
    assert_int_equal(decode("2\r\nab\r\n3\r\nc", 64, &body, &total), NX_HTTP_REFUSED);
    assert_int_equal(body.failed, NX_E_LIMIT);
    nx_buf_free(&body);
    nx_buf_init(&body, 4);
    assert_int_equal(decode("ffffffff\r\nx", 64, &body, &total), NX_HTTP_REFUSED);
    assert_int_equal(body.failed, NX_E_LIMIT);
    nx_buf_free(&body);
}

static void lists(void **state) {
    (void)state;
    assert_true(nx_http_list_has(nx_span_str("a, Close ,b"), "close"));
    assert_true(nx_http_list_has(nx_span_str("close;q=1"), "close"));
    assert_false(nx_http_list_has(nx_span_str("closed, x close"), "close"));
    assert_false(nx_http_list_has(nx_span_str(""), "close"));
    assert_false(nx_http_list_has(nx_span_str(",,"), "close"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_request),
        cmocka_unit_test(every_beginning_is_incomplete),
        cmocka_unit_test(methods_and_versions),
        cmocka_unit_test(refuses_what_could_be_read_in_two_ways),
        cmocka_unit_test(refuses_nul),
        cmocka_unit_test(head_size_is_exact),
        cmocka_unit_test(target_and_header_count_are_bounded),
        cmocka_unit_test(chunks_in_any_pieces),
        cmocka_unit_test(malformed_chunks),
        cmocka_unit_test(chunks_keep_the_limit),
        cmocka_unit_test(lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
