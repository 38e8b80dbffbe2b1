// SPDX-License-Identifier: Apache-2.0
// `nexus version`: what this build is made of.
#include <stdio.h>
#include <string.h>

#include "guest_info.h"
#include "kernel/cmd.h"
#include "sandbox/client.h"

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

int nx_cmd_version(int argc, char **argv) {
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        puts("usage: nexus version\n"
             "\n"
             "Prints the versions of everything built in, and the build id: equal ids mean that\n"
             "compiled handlers can be exchanged.");
        return NX_EXIT_OK;
    }
    if (argc > 1) {
        fprintf(stderr, "nexus version: unexpected argument '%s'\nTry 'nexus version --help'.\n",
                argv[1]);
        return NX_EXIT_USAGE;
    }
    puts("nexus " NX_VERSION);
    puts("quickjs " NX_QUICKJS_VERSION);
    puts("wabt " NX_WABT_VERSION);
    printf("guest compiler clang %s, %s\n", NX_GUEST_CLANG_VERSION, NX_GUEST_COMPILER);
    puts("compiler " COMPILER);
    printf("build id %s\n", nx_sandbox_build_id());
    return NX_EXIT_OK;
}
