// SPDX-License-Identifier: Apache-2.0
// The second wall: what a worker's process may ask of the operating system, once it has opened all
// it needs. Holds when the first wall, the WebAssembly sandbox, does not: the threat is native code
// of an attacker's choice in the worker.
#ifndef NX_SANDBOX_LOCKDOWN_H
#define NX_SANDBOX_LOCKDOWN_H

#include <stdint.h>

#include "base/error.h"

// What is in force, as bits. The first three are required; the others depend on the host.
enum nx_protection {
    NX_PROTECT_NO_NEW_PRIVS = 1 << 0,
    NX_PROTECT_SECCOMP = 1 << 1,
    NX_PROTECT_NO_CAPABILITIES = 1 << 2,
    NX_PROTECT_LANDLOCK = 1 << 3,
    NX_PROTECT_NAMESPACES = 1 << 4, // user, network, IPC, UTS, cgroup and mount namespaces
};
enum {
    NX_PROTECT_REQUIRED = NX_PROTECT_NO_NEW_PRIVS | NX_PROTECT_SECCOMP | NX_PROTECT_NO_CAPABILITIES,
};

// Namespaces of the zygote's own, which its workers share: a network without interfaces, no IPC
// with anyone. Optional: gives NX_PROTECT_NAMESPACES, or 0 where the host does not permit them.
// Only while single-threaded.
uint32_t nx_lockdown_namespaces(void);

// Gives up every capability for good, held or to be had. Of the zygote, so that nothing a worker
// does or opens while it starts is privileged. After the namespaces: making them gives capabilities
// within them. `*protections` gains NX_PROTECT_NO_CAPABILITIES. Errors: NX_E_IO.
int nx_lockdown_capabilities(uint32_t *protections, struct nx_error *err);

// Takes everything else from the calling worker, for good, in an order that lockdown.c explains.
// The descriptors it needs must be open. `*protections` gains what is in force. Errors: NX_E_IO, if
// something required cannot be put in place: the worker must not run.
int nx_lockdown_worker(uint32_t *protections, struct nx_error *err);

// lockdown_seccomp.c: installs the filter. 0, or NX_E_IO.
int nx_lockdown_seccomp(struct nx_error *err);

#endif
