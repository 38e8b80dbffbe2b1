// SPDX-License-Identifier: Apache-2.0
// Small helpers around file descriptors. Every descriptor the project opens is close-on-exec.
#ifndef NX_BASE_FD_H
#define NX_BASE_FD_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

// Closes *fd if it is open and sets it to -1. For __attribute__((cleanup)) as well.
void nx_fd_close(int *fd);
#define NX_CLEANUP_FD __attribute__((cleanup(nx_fd_close)))

// The descriptor, which is the caller's from now on: *fd is -1.
static inline int nx_fd_take(int *fd) {
    const int taken = *fd;
    *fd = -1;
    return taken;
}

// Writes all bytes, retrying on EINTR; blocking descriptors only. 0 or NX_E_IO.
int nx_fd_write_all(int fd, const void *data, size_t len);

// Reads exactly `len` bytes. 0, NX_E_CLOSED at end of file, NX_E_IO.
int nx_fd_read_all(int fd, void *data, size_t len);

// Sends `len` (>= 1) bytes together with one descriptor over a Unix socket. 0 or NX_E_IO.
int nx_fd_send(int sock, const void *data, size_t len, int fd);

// A descriptor that came, but found this process at its limit of them: the system dropped it.
enum { NX_FD_LOST = -2 };

// Receives up to `len` bytes and at most one descriptor (*fd = -1 if none came, NX_FD_LOST; any
// further ones are closed). Returns the byte count, 0 at end of file, or NX_E_IO.
ssize_t nx_fd_recv(int sock, void *data, size_t len, int *fd);

// Reads a whole regular file of at most `max_bytes` into `out` (initialised here, and left empty on
// error). Errors: NX_E_IO,
// NX_E_LIMIT (too large), NX_E_INVALID (a directory, FIFO or device), NX_E_NOMEM.
int nx_fd_read_file(const char *path, size_t max_bytes, struct nx_buf *out, struct nx_error *err);

#endif
