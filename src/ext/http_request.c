// SPDX-License-Identifier: Apache-2.0
// From a call's arguments to a request, and from one request to the next after a redirect.
#include "ext/http_request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/limits.h"
#include "ext/args.h"

// How a method of the extension takes its arguments.
struct method {
    const char *name;    // of the extension's method
    const char *verb;    // on the wire
    bool body_argument;  // (url, body, options) instead of (url, options)
    bool body_option;    // options may hold `body`
    bool in_its_options; // everything is in one object, the verb too
};

static const struct method methods[] = {
    {"get", "GET", false, false, false},      {"head", "HEAD", false, false, false},
    {"delete", "DELETE", false, true, false}, {"options", "OPTIONS", false, true, false},
    {"post", "POST", true, false, false},     {"put", "PUT", true, false, false},
    {"patch", "PATCH", true, false, false},   {"request", NULL, false, true, true},
};

enum { METHOD_COUNT = sizeof methods / sizeof methods[0] };

static const struct method *find_method(struct nx_span name) {
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (nx_span_eq(name, nx_span_str(methods[i].name)))
            return &methods[i];
    return NULL;
}

bool nx_ext_http_has_method(struct nx_span method) {
    return find_method(method) != NULL;
}

// ---- Options

struct options {
    const struct method *method;
    struct nx_span url, verb, headers, body, timeout_ms, follow;
    struct nx_error *err;
};

// An option that nobody knows is a mistake, perhaps of one who relies on it: it is not ignored.
static int take_option(void *user, struct nx_span raw_key, struct nx_span value) {
    struct options *o = user;
    const struct {
        const char *name;
        bool known;
        struct nx_span *to;
    } known[] = {
        {"headers", true, &o->headers},
        {"timeoutMs", true, &o->timeout_ms},
        {"followRedirects", true, &o->follow},
        {"body", o->method->body_option, &o->body},
        {"url", o->method->in_its_options, &o->url},
        {"method", o->method->in_its_options, &o->verb},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].known && nx_span_eq(raw_key, nx_span_str(known[i].name))) {
            *known[i].to = value;
            return 0;
        }
    }
    return nx_error_set(o->err, NX_E_INVALID, "http.%s has no option '%.*s'", o->method->name,
                        (int)(raw_key.len < 80 ? raw_key.len : 80), raw_key.data);
}

static int read_options(struct options *o, struct nx_span args) {
    struct nx_span json, extra;
    size_t at = 0;
    if (!o->method->in_its_options)
        nx_ext_args_item(args, at++, &o->url);
    if (o->method->body_argument)
        nx_ext_args_item(args, at++, &o->body);
    nx_ext_args_item(args, at++, &json);
    if (nx_ext_args_item(args, at, &extra) && !nx_ext_args_none(extra))
        return nx_error_set(o->err, NX_E_INVALID, "http.%s takes at most %zu arguments",
                            o->method->name, at);
    if (nx_ext_args_none(json))
        return 0;
    if (!nx_ext_args_is(json, '{'))
        return nx_error_set(o->err, NX_E_INVALID, "the options of http.%s must be an object",
                            o->method->name);
    return nx_json_each_member(json, take_option, o);
}

// ---- Reading

static int read_verb(struct nx_ext_http_request *r, const struct options *o) {
    r->method = o->method->verb;
    if (r->method)
        return 0;
    struct nx_buf verb;
    nx_buf_init(&verb, 16);
    bool text = nx_ext_args_none(o->verb) ? nx_buf_append_str(&verb, "GET") == 0
                                          : nx_ext_args_text(o->verb, &verb);
    for (size_t i = 0; text && i < METHOD_COUNT; i++)
        if (methods[i].verb && strlen(methods[i].verb) == verb.len &&
            strcasecmp(methods[i].verb, verb.data) == 0)
            r->method = methods[i].verb;
    nx_buf_free(&verb);
    return r->method
               ? 0
               : nx_error_set(o->err, NX_E_INVALID,
                              "method must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS");
}

static int read_url(struct nx_ext_http_request *r, const struct options *o,
                    const struct nx_domains *domains) {
    struct nx_buf url;
    nx_buf_init(&url, NX_MAX_HTTP_EXT_URL_BYTES);
    int rc;
    if (nx_ext_args_text(o->url, &url))
        rc = nx_ext_http_url_parse(&r->url, nx_buf_span(&url), domains, o->err);
    else if (url.failed)
        rc = nx_error_set(o->err, NX_E_LIMIT, "the URL is longer than %d bytes",
                          NX_MAX_HTTP_EXT_URL_BYTES);
    else
        rc = nx_error_set(o->err, NX_E_INVALID, "http.%s needs a URL, a string", o->method->name);
    r->bytes += url.len;
    nx_buf_free(&url);
    return rc;
}

static int read_body(struct nx_ext_http_request *r, const struct options *o) {
    if (nx_ext_args_none(o->body))
        return 0;
    if (strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0)
        return nx_error_set(o->err, NX_E_INVALID, "%s takes no body", r->method);
    bool string = nx_ext_args_is(o->body, '"');
    bool taken =
        string ? nx_ext_args_text(o->body, &r->body) : nx_buf_append_span(&r->body, o->body) == 0;
    if (!taken && r->body.failed == 0)
        return nx_error_set(o->err, NX_E_INVALID, "the body holds half a surrogate pair");
    if (!taken)
        return nx_error_set(o->err, r->body.failed, "the body is larger than %d bytes",
                            NX_MAX_HTTP_EXT_BODY_BYTES);
    r->has_body = true;
    r->bytes += r->body.len;
    if (nx_ext_http_headers_has(r->headers, "Content-Type"))
        return 0;
    return nx_ext_http_headers_add(&r->headers, "Content-Type",
                                   string ? "text/plain;charset=UTF-8" : "application/json",
                                   o->err);
}

static int read_rest(struct nx_ext_http_request *r, const struct options *o) {
    r->follow = true;
    if (!nx_ext_args_none(o->follow)) {
        r->follow = nx_span_eq(o->follow, nx_span_str("true"));
        if (!r->follow && !nx_span_eq(o->follow, nx_span_str("false")))
            return nx_error_set(o->err, NX_E_INVALID, "followRedirects must be true or false");
    }
    if (nx_ext_args_none(o->timeout_ms))
        return 0;
    char text[32] = {0}, *end = text;
    if (o->timeout_ms.len < sizeof text)
        memcpy(text, o->timeout_ms.data, o->timeout_ms.len);
    double ms = strtod(text, &end);
    if (end == text || *end || !(ms >= 1))
        return nx_error_set(o->err, NX_E_INVALID,
                            "timeoutMs must be a number of milliseconds, 1 or more");
    r->timeout_ms = ms < NX_MAX_HTTP_EXT_TIMEOUT_MS ? (uint32_t)ms : NX_MAX_HTTP_EXT_TIMEOUT_MS;
    return 0;
}

int nx_ext_http_request_read(struct nx_ext_http_request *out, const struct nx_ext_request *call,
                             const struct nx_domains *domains, struct nx_error *err) {
    struct options o = {.method = find_method(call->method), .err = err};
    if (!o.method) // the registry has asked before
        return nx_error_set(err, NX_E_NOTFOUND, "http has no such method");
    *out = (struct nx_ext_http_request){0};
    nx_buf_init(&out->body, NX_MAX_HTTP_EXT_BODY_BYTES);
    int rc = read_options(&o, call->args_json);
    if (rc == 0)
        rc = read_verb(out, &o);
    if (rc == 0)
        rc = read_url(out, &o, domains);
    if (rc == 0 && !nx_ext_args_none(o.headers))
        rc = nx_ext_http_headers_read(&out->headers, &out->bytes, o.headers, err);
    if (rc == 0)
        rc = read_body(out, &o);
    if (rc == 0)
        rc = read_rest(out, &o);
    if (rc)
        nx_ext_http_request_free(out);
    return rc;
}

void nx_ext_http_request_free(struct nx_ext_http_request *request) {
    curl_url_cleanup(request->url);
    curl_slist_free_all(request->headers);
    nx_buf_free(&request->body);
    request->url = NULL;
    request->headers = NULL;
}

// ---- Redirects

bool nx_ext_http_is_redirect(long status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

int nx_ext_http_request_redirect(struct nx_ext_http_request *request, long status,
                                 const char *location, const struct nx_domains *domains,
                                 struct nx_error *err) {
    static const char *const secrets[] = {"Authorization", "Cookie"};
    static const char *const of_body[] = {"Content-Type", "Content-Encoding", "Content-Language",
                                          "Content-Location"};
    CURLU *url = NULL;
    int rc = nx_ext_http_url_parse(&url, nx_span_str(location), domains, err);
    if (rc)
        return rc;
    bool post = strcmp(request->method, "POST") == 0, head = strcmp(request->method, "HEAD") == 0;
    if (nx_ext_http_url_is_https(request->url) && !nx_ext_http_url_is_https(url)) {
        curl_url_cleanup(url);
        return nx_error_set(err, NX_E_DENIED, "the server redirects from https to http");
    }
    if (!nx_ext_http_url_same_origin(request->url, url))
        nx_ext_http_headers_remove(&request->headers, secrets, 2);
    curl_url_cleanup(request->url);
    request->url = url;
    if ((status == 303 && !head) || (status < 303 && post)) {
        request->method = "GET";
        request->has_body = false;
        nx_buf_free(&request->body);
        nx_ext_http_headers_remove(&request->headers, of_body, 4);
    }
    return 0;
}
