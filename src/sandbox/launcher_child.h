// SPDX-License-Identifier: Apache-2.0
// The launcher's own process; see launcher.h.
#ifndef NX_SANDBOX_LAUNCHER_CHILD_H
#define NX_SANDBOX_LAUNCHER_CHILD_H

#include <stdint.h>
#include <sys/types.h>

// What it could not do.
enum nx_launcher_step {
    NX_LAUNCHER_STARTS_PROGRAM, // else it was about itself, and it has ended
    NX_LAUNCHER_ENDS_WITH_PARENT,
    NX_LAUNCHER_HIDES,
    NX_LAUNCHER_NO_NEW_PRIVS,
    NX_LAUNCHER_DESCRIPTORS,
};

// Its answer to a request, which is one byte and the zygote's end of a channel. The pidfd comes
// along if `error` is 0.
struct nx_launched {
    int32_t error; // an errno: the program does not run
    int32_t pid;   // 0: there is no process
    int32_t step;  // an nx_launcher_step: where the error was
};

// Serves requests until `channel` closes. `parent` forked it. Nothing here allocates: the process
// it was forked from may have been anything.
_Noreturn void nx_launcher_child(char *executable, int channel, pid_t parent);

#endif
