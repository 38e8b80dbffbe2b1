// SPDX-License-Identifier: Apache-2.0
#include "kernel/reload.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"

bool nx_reload_has_files(const struct nx_config *config) {
    return config->policy_file || config->log_level_file ||
           (config->auth_enabled && (config->jwt_secret_file || config->jwt_public_key_file));
}

void nx_reload_log_lines(const char *text) {
    char line[256];
    while (text && *text) {
        size_t len = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)len, text);
        nx_log(NX_LOG_WARN, "config", line, NULL);
        text += len + (text[len] == '\n');
    }
}

int nx_reload_log_level(struct nx_config *config, struct nx_buf *problems) {
    struct nx_error err = {0};
    struct nx_buf text;
    if (!config->log_level_file)
        return 0;
    int rc = nx_fd_read_file(config->log_level_file, NX_MAX_LOG_LEVEL_BYTES, &text, &err);
    if (rc == 0) {
        // Editors and `echo` end a file with a line break that nobody means.
        while (text.len && strchr("\r\n", text.data[text.len - 1]))
            text.data[--text.len] = '\0';
        if (nx_log_parse_level(text.data, &config->log_level))
            rc = nx_error_set(&err, NX_E_INVALID, "%s: must hold debug, info, warn or error",
                              config->log_level_file);
    }
    if (rc)
        nx_buf_printf(problems, "LOG_LEVEL_FILE=%s\n", err.message);
    nx_buf_free(&text);
    return rc ? NX_E_INVALID : 0;
}

// Says what came of one file.
static void tell(int rc, struct nx_buf *problems, const char *done, const char *kept) {
    if (rc == 0) {
        nx_log(NX_LOG_INFO, "config", done, NULL);
    } else {
        nx_reload_log_lines(problems->data);
        nx_log(NX_LOG_ERROR, "config", kept, NULL);
    }
    nx_buf_reset(problems);
}

static void reload_key(const struct nx_config *config, struct nx_access *access,
                       struct nx_cache_disk *disk, struct nx_buf *problems) {
    int rc = nx_access_reload_key(access, config, problems);
    if (rc == NX_E_NOTFOUND)
        return;
    if (rc == 0 && disk)
        nx_cache_disk_set_seal(disk, &access->cache_seal);
    tell(rc, problems, "key read anew", "the key stays as it was");
}

void nx_reload_files(struct nx_config *config, struct nx_access *access,
                     struct nx_cache_disk *disk) {
    struct nx_buf problems;
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    if (access->policy)
        tell(nx_policy_reload(access->policy, config->policy_file, &problems), &problems,
             "policy read anew", "the policy stays as it was");
    reload_key(config, access, disk, &problems);
    if (config->log_level_file) {
        int rc = nx_reload_log_level(config, &problems);
        nx_log_configure(STDOUT_FILENO, config->log_level, config->log_pretty);
        tell(rc, &problems, "log level read anew", "the log level stays as it was");
    }
    nx_buf_free(&problems);
}
