// SPDX-License-Identifier: Apache-2.0
// Worker side: compiling, warm handlers, and running segments. One function per frame of wire.h;
// each takes the frame's payload and appends what answers it. A frame no kernel of this build would
// send gives NX_E_PROTOCOL, and the worker ends.
#ifndef NX_SANDBOX_RUNNER_H
#define NX_SANDBOX_RUNNER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "sandbox/engine.h"

// Readies the process: engine, buffers, and instances for the first executions, at most
// NX_MAX_IDLE_INSTANCES. 0 or negative.
int nx_runner_init(uint32_t spare_instances);

// The deadline of what starts now and may take `timeout_us`.
struct nx_deadline nx_runner_deadline(uint64_t start_ns, uint32_t timeout_us);

int nx_runner_compile(uint32_t id, struct nx_span payload, struct nx_buf *out);
int nx_runner_load(uint32_t slot, struct nx_span payload);
int nx_runner_unload(uint32_t slot);
int nx_runner_run(uint32_t id, struct nx_span payload, struct nx_buf *out);
int nx_runner_resume(uint32_t id, struct nx_span payload, struct nx_buf *out);
int nx_runner_release(uint32_t id);

#endif
