// SPDX-License-Identifier: Apache-2.0
// The worker process: reads frames, runs handlers, writes frames, until its channel closes.
#ifndef NX_SANDBOX_WORKER_H
#define NX_SANDBOX_WORKER_H

#include <stdint.h>

#include "base/error.h"

// Becomes a worker: opens what it needs and gives up all else for good. The engine's images must
// exist. `spare_instances`: made before anything runs. `*protections`: what is in force, bits of
// enum nx_protection. Errors: NX_E_NOMEM, NX_E_IO; the process must end.
int nx_worker_prepare(uint32_t spare_instances, uint32_t *protections, struct nx_error *err);

// Serves the channel NX_WIRE_WORKER_FD and returns the process's exit status.
int nx_worker_main(void);

#endif
