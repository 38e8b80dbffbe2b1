// SPDX-License-Identifier: Apache-2.0
// What the verbs of the command line share: reading what they are given, and saying what is wrong.
#ifndef NX_KERNEL_CLI_H
#define NX_KERNEL_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"
#include "kernel/runtime.h"

// Reads the whole file `path`, or standard input for "-", into `out` (initialised here, and left
// empty on error). Errors: NX_E_IO, NX_E_LIMIT (over `max_bytes`), NX_E_INVALID, NX_E_NOMEM.
int nx_cli_read(const char *path, size_t max_bytes, struct nx_buf *out, struct nx_error *err);

// The name under which a file's findings are reported: "<stdin>" for "-".
const char *nx_cli_file_name(const char *path);

// Prints text that may come from a panel: control characters and what is not UTF-8 appear escaped,
// so that it can neither steer the terminal nor start lines of its own (line feeds are escaped
// too).
void nx_cli_put(FILE *to, struct nx_span text);

// Prints "file:line:col: error CODE: message", one finding a line, coloured on a terminal.
// `warnings` says whether warnings appear too.
void nx_cli_print_findings(FILE *to, const char *file, const struct nx_diagnostics *found,
                           bool warnings);

// A runtime of one worker on a loop of its own.
struct nx_cli_runtime {
    uv_loop_t loop;
    struct nx_launcher *launcher;
    struct nx_runtime *runtime;
    bool done;
};

// Starts it. `config` may be NULL. From then on this process starts no program and gains nothing:
// the first step of lockdown.h. Errors as nx_runtime_start's; nothing is left to stop then.
int nx_cli_start(struct nx_cli_runtime *cli, const struct nx_runtime_config *config,
                 struct nx_error *err);

// Runs the loop until nx_cli_done is called from it.
void nx_cli_wait(struct nx_cli_runtime *cli);
void nx_cli_done(struct nx_cli_runtime *cli);

// Ends what is under way and frees everything.
void nx_cli_stop(struct nx_cli_runtime *cli);

#endif
