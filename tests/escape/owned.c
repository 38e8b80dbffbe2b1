// SPDX-License-Identifier: Apache-2.0
// A worker whose guest has broken out: the real nexus-sandbox, linked so that an execution whose
// arguments hold an attack runs that as native code of the attacker's choice, in the state a worker
// is in when guests run. Everything before and after it (the zygote, the lockdown, the loop over
// frames) is the product's, unchanged: the linker's --wrap puts the functions here in its way, and
// only in the programs of this folder (CMakeLists.txt).
//
// An attack is text, in the arguments as {"attack":"MEMORY|STEP;STEP;…"}. MEMORY is hexadecimal and
// laid at ATTACK_BASE, so that it can hold pointers into itself. Steps are
//   s NUMBER ARG…      a system call with up to 6 arguments
//   i NUMBER ARG…      the same through the i386 entry (int 0x80), with up to 5
//   j ADDRESS          a call of the code at an address
//   w OFFSET ARG       stores 4 bytes into the memory
//   f                  gives the filter's rules back
// where ARG is a number, or $N for the result of step N. A survivor answers with a SEGMENT frame
// that returns {"results":[…],"memory":"…","rules":"…"}, a result a step.
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/abi.h"
#include "sandbox/runner.h"
#include "sandbox/wire.h"

#define ATTACK_BASE ((unsigned char *)0x10000000)
enum { ATTACK_BYTES = 64 * 1024, SHOWN_BYTES = 1024, MAX_STEPS = 64, MAX_ARGS = 7 };

// The linker's names for what replaces a function, and for the function itself.
int owned_run(uint32_t id, struct nx_span payload,
              struct nx_buf *out) __asm__("__wrap_nx_runner_run");
int true_run(uint32_t id, struct nx_span payload,
             struct nx_buf *out) __asm__("__real_nx_runner_run");
pid_t noting_waitpid(pid_t pid, int *status, int options) __asm__("__wrap_waitpid");
pid_t true_waitpid(pid_t pid, int *status, int options) __asm__("__real_waitpid");
scmp_filter_ctx noting_init(uint32_t action) __asm__("__wrap_seccomp_init");
scmp_filter_ctx true_init(uint32_t action) __asm__("__real_seccomp_init");
int noting_attribute(scmp_filter_ctx filter, enum scmp_filter_attr name,
                     uint32_t value) __asm__("__wrap_seccomp_attr_set");
int true_attribute(scmp_filter_ctx filter, enum scmp_filter_attr name,
                   uint32_t value) __asm__("__real_seccomp_attr_set");
int noting_rule(scmp_filter_ctx filter, uint32_t action, int call, unsigned count,
                const struct scmp_arg_cmp *args) __asm__("__wrap_seccomp_rule_add_array");
int true_rule(scmp_filter_ctx filter, uint32_t action, int call, unsigned count,
              const struct scmp_arg_cmp *args) __asm__("__real_seccomp_rule_add_array");

// ---- what the product asks libseccomp for
// ---------------------------------------------------------

static char rules[8192];
static size_t rules_len;

#define NOTE(...)                                                                                  \
    (rules_len += (size_t)snprintf(rules + rules_len, sizeof(rules) - rules_len, __VA_ARGS__))

scmp_filter_ctx noting_init(uint32_t action) {
    NOTE("default %u;", action);
    return true_init(action);
}

int noting_attribute(scmp_filter_ctx filter, enum scmp_filter_attr name, uint32_t value) {
    NOTE("attribute %d %u;", (int)name, value);
    return true_attribute(filter, name, value);
}

int noting_rule(scmp_filter_ctx filter, uint32_t action, int call, unsigned count,
                const struct scmp_arg_cmp *args) {
    NOTE("rule %u %d", action, call);
    for (unsigned i = 0; i < count; i++) {
        NOTE(" %u %d %llu %llu", args[i].arg, (int)args[i].op, (unsigned long long)args[i].datum_a,
             (unsigned long long)args[i].datum_b);
    }
    NOTE(";");
    return true_rule(filter, action, call, count, args);
}

// ---- what the zygote reaps
// ------------------------------------------------------------------------

// Tells the test on the error stream how each worker ended. Runs in a signal handler.
pid_t noting_waitpid(pid_t pid, int *status, int options) {
    int ended = 0;
    const pid_t got = true_waitpid(pid, &ended, options);
    if (got > 0) {
        char text[] = "\nended 0000000000 00000\n";
        int left = got, code = ended;
        for (size_t i = 16; i > 6; i--, left /= 10) {
            text[i] = (char)('0' + left % 10);
        }
        for (size_t i = 22; i > 17; i--, code /= 10) {
            text[i] = (char)('0' + code % 10);
        }
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    }
    if (status != NULL) {
        *status = ended;
    }
    return got;
}

// ---- the attack
// -----------------------------------------------------------------------------------

struct attack {
    long long results[MAX_STEPS];
    unsigned steps;
    bool tells_rules;
};

__attribute__((constructor)) static void make_room(void) {
    if (mmap(ATTACK_BASE, ATTACK_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != ATTACK_BASE) {
        abort();
    }
}

static unsigned hex_digit(char c) {
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

static const char *lay_memory(const char *at) {
    for (size_t i = 0; *at != '|' && i < ATTACK_BYTES; i++, at += 2) {
        ATTACK_BASE[i] = (unsigned char)(hex_digit(at[0]) << 4 | hex_digit(at[1]));
    }
    return at + 1;
}

static size_t read_args(const struct attack *attack, const char **at, long long args[MAX_ARGS]) {
    size_t count = 0;
    memset(args, 0, sizeof(*args) * MAX_ARGS);
    while (**at == ' ' && count < MAX_ARGS) {
        const bool result = (*at)[1] == '$';
        char *end;
        const unsigned long long value = strtoull(*at + (result ? 2 : 1), &end, 10);
        args[count++] = !result ? (long long)value : value < MAX_STEPS ? attack->results[value] : 0;
        *at = end;
    }
    return count;
}

static long long native_call(const long long *a) {
    const long long got = syscall((long)a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
    if (got == 0 && (a[0] == SYS_clone
#if defined(SYS_fork)
                     || a[0] == SYS_fork
#endif
                     )) {
        _exit(0); // the child; the parent tells of it
    }
    return got == -1 ? -errno : got;
}

static long long i386_call(const long long *a) {
#if defined(__x86_64__)
    long long got;
    __asm__ volatile("int $0x80"
                     : "=a"(got)
                     : "a"(a[0]), "b"(a[1]), "c"(a[2]), "d"(a[3]), "S"(a[4]), "D"(a[5])
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)got;
#else
    (void)a;
    return -ENOSYS;
#endif
}

static long long jump(long long address) {
    union {
        uintptr_t address;
        long (*code)(long);
    } to = {.address = (uintptr_t)address};
    return to.code(0);
}

static void run_attack(struct attack *attack, const char *at) {
    for (at = lay_memory(at); *at != '\0' && *at != '"' && attack->steps < MAX_STEPS;) {
        long long args[MAX_ARGS], result = 0;
        const char kind = *at++;
        read_args(attack, &at, args);
        if (kind == 's') {
            result = native_call(args);
        } else if (kind == 'i') {
            result = i386_call(args);
        } else if (kind == 'j') {
            result = jump(args[0]);
        } else if (kind == 'w' && args[0] >= 0 && args[0] <= ATTACK_BYTES - 4) {
            const int value = (int)args[1];
            memcpy(ATTACK_BASE + args[0], &value, sizeof(value));
        } else if (kind == 'f') {
            attack->tells_rules = true;
        } else {
            abort(); // a mistake in the test
        }
        attack->results[attack->steps++] = result;
        at += *at == ';';
    }
}

static int survived(const struct attack *attack, uint32_t id, struct nx_buf *out) {
    struct nx_buf json;
    nx_buf_init(&json, 64 * 1024);
    nx_buf_append_str(&json, "{\"results\":[");
    for (unsigned i = 0; i < attack->steps; i++) {
        nx_buf_printf(&json, "%s%lld", i == 0 ? "" : ",", attack->results[i]);
    }
    nx_buf_append_str(&json, "],\"memory\":\"");
    for (size_t i = 0; i < SHOWN_BYTES; i++) {
        nx_buf_printf(&json, "%02x", ATTACK_BASE[i]);
    }
    nx_buf_printf(&json, "\",\"rules\":\"%s\"}", attack->tells_rules ? rules : "");
    const size_t start = nx_wire_begin(out, NX_FRAME_SEGMENT, id);
    nx_wire_put_u8(out, 0); // DONE
    nx_wire_put_u32(out, 1);
    nx_wire_put_u64(out, 1);
    nx_wire_put_u64(out, 1);
    for (int i = 0; i < NX_HOST_CALL_COUNT + 6; i++) { // no host calls, no effects
        nx_wire_put_u32(out, 0);
    }
    nx_wire_put_bytes(out, nx_buf_span(&json));
    nx_buf_free(&json);
    return nx_wire_end(out, start);
}

int owned_run(uint32_t id, struct nx_span payload, struct nx_buf *out) {
    static const char key[] = "\"attack\":";
    const char *found = memmem(payload.data, payload.len, key, sizeof(key) - 1);
    const char *end = payload.data + payload.len;
    if (found == NULL) {
        return true_run(id, payload, out);
    }
    // Its own copy, with an end: the frame's bytes are in a buffer that the loop goes on using.
    static char text[ATTACK_BYTES];
    const char *start = memchr(found + sizeof(key) - 1, '"', (size_t)(end - found) - sizeof(key));
    if (start == NULL || (size_t)(end - start) > sizeof(text)) {
        abort();
    }
    memcpy(text, start + 1, (size_t)(end - start) - 1);
    static struct attack attack;
    attack = (struct attack){0};
    run_attack(&attack, text);
    return survived(&attack, id, out);
}
