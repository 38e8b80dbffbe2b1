// SPDX-License-Identifier: Apache-2.0
// The verbs of the command line, one file each. Every verb gets its own arguments with argv[0] set
// to "nexus VERB", prints what its --help says, and returns the process's exit code.
#ifndef NX_KERNEL_CMD_H
#define NX_KERNEL_CMD_H

// Exit codes: NX_EXIT_FAULT is a handler error or an invalid panel, NX_EXIT_USAGE a wrong call.
enum nx_exit { NX_EXIT_OK = 0, NX_EXIT_FAULT = 1, NX_EXIT_USAGE = 2 };

int nx_cmd_serve(int argc, char **argv);   // runs the server
int nx_cmd_run(int argc, char **argv);     // one execution, result on stdout
int nx_cmd_check(int argc, char **argv);   // validates and compiles panels
int nx_cmd_token(int argc, char **argv);   // makes a bearer token
int nx_cmd_health(int argc, char **argv);  // asks a server whether it lives
int nx_cmd_version(int argc, char **argv); // versions of everything built in

#endif
