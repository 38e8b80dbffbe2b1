// SPDX-License-Identifier: Apache-2.0
// Accessors to QuickJS internals (see qjs_unit.c).
#ifndef NX_GUEST_QJS_UNIT_H
#define NX_GUEST_QJS_UNIT_H

#include <stdint.h>

#include "quickjs.h"

// Sets the state of Math.random's generator.
void nx_qjs_seed_random(JSContext *ctx, uint64_t seed);

// Sets the (1-based) line on which the next programs compiled start. May be 0 or less: lines count
// on from there.
void nx_qjs_set_first_line(int line);

// A symbol that no reflection lists (as those of private class members).
JSValue nx_qjs_new_private_symbol(JSContext *ctx);

// Whether the value is a genuine Error object, without running any JavaScript.
int nx_qjs_is_error(JSValueConst value);

int nx_qjs_is_async_function(JSValueConst value);

// Whether the JavaScript stack has run out: without that, no error is about the stack.
int nx_qjs_stack_overflowed(void);

// Whether there was no memory for a job: what it would have done is not done.
int nx_qjs_job_lost(void);

// The error of the first interruption of this execution, or undefined. Borrowed.
JSValueConst nx_qjs_interruption(void);

// Throws `error` (freed) as an interruption: no handler's code catches it.
JSValue nx_qjs_throw_interruption(JSContext *ctx, JSValue error);

// Whether a property's key is a symbol.
int nx_qjs_is_symbol(JSContext *ctx, JSAtom atom);

// Whether two compiled programs have the same top-level code (not their inner functions).
int nx_qjs_same_program(JSValueConst a, JSValueConst b);

#endif
