// SPDX-License-Identifier: Apache-2.0
// Settings: defaults, bounds, every problem listed, and nothing that protects ever ignored.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "kernel/config.h"
#include "kernel/machine.h"

struct loaded {
    struct nx_config config;
    struct nx_buf problems, notes;
    int rc;
};

static void load(struct loaded *l, const char *const *environment) {
    nx_buf_init(&l->problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    nx_buf_init(&l->notes, NX_MAX_CONFIG_PROBLEM_BYTES);
    l->rc = nx_config_load(&l->config, environment, &l->problems, &l->notes);
}

static void unload(struct loaded *l) {
    nx_buf_free(&l->problems);
    nx_buf_free(&l->notes);
}

static size_t line_count(const struct nx_buf *b) {
    size_t lines = 0;
    for (size_t i = 0; i < b->len; i++)
        lines += b->data[i] == '\n';
    return lines;
}

static void defaults(void **state) {
    (void)state;
    struct loaded l;
    load(&l, (const char *const[]){"PATH=/bin", "HOSTNAME=x", "HTTP_PROXY=y", "HOST=", NULL});
    assert_int_equal(l.rc, 0);
    assert_string_equal(l.config.host, "127.0.0.1");
    assert_int_equal(l.config.http_port, 3000);
    assert_int_equal(l.config.ws_port, 3001);
    assert_int_equal(l.config.metrics_port, NX_CONFIG_PORT_OFF);
    assert_null(l.config.public_url);
    assert_int_equal(l.config.body_limit_bytes, 1024 * 1024);
    assert_int_equal(l.config.timeout_ms, 5000);
    assert_int_equal(l.config.max_panels, 10000);
    assert_int_equal(l.config.workers, nx_machine_cpus());
    assert_int_equal(l.config.log_level, NX_LOG_INFO);
    assert_false(l.config.log_pretty || l.config.audit_all);
    assert_int_equal(l.notes.len, 0);
    unload(&l);
}

static void values(void **state) {
    (void)state;
    struct loaded l;
    load(&l, (const char *const[]){"HOST=::1", "HTTP_PORT=0", "WS_PORT=off", "METRICS_PORT=9",
                                   "PUBLIC_URL=https://x.example/n", "BODY_LIMIT=512KB",
                                   "WORKERS=3", "LOG_LEVEL=debug", "LOG_PRETTY=true", "AUDIT=all",
                                   "AUTH_ENABLED=false", "TIMEOUT_MS=1", NULL});
    assert_int_equal(l.rc, 0);
    assert_string_equal(l.config.host, "::1");
    assert_int_equal(l.config.http_port, 0);
    assert_int_equal(l.config.ws_port, NX_CONFIG_PORT_OFF);
    assert_int_equal(l.config.metrics_port, 9);
    assert_string_equal(l.config.public_url, "https://x.example/n");
    assert_int_equal(l.config.body_limit_bytes, 512 * 1024);
    assert_int_equal(l.config.workers, 3);
    assert_int_equal(l.config.timeout_ms, 1);
    assert_int_equal(l.config.log_level, NX_LOG_DEBUG);
    assert_true(l.config.log_pretty && l.config.audit_all);
    unload(&l);
}

static void byte_sizes(void **state) {
    (void)state;
    static const struct {
        const char *variable;
        uint32_t bytes; // 0: refused
    } cases[] = {
        {"BODY_LIMIT=1", 1},          {"BODY_LIMIT=100b", 100},
        {"BODY_LIMIT=2kb", 2048},     {"BODY_LIMIT=16mb", 16777216},
        {"BODY_LIMIT=17mb", 0},       {"BODY_LIMIT=0", 0},
        {"BODY_LIMIT=-1", 0},         {"BODY_LIMIT=1.5mb", 0},
        {"BODY_LIMIT=1 mb", 0},       {"BODY_LIMIT=mb", 0},
        {"BODY_LIMIT=1gb", 0},        {"BODY_LIMIT=1mbx", 0},
        {"BODY_LIMIT=4294967297", 0}, {"BODY_LIMIT=16777217", 0},
        {"BODY_LIMIT=9999999mb", 0},  {"BODY_LIMIT=18446744073709551617", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct loaded l;
        load(&l, (const char *const[]){cases[i].variable, NULL});
        if ((l.rc == 0) != (cases[i].bytes != 0))
            fail_msg("%s: %d", cases[i].variable, l.rc);
        if (l.rc == 0)
            assert_int_equal(l.config.body_limit_bytes, cases[i].bytes);
        unload(&l);
    }
}

// Each of these alone stops the start, with one line that names it.
static void refused_alone(void **state) {
    (void)state;
    static const char *const cases[] = {
        "HTTP_PORT=65536",
        "HTTP_PORT=http",
        "HTTP_PORT=off",
        "WS_PORT=-1",
        "METRICS_PORT=x",
        "WORKERS=0",
        "WORKERS=257",
        "WORKERS=2x",
        "MAX_PANELS=0",
        "MAX_QUEUE=1e3",
        "TIMEOUT_MS=600001",
        "MEMORY_LIMIT_MB=1025",
        "LOG_LEVEL=verbose",
        "LOG_PRETTY=yes",
        "AUDIT=none",
        "HOST=0.0.0.0",
        "HOST=::",
        "HOST=example.com",
        "HOST=192.168.0.1",
        "HOST=127.1",
        "ALLOW_INSECURE=1",
        "AUTH_ENABLED=true",
        "AUTH_ENABLED=1",
        "JWT_ALG=none",
        "JWT_ALG=hs256",
        "JWT_ALG=HS512",
        "WORKSPACE_ID=w",
        "NEXUS_HTTP_PORT=3000",
        "NEXUS_ANYTHING=",
        "PUBLIC_URL=x.example",
        "PUBLIC_URL=ftp://x",
        "PUBLIC_URL=http://",
        "PUBLIC_URL=http://x/",
        "PUBLIC_URL=http://x\"y",
        "PUBLIC_URL=http://u@x",
        "MIN_INSTANCES=257",
        "MEMORY_BUDGET_MB=16",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct loaded l;
        load(&l, (const char *const[]){cases[i], NULL});
        size_t name = strcspn(cases[i], "=");
        if (l.rc != NX_E_INVALID || line_count(&l.problems) != 1 ||
            strncmp(l.problems.data, cases[i], name) != 0)
            fail_msg("%s: %d %s", cases[i], l.rc, l.problems.data ? l.problems.data : "");
        unload(&l);
    }
}

static void every_problem_is_listed(void **state) {
    (void)state;
    struct loaded l;
    load(&l, (const char *const[]){"WORKERS=x", "NEXUS_A=1", "HOST=here", "AUTH_ENABLED=true",
                                   "BODY_LIMIT=", NULL});
    assert_int_equal(l.rc, NX_E_INVALID);
    assert_int_equal(line_count(&l.problems), 4);
    unload(&l);
}

static void insecure_has_to_be_said(void **state) {
    (void)state;
    struct loaded l;
    load(&l, (const char *const[]){"HOST=0.0.0.0", "ALLOW_INSECURE=true", NULL});
    assert_int_equal(l.rc, 0);
    unload(&l);
    load(&l, (const char *const[]){"HOST=localhost", NULL});
    assert_int_equal(l.rc, 0);
    assert_true(nx_config_is_loopback(l.config.host));
    unload(&l);
}

// How many lines `environment` is a problem for; each of them starts with one of its names.
static size_t problem_count(const char *const *environment) {
    struct loaded l;
    load(&l, environment);
    size_t count = line_count(&l.problems);
    assert_true((l.rc == 0) == (count == 0));
    assert_true(!count || !strstr(l.problems.data, "hush"));
    unload(&l);
    return count;
}

static void the_key_of_the_algorithm_and_no_other(void **state) {
    (void)state;
    static const struct {
        const char *settings[5];
        size_t problems;
    } cases[] = {
        {{"JWT_SECRET_FILE=s"}, 0},
        {{"JWT_SECRET=hush", "JWT_ALG=HS256"}, 0},
        {{"JWT_ALG=RS256", "JWT_PUBLIC_KEY_FILE=k"}, 0},
        {{"JWT_ALG=ES256", "JWT_PUBLIC_KEY_FILE=k"}, 0},
        {{"JWT_ALG=EdDSA", "JWT_PUBLIC_KEY_FILE=k", "JWT_ISSUER=i", "JWT_AUDIENCE=a"}, 0},
        {{"WORKSPACE_ID=w", "JWT_SECRET_FILE=s", "HOST=0.0.0.0"}, 0},
        {{"JWT_SECRET=hush", "JWT_SECRET_FILE=s"}, 1},
        {{"JWT_SECRET=hush", "JWT_PUBLIC_KEY_FILE=k"}, 1},
        {{"JWT_ALG=RS256"}, 1},
        {{"JWT_ALG=RS256", "JWT_PUBLIC_KEY_FILE=k", "JWT_SECRET=hush"}, 1},
        {{"JWT_ALG=ES256", "JWT_PUBLIC_KEY_FILE=k", "JWT_SECRET_FILE=s"}, 1},
        {{"JWT_ALG=EdDSA", "JWT_SECRET=hush"}, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *environment[7] = {"AUTH_ENABLED=true"};
        memcpy(environment + 1, cases[i].settings, sizeof cases[i].settings);
        if (problem_count(environment) != cases[i].problems)
            fail_msg("%s, %s", cases[i].settings[0], cases[i].settings[1]);
    }
}

static void token_settings_alone(void **state) {
    (void)state;
    struct nx_config config;
    struct nx_buf problems;
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    const char *const fine[] = {"HTTP_PORT=many", "JWT_SECRET=s", "WORKSPACE_ID=w", NULL};
    assert_int_equal(nx_config_load_tokens(&config, fine, &problems), 0);
    assert_string_equal(config.jwt_secret, "s");
    assert_string_equal(config.workspace_id, "w");
    const char *const wrong[] = {"JWT_SECRET=s", "JWT_SECRET_FILE=f", "JWT_ALG=x", NULL};
    assert_int_equal(nx_config_load_tokens(&config, wrong, &problems), NX_E_INVALID);
    assert_int_equal(line_count(&problems), 2);
    nx_buf_free(&problems);
}

static void loopback(void **state) {
    (void)state;
    assert_true(nx_config_is_loopback("127.0.0.1"));
    assert_true(nx_config_is_loopback("127.255.255.254"));
    assert_true(nx_config_is_loopback("::1"));
    assert_false(nx_config_is_loopback("128.0.0.1"));
    assert_false(nx_config_is_loopback("::"));
    assert_false(nx_config_is_loopback("::ffff:127.0.0.1"));
    assert_false(nx_config_is_loopback("0.0.0.0"));
    assert_false(nx_config_is_loopback("localhost"));
    assert_false(nx_config_is_loopback(""));
}

static void notes_name_the_setting_and_not_its_value(void **state) {
    (void)state;
    struct loaded l;
    load(&l, (const char *const[]){"JWT_SECRET=hush-hush", "CORS_ORIGINS=none", NULL});
    assert_int_equal(l.rc, 0);
    assert_int_equal(line_count(&l.notes), 1);
    assert_non_null(strstr(l.notes.data, "JWT_SECRET"));
    assert_null(strstr(l.notes.data, "hush"));
    unload(&l);
}

static void a_cache_on_disk_is_off_unless_named(void **state) {
    (void)state;
    static const char *const off[] = {"X=1", "CACHE_DIR=", "CACHE_DIR=off", "CACHE_DIR=none"};
    struct loaded l;
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        load(&l, (const char *const[]){off[i], NULL});
        assert_int_equal(l.rc, 0);
        assert_null(l.config.cache_dir);
        unload(&l);
    }
    load(&l, (const char *const[]){"CACHE_DIR=/var/cache/nexus", NULL});
    assert_int_equal(l.rc, 0);
    assert_string_equal(l.config.cache_dir, "/var/cache/nexus");
    unload(&l);
}

static void budget_bounds_instances(void **state) {
    (void)state;
    struct loaded l;
    load(&l, (const char *const[]){"MEMORY_BUDGET_MB=100", "MEMORY_LIMIT_MB=32", NULL});
    assert_int_equal(l.rc, 0);
    assert_int_equal(l.config.max_instances, 3);
    unload(&l);
    load(&l, (const char *const[]){"MEMORY_BUDGET_MB=1000000", "MEMORY_LIMIT_MB=32", NULL});
    assert_int_equal(l.config.max_instances, NX_DEFAULT_MAX_INSTANCES);
    unload(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(values),
        cmocka_unit_test(byte_sizes),
        cmocka_unit_test(refused_alone),
        cmocka_unit_test(every_problem_is_listed),
        cmocka_unit_test(insecure_has_to_be_said),
        cmocka_unit_test(the_key_of_the_algorithm_and_no_other),
        cmocka_unit_test(token_settings_alone),
        cmocka_unit_test(loopback),
        cmocka_unit_test(notes_name_the_setting_and_not_its_value),
        cmocka_unit_test(a_cache_on_disk_is_off_unless_named),
        cmocka_unit_test(budget_bounds_instances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
