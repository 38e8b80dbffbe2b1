// SPDX-License-Identifier: Apache-2.0
// Claims, as they come out of a token whose signature was right.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "kernel/auth_claims.h"

enum { NOW = 1800000000 };

static struct nx_identity *accept(const struct nx_claim_rules *rules, const char *claims) {
    static const struct nx_claim_rules none;
    struct nx_identity *identity = NULL;
    struct nx_error err = {0};
    if (nx_claims_read(nx_span_str(claims), rules ? rules : &none, NOW, &identity, &err))
        fail_msg("%s: %s", claims, err.message);
    return identity;
}

static void accepted(const struct nx_claim_rules *rules, const char *claims) {
    nx_identity_unref(accept(rules, claims));
}

static void refused(const struct nx_claim_rules *rules, const char *claims, const char *reason) {
    static const struct nx_claim_rules none;
    struct nx_identity *identity = NULL;
    struct nx_error err = {0};
    int rc = nx_claims_read(nx_span_str(claims), rules ? rules : &none, NOW, &identity, &err);
    if (rc != NX_E_INVALID || identity || !err.message[0] || !strstr(err.message, reason))
        fail_msg("%s: %d \"%s\" instead of \"%s\"", claims, rc, err.message, reason);
}

static void what_is_absent_is_not_given(void **state) {
    (void)state;
    struct nx_identity *who = accept(NULL, "{\"exp\":1800000600}");
    assert_string_equal(who->subject, "");
    assert_int_equal(who->permissions, 0);
    assert_false(who->limits_grants);
    nx_identity_unref(who);
    who = accept(NULL, "{\"exp\":1800000600,\"capabilities\":[],\"permissions\":[]}");
    assert_int_equal(who->permissions, 0);
    assert_true(who->limits_grants);
    assert_false(nx_caps_allow(&who->grants, NX_CAP_STATE_READ, nx_span_str("x")));
    nx_identity_unref(who);
    who = accept(NULL, "{\"exp\":1800000600,\"permissions\":[\"*\"]}");
    assert_int_equal(who->permissions, NX_MAY_ALL);
    nx_identity_unref(who);
    // Only whole names count.
    who = accept(NULL, "{\"exp\":1800000600,\"permissions\":[\"panel\",\"panel:*\",\"PANEL:READ\","
                       "\"panel:read \",\"**\",\"\"]}");
    assert_int_equal(who->permissions, 0);
    nx_identity_unref(who);
}

static void times(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "{}",
        "{\"exp\":null}",
        "{\"exp\":\"1800000600\"}",
        "{\"exp\":true}",
        "{\"exp\":[1800000600]}",
        "{\"exp\":1799999970}",
        "{\"exp\":0}",
        "{\"exp\":-1}",
        "{\"exp\":1}",
        "{\"exp\":1e300}",
        "{\"exp\":1e400}",
        "{\"exp\":9223372036854775807}",
        "{\"exp\":99999999999999999999}",
        "{\"exp\":1800000600000}",
        "{\"exp\":-1e300}",
        "{\"exp\":NaN}",
        "{\"exp\":Infinity}",
        "{\"exp\":1800000600,\"nbf\":1800000031}",
        "{\"exp\":1800000600,\"nbf\":\"0\"}",
        "{\"exp\":1800000600,\"nbf\":null}",
        "{\"exp\":1800000600,\"nbf\":1e300}",
        "{\"exp\":1800000600,\"iat\":1800000031}",
        "{\"exp\":1800000600,\"iat\":{}}",
        "{\"exp\":1,\"exp\":1800000600}",
        "{\"exp\":1800000600,\"exp\":1800000600}",
        "{\"exp\":1800000600,\"\\u0065xp\":1800000601}",
        "{\"Exp\":1800000600}",
    };
    static const char *const right[] = {
        "{\"exp\":1799999971}",
        "{\"exp\":1800000600.75}",
        "{\"exp\":1.8000006e9}",
        "{\"exp\":253402300799}",
        "{\"exp\":1800000600,\"nbf\":1800000030,\"iat\":1800000030}",
        "{\"exp\":1800000600,\"nbf\":0}",
        " {\r\n\t\"exp\" : 1800000600 } ",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refused(NULL, wrong[i], "");
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        accepted(NULL, right[i]);
    refused(NULL, "{\"exp\":1799999970}", "expired");
    refused(NULL, "{\"exp\":1800000600,\"nbf\":1800000031}", "nbf is in the future");
}

static void parties(void **state) {
    (void)state;
    const struct nx_claim_rules rules = {"https://id.example", "nexus", "w1"};
#define WHOLE "\"exp\":1800000600,"
    static const char *const wrong[] = {
        "\"aud\":\"nexus\",\"workspace_id\":\"w1\"",
        "\"iss\":\"https://id.example\",\"workspace_id\":\"w1\"",
        "\"iss\":\"https://id.example\",\"aud\":\"nexus\"",
        "\"iss\":\"https://id.example/\",\"aud\":\"nexus\",\"workspace_id\":\"w1\"",
        "\"iss\":[\"https://id.example\"],\"aud\":\"nexus\",\"workspace_id\":\"w1\"",
        "\"iss\":null,\"aud\":\"nexus\",\"workspace_id\":\"w1\"",
        "\"iss\":\"https://id.example\",\"aud\":\"Nexus\",\"workspace_id\":\"w1\"",
        "\"iss\":\"https://id.example\",\"aud\":[],\"workspace_id\":\"w1\"",
        "\"iss\":\"https://id.example\",\"aud\":[\"other\"],\"workspace_id\":\"w1\"",
        "\"iss\":\"https://id.example\",\"aud\":[\"nexus\",7],\"workspace_id\":\"w1\"",
        "\"iss\":\"https://id.example\",\"aud\":{\"nexus\":1},\"workspace_id\":\"w1\"",
        "\"iss\":\"https://id.example\",\"aud\":\"nexus\",\"workspace_id\":\"w2\"",
        "\"iss\":\"https://id.example\",\"aud\":\"nexus\",\"workspace_id\":\"w1 \"",
        "\"iss\":\"https://id.example\",\"aud\":\"nexus\",\"workspace_id\":[\"w1\"]",
        "\"iss\":\"https://id.example\",\"aud\":\"nexus\",\"workspace_id\":\"w1\\u0000\"",
        "\"iss\":\"https://id.example\",\"aud\":\"nexus\",\"workspace_id\":\"\\uff571\"",
        ("\"iss\":\"https://id.example\",\"aud\":\"nexus\",\"workspace_id\":\"w2\","
         "\"workspace_id\":\"w1\""),
    };
    char claims[512];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(claims, sizeof claims, "{" WHOLE "%s}", wrong[i]);
        refused(&rules, claims, "");
    }
#define RIGHT "\"iss\":\"https://id.example\",\"workspace_id\":\"w1\","
    accepted(&rules, "{" WHOLE RIGHT "\"aud\":\"nexus\"}");
    accepted(&rules, "{" WHOLE RIGHT "\"aud\":[\"other\",\"nexus\"]}");
    // Where nothing is configured, only types are checked.
    accepted(NULL, "{" WHOLE RIGHT "\"aud\":\"anybody\"}");
    refused(NULL, "{" WHOLE "\"aud\":7}", "aud");
    refused(NULL, "{" WHOLE "\"workspace_id\":7}", "workspace_id");
}

static void wrong_types(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "\"sub\":7",
        "\"sub\":null",
        "\"sub\":[\"ada\"]",
        "\"sub\":\"a\\u0000b\"",
        "\"permissions\":null",
        "\"permissions\":\"*\"",
        "\"permissions\":{\"*\":1}",
        "\"permissions\":[\"*\",7]",
        "\"permissions\":[[\"*\"]]",
        "\"permissions\":[],\"permissions\":[\"*\"]",
        "\"capabilities\":null",
        "\"capabilities\":\"state:read:*\"",
        "\"capabilities\":[\"state:read\"]",
        "\"capabilities\":[\"*\"]",
        "\"capabilities\":[\"state:reed:x\"]",
        "\"capabilities\":[7]",
        "\"capabilities\":[\"ext:\"]",
        "\"x\":{\"a\":1,\"a\":2}",
    };
    char claims[512];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(claims, sizeof claims, "{" WHOLE "%s}", wrong[i]);
        refused(NULL, claims, "");
    }
    snprintf(claims, sizeof claims, "{" WHOLE "\"sub\":\"%0*d\"}", NX_MAX_SUBJECT_BYTES + 1, 0);
    refused(NULL, claims, "sub");
    snprintf(claims, sizeof claims, "{" WHOLE "\"sub\":\"%0*d\"}", NX_MAX_SUBJECT_BYTES, 0);
    accepted(NULL, claims);
    accepted(NULL, "{" WHOLE "\"sub\":\"\\u00e9\\ud83d\\ude00\"}");
}

static void permission_names(void **state) {
    (void)state;
    for (unsigned bit = 1; bit < NX_MAY_ALL; bit <<= 1)
        assert_int_equal(
            nx_permission_parse(nx_span_str(nx_permission_name((enum nx_permission)bit))), bit);
    assert_int_equal(nx_permission_parse(nx_span_str("*")), NX_MAY_ALL);
    assert_int_equal(nx_permission_parse(nx_span_str("panel:fly")), 0);
    assert_int_equal(nx_permission_parse(nx_span_str("")), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_absent_is_not_given),
        cmocka_unit_test(times),
        cmocka_unit_test(parties),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(permission_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
