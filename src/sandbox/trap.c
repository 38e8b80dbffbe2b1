// SPDX-License-Identifier: Apache-2.0
// Signal handlers that end or interrupt guest code.
//
// Faults. A SIGSEGV is the guest's only if guest code runs, the interrupted program counter lies in
// the section that holds all guest code and nothing else, and the address is inside the running
// instance's reservation (out of bounds) or next to the stack pointer (stack overflow). One at the
// end of the stack is also the guest's in what it calls, as long as no host call is at work there.
// Everything else is a bug of ours: the default action is put back and the instruction runs into it
// again.
//
// Deadlines. The timer fires when the segment has become slow, which the worker wants to know; at
// the soft deadline, where the guest is asked to stop; and at the hard one, where it is stopped. It
// is armed lazily: a segment that ends early leaves it
// running, and the handler finds that there is nothing to do or arms it for the present segment.
#include "sandbox/trap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include "base/clock.h"
#include "base/limits.h"

struct nx_trap_state nx_trap_state;

static timer_t timer;
static void (*on_slow)(void);
static volatile uint64_t slow_deadline_ns;                   // 0: none, or passed
static volatile uint64_t soft_deadline_ns, hard_deadline_ns; // 0: none
static volatile uint64_t armed_for_ns;                       // 0: the timer is not running

// The bounds of the section that guest code is compiled into, made by the linker.
extern const char __start_nx_guest_text[], __stop_nx_guest_text[];

enum { SIGNAL_STACK_BYTES = 64 * 1024 };

// AddressSanitizer takes a lock before it lets a function that does not return be called. In what
// raises traps it does so in siglongjmp alone, when it is noted that one is on its way: another one
// in between would wait for that lock for ever.
#define NO_CHECK_BEFORE_JUMPS __attribute__((no_sanitize_address))

// Until the jump is done, this still counts as the guest's: a fault on the way only jumps anew. A
// deadline does not, as the guest is being stopped.
NO_CHECK_BEFORE_JUMPS _Noreturn void nx_trap_raise(enum nx_trap trap) {
    nx_trap_state.unwinding = 1;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    siglongjmp(nx_trap_state.unwind, (int)trap);
}

#if defined(__x86_64__)
static uintptr_t context_pc(const ucontext_t *c) {
    return (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
}
static uintptr_t context_sp(const ucontext_t *c) {
    return (uintptr_t)c->uc_mcontext.gregs[REG_RSP];
}
#elif defined(__aarch64__)
static uintptr_t context_pc(const ucontext_t *c) {
    return (uintptr_t)c->uc_mcontext.pc;
}
static uintptr_t context_sp(const ucontext_t *c) {
    return (uintptr_t)c->uc_mcontext.sp;
}
#else
#error "telling guest faults from host faults needs the registers of this architecture"
#endif

// Whether the native stack has come to its end there.
static bool at_stack_end(uintptr_t address) {
    const uintptr_t distance = 64 * 1024;
    const uintptr_t lowest = nx_trap_state.stack_floor - NX_HOST_STACK_RESERVE_BYTES;
    return address - (lowest - distance) < 2 * distance;
}

NO_CHECK_BEFORE_JUMPS static void on_fault(int signal_number, siginfo_t *info, void *context) {
    const uintptr_t pc = context_pc(context);
    const bool guest_code = nx_trap_state.in_guest && pc >= (uintptr_t)__start_nx_guest_text &&
                            pc < (uintptr_t)__stop_nx_guest_text;
    if (guest_code && signal_number == SIGFPE) {
        nx_trap_raise(NX_TRAP_ARITHMETIC);
    }
    if (guest_code && info->si_code > 0) { // from the kernel, not from kill()
        const uintptr_t address = (uintptr_t)info->si_addr;
        const uintptr_t memory = (uintptr_t)nx_trap_state.memory;
        if (address - memory < nx_trap_state.memory_reserved) {
            nx_trap_raise(NX_TRAP_MEMORY);
        }
        // With stack probes a frame touches its pages in order, so the fault is near the pointer.
        const uintptr_t distance = 64 * 1024;
        if (address - (context_sp(context) - distance) < 2 * distance) {
            nx_trap_raise(NX_TRAP_STACK);
        }
    }
    // The guest's too, if it is code of ours that finds the end of the stack before it has begun
    // anything: the first lines of a host call, what copies memory, the way to a trap.
    if (nx_trap_state.in_guest && info->si_code > 0 && at_stack_end((uintptr_t)info->si_addr) &&
        at_stack_end(context_sp(context))) {
        nx_trap_raise(NX_TRAP_STACK);
    }
    // Not the guest's: die of it, with a core dump where those are wanted.
    signal(signal_number, SIG_DFL);
}

static void arm(uint64_t at_ns) {
    const struct itimerspec when = {
        .it_value = {(time_t)(at_ns / 1000000000), (long)(at_ns % 1000000000)}};
    armed_for_ns = at_ns;
    timer_settime(timer, TIMER_ABSTIME, &when, NULL);
}

NO_CHECK_BEFORE_JUMPS static void on_timer(int signal_number) {
    (void)signal_number;
    armed_for_ns = 0;
    const uint64_t hard = hard_deadline_ns, soft = soft_deadline_ns;
    if (hard == 0) {
        return; // between segments
    }
    const uint64_t now = nx_clock_monotonic_ns(), slow = slow_deadline_ns;
    if (slow != 0 && now < slow) {
        arm(slow);
        return;
    }
    if (slow != 0) {
        slow_deadline_ns = 0;
        on_slow();
    }
    if (now >= soft && soft != 0) {
        // A busy machine may run this late: the guest has its grace all the same.
        soft_deadline_ns = 0;
        hard_deadline_ns = now + (hard - soft);
        *nx_trap_state.interrupt_flag = 1;
        arm(hard_deadline_ns);
    } else if (now >= hard) {
        if (nx_trap_state.in_guest && !nx_trap_state.unwinding) {
            nx_trap_raise(NX_TRAP_DEADLINE);
        }
        nx_trap_state.pending = 1;
    } else if (soft == 0) {
        arm(hard);
    } else {
        arm(soft);
    }
}

void nx_engine_on_slow(void (*fn)(void)) {
    on_slow = fn;
}

void nx_engine_set_deadline(struct nx_instance *instance, const struct nx_deadline *deadline) {
    const bool tell = on_slow != NULL && deadline->slow_ns < deadline->soft_ns;
    const uint64_t first_ns = tell ? deadline->slow_ns : deadline->soft_ns;
    nx_trap_state.pending = 0;
    nx_trap_state.interrupt_flag = &nx_instance_shared(instance)->interrupt;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    slow_deadline_ns = tell ? deadline->slow_ns : 0;
    soft_deadline_ns = deadline->soft_ns;
    hard_deadline_ns = deadline->hard_ns;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (armed_for_ns == 0 || armed_for_ns > first_ns) {
        arm(first_ns);
    }
}

void nx_engine_clear_deadline(void) {
    hard_deadline_ns = soft_deadline_ns = slow_deadline_ns = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

// The lowest address the main thread's stack may grow to.
static int find_stack_floor(struct nx_error *err) {
    pthread_attr_t attributes;
    void *lowest;
    size_t bytes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return nx_error_set(err, NX_E_IO, "cannot find the stack's bounds");
    }
    const int status = pthread_attr_getstack(&attributes, &lowest, &bytes);
    pthread_attr_destroy(&attributes);
    if (status != 0) {
        return nx_error_set(err, NX_E_IO, "cannot find the stack's bounds");
    }
    nx_trap_state.stack_floor = (uintptr_t)lowest + NX_HOST_STACK_RESERVE_BYTES;
    return 0;
}

int nx_trap_attach(struct nx_error *err) {
    void *stack =
        mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const stack_t alternate = {.ss_sp = stack, .ss_size = SIGNAL_STACK_BYTES};
    if (stack == MAP_FAILED || sigaltstack(&alternate, NULL) != 0) {
        return nx_error_errno(err, "cannot set up the signal stack");
    }
    // No signal is blocked while a handler runs, so that leaving one by a jump needs no call to
    // restore the mask.
    struct sigaction fault = {.sa_sigaction = on_fault,
                              .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    struct sigaction alarm = {.sa_handler = on_timer,
                              .sa_flags = SA_ONSTACK | SA_NODEFER | SA_RESTART};
    if (sigaction(SIGSEGV, &fault, NULL) != 0 || sigaction(SIGBUS, &fault, NULL) != 0 ||
        sigaction(SIGFPE, &fault, NULL) != 0 || sigaction(SIGALRM, &alarm, NULL) != 0) {
        return nx_error_errno(err, "cannot install the signal handlers");
    }
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
        return nx_error_errno(err, "cannot create the deadline timer");
    }
    return find_stack_floor(err);
}
