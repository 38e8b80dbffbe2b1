// SPDX-License-Identifier: Apache-2.0
// Preloaded into the server by tests of its long time limits: from SIGUSR2 on, its monotonic clocks
// run 40 times as fast, until it comes again. Before and after, and for everything else, time is
// what it is: a handler's few seconds would be over before a busy machine got to it.
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPEED = 40, NS = 1000000000 };

// When they began to run fast, and when that was over; 0: not yet. Each is written once.
static _Atomic int64_t since_ns;
static _Atomic int64_t until_ns;

static void on_signal(int signum) {
    (void)signum;
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    *(since_ns == 0 ? &since_ns : &until_ns) = (int64_t)now.tv_sec * NS + now.tv_nsec;
}

__attribute__((constructor)) static void await_signal(void) {
    signal(SIGUSR2, on_signal);
}

int clock_gettime(clockid_t id, struct timespec *out) {
    int rc = (int)syscall(SYS_clock_gettime, id, out);
    if (rc || (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE))
        return rc;
    int64_t now = (int64_t)out->tv_sec * NS + out->tv_nsec;
    const int64_t since = since_ns, until = until_ns;
    const int64_t end = until != 0 && until < now ? until : now;
    if (since != 0 && end > since)
        now += (end - since) * (SPEED - 1);
    out->tv_sec = (time_t)(now / NS);
    out->tv_nsec = now % NS;
    return 0;
}
