// SPDX-License-Identifier: Apache-2.0
// The controls: what an attack does in a worker that only pretends to lock itself in. Linked with
// --wrap in place of the functions that take away (CMakeLists.txt); all else is as in owned.c.
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "sandbox/lockdown.h"

uint32_t no_namespaces(void) __asm__("__wrap_nx_lockdown_namespaces");
int no_capability_loss(uint32_t *protections,
                       struct nx_error *err) __asm__("__wrap_nx_lockdown_capabilities");
int no_worker_lockdown(uint32_t *protections,
                       struct nx_error *err) __asm__("__wrap_nx_lockdown_worker");
int sealing_nothing(int fd, int command, ...) __asm__("__wrap_fcntl");
int true_fcntl(int fd, int command, ...) __asm__("__real_fcntl");

uint32_t no_namespaces(void) {
    return 0;
}

int no_capability_loss(uint32_t *protections, struct nx_error *err) {
    (void)err;
    *protections |= NX_PROTECT_NO_CAPABILITIES;
    return 0;
}

int no_worker_lockdown(uint32_t *protections, struct nx_error *err) {
    (void)err;
    *protections |= NX_PROTECT_REQUIRED;
    return prctl(PR_SET_DUMPABLE, 1);
}

// Images stay writable.
int sealing_nothing(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    const long value = va_arg(args, long);
    va_end(args);
    return command == F_ADD_SEALS ? 0 : true_fcntl(fd, command, value);
}
