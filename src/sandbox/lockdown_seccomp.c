// SPDX-License-Identifier: Apache-2.0
// The worker's system calls. Everything that is not listed ends the process, also every call of
// another ABI (x32, i386), which libseccomp's filters refuse by architecture.
#include <sys/mman.h>
#include <time.h>

#include "base/privileges.h"
#include "sandbox/filter.h"
#include "sandbox/lockdown.h"
#include "sandbox/pagescan.h"

#if defined(__x86_64__)
#include <asm/prctl.h>
#endif

// A sanitizer's run-time library makes calls of its own (and writes its report with them): there
// the filter is in place but lets through what it would kill for.
#define NX_OTHERWISE (NX_SANITIZED ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS)

static const struct nx_filter_rule rules[] = {
    // Frames come and go. The only socket is the channel; nothing else that is open can be written:
    // images are sealed, the page map is read-only, and what was the error stream is /dev/null.
    {SCMP_SYS(recvfrom), 0, {{0}}},
    {SCMP_SYS(write), 0, {{0}}},
    // Memory: slots are mapped, dropped and unmapped; the allocator grows. Never executable: there
    // is no code in a worker that was not in its program.
    {SCMP_SYS(mmap), 1, {{2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0}}},
    {SCMP_SYS(mprotect), 1, {{2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0}}},
    {SCMP_SYS(munmap), 0, {{0}}},
    {SCMP_SYS(mremap), 0, {{0}}},
    {SCMP_SYS(brk), 0, {{0}}},
    // Only what linear memory and the allocator ask for. Merging equal pages with those of other
    // processes, for one, would tell by the time of a write what those hold.
    {SCMP_SYS(madvise), 1, {{2, SCMP_CMP_EQ, MADV_DONTNEED, 0}}},
    {SCMP_SYS(madvise), 1, {{2, SCMP_CMP_EQ, MADV_NOHUGEPAGE, 0}}},
    // Which pages of a slot are private: asked of our own page map, the one file that is open.
    {SCMP_SYS(ioctl), 1, {{1, SCMP_CMP_EQ, NX_PAGEMAP_SCAN, 0}}},
    {SCMP_SYS(pread64), 0, {{0}}},
    // The fault count that tells whether the set of dirty pages is still complete.
    {SCMP_SYS(getrusage), 0, {{0}}},
    // Deadlines: arming the timer, leaving its handler, and going back to the default action of a
    // fault that is not the guest's.
    {SCMP_SYS(timer_settime), 0, {{0}}},
    {SCMP_SYS(rt_sigreturn), 0, {{0}}},
    {SCMP_SYS(rt_sigaction), 0, {{0}}},
    {SCMP_SYS(rt_sigprocmask), 0, {{0}}},
    // Clocks, on machines where they are not read without a call. Other clock numbers hold a
    // process's, and give how much processor time it has used, whosever it is.
    {SCMP_SYS(clock_gettime), 1, {{0, SCMP_CMP_EQ, CLOCK_MONOTONIC, 0}}},
    {SCMP_SYS(clock_gettime), 1, {{0, SCMP_CMP_EQ, CLOCK_REALTIME, 0}}},
    // Seeds of Math.random.
    {SCMP_SYS(getrandom), 0, {{0}}},
#if defined(__x86_64__)
    // The base of linear memory, on processors without an instruction for it.
    {SCMP_SYS(arch_prctl), 1, {{0, SCMP_CMP_EQ, ARCH_SET_GS, 0}}},
#endif
    // The end.
    {SCMP_SYS(close), 0, {{0}}},
    {SCMP_SYS(exit_group), 0, {{0}}},
    {SCMP_SYS(exit), 0, {{0}}},
};

int nx_lockdown_seccomp(struct nx_error *err) {
    scmp_filter_ctx filter;
    int status = nx_filter_begin(&filter, NX_OTHERWISE, err);
    if (status != 0) {
        return status;
    }
    status = nx_filter_add(filter, SCMP_ACT_ALLOW, rules, sizeof(rules) / sizeof(rules[0]), err);
    if (status != 0) {
        seccomp_release(filter);
        return status;
    }
    return nx_filter_load(filter, err);
}
