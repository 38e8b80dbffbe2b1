// SPDX-License-Identifier: Apache-2.0
// One hop: everything libcurl is told, and what it asks back.
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ext/http_call.h"

// ---- What libcurl asks

static int on_lookup(void *state, void *reserved, void *user) {
    struct nx_ext_http_call *call = user;
    (void)state;
    (void)reserved;
    call->looking_up = true;
    return 0;
}

// Judges an address before anything is sent to it; what is refused never becomes a socket. libcurl
// goes on to the name's next address.
static curl_socket_t on_open_socket(void *user, curlsocktype purpose,
                                    struct curl_sockaddr *address) {
    struct nx_ext_http_call *call = user;
    call->looking_up = false;
    const char *why =
        purpose == CURLSOCKTYPE_IPCXN
            ? nx_egress_judge(&call->http->exceptions, &address->addr, address->addrlen)
            : "not one to connect to";
    if (why) {
        call->refused = why;
        return CURL_SOCKET_BAD;
    }
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    call->sockets++;
    return fd;
}

// Judges again the address at the other end, right before the request goes out: here also a
// connection that an earlier call left open passes.
static int on_before_request(void *user, char *peer, char *local, int peer_port, int local_port) {
    struct nx_ext_http_call *call = user;
    (void)local;
    (void)local_port;
    call->looking_up = false;
    call->refused = nx_egress_judge_text(&call->http->exceptions, peer, (uint16_t)peer_port);
    return call->refused ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static size_t on_head(char *data, size_t size, size_t count, void *user) {
    struct nx_ext_http_call *call = user;
    size_t len = size * count;
    const char *refused = nx_ext_http_response_line(&call->response, data, len);
    if (!refused)
        return len;
    nx_error_set(&call->problem, NX_E_LIMIT, "%s", refused);
    return 0;
}

// Gets bytes after decompression, so this limit holds for what compression hides, too.
static size_t on_body(char *data, size_t size, size_t count, void *user) {
    struct nx_ext_http_call *call = user;
    size_t len = size * count;
    if (nx_buf_append(&call->response.body, data, len) == 0)
        return len;
    if (call->response.body.failed == NX_E_LIMIT)
        nx_error_set(&call->problem, NX_E_LIMIT, "the response is larger than %zu KB",
                     call->response.body.max_bytes / 1024);
    else
        nx_error_set(&call->problem, NX_E_NOMEM, "out of memory");
    return 0;
}

// ---- What libcurl is told

// Everything that could come from the environment, from files or from earlier calls is off.
static CURLcode set_isolation(CURL *easy) {
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (rc == CURLE_OK) // ending a call must not wait for the thread that looks up its name
        rc = curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    if (rc == CURLE_OK) // an empty name is no proxy, whatever the environment says
        rc = curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    return rc;
}

static CURLcode set_security(CURL *easy, struct nx_ext_http_call *call) {
    const char *ca_file = call->http->ca_file;
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, on_lookup);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, call);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_before_request);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (rc == CURLE_OK && ca_file)
        rc = curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    if (rc == CURLE_OK && ca_file)
        rc = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    return rc;
}

static CURLcode set_callbacks(CURL *easy, struct nx_ext_http_call *call) {
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->detail);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    if (rc == CURLE_OK)
        rc =
            curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)NX_HTTP_EXT_CONNECT_TIMEOUT_MS);
    return rc;
}

static CURLcode set_method(CURL *easy, const struct nx_ext_http_request *request) {
    const char *method = request->method;
    bool body = request->has_body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
                strcmp(method, "PATCH") == 0;
    if (strcmp(method, "HEAD") == 0)
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    CURLcode rc = CURLE_OK;
    if (body) {
        rc = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        if (rc == CURLE_OK) // not copied: the request outlives the hop
            rc = curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                                  request->body.data ? request->body.data : "");
    }
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    return rc;
}

static CURLcode set_request(CURL *easy, struct nx_ext_http_call *call) {
    CURLcode rc = set_method(easy, &call->request);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_CURLU, call->request.url);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->sent);
    // A response has a status text here, and one connection carries one request at a time.
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    if (rc == CURLE_OK && call->http->user_agent)
        rc = curl_easy_setopt(easy, CURLOPT_USERAGENT, call->http->user_agent);
    return rc;
}

// What tells the one who is asked whose request this belongs to, unless the handler says so itself.
static int make_trace_headers(struct nx_ext_http_call *call, struct nx_error *err) {
    const struct {
        const char *name, *value;
    } headers[] = {{"X-Request-Id", call->request_id}, {"traceparent", call->traceparent}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof headers / sizeof headers[0]; i++)
        if (headers[i].value[0] && !nx_ext_http_headers_has(call->request.headers, headers[i].name))
            rc = nx_ext_http_headers_add(&call->sent, headers[i].name, headers[i].value, err);
    return rc;
}

// The handler's headers and the runtime's.
static int make_headers(struct nx_ext_http_call *call, struct nx_error *err) {
    const struct curl_slist *own = call->request.headers;
    for (const struct curl_slist *header = own; header; header = header->next) {
        struct curl_slist *longer = curl_slist_append(call->sent, header->data);
        if (!longer)
            return nx_error_set(err, NX_E_NOMEM, "out of memory");
        call->sent = longer;
    }
    // libcurl would add these two by itself.
    struct curl_slist *longer = curl_slist_append(call->sent, "Expect:");
    if (longer)
        call->sent = longer;
    if (longer && !nx_ext_http_headers_has(own, "Content-Type"))
        longer = curl_slist_append(call->sent, "Content-Type:");
    if (!longer)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    call->sent = longer;
    return make_trace_headers(call, err);
}

// ---- A hop

static int set_up(struct nx_ext_http_call *call, struct nx_error *err) {
    CURL *easy = call->easy;
    int rc = make_headers(call, err);
    if (rc)
        return rc;
    CURLcode code = set_isolation(easy);
    if (code == CURLE_OK)
        code = set_security(easy, call);
    if (code == CURLE_OK)
        code = set_callbacks(easy, call);
    if (code == CURLE_OK)
        code = set_request(easy, call);
    if (code == CURLE_OUT_OF_MEMORY)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    return code ? nx_error_set(err, NX_E_IO, "%s", curl_easy_strerror(code)) : 0;
}

int nx_ext_http_hop_start(struct nx_ext_http_call *call, struct nx_error *err) {
    call->looking_up = false;
    call->sockets = 0;
    call->refused = NULL;
    call->detail[0] = '\0';
    nx_ext_http_response_reset(&call->response);
    call->easy = curl_easy_init();
    if (!call->easy)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    int rc = set_up(call, err);
    if (rc == 0 && curl_multi_add_handle(call->http->multi, call->easy))
        rc = nx_error_set(err, NX_E_NOMEM, "out of memory");
    if (rc)
        nx_ext_http_hop_stop(call);
    return rc;
}

void nx_ext_http_hop_stop(struct nx_ext_http_call *call) {
    if (!call->easy)
        return;
    curl_multi_remove_handle(call->http->multi, call->easy); // fine if it was not added
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->sent);
    call->easy = NULL;
    call->sent = NULL;
}
