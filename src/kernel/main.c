// SPDX-License-Identifier: Apache-2.0
// The program `nexus`: finds the verb and hands over.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "kernel/cmd.h"
#include "kernel/loop.h"

struct verb {
    const char *name; // as typed
    char *full_name;  // as argv[0], in front of messages
    int (*run)(int argc, char **argv);
    const char *about;
};

static char serve_name[] = "nexus serve", run_name[] = "nexus run", check_name[] = "nexus check",
            token_name[] = "nexus token", health_name[] = "nexus health",
            version_name[] = "nexus version";

static const struct verb verbs[] = {
    {"serve", serve_name, nx_cmd_serve, "run the server"},
    {"run", run_name, nx_cmd_run, "run one tool of a panel once and print its result"},
    {"check", check_name, nx_cmd_check, "validate panels; suggest their capabilities"},
    {"token", token_name, nx_cmd_token, "make a token for the server"},
    {"health", health_name, nx_cmd_health, "ask a server whether it lives"},
    {"version", version_name, nx_cmd_version, "print the versions of everything built in"},
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static void print_usage(FILE *to) {
    fputs("usage: nexus COMMAND [OPTION]...\n"
          "\n"
          "Runs untrusted JavaScript handlers, each call in a pristine WebAssembly sandbox.\n"
          "\n",
          to);
    for (int i = 0; i < VERBS; i++)
        fprintf(to, "  %-8s %s\n", verbs[i].name, verbs[i].about);
    fputs("\n"
          "'nexus COMMAND --help' tells more, the manual page nexus(1) all.\n",
          to);
}

static const struct verb *find_verb(const char *name) {
    for (int i = 0; i < VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

// A descriptor opened later must never become standard output by accident.
static int fill_standard_descriptors(void) {
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

// Output that was lost is a failure, however well the work went.
static int finish(const char *name, int code) {
    if (!ferror(stdout) && fflush(stdout) == 0)
        return code;
    fprintf(stderr, "%s: cannot write to standard output: %s\n", name, strerror(errno));
    return code == NX_EXIT_OK ? NX_EXIT_FAULT : code;
}

// Bodies, frames and replies come and go by the hundred kilobytes. That glibc gives the end of the
// heap back to the system each time, and gets it again page by page, took up to 100 us of a request
// with 200 KB of arguments.
static void keep_heap(void) {
    mallopt(M_TRIM_THRESHOLD, NX_KEPT_HEAP_BYTES);
    mallopt(M_MMAP_THRESHOLD, NX_MAPPED_ALLOCATION_BYTES);
}

static int run_verb(const struct verb *verb, int argc, char **argv) {
    argv[0] = verb->full_name;
    return finish(verb->full_name, verb->run(argc, argv));
}

int main(int argc, char **argv) {
    static char help_option[] = "--help";
    if (fill_standard_descriptors()) {
        perror("nexus: cannot open /dev/null");
        return NX_EXIT_FAULT;
    }
    keep_heap();
    struct nx_error err = {0};
    if (nx_loop_prepare(&err)) {
        fprintf(stderr, "nexus: %s\n", err.message);
        return NX_EXIT_FAULT;
    }
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    const struct verb *asked = strcmp(name, "help") == 0 && argc == 3 ? find_verb(argv[2]) : NULL;
    if (asked)
        return run_verb(asked, 2, (char *[]){argv[2], help_option, NULL});
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return finish("nexus", NX_EXIT_OK);
    }
    const struct verb *verb = find_verb(name);
    if (verb)
        return run_verb(verb, argc - 1, argv + 1);
    if (argc > 1)
        fprintf(stderr, "nexus: unknown command '%s'\nTry 'nexus --help'.\n", argv[1]);
    else
        print_usage(stderr);
    return NX_EXIT_USAGE;
}
