// SPDX-License-Identifier: Apache-2.0
// Worker side: chains. A chain is a row of executions of one handler, of which each begins with the
// state as the one before left it. The kernel sends the state once, and the next execution before
// the last has answered: a busy panel need not wait for the way there and back. What the kernel
// does not commit it discards, with all that followed.
//
// The base of a chain is the state after its last segment, as the handler may read it. A worker
// keeps a few; one that is gone makes its followers answer NOT_RUN, and they are sent anew.
#ifndef NX_SANDBOX_CHAIN_H
#define NX_SANDBOX_CHAIN_H

#include <stdint.h>

#include "sandbox/exec.h"

enum nx_run_flags {
    NX_RUN_KEEP = 1 << 0,    // keep the base: more may follow
    NX_RUN_FOLLOWS = 1 << 1, // the state is the chain's base; none is in the frame
};

// The base of `chain`, or NULL; *count entries, valid until the base is kept or dropped.
const struct nx_state_entry *nx_chain_base(uint32_t chain, uint32_t *count);

// The segment in nx_work is done: its state becomes the base of `chain`, unless that is over
// NX_MAX_CHAIN_STATE_BYTES or there is no memory; then the chain has none any more.
void nx_chain_keep(uint32_t chain);

// The chain has ended here. Nothing happens if it has no base.
void nx_chain_drop(uint32_t chain);

#endif
