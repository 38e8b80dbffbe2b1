// SPDX-License-Identifier: Apache-2.0
// What a handler asks for: read from its arguments and checked, and changed by redirects.
#ifndef NX_EXT_HTTP_REQUEST_H
#define NX_EXT_HTTP_REQUEST_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "ext/domains.h"
#include "ext/ext.h"

struct nx_ext_http_request {
    const char *method;         // static: "GET", …
    CURLU *url;                 // owned
    struct curl_slist *headers; // owned; as CURLOPT_HTTPHEADER wants them
    struct nx_buf body;         // owned; sent if `has_body`
    size_t bytes;               // held by all of it, roughly
    uint32_t timeout_ms;        // 0: as the setting has it
    bool has_body, follow;
};

bool nx_ext_http_has_method(struct nx_span method);

// Reads the arguments of a call to a method that exists. Errors: NX_E_INVALID, NX_E_LIMIT,
// NX_E_NOMEM; nothing is left to free.
int nx_ext_http_request_read(struct nx_ext_http_request *out, const struct nx_ext_request *call,
                             const struct nx_domains *domains, struct nx_error *err);
void nx_ext_http_request_free(struct nx_ext_http_request *request);

// Whether a response of this status is a redirect that is followed when it names a place.
bool nx_ext_http_is_redirect(long status);

// Turns the request into the one that `status` with the absolute URL `location` asks for: method,
// body and headers as browsers change them. Errors as nx_ext_http_request_read; the request may
// then only be freed.
int nx_ext_http_request_redirect(struct nx_ext_http_request *request, long status,
                                 const char *location, const struct nx_domains *domains,
                                 struct nx_error *err);

// ---- http_url.c

// Parses `text` and checks all that can be known before an address is: scheme, credentials, host.
// Errors: NX_E_INVALID, NX_E_DENIED (the host is not allowed), NX_E_LIMIT, NX_E_NOMEM.
int nx_ext_http_url_parse(CURLU **out, struct nx_span text, const struct nx_domains *domains,
                          struct nx_error *err);

// The host of a parsed URL in `out`, cut to its size; for messages.
void nx_ext_http_url_host(CURLU *url, char *out, size_t size);

// Whether scheme, host and port are the same.
bool nx_ext_http_url_same_origin(CURLU *a, CURLU *b);
bool nx_ext_http_url_is_https(CURLU *url);

// ---- http_headers.c

// Whether `name` is a token, as header names are (RFC 9110, 5.1).
bool nx_ext_http_is_header_name(struct nx_span name);

// Reads the object `json` into *list. Errors: NX_E_INVALID, NX_E_LIMIT, NX_E_NOMEM; *list holds
// what came before.
int nx_ext_http_headers_read(struct curl_slist **list, size_t *bytes, struct nx_span json,
                             struct nx_error *err);

// Adds "name: value". NX_E_NOMEM.
int nx_ext_http_headers_add(struct curl_slist **list, const char *name, const char *value,
                            struct nx_error *err);

bool nx_ext_http_headers_has(const struct curl_slist *list, const char *name);

// Takes out every header with one of the `count` names.
void nx_ext_http_headers_remove(struct curl_slist **list, const char *const *names, size_t count);

#endif
