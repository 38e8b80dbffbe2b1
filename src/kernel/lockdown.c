// SPDX-License-Identifier: Apache-2.0
// The order of giving up; see lockdown.h.
#include "kernel/lockdown.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "base/privileges.h"
#include "sandbox/lockdown.h"

// The order, and why it is safe: nothing from outside has been read, and no step needs what an
// earlier one took.
//   1. no_new_privs first: filters and Landlock need it, and from then on an exec gains nothing.
//   2. Not dumpable: nobody but root may trace this process or read its memory, and a crash leaves
//      no core with keys in it. Sanitizers trace their own process when it ends.
//   3. The filter last: it forbids what is never needed, this included.
int nx_lockdown_begin(struct nx_error *err) {
    const struct rlimit no_core = {0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return nx_error_errno(err, "cannot set no_new_privs");
    }
    if ((!NX_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) ||
        setrlimit(RLIMIT_CORE, &no_core) != 0) {
        return nx_error_errno(err, "cannot hide from other processes (PR_SET_DUMPABLE)");
    }
    return nx_lockdown_never(err);
}

// Landlock and capabilities hold for the calling thread only: any other would go on without.
static int check_single_threaded(struct nx_error *err) {
    struct nx_buf text;
    int status = nx_fd_read_file("/proc/self/status", 65536, &text, err);
    if (status == 0) {
        static const char name[] = "\nThreads:\t";
        const char *line = strstr(text.data, name);
        const long threads = line != NULL ? strtol(line + sizeof(name) - 1, NULL, 10) : 0;
        if (threads != 1) {
            status = nx_error_set(err, NX_E_IO, "cannot lock down: %ld threads run", threads);
        }
    }
    nx_buf_free(&text);
    return status;
}

// The order, and why it is safe: the loop has not run, so nothing hostile was read yet.
//   1. One thread: seen first, while /proc can be read as a whole.
//   2. Capabilities: ports below 1024 are bound by now. Before the files are judged, so that root
//      without them meets here what it could not open later.
//   3. Landlock opens the paths of its rules, which is a use of the calls that go last.
//   4. The filter: forbids every step before, and all that is not on its list.
int nx_lockdown_enter(const struct nx_lockdown_needs *needs, uint32_t *in_force,
                      struct nx_error *err) {
    *in_force = 0;
    int status = NX_SANITIZED ? 0 : check_single_threaded(err);
    if (status == 0) {
        status = nx_privileges_drop(err);
    }
    if (status != 0) {
        return status;
    }
    *in_force |= NX_PROTECT_NO_NEW_PRIVS | NX_PROTECT_NO_CAPABILITIES;
    status = nx_lockdown_files(needs, err);
    if (status == 0) {
        *in_force |= NX_PROTECT_LANDLOCK;
    } else if (needs->strict || status != NX_E_NOTFOUND) {
        return nx_error_wrap(err, "KERNEL_LOCKDOWN");
    }
    status = nx_lockdown_calls(needs, err);
    *in_force |= status == 0 ? NX_PROTECT_SECCOMP : 0;
    return status;
}
