// SPDX-License-Identifier: Apache-2.0
// Stands between a program and its libraries and lets the calls fail that the test asks for. The
// kernel gets it preloaded; the zygote, which starts without an environment, is linked with it.
//
// It costs the process nothing it could notice: no descriptor, no allocation, no system call of its
// own once it is set up, so that it works behind the lockdown as well.
#define _GNU_SOURCE
#include "fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { FRAMES = 12, CHANNEL = 3 };

static struct fault_control idle; // while there is no file
static struct fault_control *control = &idle;
static enum fault_role role = FAULT_NOBODY;
static __thread int inside; // of ours: what is called here counts for nothing

// ---- Deciding

static void note_where(void) {
    void *frames[FRAMES];
    size_t used = 0;
    const int count = backtrace(frames, FRAMES);
    for (int i = 2; i < count && used < sizeof(control->where); i++) {
        Dl_info info;
        const char *name = "?";
        size_t offset = 0;
        if (dladdr(frames[i], &info) != 0 && info.dli_fname != NULL) {
            const char *slash = strrchr(info.dli_fname, '/');
            name = slash != NULL ? slash + 1 : info.dli_fname;
            offset = (size_t)((char *)frames[i] - (char *)info.dli_fbase);
        }
        const int len = snprintf(control->where + used, sizeof(control->where) - used, "%s+0x%zx ",
                                 name, offset);
        used += len > 0 ? (size_t)len : 0;
    }
}

int fault_now(enum fault_kind kind) {
    const int of_kind = control->kind == (uint32_t)kind ||
                        (control->kind == FAULT_DIE && kind != FAULT_ALLOC) ||
                        (control->kind == FAULT_STOP && kind == FAULT_CALL);
    if (inside || !of_kind || control->role != (uint32_t)role) {
        return 0;
    }
    const uint64_t number = __atomic_add_fetch(&control->seen, 1, __ATOMIC_SEQ_CST);
    if (control->at == 0 || number < control->at || number - control->at >= control->times) {
        return 0;
    }
    inside = 1;
    const int saved = errno;
    if (__atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST) == 0) {
        note_where();
    }
    if (control->kind == FAULT_DIE || control->kind == FAULT_STOP) {
        raise(control->kind == FAULT_DIE ? SIGKILL : SIGSTOP);
    }
    errno = saved;
    inside = 0;
    return 1;
}

EXPORT void fault_boundary(void) {
    if (control->kind == FAULT_DIE) {
        (void)fault_now(FAULT_DIE);
    } else if (fault_now(FAULT_HOLD)) {
        __atomic_store_n(&control->held, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&control->held, __ATOMIC_SEQ_CST) != 0) {
        }
    }
}

// ---- Set-up

#define REAL(type, name) static type(*real_##name)

REAL(void *, malloc)(size_t);
REAL(void *, calloc)(size_t, size_t);
REAL(void *, realloc)(void *, size_t);
REAL(void, free)(void *);
REAL(int, posix_memalign)(void **, size_t, size_t);
REAL(void *, aligned_alloc)(size_t, size_t);
REAL(int, clock_gettime)(clockid_t, struct timespec *);

static void look_up(void) {
    static int busy;
    if (busy++ != 0) {
        return;
    }
#define FIND(name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name)
    FIND(calloc);
    FIND(malloc);
    FIND(realloc);
    FIND(free);
    FIND(posix_memalign);
    FIND(aligned_alloc);
    FIND(clock_gettime);
}

static void on_fork(void) {
    role = role == FAULT_ZYGOTE ? FAULT_WORKER : FAULT_NOBODY;
}

// The file beside the program, and who the program is.
static void find_control(void) {
    char path[4096];
    const ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof(FAULT_FILE) - 1);
    if (len <= 0) {
        return;
    }
    path[len] = '\0';
    char *name = strrchr(path, '/') + 1;
    const enum fault_role found = strcmp(name, "nexus-sandbox") == 0 ? FAULT_ZYGOTE
                                  : strcmp(name, "nexus") == 0       ? FAULT_KERNEL
                                                                     : FAULT_NOBODY;
    memcpy(name, FAULT_FILE, sizeof(FAULT_FILE));
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    void *at = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) {
        control = at;
        role = found;
    }
}

__attribute__((constructor)) static void set_up(void) {
    void *frames[2];
    inside = 1;
    look_up();
    backtrace(frames, 2); // loads what it needs, once
    find_control();
    pthread_atfork(NULL, NULL, on_fork);
    unsetenv("LD_PRELOAD");
    inside = 0;
}

// ---- Allocations

// What the look-up itself allocates.
static char early[16384];
static size_t early_used;

static void *early_alloc(size_t bytes) {
    void *at = early + early_used;
    early_used += (bytes + 15) / 16 * 16;
    return early_used <= sizeof(early) ? at : NULL;
}

static int is_early(const void *at) {
    return (const char *)at >= early && (const char *)at < early + sizeof(early);
}

// libseccomp does not survive its own want of memory: it crashes, or never returns.
static int of_libseccomp(const void *caller) {
    Dl_info info;
    return control->kind == FAULT_ALLOC && control->role == (uint32_t)role &&
           role == FAULT_KERNEL && !inside && dladdr(caller, &info) != 0 &&
           info.dli_fname != NULL && strstr(info.dli_fname, "libseccomp") != NULL;
}

static int no_memory(const void *caller) {
    if (of_libseccomp(caller) || !fault_now(FAULT_ALLOC)) {
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

// Our parameters have names that say something; a type cannot stand in parentheses; and the
// analyzer does not see va_start through a macro.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name,bugprone-macro-parentheses,clang-analyzer-valist.*)
EXPORT void *malloc(size_t bytes) {
    if (real_malloc == NULL) {
        look_up();
    }
    if (real_malloc == NULL) {
        return early_alloc(bytes);
    }
    return no_memory(__builtin_return_address(0)) ? NULL : real_malloc(bytes);
}

EXPORT void *calloc(size_t count, size_t bytes) {
    if (real_calloc == NULL) {
        look_up();
    }
    if (real_calloc == NULL) {
        return early_alloc(count * bytes);
    }
    return no_memory(__builtin_return_address(0)) ? NULL : real_calloc(count, bytes);
}

EXPORT void *realloc(void *old, size_t bytes) {
    if (real_realloc == NULL || is_early(old)) {
        void *at = malloc(bytes);
        if (at != NULL && old != NULL) {
            memcpy(at, old, bytes); // of `early`: there is always that much behind it
        }
        return at;
    }
    return no_memory(__builtin_return_address(0)) ? NULL : real_realloc(old, bytes);
}

EXPORT void free(void *at) {
    if (!is_early(at) && real_free != NULL) {
        real_free(at);
    }
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t bytes) {
    return no_memory(__builtin_return_address(0)) ? ENOMEM
                                                  : real_posix_memalign(out, alignment, bytes);
}

EXPORT void *aligned_alloc(size_t alignment, size_t bytes) {
    return no_memory(__builtin_return_address(0)) ? NULL : real_aligned_alloc(alignment, bytes);
}

// ---- System calls

static int fails(int error) {
    if (!fault_now(FAULT_CALL)) {
        return 0;
    }
    errno = error;
    return 1;
}

static int interrupted(void) {
    if (!fault_now(FAULT_EINTR)) {
        return 0;
    }
    errno = EINTR;
    return 1;
}

#define NEXT(type, name, parameters)                                                               \
    static type(*real) parameters;                                                                 \
    if (real == NULL) {                                                                            \
        *(void **)&real = dlsym(RTLD_NEXT, #name);                                                 \
    }

// A call whose only fault is one error.
#define FAILS(type, name, parameters, arguments, error, bad)                                       \
    EXPORT type name parameters {                                                                  \
        NEXT(type, name, parameters)                                                               \
        return fails(error) ? (bad) : real arguments;                                              \
    }

// clang-format off
FAILS(int, socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE, -1)
FAILS(int, socketpair, (int domain, int type, int protocol, int fds[2]),
      (domain, type, protocol, fds), EMFILE, -1)
FAILS(int, eventfd, (unsigned count, int flags), (count, flags), EMFILE, -1)
FAILS(int, epoll_create1, (int flags), (flags), EMFILE, -1)
FAILS(int, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, -1)
FAILS(int, dup2, (int from, int to), (from, to), EMFILE, -1)
FAILS(int, bind, (int fd, const struct sockaddr *a, socklen_t len), (fd, a, len), EADDRINUSE, -1)
FAILS(int, listen, (int fd, int backlog), (fd, backlog), EADDRINUSE, -1)
FAILS(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
      (fd, level, name, value, len), ENOMEM, -1)
FAILS(pid_t, fork, (void), (), EAGAIN, -1)
FAILS(int, madvise, (void *at, size_t len, int advice), (at, len, advice), ENOMEM, -1)
FAILS(int, mprotect, (void *at, size_t len, int protection), (at, len, protection), ENOMEM, -1)
FAILS(void *, mmap, (void *at, size_t len, int protection, int flags, int fd, off_t offset),
      (at, len, protection, flags, fd, offset), ENOMEM, MAP_FAILED)
FAILS(int, ftruncate, (int fd, off_t len), (fd, len), ENOSPC, -1)
FAILS(int, setrlimit, (__rlimit_resource_t what, const struct rlimit *limit), (what, limit),
      EPERM, -1)
FAILS(int, timer_create, (clockid_t clock, struct sigevent *event, timer_t *timer),
      (clock, event, timer), EAGAIN, -1)
FAILS(ssize_t, getrandom, (void *to, size_t len, unsigned flags), (to, len, flags), ENOSYS, -1)
// clang-format on

// libuv ends the process without its pipes, which it makes once; nexus sees to it that it can.
EXPORT int pipe2(int fds[2], int flags) {
    NEXT(int, pipe2, (int *, int))
    return role != FAULT_KERNEL && fails(EMFILE) ? -1 : real(fds, flags);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument) {
    NEXT(int, pthread_create, (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))
    return fault_now(FAULT_CALL) ? EAGAIN : real(thread, attributes, start, argument);
}

EXPORT int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags) {
    NEXT(int, accept4, (int, struct sockaddr *, socklen_t *, int))
    return fails(EMFILE) || interrupted() ? -1 : real(fd, address, len, flags);
}

#define OPENS(name)                                                                                \
    EXPORT int name(const char *path, int flags, ...) {                                            \
        NEXT(int, name, (const char *, int, ...))                                                  \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;                     \
        va_end(more);                                                                              \
        return fails(EMFILE) ? -1 : real(path, flags, mode);                                       \
    }
OPENS(open)
OPENS(open64)

EXPORT FILE *fopen(const char *path, const char *mode) {
    NEXT(FILE *, fopen, (const char *, const char *))
    return fails(EMFILE) ? NULL : real(path, mode);
}

// libuv's own pipes and eventfds cannot fail like this; it takes that for the end of the world.
// What is logged may be lost, but the tests read it.
static int transfers(int fd) {
    struct stat about;
    if (role == FAULT_WORKER) { // its channel; and its filter lets it ask for nothing
        return fd == CHANNEL;
    }
    return inside == 0 && control->role == (uint32_t)role && fd >= 0 && fstat(fd, &about) == 0 &&
           (S_ISSOCK(about.st_mode) || S_ISREG(about.st_mode) ||
            (fd <= STDERR_FILENO && control->kind != FAULT_CALL));
}

// How many bytes to move; 0: the call fails.
static size_t allowed(int fd, size_t len, int error) {
    if (control->kind == FAULT_NONE || !transfers(fd)) {
        return len;
    }
    if (fails(error) || interrupted()) {
        return 0;
    }
    return len > 1 && fault_now(FAULT_SHORT) ? 1 : len;
}

#define MOVES(name, buffer, error)                                                                 \
    EXPORT ssize_t name(int fd, buffer data, size_t len) {                                         \
        NEXT(ssize_t, name, (int, buffer, size_t))                                                 \
        const size_t most = allowed(fd, len, error);                                               \
        return most == 0 && len != 0 ? -1 : real(fd, data, most);                                  \
    }
MOVES(read, void *, EIO)
MOVES(write, const void *, ENOSPC)

EXPORT ssize_t send(int fd, const void *data, size_t len, int flags) {
    NEXT(ssize_t, send, (int, const void *, size_t, int))
    const size_t most = allowed(fd, len, ENOBUFS);
    return most == 0 && len != 0 ? -1 : real(fd, data, most, flags);
}

EXPORT ssize_t recv(int fd, void *data, size_t len, int flags) {
    NEXT(ssize_t, recv, (int, void *, size_t, int))
    const size_t most = allowed(fd, len, ENOMEM);
    return most == 0 && len != 0 ? -1 : real(fd, data, most, flags);
}

// The fortified forms.
ssize_t __read_chk(int fd, void *data, size_t len, size_t room);
EXPORT ssize_t __read_chk(int fd, void *data, size_t len, size_t room) {
    (void)room;
    return read(fd, data, len);
}
ssize_t __recv_chk(int fd, void *data, size_t len, size_t room, int flags);
EXPORT ssize_t __recv_chk(int fd, void *data, size_t len, size_t room, int flags) {
    (void)room;
    return recv(fd, data, len, flags);
}

#define MOVES_VECTORS(name, error, parameters, arguments)                                          \
    EXPORT ssize_t name parameters {                                                               \
        NEXT(ssize_t, name, parameters)                                                            \
        if (control->kind != FAULT_NONE && transfers(fd)) {                                        \
            if (fails(error) || interrupted()) {                                                   \
                return -1;                                                                         \
            }                                                                                      \
        }                                                                                          \
        return real arguments;                                                                     \
    }
MOVES_VECTORS(sendmsg, ENOBUFS, (int fd, const struct msghdr *message, int flags),
              (fd, message, flags))
MOVES_VECTORS(recvmsg, ENOMEM, (int fd, struct msghdr *message, int flags), (fd, message, flags))

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
    NEXT(ssize_t, writev, (int, const struct iovec *, int))
    size_t len = 0;
    for (int i = 0; i < count; i++) {
        len += parts[i].iov_len;
    }
    const size_t most = allowed(fd, len, ECONNRESET);
    if (most == len) {
        return real(fd, parts, count);
    }
    for (int i = 0; i < count && most == 1; i++) {
        if (parts[i].iov_len != 0) {
            const struct iovec one = {parts[i].iov_base, 1};
            return real(fd, &one, 1);
        }
    }
    return -1;
}

EXPORT long syscall(long number, ...) {
    NEXT(long, syscall, (long, ...))
    va_list more;
    long a[6];
    va_start(more, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(more, long);
    }
    va_end(more);
    if (number == SYS_pidfd_open && fails(EMFILE)) {
        return -1;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

// ---- The clock of the wall

EXPORT int clock_gettime(clockid_t clock, struct timespec *out) {
    if (real_clock_gettime == NULL) {
        look_up();
    }
    const int status = real_clock_gettime(clock, out);
    if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        out->tv_sec += control->clock_ms / 1000;
    }
    return status;
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name,bugprone-macro-parentheses,clang-analyzer-valist.*)
