// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 requests, strictly: whatever two parsers might read differently is refused.
//
// Refused: bare LF or CR, folded header lines, white space around a header's name, control
// characters, repeated or malformed Content-Length, Content-Length beside Transfer-Encoding, any
// coding but "chunked", chunk extensions, trailers, a missing or repeated Host.
//
// Pure functions over bytes: no sockets, no allocation besides the caller's buffer.
#ifndef NX_KERNEL_HTTP_PARSE_H
#define NX_KERNEL_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum nx_http_method {
    NX_HTTP_GET,
    NX_HTTP_HEAD,
    NX_HTTP_POST,
    NX_HTTP_DELETE,
    NX_HTTP_OPTIONS,
    NX_HTTP_OTHER, // a valid token that no route takes
    NX_HTTP_METHOD_COUNT
};

// Headers that somebody looks at. Those of which a request may have only one come first.
enum nx_http_header {
    NX_HEADER_HOST,
    NX_HEADER_CONTENT_LENGTH,
    NX_HEADER_TRANSFER_ENCODING,
    NX_HEADER_CONTENT_TYPE,
    NX_HEADER_EXPECT,
    NX_HEADER_ORIGIN,
    NX_HEADER_X_REQUEST_ID,
    NX_HEADER_AUTHORIZATION,
    NX_HEADER_WS_KEY,
    NX_HEADER_WS_VERSION,
    NX_HEADER_WS_PROTOCOL,
    NX_HEADER_TRACEPARENT,
    NX_HEADER_IDEMPOTENCY_KEY,
    NX_HEADER_SINGLE_COUNT,
    NX_HEADER_CONNECTION = NX_HEADER_SINGLE_COUNT,
    NX_HEADER_PREFER,
    NX_HEADER_IF_NONE_MATCH,
    NX_HEADER_UPGRADE,
    NX_HEADER_COUNT
};

// The head of one request. Spans point into the parsed bytes.
struct nx_http_head {
    enum nx_http_method method;
    struct nx_span target;                   // as sent
    struct nx_span headers[NX_HEADER_COUNT]; // data is NULL for one that is absent
    bool keep_alive;                         // HTTP/1.1 without "Connection: close"
    bool respond_async;                      // "Prefer: respond-async"
    bool expect_continue;
    bool chunked;
    uint64_t content_length; // 0 without one
    size_t bytes;            // of the head, with its empty line

    // Of a head that is refused.
    int fault_status;          // HTTP status
    const char *fault_message; // static text
};

enum nx_http_parsed { NX_HTTP_COMPLETE, NX_HTTP_INCOMPLETE, NX_HTTP_REFUSED };

// Parses the head at the start of `data`. INCOMPLETE: call again with the same bytes and more. A
// head longer than NX_MAX_HTTP_HEAD_BYTES is refused, complete or not.
enum nx_http_parsed nx_http_parse_head(struct nx_span data, struct nx_http_head *head);

// Whether `value`, a list of tokens with optional parameters separated by commas, holds `token`
// (any case).
bool nx_http_list_has(struct nx_span value, const char *token);

// Whether `value` is a traceparent of W3C Trace Context, version 00.
bool nx_http_traceparent_valid(struct nx_span value);

// Decoding a chunked body piece by piece. Zero-initialise.
struct nx_http_chunks {
    int state;
    unsigned digits;
    uint64_t left; // bytes of the current chunk to come
};

// Decodes from `data`, which continues what was fed before, into `body`; *used says how far it got
// (all of it, unless the body ended). Returns NX_HTTP_COMPLETE at the body's end, INCOMPLETE, or
// REFUSED: body->failed if that is set (too long, out of memory), else malformed.
enum nx_http_parsed nx_http_chunks_feed(struct nx_http_chunks *chunks, struct nx_span data,
                                        struct nx_buf *body, size_t *used);

#endif
