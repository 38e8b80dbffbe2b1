// SPDX-License-Identifier: Apache-2.0
// Runs a program on a system that refuses it some system calls: each named one fails with EPERM, if
// need be only where an argument (0 is the first) has a certain value.
// usage: refuse-calls NAME[:ARGUMENT=VALUE]... -- PROGRAM [ARGUMENT...]
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refuse(scmp_filter_ctx filter, char *word) {
    struct scmp_arg_cmp condition = {.op = SCMP_CMP_EQ};
    char *argument = strchr(word, ':');
    if (argument != NULL) {
        char *value = strchr(argument, '=');
        if (value == NULL) {
            return -EINVAL;
        }
        *argument++ = '\0';
        condition.arg = (unsigned)strtoul(argument, NULL, 10);
        condition.datum_a = strtoull(value + 1, NULL, 10);
    }
    const int call = seccomp_syscall_resolve_name(word);
    return call == __NR_SCMP_ERROR ? -EINVAL
                                   : seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), call,
                                                            argument != NULL, &condition);
}

int main(int count, char **args) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int at = 1;
    if (filter == NULL) {
        return 125;
    }
    for (; at < count && strcmp(args[at], "--") != 0; at++) {
        if (refuse(filter, args[at]) != 0) {
            fprintf(stderr, "refuse-calls: %s: no such call\n", args[at]);
            return 125;
        }
    }
    if (at + 1 >= count || seccomp_load(filter) != 0) {
        fputs("refuse-calls: nothing to run, or no filter\n", stderr);
        return 125;
    }
    seccomp_release(filter);
    execv(args[at + 1], args + at + 1);
    perror(args[at + 1]);
    return 125;
}
