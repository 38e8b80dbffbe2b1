// SPDX-License-Identifier: Apache-2.0
// Requests to the system's scheduler; see sched.h.
#include "base/sched.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"

// The first version of the structure of sched_setattr(2); C libraries lack it, or have a later one.
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

static void set(pid_t pid, uint32_t policy, int32_t nice, uint64_t slice_ns) {
    const struct attributes wanted = {
        .size = sizeof(wanted), .policy = policy, .nice = nice, .runtime_ns = slice_ns};
    (void)syscall(SYS_sched_setattr, pid, &wanted, 0);
}

void nx_sched_answer_soon(void) {
    // Whatever priority the operator gave this process stays.
    set(0, SCHED_OTHER, getpriority(PRIO_PROCESS, 0), NX_SHORT_SLICE_NS);
}

void nx_sched_stand_back(pid_t pid) {
    const int nice = getpriority(PRIO_PROCESS, (id_t)pid) + NX_HEAVY_NICE;
    set(pid, SCHED_BATCH, nice < 19 ? nice : 19, 0);
}
