// SPDX-License-Identifier: Apache-2.0
// Taking away; see lockdown.h.
#include "sandbox/lockdown.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

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

// AddressSanitizer reads /proc/self/maps each time a trap leaves the signal stack, and aborts if it
// cannot: in its builds the workers may open files, as far as their (logging) filter goes.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NX_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define NX_SANITIZED 1
#endif
#if !defined(NX_SANITIZED)
#define NX_SANITIZED 0
#endif

// ---- Landlock
// ----------------------------------------------------------------------------------

// From <linux/landlock.h> of Linux 6.12; the headers of Debian 12 are older than that.
struct landlock_attributes {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
enum { LANDLOCK_VERSION_FLAG = 1, NET_BIND_AND_CONNECT = 3, SCOPE_SOCKETS_AND_SIGNALS = 3 };

// How many rights to files each version of the interface knows; they are bits from 0 on.
static unsigned file_rights(long version) {
    return version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
}

// Handles every right the running kernel knows and allows none of them. Optional.
static uint32_t restrict_files(void) {
    const long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_FLAG);
    if (version < 1 || NX_SANITIZED) {
        return 0;
    }
    const struct landlock_attributes attributes = {
        .handled_access_fs = (1ULL << file_rights(version)) - 1,
        .handled_access_net = version >= 4 ? NET_BIND_AND_CONNECT : 0,
        .scoped = version >= 6 ? SCOPE_SOCKETS_AND_SIGNALS : 0,
    };
    const long ruleset = syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (ruleset < 0) {
        return 0;
    }
    const long status = syscall(SYS_landlock_restrict_self, ruleset, 0);
    close((int)ruleset);
    return status == 0 ? NX_PROTECT_LANDLOCK : 0;
}

// ---- capabilities, limits
// -----------------------------------------------------------------------

static bool holds_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets) != 0) {
        return true;
    }
    return (sets[0].permitted | sets[1].permitted | sets[0].effective | sets[1].effective |
            sets[0].inheritable | sets[1].inheritable) != 0;
}

// First the bounding set, for which CAP_SETPCAP is needed, then all that is held. Without
// capabilities the first part fails, and is not needed: with no_new_privs nothing can be gained.
int nx_lockdown_capabilities(uint32_t *protections, struct nx_error *err) {
    for (unsigned long capability = 0; capability < 64; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            break;
        }
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    if (syscall(SYS_capset, &header, none) != 0 || holds_capabilities()) {
        return nx_error_errno(err, "cannot drop the capabilities");
    }
    *protections |= NX_PROTECT_NO_CAPABILITIES;
    return 0;
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
    if (holds_capabilities()) {
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
