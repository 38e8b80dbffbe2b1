// SPDX-License-Identifier: Apache-2.0
// Bytes from the network before anybody is known: a request's head, its chunked
// body, its target. Read in pieces they say the same as read at once. Input:
// the bytes as they would arrive.
#include <stdlib.h>

#include "base/limits.h"
#include "fuzz.h"
#include "kernel/http_parse.h"
#include "kernel/http_route.h"
#include "nxml/panel_def.h"

enum { BODY_BYTES = 4096 };

static bool inside(struct nx_span part, struct nx_span whole) {
    return part.data >= whole.data && part.data + part.len <= whole.data + whole.len;
}

static void check_head(const struct nx_http_head *head, struct nx_span data) {
    struct nx_span text = nx_span_of(data.data, head->bytes);
    FUZZ_CHECK(head->bytes >= 16 && head->bytes <= NX_MAX_HTTP_HEAD_BYTES &&
               head->bytes <= data.len);
    FUZZ_CHECK(memcmp(data.data + head->bytes - 4, "\r\n\r\n", 4) == 0);
    FUZZ_CHECK(head->target.len >= 1 && head->target.len <= NX_MAX_HTTP_TARGET_BYTES);
    FUZZ_CHECK(inside(head->target, text));
    for (int i = 0; i < NX_HEADER_COUNT; i++) {
        struct nx_span value = head->headers[i];
        if (!value.data)
            continue;
        FUZZ_CHECK(inside(value, text));
        FUZZ_CHECK(!value.len ||
                   (!memchr(value.data, '\r', value.len) && !memchr(value.data, '\n', value.len) &&
                    !memchr(value.data, '\0', value.len)));
    }
    // One way to know where the body ends.
    FUZZ_CHECK(!(head->chunked && head->headers[NX_HEADER_CONTENT_LENGTH].data));
    FUZZ_CHECK(head->headers[NX_HEADER_TRANSFER_ENCODING].data ? head->chunked : !head->chunked);
    FUZZ_CHECK(head->content_length == 0 || head->headers[NX_HEADER_CONTENT_LENGTH].data);
    // A line of the head may not begin with white space, nor may CR or LF stand
    // alone.
    for (size_t i = 0; i < text.len; i++) {
        FUZZ_CHECK(text.data[i] != '\n' || (i > 0 && text.data[i - 1] == '\r'));
        FUZZ_CHECK(text.data[i] != '\r' || text.data[i + 1] == '\n');
    }
}

// What a prefix says stays true when more comes.
static void check_prefixes(struct nx_span data, enum nx_http_parsed whole,
                           const struct nx_http_head *head) {
    size_t step = data.len / 128 + 1;
    for (size_t len = 0; len < data.len; len += step) {
        struct nx_http_head part;
        struct nx_span prefix = fuzz_copy(nx_span_of(data.data, len));
        enum nx_http_parsed rc = nx_http_parse_head(prefix, &part);
        if (rc == NX_HTTP_COMPLETE)
            FUZZ_CHECK(whole == NX_HTTP_COMPLETE && part.bytes == head->bytes);
        if (rc == NX_HTTP_REFUSED)
            FUZZ_CHECK(whole == NX_HTTP_REFUSED && part.fault_status == head->fault_status);
        if (whole == NX_HTTP_COMPLETE && len < head->bytes)
            FUZZ_CHECK(rc == NX_HTTP_INCOMPLETE);
        free((void *)prefix.data);
    }
}

static void check_route(struct nx_span target) {
    struct nx_http_match match;
    struct nx_error err = {0};
    int rc = nx_http_route(target, &match, &err);
    FUZZ_CHECK_ERROR(rc, &err);
    if (rc)
        return;
    FUZZ_CHECK(match.route >= 0 && match.route < NX_ROUTE_COUNT);
    FUZZ_CHECK(match.panel_id.len == 0 || nx_panel_id_valid(match.panel_id));
    FUZZ_CHECK(match.tool.len == 0 || match.route == NX_ROUTE_TRIGGER);
    FUZZ_CHECK(match.tool.len == 0 || !memchr(match.tool.data, '/', match.tool.len));
    FUZZ_CHECK(nx_http_route_pattern(match.route) && nx_http_route_allow(match.route));
    char out[64];
    struct nx_span value = {0};
    int found = nx_http_query(match.query, "token", out, sizeof out, &value);
    FUZZ_CHECK(found == 0 ? value.len <= sizeof out
                          : found == NX_E_NOTFOUND || found == NX_E_INVALID);
    FUZZ_CHECK(found != 0 || memmem(match.query.data, match.query.len, "token", 5));
}

struct body {
    enum nx_http_parsed rc;
    struct nx_buf decoded;
    size_t used;
};

static void read_body(struct body *out, struct nx_span data, size_t step) {
    struct nx_http_chunks chunks = {0};
    nx_buf_init(&out->decoded, BODY_BYTES);
    out->rc = NX_HTTP_INCOMPLETE;
    out->used = 0;
    while (out->rc == NX_HTTP_INCOMPLETE && out->used < data.len) {
        size_t left = data.len - out->used, used = 0;
        struct nx_span piece =
            fuzz_copy(nx_span_of(data.data + out->used, left < step ? left : step));
        out->rc = nx_http_chunks_feed(&chunks, piece, &out->decoded, &used);
        FUZZ_CHECK(out->rc == NX_HTTP_REFUSED || used <= piece.len);
        FUZZ_CHECK(out->rc != NX_HTTP_INCOMPLETE || used == piece.len);
        out->used += out->rc == NX_HTTP_REFUSED ? 0 : used;
        free((void *)piece.data);
    }
}

static void check_body(struct nx_span data) {
    static const size_t steps[] = {1, 2, 7, 64};
    struct body whole, part;
    read_body(&whole, data, data.len + 1);
    FUZZ_CHECK(whole.decoded.len <= BODY_BYTES && whole.decoded.len <= data.len);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        read_body(&part, data, steps[i]);
        FUZZ_CHECK(part.rc == whole.rc && part.decoded.failed == whole.decoded.failed);
        FUZZ_CHECK(nx_span_eq(nx_buf_span(&part.decoded), nx_buf_span(&whole.decoded)));
        FUZZ_CHECK(whole.rc == NX_HTTP_REFUSED || part.used == whole.used);
        nx_buf_free(&part.decoded);
    }
    nx_buf_free(&whole.decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct nx_span bytes = nx_span_of(data, size);
    struct nx_http_head head;
    enum nx_http_parsed rc = nx_http_parse_head(bytes, &head);
    check_prefixes(bytes, rc, &head);
    if (rc == NX_HTTP_REFUSED)
        FUZZ_CHECK(head.fault_status >= 400 && head.fault_status < 600 && head.fault_message);
    if (rc == NX_HTTP_COMPLETE) {
        check_head(&head, bytes);
        check_route(head.target);
        nx_http_traceparent_valid(head.headers[NX_HEADER_TRACEPARENT]);
        if (head.chunked)
            check_body(nx_span_of(bytes.data + head.bytes, size - head.bytes));
    } else if (rc == NX_HTTP_REFUSED) {
        // What is no request is tried as a body and as a target, so that both are
        // reached.
        check_body(bytes);
        check_route(bytes);
    }
    return 0;
}
