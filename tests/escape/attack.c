// SPDX-License-Identifier: Apache-2.0
// Native code of an attacker's choice, as text in JSON: {"attack":"MEMORY|STEP;STEP;…"}. MEMORY is
// hexadecimal and laid at ATTACK_BASE, so that it can hold pointers into itself. Steps are
//   s NUMBER ARG…      a system call with up to 6 arguments
//   i NUMBER ARG…      the same through the i386 entry (int 0x80), with up to 5
//   j ADDRESS          a call of the code at an address
//   w OFFSET ARG       stores 4 bytes into the memory
//   f                  gives the filter's rules back
// where ARG is a number, or $N for the result of step N. A survivor tells
// {"results":[…],"memory":"…","rules":"…"}, a result a step.
#include "attack.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ATTACK_BASE ((unsigned char *)0x10000000)
enum { ATTACK_BYTES = 64 * 1024, SHOWN_BYTES = 1024, MAX_STEPS = 64, MAX_ARGS = 7 };

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

static void tell(const struct attack *attack, const char *rules, struct nx_buf *json) {
    nx_buf_append_str(json, "{\"results\":[");
    for (unsigned i = 0; i < attack->steps; i++) {
        nx_buf_printf(json, "%s%lld", i == 0 ? "" : ",", attack->results[i]);
    }
    nx_buf_append_str(json, "],\"memory\":\"");
    for (size_t i = 0; i < SHOWN_BYTES; i++) {
        nx_buf_printf(json, "%02x", ATTACK_BASE[i]);
    }
    nx_buf_printf(json, "\",\"rules\":\"%s\"}", attack->tells_rules ? rules : "");
}

bool attack_perform(struct nx_span input, const char *rules, struct nx_buf *json) {
    static const char key[] = "\"attack\":";
    const char *found = memmem(input.data, input.len, key, sizeof(key) - 1);
    const char *end = input.data + input.len;
    if (found == NULL) {
        return false;
    }
    // Its own copy, with an end: the input's bytes are in a buffer that goes on being used.
    static char text[ATTACK_BYTES];
    const char *start = memchr(found + sizeof(key) - 1, '"', (size_t)(end - found) - sizeof(key));
    if (start == NULL || (size_t)(end - start) > sizeof(text)) {
        abort();
    }
    memcpy(text, start + 1, (size_t)(end - start) - 1);
    static struct attack attack;
    attack = (struct attack){0};
    run_attack(&attack, text);
    tell(&attack, rules, json);
    return true;
}
