// SPDX-License-Identifier: Apache-2.0
// URLs, parsed by the library that will connect to them, so that both mean the same host.
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "ext/http_request.h"

// A part as a string to be freed with curl_free; NULL if the URL has none.
static char *part(CURLU *url, CURLUPart which, unsigned flags) {
    char *text = NULL;
    return curl_url_get(url, which, &text, flags) == CURLUE_OK ? text : NULL;
}

static int parse_error(CURLUcode code, struct nx_error *err) {
    switch (code) {
    case CURLUE_OUT_OF_MEMORY:
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    case CURLUE_USER_NOT_ALLOWED:
        return nx_error_set(err, NX_E_INVALID,
                            "the URL may not hold a user name or a password: use headers");
    case CURLUE_UNSUPPORTED_SCHEME:
    case CURLUE_BAD_SCHEME:
        return nx_error_set(err, NX_E_INVALID, "the URL has to begin with http:// or https://");
    default:
        return nx_error_set(err, NX_E_INVALID, "the URL is not valid: %s", curl_url_strerror(code));
    }
}

// The host without the brackets of IPv6.
static struct nx_span bare_host(const char *host) {
    size_t len = strlen(host);
    return host[0] == '[' && len > 2 ? nx_span_of(host + 1, len - 2) : nx_span_of(host, len);
}

static bool is_plain_host(struct nx_span host) {
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.data[i];
        bool alphanumeric =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alphanumeric && !strchr("-_.:", c))
            return false;
    }
    return host.len > 0;
}

static int judge_host(const char *host, const struct nx_domains *domains, struct nx_error *err) {
    struct nx_span bare = bare_host(host);
    if (bare.len > NX_MAX_HOST_BYTES + 1)
        return nx_error_set(err, NX_E_LIMIT, "the URL's host is longer than %d bytes",
                            NX_MAX_HOST_BYTES);
    // Names outside ASCII have more than one encoding: only the one that DNS sees is compared.
    if (!is_plain_host(bare))
        return nx_error_set(err, NX_E_INVALID,
                            "the URL's host may hold letters, digits, '-', '_' and '.' only; "
                            "international names are written in their xn-- form");
    if (!nx_domains_allow(domains, bare))
        return nx_error_set(err, NX_E_DENIED, "HTTP_ALLOWED_DOMAINS does not allow the host '%s'",
                            host);
    return 0;
}

static int judge(CURLU *url, const struct nx_domains *domains, struct nx_error *err) {
    char *scheme = part(url, CURLUPART_SCHEME, 0), *host = part(url, CURLUPART_HOST, 0);
    char *user = part(url, CURLUPART_USER, 0), *password = part(url, CURLUPART_PASSWORD, 0);
    int rc;
    if (!scheme || (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0))
        rc = parse_error(CURLUE_BAD_SCHEME, err);
    else if (user || password)
        rc = parse_error(CURLUE_USER_NOT_ALLOWED, err);
    else if (!host)
        rc = parse_error(CURLUE_NO_HOST, err);
    else
        rc = judge_host(host, domains, err);
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(password);
    return rc;
}

int nx_ext_http_url_parse(CURLU **out, struct nx_span text, const struct nx_domains *domains,
                          struct nx_error *err) {
    if (text.len > NX_MAX_HTTP_EXT_URL_BYTES)
        return nx_error_set(err, NX_E_LIMIT, "the URL is longer than %d bytes",
                            NX_MAX_HTTP_EXT_URL_BYTES);
    if (text.len == 0 || memchr(text.data, '\0', text.len))
        return parse_error(CURLUE_MALFORMED_INPUT, err);
    char *copy = strndup(text.data, text.len);
    CURLU *url = curl_url();
    if (!copy || !url) {
        free(copy);
        curl_url_cleanup(url);
        return parse_error(CURLUE_OUT_OF_MEMORY, err);
    }
    // Spaces and what is not ASCII are escaped, as in browsers; control characters are refused.
    CURLUcode code = curl_url_set(url, CURLUPART_URL, copy,
                                  CURLU_DISALLOW_USER | CURLU_URLENCODE | CURLU_ALLOW_SPACE);
    free(copy);
    int rc = code ? parse_error(code, err) : judge(url, domains, err);
    if (rc)
        curl_url_cleanup(url);
    else
        *out = url;
    return rc;
}

void nx_ext_http_url_host(CURLU *url, char *out, size_t size) {
    char *host = part(url, CURLUPART_HOST, 0);
    size_t len = host ? strnlen(host, size - 1) : 0;
    if (len)
        memcpy(out, host, len);
    out[len] = '\0';
    curl_free(host);
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart which) {
    char *of_a = part(a, which, CURLU_DEFAULT_PORT), *of_b = part(b, which, CURLU_DEFAULT_PORT);
    bool same = of_a && of_b && strcasecmp(of_a, of_b) == 0;
    curl_free(of_a);
    curl_free(of_b);
    return same;
}

bool nx_ext_http_url_same_origin(CURLU *a, CURLU *b) {
    return same_part(a, b, CURLUPART_SCHEME) && same_part(a, b, CURLUPART_HOST) &&
           same_part(a, b, CURLUPART_PORT);
}

bool nx_ext_http_url_is_https(CURLU *url) {
    char *scheme = part(url, CURLUPART_SCHEME, 0);
    bool https = scheme && strcasecmp(scheme, "https") == 0;
    curl_free(scheme);
    return https;
}
