// SPDX-License-Identifier: Apache-2.0
// What waits for a client: how much of it, what gives way, and writing it.
//
// A frame is queued by reference and written from where it was made; of what the socket does not
// take, one frame at a time is handed to the loop. So many clients that do not read hold the same
// few frames.
#include "base/clock.h"
#include "kernel/ws_session.h"

// ---- What is held

void nx_ws_account(struct nx_ws_session *s) {
    struct nx_ws *ws = s->ws;
    size_t now = s->message.cap + s->conn->in.cap;
    ws->held_bytes += now - s->received_held;
    s->received_held = now;
    bool holding = s->writing || now > 0;
    if (holding == s->holding)
        return;
    s->holding = holding;
    if (holding)
        TAILQ_INSERT_TAIL(&ws->holding, s, holding_link);
    else
        TAILQ_REMOVE(&ws->holding, s, holding_link);
}

// Not whoever comes last, whose socket may be full for a moment, but whoever has kept us waiting
// for longest.
void nx_ws_evict(struct nx_ws *ws) {
    struct nx_ws_session *s;
    while (ws->held_bytes > NX_MAX_WS_HELD_BYTES && (s = TAILQ_FIRST(&ws->holding))) {
        ws->dropped++;
        nx_http_conn_close(s->conn);
    }
}

// ---- The queue

static size_t ring_bytes(const struct nx_ws_session *s) {
    return s->queue.cap * sizeof *s->queue.ring;
}

// Takes the first item off; its text's reference goes to the caller.
static struct nx_ws_text *pop(struct nx_ws_session *s) {
    size_t before = ring_bytes(s);
    struct nx_ws_item item = nx_ws_items_take(&s->queue);
    s->queued_bytes -= item.text ? item.text->len : 0;
    s->ws->held_bytes -= before - ring_bytes(s);
    if (item.kind == NX_WS_RESYNC)
        s->resync_pending = false;
    return item.text;
}

static bool push(struct nx_ws_session *s, struct nx_ws_text *text, enum nx_ws_kind kind,
                 bool first) {
    size_t before = ring_bytes(s);
    if (!nx_ws_items_add(&s->queue, (struct nx_ws_item){text, kind}, first))
        return false;
    if (text)
        text->refs++;
    s->queued_bytes += text ? text->len : 0;
    s->ws->queued_bytes += text ? text->len : 0;
    s->ws->held_bytes += ring_bytes(s) - before;
    s->resync_pending |= kind == NX_WS_RESYNC;
    nx_ws_touch(s);
    return true;
}

void nx_ws_drop_queue(struct nx_ws_session *s) {
    while (s->queue.count > 0)
        nx_ws_text_unref(pop(s));
    s->ws->held_bytes -= ring_bytes(s);
    nx_ws_items_free(&s->queue);
}

static void drop_patches(struct nx_ws_session *s) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->queue.count; i++) {
        struct nx_ws_item item = *nx_ws_items_at(&s->queue, i);
        if (item.kind != NX_WS_PATCH) {
            *nx_ws_items_at(&s->queue, kept++) = item;
            continue;
        }
        s->queued_bytes -= item.text->len;
        nx_ws_text_unref(item.text);
    }
    s->queue.count = kept;
}

// An empty queue takes any message: one that is larger than the cap must have a way out.
static bool has_room(const struct nx_ws_session *s, size_t bytes) {
    return s->queue.count == 0 || (s->queue.count < NX_MAX_WS_QUEUED_MESSAGES &&
                                   s->queued_bytes + bytes <= NX_MAX_WS_QUEUED_BYTES);
}

void nx_ws_give_up(struct nx_ws_session *s, const char *reason) {
    s->ws->dropped++;
    nx_ws_drop_queue(s);
    nx_ws_close(s, NX_WS_TRY_AGAIN_LATER, reason);
}

void nx_ws_resync(struct nx_ws_session *s) {
    if (s->close_code || s->resync_pending)
        return;
    drop_patches(s);
    if (!push(s, NULL, NX_WS_RESYNC, false))
        nx_ws_give_up(s, "out of memory");
}

void nx_ws_send(struct nx_ws_session *s, struct nx_ws_text *text, enum nx_ws_kind kind) {
    if (s->close_code || (kind == NX_WS_PATCH && s->resync_pending))
        return;
    if (!has_room(s, text->len) && !s->resync_pending) {
        nx_ws_resync(s);
        if (s->close_code || kind == NX_WS_PATCH)
            return;
    }
    if (!has_room(s, text->len))
        nx_ws_give_up(s, "too slow");
    else if (!push(s, text, kind, false))
        nx_ws_give_up(s, "out of memory");
}

void nx_ws_send_once(struct nx_ws_session *s, struct nx_ws_text *text) {
    if (text)
        nx_ws_send(s, text, NX_WS_PLAIN);
    else if (!s->close_code)
        nx_ws_give_up(s, "out of memory");
    nx_ws_text_unref(text);
}

// ---- Writing

static void on_hurry(uv_idle_t *hurry) {
    (void)hurry; // that it is active is all
}

void nx_ws_touch(struct nx_ws_session *s) {
    if (s->dirty)
        return;
    s->dirty = true;
    if (s->ws->dirty_count++ == 0)
        uv_idle_start(&s->ws->hurry, on_hurry);
    TAILQ_INSERT_TAIL(&s->ws->dirty, s, dirty_link);
}

void nx_ws_untouch(struct nx_ws_session *s) {
    if (!s->dirty)
        return;
    s->dirty = false;
    TAILQ_REMOVE(&s->ws->dirty, s, dirty_link);
    if (--s->ws->dirty_count == 0)
        uv_idle_stop(&s->ws->hurry);
}

static void on_written(uv_write_t *write, int status) {
    struct nx_http_conn *conn = write->handle->data;
    struct nx_ws_session *s = conn->ws;
    if (!s) {
        nx_ws_text_left(write->data);
        return;
    }
    nx_ws_text_unref(write->data);
    s->writing = false;
    nx_ws_account(s);
    if (status < 0) {
        nx_http_conn_close(conn);
        return;
    }
    nx_ws_progress(s);
    nx_ws_touch(s);
}

// Leaves the first frame, from `offset` on, to the loop. Until it is out nothing else is written.
static bool write_later(struct nx_ws_session *s, size_t offset) {
    struct nx_http_conn *conn = s->conn;
    struct nx_ws_text *text = pop(s);
    uv_buf_t buf = uv_buf_init(text->data + offset, (unsigned)(text->len - offset));
    conn->write.data = text;
    s->writing = true;
    nx_ws_account(s);
    if (uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1, on_written) == 0)
        return true;
    s->writing = false;
    nx_ws_text_unref(text);
    return false;
}

// Pongs, pings and close frames that wslay has ready go ahead of what waits.
static bool add_controls(struct nx_ws_session *s) {
    struct nx_buf *out = &s->ws->scratch;
    if (s->close_code && !s->close_queued && s->queue.count == 0) {
        if (!nx_ws_take_context(s))
            return false;
        s->close_queued = true;
        (void)wslay_event_queue_close(s->frames, s->close_code, (const uint8_t *)s->close_reason,
                                      strlen(s->close_reason));
    }
    if (s->failed || !s->frames || !wslay_event_want_write(s->frames))
        return true;
    nx_buf_reset(out);
    if (wslay_event_send(s->frames))
        return false;
    struct nx_ws_text *text = nx_ws_text_raw(s->ws, nx_buf_span(out));
    bool added = text && push(s, text, NX_WS_PLAIN, true);
    nx_ws_text_unref(text);
    return added;
}

// Makes the RESYNC whose turn it is: of a panel that is gone, nothing.
static bool make_resync(struct nx_ws_session *s, struct nx_ws_item *item) {
    item->text = s->panel ? nx_ws_text_resync(s) : nx_ws_text_raw(s->ws, (struct nx_span){0});
    item->kind = NX_WS_PLAIN;
    s->resync_pending = false;
    s->queued_bytes += item->text ? item->text->len : 0;
    return item->text != NULL;
}

// Lists the frames to be written next. False: no memory.
static bool collect(struct nx_ws_session *s, uv_buf_t bufs[NX_WS_BATCH_FRAMES], unsigned *count) {
    size_t bytes = 0;
    *count = 0;
    while (*count < s->queue.count && *count < NX_WS_BATCH_FRAMES && bytes < NX_WS_TURN_BYTES) {
        struct nx_ws_item *item = nx_ws_items_at(&s->queue, *count);
        if (!item->text && !make_resync(s, item))
            return false;
        bufs[(*count)++] = uv_buf_init(item->text->data, (unsigned)item->text->len);
        bytes += item->text->len;
    }
    return true;
}

// Writes one batch. 1: the socket took it; 0: not all of it; -1: the connection is broken.
static int write_batch(struct nx_ws_session *s) {
    uv_buf_t bufs[NX_WS_BATCH_FRAMES];
    unsigned count, done = 0;
    if (!add_controls(s) || !collect(s, bufs, &count))
        return -1;
    if (count == 0)
        return 1;
    int rc = uv_try_write((uv_stream_t *)&s->conn->tcp, bufs, count);
    if (rc < 0 && rc != UV_EAGAIN)
        return -1;
    size_t sent = rc > 0 ? (size_t)rc : 0;
    s->ws->written_bytes += sent;
    for (; done < count && sent >= bufs[done].len; done++) {
        sent -= bufs[done].len;
        nx_ws_text_unref(pop(s));
    }
    if (done == count)
        return 1;
    return write_later(s, sent) ? 0 : -1;
}

void nx_ws_flush(struct nx_ws_session *s) {
    if (s->writing)
        return;
    int rc = write_batch(s);
    if (rc < 0)
        nx_http_conn_close(s->conn);
    else if (rc == 0)
        nx_ws_unblock(s); // which stops reading
    else if (s->queue.count > 0 || (s->close_code && !s->close_queued))
        nx_ws_touch(s); // the rest in the next turn: others come first
    else if (s->close_code)
        nx_ws_all_out(s);
    else
        nx_ws_unblock(s);
}

// Those that are touched meanwhile have their turn in the next round, after those left over.
static void write_turn(struct nx_ws *ws) {
    uint32_t left = ws->dirty_count;
    const uint64_t until_ns = left > 0 ? nx_clock_monotonic_ns() + NX_WS_TURN_NS : 0;
    for (; left > 0 && ws->dirty_count > 0; left--) {
        struct nx_ws_session *s = TAILQ_FIRST(&ws->dirty);
        nx_ws_untouch(s);
        nx_ws_flush(s);
        if (ws->written_bytes >= NX_WS_TURN_BYTES || nx_clock_monotonic_ns() >= until_ns)
            break;
    }
}

void nx_ws_flush_all(struct nx_ws *ws) {
    ws->put_off = !ws->put_off && ws->queued_bytes > NX_WS_TURN_BYTES;
    ws->queued_bytes = ws->written_bytes = 0;
    if (!ws->put_off)
        write_turn(ws);
    nx_ws_evict(ws); // in every turn: what may be held does not wait
}
