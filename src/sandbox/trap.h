// SPDX-License-Identifier: Apache-2.0
// Stopping guest code from outside: faults and deadlines. One per process.
#ifndef NX_SANDBOX_TRAP_H
#define NX_SANDBOX_TRAP_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/engine.h"

// The state that signal handlers share with the code they interrupt. Only engine_wasm2c.c and
// trap.c touch it.
struct nx_trap_state {
    sigjmp_buf unwind;               // where a trap leads; valid while a guest call is on the stack
    volatile sig_atomic_t in_guest;  // guest code runs: nothing of ours is half done
    volatile sig_atomic_t pending;   // the hard deadline passed during a host call
    volatile sig_atomic_t unwinding; // a trap was raised, and is on its way
    uint8_t *volatile memory;        // linear memory of the running instance …
    volatile size_t memory_reserved; // … and its reservation, for telling whose fault a fault is
    volatile uint32_t *volatile interrupt_flag;
    uintptr_t stack_floor; // below this address of the native stack no host call may begin
};
extern struct nx_trap_state nx_trap_state;

// Installs the handlers of SIGSEGV, SIGBUS, SIGFPE and SIGALRM on a stack of their own, and the
// timer.
int nx_trap_attach(struct nx_error *err);

// Leaves the guest; the running nx_instance_call returns `trap`. Only from guest code or at the
// edge of a host call: frames in between are dropped without clean-up.
_Noreturn void nx_trap_raise(enum nx_trap trap);

// A host call begins and ends. Between the two, deadlines only leave a note.
static inline void nx_trap_enter_host(void) {
    // First, for at the very end of the stack even raising the trap may fault.
    if ((uintptr_t)__builtin_frame_address(0) < nx_trap_state.stack_floor) {
        nx_trap_raise(NX_TRAP_STACK);
    }
    nx_trap_state.in_guest = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void nx_trap_leave_host(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    // First open the door, then look: a signal before this line leaves a note, one after it
    // unwinds.
    nx_trap_state.in_guest = 1;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (nx_trap_state.pending) {
        nx_trap_raise(NX_TRAP_DEADLINE);
    }
}

#endif
