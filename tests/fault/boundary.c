// SPDX-License-Identifier: Apache-2.0
// The guest's imports with a place before and one after each where the test may hold or kill the
// worker. Being in the program itself, they stand in for those of the library.
#include "fault.h"
#include "sandbox/trap.h"

static inline void enter_host(void) {
    nx_trap_enter_host();
    fault_boundary();
}

static inline void leave_host(void) {
    fault_boundary();
    nx_trap_leave_host();
}

#define nx_trap_enter_host enter_host
#define nx_trap_leave_host leave_host
#include "sandbox/engine_imports.c" // NOLINT(bugprone-suspicious-include)
