// SPDX-License-Identifier: Apache-2.0
// The extension: its settings, and the life of a call.
#include "ext/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ext/http_call.h"

// ---- The end of a call

static void on_call_closed(uv_handle_t *handle) {
    struct nx_ext_http_call *call = handle->data;
    struct nx_ext_http *http = call->http;
    nx_ext_http_request_free(&call->request);
    nx_ext_http_response_free(&call->response);
    free(call);
    nx_ext_http_handle_closed(http);
}

static void release(struct nx_ext_http_call *call) {
    nx_ext_http_queue_remove(call);
    uv_close((uv_handle_t *)&call->timer, on_call_closed);
}

static void on_lingered(uv_timer_t *timer) {
    struct nx_ext_http_call *call = timer->data;
    struct nx_ext_http *http = call->http;
    release(call);
    nx_ext_http_queue_run(http);
}

// Takes the call off the wire and gives its turn back: at once, or when nothing of it can still be
// at work.
static void leave(struct nx_ext_http_call *call) {
    bool looking_up = call->easy && call->looking_up;
    nx_ext_http_hop_stop(call);
    if (!looking_up) {
        release(call);
        return;
    }
    call->state = NX_EXT_HTTP_LINGERING;
    uv_timer_start(&call->timer, on_lingered, NX_HTTP_EXT_LOOKUP_LINGER_MS, 0);
    uv_unref((uv_handle_t *)&call->timer);
}

static void complete(struct nx_ext_http_call *call, const struct nx_ext_result *result) {
    struct nx_ext_http *http = call->http;
    nx_ext_done_fn *fn = call->fn;
    void *user = call->user;
    leave(call);
    fn(user, result);
    nx_ext_http_queue_run(http);
}

static void fail(struct nx_ext_http_call *call) {
    char message[NX_ERROR_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s", call->problem.message);
    complete(call, &(struct nx_ext_result){.code = NX_RESULT_EXTENSION_ERROR,
                                           .message = nx_span_str(message)});
}

static void succeed(struct nx_ext_http_call *call, long status) {
    struct nx_buf json;
    // Escapes make at most six bytes of one.
    nx_buf_init(&json, 6 * (call->response.body.len + 2 * NX_MAX_HTTP_EXT_HEAD_BYTES) + 1024);
    if (nx_ext_http_response_render(&call->response, status, &json) == 0) {
        complete(call, &(struct nx_ext_result){.ok = true, .json = nx_buf_span(&json)});
    } else {
        nx_error_set(&call->problem, NX_E_NOMEM, "out of memory");
        fail(call);
    }
    nx_buf_free(&json);
}

// ---- From hop to hop

// Why a hop came to nothing, unless a callback said so already.
static void explain(struct nx_ext_http_call *call, CURLcode code) {
    char host[NX_MAX_HOST_BYTES + 3];
    if (call->problem.code)
        return;
    nx_ext_http_url_host(call->request.url, host, sizeof host);
    // With a socket made, a refused address was only one of several.
    if (call->refused && (call->sockets == 0 || code == CURLE_ABORTED_BY_CALLBACK))
        nx_error_set(&call->problem, NX_E_DENIED, "the address of '%s' is %s: refused", host,
                     call->refused);
    else
        nx_error_set(&call->problem, NX_E_IO, "%s: %s", host,
                     call->detail[0] ? call->detail : curl_easy_strerror(code));
}

static int follow(struct nx_ext_http_call *call, long status, const char *location) {
    struct nx_error *err = &call->problem;
    if (call->redirects++ == NX_MAX_HTTP_EXT_REDIRECTS)
        return nx_error_set(err, NX_E_LIMIT, "over %d redirects", NX_MAX_HTTP_EXT_REDIRECTS);
    int rc =
        nx_ext_http_request_redirect(&call->request, status, location, &call->http->domains, err);
    if (rc) {
        nx_error_wrap(err, "redirect");
        return rc;
    }
    return nx_ext_http_hop_start(call, err);
}

void nx_ext_http_hop_done(struct nx_ext_http_call *call, CURLcode code) {
    long status = 0;
    char *location = NULL;
    // Only running out of time leaves the thread that looks up the name at work.
    if (code != CURLE_OPERATION_TIMEDOUT)
        call->looking_up = false;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_REDIRECT_URL, &location);
    if (code) {
        explain(call, code);
        fail(call);
        return;
    }
    if (!call->request.follow || !nx_ext_http_is_redirect(status) || !location) {
        succeed(call, status);
        return;
    }
    location = strdup(location);
    nx_ext_http_hop_stop(call);
    if (!location)
        nx_error_set(&call->problem, NX_E_NOMEM, "out of memory");
    else
        follow(call, status, location);
    free(location);
    if (call->problem.code)
        fail(call);
}

static void on_time_over(uv_timer_t *timer) {
    struct nx_ext_http_call *call = timer->data;
    if (!call->problem.code)
        nx_error_set(&call->problem, NX_E_IO, "no complete answer within %u ms", call->timeout_ms);
    fail(call);
}

void nx_ext_http_start(struct nx_ext_http_call *call) {
    if (nx_ext_http_hop_start(call, &call->problem))
        uv_timer_start(&call->timer, on_time_over, 0, 0);
}

// ---- Calls

static bool has_method(const void *self, struct nx_span method) {
    (void)self;
    return nx_ext_http_has_method(method);
}

static void cancel(struct nx_ext_op *op) {
    struct nx_ext_http_call *call = (struct nx_ext_http_call *)op;
    struct nx_ext_http *http = call->http;
    leave(call);
    nx_ext_http_queue_run(http);
}

// A client's text, if it can stand in a header. `out` is empty, and of `size` bytes.
static void copy_for_header(char *out, size_t size, struct nx_span text) {
    if (text.len == 0 || text.len >= size)
        return;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return;
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

static int start_call(void *self, const struct nx_ext_request *request, nx_ext_done_fn *fn,
                      void *user, struct nx_ext_op **out, struct nx_error *err) {
    struct nx_ext_http *http = self;
    struct nx_ext_http_call *call = calloc(1, sizeof *call);
    if (!call)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    call->op.cancel = cancel;
    call->http = http;
    call->fn = fn;
    call->user = user;
    nx_ext_http_response_init(&call->response, http->max_response_bytes);
    int rc = nx_ext_http_request_read(&call->request, request, &http->domains, err);
    if (rc == 0)
        rc = nx_ext_http_queue_add(call, request->tenant, err);
    if (rc) {
        nx_ext_http_request_free(&call->request);
        free(call);
        return rc;
    }
    copy_for_header(call->request_id, sizeof call->request_id, request->request_id);
    copy_for_header(call->traceparent, sizeof call->traceparent, request->traceparent);
    uint32_t wanted_ms = call->request.timeout_ms;
    call->timeout_ms = wanted_ms && wanted_ms < http->timeout_ms ? wanted_ms : http->timeout_ms;
    uv_timer_init(http->loop, &call->timer);
    http->handle_count++;
    call->timer.data = call;
    uv_update_time(http->loop);
    uv_timer_start(&call->timer, on_time_over, call->timeout_ms, 0);
    *out = &call->op;
    nx_ext_http_queue_run(http);
    return 0;
}

// ---- Settings

void nx_ext_http_config_default(struct nx_ext_http_config *config) {
    *config = (struct nx_ext_http_config){
        .max_concurrent = NX_DEFAULT_HTTP_EXT_CONCURRENT,
        .timeout_ms = NX_DEFAULT_HTTP_EXT_TIMEOUT_MS,
        .max_response_kb = NX_DEFAULT_HTTP_EXT_KB,
    };
}

int nx_ext_http_check_domains(const struct nx_ext_http_config *config, struct nx_error *err) {
    struct nx_domains domains;
    if (!config->allowed_domains)
        return 0;
    int rc = nx_domains_parse(&domains, config->allowed_domains, err);
    if (rc == 0)
        nx_domains_free(&domains);
    return rc;
}

int nx_ext_http_check_addresses(const struct nx_ext_http_config *config, struct nx_error *err) {
    struct nx_egress_exceptions exceptions;
    return nx_egress_parse(&exceptions, config->allow_addresses, err);
}

int nx_ext_http_check_user_agent(const struct nx_ext_http_config *config, struct nx_error *err) {
    size_t len = config->user_agent ? strlen(config->user_agent) : 0;
    for (size_t i = 0; i < len; i++)
        if (config->user_agent[i] < ' ' || config->user_agent[i] > '~')
            return nx_error_set(err, NX_E_INVALID, "must be printable ASCII");
    if (len > NX_MAX_HTTP_USER_AGENT_BYTES)
        return nx_error_set(err, NX_E_LIMIT, "must not be longer than %d bytes",
                            NX_MAX_HTTP_USER_AGENT_BYTES);
    return 0;
}

int nx_ext_http_check_ca_file(const struct nx_ext_http_config *config, struct nx_error *err) {
    if (config->ca_file && access(config->ca_file, R_OK))
        return nx_error_errno(err, "cannot be read");
    return 0;
}

static int copy_text(char **to, const char *from, struct nx_error *err) {
    *to = from ? strdup(from) : NULL;
    return from && !*to ? nx_error_set(err, NX_E_NOMEM, "out of memory") : 0;
}

static int take_config(struct nx_ext_http *http, const struct nx_ext_http_config *config,
                       struct nx_error *err) {
    int rc = nx_domains_parse(&http->domains, config->allowed_domains, err);
    if (rc)
        nx_error_wrap(err, "HTTP_ALLOWED_DOMAINS");
    if (rc == 0 && (rc = nx_egress_parse(&http->exceptions, config->allow_addresses, err)))
        nx_error_wrap(err, "HTTP_EXT_ALLOW_ADDRESSES");
    if (rc == 0 && (rc = nx_ext_http_check_user_agent(config, err)))
        nx_error_wrap(err, "HTTP_USER_AGENT");
    if (rc == 0 && (rc = nx_ext_http_check_ca_file(config, err)))
        nx_error_wrap(err, "HTTP_CA_FILE");
    if (rc == 0)
        rc = copy_text(&http->ca_file, config->ca_file, err);
    if (rc == 0)
        rc = copy_text(&http->user_agent, config->user_agent, err);
    http->max_concurrent = config->max_concurrent ? config->max_concurrent : 1;
    http->timeout_ms = config->timeout_ms;
    http->max_response_bytes = (size_t)config->max_response_kb * 1024;
    return rc;
}

// ---- The whole

static void free_http(struct nx_ext_http *http) {
    nx_domains_free(&http->domains);
    free(http->ca_file);
    free(http->user_agent);
    free(http);
    curl_global_cleanup();
}

void nx_ext_http_handle_closed(struct nx_ext_http *http) {
    if (--http->handle_count == 0)
        free_http(http);
}

static void destroy(void *self) {
    struct nx_ext_http *http = self;
    struct nx_ext_http_call *call;
    // No call has an owner any more; what is left only lingers.
    while ((call = TAILQ_FIRST(&http->active)))
        release(call);
    nx_ext_http_loop_close(http);
}

int nx_ext_register_http(struct nx_ext_registry *registry, const struct nx_ext_http_config *config,
                         struct nx_error *err) {
    if (!config->allowed_domains)
        return 0;
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return nx_error_set(err, NX_E_IO, "libcurl does not start");
    struct nx_ext_http *http = calloc(1, sizeof *http);
    if (!http) {
        curl_global_cleanup();
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    http->loop = nx_ext_registry_loop(registry);
    TAILQ_INIT(&http->first);
    TAILQ_INIT(&http->more);
    TAILQ_INIT(&http->active);
    int rc = take_config(http, config, err);
    if (rc == 0)
        rc = nx_ext_http_loop_init(http, err);
    if (rc) {
        free_http(http);
        return rc;
    }
    return nx_ext_register(registry,
                           &(struct nx_ext){
                               .name = "http",
                               .self = http,
                               .has_method = has_method,
                               .call = start_call,
                               .destroy = destroy,
                           },
                           err);
}
