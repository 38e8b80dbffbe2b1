// SPDX-License-Identifier: Apache-2.0
// One worker as the kernel sees it: frames in, frames out, and what its end means.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/limits.h"
#include "sandbox/pool.h"

enum {
    KEPT_BUFFER_BYTES = 1024 * 1024,
    SMALL_FRAMES_BYTES = 1024,     // room for a few without payload
    LARGE_FRAME_BYTES = 64 * 1024, // from here on copying costs more than another system call
};

#define LOST_PARKED "the sandbox process that held the handler was lost"

bool nx_peer_alive(const struct nx_peer *peer) {
    return peer->poll != NULL;
}

bool nx_peer_has_room(const struct nx_peer *peer) {
    return nx_peer_alive(peer) && peer->out.failed == 0 && peer->flying_count < NX_MAX_IN_FLIGHT &&
           nx_peer_unsent(peer) < NX_WORKER_FEED_BYTES;
}

static void on_poll_closed(uv_handle_t *handle) {
    struct nx_peer *peer = handle->data;
    free(handle);
    nx_pool_handle_closed(peer->pool);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
    struct nx_peer *peer = poll->data;
    if (poll != peer->poll) {
        return; // of a process that is gone
    }
    if (status != 0) {
        nx_peer_end(peer, NX_PEER_DIED);
        return;
    }
    if ((events & UV_WRITABLE) != 0) {
        nx_peer_flush(peer);
    }
    if ((events & (UV_READABLE | UV_DISCONNECT)) != 0 && nx_peer_alive(peer)) {
        nx_peer_read(peer);
    }
}

static int watch(struct nx_peer *peer, bool writable) {
    peer->poll_writable = writable;
    return uv_poll_start(peer->poll, UV_READABLE | (writable ? UV_WRITABLE : 0), on_ready);
}

int nx_peer_attach(struct nx_peer *peer, int channel, pid_t pid, int pidfd) {
    uv_poll_t *poll = calloc(1, sizeof(*poll));
    peer->channel = channel;
    peer->pid = pid;
    peer->pidfd = pidfd;
    peer->started_ns = nx_clock_monotonic_ns();
    peer->slow = peer->alone = false;
    peer->last_id = 0;
    peer->idle_used_ns = 0;
    peer->sent_bytes = 0;
    if (pidfd < 0 || poll == NULL || uv_poll_init(peer->pool->loop, poll, channel) != 0) {
        free(poll);
        nx_fd_close(&peer->channel);
        nx_fd_close(&peer->pidfd);
        return NX_E_NOMEM;
    }
    poll->data = peer;
    peer->pool->open_handles++;
    peer->poll = poll;
    peer->pool->no_worker_since_ns = 0;
    return watch(peer, false) == 0 ? 0 : NX_E_IO;
}

// ---- frames to the worker

int nx_peer_put_frame(struct nx_peer *peer, struct nx_job *job) {
    if (job->frame_len >= LARGE_FRAME_BYTES && peer->large == NULL) {
        peer->large = job;
        peer->large_at = peer->out.len;
        peer->large_sent = 0;
    } else if (nx_buf_append(&peer->out, job->frame, job->frame_len) != 0) {
        const int status = peer->out.failed;
        peer->out.failed = 0; // it did not fit; what is there already is whole
        return status;
    }
    job->sent_at_bytes = peer->sent_bytes + nx_peer_unsent(peer);
    return 0;
}

// The bytes of `out` from one place to another. It may be empty, and then has no memory.
static struct nx_span out_bytes(const struct nx_peer *peer, size_t from, size_t to) {
    return from < to ? nx_span_of(peer->out.data + from, to - from) : nx_span_of(NULL, 0);
}

void nx_peer_release_frame(struct nx_peer *peer, const struct nx_job *job) {
    if (peer->large != job) {
        return;
    }
    struct nx_buf all;
    nx_buf_init(&all, peer->out.max_bytes);
    nx_buf_expect(&all, nx_peer_unsent(peer) + SMALL_FRAMES_BYTES);
    nx_buf_append_span(&all, out_bytes(peer, peer->out_sent, peer->large_at));
    nx_buf_append(&all, job->frame + peer->large_sent, job->frame_len - peer->large_sent);
    nx_buf_append_span(&all, out_bytes(peer, peer->large_at, peer->out.len));
    nx_buf_free(&peer->out);
    peer->out = all; // failed, perhaps
    peer->out_sent = 0;
    peer->large = NULL;
}

size_t nx_peer_unsent(const struct nx_peer *peer) {
    const size_t large = peer->large != NULL ? peer->large->frame_len - peer->large_sent : 0;
    return peer->out.len - peer->out_sent + large;
}

// What goes out next, in one piece.
static struct nx_span next_piece(const struct nx_peer *peer) {
    const size_t end = peer->large != NULL ? peer->large_at : peer->out.len;
    if (peer->out_sent < end || peer->large == NULL) {
        return out_bytes(peer, peer->out_sent, end);
    }
    return nx_span_of(peer->large->frame + peer->large_sent,
                      peer->large->frame_len - peer->large_sent);
}

static void count_sent(struct nx_peer *peer, size_t bytes) {
    peer->sent_bytes += bytes;
    if (peer->large == NULL || peer->out_sent < peer->large_at) {
        peer->out_sent += bytes;
        return;
    }
    peer->large_sent += bytes;
    if (peer->large_sent == peer->large->frame_len) {
        peer->large = NULL;
    }
}

// Forgets what was sent. The rest moves to the front only when it is the smaller part: many frames
// may leave in many pieces, and would be moved with each of them.
static void drop_sent(struct nx_peer *peer) {
    if (peer->out_sent > peer->out.len / 2) {
        nx_buf_consume(&peer->out, peer->out_sent);
        peer->large_at -= peer->large != NULL ? peer->out_sent : 0;
        peer->out_sent = 0;
    }
    if (peer->out.len == 0 && peer->out.cap > KEPT_BUFFER_BYTES) {
        nx_buf_free(&peer->out);
    }
}

void nx_peer_flush(struct nx_peer *peer) {
    struct nx_span piece;
    size_t left = NX_WORKER_TURN_SENT_BYTES;
    while (left != 0 && (piece = next_piece(peer)).len != 0) {
        const ssize_t got = send(peer->channel, piece.data, piece.len < left ? piece.len : left,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            break; // full, or dead: reading will tell which
        }
        count_sent(peer, (size_t)got);
        left -= (size_t)got;
    }
    drop_sent(peer);
    const bool more = nx_peer_unsent(peer) != 0;
    if (more != peer->poll_writable) {
        (void)watch(peer, more); // fails only for a descriptor that is not watched
        nx_dispatch_later(peer->pool);
    }
}

// ---- frames from the worker

static int on_slow(struct nx_peer *peer, struct nx_span payload) {
    if (payload.len != 0 || peer->flying_count == 0 || peer->slow) {
        return NX_E_PROTOCOL;
    }
    peer->slow = true;
    nx_lanes_want_spares(peer->pool, peer->pool->config.spare_workers);
    nx_dispatch_take_back(peer, false);
    const struct nx_frame_header go = {.version = NX_WIRE_VERSION, .type = NX_FRAME_GO};
    nx_buf_append(&peer->out, &go, sizeof(go));
    nx_dispatch_later(peer->pool);
    return 0;
}

static int on_answer(struct nx_peer *peer, const struct nx_frame_header *header,
                     struct nx_span payload) {
    struct nx_job *job = TAILQ_FIRST(&peer->flying);
    // It cannot have done what it was not sent all of. (One that reads nothing, yet answers in
    // time, would keep its place, and for ever what others have suspended in it.)
    if (job == NULL || header->id != job->id || peer->sent_bytes < job->sent_at_bytes ||
        header->type != (job->kind == NX_JOB_COMPILE ? NX_FRAME_COMPILED : NX_FRAME_SEGMENT)) {
        return NX_E_PROTOCOL;
    }
    return nx_client_answered(peer, job, payload);
}

static int handle(struct nx_peer *peer, const struct nx_frame_header *header,
                  struct nx_span payload) {
    switch (header->type) {
    case NX_FRAME_COMPILED:
    case NX_FRAME_SEGMENT:
        return on_answer(peer, header, payload);
    case NX_FRAME_SLOW:
        return on_slow(peer, payload);
    default:
        return NX_E_PROTOCOL;
    }
}

// Handles every whole frame. A callback may end the peer; its buffers stay until the next attach.
static int handle_all(struct nx_peer *peer) {
    const uv_poll_t *poll = peer->poll;
    size_t used = 0;
    int status;
    struct nx_frame_header header;
    struct nx_span payload;
    while ((status = nx_wire_next(nx_span_of(peer->in.data + used, peer->in.len - used), &header,
                                  &payload)) > 0) {
        used += sizeof(header) + payload.len;
        status = handle(peer, &header, payload);
        if (peer->poll != poll) {
            return 0;
        }
        if (status != 0) {
            return status;
        }
    }
    nx_buf_consume(&peer->in, used);
    if (peer->in.len >= sizeof(header) && status == 0) {
        // The rest of a large frame comes in many pieces: it is given its room at once. What a
        // liar does not send is not touched, and so takes no memory.
        nx_buf_expect(&peer->in,
                      header.payload_bytes + sizeof(header) - peer->in.len + NX_WORKER_READ_BYTES);
    }
    // Nothing is due from a worker that has answered everything, not even the start of a frame.
    return peer->in.len != 0 && peer->flying_count == 0 ? NX_E_PROTOCOL : status;
}

void nx_peer_read(struct nx_peer *peer) {
    const uv_poll_t *poll = peer->poll;
    const uint64_t until = nx_clock_monotonic_ns() + NX_WORKER_TURN_READ_NS;
    do {
        char *to = nx_buf_reserve(&peer->in, NX_WORKER_READ_BYTES);
        const ssize_t got =
            to != NULL ? recv(peer->channel, to, NX_WORKER_READ_BYTES, MSG_DONTWAIT) : 0;
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        }
        if (got <= 0) {
            nx_peer_end(peer, to != NULL ? NX_PEER_DIED : NX_PEER_ROGUE);
            return;
        }
        peer->in.len += (size_t)got;
        if (handle_all(peer) != 0) {
            nx_peer_end(peer, NX_PEER_ROGUE);
            return;
        }
        if (got < NX_WORKER_READ_BYTES) {
            break;
        }
    } while (peer->poll == poll && nx_clock_monotonic_ns() < until);
    if (peer->poll == poll && peer->in.len == 0 && peer->in.cap > KEPT_BUFFER_BYTES) {
        nx_buf_free(&peer->in);
    }
}

// ---- its end

static void kill_process(struct nx_peer *peer) {
    // Through the pidfd: the number may already be another process's.
    syscall(SYS_pidfd_send_signal, peer->pidfd, SIGKILL, NULL, 0);
    uv_close((uv_handle_t *)peer->poll, on_poll_closed);
    peer->poll = NULL;
    nx_fd_close(&peer->channel);
    nx_fd_close(&peer->pidfd);
    peer->pid = 0;
    peer->large = NULL;
    nx_dispatch_forget_code(peer);
}

static void count(struct nx_peer *peer, enum nx_peer_end why) {
    struct nx_sandbox *pool = peer->pool;
    const uint64_t now = nx_clock_monotonic_ns();
    pool->worker_restarts += why != NX_PEER_UNWANTED;
    pool->watchdog_kills += why == NX_PEER_HUNG;
    pool->protocol_kills += why == NX_PEER_ROGUE;
    peer->restart_delay_ms = why == NX_PEER_UNWANTED
                                 ? 0
                                 : nx_pool_backoff(peer->restart_delay_ms, now - peer->started_ns);
    peer->restart_at_ns = now + (uint64_t)peer->restart_delay_ms * 1000000;
    pool->no_worker_since_ns = now;
    for (uint32_t i = 0; i < pool->peer_count; i++) {
        if (nx_peer_alive(&pool->peers[i])) {
            pool->no_worker_since_ns = 0;
        }
    }
}

// Fails what only this worker could have finished: its head, what waits to be resumed in it, and
// what is parked in it.
static void fail_lost(struct nx_peer *peer, enum nx_peer_end why) {
    struct nx_job *job = TAILQ_FIRST(&peer->flying);
    if (job != NULL) {
        nx_dispatch_landed(peer);
        if (why == NX_PEER_HUNG) {
            nx_client_fail(job, NX_RESULT_TIMEOUT, "running time limit reached");
        } else {
            nx_client_fail(job, NX_RESULT_INTERNAL_ERROR,
                           "the sandbox process that ran the handler was lost");
        }
    }
    nx_dispatch_take_back(peer, true);
    while ((job = TAILQ_FIRST(&peer->flying)) != NULL) { // resumes: their instance is gone
        nx_dispatch_landed(peer);
        nx_client_lose(job, NX_RESULT_INTERNAL_ERROR, LOST_PARKED);
    }
    // A callback may resume what is parked here, so both lists are looked at until they are empty.
    struct nx_execution *execution;
    for (;;) {
        if ((job = TAILQ_FIRST(&peer->bound)) != NULL) {
            TAILQ_REMOVE(&peer->bound, job, link);
            nx_client_lose(job, NX_RESULT_INTERNAL_ERROR, LOST_PARKED);
        } else if ((execution = TAILQ_FIRST(&peer->parked)) != NULL) {
            nx_client_fail_parked(execution, LOST_PARKED);
        } else {
            return;
        }
    }
}

void nx_peer_end(struct nx_peer *peer, enum nx_peer_end why) {
    struct nx_sandbox *pool = peer->pool;
    const pid_t pid = peer->pid;
    if (nx_peer_alive(peer)) {
        kill_process(peer);
    }
    if (why != NX_PEER_STOPPING) {
        count(peer, why);
        if (why != NX_PEER_UNWANTED) {
            nx_pool_tell(pool, (enum nx_sandbox_news)why, pid, "");
        }
        fail_lost(peer, why);
        // Late enough that a callback above could not have been handed these very bytes.
        nx_buf_reset(&peer->in);
        nx_buf_reset(&peer->out);
        peer->out_sent = 0;
        nx_dispatch_later(pool);
        return;
    }
    struct nx_job *job;
    while ((job = TAILQ_FIRST(&peer->flying)) != NULL) {
        nx_dispatch_landed(peer);
        nx_client_drop(job);
    }
    while ((job = TAILQ_FIRST(&peer->bound)) != NULL) {
        TAILQ_REMOVE(&peer->bound, job, link);
        nx_client_drop(job);
    }
    struct nx_execution *execution;
    while ((execution = TAILQ_FIRST(&peer->parked)) != NULL) {
        nx_client_drop(&execution->job);
    }
}
