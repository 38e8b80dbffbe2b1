// SPDX-License-Identifier: Apache-2.0
// What the tests and the programs under test share: a file beside the program, mapped by both. The
// test says in it which of the next calls is to fail, and reads what happened. `control.py` knows
// this layout.
#ifndef NX_TEST_FAULT_H
#define NX_TEST_FAULT_H

#include <stdint.h>

// In whom. A worker is a zygote that was forked.
enum fault_role { FAULT_NOBODY, FAULT_KERNEL, FAULT_ZYGOTE, FAULT_WORKER };

enum fault_kind {
    FAULT_NONE,
    FAULT_ALLOC, // an allocation gives NULL
    FAULT_CALL,  // a system call fails, with the error that it most likely has
    FAULT_EINTR, // one that may be interrupted is
    FAULT_SHORT, // a transfer moves one byte
    FAULT_DIE,   // the process is killed as it calls or comes to a boundary
    FAULT_HOLD,  // a worker comes to a boundary of a host call, and waits there
    FAULT_STOP,  // the process stops as it makes a system call, for ever
};

struct fault_control {
    uint32_t role, kind;
    uint64_t at;      // the first call that fails, from 1; 0: none, they are only counted
    uint64_t times;   // how many fail in a row
    uint64_t seen;    // calls so far that could have failed
    uint64_t failed;  // those that did
    uint64_t held;    // a worker waits; the test sets it to 0 to let it go on
    int64_t clock_ms; // added to what the clock of the wall says
    char where[512];  // who called: module+offset, innermost first
};

// Counts one call of the kind; true: it is to fail.
int fault_now(enum fault_kind kind);
// A boundary of a host call, before or after it.
void fault_boundary(void);

#define FAULT_FILE "fault.control"

#endif
