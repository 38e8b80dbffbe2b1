// SPDX-License-Identifier: Apache-2.0
// File descriptor helpers.
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    // Room for more than the one descriptor that is wanted, so that extra ones are seen and closed;
    // the kernel drops those that do not fit.
    RECV_DESCRIPTORS = 4,
    // One read per step when reading a file: few system calls, little memory ahead of need.
    READ_STEP_BYTES = 64 * 1024,
};

void nx_fd_close(int *fd) {
    if (*fd >= 0) {
        int saved = errno;
        // Linux releases the descriptor even when close is interrupted: never retry.
        close(*fd);
        errno = saved;
    }
    *fd = -1;
}

int nx_fd_write_all(int fd, const void *data, size_t len) {
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return NX_E_IO;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int nx_fd_read_all(int fd, void *data, size_t len) {
    char *p = data;
    while (len > 0) {
        ssize_t n = read(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return NX_E_IO;
        if (n == 0)
            return NX_E_CLOSED;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int nx_fd_send(int sock, const void *data, size_t len, int fd) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
    for (size_t sent = 0; sent < len;) {
        ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return NX_E_IO;
        sent += (size_t)n;
        // The descriptor went with the first bytes; a stream may take the rest in pieces.
        iov.iov_base = (void *)((uintptr_t)data + sent);
        iov.iov_len = len - sent;
        msg.msg_control = NULL;
        msg.msg_controllen = 0;
    }
    return len > 0 ? 0 : NX_E_IO;
}

// Hands over the first descriptor of the message and closes every other.
static void take_descriptors(struct msghdr *msg, int *fd) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int got;
            memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
            if (*fd < 0)
                *fd = got;
            else
                nx_fd_close(&got);
        }
    }
}

ssize_t nx_fd_recv(int sock, void *data, size_t len, int *fd) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(RECV_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = len};
    struct msghdr msg;
    ssize_t n;
    *fd = -1;
    do {
        msg = (struct msghdr){.msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes};
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return NX_E_IO;
    take_descriptors(&msg, fd);
    if (*fd < 0 && (msg.msg_flags & MSG_CTRUNC))
        *fd = NX_FD_LOST;
    return n;
}

// Reads up to end of file; one byte more than the maximum tells a file that is too large, also when
// it grew after its size was looked at or has no size (as in /proc).
static int read_to_end(int fd, const char *path, struct nx_buf *out, struct nx_error *err) {
    for (;;) {
        size_t room = out->max_bytes - out->len;
        size_t step = room < READ_STEP_BYTES ? room : READ_STEP_BYTES;
        char extra;
        char *to = step ? nx_buf_reserve(out, step) : &extra;
        if (!to)
            return nx_error_set(err, out->failed, "%s: out of memory", path);
        ssize_t n = read(fd, to, step ? step : 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nx_error_errno(err, "%s", path);
        if (n == 0)
            return nx_buf_append(out, "", 0); // puts the NUL
        if (!step)
            return nx_error_set(err, NX_E_LIMIT, "%s: larger than %zu bytes", path, out->max_bytes);
        out->len += (size_t)n;
    }
}

int nx_fd_read_file(const char *path, size_t max_bytes, struct nx_buf *out, struct nx_error *err) {
    nx_buf_init(out, max_bytes);
    // O_NONBLOCK: opening a FIFO without a writer must not hang before its type is known.
    NX_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return nx_error_errno(err, "%s", path);
    struct stat st;
    if (fstat(fd, &st) != 0)
        return nx_error_errno(err, "%s", path);
    if (!S_ISREG(st.st_mode))
        return nx_error_set(err, NX_E_INVALID, "%s: not a regular file", path);
    if (st.st_size > 0 && (uintmax_t)st.st_size > max_bytes)
        return nx_error_set(err, NX_E_LIMIT, "%s: larger than %zu bytes", path, max_bytes);
    int rc = read_to_end(fd, path, out, err);
    if (rc)
        nx_buf_free(out);
    return rc;
}
