// SPDX-License-Identifier: Apache-2.0
// Preloaded into the server by tests of its long time limits: once the file that NX_FAST_CLOCK
// names exists, its monotonic clocks run 40 times as fast. Until then, and for everything else,
// time is what it is.
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPEED = 40, NS = 1000000000 };

static int64_t since_ns; // when it began to run fast; 0: it does not

int clock_gettime(clockid_t id, struct timespec *out) {
    int rc = (int)syscall(SYS_clock_gettime, id, out);
    if (rc || (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE))
        return rc;
    int64_t now = (int64_t)out->tv_sec * NS + out->tv_nsec;
    const char *file = getenv("NX_FAST_CLOCK");
    if (!since_ns && file && access(file, F_OK) == 0)
        since_ns = now;
    if (since_ns && now > since_ns)
        now = since_ns + (now - since_ns) * SPEED;
    out->tv_sec = (time_t)(now / NS);
    out->tv_nsec = now % NS;
    return 0;
}
