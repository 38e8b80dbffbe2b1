// SPDX-License-Identifier: Apache-2.0
// The launcher's own process; see launcher.h.
#include "sandbox/launcher_child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/wire.h"

extern char **environ;

// Environments hold secrets. The strings lie one behind the other on the stack the program began
// with; this is a copy of it, which the fork has made.
static void wipe_environment(void) {
    for (char **variable = environ; variable != NULL && *variable != NULL; variable++) {
        explicit_bzero(*variable, strlen(*variable));
    }
    environ = NULL;
}

// The order is safe: what can be had from here is least in the first lines already, as nothing but
// the program's own code has run, and nobody can send requests before the loop is reached.
//   1. It ends with its parent; the check behind the request closes the race with an early end.
//   2. Nobody but root can look into it from then on, or trace it.
//   3. no_new_privs is inherited by the zygote, which would set it itself.
//   4. The signals that ask a server to stop often go to all its processes. The server decides when
//      its helpers end; those it starts inherit that they do not hear.
//   5. Descriptors last, so that a failure before can still be told apart in a trace.
static enum nx_launcher_step settle(int channel, pid_t parent) {
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    sigset_t none;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        return NX_LAUNCHER_ENDS_WITH_PARENT;
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return NX_LAUNCHER_HIDES;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return NX_LAUNCHER_NO_NEW_PRIVS;
    }
    (void)prctl(PR_SET_NAME, "nexus-launcher");
    wipe_environment();
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        (void)signal(ignored[i], SIG_IGN);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        (channel != NX_WIRE_ZYGOTE_FD && dup2(channel, NX_WIRE_ZYGOTE_FD) < 0) ||
        close_range(NX_WIRE_ZYGOTE_FD + 1, ~0U, 0) != 0) {
        return NX_LAUNCHER_DESCRIPTORS;
    }
    return NX_LAUNCHER_STARTS_PROGRAM;
}

// The new process: becomes the program, or writes why not to `why`, which closes on success.
static _Noreturn void become(char *executable, int channel, int why) {
    static char name[] = "nexus-sandbox";
    char *args[] = {name, NULL}, *environment[] = {NULL};
    if (dup2(channel, NX_WIRE_ZYGOTE_FD) >= 0 &&
        close_range(NX_WIRE_ZYGOTE_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0) {
        execve(executable, args, environment);
    }
    const int error = errno;
    (void)!write(why, &error, sizeof(error));
    _exit(127);
}

// CLONE_PARENT makes it the kernel's child: it ends with the kernel, not with the launcher, and is
// the kernel's to reap.
static pid_t clone_sibling(int *pidfd) {
    return (pid_t)syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL, 0);
}

static struct nx_launched launch(char *executable, int channel, int *pidfd) {
    int why[2], error = 0;
    *pidfd = -1;
    if (pipe2(why, O_CLOEXEC) != 0) {
        return (struct nx_launched){.error = errno};
    }
    const pid_t pid = clone_sibling(pidfd);
    if (pid == 0) {
        become(executable, channel, why[1]);
    }
    struct nx_launched launched = {.error = pid < 0 ? errno : 0, .pid = pid < 0 ? 0 : pid};
    close(why[1]);
    if (pid > 0 && nx_fd_read_all(why[0], &error, sizeof(error)) == 0) {
        launched.error = error;
    }
    close(why[0]);
    return launched;
}

static bool answer(int channel, const struct nx_launched *launched, int pidfd) {
    return pidfd >= 0 ? nx_fd_send(channel, launched, sizeof(*launched), pidfd) == 0
                      : write(channel, launched, sizeof(*launched)) == (ssize_t)sizeof(*launched);
}

_Noreturn void nx_launcher_child(char *executable, int channel, pid_t parent) {
    int running = -1; // the pidfd of the zygote
    const enum nx_launcher_step failed = settle(channel, parent);
    if (failed != NX_LAUNCHER_STARTS_PROGRAM) {
        const struct nx_launched why = {.error = errno, .step = (int32_t)failed};
        char request;
        // Not before the request is there: a channel that closes with it unread loses the answer.
        (void)!read(channel, &request, sizeof(request));
        (void)answer(channel, &why, -1);
        _exit(1);
    }
    for (;;) {
        char request;
        int theirs = -1, pidfd = -1;
        if (nx_fd_recv(NX_WIRE_ZYGOTE_FD, &request, sizeof(request), &theirs) != 1 || theirs < 0) {
            _exit(0); // the kernel is gone, or not itself
        }
        // One at a time: requests without end make no processes without end.
        if (running >= 0) {
            (void)syscall(SYS_pidfd_send_signal, running, SIGKILL, NULL, 0);
            nx_fd_close(&running);
        }
        const struct nx_launched launched = launch(executable, theirs, &pidfd);
        nx_fd_close(&theirs);
        if (launched.error != 0) {
            nx_fd_close(&pidfd);
        }
        running = pidfd;
        if (!answer(NX_WIRE_ZYGOTE_FD, &launched, pidfd)) {
            _exit(0);
        }
    }
}
