// SPDX-License-Identifier: Apache-2.0
// JSON laid out for people.
#ifndef NX_KERNEL_JSON_PRETTY_H
#define NX_KERNEL_JSON_PRETTY_H

#include "base/buf.h"
#include "base/span.h"

// Appends `json` (which has passed nx_json_scan) with a member or item a line, two spaces a level;
// values stay as they were written. Returns 0 or out->failed.
int nx_json_pretty(struct nx_buf *out, struct nx_span json);

#endif
