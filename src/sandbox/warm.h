// SPDX-License-Identifier: Apache-2.0
// Worker side: warm handlers and instances at rest.
//
// A code is a handler's bytecode as the kernel loaded it into a slot, and, once it has run, the
// snapshot of an instance that has it loaded. Instances at rest stay bound to the code they ran
// last, so that the next call of the same handler starts at once.
#ifndef NX_SANDBOX_WARM_H
#define NX_SANDBOX_WARM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "sandbox/engine.h"

// Reference counted: the slot, each execution and each instance bound to it hold one.
struct nx_warm_code;

// Fills a slot (< NX_WIRE_CODE_SLOTS) with a copy of `bytecode`, giving up what it held.
// 0, NX_E_NOMEM or NX_E_PROTOCOL.
int nx_warm_load(uint32_t slot, struct nx_span bytecode);
int nx_warm_unload(uint32_t slot);

// The slot's code with a reference for the caller, or NULL if it is empty.
struct nx_warm_code *nx_warm_code(uint32_t slot);
void nx_warm_unref(struct nx_warm_code *code);

// Makes up to NX_MAX_IDLE_INSTANCES instances that hold no handler yet. 0 or NX_E_NOMEM.
int nx_warm_spare(uint32_t count);

// An instance with the code loaded, at rest. NULL with *trap and *outcome saying how loading ended
// (NX_TRAP_NONE and NX_GUEST_DONE: no memory for an instance). The deadline applies to loading, and
// on success goes on.
struct nx_instance *nx_warm_take(struct nx_warm_code *code, const struct nx_deadline *deadline,
                                 enum nx_trap *trap, uint32_t *outcome);

// Resets the instance and keeps it for the next call.
void nx_warm_give_back(struct nx_instance *instance, struct nx_warm_code *code, bool trapped);

#endif
