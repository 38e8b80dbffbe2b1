// SPDX-License-Identifier: Apache-2.0
// Patterns of names: `*` stands for any bytes, also for none; everything else for itself.
#ifndef NX_KERNEL_GLOB_H
#define NX_KERNEL_GLOB_H

#include <stdbool.h>

#include "base/span.h"

// Whether the whole of `text` matches. Takes time in proportion to both lengths, not their product:
// strangers choose both.
bool nx_glob_match(struct nx_span pattern, struct nx_span text);

#endif
