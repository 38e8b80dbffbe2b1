// SPDX-License-Identifier: Apache-2.0
// Seccomp filters; see filter.h.
#include "sandbox/filter.h"

#include <errno.h>

static int explain(int status, struct nx_error *err) {
    if (status == -EINVAL) { // of our tables only what the system does not know is invalid
        return nx_error_set(err, NX_E_IO,
                            "cannot make a seccomp filter: the system refuses seccomp(2)");
    }
    errno = -status;
    return nx_error_errno(err, "cannot install the seccomp filter");
}

int nx_filter_begin(scmp_filter_ctx *out, uint32_t otherwise, struct nx_error *err) {
    scmp_filter_ctx filter = seccomp_init(otherwise);
    if (filter == NULL) {
        // libseccomp first asks the system what it can do, and does not say why it got no answer.
        return explain(-EINVAL, err);
    }
    // A binary tree keeps the few calls of the hot path from paying for the length of the list.
    int status = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (status == 0) {
        status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    }
    if (status != 0) {
        seccomp_release(filter);
        return explain(status, err);
    }
    *out = filter;
    return 0;
}

int nx_filter_add(scmp_filter_ctx filter, uint32_t action, const struct nx_filter_rule *rules,
                  size_t count, struct nx_error *err) {
    for (size_t i = 0; i < count; i++) {
        const int status =
            seccomp_rule_add_array(filter, action, rules[i].call, rules[i].count, rules[i].args);
        if (status != 0) {
            return explain(status, err);
        }
    }
    return 0;
}

int nx_filter_load(scmp_filter_ctx filter, struct nx_error *err) {
    int status = seccomp_load(filter);
    status = status == -ECANCELED ? -errno : status; // the system's answer, in place of "failed"
    seccomp_release(filter);
    return status == 0 ? 0 : explain(status, err);
}
