// SPDX-License-Identifier: Apache-2.0
// Settings of the server, from the environment. Every problem is found, not only the first.
#ifndef NX_KERNEL_CONFIG_H
#define NX_KERNEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/log.h"
#include "ext/http.h"
#include "kernel/auth_key.h"
#include "kernel/lockdown.h"

enum { NX_CONFIG_PORT_OFF = -1, NX_CONFIG_PORT_UNSET = -2 };

// Strings point into the environment given to nx_config_load, or are static; never NULL unless
// said.
struct nx_config {
    const char *host;                         // numeric address
    int32_t http_port, ws_port, metrics_port; // 0: any free one; NX_CONFIG_PORT_OFF
    const char *public_url;                   // no '/' at its end; NULL: http://HOST:HTTP_PORT
    bool allow_query_token;                   // ?token= on upgrades
    bool allow_insecure;                      // a HOST other than loopback is deliberate
    uint32_t body_limit_bytes;
    uint32_t max_panels, max_clients, max_queue;
    uint32_t workers, min_instances, max_instances;
    uint32_t memory_limit_mb, stack_limit_kb;
    uint32_t memory_budget_mb; // of all instances; 0: no limit is known
    uint32_t timeout_ms, suspend_timeout_ms;
    uint32_t max_host_calls, max_state_mutations, max_events;
    uint32_t max_log_kb, max_value_kb, max_state_kb;
    const char *cache_dir; // NULL: no cache on disk
    uint32_t max_cache_mb; // of bytecode in memory, and as much again in cache_dir
    enum nx_log_level log_level;
    const char *log_level_file; // holds the level instead; NULL: none
    bool log_pretty;
    bool audit_all;
    bool metrics_per_panel;
    enum nx_lockdown_mode kernel_lockdown;
    struct nx_ext_http_config http;
    bool auth_enabled;
    enum nx_auth_alg jwt_alg;
    // NULL where not set.
    const char *jwt_secret, *jwt_secret_file, *jwt_public_key_file;
    const char *jwt_issuer, *jwt_audience, *workspace_id;
    const char *cors_origins, *policy_file;
};

// Fills every field from `environment` ("NAME=value" strings, NULL at the end), defaults included.
// Appends one line to `problems` for each setting that is invalid, unknown, contradictory, or asks
// for protection this version does not have; and one to `notes` for each setting that has no effect
// beside the others. Returns 0, or NX_E_INVALID if there are problems.
// The memory budget is taken down to instances: max_instances never exceeds what fits into it.
int nx_config_load(struct nx_config *config, const char *const *environment,
                   struct nx_buf *problems, struct nx_buf *notes);

// The same for the settings of the http extension alone: other variables are not looked at.
int nx_config_load_http(struct nx_ext_http_config *http, const char *const *environment,
                        struct nx_buf *problems);

// The same for HOST and HTTP_PORT alone. Any address will do: nobody listens on it.
int nx_config_load_address(struct nx_config *config, const char *const *environment,
                           struct nx_buf *problems);

// The same for JWT_* and WORKSPACE_ID alone; the other fields are at their defaults.
int nx_config_load_tokens(struct nx_config *config, const char *const *environment,
                          struct nx_buf *problems);

// Whether `host` is a numeric loopback address (127.0.0.0/8 or ::1).
bool nx_config_is_loopback(const char *host);

#endif
