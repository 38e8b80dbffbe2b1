// SPDX-License-Identifier: Apache-2.0
// The worker process: reads frames, runs handlers, writes frames, until its channel closes.
#ifndef NX_SANDBOX_WORKER_H
#define NX_SANDBOX_WORKER_H

// Serves `channel` and returns the process's exit status. The engine's images must exist.
int nx_worker_main(int channel);

#endif
