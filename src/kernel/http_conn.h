// SPDX-License-Identifier: Apache-2.0
// The inside of the HTTP server, shared by the files that make it up.
//
// Who does what
//   http_server.c    listening, time limits, stopping
//   http_accept.c    accepting, also when memory or descriptors are short
//   http_conn.c      a connection: bytes in, requests out, what to do between
//   http_read.c      reading, in turns
//   http_memory.c    what all hold together
//   http_reply.c     replies, errors, writing
//   http_dispatch.c  whether a request is admitted, and who answers it
//   http_auth.c      whose request it is, and whether that is enough
//   http_panels.c    the handlers of /panels…; http_create.c, http_trigger.c, http_health.c,
//                    http_metrics.c, http_openapi.c theirs
//   http_replay.c    triggers with an Idempotency-Key
//   http_parse.c, http_route.c   pure functions over bytes
//
// A connection's states, and the functions that move it on:
//
//   READING --(a whole request)--> BUSY --nx_http_send--> READING     keep-alive
//                                    |  |                 WRITING --> READING, or LINGERING
//                                    |  +---------------> LINGERING   the reply closes it
//   any --nx_http_conn_close--> CLOSED, freed by the loop
//
// Invariants
//   1. A connection has one request at work; bytes that follow wait in `in`.
//   2. A handler answers with exactly one nx_http_send, now or later. Until then what it waits for
//      (`trigger`, `wait` or `replay`) is known here, and let go when the connection closes.
//   3. Spans of a request are valid during its handler's call only.
#ifndef NX_KERNEL_HTTP_CONN_H
#define NX_KERNEL_HTTP_CONN_H

#include <sys/queue.h>

#include "base/buf.h"
#include "base/limits.h"
#include "kernel/audit.h"
#include "kernel/http.h"
#include "kernel/http_parse.h"
#include "kernel/http_route.h"

enum nx_http_conn_state {
    NX_CONN_READING,
    NX_CONN_BUSY,
    NX_CONN_WRITING,
    NX_CONN_UPGRADED,  // a WebSocket: its bytes are ws_conn.c's
    NX_CONN_LINGERING, // the last reply is out: reads on so that the client is not reset
    NX_CONN_CLOSED,
};

// What a READING connection waits for; each has its time limit.
enum nx_http_awaiting { NX_AWAIT_REQUEST, NX_AWAIT_HEAD, NX_AWAIT_BODY };

enum {
    NX_HTTP_URL_BYTES = 80,
    NX_HTTP_LISTENERS = 3, // the main one, and those of WS_PORT and METRICS_PORT
};

struct nx_http_conn;

// Something a handler waits for that cannot be called off. `conn` is NULL once the client is gone.
struct nx_http_wait {
    struct nx_http_conn *conn;
};

struct nx_http_conn {
    uv_tcp_t tcp;
    struct nx_http *http;
    TAILQ_ENTRY(nx_http_conn) link;
    enum nx_http_conn_state state;
    enum nx_http_awaiting awaiting;
    bool processing;      // inside the loop over received requests
    bool resuming;        // on http->resume
    bool paused;          // reading stopped: too much read ahead
    bool put_off;         // on http->put_off: reading stopped for some turns
    bool peer_done;       // the client sends no more
    bool keep_alive;      // of the request at work
    bool ws_only;         // came in on WS_PORT
    bool metrics_only;    // came in on METRICS_PORT
    bool is_head;         // it wants no body
    bool respond_async;   // it prefers 202 to waiting
    uint64_t deadline_ms; // of the loop's clock; 0: none
    uint64_t started_ns;  // when the head of the request at work was there
    enum nx_http_route route;
    const char *allowed_origin;   // its page may read the reply: Access-Control-Allow-Origin
    struct nx_identity *identity; // owned reference: its bearer; NULL where no token is asked for
    TAILQ_ENTRY(nx_http_conn) resume_link, put_off_link;

    struct nx_buf in;             // received and not yet used
    bool admitted;                // the head at its start was looked at: its body is being received
    size_t need_bytes;            // then: of `in`, for the whole request; 0 for a chunked one
    uint64_t read_turn;           // the turn of the loop in which it was read last
    struct nx_http_chunks chunks; // a chunked body
    size_t chunk_pos;             // how far of `in` it is decoded
    struct nx_buf body;           // its decoded bytes
    char *unsent;                 // owned: rest of a reply
    size_t unsent_len;
    size_t accounted_bytes; // of `in`, `body` and `unsent` within http->buffered_bytes
    uv_write_t write;
    uv_shutdown_t shutdown;

    struct nx_ws_session *ws;   // UPGRADED: owned
    struct nx_trigger *trigger; // BUSY: the trigger at work
    struct nx_http_wait *wait;  // BUSY: a creation or deletion at work
    struct nx_replay *replay;   // BUSY: a trigger with an Idempotency-Key
    TAILQ_ENTRY(nx_http_conn) replay_link;
    bool replay_again; // it was at work, or done, already
    size_t request_id_len;
    char request_id[NX_MAX_HTTP_REQUEST_ID_BYTES];
    size_t traceparent_len; // 0: none that is valid
    char traceparent[NX_TRACEPARENT_BYTES];
};
TAILQ_HEAD(nx_http_conn_list, nx_http_conn);

// Figures about processes that cost system calls: kept for a second.
struct nx_http_processes {
    uint64_t taken_ms; // of the loop's clock; 0: never
    uint64_t memory_bytes;
    // As the operating system reports them, of a worker and of this process; -1: unknown.
    struct nx_http_locks {
        int seccomp, no_new_privs;
    } worker, own;
    int worker_oom_score_adj; // 1000: ended before anything else when memory runs out; -1: unknown
};

struct nx_http {
    uv_loop_t *loop;
    struct nx_runtime *runtime;   // NULL once it is gone
    struct nx_http_config config; // strings are not kept
    char url[NX_HTTP_URL_BYTES];
    char ws_listen_url[NX_HTTP_URL_BYTES]; // of the second port; empty without one
    char *ws_url;                          // owned: "ws://host:port"
    size_t ws_url_len;
    char metrics_url[NX_HTTP_URL_BYTES];              // of METRICS_PORT; empty without one
    uv_tcp_t listener, ws_listener, metrics_listener; // the others only with their port
    int spare_fd; // given up to accept, and close, one more connection; -1: none
    // Of each listener: whether a connection waits in libuv, for the next turn or for memory.
    bool accept_left[NX_HTTP_LISTENERS];
    uv_timer_t sweep;    // time limits and the Date header
    uv_idle_t resumer;   // active while `resume` holds somebody
    uv_prepare_t turner; // counts the turns of the loop
    uint64_t turn;
    size_t turn_bytes;                // read in this one
    uint32_t turn_accepts;            // and connections taken
    struct nx_http_conn_list put_off; // bodies that wait for a later turn, longest first
    uint32_t put_off_count;
    struct nx_http_conn_list conns;
    struct nx_http_conn_list resume; // kept-alive connections with a request already read
    uint32_t conn_count;
    uint32_t turned_away_max; // of those past max_clients: they are told why they have to go
    size_t buffered_bytes;
    bool ready, draining;
    uint32_t protections; // of this process: bits of enum nx_protection
    uint64_t started_ms;
    uint64_t request_seed, request_count; // for generated request ids
    struct nx_buf out;                    // the reply being made: head room, then its body
    struct nx_http_processes processes;
    struct nx_audit_gate refused, allowed; // logged within bounds
    struct nx_ws *ws;
    struct nx_ws_tickets *tickets;
    struct nx_replays *replays;
    char date[32];

    // Stopping.
    bool stopping;
    uint64_t flush_until_ms;
    int open_handles;
    void (*on_stopped)(void *user);
    void *on_stopped_user;

    char scratch[NX_HTTP_READ_BYTES]; // where every read goes first, but for the rest of a large
                                      // body
};

// One request, for its handler.
struct nx_http_request {
    struct nx_http_conn *conn;
    const struct nx_http_head *head;
    const struct nx_http_match *match;
    struct nx_span body;
};

// ---- http_conn.c

// Takes a connection whose `tcp` was just accepted and which is on http->conns.
void nx_http_conn_start(struct nx_http_conn *conn);
// The same for one too many: says so and ends it.
void nx_http_conn_turn_away(struct nx_http_conn *conn);
// Takes what was read: `data`, or `len` bytes that the rest of a body has grown by in conn->in.
void nx_http_conn_received(struct nx_http_conn *conn, struct nx_span data);
void nx_http_conn_received_in_place(struct nx_http_conn *conn, size_t len);
// The client sends no more. `orderly`: it may still read.
void nx_http_conn_ended(struct nx_http_conn *conn, bool orderly);
// Ends it at once. Harmless when closed.
void nx_http_conn_close(struct nx_http_conn *conn);
// Ends it when the client has, or soon: nothing more is written, and what comes is ignored.
void nx_http_conn_linger(struct nx_http_conn *conn);
// Its time is up: says so if a request was being received, and ends it.
void nx_http_conn_expire(struct nx_http_conn *conn);
// The reply is out: waits for the next request, or ends.
void nx_http_conn_replied(struct nx_http_conn *conn);
// Goes on with requests that were already read.
void nx_http_conn_resume(struct nx_http_conn *conn);

// ---- http_read.c

// Begins to count turns. http->turner is closed with the other handles.
void nx_http_read_init(struct nx_http *http);
// Reads, from now on or again after uv_read_stop; closes the connection where that fails.
void nx_http_conn_read_on(struct nx_http_conn *conn);
// Takes it off http->put_off, if it is there.
void nx_http_conn_forget_put_off(struct nx_http_conn *conn);

// ---- http_memory.c

// Bytes of the connection against NX_MAX_HTTP_BUFFERED_BYTES: past it others are closed, those that
// have held much for longest. False: over it all the same.
bool nx_http_conn_account(struct nx_http_conn *conn);

// ---- http_accept.c

// For uv_listen.
void nx_http_on_connection(uv_stream_t *listener, int status);
// Takes what had to wait. In every turn of the loop; which turns at least for every sweep.
void nx_http_accept_left(struct nx_http *http);

// ---- http_server.c

// Something of the server was closed: ends the stop when it was the last.
void nx_http_check_stopped(struct nx_http *http);

// ---- http_reply.c

// Beside the status, what differs between replies. Zero-initialise; all may be NULL or 0.
struct nx_http_reply {
    int status;
    const char *content_type; // NULL: application/json
    const char *location, *etag, *allow;
    bool preference_applied; // Preference-Applied: respond-async
    bool replayed;           // Idempotent-Replayed: true
    bool preflight;          // what a page may send, if it may at all
    uint32_t retry_after_s;
};

// The buffer for the next reply's body, emptied: what is appended goes out with nx_http_send.
struct nx_buf *nx_http_body(struct nx_http *http);

// Sends the reply with what was put into nx_http_body; statuses 204 and 304 have none. If making
// the body failed, 500 goes out instead.
void nx_http_send(struct nx_http_conn *conn, const struct nx_http_reply *reply);

// The request at work is answered with `status`: counts and logs it. Of nx_http_send, and for an
// upgrade.
void nx_http_answered(struct nx_http_conn *conn, int status);

// What the log says of a request, as strings.
struct nx_http_ids {
    const char *subject, *trace_key; // "traceparent", or NULL: ends a list of fields
    char request[NX_MAX_HTTP_REQUEST_ID_BYTES + 1], trace[NX_TRACEPARENT_BYTES + 1];
};
struct nx_http_ids nx_http_ids(const struct nx_http_conn *conn);

// Sends {"error":{"code","message","requestId"}}.
void nx_http_fail(struct nx_http_conn *conn, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

// The same in steps, for errors with details: begin appends up to `"message":"…"`; the caller may
// append `,"details":…`; end appends the request id and sends.
struct nx_buf *nx_http_fail_begin(struct nx_http_conn *conn, const char *code, const char *message);
void nx_http_fail_end(struct nx_http_conn *conn, const struct nx_http_reply *reply);

// Answers a runtime call that failed: its code decides the status, its message is passed on.
void nx_http_fail_error(struct nx_http_conn *conn, const struct nx_error *err,
                        const char *not_found_code);

// ---- http_dispatch.c

// Whether the request whose head is complete may go on to its body. False: it was answered.
bool nx_http_admit(struct nx_http_conn *conn, const struct nx_http_head *head,
                   const struct nx_http_match *match);
// The same for the token alone: takes the bearer's identity, or answers 401 or 403.
bool nx_http_authorize(struct nx_http_conn *conn, const struct nx_http_head *head,
                       const struct nx_http_match *match);
// Whether the bearer has the permission. Always, where there is no authentication.
bool nx_http_may(const struct nx_http_conn *conn, enum nx_permission permission);
// AUDIT=all: says that the request was allowed. `panel_id`: which one it is about, or empty.
void nx_http_audit_allowed(struct nx_http_conn *conn, const char *msg, struct nx_span panel_id);
// Hands a whole request to its handler.
void nx_http_dispatch(const struct nx_http_request *request);

// ---- Handlers

typedef void nx_http_handler_fn(const struct nx_http_request *request);
nx_http_handler_fn nx_http_create_panel, nx_http_list_panels, nx_http_get_panel,
    nx_http_delete_panel, nx_http_get_state, nx_http_trigger, nx_http_ws_ticket, nx_http_health,
    nx_http_metrics, nx_http_openapi, nx_http_ready;

// The panel of the request's path; NULL after answering 404.
struct nx_panel *nx_http_find_panel(const struct nx_http_request *request);

// Begins waiting for something that cannot be called off; NULL after answering 503. The callback
// ends it with nx_http_wait_end, which frees it and returns the connection, NULL if that is gone.
struct nx_http_wait *nx_http_wait_begin(struct nx_http_conn *conn);
struct nx_http_conn *nx_http_wait_end(struct nx_http_wait *wait);

#endif
