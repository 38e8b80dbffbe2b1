// SPDX-License-Identifier: Apache-2.0
// A worker whose guest has broken out: the real nexus-sandbox, linked so that an execution whose
// arguments hold an attack runs that as native code of the attacker's choice, in the state a worker
// is in when guests run. Everything before and after it (the zygote, the lockdown, the loop over
// frames) is the product's, unchanged: the linker's --wrap puts the functions here in its way, and
// only in the programs of this folder (CMakeLists.txt).
//
// attack.c says what an attack is. A survivor answers with a SEGMENT frame that returns what came
// of it.
#include <seccomp.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"
#include "guest/abi.h"
#include "sandbox/runner.h"
#include "sandbox/wire.h"

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

static int answer(uint32_t id, struct nx_span json, struct nx_buf *out) {
    const size_t start = nx_wire_begin(out, NX_FRAME_SEGMENT, id);
    nx_wire_put_u8(out, 0); // DONE
    nx_wire_put_u32(out, 1);
    nx_wire_put_u64(out, 1);
    nx_wire_put_u64(out, 1);
    for (int i = 0; i < NX_RESET_KINDS + NX_HOST_CALL_COUNT + 6; i++) { // none of each
        nx_wire_put_u32(out, 0);
    }
    nx_wire_put_bytes(out, json);
    return nx_wire_end(out, start);
}

int owned_run(uint32_t id, struct nx_span payload, struct nx_buf *out) {
    struct nx_buf json;
    nx_buf_init(&json, 64 * 1024);
    const bool attacked = attack_perform(payload, rules, &json);
    const int status = attacked ? answer(id, nx_buf_span(&json), out) : true_run(id, payload, out);
    nx_buf_free(&json);
    return status;
}
