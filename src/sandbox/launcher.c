// SPDX-License-Identifier: Apache-2.0
// The kernel's end of the launcher, and where it is forked; launcher_child.c is what it does.
#include "sandbox/launcher.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "base/fd.h"
#include "base/limits.h"
#include "sandbox/launcher_child.h"

struct nx_launcher {
    pid_t pid;
    int channel; // -1: it is gone
    bool owes;   // its last answer did not come in time, and is still to come
    char *executable;
};

// Beside this program (a build folder), or in its prefix's libexec (installed).
static char *find_executable(void) {
    static const char *const places[] = {"nexus-sandbox", "../libexec/nexus/nexus-sandbox"};
    char self[PATH_MAX], path[2 * PATH_MAX];
    const ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len <= 0) {
        return NULL;
    }
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL) {
        return NULL;
    }
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", self, places[i]);
        if (access(path, X_OK) == 0) {
            return strdup(path);
        }
    }
    return NULL;
}

static int start(struct nx_launcher *launcher, struct nx_error *err) {
    int ends[2];
    const pid_t parent = getpid();
    // Packets: a request or an answer is there as a whole or not at all.
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return nx_error_errno(err, "cannot make the launcher's channel");
    }
    launcher->pid = fork();
    if (launcher->pid == 0) {
        close(ends[0]); // or it would never see that end close
        nx_launcher_child(launcher->executable, ends[1], parent);
    }
    close(ends[1]);
    launcher->channel = ends[0];
    return launcher->pid > 0 ? 0 : nx_error_errno(err, "cannot start the launcher");
}

int nx_launcher_start(struct nx_launcher **out, const char *executable, struct nx_error *err) {
    struct nx_launcher *launcher = calloc(1, sizeof(*launcher));
    if (launcher == NULL) {
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    launcher->executable = executable != NULL ? strdup(executable) : find_executable();
    launcher->channel = -1;
    const int status =
        launcher->executable != NULL
            ? start(launcher, err)
            : nx_error_set(err, NX_E_IO,
                           "nexus-sandbox is neither beside nexus nor in libexec/nexus");
    if (status != 0) {
        nx_launcher_stop(launcher);
        return status;
    }
    *out = launcher;
    return 0;
}

// What is left of it when it does not answer as it should.
static int lose(struct nx_launcher *launcher, struct nx_error *err) {
    nx_fd_close(&launcher->channel);
    return nx_error_set(err, NX_E_CLOSED, "cannot start %s: the launcher is gone",
                        launcher->executable);
}

// 0 with the answer; NX_E_BUSY if it does not come in time, NX_E_CLOSED.
static int read_answer(struct nx_launcher *launcher, int wait_ms, struct nx_launched *launched,
                       int *pidfd) {
    struct pollfd fd = {.fd = launcher->channel, .events = POLLIN};
    int got;
    do {
        got = poll(&fd, 1, wait_ms);
    } while (got < 0 && errno == EINTR);
    launcher->owes = got == 0;
    if (got == 0) {
        return NX_E_BUSY;
    }
    if (nx_fd_recv(launcher->channel, launched, sizeof(*launched), pidfd) != sizeof(*launched)) {
        nx_fd_close(pidfd);
        return NX_E_CLOSED;
    }
    return 0;
}

// Takes an answer that came too late. The program's channel was closed meanwhile: it ends, if it
// has not.
static int settle_debt(struct nx_launcher *launcher) {
    struct nx_launched launched = {0};
    int pidfd = -1;
    if (!launcher->owes) {
        return 0;
    }
    const int status = read_answer(launcher, 0, &launched, &pidfd);
    if (status == 0 && launched.pid > 0) {
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        (void)waitpid(launched.pid, NULL, 0);
    }
    nx_fd_close(&pidfd);
    return status;
}

static int ask(struct nx_launcher *launcher, int channel, struct nx_launched *launched,
               int *pidfd) {
    const char request = 0;
    int status = launcher->channel >= 0 ? settle_debt(launcher) : NX_E_CLOSED;
    if (status == 0 && nx_fd_send(launcher->channel, &request, 1, channel) != 0) {
        status = NX_E_CLOSED;
    }
    return status == 0 ? read_answer(launcher, NX_LAUNCH_TIMEOUT_MS, launched, pidfd) : status;
}

static int explain(struct nx_launcher *launcher, const struct nx_launched *launched,
                   struct nx_error *err) {
    static const char *const itself[] = {
        [NX_LAUNCHER_ENDS_WITH_PARENT] = "cannot make sure to end with nexus",
        [NX_LAUNCHER_HIDES] = "cannot hide from other processes (PR_SET_DUMPABLE)",
        [NX_LAUNCHER_NO_NEW_PRIVS] = "cannot set no_new_privs",
        [NX_LAUNCHER_DESCRIPTORS] = "cannot arrange its descriptors",
    };
    const size_t step = (size_t)launched->step;
    if (step > 0 && step < sizeof(itself) / sizeof(itself[0])) {
        nx_fd_close(&launcher->channel);
        errno = launched->error;
        return nx_error_errno(err, "the launcher %s", itself[step]);
    }
    // The process exists, without the program or without its channel, and ends at once.
    if (launched->pid > 0) {
        (void)waitpid(launched->pid, NULL, 0);
    }
    return nx_error_set(err, NX_E_IO, "cannot start %s: %s", launcher->executable,
                        uv_strerror(-launched->error));
}

int nx_launcher_run(struct nx_launcher *launcher, int channel, pid_t *pid, int *pidfd,
                    struct nx_error *err) {
    struct nx_launched launched = {0};
    *pidfd = -1;
    const int status = ask(launcher, channel, &launched, pidfd);
    if (status == NX_E_BUSY) {
        return nx_error_set(err, NX_E_BUSY, "cannot start %s: the launcher did not answer in time",
                            launcher->executable);
    }
    if (status != 0) {
        return lose(launcher, err);
    }
    if (launched.error == 0 && *pidfd >= 0 && launched.pid > 0) {
        *pid = launched.pid;
        return 0;
    }
    if (*pidfd == NX_FD_LOST) {
        // It runs, and there is nothing to signal it with. Its program ends at the end of its
        // channel, and until then is waited for: the channel has to end here.
        (void)shutdown(channel, SHUT_RDWR);
        launched.error = EMFILE;
    }
    nx_fd_close(pidfd);
    return explain(launcher, &launched, err);
}

const char *nx_launcher_executable(const struct nx_launcher *launcher) {
    return launcher->executable;
}

void nx_launcher_stop(struct nx_launcher *launcher) {
    if (launcher == NULL) {
        return;
    }
    nx_fd_close(&launcher->channel); // it ends with its channel
    if (launcher->pid > 0) {
        (void)waitpid(launcher->pid, NULL, 0);
    }
    free(launcher->executable);
    free(launcher);
}
