// SPDX-License-Identifier: Apache-2.0
// What operators write: the settings, the policy, lists of origins, domains and
// addresses. Input: a first line that chooses, then the text; for settings,
// NAME=value lines.
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "ext/domains.h"
#include "ext/egress.h"
#include "fuzz.h"
#include "kernel/config.h"
#include "kernel/origins.h"
#include "kernel/policy.h"

enum { MAX_VARIABLES = 64 };

// Files are named by settings and opened when the settings are checked. Not
// here: one of them could be a terminal.
static bool names_file(const char *variable) {
    return strncmp(variable, "HTTP_CA_FILE=", 13) == 0;
}

static void check_config(const struct nx_config *c) {
    FUZZ_CHECK(c->host && c->http_port >= 0 && c->http_port <= 65535);
    FUZZ_CHECK(c->ws_port >= NX_CONFIG_PORT_OFF && c->metrics_port >= NX_CONFIG_PORT_OFF);
    FUZZ_CHECK(c->body_limit_bytes >= 1 && c->body_limit_bytes <= NX_MAX_BODY_LIMIT_BYTES);
    FUZZ_CHECK(c->workers >= 1 && c->workers <= NX_MAX_WORKERS);
    FUZZ_CHECK(c->max_instances >= 1 && c->max_instances <= NX_MAX_INSTANCES);
    FUZZ_CHECK(c->min_instances <= NX_MAX_INSTANCES);
    FUZZ_CHECK(c->memory_limit_mb >= NX_MIN_MEMORY_LIMIT_MB &&
               c->memory_limit_mb <= NX_MAX_MEMORY_LIMIT_MB);
    FUZZ_CHECK(!c->memory_budget_mb ||
               (uint64_t)c->max_instances * c->memory_limit_mb <= (uint64_t)c->memory_budget_mb);
    FUZZ_CHECK(c->timeout_ms >= 1 && c->timeout_ms <= NX_MAX_TIMEOUT_MS);
    FUZZ_CHECK(c->max_value_kb >= 1 && c->max_value_kb <= NX_MAX_EXECUTION_KB);
    // A server that everybody reaches asks who is there, or was told not to.
    FUZZ_CHECK(nx_config_is_loopback(c->host) || c->allow_insecure || c->auth_enabled);
    FUZZ_CHECK(!c->auth_enabled || c->jwt_alg != NX_AUTH_HS256 || c->jwt_secret ||
               c->jwt_secret_file);
    FUZZ_CHECK(!(c->jwt_secret && c->jwt_secret_file) || !c->auth_enabled);
}

// Complaints are lines, and say the same whatever the secret is.
static void check_texts(const struct nx_buf *problems, const struct nx_buf *notes,
                        char **variables) {
    struct nx_buf others[2];
    struct nx_config config;
    for (char **v = variables; *v; v++)
        if (strncmp(*v, "JWT_SECRET=", 11) == 0)
            memset(*v + 11, '?', strlen(*v + 11));
    nx_buf_init(&others[0], (size_t)1024 * 1024);
    nx_buf_init(&others[1], (size_t)1024 * 1024);
    nx_config_load(&config, (const char *const *)variables, &others[0], &others[1]);
    FUZZ_CHECK(nx_span_eq(nx_buf_span(problems), nx_buf_span(&others[0])));
    FUZZ_CHECK(nx_span_eq(nx_buf_span(notes), nx_buf_span(&others[1])));
    FUZZ_CHECK(problems->len == 0 || problems->data[problems->len - 1] == '\n');
    FUZZ_CHECK(notes->len == 0 || notes->data[notes->len - 1] == '\n');
    nx_buf_free(&others[0]);
    nx_buf_free(&others[1]);
}

static void fuzz_config(struct fuzz_input *in) {
    char *variables[MAX_VARIABLES + 1] = {0};
    struct nx_buf problems, notes, again;
    struct nx_config config, other;
    int count = 0;
    while (in->left && count < MAX_VARIABLES) {
        char *variable = fuzz_string(fuzz_until(in, '\n'));
        if (names_file(variable))
            free(variable);
        else
            variables[count++] = variable;
    }
    nx_buf_init(&problems, (size_t)1024 * 1024);
    nx_buf_init(&notes, (size_t)1024 * 1024);
    nx_buf_init(&again, (size_t)1024 * 1024);
    const char *const *environment = (const char *const *)variables;
    int rc = nx_config_load(&config, environment, &problems, &notes);
    FUZZ_CHECK(problems.failed == 0 && (rc == 0) == (problems.len == 0));
    if (rc == 0)
        check_config(&config);
    // What is good enough for the server is good enough for the commands that
    // read a part.
    int tokens = nx_config_load_tokens(&other, environment, &again);
    FUZZ_CHECK(rc != 0 || tokens == 0 || !config.auth_enabled);
    nx_buf_reset(&again);
    FUZZ_CHECK(nx_config_load_address(&other, environment, &again) == 0 || rc != 0);
    nx_buf_reset(&again);
    FUZZ_CHECK(nx_config_load_http(&other.http, environment, &again) == 0 || rc != 0);
    check_texts(&problems, &notes, variables);
    for (int i = 0; i < count; i++)
        free(variables[i]);
    nx_buf_free(&problems);
    nx_buf_free(&notes);
    nx_buf_free(&again);
}

static void fuzz_policy(struct nx_span text) {
    struct nx_policy *policy = NULL;
    struct nx_buf problems;
    nx_buf_init(&problems, (size_t)4 * 1024 * 1024);
    int rc = nx_policy_parse(&policy, text, "policy", &problems);
    FUZZ_CHECK((rc == 0) == (policy != NULL) && (rc == 0) == (problems.len == 0));
    FUZZ_CHECK(problems.len == 0 || nx_span_starts(nx_buf_span(&problems), nx_span_str("policy")));
    if (policy) {
        const struct nx_cap_set *most = nx_policy_ceiling(policy, nx_span_str("default"));
        const struct nx_cap_set *other =
            nx_policy_ceiling(policy, nx_span_str("no such kind \x01"));
        // Who writes nothing, grants nothing; a kind of which nothing is said gets
        // the default.
        FUZZ_CHECK(most && other && most->count == other->count);
        bool grants = memmem(text.data, text.len, "grant", 5) || memchr(text.data, '\\', text.len);
        FUZZ_CHECK(grants || (most->count == 0 && !most->all[NX_CAP_STATE_READ]));
    }
    nx_policy_free(policy);
    nx_buf_free(&problems);
}

static void fuzz_origins(const char *text) {
    struct nx_origins *origins = NULL;
    struct nx_buf problems;
    nx_buf_init(&problems, (size_t)1024 * 1024);
    int rc = nx_origins_parse(&origins, text, &problems);
    FUZZ_CHECK((rc == 0) == (problems.len == 0));
    bool any = rc == 0 && strchr(text, '*');
    FUZZ_CHECK(any || !nx_origins_match(origins, nx_span_str("null")));
    FUZZ_CHECK(any || !nx_origins_match(origins, nx_span_str("https://not.in.the.list.example")));
    FUZZ_CHECK(any || !nx_origins_match(origins, nx_span_str("")));
    // What it answers with can stand in a header.
    const char *answer = nx_origins_match(origins, nx_span_str("http://a"));
    FUZZ_CHECK(!answer || (strpbrk(answer, "\r\n,") == NULL && answer[0]));
    nx_origins_free(origins);
    nx_buf_free(&problems);
}

static void fuzz_domains(const char *text, struct nx_span host) {
    struct nx_domains domains = {0};
    struct nx_error err = {0};
    int rc = nx_domains_parse(&domains, text, &err);
    FUZZ_CHECK_ERROR(rc, &err);
    if (rc)
        return;
    bool allowed = nx_domains_allow(&domains, host);
    FUZZ_CHECK(!domains.any || allowed || host.len == 0);
    // Only what ends as some item does can be allowed.
    if (allowed && !domains.any) {
        size_t len = host.len && host.data[host.len - 1] == '.' ? host.len - 1 : host.len;
        char last = (char)(len ? host.data[len - 1] | 0x20 : 0);
        FUZZ_CHECK(len > 0 && (strchr(domains.text, last) || strchr(domains.text, last & ~0x20)));
    }
    nx_domains_free(&domains);
}

static void fuzz_addresses(const char *text, struct nx_span host) {
    static struct nx_egress_exceptions none;
    struct nx_egress_exceptions list = {0};
    struct nx_error err = {0};
    int rc = nx_egress_parse(&list, text, &err);
    FUZZ_CHECK_ERROR(rc, &err);
    FUZZ_CHECK(list.count <= NX_MAX_EGRESS_EXCEPTIONS);
    for (size_t i = 0; rc == 0 && i < list.count; i++)
        FUZZ_CHECK(list.items[i].port != 0);
    // Exceptions only ever allow more.
    char *address = fuzz_string(host);
    const char *plain = nx_egress_judge_text(&none, address, 443);
    FUZZ_CHECK(rc || plain || !nx_egress_judge_text(&list, address, 443));
    free(address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = fuzz_input(data, size);
    struct nx_span choice = fuzz_until(&in, '\n');
    if (nx_span_eq(choice, nx_span_str("config"))) {
        fuzz_config(&in);
        return 0;
    }
    bool policy = nx_span_eq(choice, nx_span_str("policy"));
    struct nx_span host = policy ? fuzz_nothing() : fuzz_until(&in, '\n');
    struct nx_span rest = fuzz_rest(&in);
    char *text = fuzz_string(rest);
    if (policy)
        fuzz_policy(rest);
    else if (nx_span_eq(choice, nx_span_str("origins")))
        fuzz_origins(text);
    else if (nx_span_eq(choice, nx_span_str("domains")))
        fuzz_domains(text, host);
    else
        fuzz_addresses(text, host);
    free(text);
    return 0;
}
