// SPDX-License-Identifier: Apache-2.0
// The settings as one table: name, type, bounds, place. Rules that concern more than one setting
// follow the table.
#include "kernel/config.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/limits.h"
#include "kernel/machine.h"

enum kind {
    NUMBER,    // uint32_t within [min, max]
    PORT,      // int32_t: 0…65535, or "off"
    BYTES,     // uint32_t within [min, max], with an optional unit b, kb, mb
    BOOL,      // bool: true or false
    TEXT,      // const char *
    LEVEL,     // enum nx_log_level
    AUDIT,     // bool: all or denied
    ALGORITHM, // enum nx_auth_alg
    LOCKDOWN,  // enum nx_lockdown_mode
};

struct setting {
    const char *name;
    enum kind kind;
    size_t offset;
    uint32_t min, max;
};

// A number that depends on another setting unless it is given.
#define MIN_INSTANCES_UNSET UINT32_MAX

#define AT(field)           offsetof(struct nx_config, field)

static const struct setting settings[] = {
    {"HOST", TEXT, AT(host), 0, 0},
    {"HTTP_PORT", PORT, AT(http_port), 0, 0},
    {"WS_PORT", PORT, AT(ws_port), 0, 0},
    {"METRICS_PORT", PORT, AT(metrics_port), 0, 0},
    {"PUBLIC_URL", TEXT, AT(public_url), 0, 0},
    {"ALLOW_QUERY_TOKEN", BOOL, AT(allow_query_token), 0, 0},
    {"ALLOW_INSECURE", BOOL, AT(allow_insecure), 0, 0},
    {"BODY_LIMIT", BYTES, AT(body_limit_bytes), 1, NX_MAX_BODY_LIMIT_BYTES},
    {"MAX_PANELS", NUMBER, AT(max_panels), 1, NX_MAX_PANELS},
    {"MAX_CLIENTS", NUMBER, AT(max_clients), 1, NX_MAX_CLIENTS},
    {"MAX_QUEUE", NUMBER, AT(max_queue), 1, NX_MAX_QUEUE},
    {"WORKERS", NUMBER, AT(workers), 1, NX_MAX_WORKERS},
    {"MIN_INSTANCES", NUMBER, AT(min_instances), 0, NX_MAX_INSTANCES},
    {"MAX_INSTANCES", NUMBER, AT(max_instances), 1, NX_MAX_INSTANCES},
    {"MEMORY_LIMIT_MB", NUMBER, AT(memory_limit_mb), NX_MIN_MEMORY_LIMIT_MB,
     NX_MAX_MEMORY_LIMIT_MB},
    {"STACK_LIMIT_KB", NUMBER, AT(stack_limit_kb), NX_MIN_STACK_LIMIT_KB, NX_MAX_STACK_LIMIT_KB},
    {"MEMORY_BUDGET_MB", NUMBER, AT(memory_budget_mb), 1, UINT32_MAX},
    {"TIMEOUT_MS", NUMBER, AT(timeout_ms), 1, NX_MAX_TIMEOUT_MS},
    {"SUSPEND_TIMEOUT_MS", NUMBER, AT(suspend_timeout_ms), 1, NX_MAX_SUSPEND_TIMEOUT_MS},
    {"MAX_HOST_CALLS", NUMBER, AT(max_host_calls), 1, NX_MAX_EXECUTION_COUNT},
    {"MAX_STATE_MUTATIONS", NUMBER, AT(max_state_mutations), 1, NX_MAX_EXECUTION_COUNT},
    {"MAX_EVENTS", NUMBER, AT(max_events), 1, NX_MAX_EXECUTION_COUNT},
    {"MAX_LOG_KB", NUMBER, AT(max_log_kb), 1, NX_MAX_EXECUTION_KB},
    {"MAX_VALUE_KB", NUMBER, AT(max_value_kb), 1, NX_MAX_EXECUTION_KB},
    {"MAX_STATE_KB", NUMBER, AT(max_state_kb), 1, NX_MAX_EXECUTION_KB},
    {"CACHE_DIR", TEXT, AT(cache_dir), 0, 0},
    {"MAX_CACHE_MB", NUMBER, AT(max_cache_mb), 1, NX_MAX_CACHE_MB},
    {"LOG_LEVEL", LEVEL, AT(log_level), 0, 0},
    {"LOG_LEVEL_FILE", TEXT, AT(log_level_file), 0, 0},
    {"LOG_PRETTY", BOOL, AT(log_pretty), 0, 0},
    {"AUDIT", AUDIT, AT(audit_all), 0, 0},
    {"AUTH_ENABLED", BOOL, AT(auth_enabled), 0, 0},
    {"JWT_SECRET", TEXT, AT(jwt_secret), 0, 0},
    {"JWT_SECRET_FILE", TEXT, AT(jwt_secret_file), 0, 0},
    {"JWT_ALG", ALGORITHM, AT(jwt_alg), 0, 0},
    {"JWT_PUBLIC_KEY_FILE", TEXT, AT(jwt_public_key_file), 0, 0},
    {"JWT_ISSUER", TEXT, AT(jwt_issuer), 0, 0},
    {"JWT_AUDIENCE", TEXT, AT(jwt_audience), 0, 0},
    {"WORKSPACE_ID", TEXT, AT(workspace_id), 0, 0},
    {"POLICY_FILE", TEXT, AT(policy_file), 0, 0},
    {"CORS_ORIGINS", TEXT, AT(cors_origins), 0, 0},
    {"HTTP_ALLOWED_DOMAINS", TEXT, AT(http.allowed_domains), 0, 0},
    {"HTTP_EXT_ALLOW_ADDRESSES", TEXT, AT(http.allow_addresses), 0, 0},
    {"HTTP_CA_FILE", TEXT, AT(http.ca_file), 0, 0},
    {"HTTP_USER_AGENT", TEXT, AT(http.user_agent), 0, 0},
    {"HTTP_MAX_CONCURRENT", NUMBER, AT(http.max_concurrent), 1, NX_MAX_HTTP_EXT_CONCURRENT},
    {"HTTP_TIMEOUT", NUMBER, AT(http.timeout_ms), 1, NX_MAX_HTTP_EXT_TIMEOUT_MS},
    {"HTTP_MAX_RESPONSE_KB", NUMBER, AT(http.max_response_kb), 1, NX_MAX_HTTP_EXT_KB},
    {"KERNEL_LOCKDOWN", LOCKDOWN, AT(kernel_lockdown), 0, 0},
    {"METRICS_PER_PANEL", BOOL, AT(metrics_per_panel), 0, 0},
};

static const struct nx_config defaults = {
    .host = "127.0.0.1",
    .http_port = 3000,
    .ws_port = NX_CONFIG_PORT_UNSET,
    .metrics_port = NX_CONFIG_PORT_OFF,
    .body_limit_bytes = NX_DEFAULT_BODY_LIMIT_BYTES,
    .max_panels = NX_DEFAULT_MAX_PANELS,
    .max_clients = NX_DEFAULT_MAX_CLIENTS,
    .max_queue = NX_DEFAULT_MAX_QUEUE,
    .min_instances = MIN_INSTANCES_UNSET,
    .max_instances = NX_DEFAULT_MAX_INSTANCES,
    .memory_limit_mb = NX_DEFAULT_MEMORY_LIMIT_MB,
    .stack_limit_kb = NX_DEFAULT_STACK_LIMIT_KB,
    .timeout_ms = NX_DEFAULT_TIMEOUT_MS,
    .suspend_timeout_ms = NX_DEFAULT_SUSPEND_TIMEOUT_MS,
    .max_host_calls = NX_DEFAULT_MAX_HOST_CALLS,
    .max_state_mutations = NX_DEFAULT_MAX_STATE_MUTATIONS,
    .max_events = NX_DEFAULT_MAX_EVENTS,
    .max_log_kb = NX_DEFAULT_MAX_LOG_KB,
    .max_value_kb = NX_DEFAULT_MAX_VALUE_KB,
    .max_state_kb = NX_DEFAULT_MAX_STATE_KB,
    .max_cache_mb = NX_DEFAULT_MAX_CACHE_MB,
    .log_level = NX_LOG_INFO,
    .http =
        {
            .user_agent = "Nexus-Runtime/" NX_VERSION,
            .max_concurrent = NX_DEFAULT_HTTP_EXT_CONCURRENT,
            .timeout_ms = NX_DEFAULT_HTTP_EXT_TIMEOUT_MS,
            .max_response_kb = NX_DEFAULT_HTTP_EXT_KB,
        },
};

// ---- Values

// Decimal digits up to `max`; *rest is what follows them. False: no digit, or too large.
static bool parse_digits(const char *text, uint64_t max, uint64_t *value, const char **rest) {
    *value = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        *value = *value * 10 + (uint64_t)(*p - '0');
        if (*value > max)
            return false;
    }
    *rest = p;
    return p > text;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *value) {
    const char *rest;
    return parse_digits(text, max, value, &rest) && *rest == '\0';
}

// "1mb", "512kb", "4096".
static bool parse_bytes(const char *text, uint64_t max, uint64_t *value) {
    static const struct {
        const char *name;
        uint64_t factor;
    } units[] = {{"", 1}, {"b", 1}, {"kb", 1024}, {"mb", 1024 * 1024}};
    const char *rest;
    if (!parse_digits(text, max, value, &rest))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(rest, units[i].name) == 0) {
            *value *= units[i].factor;
            return *value <= max;
        }
    }
    return false;
}

static bool parse_bool(const char *text, bool *value) {
    *value = strcmp(text, "true") == 0;
    return *value || strcmp(text, "false") == 0;
}

static void problem(struct nx_buf *problems, const char *name, const char *value,
                    const char *must) {
    nx_buf_printf(problems, "%s=%.80s: %s\n", name, value, must);
}

static void read_uint(const struct setting *s, const char *text, uint32_t *field,
                      struct nx_buf *problems) {
    uint64_t value = 0;
    bool ok =
        s->kind == BYTES ? parse_bytes(text, s->max, &value) : parse_number(text, s->max, &value);
    if (ok && value >= s->min)
        *field = (uint32_t)value;
    else
        nx_buf_printf(problems, "%s=%.80s: must be a whole number from %u to %u%s\n", s->name, text,
                      s->min, s->max,
                      s->kind == BYTES ? " (bytes), with kb or mb after it if you like" : "");
}

static void read_port(const struct setting *s, const char *text, int32_t *field,
                      struct nx_buf *problems) {
    uint64_t value;
    if (strcmp(text, "off") == 0)
        *field = NX_CONFIG_PORT_OFF;
    else if (parse_number(text, 65535, &value))
        *field = (int32_t)value;
    else
        problem(problems, s->name, text, "must be a port from 0 to 65535, or off");
}

static void read_algorithm(const struct setting *s, const char *text, enum nx_auth_alg *field,
                           struct nx_buf *problems) {
    for (int alg = 0; alg < NX_AUTH_ALGS; alg++) {
        if (strcmp(text, nx_auth_alg_name((enum nx_auth_alg)alg)) == 0) {
            *field = (enum nx_auth_alg)alg;
            return;
        }
    }
    problem(problems, s->name, text, "must be HS256, RS256, ES256 or EdDSA");
}

static void read_lockdown(const struct setting *s, const char *text, enum nx_lockdown_mode *field,
                          struct nx_buf *problems) {
    static const char *const names[] = {"on", "strict", "off"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *field = (enum nx_lockdown_mode)i;
            return;
        }
    }
    problem(problems, s->name, text, "must be on, strict or off");
}

static void read_setting(const struct setting *s, const char *text, struct nx_config *config,
                         struct nx_buf *problems) {
    char *field = (char *)config + s->offset;
    switch (s->kind) {
    case NUMBER:
    case BYTES:
        read_uint(s, text, (uint32_t *)(void *)field, problems);
        break;
    case PORT:
        read_port(s, text, (int32_t *)(void *)field, problems);
        break;
    case BOOL:
        if (!parse_bool(text, (bool *)field))
            problem(problems, s->name, text, "must be true or false");
        break;
    case TEXT:
        *(const char **)(void *)field = text;
        break;
    case LEVEL:
        if (nx_log_parse_level(text, (enum nx_log_level *)(void *)field))
            problem(problems, s->name, text, "must be debug, info, warn or error");
        break;
    case AUDIT:
        *(bool *)field = strcmp(text, "all") == 0;
        if (strcmp(text, "all") != 0 && strcmp(text, "denied") != 0)
            problem(problems, s->name, text, "must be all or denied");
        break;
    case ALGORITHM:
        read_algorithm(s, text, (enum nx_auth_alg *)(void *)field, problems);
        break;
    case LOCKDOWN:
        read_lockdown(s, text, (enum nx_lockdown_mode *)(void *)field, problems);
        break;
    }
}

// ---- The environment

static const struct setting *find_setting(const char *name, size_t len) {
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (strlen(settings[i].name) == len && memcmp(settings[i].name, name, len) == 0)
            return &settings[i];
    return NULL;
}

static void read_variable(const char *variable, struct nx_config *config, struct nx_buf *problems) {
    const char *equals = strchr(variable, '=');
    if (!equals)
        return;
    size_t len = (size_t)(equals - variable);
    const struct setting *s = find_setting(variable, len);
    // An empty value is how shells and manifests say "not set".
    if (s && equals[1])
        read_setting(s, equals + 1, config, problems);
    else if (!s && strncmp(variable, "NEXUS_", 6) == 0)
        nx_buf_printf(problems, "%.*s: no such setting (settings have no NEXUS_ prefix)\n",
                      (int)(len < 80 ? len : 80), variable);
}

// ---- Rules

bool nx_config_is_loopback(const char *host) {
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_address(const char *host) {
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

// False: it was a problem.
static bool check_address(struct nx_config *config, struct nx_buf *problems) {
    if (strcmp(config->host, "localhost") == 0)
        config->host = "127.0.0.1";
    if (is_address(config->host))
        return true;
    problem(problems, "HOST", config->host, "must be an IPv4 or IPv6 address, or localhost");
    return false;
}

static void check_host(struct nx_config *config, struct nx_buf *problems) {
    if (check_address(config, problems) && !nx_config_is_loopback(config->host) &&
        !config->allow_insecure && !config->auth_enabled)
        problem(problems, "HOST", config->host,
                "without authentication the server listens on loopback only; ALLOW_INSECURE=true "
                "lets everybody who reaches this address run handlers");
}

static void check_one_secret(const struct nx_config *config, struct nx_buf *problems) {
    if (config->jwt_secret && config->jwt_secret_file)
        nx_buf_append_str(problems, "JWT_SECRET: must not be set beside JWT_SECRET_FILE\n");
}

// The key that the algorithm needs, and no other: a key that lies about unused today is the one
// that somebody's tokens are signed with tomorrow.
static void check_key(const struct nx_config *config, struct nx_buf *problems) {
    const char *alg = nx_auth_alg_name(config->jwt_alg);
    bool secret = config->jwt_secret || config->jwt_secret_file;
    check_one_secret(config, problems);
    if (config->jwt_alg == NX_AUTH_HS256 && !secret)
        nx_buf_printf(problems, "AUTH_ENABLED=true: %s needs JWT_SECRET_FILE, or JWT_SECRET\n",
                      alg);
    if (config->jwt_alg == NX_AUTH_HS256 && config->jwt_public_key_file)
        nx_buf_printf(problems, "JWT_PUBLIC_KEY_FILE: not for %s; set JWT_ALG\n", alg);
    if (config->jwt_alg != NX_AUTH_HS256 && !config->jwt_public_key_file)
        nx_buf_printf(problems, "AUTH_ENABLED=true: %s needs JWT_PUBLIC_KEY_FILE\n", alg);
    if (config->jwt_alg != NX_AUTH_HS256 && secret)
        nx_buf_printf(problems, "%s: not for %s, which takes JWT_PUBLIC_KEY_FILE alone\n",
                      config->jwt_secret ? "JWT_SECRET" : "JWT_SECRET_FILE", alg);
}

static void check_auth(const struct nx_config *config, struct nx_buf *problems,
                       struct nx_buf *notes) {
    const struct {
        const char *name, *value;
    } unused[] = {
        {"JWT_SECRET", config->jwt_secret},
        {"JWT_SECRET_FILE", config->jwt_secret_file},
        {"JWT_PUBLIC_KEY_FILE", config->jwt_public_key_file},
        {"JWT_ISSUER", config->jwt_issuer},
        {"JWT_AUDIENCE", config->jwt_audience},
    };
    if (config->auth_enabled) {
        check_key(config, problems);
        return;
    }
    if (config->workspace_id)
        problem(problems, "WORKSPACE_ID", config->workspace_id,
                "shuts nobody out without AUTH_ENABLED=true");
    // Without their values: one is a secret.
    for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++)
        if (unused[i].value)
            nx_buf_printf(notes, "%s has no effect without AUTH_ENABLED=true\n", unused[i].name);
}

static void check_cache(struct nx_config *config) {
    if (config->cache_dir &&
        (strcmp(config->cache_dir, "off") == 0 || strcmp(config->cache_dir, "none") == 0))
        config->cache_dir = NULL;
}

static void check_public_url(const struct nx_config *config, struct nx_buf *problems) {
    const char *url = config->public_url;
    if (!url)
        return;
    size_t len = strlen(url);
    size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
    bool clean = true;
    for (size_t i = 0; i < len; i++)
        clean = clean && url[i] > ' ' && url[i] < 0x7f && !strchr("\"<>\\^`{|}?#@", url[i]);
    if (!scheme || len == scheme || url[len - 1] == '/' || !clean || len > NX_MAX_PUBLIC_URL_BYTES)
        problem(problems, "PUBLIC_URL", url,
                "must be http://host or https://host, perhaps with a port and a path, without '/' "
                "at its end");
}

static void check_instances(struct nx_config *config, struct nx_buf *problems) {
    // Who lowers the one does not have to know of the other.
    if (config->min_instances == MIN_INSTANCES_UNSET)
        config->min_instances = config->max_instances < NX_DEFAULT_MIN_INSTANCES
                                    ? config->max_instances
                                    : NX_DEFAULT_MIN_INSTANCES;
    if (config->min_instances > config->max_instances)
        nx_buf_printf(problems, "MIN_INSTANCES=%u: must not exceed MAX_INSTANCES (%u)\n",
                      config->min_instances, config->max_instances);
    if (config->memory_budget_mb && config->memory_budget_mb < config->memory_limit_mb)
        nx_buf_printf(problems,
                      "MEMORY_BUDGET_MB: %u MB do not hold one instance of MEMORY_LIMIT_MB (%u)\n",
                      config->memory_budget_mb, config->memory_limit_mb);
    uint32_t fit = config->memory_budget_mb ? config->memory_budget_mb / config->memory_limit_mb
                                            : config->max_instances;
    if (fit >= 1 && fit < config->max_instances)
        config->max_instances = fit;
}

// `text` is what `check` looked at.
static void check_http_text(struct nx_buf *problems, const char *name, const char *text,
                            int (*check)(const struct nx_ext_http_config *, struct nx_error *),
                            const struct nx_ext_http_config *http) {
    struct nx_error err = {0};
    if (check(http, &err))
        problem(problems, name, text, err.message);
}

static void check_http(struct nx_ext_http_config *http, struct nx_buf *problems) {
    if (http->allowed_domains &&
        (strcmp(http->allowed_domains, "none") == 0 || strcmp(http->allowed_domains, "off") == 0))
        http->allowed_domains = NULL;
    check_http_text(problems, "HTTP_ALLOWED_DOMAINS", http->allowed_domains,
                    nx_ext_http_check_domains, http);
    check_http_text(problems, "HTTP_EXT_ALLOW_ADDRESSES", http->allow_addresses,
                    nx_ext_http_check_addresses, http);
    check_http_text(problems, "HTTP_CA_FILE", http->ca_file, nx_ext_http_check_ca_file, http);
    check_http_text(problems, "HTTP_USER_AGENT", http->user_agent, nx_ext_http_check_user_agent,
                    http);
}

static bool is_of_http(const struct setting *s) {
    return s->offset >= AT(http) && s->offset < AT(http) + sizeof(struct nx_ext_http_config);
}

static bool is_of_address(const struct setting *s) {
    return strcmp(s->name, "HOST") == 0 || strcmp(s->name, "HTTP_PORT") == 0;
}

static bool is_of_tokens(const struct setting *s) {
    return strncmp(s->name, "JWT_", 4) == 0 || strcmp(s->name, "WORKSPACE_ID") == 0;
}

static void read_some(struct nx_config *config, const char *const *environment,
                      bool (*wanted)(const struct setting *s), struct nx_buf *problems) {
    *config = defaults;
    for (size_t i = 0; environment[i]; i++) {
        const char *equals = strchr(environment[i], '=');
        const struct setting *s =
            equals ? find_setting(environment[i], (size_t)(equals - environment[i])) : NULL;
        if (s && wanted(s) && equals[1])
            read_setting(s, equals + 1, config, problems);
    }
}

int nx_config_load_http(struct nx_ext_http_config *http, const char *const *environment,
                        struct nx_buf *problems) {
    struct nx_config config;
    read_some(&config, environment, is_of_http, problems);
    check_http(&config.http, problems);
    *http = config.http;
    return problems->len || problems->failed ? NX_E_INVALID : 0;
}

int nx_config_load_address(struct nx_config *config, const char *const *environment,
                           struct nx_buf *problems) {
    read_some(config, environment, is_of_address, problems);
    check_address(config, problems);
    return problems->len || problems->failed ? NX_E_INVALID : 0;
}

int nx_config_load_tokens(struct nx_config *config, const char *const *environment,
                          struct nx_buf *problems) {
    read_some(config, environment, is_of_tokens, problems);
    check_one_secret(config, problems);
    return problems->len || problems->failed ? NX_E_INVALID : 0;
}

int nx_config_load(struct nx_config *config, const char *const *environment,
                   struct nx_buf *problems, struct nx_buf *notes) {
    *config = defaults;
    uint32_t cpus = nx_machine_cpus();
    config->workers = cpus < NX_MAX_WORKERS ? cpus : NX_MAX_WORKERS;
    config->memory_budget_mb = (uint32_t)(nx_machine_memory_limit_mb() * 3 / 4);
    for (size_t i = 0; environment[i]; i++)
        read_variable(environment[i], config, problems);
    // A server beside another one is given a port; that must not collide over the other's second.
    if (config->ws_port == NX_CONFIG_PORT_UNSET)
        config->ws_port = config->http_port == defaults.http_port ? 3001 : NX_CONFIG_PORT_OFF;
    check_host(config, problems);
    check_auth(config, problems, notes);
    check_public_url(config, problems);
    check_instances(config, problems);
    check_cache(config);
    check_http(&config->http, problems);
    if (config->http_port == NX_CONFIG_PORT_OFF)
        nx_buf_append_str(problems, "HTTP_PORT=off: the server needs its port\n");
    return problems->len || problems->failed ? NX_E_INVALID : 0;
}
