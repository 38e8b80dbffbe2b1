// SPDX-License-Identifier: Apache-2.0
// What the server's own process gives up: before it reads a byte from a client or a panel it loses
// all that serving them does not take. The threat is code of an attacker's choice in this process,
// by a hole in what parses requests, frames or answers.
//
// Two steps, because some of what is given up is needed in between:
//
//   begin   before the event loop exists: what the server never does. No program is started, no
//           other process looked into, nothing mounted, no privilege gained.
//   enter   when addresses are bound and the sandbox runs: a list of system calls, of files, of
//           capabilities; the rest is gone.
//
// The launcher (sandbox/launcher.h) is forked before both, so that the zygote inherits neither: it
// and its workers have a lockdown of their own, which needs calls that are forbidden here.
#ifndef NX_KERNEL_LOCKDOWN_H
#define NX_KERNEL_LOCKDOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

// KERNEL_LOCKDOWN
enum nx_lockdown_mode {
    NX_LOCKDOWN_ON,     // required: all but Landlock, which takes part where the system has it
    NX_LOCKDOWN_STRICT, // Landlock too
    NX_LOCKDOWN_OFF,    // not even what is required; the operator's word
};

// What the process still needs. Paths are borrowed, NULL where there is none.
struct nx_lockdown_needs {
    const char *panels_dir; // read
    const char *reread[4];  // files read again at SIGHUP: policy, keys, log level
    const char *cache_dir;  // read and written
    bool http_client;       // the http extension: sockets to the outside, names, certificates
    const char *ca_file;    // of it, read again
    bool strict;            // without Landlock: an error
};

// First step. Not for a process that has to be debugged. Errors: NX_E_IO with what is missing.
int nx_lockdown_begin(struct nx_error *err);

// Second step, while the process has one thread. *in_force: bits of enum nx_protection
// (sandbox/lockdown.h). Errors: NX_E_IO with what is missing, and the process must not serve.
int nx_lockdown_enter(const struct nx_lockdown_needs *needs, uint32_t *in_force,
                      struct nx_error *err);

// lockdown_calls.c: the two filters.
int nx_lockdown_never(struct nx_error *err);
int nx_lockdown_calls(const struct nx_lockdown_needs *needs, struct nx_error *err);

// lockdown_files.c: the Landlock rules. NX_E_NOTFOUND if the system has none.
int nx_lockdown_files(const struct nx_lockdown_needs *needs, struct nx_error *err);

#endif
