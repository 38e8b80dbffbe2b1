// SPDX-License-Identifier: Apache-2.0
// Capabilities, by the system calls: all that is needed is to have none.
#include "base/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

bool nx_privileges_held(void) {
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
int nx_privileges_drop(struct nx_error *err) {
    for (unsigned long capability = 0; capability < 64; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            break;
        }
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    if (syscall(SYS_capset, &header, none) != 0 || nx_privileges_held()) {
        return nx_error_errno(err, "cannot drop the capabilities");
    }
    return 0;
}
