# SPDX-License-Identifier: Apache-2.0
"""The worker's system calls: exactly those of the table below, everything else ends it with SIGSYS.

Whoever widens the filter changes the table too, and says there what the call is needed for."""
import re
import signal

import pytest
from owned import X86_64, Attack, name_of, needs_x86_64, number

PROT_EXEC = 4
PAGEMAP_SCAN = 0xC0606610
CLOCK_REALTIME, CLOCK_MONOTONIC = 0, 1
MADV_DONTNEED, MADV_NOHUGEPAGE = 4, 15
ARCH_SET_GS = 0x1001


def equal(argument, value):
    return (argument, 4, value, 0)


def without(argument, bits):
    return (argument, 7, bits, 0)


# name -> alternatives, each a tuple of conditions on arguments
ALLOWED = {
    "recvfrom": [()], "write": [()],                                      # frames
    "mmap": [(without(2, PROT_EXEC),)], "mprotect": [(without(2, PROT_EXEC),)],
    "munmap": [()], "mremap": [()], "brk": [()],                          # slots, the allocator
    "madvise": [(equal(2, MADV_DONTNEED),), (equal(2, MADV_NOHUGEPAGE),)],
    "ioctl": [(equal(1, PAGEMAP_SCAN),)], "pread64": [()], "getrusage": [()],  # dirty pages
    "timer_settime": [()], "rt_sigreturn": [()],                          # deadlines
    "rt_sigaction": [()], "rt_sigprocmask": [()],
    "clock_gettime": [(equal(0, CLOCK_MONOTONIC),), (equal(0, CLOCK_REALTIME),)],
    "getrandom": [()],                                                    # seeds
    "close": [()], "exit_group": [()], "exit": [()],                      # the end
}
if X86_64:
    ALLOWED["arch_prctl"] = [(equal(0, ARCH_SET_GS),)]                    # the base of linear memory

KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000
ACT_BADARCH, CTL_OPTIMIZE = 2, 8  # enum scmp_filter_attr

NUMBERS = [*range(601), 1000, 2**30 - 1, 2**31 - 1, 2**31, 2**32 - 1]
SCRATCH = Attack.BASE + 4096
PATTERNS = [(-1,) * 6, (0,) * 6, (1, SCRATCH, 64, 1, SCRATCH, 64), (SCRATCH, 4096, 3, 0x22, -1, 0)]
# What does not come back when it works.
ENDS = {number(name) for name in ("exit", "exit_group", "rt_sigreturn")}
# uretprobe and uprobe. Since Linux 6.14 the system asks no filter about them, and refuses them itself
# unless the call comes from a page that it made for a probe of the operator's.
PROBES = {335, 336} if X86_64 else set()


def permits(call, arguments):
    def holds(condition):
        argument, operation, a, b = condition
        value = arguments[argument] % 2**64
        return value == a if operation == 4 else value & a == b
    alternatives = ALLOWED.get(name_of(call), [])
    return any(all(map(holds, conditions)) for conditions in alternatives)


def attack(step, call, arguments):
    one = Attack()
    getattr(one, step)(call, *arguments)
    return one


def test_rules(locked):
    """What the product tells libseccomp is the table."""
    asking = Attack()
    asking.ask_rules()
    said = locked.run(asking).rules.rstrip(";").split(";")
    assert said[0] == f"default {KILL_PROCESS}"
    assert {line for line in said if line.startswith("attribute")} == \
        {f"attribute {ACT_BADARCH} {KILL_PROCESS}", f"attribute {CTL_OPTIMIZE} 2"}
    rules = {}
    for line in said:
        if line.startswith("rule"):
            action, call, *rest = map(int, line.split()[1:])
            assert action == ALLOW, line
            conditions = tuple(tuple(rest[i:i + 4]) for i in range(0, len(rest), 4))
            rules.setdefault(name_of(call), []).append(conditions)
    assert {name: sorted(rule) for name, rule in rules.items()} == \
        {name: sorted(rule) for name, rule in ALLOWED.items()}


@pytest.mark.parametrize("arguments", PATTERNS, ids=["ones", "zeros", "buffers", "pages"])
def test_every_number(locked, arguments):
    wrong = {}
    for call in NUMBERS:
        outcome = locked.run(attack("call", call, arguments))
        if call in PROBES:
            good = outcome.signal in (signal.SIGSYS, signal.SIGILL) or outcome.results[0] < 0
        elif permits(call, arguments):
            good = outcome.signal != signal.SIGSYS and (outcome.survived or call in ENDS)
        else:
            good = outcome.signal == signal.SIGSYS
        if not good:
            wrong[name_of(call)] = outcome
    assert not wrong


def test_every_number_control(ordinary_unlocked):
    """Without the filter next to all of them come back. Left out is what blocks, and what returns twice
    on one stack."""
    outcomes = {call: ordinary_unlocked.run(attack("call", call, PATTERNS[0]))
                for call in NUMBERS if name_of(call) not in ("pause", "vfork", "sync")}
    assert not [name_of(call) for call, outcome in outcomes.items() if outcome.signal == signal.SIGSYS]
    assert {call for call, outcome in outcomes.items() if not outcome.survived} - PROBES == ENDS


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_needed(locked, name):
    """Each alternative of the table lets something through: the sweep's patterns need not meet it."""
    for conditions in ALLOWED[name]:
        arguments = [0] * 6
        for argument, operation, a, _ in conditions:
            arguments[argument] = a if operation == 4 else 0
        outcome = locked.run(attack("call", name, arguments))
        assert outcome.survived or number(name) in ENDS and outcome.signal != signal.SIGSYS


CONDITIONS = [(name, condition) for name, alternatives in ALLOWED.items() for conditions in alternatives
              for condition in conditions]


@pytest.mark.parametrize("name, condition", CONDITIONS)
def test_conditions_see_all_64_bits(locked, name, condition):
    """The system looks at the lower half of these arguments only. What it would take for the allowed
    value is let through just if it is that."""
    argument, operation, a, _ = condition
    outcomes = []
    for value in (a, a | 1 << 32) if operation == 4 else (0, 1 << 32, a, a | 1 << 32):
        arguments = [0] * 6
        arguments[argument] = value
        outcome = locked.run(attack("call", name, arguments))
        assert outcome.survived == permits(number(name), arguments), hex(value)
        outcomes.append(outcome.survived)
    assert True in outcomes and False in outcomes


@needs_x86_64
def test_x32(locked, ordinary_unlocked):
    assert not {name_of(call): outcome for call in NUMBERS[:601]
                if (outcome := locked.run(attack("call_x32", call, PATTERNS[0]))).signal != signal.SIGSYS}
    # Where the system has no such calls it says so, and the process lives.
    assert ordinary_unlocked.run(attack("call_x32", "getpid", ())).survived


@needs_x86_64
def test_i386(locked, ordinary_unlocked):
    assert not {call: outcome for call in range(601)
                if (outcome := locked.run(attack("call_i386", call, PATTERNS[0]))).signal != signal.SIGSYS}
    with ordinary_unlocked.spawn() as worker:
        outcome = worker.run(attack("call_i386", "getpid", ()))
        # Without the 32-bit calls in the system the instruction is a fault.
        assert outcome.signal == signal.SIGSEGV if not outcome.survived else outcome.results == [worker.pid]


def test_names_are_known():
    """The table's words are system calls, and the sweep covers them."""
    assert all(re.fullmatch(r"\w+", name) and number(name) in NUMBERS for name in ALLOWED)
