// SPDX-License-Identifier: Apache-2.0
// What SIGHUP reads anew: the files that settings name. The settings themselves come from the
// environment, which nobody can change from outside: a restart reads them.
//
// Each file is read as a whole and takes effect as a whole. One that is wrong changes nothing, the
// others notwithstanding.
#ifndef NX_KERNEL_RELOAD_H
#define NX_KERNEL_RELOAD_H

#include <stdbool.h>

#include "base/buf.h"
#include "kernel/access.h"
#include "kernel/cache_disk.h"
#include "kernel/config.h"

// Whether there is a file to read anew.
bool nx_reload_has_files(const struct nx_config *config);

// Reads POLICY_FILE, JWT_SECRET_FILE or JWT_PUBLIC_KEY_FILE, and LOG_LEVEL_FILE, as far as they are
// set. What came of each is logged. `disk` may be NULL.
void nx_reload_files(struct nx_config *config, struct nx_access *access,
                     struct nx_cache_disk *disk);

// Puts the level that LOG_LEVEL_FILE holds, if it is set, into config->log_level. NX_E_INVALID with
// a line in `problems`; the level stays as it was then.
int nx_reload_log_level(struct nx_config *config, struct nx_buf *problems);

// Logs each line of `text` as a warning about settings.
void nx_reload_log_lines(const char *text);

#endif
