// SPDX-License-Identifier: Apache-2.0
// The request parser. A head is parsed from its first byte each time more of it arrives: its size
// cap bounds the repetition, and no half-parsed state can be wrong.
#include "kernel/http_parse.h"

#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/limits.h"

enum { CH_TOKEN = 1, CH_VALUE = 2, CH_TARGET = 4 };

// What each byte may be part of: a name or method (token), a header's value, a request target.
static unsigned char classes[256];

__attribute__((constructor)) static void fill_classes(void) {
    for (int c = 0x21; c < 0x7f; c++) {
        classes[c] = CH_VALUE;
        if (!strchr("\"(),/:;<=>?@[\\]{}", c))
            classes[c] |= CH_TOKEN;
        if (!strchr("\"#<>\\^`{|}", c))
            classes[c] |= CH_TARGET;
    }
    for (int c = 0x80; c < 0x100; c++)
        classes[c] = CH_VALUE;
    classes[' '] = classes['\t'] = CH_VALUE;
}

static const struct {
    const char *name;
    size_t len;
} header_names[NX_HEADER_COUNT] = {
#define NAME(text) .name = (text), .len = sizeof(text) - 1
    [NX_HEADER_HOST] = {NAME("host")},
    [NX_HEADER_CONTENT_LENGTH] = {NAME("content-length")},
    [NX_HEADER_TRANSFER_ENCODING] = {NAME("transfer-encoding")},
    [NX_HEADER_CONTENT_TYPE] = {NAME("content-type")},
    [NX_HEADER_EXPECT] = {NAME("expect")},
    [NX_HEADER_ORIGIN] = {NAME("origin")},
    [NX_HEADER_X_REQUEST_ID] = {NAME("x-request-id")},
    [NX_HEADER_AUTHORIZATION] = {NAME("authorization")},
    [NX_HEADER_CONNECTION] = {NAME("connection")},
    [NX_HEADER_PREFER] = {NAME("prefer")},
    [NX_HEADER_IF_NONE_MATCH] = {NAME("if-none-match")},
    [NX_HEADER_UPGRADE] = {NAME("upgrade")},
    [NX_HEADER_WS_KEY] = {NAME("sec-websocket-key")},
    [NX_HEADER_WS_VERSION] = {NAME("sec-websocket-version")},
    [NX_HEADER_WS_PROTOCOL] = {NAME("sec-websocket-protocol")},
    [NX_HEADER_TRACEPARENT] = {NAME("traceparent")},
    [NX_HEADER_IDEMPOTENCY_KEY] = {NAME("idempotency-key")},
#undef NAME
};

static enum nx_http_parsed refuse(struct nx_http_head *head, int status, const char *message) {
    head->fault_status = status;
    head->fault_message = message;
    return NX_HTTP_REFUSED;
}

static bool all_of(struct nx_span s, unsigned char class) {
    for (size_t i = 0; i < s.len; i++)
        if (!(classes[(unsigned char)s.data[i]] & class))
            return false;
    return true;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

static struct nx_span trim(struct nx_span s) {
    while (s.len && is_space(s.data[0]))
        s.data++, s.len--;
    while (s.len && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

static bool equals(struct nx_span s, const char *text) {
    return s.len == strlen(text) && strncasecmp(s.data, text, s.len) == 0;
}

bool nx_http_list_has(struct nx_span value, const char *token) {
    while (value.len) {
        const char *comma = memchr(value.data, ',', value.len);
        size_t len = comma ? (size_t)(comma - value.data) : value.len;
        const char *semicolon = memchr(value.data, ';', len);
        size_t item = semicolon ? (size_t)(semicolon - value.data) : len;
        if (equals(trim(nx_span_of(value.data, item)), token))
            return true;
        size_t step = comma ? len + 1 : len;
        value.data += step;
        value.len -= step;
    }
    return false;
}

bool nx_http_traceparent_valid(struct nx_span value) {
    // x: a hexadecimal digit in lower case. Neither id may be all zeros.
    static const char form[] = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
    enum { TRACE_ID = 3, PARENT_ID = 36 };
    if (value.len != NX_TRACEPARENT_BYTES)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (form[i] == 'x' ? !digit : c != form[i])
            return false;
    }
    return memcmp(value.data + TRACE_ID, "00000000000000000000000000000000", 32) != 0 &&
           memcmp(value.data + PARENT_ID, "0000000000000000", 16) != 0;
}

// Takes the next line off `rest`, without its CR LF. INCOMPLETE when there is no end of line yet.
static enum nx_http_parsed take_line(struct nx_span *rest, struct nx_span *line,
                                     struct nx_http_head *head) {
    const char *lf = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    if (!lf)
        return NX_HTTP_INCOMPLETE;
    size_t len = (size_t)(lf - rest->data);
    if (len == 0 || lf[-1] != '\r')
        return refuse(head, 400, "a line does not end with CR LF");
    *line = nx_span_of(rest->data, len - 1);
    rest->data += len + 1;
    rest->len -= len + 1;
    return NX_HTTP_COMPLETE;
}

static enum nx_http_method method_of(struct nx_span name) {
    static const char *const names[] = {
        [NX_HTTP_GET] = "GET",       [NX_HTTP_HEAD] = "HEAD",       [NX_HTTP_POST] = "POST",
        [NX_HTTP_DELETE] = "DELETE", [NX_HTTP_OPTIONS] = "OPTIONS",
    };
    for (int i = 0; i < NX_HTTP_OTHER; i++)
        if (nx_span_eq(name, nx_span_str(names[i])))
            return (enum nx_http_method)i;
    return NX_HTTP_OTHER;
}

static enum nx_http_parsed parse_request_line(struct nx_span line, struct nx_http_head *head) {
    const char *first = line.len ? memchr(line.data, ' ', line.len) : NULL;
    if (!first)
        return refuse(head, 400, "malformed request line");
    struct nx_span method = nx_span_of(line.data, (size_t)(first - line.data));
    struct nx_span rest = nx_span_of(first + 1, line.len - method.len - 1);
    const char *second = rest.len ? memchr(rest.data, ' ', rest.len) : NULL;
    if (!second || method.len == 0 || !all_of(method, CH_TOKEN))
        return refuse(head, 400, "malformed request line");
    head->target = nx_span_of(rest.data, (size_t)(second - rest.data));
    struct nx_span version = nx_span_of(second + 1, rest.len - head->target.len - 1);
    if (head->target.len == 0 || !all_of(head->target, CH_TARGET))
        return refuse(head, 400, "malformed request target");
    if (head->target.len > NX_MAX_HTTP_TARGET_BYTES)
        return refuse(head, 414, "the request target is too long");
    head->method = method_of(method);
    head->keep_alive = nx_span_eq(version, nx_span_str("HTTP/1.1"));
    if (head->keep_alive || nx_span_eq(version, nx_span_str("HTTP/1.0")))
        return NX_HTTP_COMPLETE;
    bool other = version.len == 8 && nx_span_starts(version, nx_span_str("HTTP/"));
    return refuse(head, other ? 505 : 400,
                  other ? "only HTTP/1.0 and HTTP/1.1 are spoken here" : "malformed request line");
}

static enum nx_http_parsed keep_header(enum nx_http_header which, struct nx_span value,
                                       struct nx_http_head *head) {
    if (which < NX_HEADER_SINGLE_COUNT && head->headers[which].data)
        return refuse(head, 400, "a header that may appear only once is repeated");
    head->headers[which] = value;
    if (which == NX_HEADER_CONNECTION && nx_http_list_has(value, "close"))
        head->keep_alive = false;
    if (which == NX_HEADER_PREFER && nx_http_list_has(value, "respond-async"))
        head->respond_async = true;
    return NX_HTTP_COMPLETE;
}

static enum nx_http_parsed parse_header(struct nx_span line, struct nx_http_head *head) {
    if (is_space(line.data[0]))
        return refuse(head, 400, "folded header lines are not accepted");
    const char *colon = memchr(line.data, ':', line.len);
    if (!colon || colon == line.data)
        return refuse(head, 400, "malformed header line");
    struct nx_span name = nx_span_of(line.data, (size_t)(colon - line.data));
    if (!all_of(name, CH_TOKEN))
        return refuse(head, 400, "malformed header name");
    struct nx_span value = trim(nx_span_of(colon + 1, line.len - name.len - 1));
    if (!all_of(value, CH_VALUE))
        return refuse(head, 400, "a header holds control characters");
    for (int i = 0; i < NX_HEADER_COUNT; i++)
        if (header_names[i].len == name.len &&
            strncasecmp(header_names[i].name, name.data, name.len) == 0)
            return keep_header((enum nx_http_header)i, value, head);
    return NX_HTTP_COMPLETE;
}

static enum nx_http_parsed parse_length(struct nx_span text, struct nx_http_head *head) {
    if (text.len == 0 || text.len > 19)
        return refuse(head, 400, "malformed Content-Length");
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return refuse(head, 400, "malformed Content-Length");
        head->content_length = head->content_length * 10 + (uint64_t)(text.data[i] - '0');
    }
    return NX_HTTP_COMPLETE;
}

// What the headers say together: where the body ends, and whether the request may be served.
static enum nx_http_parsed judge_headers(struct nx_http_head *head, bool http_1_0) {
    const struct nx_span *h = head->headers;
    if (!http_1_0 && !h[NX_HEADER_HOST].data)
        return refuse(head, 400, "the Host header is missing");
    if (h[NX_HEADER_TRANSFER_ENCODING].data) {
        if (h[NX_HEADER_CONTENT_LENGTH].data || http_1_0)
            return refuse(head, 400, "Transfer-Encoding is ambiguous here");
        if (!equals(h[NX_HEADER_TRANSFER_ENCODING], "chunked"))
            return refuse(head, 501, "the only transfer coding accepted is chunked");
        head->chunked = true;
    }
    if (h[NX_HEADER_EXPECT].data) {
        if (!equals(h[NX_HEADER_EXPECT], "100-continue"))
            return refuse(head, 417, "unknown expectation");
        head->expect_continue = !http_1_0;
    }
    if (h[NX_HEADER_CONTENT_LENGTH].data)
        return parse_length(h[NX_HEADER_CONTENT_LENGTH], head);
    return NX_HTTP_COMPLETE;
}

static enum nx_http_parsed parse_lines(struct nx_span data, struct nx_http_head *head) {
    struct nx_span rest = data, line;
    enum nx_http_parsed rc = take_line(&rest, &line, head);
    // One empty line before a request is what some clients send after a body; it is harmless.
    if (rc == NX_HTTP_COMPLETE && line.len == 0)
        rc = take_line(&rest, &line, head);
    if (rc == NX_HTTP_COMPLETE)
        rc = parse_request_line(line, head);
    bool http_1_0 = !head->keep_alive;
    for (int count = 0; rc == NX_HTTP_COMPLETE; count++) {
        rc = take_line(&rest, &line, head);
        if (rc == NX_HTTP_COMPLETE && line.len == 0) {
            head->bytes = data.len - rest.len;
            return judge_headers(head, http_1_0);
        }
        if (rc == NX_HTTP_COMPLETE && count >= NX_MAX_HTTP_HEADERS)
            return refuse(head, 431, "too many headers");
        if (rc == NX_HTTP_COMPLETE)
            rc = parse_header(line, head);
    }
    return rc;
}

enum nx_http_parsed nx_http_parse_head(struct nx_span data, struct nx_http_head *head) {
    memset(head, 0, sizeof *head);
    struct nx_span room = data;
    if (room.len > NX_MAX_HTTP_HEAD_BYTES)
        room.len = NX_MAX_HTTP_HEAD_BYTES;
    enum nx_http_parsed rc = parse_lines(room, head);
    if (rc != NX_HTTP_INCOMPLETE || room.len < NX_MAX_HTTP_HEAD_BYTES)
        return rc;
    if (!memchr(room.data, '\n', room.len))
        return refuse(head, 414, "the request target is too long");
    return refuse(head, 431, "the request's headers are too large");
}

// ---- Chunked bodies

enum chunk_state {
    CHUNK_SIZE,    // hexadecimal digits
    CHUNK_SIZE_LF, // LF after the size
    CHUNK_DATA,    // `left` bytes
    CHUNK_DATA_CR, // CR LF after the data
    CHUNK_DATA_LF,
    CHUNK_LAST_CR, // CR LF after the last, empty chunk: there are no trailers
    CHUNK_LAST_LF,
    CHUNK_END,
};

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

// One byte of framing. False: it does not belong here.
static bool chunk_step(struct nx_http_chunks *chunks, char c) {
    int digit;
    switch (chunks->state) {
    case CHUNK_SIZE:
        digit = hex_digit(c);
        if (digit >= 0 && chunks->digits < 8) {
            chunks->left = chunks->left * 16 + (unsigned)digit;
            chunks->digits++;
            return true;
        }
        chunks->state = CHUNK_SIZE_LF;
        return c == '\r' && chunks->digits > 0;
    case CHUNK_SIZE_LF:
        chunks->state = chunks->left ? CHUNK_DATA : CHUNK_LAST_CR;
        return c == '\n';
    case CHUNK_DATA_CR:
        chunks->state = CHUNK_DATA_LF;
        return c == '\r';
    case CHUNK_DATA_LF:
        chunks->state = CHUNK_SIZE;
        chunks->digits = 0;
        return c == '\n';
    case CHUNK_LAST_CR:
        chunks->state = CHUNK_LAST_LF;
        return c == '\r';
    case CHUNK_LAST_LF:
        chunks->state = CHUNK_END;
        return c == '\n';
    default:
        return false;
    }
}

enum nx_http_parsed nx_http_chunks_feed(struct nx_http_chunks *chunks, struct nx_span data,
                                        struct nx_buf *body, size_t *used) {
    size_t i = 0;
    while (i < data.len && chunks->state != CHUNK_END) {
        if (chunks->state != CHUNK_DATA) {
            if (!chunk_step(chunks, data.data[i++]))
                return NX_HTTP_REFUSED;
            continue;
        }
        // A chunk that could never fit is refused when it begins, not when it has arrived.
        if (chunks->left > body->max_bytes - body->len) {
            body->failed = NX_E_LIMIT;
            return NX_HTTP_REFUSED;
        }
        size_t len = data.len - i < chunks->left ? data.len - i : (size_t)chunks->left;
        if (nx_buf_append(body, data.data + i, len))
            return NX_HTTP_REFUSED;
        i += len;
        chunks->left -= len;
        if (chunks->left == 0)
            chunks->state = CHUNK_DATA_CR;
    }
    *used = i;
    return chunks->state == CHUNK_END ? NX_HTTP_COMPLETE : NX_HTTP_INCOMPLETE;
}
