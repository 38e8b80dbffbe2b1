// SPDX-License-Identifier: Apache-2.0
// The http extension between a handler and a server: what a handler asks for,
// where a redirect leads, what a server answers; and which addresses are
// public. Input: a first line that chooses, then
//   call METHOD        the arguments, as a JSON array; a last line with a
//   redirect's target answer             the lines of a response's head, an
//   empty line, its body address            a textual address
#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/json.h"
#include "base/limits.h"
#include "ext/args.h"
#include "ext/egress.h"
#include "ext/http_request.h"
#include "ext/http_response.h"
#include "fuzz.h"

static const struct nx_domains *allowed(void) {
    static struct nx_domains domains;
    if (!domains.text)
        FUZZ_CHECK(nx_domains_parse(&domains, "a.org,*.b.org,127.0.0.1,::1", NULL) == 0);
    return &domains;
}

// ---- Calls

// Nothing of this part can end the line that it is sent in.
static void check_part(CURLU *url, CURLUPart part) {
    char *text = NULL;
    if (curl_url_get(url, part, &text, 0) == CURLUE_OK)
        for (const char *p = text; *p; p++)
            FUZZ_CHECK((unsigned char)*p > ' ' && *p != 0x7f);
    curl_free(text);
}

// The URL goes to a host of the list, by http or https, with nobody's name in
// it: by the word of the library that will connect.
static void check_url(CURLU *url) {
    char *host = NULL, *scheme = NULL, *user = NULL;
    FUZZ_CHECK(curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK);
    FUZZ_CHECK(curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK);
    FUZZ_CHECK(curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_OK);
    FUZZ_CHECK(strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
    size_t len = strlen(host);
    if (len && host[len - 1] == '.')
        host[--len] = '\0';
    bool known = strcasecmp(host, "a.org") == 0 || strcmp(host, "127.0.0.1") == 0 ||
                 strcmp(host, "[::1]") == 0 ||
                 (len > 6 && strcasecmp(host + len - 6, ".b.org") == 0);
    FUZZ_CHECK(known);
    check_part(url, CURLUPART_PATH);
    check_part(url, CURLUPART_QUERY);
    curl_free(host);
    curl_free(scheme);
    curl_free(user);
}

static void check_headers(const struct curl_slist *headers) {
    size_t count = 0, bytes = 0;
    for (; headers; headers = headers->next) {
        static const char *const forbidden[] = {"host", "content-length", "transfer-encoding",
                                                "connection"};
        const char *line = headers->data;
        size_t name = strcspn(line, ":;");
        FUZZ_CHECK(name > 0 && line[name] && !strpbrk(line, "\r\n"));
        for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
            FUZZ_CHECK(strlen(forbidden[i]) != name || strncasecmp(line, forbidden[i], name) != 0);
        count++;
        bytes += strlen(line);
    }
    // The runtime adds a content type of its own.
    FUZZ_CHECK(count <= NX_MAX_HTTP_EXT_SENT_HEADERS + 1);
    FUZZ_CHECK(bytes <= NX_MAX_HTTP_EXT_SENT_HEAD + 64);
}

static void check_request(const struct nx_ext_http_request *r) {
    check_url(r->url);
    check_headers(r->headers);
    FUZZ_CHECK(r->method && r->timeout_ms <= NX_MAX_HTTP_EXT_TIMEOUT_MS);
    FUZZ_CHECK(r->body.len <= NX_MAX_HTTP_EXT_BODY_BYTES && (r->has_body || r->body.len == 0));
}

static void redirect(struct nx_ext_http_request *r, const char *location) {
    static const long statuses[] = {301, 302, 303, 307, 308};
    struct nx_error err = {0};
    bool https = nx_ext_http_url_is_https(r->url);
    CURLU *before = curl_url_dup(r->url);
    FUZZ_CHECK(before);
    int rc =
        nx_ext_http_request_redirect(r, statuses[strlen(location) % 5], location, allowed(), &err);
    FUZZ_CHECK_ERROR(rc, &err);
    if (rc == 0) {
        check_request(r);
        FUZZ_CHECK(!https || nx_ext_http_url_is_https(r->url));
        FUZZ_CHECK(nx_ext_http_url_same_origin(before, r->url) ||
                   (!nx_ext_http_headers_has(r->headers, "authorization") &&
                    !nx_ext_http_headers_has(r->headers, "cookie")));
    }
    curl_url_cleanup(before);
}

// Taking a list apart agrees with a parser.
static void check_items(struct nx_span list) {
    json_t *tree = json_loadb(list.data, list.len, JSON_ALLOW_NUL, NULL);
    if (!tree || !json_is_array(tree)) {
        json_decref(tree);
        return;
    }
    struct nx_span item;
    size_t count = json_array_size(tree);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(nx_ext_args_item(list, i, &item));
        json_t *one = json_loadb(item.data, item.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        FUZZ_CHECK(one && json_equal(one, json_array_get(tree, i)));
        json_decref(one);
    }
    FUZZ_CHECK(!nx_ext_args_item(list, count, &item) && item.len == 0);
    json_decref(tree);
}

static void fuzz_call(struct nx_span method, struct nx_span args, const char *location) {
    struct nx_ext_http_request request;
    struct nx_ext_request call = {.method = method, .args_json = args};
    struct nx_error err = {0};
    enum nx_json_kind kind;
    if (nx_json_scan(args, &kind, NULL) || kind != NX_JSON_ARRAY)
        return;
    check_items(args);
    if (!nx_ext_http_has_method(method))
        return;
    int rc = nx_ext_http_request_read(&request, &call, allowed(), &err);
    FUZZ_CHECK_ERROR(rc, &err);
    if (rc)
        return;
    check_request(&request);
    redirect(&request, location);
    nx_ext_http_request_free(&request);
}

// ---- Answers

static void check_answer(const struct nx_ext_http_response *r) {
    struct nx_buf out;
    struct nx_span value;
    enum nx_json_kind kind;
    nx_buf_init(&out, (size_t)1024 * 1024);
    FUZZ_CHECK(nx_ext_http_response_render(r, 200, &out) == 0);
    FUZZ_CHECK(nx_json_scan(nx_buf_span(&out), &kind, NULL) == 0 && kind == NX_JSON_OBJECT);
    FUZZ_CHECK(fuzz_utf8(nx_buf_span(&out), false));
    static const char *const members[] = {"status", "statusText", "headers", "data", "ok"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        FUZZ_CHECK(nx_json_member(nx_buf_span(&out), members[i], &value) == 0);
    FUZZ_CHECK(r->header_count <= NX_MAX_HTTP_EXT_HEADERS);
    FUZZ_CHECK(r->head_bytes <= NX_MAX_HTTP_EXT_HEAD_BYTES);
    // No header twice: readers differ on which one counts.
    json_t *tree = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    json_error_t fault;
    if (!tree && (tree = json_loadb(out.data, out.len, JSON_ALLOW_NUL, &fault)))
        FUZZ_CHECK(memmem(out.data, out.len, "\"data\":{", 8) ||
                   memmem(out.data, out.len, "\"data\":[", 8));
    json_decref(tree);
    nx_buf_free(&out);
}

static void fuzz_answer(struct fuzz_input *in) {
    struct nx_ext_http_response response;
    nx_ext_http_response_init(&response, 4096);
    const char *refused = NULL;
    while (in->left && !refused) {
        struct nx_span rest = nx_span_of(in->at, in->left), line = fuzz_until(in, '\n');
        bool last = line.len == 0 || nx_span_eq(line, nx_span_str("\r"));
        struct nx_span exact = fuzz_copy(nx_span_of(rest.data, rest.len - in->left));
        refused = nx_ext_http_response_line(&response, exact.data, exact.len);
        free((void *)exact.data);
        FUZZ_CHECK(!refused || refused[0]);
        if (last && (in->left < 5 || memcmp(in->at, "HTTP/", 5) != 0))
            break;
    }
    if (!refused) {
        struct nx_span body = fuzz_rest(in);
        nx_buf_append(&response.body, body.data, body.len < 4096 ? body.len : 4096);
        check_answer(&response);
    }
    nx_ext_http_response_reset(&response);
    if (!refused)
        check_answer(&response);
    nx_ext_http_response_free(&response);
}

// ---- Addresses

// Some of what must never be reached, written down anew.
static bool must_refuse_v4(const uint8_t a[4]) {
    return a[0] == 0 || a[0] == 10 || a[0] == 127 || a[0] >= 224 ||
           (a[0] == 100 && a[1] >> 6 == 1) || (a[0] == 169 && a[1] == 254) ||
           (a[0] == 172 && a[1] >> 4 == 1) || (a[0] == 192 && a[1] == 168) ||
           (a[0] == 198 && a[1] >> 1 == 9);
}

static bool must_refuse_v6(const uint8_t a[16]) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return a[0] >> 5 != 1 || memcmp(a, mapped, sizeof mapped) == 0 || (a[0] == 0x20 && a[1] == 2) ||
           (a[0] == 0x20 && a[1] == 1 && a[2] == 0 && a[3] == 0);
}

static void fuzz_address(const char *text) {
    static const struct nx_egress_exceptions none;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
    const char *judged = nx_egress_judge_text(&none, text, 80);
    const char *refusal = "no address";
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        refusal = nx_egress_refusal((struct sockaddr *)&v4, sizeof v4);
        FUZZ_CHECK(refusal || !must_refuse_v4((const uint8_t *)&v4.sin_addr));
    } else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        refusal = nx_egress_refusal((struct sockaddr *)&v6, sizeof v6);
        FUZZ_CHECK(refusal || !must_refuse_v6((const uint8_t *)&v6.sin6_addr));
    }
    FUZZ_CHECK((judged != NULL) == (refusal != NULL));
    // One exception lets that address through, at its port alone.
    char list[128];
    struct nx_egress_exceptions one = {0};
    snprintf(list, sizeof list, strchr(text, ':') ? "[%.60s]:80" : "%.60s:80", text);
    if (strlen(text) < 60 && nx_egress_parse(&one, list, NULL) == 0 && one.count == 1) {
        FUZZ_CHECK(!nx_egress_judge_text(&one, text, 80) || !strcmp(refusal, "no address"));
        FUZZ_CHECK((nx_egress_judge_text(&one, text, 81) != NULL) == (refusal != NULL));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = fuzz_input(data, size);
    struct nx_span choice = fuzz_until(&in, '\n'), call = nx_span_str("call ");
    if (nx_span_starts(choice, call)) {
        struct nx_span rest = fuzz_rest(&in);
        const char *end = rest.len ? memrchr(rest.data, '\n', rest.len) : NULL;
        size_t len = end ? (size_t)(end - rest.data) : rest.len;
        char *location =
            fuzz_string(end ? nx_span_of(end + 1, rest.len - len - 1) : fuzz_nothing());
        struct nx_span args = fuzz_copy(nx_span_of(rest.data, len));
        fuzz_call(nx_span_of(choice.data + call.len, choice.len - call.len), args, location);
        free((void *)args.data);
        free(location);
    } else if (nx_span_eq(choice, nx_span_str("answer"))) {
        fuzz_answer(&in);
    } else {
        char *text = fuzz_string(fuzz_rest(&in));
        fuzz_address(text);
        free(text);
    }
    return 0;
}
