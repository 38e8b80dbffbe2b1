// SPDX-License-Identifier: Apache-2.0
// The launcher: what it starts and as whose child, that it starts one at a time, and that the end
// of either is not the end of the other.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "sandbox/launcher.h"

enum { PATIENCE_MS = 10000 };

// A process with the channel of a zygote: the fake one, which waits for its CONFIG frame.
struct child {
    pid_t pid;
    int pidfd, channel;
};

static int run(struct nx_launcher *launcher, struct child *child, struct nx_error *err) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const int status = nx_launcher_run(launcher, ends[1], &child->pid, &child->pidfd, err);
    close(ends[1]);
    child->channel = ends[0];
    return status;
}

static struct child start(struct nx_launcher *launcher) {
    struct child child = {0};
    struct nx_error err = {0};
    assert_int_equal(run(launcher, &child, &err), 0);
    assert_true(child.pid > 0 && child.pidfd >= 0);
    return child;
}

static bool has_ended(const struct child *child, int wait_ms) {
    struct pollfd fd = {.fd = child->pidfd, .events = POLLIN};
    return poll(&fd, 1, wait_ms) == 1;
}

// Ends a child that lives; reaping shows that it is ours.
static void finish(struct child *child) {
    int status = 0;
    (void)kill(child->pid, SIGKILL);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->pidfd);
    close(child->channel);
}

static struct nx_launcher *launcher_of(const char *executable) {
    struct nx_launcher *launcher = NULL;
    struct nx_error err = {0};
    assert_int_equal(nx_launcher_start(&launcher, executable, &err), 0);
    assert_string_equal(nx_launcher_executable(launcher), executable);
    return launcher;
}

// The launcher's process: the only child there is before it has started anything.
static pid_t pid_of_launcher(void) {
    char path[64];
    struct nx_buf text;
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    assert_int_equal(nx_fd_read_file(path, 4096, &text, NULL), 0);
    const pid_t pid = (pid_t)strtol(text.data, NULL, 10);
    nx_buf_free(&text);
    return pid;
}

static void read_proc(pid_t pid, const char *name, struct nx_buf *out) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    assert_int_equal(nx_fd_read_file(path, 65536, out, NULL), 0);
}

static void it_starts_our_child_without_environment(void **unused) {
    (void)unused;
    assert_int_equal(setenv("LAUNCHER_TEST_SECRET", "hunter2", 1), 0);
    struct nx_launcher *launcher = launcher_of(NX_TEST_FAKE_SANDBOX);
    const pid_t pid = pid_of_launcher();
    struct child child = start(launcher);
    struct nx_buf text;
    read_proc(child.pid, "environ", &text);
    assert_int_equal(text.len, 0);
    nx_buf_free(&text);
    if (geteuid() == 0) { // nobody else may look into the launcher, which is as it should be
        read_proc(pid, "environ", &text);
        assert_null(memmem(text.data, text.len, "hunter2", 7));
        nx_buf_free(&text);
    }
    read_proc(pid, "status", &text);
    assert_non_null(strstr(text.data, "nexus-launcher"));
    assert_non_null(strstr(text.data, "NoNewPrivs:\t1"));
    nx_buf_free(&text);
    assert_false(has_ended(&child, 0));
    finish(&child);
    nx_launcher_stop(launcher);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void one_at_a_time(void **unused) {
    (void)unused;
    struct nx_launcher *launcher = launcher_of(NX_TEST_FAKE_SANDBOX);
    struct child first = start(launcher);
    struct child second = start(launcher);
    assert_true(has_ended(&first, PATIENCE_MS));
    assert_false(has_ended(&second, 0));
    finish(&first);
    finish(&second);
    nx_launcher_stop(launcher);
}

static void what_cannot_be_started(void **unused) {
    (void)unused;
    static const struct {
        const char *executable, *why;
    } rows[] = {{"/nonexistent/program", "no such file"}, {"/dev/null", "permission denied"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nx_launcher *launcher = launcher_of(rows[i].executable);
        for (int again = 0; again < 2; again++) { // it is still there
            struct child child = {0};
            struct nx_error err = {0};
            assert_int_equal(run(launcher, &child, &err), NX_E_IO);
            assert_non_null(strstr(err.message, rows[i].why));
            assert_non_null(strstr(err.message, rows[i].executable));
            assert_int_equal(child.pidfd, -1);
            close(child.channel);
        }
        nx_launcher_stop(launcher);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // the processes that failed are reaped
    }
}

// It is started and cannot be held: it ends at once, and the next one can be had.
static void without_a_descriptor_for_it(void **unused) {
    (void)unused;
    struct nx_launcher *launcher = launcher_of(NX_TEST_FAKE_SANDBOX);
    struct rlimit before, full;
    int ends[2], pidfd = -1;
    pid_t pid = 0;
    struct nx_error err = {0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    full = before;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const int free_one = dup(STDIN_FILENO);
    assert_true(free_one > ends[1]);
    close(free_one);
    full.rlim_cur = (rlim_t)free_one;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
    const int status = nx_launcher_run(launcher, ends[1], &pid, &pidfd, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(status, NX_E_IO);
    assert_non_null(strstr(err.message, "too many open files"));
    assert_int_equal(pidfd, -1);
    close(ends[0]);
    close(ends[1]);
    struct child child = start(launcher);
    finish(&child);
    nx_launcher_stop(launcher);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // nor is it left unreaped
}

// A launcher that gets no processor for a while: what it starts too late is ended and reaped.
static void one_that_is_late(void **unused) {
    (void)unused;
    struct nx_launcher *launcher = launcher_of(NX_TEST_FAKE_SANDBOX);
    const pid_t pid = pid_of_launcher();
    struct child child = {0};
    struct nx_error err = {0};
    assert_int_equal(kill(pid, SIGSTOP), 0);
    for (int again = 0; again < 3; again++) {
        assert_int_equal(run(launcher, &child, &err), NX_E_BUSY);
        assert_non_null(strstr(err.message, "in time"));
        assert_int_equal(child.pidfd, -1);
        close(child.channel);
    }
    assert_int_equal(kill(pid, SIGCONT), 0);
    int status;
    for (int wait_ms = 0; (status = run(launcher, &child, &err)) == NX_E_BUSY; wait_ms += 10) {
        assert_true(wait_ms < PATIENCE_MS);
        close(child.channel);
        (void)poll(NULL, 0, 10);
    }
    assert_int_equal(status, 0);
    finish(&child);
    nx_launcher_stop(launcher);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // nor is the late one left
}

static void signals_for_the_server(void **unused) {
    (void)unused;
    struct nx_launcher *launcher = launcher_of(NX_TEST_FAKE_SANDBOX);
    const pid_t pid = pid_of_launcher();
    struct child child = start(launcher);
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        assert_int_equal(kill(pid, signals[i]), 0);
        assert_int_equal(kill(child.pid, signals[i]), 0);
    }
    assert_false(has_ended(&child, 50));
    struct child other = start(launcher); // it still answers
    finish(&child);
    finish(&other);
    nx_launcher_stop(launcher);
}

// What it started goes on, and what needs it says so.
static void the_launcher_is_killed(void **unused) {
    (void)unused;
    struct nx_launcher *launcher = launcher_of(NX_TEST_FAKE_SANDBOX);
    const pid_t pid = pid_of_launcher();
    struct child child = start(launcher), none = {0};
    assert_int_equal(kill(pid, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_false(has_ended(&child, 50));
    for (int again = 0; again < 2; again++) {
        struct nx_error err = {0};
        assert_int_equal(run(launcher, &none, &err), NX_E_CLOSED);
        assert_non_null(strstr(err.message, "launcher is gone"));
        close(none.channel);
    }
    finish(&child);
    nx_launcher_stop(launcher);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_our_child_without_environment),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(what_cannot_be_started),
        cmocka_unit_test(without_a_descriptor_for_it),
        cmocka_unit_test(one_that_is_late),
        cmocka_unit_test(signals_for_the_server),
        cmocka_unit_test(the_launcher_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
