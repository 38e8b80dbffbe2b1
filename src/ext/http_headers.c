// SPDX-License-Identifier: Apache-2.0
// Headers that a handler sends: names and values that cannot become anything else on the wire.
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/limits.h"
#include "ext/args.h"
#include "ext/http_request.h"

// What frames the message, steers the connection or names the target is the runtime's to say.
static const char *const reserved[] = {
    "Accept-Encoding",
    "Connection",
    "Content-Length",
    "Expect",
    "Host",
    "HTTP2-Settings",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
};

struct reader {
    struct curl_slist **list;
    size_t count, *bytes;
    struct nx_error *err;
};

bool nx_ext_http_is_header_name(struct nx_span name) {
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        bool alphanumeric =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alphanumeric && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len > 0;
}

static bool is_value(struct nx_span value) {
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_reserved(const char *name) {
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcasecmp(name, reserved[i]) == 0)
            return true;
    return false;
}

int nx_ext_http_headers_add(struct curl_slist **list, const char *name, const char *value,
                            struct nx_error *err) {
    struct nx_buf line;
    nx_buf_init(&line, 2 * NX_MAX_HTTP_EXT_SENT_HEAD);
    // To curl "name:" means to send no such header; "name;" sends it empty.
    if (*value)
        nx_buf_printf(&line, "%s: %s", name, value);
    else
        nx_buf_printf(&line, "%s;", name);
    struct curl_slist *longer = line.failed ? NULL : curl_slist_append(*list, line.data);
    nx_buf_free(&line);
    if (!longer)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    *list = longer;
    return 0;
}

static int add(struct reader *r, struct nx_span name, struct nx_span value) {
    if (!nx_ext_http_is_header_name(name))
        return nx_error_set(r->err, NX_E_INVALID, "a header's name is not valid: '%.*s'",
                            (int)(name.len < 80 ? name.len : 80), name.data ? name.data : "");
    if (is_reserved(name.data))
        return nx_error_set(r->err, NX_E_INVALID, "the header %s cannot be set by a handler",
                            name.data);
    if (!is_value(value))
        return nx_error_set(r->err, NX_E_INVALID,
                            "the value of header %s holds a line break or control character",
                            name.data);
    *r->bytes += name.len + value.len + 4;
    if (++r->count > NX_MAX_HTTP_EXT_SENT_HEADERS || *r->bytes > NX_MAX_HTTP_EXT_SENT_HEAD)
        return nx_error_set(r->err, NX_E_LIMIT, "over %d headers, or %d bytes of them",
                            NX_MAX_HTTP_EXT_SENT_HEADERS, NX_MAX_HTTP_EXT_SENT_HEAD);
    return nx_ext_http_headers_add(r->list, name.data, value.data ? value.data : "", r->err);
}

static int read_member(void *user, struct nx_span raw_key, struct nx_span json) {
    struct reader *r = user;
    if (nx_ext_args_none(json))
        return 0;
    struct nx_buf name, value;
    nx_buf_init(&name, NX_MAX_HTTP_EXT_SENT_HEAD);
    nx_buf_init(&value, NX_MAX_HTTP_EXT_SENT_HEAD);
    nx_json_unescape(&name, raw_key);
    bool scalar =
        !nx_ext_args_is(json, '"') && !nx_ext_args_is(json, '{') && !nx_ext_args_is(json, '[');
    bool text = scalar ? nx_buf_append_span(&value, json) == 0 : nx_ext_args_text(json, &value);
    int rc;
    if (name.failed || value.failed)
        rc = nx_error_set(r->err, NX_E_LIMIT, "a header is longer than %d bytes",
                          NX_MAX_HTTP_EXT_SENT_HEAD);
    else if (!text)
        rc = nx_error_set(r->err, NX_E_INVALID, "header values must be strings or numbers");
    else
        rc = add(r, nx_buf_span(&name), nx_buf_span(&value));
    nx_buf_free(&name);
    nx_buf_free(&value);
    return rc;
}

int nx_ext_http_headers_read(struct curl_slist **list, size_t *bytes, struct nx_span json,
                             struct nx_error *err) {
    struct reader r = {.list = list, .bytes = bytes, .err = err};
    if (!nx_ext_args_is(json, '{'))
        return nx_error_set(err, NX_E_INVALID, "headers must be an object");
    return nx_json_each_member(json, read_member, &r);
}

static bool is_named(const char *line, const char *name) {
    size_t len = strlen(name);
    return strncasecmp(line, name, len) == 0 && (line[len] == ':' || line[len] == ';');
}

bool nx_ext_http_headers_has(const struct curl_slist *list, const char *name) {
    for (; list; list = list->next)
        if (is_named(list->data, name))
            return true;
    return false;
}

void nx_ext_http_headers_remove(struct curl_slist **list, const char *const *names, size_t count) {
    for (struct curl_slist **at = list; *at;) {
        struct curl_slist *node = *at;
        bool hit = false;
        for (size_t i = 0; i < count; i++)
            hit = hit || is_named(node->data, names[i]);
        if (hit) {
            *at = node->next;
            node->next = NULL;
            curl_slist_free_all(node);
        } else {
            at = &node->next;
        }
    }
}
