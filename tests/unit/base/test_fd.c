// SPDX-License-Identifier: Apache-2.0
// Descriptor helpers over real pipes, sockets and files.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

static int open_descriptors(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void close_is_idempotent(void **state) {
    (void)state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int before = open_descriptors();
    nx_fd_close(&fd);
    assert_int_equal(fd, -1);
    nx_fd_close(&fd);
    assert_int_equal(open_descriptors(), before - 1);
    {
        NX_CLEANUP_FD int scoped = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(scoped >= 0);
    }
    assert_int_equal(open_descriptors(), before - 1);
}

static void on_alarm(int signal) {
    (void)signal;
}

// A megabyte through a pipe, with signals interrupting the writer all along.
static void read_and_write_all_survive_interruption(void **state) {
    (void)state;
    enum { BYTES = 1 << 20 };
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    char *bytes = malloc(BYTES);
    assert_non_null(bytes);
    for (int i = 0; i < BYTES; i++)
        bytes[i] = (char)(i * 7 + i / 256);
    pid_t child = fork();
    if (child == 0) {
        struct sigaction action = {.sa_handler = on_alarm}; // no SA_RESTART: EINTR
        sigaction(SIGALRM, &action, NULL);
        ualarm(100, 100);
        _exit(nx_fd_write_all(ends[1], bytes, BYTES) == 0 ? 0 : 1);
    }
    assert_true(child > 0);
    nx_fd_close(&ends[1]);
    char *got = malloc(BYTES);
    assert_non_null(got);
    usleep(20000); // the pipe is full and the writer blocks while alarms arrive
    assert_int_equal(nx_fd_read_all(ends[0], got, BYTES), 0);
    assert_memory_equal(got, bytes, BYTES);
    assert_int_equal(nx_fd_read_all(ends[0], got, 1), NX_E_CLOSED);
    assert_int_equal(nx_fd_read_all(ends[0], got, 0), 0);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    nx_fd_close(&ends[0]);
    free(bytes);
    free(got);
}

static void bad_descriptors_are_errors(void **state) {
    (void)state;
    char byte = 0;
    int fd = -1;
    assert_int_equal(nx_fd_write_all(-1, &byte, 1), NX_E_IO);
    assert_int_equal(nx_fd_read_all(-1, &byte, 1), NX_E_IO);
    assert_int_equal(nx_fd_send(-1, &byte, 1, 0), NX_E_IO);
    assert_int_equal(nx_fd_recv(-1, &byte, 1, &fd), NX_E_IO);
}

static void descriptor_travels_with_its_bytes(void **state) {
    (void)state;
    int pair[2], ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(nx_fd_send(pair[0], "hello", 5, ends[1]), 0);
    char text[16];
    int got = -2;
    assert_int_equal(nx_fd_recv(pair[1], text, sizeof text, &got), 5);
    assert_memory_equal(text, "hello", 5);
    assert_true(got >= 0 && got != ends[1]);
    assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(got, "!", 1), 1);
    assert_int_equal(read(ends[0], text, 1), 1);
    assert_int_equal(text[0], '!');
    nx_fd_close(&got);
    assert_int_equal(write(pair[0], "x", 1), 1);
    assert_int_equal(nx_fd_recv(pair[1], text, sizeof text, &got), 1);
    assert_int_equal(got, -1);
    nx_fd_close(&pair[0]);
    assert_int_equal(nx_fd_recv(pair[1], text, sizeof text, &got), 0);
    assert_int_equal(nx_fd_send(pair[1], "x", 1, ends[1]), NX_E_IO); // and no SIGPIPE
    nx_fd_close(&pair[1]);
    nx_fd_close(&ends[0]);
    nx_fd_close(&ends[1]);
}

// Sends `count` descriptors in one message, as a hostile peer would.
static void send_many(int sock, int fd, int count) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(64 * sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec iov = {.iov_base = (char[]){'x'}, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    for (int i = 0; i < count; i++)
        memcpy(CMSG_DATA(cmsg) + (size_t)i * sizeof fd, &fd, sizeof fd);
    assert_int_equal(sendmsg(sock, &msg, MSG_NOSIGNAL), 1);
}

static void a_descriptor_that_finds_no_place_is_lost(void **state) {
    (void)state;
    int pair[2], got = -1;
    char byte;
    struct rlimit before, full;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    full = before;
    full.rlim_cur = 0;
    assert_int_equal(nx_fd_send(pair[0], "xy", 2, pair[0]), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
    const ssize_t n = nx_fd_recv(pair[1], &byte, 1, &got);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(n, 1);
    assert_int_equal(got, NX_FD_LOST);
    nx_fd_close(&got); // as harmless as without one
    assert_int_equal(got, -1);
    assert_int_equal(nx_fd_recv(pair[1], &byte, 1, &got), 1);
    assert_int_equal(got, -1);
    nx_fd_close(&pair[0]);
    nx_fd_close(&pair[1]);
}

static void surplus_descriptors_are_closed(void **state) {
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int before = open_descriptors();
    for (int count = 1; count <= 64; count++) {
        send_many(pair[0], pair[0], count);
        char byte;
        int got = -1;
        assert_int_equal(nx_fd_recv(pair[1], &byte, 1, &got), 1);
        assert_true(got >= 0);
        assert_int_equal(open_descriptors(), before + 1);
        nx_fd_close(&got);
    }
    nx_fd_close(&pair[0]);
    nx_fd_close(&pair[1]);
}

static void write_file(const char *path, size_t len) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < len; i++)
        fputc('a' + (int)(i % 26), f);
    assert_int_equal(fclose(f), 0);
}

static void files_are_read_up_to_the_limit(void **state) {
    (void)state;
    char path[] = "nx-test-fd-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    nx_fd_close(&fd);
    const size_t sizes[] = {0, 1, 4095, 65535, 65536, 65537, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        write_file(path, sizes[i]);
        struct nx_buf out;
        struct nx_error err = {0};
        assert_int_equal(nx_fd_read_file(path, sizes[i], &out, &err), 0);
        assert_int_equal(out.len, sizes[i]);
        assert_int_equal(strlen(out.data), sizes[i]);
        if (sizes[i])
            assert_int_equal(out.data[sizes[i] - 1], 'a' + (int)((sizes[i] - 1) % 26));
        nx_buf_free(&out);
        assert_int_equal(nx_fd_read_file(path, sizes[i] + 100000, &out, &err), 0);
        assert_int_equal(out.len, sizes[i]);
        nx_buf_free(&out);
        if (sizes[i] == 0)
            continue;
        assert_int_equal(nx_fd_read_file(path, sizes[i] - 1, &out, &err), NX_E_LIMIT);
        assert_null(out.data);
    }
    unlink(path);
}

// Files of /proc say they are empty; the limit must hold all the same.
static void files_without_a_size_are_limited(void **state) {
    (void)state;
    struct nx_buf out;
    struct nx_error err = {0};
    assert_int_equal(nx_fd_read_file("/proc/self/status", 65536, &out, &err), 0);
    assert_non_null(strstr(out.data, "VmRSS"));
    nx_buf_free(&out);
    assert_int_equal(nx_fd_read_file("/proc/self/status", 10, &out, &err), NX_E_LIMIT);
    assert_non_null(strstr(err.message, "larger than 10 bytes"));
    assert_null(out.data);
}

static void only_regular_files_are_read(void **state) {
    (void)state;
    struct nx_buf out;
    struct nx_error err = {0};
    assert_int_equal(nx_fd_read_file("/", 10, &out, &err), NX_E_INVALID);
    assert_int_equal(nx_fd_read_file("/dev/zero", 10, &out, &err), NX_E_INVALID);
    assert_int_equal(nx_fd_read_file("does/not/exist", 10, &out, &err), NX_E_IO);
    assert_non_null(strstr(err.message, "does/not/exist"));
    char fifo[] = "nx-test-fifo-XXXXXX";
    assert_non_null(mkdtemp(fifo));
    char path[64];
    snprintf(path, sizeof path, "%s/fifo", fifo);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(nx_fd_read_file(path, 10, &out, &err), NX_E_INVALID); // and does not hang
    unlink(path);
    rmdir(fifo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_is_idempotent),
        cmocka_unit_test(read_and_write_all_survive_interruption),
        cmocka_unit_test(bad_descriptors_are_errors),
        cmocka_unit_test(descriptor_travels_with_its_bytes),
        cmocka_unit_test(a_descriptor_that_finds_no_place_is_lost),
        cmocka_unit_test(surplus_descriptors_are_closed),
        cmocka_unit_test(files_are_read_up_to_the_limit),
        cmocka_unit_test(files_without_a_size_are_limited),
        cmocka_unit_test(only_regular_files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
