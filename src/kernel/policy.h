// SPDX-License-Identifier: Apache-2.0
// The server's policy: which capabilities panels may be granted at most, by panel kind.
//
//   { "default": { "grant": ["state:read:*", "state:write:*", "events:emit:*"] },
//     "monitor": { "grant": ["state:read:*", "ext:time"] } }
//
// A kind that is not named gets what "default" grants; without "default", nothing. Panels in NXML
// have the kind "nxml". A kind is what a panel says of itself: it bounds panels, not clients, whom
// the "capabilities" of their tokens bound. Extensions go by their real names ("ext:time").
#ifndef NX_KERNEL_POLICY_H
#define NX_KERNEL_POLICY_H

#include "base/buf.h"
#include "base/caps.h"
#include "base/error.h"
#include "base/span.h"

struct nx_policy;

// Reads a policy from JSON. On success *out is for nx_policy_free. Otherwise NX_E_INVALID, and one
// line for each thing that is wrong is appended to `problems`, `name` in front of each.
int nx_policy_parse(struct nx_policy **out, struct nx_span json, const char *name,
                    struct nx_buf *problems);

// The same from a file of at most NX_MAX_POLICY_BYTES.
int nx_policy_load(struct nx_policy **out, const char *path, struct nx_buf *problems);

// Puts the rules of the file at `path` in place of the policy's own, at once and as a whole; on
// errors (as nx_policy_load's) the old ones stay. Panels that exist keep what they were granted.
int nx_policy_reload(struct nx_policy *policy, const char *path, struct nx_buf *problems);

// What panels of `kind` may be granted at most; never NULL. Valid until the policy is reloaded.
const struct nx_cap_set *nx_policy_ceiling(const struct nx_policy *policy, struct nx_span kind);

void nx_policy_free(struct nx_policy *policy); // NULL is fine

#endif
