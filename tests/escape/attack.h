// SPDX-License-Identifier: Apache-2.0
// Attacks that the programs of this folder carry out in the place of what they replace.
#ifndef TESTS_ESCAPE_ATTACK_H
#define TESTS_ESCAPE_ATTACK_H

#include <stdbool.h>

#include "base/buf.h"

// Runs the attack that `input` holds, if it holds one, and appends what came of it to `json`.
// `rules` is what it may ask for.
bool attack_perform(struct nx_span input, const char *rules, struct nx_buf *json);

#endif
