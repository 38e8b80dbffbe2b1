// SPDX-License-Identifier: Apache-2.0
// The inside of the WebSocket server, shared by the ws_*.c files. See ws.h.
#ifndef NX_KERNEL_WS_SESSION_H
#define NX_KERNEL_WS_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <wslay/wslay.h>

#include "base/buf.h"
#include "base/limits.h"
#include "kernel/http_conn.h"
#include "kernel/runtime.h"
#include "kernel/ws.h"
#include "kernel/ws_ticket.h"

enum nx_ws_topic {
    NX_TOPIC_STATE = 1 << 0,
    NX_TOPIC_EVENTS = 1 << 1,
    NX_TOPIC_VIEW = 1 << 2,
    NX_TOPIC_LOGS = 1 << 3,
    NX_TOPIC_DEFAULT = NX_TOPIC_STATE | NX_TOPIC_EVENTS,
};

// Close codes of RFC 6455, of its registry, and our own.
enum nx_ws_code {
    NX_WS_NORMAL = 1000,
    NX_WS_GOING_AWAY = 1001,
    NX_WS_PROTOCOL_ERROR = 1002,
    NX_WS_UNSUPPORTED = 1003,
    NX_WS_TOO_BIG = 1009,
    NX_WS_TRY_AGAIN_LATER = 1013,
    NX_WS_TOKEN_EXPIRED = 4401,
};

// A message as the frame that goes out, made once and shared by all whom it is sent to.
struct nx_ws_text {
    struct nx_ws *ws; // in whose held_bytes it is; NULL: it is going
    uint32_t refs;
    uint32_t leaving; // of these, those of sockets that have ended
    size_t len;
    char data[];
};

enum nx_ws_kind { NX_WS_PLAIN, NX_WS_PATCH, NX_WS_RESYNC };

struct nx_ws_item {
    struct nx_ws_text *text; // NULL for RESYNC: made when it is its turn, so that it is the latest
    enum nx_ws_kind kind;
};

// What waits for one session, in order: a ring. Zero-initialise.
struct nx_ws_items {
    struct nx_ws_item *ring; // owned; NULL: cap is 0
    uint32_t cap;            // a power of two
    uint32_t first, count;
};

// A trigger of the session that has not ended.
struct nx_ws_call {
    TAILQ_ENTRY(nx_ws_call) link;
    struct nx_ws_session *session;
    struct nx_trigger *trigger;
    size_t request_id_len; // 0: the client gave none
    char request_id[NX_MAX_REQUEST_ID_BYTES];
};
TAILQ_HEAD(nx_ws_calls, nx_ws_call);

struct nx_ws_session {
    struct nx_ws *ws;
    struct nx_http_conn *conn;
    struct nx_panel *panel; // NULL once it is gone
    TAILQ_ENTRY(nx_ws_session) panel_link, all_link, dirty_link, holding_link;

    // Coming in. What cannot be taken yet waits in conn->in.
    wslay_event_context_ptr frames; // NULL: at rest, between two messages
    uint64_t received_bytes;        // that `frames` was given
    uint64_t framed_bytes;          // of the frames in them, the last one counted whole
    struct nx_span incoming;        // while reading: what wslay has not taken yet
    struct nx_buf message;          // of the message being received
    bool in_message;                // further fragments of it will come
    bool in_control;                // the frame being received is a control frame
    bool read_paused;
    bool ping_sent; // and nothing has come since

    // Going out.
    struct nx_ws_items queue;
    size_t queued_bytes; // of its texts
    bool dirty;
    bool writing;        // the socket did not take all: one frame is on its way
    bool resync_pending; // a RESYNC is in the queue: PATCHes before it are covered

    bool holding;         // on ws->holding: memory waits for the client
    size_t received_held; // of `message` and conn->in within ws->held_bytes

    uint16_t close_code; // 0: stays open. Else: closes when the queue is out
    const char *close_reason;
    bool close_queued;
    bool failed; // it sent what is no frame: the close frame is ours, not wslay's

    unsigned topics; // enum nx_ws_topic
    char **keys;     // owned, sorted; none: the whole state
    size_t key_count, key_bytes;
    struct nx_ws_calls calls;
    uint32_t call_count;
};
TAILQ_HEAD(nx_ws_sessions, nx_ws_session);

// What a panel's user data slot holds while somebody watches.
struct nx_ws_panel {
    struct nx_ws_sessions sessions;
    unsigned count;
};

struct nx_ws {
    struct nx_http *http;
    uv_prepare_t flusher; // writes what the callbacks of one turn of the loop left
    uv_idle_t hurry;      // active while `dirty` holds somebody: the loop does not wait then
    struct nx_ws_sessions all, dirty;
    uint32_t dirty_count;
    // By all sessions since the last turn of the loop.
    size_t queued_bytes, written_bytes;
    bool put_off;                  // the last turn wrote nothing
    struct nx_ws_sessions holding; // the one that has kept us waiting for longest is first
    size_t held_bytes;             // messages, queues, half-received messages of all sessions
    uint32_t count;
    uint64_t dropped; // sessions that were too slow
    bool draining;
    // wslay's contexts take nine kilobytes each. A session at rest has none: it borrows this one,
    // and keeps it only while a frame or a message is half there.
    wslay_event_context_ptr at_rest; // NULL: lent
    struct nx_ws_session *reading;   // whose frames are being taken
    wslay_frame_context_ptr framer;
    struct nx_ws_text *framed; // while framing: where the bytes go
    struct nx_buf spare;       // for messages that come whole, one after the other
    struct nx_buf scratch;     // the message, or the control frames, being made
    int64_t stamped_ms;        // `stamp` says this time of the wall clock; 0: none yet
    char stamp[25];
    int open_handles;
    void (*on_closed)(void *user);
    void *on_closed_user;
};

// ---- ws_items.c

// The item that has `index` others before it; there must be so many.
struct nx_ws_item *nx_ws_items_at(const struct nx_ws_items *items, uint32_t index);
// Adds the item, as the first or the last. False: no memory.
bool nx_ws_items_add(struct nx_ws_items *items, struct nx_ws_item item, bool first);
// Takes the first one off; there must be one. An empty queue keeps little memory.
struct nx_ws_item nx_ws_items_take(struct nx_ws_items *items);
// Frees the memory; texts are the caller's.
void nx_ws_items_free(struct nx_ws_items *items);

// ---- ws_conn.c

// Makes the session of an upgraded connection; `reply` (the 101 head) goes out first. NULL: no
// memory.
struct nx_ws_session *nx_ws_open(struct nx_ws *ws, struct nx_http_conn *conn,
                                 struct nx_panel *panel, struct nx_span reply);
// Closes once everything queued is out; `reason` is static text.
void nx_ws_close(struct nx_ws_session *session, enum nx_ws_code code, const char *reason);
// Has session->frames there. False: no memory.
bool nx_ws_take_context(struct nx_ws_session *session);
// Something went out: the client is there and reads.
void nx_ws_progress(struct nx_ws_session *session);
// Everything is out, the close frame too: ends the connection once the client is done. The session
// may be gone after it.
void nx_ws_all_out(struct nx_ws_session *session);
// The client takes what it is sent again: reads on, what was kept first. As above.
void nx_ws_unblock(struct nx_ws_session *session);

// ---- ws_queue.c

// Queues a message. Takes no reference of its own if it does not keep the text.
void nx_ws_send(struct nx_ws_session *session, struct nx_ws_text *text, enum nx_ws_kind kind);
// Sends and drops the caller's reference; NULL (no memory) closes the session.
void nx_ws_send_once(struct nx_ws_session *session, struct nx_ws_text *text);
// Queues a RESYNC in place of the PATCHes that wait.
void nx_ws_resync(struct nx_ws_session *session);
// Drops what waits and closes with 1013.
void nx_ws_give_up(struct nx_ws_session *session, const char *reason);
// Drops what waits.
void nx_ws_drop_queue(struct nx_ws_session *session);
// Has the session written to before the loop waits again.
void nx_ws_touch(struct nx_ws_session *session);
void nx_ws_untouch(struct nx_ws_session *session);
void nx_ws_flush_all(struct nx_ws *ws); // those that were touched
// Writes what waits, as far as the socket takes it. The session may be gone after it.
void nx_ws_flush(struct nx_ws_session *session);
// Brings `received_held`, and whether the session holds memory, up to date.
void nx_ws_account(struct nx_ws_session *session);
// Ends sessions until no more than NX_MAX_WS_HELD_BYTES are held. Any may be gone after it.
void nx_ws_evict(struct nx_ws *ws);

// ---- ws_message.c

void nx_ws_message(struct nx_ws_session *session, struct nx_span text);
// Lets go of the triggers under way.
void nx_ws_detach_calls(struct nx_ws_session *session);

// ---- ws_hub.c

int nx_ws_watch(struct nx_ws_session *session, struct nx_panel *panel);
void nx_ws_unwatch(struct nx_ws_session *session);
// Whether the session wants to hear of `key`.
bool nx_ws_wants_key(const struct nx_ws_session *session, struct nx_span key);
// Where `key` is in session->keys, or, with *found false, would be.
size_t nx_ws_key_place(const struct nx_ws_session *session, struct nx_span key, bool *found);

// ---- ws_text.c: each makes a message with one reference for the caller; NULL: no memory

// The frame of a message or, by opcode, of something else.
struct nx_ws_text *nx_ws_frame(struct nx_ws *ws, uint8_t opcode, struct nx_span payload);
// Bytes that are frames already.
struct nx_ws_text *nx_ws_text_raw(struct nx_ws *ws, struct nx_span frames);
struct nx_ws_text *nx_ws_text_connected(struct nx_ws *ws, const struct nx_panel *panel);
// Of the keys that the session wants.
struct nx_ws_text *nx_ws_text_resync(const struct nx_ws_session *session);
struct nx_ws_text *nx_ws_text_result(struct nx_ws *ws, const struct nx_ws_call *call,
                                     const struct nx_result *result);
struct nx_ws_text *nx_ws_text_progress(struct nx_ws *ws, const struct nx_ws_call *call,
                                       const struct nx_result *result);
// `session` not NULL: only the keys it wants.
struct nx_ws_text *nx_ws_text_patch(struct nx_ws *ws, const struct nx_ws_session *session,
                                    uint64_t version, const struct nx_mutation *mutations,
                                    size_t count);
struct nx_ws_text *nx_ws_text_event(struct nx_ws *ws, const struct nx_event *event);
struct nx_ws_text *nx_ws_text_view(struct nx_ws *ws, const struct nx_view_command *view);
struct nx_ws_text *nx_ws_text_log(struct nx_ws *ws, const char *handler,
                                  const struct nx_log_entry *entry);
struct nx_ws_text *nx_ws_text_error(struct nx_ws *ws, const char *code, const char *message,
                                    struct nx_span request_id);
struct nx_ws_text *nx_ws_text_closed(struct nx_ws *ws, const char *reason);
struct nx_ws_text *nx_ws_text_pong(struct nx_ws *ws);
void nx_ws_text_unref(struct nx_ws_text *text); // NULL is fine
// The text was on its way to a socket that has ended, and is let go once the loop has closed that,
// with nx_ws_text_left: when only such sockets have it, it counts as freed.
void nx_ws_text_leave(struct nx_ws_text *text);
void nx_ws_text_left(struct nx_ws_text *text);

#endif
