// SPDX-License-Identifier: Apache-2.0
// The two shapes in which panel state travels between the store, the kernel and the sandbox client,
// shared so that nothing is converted on the way.
#ifndef NX_BASE_STATE_H
#define NX_BASE_STATE_H

#include <stdbool.h>

#include "base/span.h"

// One key of a panel's state.
struct nx_state_entry {
    struct nx_span key;  // bytes; may hold anything a JSON key may, unescaped
    struct nx_span json; // has passed nx_json_scan
};

// One change of a panel's state.
struct nx_mutation {
    bool is_delete;
    struct nx_span key;
    struct nx_span json; // of a set
};

#endif
