// SPDX-License-Identifier: Apache-2.0
// From settings to what decides about access: the token verifier, the policy, the list of origins.
#ifndef NX_KERNEL_ACCESS_H
#define NX_KERNEL_ACCESS_H

#include "base/buf.h"
#include "kernel/auth.h"
#include "kernel/cache_entry.h"
#include "kernel/config.h"
#include "kernel/origins.h"
#include "kernel/policy.h"

struct nx_access {
    struct nx_auth *auth;       // NULL: no authentication, everybody may do everything
    struct nx_policy *policy;   // NULL: none, panels get what they declare
    struct nx_origins *origins; // NULL: no origin but the server's own
    // What the cache on disk is tagged with: a key where there is a secret.
    struct nx_cache_seal cache_seal;
};

// Opens all that the settings name, reading key, secret and policy files. Everything that is wrong
// is appended to `problems`, one line each, and what only seems wrong to `notes`. Returns 0, or
// NX_E_INVALID with `out` empty. Afterwards JWT_SECRET may be erased (nx_access_forget_secret).
int nx_access_open(struct nx_access *out, const struct nx_config *config, struct nx_buf *problems,
                   struct nx_buf *notes);
void nx_access_close(struct nx_access *access);

// Reads the key's file anew: JWT_SECRET_FILE, or JWT_PUBLIC_KEY_FILE. From then on tokens under the
// old key are refused, and the cache's tag changes with it. Errors: NX_E_NOTFOUND (authentication
// is off, or the secret came from the environment: there is no file), NX_E_INVALID with a line in
// `problems`; the old key stays then.
int nx_access_reload_key(struct nx_access *access, const struct nx_config *config,
                         struct nx_buf *problems);

// The HS256 key that JWT_SECRET_FILE or JWT_SECRET holds: of a file everything but a line break at
// its end. NX_E_INVALID with a line in `problems`.
int nx_access_secret_key(struct nx_auth_key **out, const struct nx_config *config,
                         struct nx_buf *problems);

// Erases the value of JWT_SECRET where the process's environment holds it, which is what
// /proc/PID/environ shows, and forgets it in `config`.
void nx_access_forget_secret(struct nx_config *config, char **environment);

#endif
