// SPDX-License-Identifier: Apache-2.0
// The wasm imports of the guest, as the wasm2c engine answers them.
#ifndef NX_SANDBOX_ENGINE_IMPORTS_H
#define NX_SANDBOX_ENGINE_IMPORTS_H

#include "base/buf.h"
#include "sandbox/engine.h"

// Whom host calls go to. Both are borrowed for good.
void nx_imports_set(const struct nx_engine_imports *imports, void *user);

// While `out` is not NULL, `result` goes there and `error` nowhere: for start-up.
void nx_imports_capture(struct nx_buf *out);

#endif
