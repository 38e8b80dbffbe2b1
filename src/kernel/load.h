// SPDX-License-Identifier: Apache-2.0
// Loading the panels of a directory when the server starts.
#ifndef NX_KERNEL_LOAD_H
#define NX_KERNEL_LOAD_H

#include <stddef.h>
#include <uv.h>

#include "base/error.h"
#include "kernel/runtime.h"

struct nx_load;

// Creates a panel from every *.nxml and *.json file of `dir`, in the order of their names. A panel
// without an id gets its file's name. What is wrong with a file goes to standard error as
// "file:line:col: error CODE: message", and does not stop the others.
// `done` is called from the loop, when the last panel is there or has failed, or after
// NX_PANEL_LOAD_TIMEOUT_MS (later ones then still appear, and are counted as loaded). *out is gone
// by then. Errors (nothing was loaded): NX_E_IO, NX_E_LIMIT (over NX_MAX_PANEL_FILES), NX_E_NOMEM.
int nx_load_start(struct nx_load **out, uv_loop_t *loop, struct nx_runtime *runtime,
                  const char *dir, void (*done)(void *user, size_t loaded, size_t failed),
                  void *user, struct nx_error *err);

// Gives it up without calling `done`.
void nx_load_cancel(struct nx_load *load);

#endif
