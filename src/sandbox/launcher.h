// SPDX-License-Identifier: Apache-2.0
// A small process beside the kernel whose one ability is to start nexus-sandbox. With it the kernel
// can give up starting programs altogether, and still replace a zygote that died.
//
// Why not let the locked kernel exec nexus-sandbox itself: filters and Landlock domains are
// inherited, so the kernel's would have to allow all that zygote and workers need to set themselves
// up (namespaces, executable mappings for the dynamic linker, more filters). What the kernel gave
// up would be what nobody needs anyway. See docs/adr/0015-kernel-lockdown.md.
//
// What somebody who owns the kernel gets from it: a new zygote on a channel of their choice, in the
// place of the one before. It takes no path, no argument, no environment.
#ifndef NX_SANDBOX_LAUNCHER_H
#define NX_SANDBOX_LAUNCHER_H

#include <sys/types.h>

#include "base/error.h"

struct nx_launcher;

// Forks it, for `executable` (NULL: nexus-sandbox beside this program, or in ../libexec/nexus). To
// be called before the process has read a secret, while it is single-threaded. The launcher has no
// environment and no descriptors but its channel, standard error and /dev/null, and ends with this
// process. Freed by nx_launcher_stop. Errors: NX_E_IO, NX_E_NOMEM.
int nx_launcher_start(struct nx_launcher **out, const char *executable, struct nx_error *err);

// Runs the program with an empty environment and `channel` (borrowed) as its descriptor
// NX_WIRE_ZYGOTE_FD. It becomes a child of this process, to be reaped by it. A program started
// before is killed. Blocks until it was exec'ed, at most NX_LAUNCH_TIMEOUT_MS. *pidfd is the
// caller's. Errors: NX_E_IO with the reason; NX_E_BUSY if it takes longer, and until it is done;
// NX_E_CLOSED if the launcher is gone.
int nx_launcher_run(struct nx_launcher *launcher, int channel, pid_t *pid, int *pidfd,
                    struct nx_error *err);

// The program's path.
const char *nx_launcher_executable(const struct nx_launcher *launcher);

// Ends the launcher, not what it started, and reaps it. NULL is fine.
void nx_launcher_stop(struct nx_launcher *launcher);

#endif
