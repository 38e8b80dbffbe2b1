// SPDX-License-Identifier: Apache-2.0
// Preloaded into the server by tests of its long time limits: from SIGUSR2 on, its monotonic clocks
// run 40 times as fast. Until then, and for everything else, time is what it is.
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPEED = 40, NS = 1000000000 };

static volatile sig_atomic_t fast;
static int64_t since_ns; // when it began to run fast; 0: it does not

static void on_signal(int signum) {
    (void)signum;
    fast = 1;
}

__attribute__((constructor)) static void await_signal(void) {
    signal(SIGUSR2, on_signal);
}

int clock_gettime(clockid_t id, struct timespec *out) {
    int rc = (int)syscall(SYS_clock_gettime, id, out);
    if (rc || (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE))
        return rc;
    int64_t now = (int64_t)out->tv_sec * NS + out->tv_nsec;
    if (!since_ns && fast)
        since_ns = now;
    if (since_ns && now > since_ns)
        now = since_ns + (now - since_ns) * SPEED;
    out->tv_sec = (time_t)(now / NS);
    out->tv_nsec = now % NS;
    return 0;
}
