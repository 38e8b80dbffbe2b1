// SPDX-License-Identifier: Apache-2.0
// nexus-sandbox: the zygote. Builds the images once, then forks a worker for every SPAWN frame.
//
// It was exec'ed by the kernel with an empty environment and no descriptors but its channel, stderr
// and /dev/null (seen to below), so neither it nor any worker ever held a secret. It stays
// single-threaded, which is what makes forking without exec safe.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/sched.h"
#include "guest_info.h"
#include "sandbox/exec.h"
#include "sandbox/lockdown.h"
#include "sandbox/wire.h"
#include "sandbox/worker.h"

extern char **environ;

static bool any_served;      // a worker has locked itself in
static uint32_t protections; // that the zygote has and its workers inherit

static int fail(const char *message) {
    struct nx_buf out;
    nx_buf_init(&out, 4096);
    const size_t start = nx_wire_begin(&out, NX_FRAME_FAILED, 0);
    nx_wire_put_bytes(&out, nx_span_str(message));
    if (nx_wire_end(&out, start) == 0) {
        nx_fd_write_all(NX_WIRE_ZYGOTE_FD, out.data, out.len);
    }
    nx_buf_free(&out);
    fprintf(stderr, "nexus-sandbox: %s\n", message);
    return 1;
}

// Reads one frame and the descriptor that came with it. 1, 0 at the end of the channel, or
// negative.
static int read_frame(struct nx_frame_header *header, char *payload, size_t cap, int *fd) {
    const ssize_t got = nx_fd_recv(NX_WIRE_ZYGOTE_FD, header, sizeof(*header), fd);
    if (got == 0) {
        return 0;
    }
    if (got != (ssize_t)sizeof(*header) || header->version != NX_WIRE_VERSION ||
        header->payload_bytes > cap) {
        return NX_E_PROTOCOL;
    }
    return nx_fd_read_all(NX_WIRE_ZYGOTE_FD, payload, header->payload_bytes) == 0 ? 1
                                                                                  : NX_E_PROTOCOL;
}

// That each worker makes before it serves.
static uint32_t spare_instances;

static int build_images(struct nx_error *err) {
    struct nx_frame_header header;
    char payload[64];
    int fd = -1;
    if (read_frame(&header, payload, sizeof(payload), &fd) != 1 || header.type != NX_FRAME_CONFIG ||
        fd >= 0) {
        return nx_error_set(err, NX_E_PROTOCOL, "no CONFIG frame");
    }
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, nx_span_of(payload, header.payload_bytes));
    struct nx_engine_config config = {.imports = &nx_host_imports};
    config.memory_limit_bytes = nx_wire_get_u32(&r);
    config.stack_limit_bytes = nx_wire_get_u32(&r);
    spare_instances = nx_wire_get_u32(&r);
    if (!nx_wire_reader_done(&r)) {
        return nx_error_set(err, NX_E_PROTOCOL, "malformed CONFIG frame");
    }
    return nx_engine_create(&config, err);
}

static int announce(void) {
    struct nx_buf out;
    nx_buf_init(&out, 4096);
    const size_t start = nx_wire_begin(&out, NX_FRAME_READY, 0);
    nx_wire_put_bytes(&out, nx_span_str(NX_GUEST_BUILD_ID));
    int status = nx_wire_end(&out, start);
    if (status == 0) {
        status = nx_fd_write_all(NX_WIRE_ZYGOTE_FD, out.data, out.len);
    }
    nx_buf_free(&out);
    return status;
}

// Workers say nothing on the error stream: owned ones could fill the operator's log. Sanitizers
// report there.
static int silence(void) {
#if defined(__SANITIZE_ADDRESS__)
    return 0;
#else
    return dup2(STDIN_FILENO, STDERR_FILENO) < 0 ? NX_E_IO : 0; // standard input is /dev/null
#endif
}

// What a new worker tells the zygote before it serves anyone.
struct report {
    uint32_t protections;
    struct nx_error error; // code 0: it is ready
};

// The child: becomes the worker on `channel`.
static _Noreturn void become_worker(int channel, int report_to, pid_t zygote) {
    struct report report = {.protections = protections};
    // A worker without its zygote has no one to reap it; the check after closes the race in which
    // the zygote died before the request took effect.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != zygote) {
        _exit(1);
    }
    // The zygote's channel would let the worker ask for more workers: the worker's takes its place,
    // before any guest runs.
    if (dup2(channel, NX_WIRE_WORKER_FD) < 0 || close(channel) != 0 || silence() != 0) {
        nx_error_errno(&report.error, "cannot arrange the worker's descriptors");
    } else {
        nx_worker_prepare(spare_instances, &report.protections, &report.error);
    }
    const bool told = nx_fd_write_all(report_to, &report, sizeof(report)) == 0;
    close(report_to);
    _exit(told && report.error.code == 0 ? nx_worker_main() : 1);
}

// Waits for what the worker says; 0: it is there. A worker that hangs before it is locked in would
// hold up all that come after: libseccomp, for one, may walk what it has freed without an end when
// it has no memory for a part of the program it puts together (_hsh_add in its gen_bpf.c, 2.5.4).
static int await_report(int from, pid_t worker, struct report *report) {
    struct pollfd there = {.fd = from, .events = POLLIN};
    const uint64_t until = nx_clock_monotonic_ns() + NX_WORKER_START_TIMEOUT_MS * 1000000ull;
    for (;;) {
        const uint64_t now = nx_clock_monotonic_ns();
        const int ready = now < until ? poll(&there, 1, (int)((until - now) / 1000000) + 1) : 0;
        if (ready > 0) {
            return nx_fd_read_all(from, report, sizeof(*report)); // one write, or the end
        }
        if (ready == 0) {
            break;
        }
    }
    // It has not ended, or there would be something to read: the number is still its own.
    kill(worker, SIGKILL);
    fputs("nexus-sandbox: a worker did not start in time\n", stderr);
    return NX_E_BUSY;
}

// Forks a worker and waits until it has locked itself in.
static pid_t start_worker(int channel, struct report *report) {
    int ends[2];
    const pid_t zygote = getpid();
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    const pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        become_worker(channel, ends[1], zygote);
    }
    close(ends[1]);
    const bool alive = pid > 0 && await_report(ends[0], pid, report) == 0;
    close(ends[0]);
    return alive ? pid : -1; // out of processes, or killed: neither is for ever
}

// Tells the kernel of a worker; without a descriptor that there is none this time.
static int announce_worker(pid_t pid, uint32_t in_force, int pidfd) {
    struct nx_buf out;
    nx_buf_init(&out, 4096);
    const size_t start = nx_wire_begin(&out, NX_FRAME_SPAWNED, 0);
    nx_wire_put_u32(&out, pidfd >= 0 ? (uint32_t)pid : 0);
    nx_wire_put_u32(&out, in_force);
    int status = nx_wire_end(&out, start);
    if (status == 0) {
        status = pidfd >= 0 ? nx_fd_send(NX_WIRE_ZYGOTE_FD, out.data, out.len, pidfd)
                            : nx_fd_write_all(NX_WIRE_ZYGOTE_FD, out.data, out.len);
    }
    nx_buf_free(&out);
    return status;
}

// Whether it is a worker of ours that has not ended. Its number is its own until it is reaped: that
// waits until the caller restores the signals blocked `before`.
static bool is_child(pid_t pid, sigset_t *before) {
    sigset_t children;
    siginfo_t ended = {0};
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, before);
    return waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0;
}

// Others go before the worker from now on. Nobody waits for it: it may be gone already.
static void lower(pid_t pid) {
    sigset_t before;
    if (is_child(pid, &before)) {
        nx_sched_stand_back(pid);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}

// The worker's pidfd; -1: there is none, or the worker has ended already.
static int get_hold(pid_t pid) {
    sigset_t before;
    const int pidfd = is_child(pid, &before) ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pidfd;
}

static int spawn(int channel, bool spare) {
    struct report report = {.protections = protections};
    const pid_t pid = start_worker(channel, &report);
    close(channel);
    if (report.error.code != 0 && !any_served) {
        fail(report.error.message);
        return NX_E_CLOSED;
    }
    // What one worker could do, another fails to do for want of memory or the like: it never
    // serves, but those that do need not end for it.
    if (report.error.code != 0) {
        fprintf(stderr, "nexus-sandbox: %s\n", report.error.message);
        return announce_worker(0, protections, -1);
    }
    any_served = any_served || pid > 0;
    if (spare && pid > 0) {
        lower(pid); // not earlier: until it has locked itself in, everybody waits for it
    }
    // A worker that the kernel gets no hold on ends by itself: its channel closes.
    NX_CLEANUP_FD int pidfd = pid > 0 ? get_hold(pid) : -1;
    return announce_worker(pid, report.protections, pidfd);
}

static void reap(int signal_number) {
    (void)signal_number;
    const int saved = errno;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    errno = saved;
}

// When memory runs out, the system is to end workers (and with equal claims the largest one) rather
// than the server. Raising one's own claim takes no privilege, but the file is root's as soon as
// the process is not dumpable. Optional: /health shows what the system made of it.
static void go_first(void) {
    static const char most[] = "1000"; // OOM_SCORE_ADJ_MAX
    NX_CLEANUP_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, most, sizeof(most) - 1);
    }
}

// What must hold before anything is built. The order is safe: no foreign code has run yet, and each
// step only takes away.
static int harden(struct nx_error *err) {
    static const struct {
        int option;
        unsigned long value;
        const char *name;
    } settings[] = {
        {PR_SET_PDEATHSIG, SIGKILL, "cannot make sure to end with nexus"},
        {PR_SET_DUMPABLE, 0, "cannot hide from other processes (PR_SET_DUMPABLE)"},
        {PR_SET_NO_NEW_PRIVS, 1, "cannot set no_new_privs"},
        {PR_SET_THP_DISABLE, 1, "cannot do without huge pages"},
    };
    const struct rlimit stack = {NX_WORKER_STACK_BYTES, NX_WORKER_STACK_BYTES};
    const struct rlimit no_core = {0, 0};
    const struct sigaction reaper = {.sa_handler = reap, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    if (environ != NULL && environ[0] != NULL) {
        return nx_error_set(err, NX_E_INVALID,
                            "started with an environment: nexus starts this "
                            "program, people do not");
    }
    go_first();
    if (close_range(NX_WIRE_ZYGOTE_FD + 1, ~0U, 0) != 0) {
        return nx_error_errno(err, "cannot close what was open");
    }
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (prctl(settings[i].option, settings[i].value, 0, 0, 0) != 0) {
            return nx_error_errno(err, "%s", settings[i].name);
        }
    }
    if (setrlimit(RLIMIT_STACK, &stack) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0 ||
        sigaction(SIGCHLD, &reaper, NULL) != 0) {
        return nx_error_errno(err, "cannot limit the stack and core dumps");
    }
    return 0;
}

int main(void) {
    struct nx_error err = {0};
    if (fcntl(NX_WIRE_ZYGOTE_FD, F_GETFD) < 0) {
        fputs("nexus-sandbox: started by nexus, not by hand\n", stderr);
        return 2;
    }
    if (harden(&err) != 0) {
        return fail(err.message);
    }
    protections |= nx_lockdown_namespaces();
    if (nx_lockdown_capabilities(&protections, &err) != 0 || build_images(&err) != 0) {
        return fail(err.message);
    }
    if (announce() != 0) {
        return 1;
    }
    for (;;) {
        struct nx_frame_header header;
        char payload[16];
        int channel = -1;
        const int status = read_frame(&header, payload, sizeof(payload), &channel);
        if (status <= 0) {
            return status == 0 ? 0 : 1; // the kernel is gone; the workers follow
        }
        if (header.type == NX_FRAME_LOWER && channel < 0) {
            lower((pid_t)header.id);
            continue;
        }
        const int spawned = header.type == NX_FRAME_SPAWN && channel >= 0
                                ? spawn(channel, header.id != 0)
                                : NX_E_PROTOCOL;
        if (spawned != 0) {
            return spawned == NX_E_CLOSED ? 1 : fail("cannot start a worker");
        }
    }
}
