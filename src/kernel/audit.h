// SPDX-License-Identifier: Apache-2.0
// What the log says of executions: failures, handlers' own lines, and the audit lines, each with
// whose request it was. AUDIT=denied: what was refused; AUDIT=all: also what was allowed.
//
// Whoever may run handlers decides how many audit lines there are, so their number a second is
// bounded; those that are left out are counted, and the next line says how many.
#ifndef NX_KERNEL_AUDIT_H
#define NX_KERNEL_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/runtime.h"

// One second's lines of one kind. Zero-initialise.
struct nx_audit_gate {
    uint64_t since_ms;
    uint32_t logged, dropped;
};

// Whether one more line may be logged at `now_ms` (monotonic), of at most `most` a second. If so,
// *dropped is how many were left out since the last one.
bool nx_audit_pass(struct nx_audit_gate *gate, uint64_t now_ms, uint32_t most, uint32_t *dropped);

struct nx_audit;

// Observes `rt` and logs from now on. `all`: AUDIT=all. On success *out is freed by nx_audit_free,
// after the runtime. Errors: NX_E_NOMEM, NX_E_LIMIT.
int nx_audit_new(struct nx_audit **out, struct nx_runtime *rt, bool all, struct nx_error *err);
void nx_audit_free(struct nx_audit *audit); // NULL is fine

#endif
