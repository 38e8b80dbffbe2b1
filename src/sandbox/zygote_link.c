// SPDX-License-Identifier: Apache-2.0
// The zygote process and its channel. The zygote runs no guest code and is trusted as far as its
// frames go; what it is not trusted with is staying alive.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "guest_info.h"
#include "sandbox/pool.h"

enum { REAP_PERIOD_MS = 2 };

static void on_poll_closed(uv_handle_t *handle) {
    struct nx_sandbox *pool = handle->data;
    free(handle);
    nx_pool_handle_closed(pool);
}

// ---- its end

// A zygote that was killed or died, until it can be reaped. Its pidfd becomes readable a little
// earlier than that where somebody traces it, so the question is asked again and again.
struct reaper {
    uv_timer_t timer;
    struct nx_sandbox *pool;
    int pidfd;
};

static void on_reaper_closed(uv_handle_t *handle) {
    struct reaper *reaper = handle->data;
    struct nx_sandbox *pool = reaper->pool;
    nx_fd_close(&reaper->pidfd);
    free(reaper);
    nx_pool_handle_closed(pool);
}

static void on_reap(uv_timer_t *timer) {
    struct reaper *reaper = timer->data;
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)reaper->pidfd, &info, WEXITED | WNOHANG) != 0 || info.si_pid != 0) {
        uv_close((uv_handle_t *)timer, on_reaper_closed);
    }
}

// Kills the process and reaps it when it has ended.
static void reap(struct nx_sandbox *pool, int pidfd) {
    struct reaper *reaper = calloc(1, sizeof(*reaper));
    siginfo_t info;
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    if (reaper == NULL) {
        (void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
        nx_fd_close(&pidfd);
        return;
    }
    reaper->pool = pool;
    reaper->pidfd = pidfd;
    reaper->timer.data = reaper;
    pool->open_handles++;
    uv_timer_init(pool->loop, &reaper->timer);
    uv_timer_start(&reaper->timer, on_reap, REAP_PERIOD_MS, REAP_PERIOD_MS);
}

// Forgets the zygote. Its workers follow it into death by themselves, each noticed at its channel.
static void lose(struct nx_sandbox *pool) {
    struct nx_zygote_link *link = &pool->zygote;
    if (link->poll != NULL) {
        uv_close((uv_handle_t *)link->poll, on_poll_closed);
        link->poll = NULL;
    }
    nx_fd_close(&link->channel);
    if (link->pidfd >= 0) {
        reap(pool, link->pidfd);
        link->pidfd = -1;
    }
    if (link->spawning != NULL) {
        nx_fd_close(&link->spawning->channel);
        link->spawning->starting = false;
        link->spawning = NULL;
    }
    if (link->error.code == 0) {
        nx_error_set(&link->error, NX_E_IO, "the sandbox process ended unexpectedly");
    }
    nx_pool_tell(pool, NX_SANDBOX_ZYGOTE_LOST, link->pid, link->error.message);
    link->ready = false;
    link->pid = 0;
    const uint64_t now = nx_clock_monotonic_ns();
    link->restart_delay_ms = nx_pool_backoff(link->restart_delay_ms, now - link->started_ns);
    link->restart_at_ns = now + (uint64_t)link->restart_delay_ms * 1000000;
    nx_dispatch_later(pool);
}

// The worker could not be had this time.
static void try_later(struct nx_peer *peer) {
    peer->restart_delay_ms = nx_pool_backoff(peer->restart_delay_ms, 0);
    peer->restart_at_ns = nx_clock_monotonic_ns() + (uint64_t)peer->restart_delay_ms * 1000000;
    nx_dispatch_later(peer->pool);
}

// ---- frames from the zygote

static int on_ready(struct nx_sandbox *pool, struct nx_span payload) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    const struct nx_span build_id = nx_wire_get_bytes(&r);
    if (!nx_wire_reader_done(&r) || !nx_span_eq(build_id, nx_span_str(NX_GUEST_BUILD_ID))) {
        return nx_error_set(&pool->zygote.error, NX_E_PROTOCOL,
                            "nexus-sandbox is of another build than nexus");
    }
    pool->zygote.ready = true;
    nx_pool_tell(pool, NX_SANDBOX_ZYGOTE_BACK, pool->zygote.pid, "");
    nx_zygote_fill(pool);
    return 0;
}

static int on_spawned(struct nx_sandbox *pool, struct nx_span payload, int *pidfd) {
    struct nx_peer *peer = pool->zygote.spawning;
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    const pid_t pid = (pid_t)nx_wire_get_u32(&r);
    const uint32_t protections = nx_wire_get_u32(&r);
    if (peer == NULL || !nx_wire_reader_done(&r) || (pid == 0) != (*pidfd == -1)) {
        return nx_error_set(&pool->zygote.error, NX_E_PROTOCOL, "malformed SPAWNED frame");
    }
    if (pid != 0) {
        pool->protections = protections;
    }
    pool->zygote.spawning = NULL;
    peer->starting = false;
    const int channel = peer->channel;
    peer->channel = -1;
    // There may be no worker, or no descriptor or memory here to hold it. Those that serve stay.
    if (nx_peer_attach(peer, channel, pid, *pidfd) != 0) {
        try_later(peer);
    }
    *pidfd = -1; // the peer's, whatever came of it
    nx_zygote_fill(pool);
    nx_dispatch_later(pool);
    return 0;
}

static int on_failed(struct nx_sandbox *pool, struct nx_span payload) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    const struct nx_span message = nx_wire_get_bytes(&r);
    return nx_error_set(&pool->zygote.error, NX_E_IO, "nexus-sandbox: %.*s", (int)message.len,
                        message.data);
}

// Handles one frame. The zygote writes each with one call and they are small, so a frame is there
// as a whole or not at all. Returns 0 also if there is none, or negative.
static int read_frame(struct nx_sandbox *pool) {
    struct nx_frame_header header;
    char payload[1024];
    NX_CLEANUP_FD int fd = -1;
    const ssize_t got = nx_fd_recv(pool->zygote.channel, &header, sizeof(header), &fd);
    if (got < 0 && errno == EAGAIN) {
        return 0;
    }
    if (got != (ssize_t)sizeof(header)) {
        return NX_E_CLOSED;
    }
    if (header.version != NX_WIRE_VERSION || header.payload_bytes > sizeof(payload) ||
        nx_fd_read_all(pool->zygote.channel, payload, header.payload_bytes) != 0) {
        return nx_error_set(&pool->zygote.error, NX_E_PROTOCOL, "malformed frame from the zygote");
    }
    const struct nx_span body = nx_span_of(payload, header.payload_bytes);
    switch (header.type) {
    case NX_FRAME_READY:
        return on_ready(pool, body);
    case NX_FRAME_SPAWNED:
        return on_spawned(pool, body, &fd);
    case NX_FRAME_FAILED:
        return on_failed(pool, body);
    default:
        return NX_E_PROTOCOL;
    }
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct nx_sandbox *pool = poll->data;
    (void)events;
    if (poll == pool->zygote.poll && (status != 0 || read_frame(pool) != 0)) {
        lose(pool);
    }
}

// ---- starting it

static int send_config(struct nx_sandbox *pool) {
    struct nx_buf out;
    nx_buf_init(&out, 256);
    const size_t start = nx_wire_begin(&out, NX_FRAME_CONFIG, 0);
    nx_wire_put_u32(&out, pool->config.memory_limit_bytes);
    nx_wire_put_u32(&out, pool->config.stack_limit_bytes);
    nx_wire_put_u32(&out, pool->config.spare_instances);
    int status = nx_wire_end(&out, start);
    if (status == 0) {
        // Small and the first: the socket takes it whole. The program may have ended already.
        const ssize_t sent = send(pool->zygote.channel, out.data, out.len, MSG_NOSIGNAL);
        status = sent == (ssize_t)out.len ? 0 : NX_E_IO;
    }
    nx_buf_free(&out);
    return status;
}

static int watch(struct nx_sandbox *pool, struct nx_error *err) {
    uv_poll_t *poll = calloc(1, sizeof(*poll));
    if (poll == NULL || uv_poll_init(pool->loop, poll, pool->zygote.channel) != 0) {
        free(poll);
        return nx_error_set(err, NX_E_NOMEM, "cannot watch the zygote's channel");
    }
    poll->data = pool;
    pool->open_handles++;
    pool->zygote.poll = poll;
    return uv_poll_start(poll, UV_READABLE, on_readable) == 0
               ? 0
               : nx_error_set(err, NX_E_IO, "cannot watch the zygote's channel");
}

int nx_zygote_start(struct nx_sandbox *pool, struct nx_error *err) {
    struct nx_zygote_link *link = &pool->zygote;
    int ends[2];
    *link = (struct nx_zygote_link){.channel = -1,
                                    .pidfd = -1,
                                    .started_ns = nx_clock_monotonic_ns(),
                                    .restart_delay_ms = link->restart_delay_ms};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return nx_error_errno(err, "cannot make the zygote's channel");
    }
    link->channel = ends[0];
    NX_CLEANUP_FD int theirs = ends[1];
    int status = fcntl(link->channel, F_SETFL, O_NONBLOCK) == 0
                     ? nx_launcher_run(pool->launcher, theirs, &link->pid, &link->pidfd, err)
                     : nx_error_errno(err, "fcntl");
    if (status == 0) {
        status = watch(pool, err);
    }
    if (status == 0 && send_config(pool) != 0) {
        status = nx_error_set(err, NX_E_IO, "cannot start %s: it ended before it was ready",
                              nx_launcher_executable(pool->launcher));
    }
    if (status != 0) {
        lose(pool);
    }
    return status;
}

static bool any_alive(const struct nx_sandbox *pool) {
    for (uint32_t i = 0; i < pool->peer_count; i++) {
        if (nx_peer_alive(&pool->peers[i])) {
            return true;
        }
    }
    return false;
}

enum { TRY_MS = 50 };

int nx_zygote_wait(struct nx_sandbox *pool, uint64_t deadline_ns, struct nx_error *err) {
    while (!any_alive(pool)) {
        const uint64_t now = nx_clock_monotonic_ns();
        struct pollfd fd = {.fd = pool->zygote.channel, .events = POLLIN};
        const int left_ms = now < deadline_ns ? (int)((deadline_ns - now) / 1000000) + 1 : 0;
        const int got = left_ms > 0 ? poll(&fd, 1, left_ms < TRY_MS ? left_ms : TRY_MS) : 0;
        if ((got < 0 && errno == EINTR) || (got == 0 && left_ms > 0)) {
            nx_zygote_fill(pool); // it may have failed to make a worker
            continue;
        }
        if (got <= 0) {
            return nx_error_set(err, NX_E_IO, "%s was not ready within %d ms",
                                nx_launcher_executable(pool->launcher),
                                NX_SANDBOX_START_TIMEOUT_MS);
        }
        if (read_frame(pool) != 0) {
            const char *why = pool->zygote.error.code != 0 ? pool->zygote.error.message
                                                           : "it ended before it was ready";
            return nx_error_set(err, NX_E_IO, "cannot start %s: %s",
                                nx_launcher_executable(pool->launcher), why);
        }
    }
    return 0;
}

// ---- workers

static int ask_for(struct nx_sandbox *pool, struct nx_peer *peer) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return NX_E_IO;
    }
    NX_CLEANUP_FD int theirs = ends[1];
    peer->channel = ends[0];
    const struct nx_frame_header header = {
        .version = NX_WIRE_VERSION, .type = NX_FRAME_SPAWN, .id = peer->spare};
    if (fcntl(peer->channel, F_SETFL, O_NONBLOCK) != 0 ||
        nx_fd_send(pool->zygote.channel, &header, sizeof(header), theirs) != 0) {
        nx_fd_close(&peer->channel);
        return NX_E_IO;
    }
    peer->starting = true;
    pool->zygote.spawning = peer;
    return 0;
}

void nx_zygote_fill(struct nx_sandbox *pool) {
    struct nx_zygote_link *link = &pool->zygote;
    const uint64_t now = nx_clock_monotonic_ns();
    if (pool->stopping) {
        return;
    }
    if (link->channel < 0) {
        if (now >= link->restart_at_ns) {
            pool->worker_restarts++;
            (void)nx_zygote_start(pool, &link->error); // failing sets the next try's time
        }
        return;
    }
    for (uint32_t i = 0; i < pool->peer_count && link->ready && link->spawning == NULL; i++) {
        struct nx_peer *peer = &pool->peers[i];
        if (nx_lanes_want(peer) && !peer->starting && now >= peer->restart_at_ns &&
            ask_for(pool, peer) != 0) {
            try_later(peer);
        }
    }
}

void nx_zygote_lower(const struct nx_sandbox *pool, pid_t pid) {
    const struct nx_frame_header header = {
        .version = NX_WIRE_VERSION, .type = NX_FRAME_LOWER, .id = (uint32_t)pid};
    if (pool->zygote.channel >= 0) {
        (void)send(pool->zygote.channel, &header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

void nx_zygote_stop(struct nx_sandbox *pool) {
    lose(pool);
}
