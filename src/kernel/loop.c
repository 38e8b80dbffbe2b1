// SPDX-License-Identifier: Apache-2.0
// libuv's memory; see loop.h.
#include "kernel/loop.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

// Two pipes, an epoll, an eventfd, and what it takes to start anything.
enum { EXIT_FAULT = 1, NEEDED_FDS = 16 };

// Of the functions that libuv gets, it calls this one only for tables it cannot do without.
static void *grow_or_exit(void *old, size_t bytes) {
    static const char message[] = "nexus: out of memory\n";
    void *grown = realloc(old, bytes);
    if (!grown && bytes) {
        (void)!write(STDERR_FILENO, message, sizeof message - 1);
        _exit(EXIT_FAULT);
    }
    return grown;
}

int nx_loop_prepare(struct nx_error *err) {
    int fds[NEEDED_FDS], count = 0;
    uv_replace_allocator(malloc, grow_or_exit, calloc, free);
    while (count < NEEDED_FDS && (fds[count] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
        count++;
    int rc = count == NEEDED_FDS ? 0 : nx_error_errno(err, "too few descriptors");
    while (count > 0)
        nx_fd_close(&fds[--count]);
    return rc;
}

// The highest descriptor that this process may open, but not over `most`.
static int highest(uint32_t most) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur <= most)
        return (int)files.rlim_cur - 1;
    return (int)most;
}

static void on_closed(uv_handle_t *handle) {
    free(handle);
}

static void never(uv_poll_t *poll, int status, int events) {
    (void)poll;
    (void)status;
    (void)events;
}

int nx_loop_reserve(uv_loop_t *loop, uint32_t count, struct nx_error *err) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return nx_error_errno(err, "cannot make a socket pair");
    nx_fd_close(&ends[1]);
    NX_CLEANUP_FD int first = ends[0];
    NX_CLEANUP_FD int high = fcntl(first, F_DUPFD_CLOEXEC, highest(count));
    if (high < 0)
        return nx_error_errno(err, "cannot open %u descriptors", count);
    // The table grows to hold what is watched, and never shrinks.
    uv_poll_t *poll = malloc(sizeof *poll);
    if (!poll)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    if (uv_poll_init(loop, poll, high)) {
        free(poll);
        return nx_error_set(err, NX_E_IO, "cannot watch descriptor %d", high);
    }
    uv_poll_start(poll, UV_READABLE, never);
    uv_poll_stop(poll); // before the loop looks
    uv_close((uv_handle_t *)poll, on_closed);
    return 0;
}
