// SPDX-License-Identifier: Apache-2.0
// Claims: every one that matters is checked for its type first, so that no reader can be made to
// see something else in it than the issuer meant.
#include "kernel/auth_claims.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "kernel/auth_json.h"

// ---- Permissions

static const struct {
    const char *name;
    enum nx_permission bit;
} permissions[] = {
    {"panel:create", NX_MAY_CREATE},   {"panel:read", NX_MAY_READ},
    {"panel:execute", NX_MAY_EXECUTE}, {"panel:delete", NX_MAY_DELETE},
    {"metrics:read", NX_MAY_METRICS},  {"*", NX_MAY_ALL},
};
enum { PERMISSIONS = sizeof permissions / sizeof permissions[0] };

unsigned nx_permission_parse(struct nx_span name) {
    for (int i = 0; i < PERMISSIONS; i++)
        if (nx_span_eq(name, nx_span_str(permissions[i].name)))
            return (unsigned)permissions[i].bit;
    return 0;
}

const char *nx_permission_name(enum nx_permission permission) {
    for (int i = 0; i < PERMISSIONS; i++)
        if (permissions[i].bit == permission)
            return permissions[i].name;
    return "";
}

// ---- Identities

struct nx_identity *nx_identity_ref(struct nx_identity *identity) {
    identity->refs++;
    return identity;
}

void nx_identity_unref(struct nx_identity *identity) {
    if (!identity || --identity->refs)
        return;
    nx_caps_free(&identity->grants);
    free(identity->subject);
    free(identity);
}

// ---- Times

// 9999-12-31T23:59:59Z. Issuers that count in milliseconds would otherwise make tokens for fifty
// thousand years.
static const double last_second = 253402300799.0;

// A NumericDate: seconds, perhaps with a fraction, which is dropped.
static int read_time(const json_t *value, const char *name, int64_t *out, struct nx_error *err) {
    double seconds = json_is_number(value) ? json_number_value(value) : -1;
    if (!isfinite(seconds) || seconds < 0 || seconds > last_second)
        return nx_error_set(err, NX_E_INVALID, "%s is not a time in seconds", name);
    *out = (int64_t)seconds;
    return 0;
}

bool nx_claims_expired(int64_t expires_at_s, int64_t now_s) {
    return now_s >= expires_at_s + NX_TOKEN_LEEWAY_S;
}

static int check_times(const json_t *claims, int64_t now_s, int64_t *expires_at_s,
                       struct nx_error *err) {
    static const char *const beginnings[] = {"nbf", "iat"};
    const json_t *value = json_object_get(claims, "exp");
    if (!value)
        return nx_error_set(err, NX_E_INVALID, "exp is missing");
    int rc = read_time(value, "exp", expires_at_s, err);
    if (rc == 0 && nx_claims_expired(*expires_at_s, now_s))
        rc = nx_error_set(err, NX_E_INVALID, "it has expired");
    for (size_t i = 0; rc == 0 && i < sizeof beginnings / sizeof beginnings[0]; i++) {
        int64_t from = 0;
        value = json_object_get(claims, beginnings[i]);
        if (!value)
            continue;
        rc = read_time(value, beginnings[i], &from, err);
        if (rc == 0 && from > now_s + NX_TOKEN_LEEWAY_S)
            rc = nx_error_set(err, NX_E_INVALID, "%s is in the future", beginnings[i]);
    }
    return rc;
}

// ---- For whom, by whom

static bool equals(const json_t *value, const char *text) {
    size_t len = strlen(text);
    return json_is_string(value) && json_string_length(value) == len &&
           memcmp(json_string_value(value), text, len) == 0;
}

static int check_text(const json_t *claims, const char *name, const char *wanted,
                      struct nx_error *err) {
    const json_t *value = json_object_get(claims, name);
    if (value && !json_is_string(value))
        return nx_error_set(err, NX_E_INVALID, "%s is not a string", name);
    if (wanted && (!value || !equals(value, wanted)))
        return nx_error_set(err, NX_E_INVALID, "%s is not the one this server takes", name);
    return 0;
}

static int check_audience(const json_t *claims, const char *wanted, struct nx_error *err) {
    const json_t *value = json_object_get(claims, "aud");
    if (!json_is_array(value))
        return check_text(claims, "aud", wanted, err);
    bool found = !wanted;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        if (!json_is_string(one))
            return nx_error_set(err, NX_E_INVALID, "aud holds something that is not a string");
        found = found || equals(one, wanted);
    }
    return found ? 0 : nx_error_set(err, NX_E_INVALID, "aud is not the one this server takes");
}

static int check_parties(const json_t *claims, const struct nx_claim_rules *rules,
                         struct nx_error *err) {
    int rc = check_text(claims, "iss", rules->issuer, err);
    if (rc == 0)
        rc = check_audience(claims, rules->audience, err);
    if (rc == 0)
        rc = check_text(claims, "workspace_id", rules->workspace_id, err);
    return rc;
}

// ---- The bearer

static int read_subject(const json_t *claims, struct nx_identity *identity, struct nx_error *err) {
    const json_t *value = json_object_get(claims, "sub");
    int rc = check_text(claims, "sub", NULL, err);
    if (rc)
        return rc;
    if (value && json_string_length(value) > NX_MAX_SUBJECT_BYTES)
        return nx_error_set(err, NX_E_INVALID, "sub is longer than %d bytes", NX_MAX_SUBJECT_BYTES);
    identity->subject = strdup(value ? json_string_value(value) : "");
    return identity->subject ? 0 : nx_error_set(err, NX_E_NOMEM, "out of memory");
}

static struct nx_span text_of(const json_t *value) {
    return nx_span_of(json_string_value(value), json_string_length(value));
}

static int read_permissions(const json_t *claims, struct nx_identity *identity,
                            struct nx_error *err) {
    const json_t *list = json_object_get(claims, "permissions");
    if (!list)
        return 0;
    bool valid = json_is_array(list);
    for (size_t i = 0; valid && i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        valid = json_is_string(one);
        if (valid)
            identity->permissions |= nx_permission_parse(text_of(one));
    }
    return valid ? 0 : nx_error_set(err, NX_E_INVALID, "permissions is not an array of strings");
}

static int read_capabilities(const json_t *claims, struct nx_identity *identity,
                             struct nx_error *err) {
    const json_t *list = json_object_get(claims, "capabilities");
    if (!list)
        return 0;
    if (!json_is_array(list))
        return nx_error_set(err, NX_E_INVALID, "capabilities is not an array of strings");
    identity->limits_grants = true;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        int rc =
            json_is_string(one) ? nx_caps_add(&identity->grants, text_of(one), NULL) : NX_E_INVALID;
        if (rc == NX_E_NOMEM)
            return nx_error_set(err, rc, "out of memory");
        if (rc)
            return nx_error_set(err, NX_E_INVALID, "capabilities[%zu] is not a capability", i);
    }
    return 0;
}

int nx_claims_read(struct nx_span json, const struct nx_claim_rules *rules, int64_t now_s,
                   struct nx_identity **out, struct nx_error *err) {
    json_t *claims = NULL;
    int rc = nx_auth_json_object(json, &claims, NULL);
    if (rc)
        return nx_error_set(err, rc, "its claims are not a JSON object without duplicates");
    struct nx_identity *identity = calloc(1, sizeof *identity);
    if (!identity) {
        json_decref(claims);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    identity->refs = 1;
    rc = check_times(claims, now_s, &identity->expires_at_s, err);
    if (rc == 0)
        rc = check_parties(claims, rules, err);
    if (rc == 0)
        rc = read_subject(claims, identity, err);
    if (rc == 0)
        rc = read_permissions(claims, identity, err);
    if (rc == 0)
        rc = read_capabilities(claims, identity, err);
    json_decref(claims);
    if (rc)
        nx_identity_unref(identity);
    else
        *out = identity;
    return rc;
}
