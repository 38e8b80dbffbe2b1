// SPDX-License-Identifier: Apache-2.0
// Reading the policy goes through to its end: who writes one sees everything that is wrong at once.
#include "kernel/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/limits.h"
#include "kernel/auth_json.h"

struct rule {
    char *kind; // owned
    struct nx_cap_set grants;
};

struct nx_policy {
    struct rule *rules; // owned array
    size_t count;
};

static const struct nx_cap_set nothing;

void nx_policy_free(struct nx_policy *policy) {
    if (!policy)
        return;
    for (size_t i = 0; i < policy->count; i++) {
        free(policy->rules[i].kind);
        nx_caps_free(&policy->rules[i].grants);
    }
    free(policy->rules);
    free(policy);
}

static const struct rule *find_rule(const struct nx_policy *policy, struct nx_span kind) {
    for (size_t i = 0; i < policy->count; i++)
        if (nx_span_eq(nx_span_str(policy->rules[i].kind), kind))
            return &policy->rules[i];
    return NULL;
}

const struct nx_cap_set *nx_policy_ceiling(const struct nx_policy *policy, struct nx_span kind) {
    const struct rule *rule = find_rule(policy, kind);
    if (!rule)
        rule = find_rule(policy, nx_span_str("default"));
    return rule ? &rule->grants : &nothing;
}

// ---- Reading

struct reader {
    struct nx_policy *policy;
    const char *name;
    struct nx_buf *problems;
    size_t before; // length of `problems` when reading began
};

// "NAME: "kind".grant[2]: what is wrong". `kind` and `key` may be NULL; `index` < 0: none.
static void problem(struct reader *r, const char *kind, const char *key, int index,
                    const char *what) {
    nx_buf_append_str(r->problems, r->name);
    nx_buf_append_str(r->problems, ": ");
    if (kind)
        nx_json_append_string(r->problems, nx_span_str(kind));
    if (key)
        nx_buf_printf(r->problems, ".%s", key);
    if (index >= 0)
        nx_buf_printf(r->problems, "[%d]", index);
    nx_buf_append_str(r->problems, kind ? ": " : "");
    // A line is a problem: what comes from the file must not start another.
    for (const char *p = what; *p; p++)
        nx_buf_append_char(r->problems, (unsigned char)*p < ' ' || *p == 0x7f ? '?' : *p);
    nx_buf_append_char(r->problems, '\n');
}

static void read_grants(struct reader *r, const char *kind, const json_t *list,
                        struct nx_cap_set *out) {
    if (!json_is_array(list)) {
        problem(r, kind, "grant", -1, "must be an array of capabilities");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        struct nx_error err = {0};
        if (!json_is_string(one))
            problem(r, kind, "grant", (int)i, "must be a string like \"state:read:*\"");
        else if (nx_caps_add(out, nx_span_of(json_string_value(one), json_string_length(one)),
                             &err))
            problem(r, kind, "grant", (int)i, err.message);
    }
}

static bool add_rule(struct nx_policy *policy, const char *kind, struct rule **out) {
    struct rule *rules = realloc(policy->rules, (policy->count + 1) * sizeof *rules);
    if (!rules)
        return false;
    policy->rules = rules;
    *out = &rules[policy->count];
    **out = (struct rule){.kind = strdup(kind)};
    if (!(*out)->kind)
        return false;
    policy->count++;
    return true;
}

static void read_rule(struct reader *r, const char *kind, const json_t *value) {
    struct rule *rule;
    const char *key;
    json_t *member;
    if (kind[0] == '\0') {
        problem(r, kind, NULL, -1, "a kind has a name");
        return;
    }
    if (!json_is_object(value)) {
        problem(r, kind, NULL, -1, "must be an object like {\"grant\": [\"state:read:*\"]}");
        return;
    }
    if (r->policy->count >= NX_MAX_POLICY_KINDS || !add_rule(r->policy, kind, &rule)) {
        problem(r, kind, NULL, -1, "more kinds than a policy may name, or out of memory");
        return;
    }
    if (!json_object_get(value, "grant"))
        problem(r, kind, NULL, -1, "\"grant\" is missing; [] grants nothing");
    // jansson's iterators do not change the object, but are not declared so.
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        if (strcmp(key, "grant") == 0)
            read_grants(r, kind, member, &rule->grants);
        else
            problem(r, kind, NULL, -1, "holds something other than \"grant\"");
    }
}

int nx_policy_parse(struct nx_policy **out, struct nx_span json, const char *name,
                    struct nx_buf *problems) {
    struct reader r = {calloc(1, sizeof *r.policy), name, problems, problems->len};
    struct nx_error err = {0};
    json_t *root = NULL;
    const char *kind;
    json_t *value;
    *out = NULL;
    if (!r.policy)
        problem(&r, NULL, NULL, -1, "out of memory");
    else if (nx_auth_json_object(json, &root, &err))
        problem(&r, NULL, NULL, -1, err.message);
    json_object_foreach(root, kind, value) {
        read_rule(&r, kind, value);
    }
    json_decref(root);
    if (problems->len != r.before || problems->failed) {
        nx_policy_free(r.policy);
        return NX_E_INVALID;
    }
    *out = r.policy;
    return 0;
}

int nx_policy_load(struct nx_policy **out, const char *path, struct nx_buf *problems) {
    struct nx_error err = {0};
    struct nx_buf text, name;
    *out = NULL;
    if (nx_fd_read_file(path, NX_MAX_POLICY_BYTES, &text, &err)) {
        nx_buf_printf(problems, "POLICY_FILE: %s\n", err.message);
        return NX_E_INVALID;
    }
    nx_buf_init(&name, NX_ERROR_MESSAGE_BYTES);
    nx_buf_printf(&name, "POLICY_FILE=%.200s", path);
    int rc =
        nx_policy_parse(out, nx_buf_span(&text), name.failed ? "POLICY_FILE" : name.data, problems);
    nx_buf_free(&name);
    nx_buf_free(&text);
    return rc;
}

int nx_policy_reload(struct nx_policy *policy, const char *path, struct nx_buf *problems) {
    struct nx_policy *fresh;
    int rc = nx_policy_load(&fresh, path, problems);
    if (rc)
        return rc;
    struct nx_policy old = *policy;
    *policy = *fresh;
    *fresh = old;
    nx_policy_free(fresh);
    return 0;
}
