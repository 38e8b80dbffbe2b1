// SPDX-License-Identifier: Apache-2.0
// Seccomp filters from tables of rules, for workers and for the kernel.
#ifndef NX_SANDBOX_FILTER_H
#define NX_SANDBOX_FILTER_H

#include <seccomp.h>
#include <stddef.h>

#include "base/error.h"

struct nx_filter_rule {
    int call; // SCMP_SYS(name); one that the architecture lacks is no rule
    unsigned count;
    struct scmp_arg_cmp args[2];
};

// Begins a filter that answers calls without a rule with `otherwise`, and ends the process for
// every call of another ABI (on x86-64: x32, i386). Ended by nx_filter_load or seccomp_release.
// NX_E_IO.
int nx_filter_begin(scmp_filter_ctx *out, uint32_t otherwise, struct nx_error *err);

// Answers the calls of `rules` with `action`. NX_E_IO.
int nx_filter_add(scmp_filter_ctx filter, uint32_t action, const struct nx_filter_rule *rules,
                  size_t count, struct nx_error *err);

// Puts the filter in force for the calling thread and what it starts, behind those that are, and
// releases it. Of the answers of all filters the strictest counts. Needs no_new_privs. NX_E_IO.
int nx_filter_load(scmp_filter_ctx filter, struct nx_error *err);

#endif
