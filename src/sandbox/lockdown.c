// SPDX-License-Identifier: Apache-2.0
// Taking away; see lockdown.h.
#include "sandbox/lockdown.h"

#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/landlock.h"
#include "base/privileges.h"

uint32_t nx_lockdown_namespaces(void) {
    // The user namespace comes with the others in one call: it is what permits them to an ordinary
    // user. No ids are mapped into it, so that even its root would be nobody outside. A PID
    // namespace is left out: no call that the workers' filter lets through takes the number of a
    // process, be it to signal it (kill, tgkill, rt_sigqueueinfo), to look into it (ptrace,
    // process_vm_readv, pidfd_open) or to read its clock (clock_gettime, whose argument is
    // checked).
    const int all =
        CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNS;
    return unshare(all) == 0 ? NX_PROTECT_NAMESPACES : 0;
}

// Every right the running kernel knows, and no rule that allows one. Optional. AddressSanitizer
// reads /proc/self/maps each time a trap leaves the signal stack, and aborts if it cannot: in its
// builds the workers may open files, as far as their (logging) filter goes.
static uint32_t restrict_files(void) {
    struct nx_landlock landlock;
    if (NX_SANITIZED || nx_landlock_begin(&landlock, NX_LANDLOCK_BIND | NX_LANDLOCK_CONNECT,
                                          NX_LANDLOCK_SOCKETS | NX_LANDLOCK_SIGNALS, NULL) != 0) {
        return 0;
    }
    return nx_landlock_enter(&landlock, NULL) == 0 ? NX_PROTECT_LANDLOCK : 0;
}

int nx_lockdown_capabilities(uint32_t *protections, struct nx_error *err) {
    const int status = nx_privileges_drop(err);
    *protections |= status == 0 ? NX_PROTECT_NO_CAPABILITIES : 0;
    return status;
}

// Belt and braces: what the filter forbids has no quota either. Lowering is always permitted.
static int drop_quotas(struct nx_error *err) {
    static const __rlimit_resource_t none[] = {RLIMIT_NOFILE,  RLIMIT_NPROC, RLIMIT_FSIZE,
                                               RLIMIT_MEMLOCK, RLIMIT_CORE,  RLIMIT_MSGQUEUE};
    const struct rlimit zero = {0, 0};
    for (size_t i = NX_SANITIZED; i < sizeof(none) / sizeof(none[0]); i++) { // without the first
        if (setrlimit(none[i], &zero) != 0) {
            return nx_error_errno(err, "cannot lower a resource limit");
        }
    }
    return 0;
}

// The order, and why it is safe: no guest has run yet, each step only takes away, and none needs
// what an earlier one took.
//   1. no_new_privs and the loss of capabilities are inherited from the zygote. Landlock and
//      seccomp need the first; with the second, the page map that the worker opened before this
//      hides where in the machine's memory its pages are, whatever user it runs as.
//   2. Landlock needs a descriptor for its rules, so it comes before the quota of descriptors.
//   3. Quotas need no privilege to lower.
//   4. The filter last: it forbids the calls of all the steps before.
int nx_lockdown_worker(uint32_t *protections, struct nx_error *err) {
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
        return nx_error_set(err, NX_E_IO, "no_new_privs is not in force");
    }
    if (nx_privileges_held()) {
        return nx_error_set(err, NX_E_IO, "a capability is still held");
    }
    *protections |= NX_PROTECT_NO_NEW_PRIVS | restrict_files();
    int status = drop_quotas(err);
    if (status == 0) {
        status = nx_lockdown_seccomp(err);
    }
    if (status == 0) {
        *protections |= NX_PROTECT_SECCOMP;
    }
    return status;
}
