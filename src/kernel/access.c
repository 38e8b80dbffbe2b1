// SPDX-License-Identifier: Apache-2.0
#include "kernel/access.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <string.h>

#include "base/fd.h"
#include "base/limits.h"

// ---- Keys

static int key_from_file(struct nx_auth_key **out, enum nx_auth_alg alg, const char *setting,
                         const char *path, struct nx_buf *problems) {
    struct nx_error err = {0};
    struct nx_buf text;
    int rc = nx_fd_read_file(path, NX_MAX_KEY_FILE_BYTES, &text, &err);
    if (rc == 0 && alg == NX_AUTH_HS256) {
        // Editors and `echo` end a file with a line break that nobody means.
        if (text.len && text.data[text.len - 1] == '\n')
            text.len--;
        if (text.len && text.data[text.len - 1] == '\r')
            text.len--;
        rc = nx_auth_key_from_secret(out, nx_buf_span(&text), &err);
    } else if (rc == 0) {
        rc = nx_auth_key_from_pem(out, alg, nx_buf_span(&text), &err);
    }
    if (rc)
        nx_buf_printf(problems, "%s=%.200s: %s\n", setting, path, err.message);
    if (text.data)
        OPENSSL_cleanse(text.data, text.cap);
    nx_buf_free(&text);
    return rc ? NX_E_INVALID : 0;
}

int nx_access_secret_key(struct nx_auth_key **out, const struct nx_config *config,
                         struct nx_buf *problems) {
    struct nx_error err = {0};
    if (config->jwt_secret_file)
        return key_from_file(out, NX_AUTH_HS256, "JWT_SECRET_FILE", config->jwt_secret_file,
                             problems);
    if (!config->jwt_secret)
        nx_error_set(&err, NX_E_INVALID, "is not set, nor is JWT_SECRET_FILE");
    else
        nx_auth_key_from_secret(out, nx_span_str(config->jwt_secret), &err);
    if (err.code)
        nx_buf_printf(problems, "JWT_SECRET: %s\n", err.message);
    return err.code ? NX_E_INVALID : 0;
}

// The purpose holds what no signed part of a token can (spaces), so that even a mix-up of the two
// uses of the secret would be none.
static int derive_seal(struct nx_cache_seal *out, const struct nx_auth_key *key) {
    *out = (struct nx_cache_seal){.keyed = nx_auth_key_alg(key) == NX_AUTH_HS256};
    static_assert(sizeof out->key == NX_AUTH_DERIVED_BYTES, "one is the other");
    return out->keyed ? nx_auth_key_derive(key, "nexus bytecode cache, version 1", out->key) : 0;
}

static int read_key(struct nx_auth_key **out, const struct nx_config *config,
                    struct nx_buf *problems) {
    return config->jwt_alg == NX_AUTH_HS256
               ? nx_access_secret_key(out, config, problems)
               : key_from_file(out, config->jwt_alg, "JWT_PUBLIC_KEY_FILE",
                               config->jwt_public_key_file, problems);
}

static int open_auth(struct nx_access *out, const struct nx_config *config,
                     struct nx_buf *problems) {
    const struct nx_claim_rules rules = {config->jwt_issuer, config->jwt_audience,
                                         config->workspace_id};
    struct nx_auth_key *key = NULL;
    int rc = read_key(&key, config, problems);
    // Before the key is handed over.
    int derived = rc ? 0 : derive_seal(&out->cache_seal, key);
    if (rc == 0 && (nx_auth_new(&out->auth, key, &rules, NULL) || derived)) {
        nx_buf_append_str(problems, "AUTH_ENABLED: out of memory\n");
        rc = NX_E_INVALID;
    }
    return rc;
}

int nx_access_reload_key(struct nx_access *access, const struct nx_config *config,
                         struct nx_buf *problems) {
    struct nx_auth_key *key = NULL;
    struct nx_cache_seal seal;
    if (!access->auth || !(config->jwt_secret_file || config->jwt_public_key_file))
        return NX_E_NOTFOUND;
    int rc = read_key(&key, config, problems);
    if (rc == 0 && derive_seal(&seal, key)) {
        nx_buf_append_str(problems, "AUTH_ENABLED: out of memory\n");
        nx_auth_key_free(key);
        rc = NX_E_INVALID;
    }
    if (rc)
        return rc;
    nx_auth_set_key(access->auth, key);
    access->cache_seal = seal;
    OPENSSL_cleanse(&seal, sizeof seal);
    return 0;
}

void nx_access_forget_secret(struct nx_config *config, char **environment) {
    static const char name[] = "JWT_SECRET=";
    config->jwt_secret = NULL;
    for (char **variable = environment; *variable; variable++)
        if (strncmp(*variable, name, sizeof name - 1) == 0)
            OPENSSL_cleanse(*variable + sizeof name - 1, strlen(*variable + sizeof name - 1));
}

// ---- All of it

int nx_access_open(struct nx_access *out, const struct nx_config *config, struct nx_buf *problems,
                   struct nx_buf *notes) {
    int rc = 0;
    *out = (struct nx_access){0};
    // What the settings themselves lack is among the problems already.
    bool has_key = config->jwt_alg == NX_AUTH_HS256 ? config->jwt_secret || config->jwt_secret_file
                                                    : config->jwt_public_key_file != NULL;
    if (config->auth_enabled && has_key && open_auth(out, config, problems))
        rc = NX_E_INVALID;
    if (config->policy_file && nx_policy_load(&out->policy, config->policy_file, problems))
        rc = NX_E_INVALID;
    if (nx_origins_parse(&out->origins, config->cors_origins, problems))
        rc = NX_E_INVALID;
    if (rc)
        nx_access_close(out);
    else if (!config->auth_enabled && nx_origins_match(out->origins, nx_span_str("null")))
        nx_buf_append_str(notes, "CORS_ORIGINS=* without AUTH_ENABLED: any page that a browser on "
                                 "this machine shows may use this server\n");
    return rc;
}

void nx_access_close(struct nx_access *access) {
    nx_auth_free(access->auth);
    nx_policy_free(access->policy);
    nx_origins_free(access->origins);
    OPENSSL_cleanse(&access->cache_seal, sizeof access->cache_seal);
    *access = (struct nx_access){0};
}
