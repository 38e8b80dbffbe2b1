// SPDX-License-Identifier: Apache-2.0
// The inside of the http extension.
//
//   http.c           the extension: settings, calls, how they end
//   http_queue.c     whose turn it is: panels share the wire fairly
//   http_transfer.c  one hop of one call, as libcurl's callbacks see it
//   http_loop.c      libcurl's sockets and timer on the kernel's loop
//
// A call's states:
//   WAITING --turn--> RUNNING --answer, error, time--> gone
//      |                 `--given up while its name is looked up--> LINGERING --later--> gone
//      `--given up, time--> gone
// Every call that is not WAITING has a turn of its panel. LINGERING calls have no owner any more:
// they only keep the turn until the thread that looks up the name has certainly ended, which bounds
// the number of such threads.
#ifndef NX_EXT_HTTP_CALL_H
#define NX_EXT_HTTP_CALL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <uthash.h>
#include <uv.h>

#include "ext/domains.h"
#include "ext/egress.h"
#include "ext/ext.h"
#include "ext/http.h"
#include "ext/http_request.h"
#include "ext/http_response.h"

enum nx_ext_http_state { NX_EXT_HTTP_WAITING, NX_EXT_HTTP_RUNNING, NX_EXT_HTTP_LINGERING };

struct nx_ext_http_call {
    struct nx_ext_op op; // first: cancel gets its address
    struct nx_ext_http *http;
    struct nx_ext_http_panel *panel;
    TAILQ_ENTRY(nx_ext_http_call) link; // in its panel while waiting, else in http->active
    enum nx_ext_http_state state;
    uv_timer_t timer; // the call's end; the memory lives until its close callback
    nx_ext_done_fn *fn;
    void *user;
    struct nx_ext_http_request request;
    struct nx_ext_http_response response;
    char request_id[NX_MAX_REQUEST_ID_BYTES + 1];
    char traceparent[NX_TRACEPARENT_BYTES + 1];
    uint32_t timeout_ms;
    unsigned redirects;
    // Of the current hop:
    CURL *easy;
    struct curl_slist *sent; // headers, also those of the runtime
    bool looking_up;         // a thread may be at work on the host's name
    unsigned sockets;        // made
    const char *refused;     // why an address was refused, see nx_egress_refusal
    char detail[CURL_ERROR_SIZE];
    struct nx_error problem; // code != 0: why the call fails
};

TAILQ_HEAD(nx_ext_http_calls, nx_ext_http_call);
TAILQ_HEAD(nx_ext_http_ring, nx_ext_http_panel);

// The calls of one panel; exists while it has any.
struct nx_ext_http_panel {
    UT_hash_handle hh;
    struct nx_ext_http_calls waiting;
    unsigned waiting_count, running_count; // `running` counts those that linger, too
    size_t bytes;
    struct nx_ext_http_ring *ring; // where it waits for its turn; NULL: nowhere
    TAILQ_ENTRY(nx_ext_http_panel) turn;
    bool unhashed; // there was no memory to hash it
    char id[];
};

struct nx_ext_http {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;      // libcurl's
    unsigned handle_count; // uv handles open; the memory goes with the last one
    struct nx_domains domains;
    struct nx_egress_exceptions exceptions;
    char *ca_file, *user_agent; // owned; NULL: none
    uint32_t max_concurrent, timeout_ms;
    size_t max_response_bytes;
    struct nx_ext_http_panel *panels;
    struct nx_ext_http_ring first, more; // panels with nothing on the wire, and the others
    struct nx_ext_http_calls active;     // running or lingering
    unsigned active_count;
    size_t bytes; // of all requests held
};

// ---- http.c

// Ends a running call with what its last hop came to, or starts its next hop.
void nx_ext_http_hop_done(struct nx_ext_http_call *call, CURLcode code);

// Puts a call whose turn has come on the wire. Never calls back: if that fails, the call ends from
// the loop.
void nx_ext_http_start(struct nx_ext_http_call *call);

// Forgets a uv handle of the extension that is closed.
void nx_ext_http_handle_closed(struct nx_ext_http *http);

// ---- http_queue.c

// Makes room for a call of `tenant` that holds `bytes`, and lines it up. NX_E_LIMIT, NX_E_NOMEM.
int nx_ext_http_queue_add(struct nx_ext_http_call *call, struct nx_span tenant,
                          struct nx_error *err);

// Takes a call out, in whatever state it is; its panel's turn is free again.
void nx_ext_http_queue_remove(struct nx_ext_http_call *call);

// Starts every call whose turn it is.
void nx_ext_http_queue_run(struct nx_ext_http *http);

// ---- http_transfer.c

// Starts a hop of the call's request. NX_E_NOMEM, NX_E_IO.
int nx_ext_http_hop_start(struct nx_ext_http_call *call, struct nx_error *err);

// Takes the hop off the wire, if there is one.
void nx_ext_http_hop_stop(struct nx_ext_http_call *call);

// ---- http_loop.c

// Makes libcurl's multi handle and its timer. NX_E_NOMEM.
int nx_ext_http_loop_init(struct nx_ext_http *http, struct nx_error *err);

// Ends libcurl's connections and closes its handles.
void nx_ext_http_loop_close(struct nx_ext_http *http);

#endif
