// SPDX-License-Identifier: Apache-2.0
// The policy: what kinds may be granted, everything that can be wrong with a file, and reloading.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/limits.h"
#include "kernel/policy.h"

static struct nx_policy *parse(const char *json) {
    struct nx_policy *policy = NULL;
    struct nx_buf problems;
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    if (nx_policy_parse(&policy, nx_span_str(json), "p", &problems))
        fail_msg("%s", problems.data);
    assert_int_equal(problems.len, 0);
    nx_buf_free(&problems);
    return policy;
}

static bool allows(const struct nx_policy *policy, const char *kind, enum nx_cap_kind what,
                   const char *scope) {
    return nx_caps_allow(nx_policy_ceiling(policy, nx_span_str(kind)), what, nx_span_str(scope));
}

static void kinds_and_default(void **state) {
    (void)state;
    struct nx_policy *policy = parse("{\"default\":{\"grant\":[\"state:read:*\",\"ext:time\"]},"
                                     "\"monitor\":{\"grant\":[\"state:write:cpu\"]},"
                                     "\"none\":{\"grant\":[]}}");
    assert_true(allows(policy, "anything", NX_CAP_STATE_READ, "x"));
    assert_true(allows(policy, "nxml", NX_CAP_EXT, "time"));
    assert_false(allows(policy, "nxml", NX_CAP_EXT, "http"));
    assert_false(allows(policy, "nxml", NX_CAP_STATE_WRITE, "x"));
    // A rule of its own replaces the default, and kinds are compared byte for byte.
    assert_true(allows(policy, "monitor", NX_CAP_STATE_WRITE, "cpu"));
    assert_false(allows(policy, "monitor", NX_CAP_STATE_WRITE, "cpu2"));
    assert_false(allows(policy, "monitor", NX_CAP_STATE_READ, "cpu"));
    assert_true(allows(policy, "Monitor", NX_CAP_STATE_READ, "cpu"));
    assert_false(allows(policy, "none", NX_CAP_STATE_READ, "x"));
    nx_policy_free(policy);
}

static void without_default_nothing(void **state) {
    (void)state;
    struct nx_policy *policy = parse("{\"monitor\":{\"grant\":[\"state:read:*\"]}}");
    assert_true(allows(policy, "monitor", NX_CAP_STATE_READ, "x"));
    assert_false(allows(policy, "nxml", NX_CAP_STATE_READ, "x"));
    nx_policy_free(policy);
    policy = parse("{}");
    assert_non_null(nx_policy_ceiling(policy, nx_span_str("monitor")));
    assert_false(allows(policy, "monitor", NX_CAP_STATE_READ, "x"));
    nx_policy_free(policy);
    nx_policy_free(NULL);
}

static size_t lines(const struct nx_buf *b) {
    size_t count = 0;
    for (size_t i = 0; i < b->len; i++)
        count += b->data[i] == '\n';
    return count;
}

static void refused(const char *json, size_t count, const char *what) {
    struct nx_policy *policy = (struct nx_policy *)(uintptr_t)1;
    struct nx_buf problems;
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    int rc = nx_policy_parse(&policy, nx_span_str(json), "POLICY_FILE=p.json", &problems);
    if (rc != NX_E_INVALID || policy || lines(&problems) != count || !strstr(problems.data, what) ||
        strncmp(problems.data, "POLICY_FILE=p.json: ", 20) != 0)
        fail_msg("%s: %d %s", json, rc, problems.data ? problems.data : "");
    nx_buf_free(&problems);
}

static void everything_wrong_is_said(void **state) {
    (void)state;
    refused("", 1, "");
    refused("{\"a\":", 1, "");
    refused("[]", 1, "not a JSON object");
    refused("{\"a\":{\"grant\":[]},\"a\":{\"grant\":[]}}", 1, "duplicate");
    refused("{\"a\":{\"grant\":[],\"grant\":[\"ext:*\"]}}", 1, "duplicate");
    refused("{\"a\":[]}", 1, "\"a\": must be an object");
    refused("{\"a\":{}}", 1, "\"a\": \"grant\" is missing");
    refused("{\"a\":{\"grant\":\"ext:*\"}}", 1, "\"a\".grant: must be an array");
    refused("{\"a\":{\"grant\":null}}", 1, "\"a\".grant: must be an array");
    refused("{\"a\":{\"grant\":[7]}}", 1, "\"a\".grant[0]: must be a string");
    refused("{\"a\":{\"grant\":[\"ext:time\",\"*\"]}}", 1, "\"a\".grant[1]: unknown capability");
    refused("{\"a\":{\"grant\":[\"state:reed:x\"]}}", 1, "state:reed:x");
    refused("{\"a\":{\"grant\":[\"state:read:\"]}}", 1, "no scope");
    refused("{\"a\":{\"grant\":[],\"deny\":[]}}", 1, "something other than \"grant\"");
    refused("{\"\":{\"grant\":[]}}", 1, "a kind has a name");
    refused("{\"a\":{\"grant\":[7,\"x\"]},\"b\":1,\"c\":{},\"d\":{\"grant\":[\"ext:\"],\"e\":1}}",
            6, "\"b\": must be");
    // What the file holds cannot start a line of its own.
    refused("{\"a\\nb\":{\"grant\":[\"x\\ny\"]}}", 1, "x?y");
}

static void limits(void **state) {
    (void)state;
    struct nx_buf json;
    nx_buf_init(&json, NX_MAX_POLICY_BYTES);
    nx_buf_append_char(&json, '{');
    for (int i = 0; i <= NX_MAX_POLICY_KINDS; i++)
        nx_buf_printf(&json, "%s\"k%d\":{\"grant\":[]}", i ? "," : "", i);
    nx_buf_append_char(&json, '}');
    refused(json.data, 1, "more kinds");
    nx_buf_reset(&json);
    nx_buf_append_str(&json, "{\"a\":{\"grant\":[");
    for (int i = 0; i <= NX_MAX_CAPS; i++)
        nx_buf_printf(&json, "%s\"state:read:k%d\"", i ? "," : "", i);
    nx_buf_append_str(&json, "]}}");
    refused(json.data, 1, "more than");
    nx_buf_free(&json);
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    const int closed = fclose(file);
    assert_int_equal(closed, 0);
}

static void reload(void **state) {
    (void)state;
    char path[] = "/tmp/nexus-policy-XXXXXX";
    int fd = mkstemp(path);
    struct nx_policy *policy = NULL;
    struct nx_buf problems;
    assert_true(fd >= 0);
    nx_fd_close(&fd);
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    write_file(path, "{\"default\":{\"grant\":[\"ext:time\"]}}");
    assert_int_equal(nx_policy_load(&policy, path, &problems), 0);
    assert_true(allows(policy, "k", NX_CAP_EXT, "time"));
    write_file(path, "{\"default\":{\"grant\":[\"ext:http\"]}}");
    assert_int_equal(nx_policy_reload(policy, path, &problems), 0);
    assert_false(allows(policy, "k", NX_CAP_EXT, "time"));
    assert_true(allows(policy, "k", NX_CAP_EXT, "http"));
    assert_int_equal(problems.len, 0);
    // A broken file changes nothing, and neither does a missing one.
    write_file(path, "{\"default\":{\"grant\":[\"ext:*\",7]}}");
    assert_int_equal(nx_policy_reload(policy, path, &problems), NX_E_INVALID);
    assert_int_equal(lines(&problems), 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(nx_policy_reload(policy, path, &problems), NX_E_INVALID);
    assert_int_equal(lines(&problems), 2);
    assert_true(allows(policy, "k", NX_CAP_EXT, "http"));
    assert_false(allows(policy, "k", NX_CAP_EXT, "time"));
    nx_policy_free(policy);
    nx_buf_free(&problems);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_and_default),
        cmocka_unit_test(without_default_nothing),
        cmocka_unit_test(everything_wrong_is_said),
        cmocka_unit_test(limits),
        cmocka_unit_test(reload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
