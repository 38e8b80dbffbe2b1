// SPDX-License-Identifier: Apache-2.0
// libcurl says which sockets and what time to wait for; libuv waits; libcurl is told what came.
//
// libcurl's functions are not called from its own callbacks here: those only note what to wait for.
// Calls end in `take_results`, outside of any.
#include <stdlib.h>

#include "ext/http_call.h"

struct watch {
    uv_poll_t poll;
    struct nx_ext_http *http;
    curl_socket_t socket;
};

static void take_results(struct nx_ext_http *http) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct nx_ext_http_call *call = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        // The message is gone once the call takes its handle away.
        nx_ext_http_hop_done(call, code);
    }
}

static void act(struct nx_ext_http *http, curl_socket_t socket, int what) {
    int running;
    curl_multi_socket_action(http->multi, socket, what, &running);
    take_results(http);
}

static void on_timer(uv_timer_t *timer) {
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(uv_poll_t *poll, int status, int events) {
    struct watch *watch = poll->data;
    int what = status < 0 ? CURL_CSELECT_ERR : 0;
    what |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    what |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    act(watch->http, watch->socket, what);
}

static void on_watch_closed(uv_handle_t *handle) {
    struct watch *watch = handle->data;
    struct nx_ext_http *http = watch->http;
    free(watch);
    nx_ext_http_handle_closed(http);
}

static struct watch *new_watch(struct nx_ext_http *http, curl_socket_t socket) {
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->http = http;
    watch->socket = socket;
    if (uv_poll_init_socket(http->loop, &watch->poll, socket)) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    http->handle_count++;
    return watch;
}

static int on_want_socket(CURL *easy, curl_socket_t socket, int what, void *user, void *known) {
    struct nx_ext_http *http = user;
    struct watch *watch = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            uv_poll_stop(&watch->poll);
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        }
        curl_multi_assign(http->multi, socket, NULL);
        return 0;
    }
    // A socket that cannot be watched is left to its call's time limit: an error from here would
    // end every call there is.
    if (!watch) {
        watch = new_watch(http, socket);
        if (!watch)
            return 0;
        curl_multi_assign(http->multi, socket, watch);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&watch->poll, events, on_socket);
    return 0;
}

static int on_want_timer(CURLM *multi, long timeout_ms, void *user) {
    struct nx_ext_http *http = user;
    (void)multi;
    if (timeout_ms < 0)
        return uv_timer_stop(&http->timer);
    uv_update_time(http->loop);
    return uv_timer_start(&http->timer, on_timer, (uint64_t)timeout_ms, 0);
}

int nx_ext_http_loop_init(struct nx_ext_http *http, struct nx_error *err) {
    http->multi = curl_multi_init();
    if (!http->multi)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    uv_timer_init(http->loop, &http->timer);
    http->timer.data = http;
    http->handle_count++;
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_want_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_want_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    // Open connections, idle ones included: each is a descriptor.
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)http->max_concurrent);
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle) {
    nx_ext_http_handle_closed(handle->data);
}

void nx_ext_http_loop_close(struct nx_ext_http *http) {
    curl_multi_cleanup(http->multi);
    http->multi = NULL;
    uv_close((uv_handle_t *)&http->timer, on_timer_closed);
}
