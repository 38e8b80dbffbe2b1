// SPDX-License-Identifier: Apache-2.0
#include "ext/http_response.h"
#include "ext/http_request.h"

#include <string.h>
#include <strings.h>

#include "base/json.h"

void nx_ext_http_response_init(struct nx_ext_http_response *response, size_t max_body_bytes) {
    response->head_bytes = response->header_count = 0;
    response->encoded = false;
    nx_buf_init(&response->head, NX_MAX_HTTP_EXT_HEAD_BYTES);
    nx_buf_init(&response->status_text, NX_MAX_HTTP_EXT_HEAD_BYTES);
    nx_buf_init(&response->body, max_body_bytes);
}

void nx_ext_http_response_free(struct nx_ext_http_response *response) {
    nx_buf_free(&response->head);
    nx_buf_free(&response->status_text);
    nx_buf_free(&response->body);
}

void nx_ext_http_response_reset(struct nx_ext_http_response *response) {
    response->head_bytes = response->header_count = 0;
    response->encoded = false;
    nx_buf_reset(&response->head);
    nx_buf_reset(&response->status_text);
    nx_buf_reset(&response->body);
}

// ---- Receiving

static struct nx_span trim(struct nx_span s) {
    while (s.len && strchr(" \t\r\n", s.data[0]) && s.data[0]) {
        s.data++;
        s.len--;
    }
    while (s.len && strchr(" \t\r\n", s.data[s.len - 1]) && s.data[s.len - 1])
        s.len--;
    return s;
}

// "HTTP/1.1 200 Fine" starts a response.
static bool take_status_line(struct nx_ext_http_response *r, struct nx_span line) {
    r->header_count = 0;
    r->encoded = false;
    nx_buf_reset(&r->head);
    nx_buf_reset(&r->status_text);
    const char *end = line.data + line.len;
    for (int words = 0; words < 2; words++) {
        const char *space = memchr(line.data, ' ', line.len);
        if (!space)
            return true; // no text
        line = trim(nx_span_of(space, (size_t)(end - space)));
    }
    return nx_buf_append_span(&r->status_text, line) == 0;
}

// Some versions of libcurl read "99999" as 999.
static bool has_status_code(struct nx_span line) {
    const char *space = memchr(line.data, ' ', line.len);
    if (!space)
        return false;
    line = trim(nx_span_of(space, (size_t)(line.data + line.len - space)));
    size_t digits = 0;
    while (digits < line.len && line.data[digits] >= '0' && line.data[digits] <= '9')
        digits++;
    return digits == 3 && (line.len == 3 || line.data[3] == ' ');
}

static bool is_one_of(struct nx_span text, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strlen(words[i]) == text.len && strncasecmp(words[i], text.data, text.len) == 0)
            return true;
    return false;
}

static struct nx_span name_of(const struct nx_ext_http_response *r, size_t i) {
    return nx_span_of(r->head.data + r->headers[i].name, r->headers[i].name_len);
}

static struct nx_span value_of(const struct nx_ext_http_response *r, size_t i) {
    return nx_span_of(r->head.data + r->headers[i].value, r->headers[i].value_len);
}

// Whether the last header leaves the body in one compression at most.
static bool encoding_allowed(struct nx_ext_http_response *r) {
    static const char *const compressed[] = {"gzip", "x-gzip", "deflate"};
    static const char *const plain[] = {"identity", ""}, *const chunked[] = {"chunked", "identity"};
    struct nx_span name = name_of(r, r->header_count - 1), value = value_of(r, r->header_count - 1);
    if (nx_span_eq(name, nx_span_str("transfer-encoding")))
        return is_one_of(value, chunked, 2);
    if (!nx_span_eq(name, nx_span_str("content-encoding")) || is_one_of(value, plain, 2))
        return true;
    bool first = !r->encoded;
    r->encoded = true;
    return first && is_one_of(value, compressed, 3);
}

static int take_header(struct nx_ext_http_response *r, struct nx_span name, struct nx_span value) {
    size_t at = r->header_count++;
    r->headers[at].name = r->head.len;
    r->headers[at].name_len = name.len;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        nx_buf_append_char(&r->head, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    r->headers[at].value = r->head.len;
    r->headers[at].value_len = value.len;
    return nx_buf_append_span(&r->head, value);
}

const char *nx_ext_http_response_line(struct nx_ext_http_response *r, const char *data,
                                      size_t len) {
    static const char too_much[] = "the response has too many headers, or too long ones";
    struct nx_span line = trim(nx_span_of(data, len));
    r->head_bytes += len;
    if (r->head_bytes > NX_MAX_HTTP_EXT_HEAD_BYTES)
        return too_much;
    if (nx_span_starts(line, nx_span_str("HTTP/"))) {
        if (!has_status_code(line))
            return "the response has no status code of three digits";
        return take_status_line(r, line) ? NULL : too_much;
    }
    const char *colon = line.len ? memchr(line.data, ':', line.len) : NULL;
    // The empty line at the end; what is not a header has nowhere to go. (Names that are no text
    // could come out as the same one.)
    if (!colon)
        return NULL;
    struct nx_span name = trim(nx_span_of(line.data, (size_t)(colon - line.data)));
    if (!nx_ext_http_is_header_name(name))
        return NULL;
    struct nx_span value = trim(nx_span_of(colon + 1, (size_t)(line.data + line.len - colon - 1)));
    if (r->header_count == NX_MAX_HTTP_EXT_HEADERS || take_header(r, name, value))
        return too_much;
    return encoding_allowed(r) ? NULL
                               : "the response is not compressed as asked: gzip or deflate, once";
}

// ---- Rendering

// The values of every header named as header `first` is: one string, or an array.
static void render_values(const struct nx_ext_http_response *r, size_t first, struct nx_buf *out) {
    bool array = nx_span_eq(name_of(r, first), nx_span_str("set-cookie"));
    struct nx_buf joined;
    nx_buf_init(&joined, 2 * NX_MAX_HTTP_EXT_HEAD_BYTES);
    if (array)
        nx_buf_append_char(out, '[');
    for (size_t i = first; i < r->header_count; i++) {
        if (!nx_span_eq(name_of(r, i), name_of(r, first)))
            continue;
        if (array) {
            nx_json_append_comma(out);
            nx_json_append_string(out, value_of(r, i));
        } else {
            nx_buf_append_str(&joined, i == first ? "" : ", ");
            nx_buf_append_span(&joined, value_of(r, i));
        }
    }
    if (array)
        nx_buf_append_char(out, ']');
    else
        nx_json_append_string(out, nx_buf_span(&joined));
    nx_buf_free(&joined);
}

static void render_headers(const struct nx_ext_http_response *r, struct nx_buf *out) {
    nx_buf_append_char(out, '{');
    for (size_t i = 0; i < r->header_count; i++) {
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = nx_span_eq(name_of(r, i), name_of(r, j));
        if (seen)
            continue;
        nx_json_append_comma(out);
        nx_json_append_string(out, name_of(r, i));
        nx_buf_append_char(out, ':');
        render_values(r, i, out);
    }
    nx_buf_append_char(out, '}');
}

// application/json, text/json, and everything that ends with +json.
static bool is_json_type(const struct nx_ext_http_response *r) {
    struct nx_span type = {0};
    for (size_t i = 0; i < r->header_count; i++)
        if (nx_span_eq(name_of(r, i), nx_span_str("content-type")))
            type = value_of(r, i);
    const char *semicolon = type.len ? memchr(type.data, ';', type.len) : NULL;
    if (semicolon)
        type = trim(nx_span_of(type.data, (size_t)(semicolon - type.data)));
    static const char *const ends[] = {"application/json", "text/json", "+json"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t len = strlen(ends[i]);
        bool suffix = ends[i][0] == '+';
        if ((suffix ? type.len > len : type.len == len) &&
            strncasecmp(type.data + type.len - len, ends[i], len) == 0)
            return true;
    }
    return false;
}

static void render_with(const struct nx_ext_http_response *r, long status, struct nx_span data,
                        bool json, struct nx_buf *out) {
    nx_buf_printf(out, "{\"status\":%ld,\"statusText\":", status);
    nx_json_append_string(out, nx_buf_span(&r->status_text));
    nx_buf_append_str(out, ",\"headers\":");
    render_headers(r, out);
    nx_buf_append_str(out, ",\"data\":");
    if (json)
        nx_buf_append_span(out, data);
    else
        nx_json_append_string(out, data);
    nx_buf_printf(out, ",\"ok\":%s}", status >= 200 && status < 300 ? "true" : "false");
}

int nx_ext_http_response_render(const struct nx_ext_http_response *r, long status,
                                struct nx_buf *out) {
    static const char bom[] = "\xef\xbb\xbf";
    struct nx_span body = nx_buf_span(&r->body);
    if (nx_span_starts(body, nx_span_str(bom)))
        body = nx_span_of(body.data + 3, body.len - 3);
    // Scanned by itself first: within the result it could close the member it stands in and forge
    // the others. Scanned again as a part of the result, which is one level deeper.
    bool json = is_json_type(r) && nx_json_scan(body, NULL, NULL) == 0;
    render_with(r, status, body, json, out);
    if (json && out->failed == 0 && nx_json_scan(nx_buf_span(out), NULL, NULL)) {
        nx_buf_reset(out);
        render_with(r, status, body, false, out);
    }
    return out->failed;
}
