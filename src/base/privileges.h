// SPDX-License-Identifier: Apache-2.0
// The privileges of this process that Linux counts as capabilities, and whether an instrumented
// build needs exceptions.
#ifndef NX_BASE_PRIVILEGES_H
#define NX_BASE_PRIVILEGES_H

#include <stdbool.h>

#include "base/error.h"

// The run-time library of AddressSanitizer opens files in /proc, maps memory and reports as it
// pleases: what locks a process in has to leave it that.
#if defined(__SANITIZE_ADDRESS__)
#define NX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NX_SANITIZED 1
#else
#define NX_SANITIZED 0
#endif
#else
#define NX_SANITIZED 0
#endif

// Whether any capability is in the process's permitted, effective or inheritable set; also true if
// that cannot be found out.
bool nx_privileges_held(void);

// Gives up every capability for good, held or (bounding set) to be had. NX_E_IO.
int nx_privileges_drop(struct nx_error *err);

#endif
