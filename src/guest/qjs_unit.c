// SPDX-License-Identifier: Apache-2.0
// QuickJS with the few accessors to its internals that the public header does not offer. One
// translation unit, so that nothing else of the glue depends on QuickJS's private structures.
#include <malloc.h> // quickjs.c calls malloc_usable_size, and declares it on glibc only

#include "quickjs.c" // NOLINT(bugprone-suspicious-include): see above

#include "qjs_unit.h"

void nx_qjs_seed_random(JSContext *ctx, uint64_t seed) {
    ctx->random_state = seed ? seed : 1; // xorshift's state must not be zero
}

void nx_qjs_set_first_line(int line) {
    nx_line_origin = line - 1; // added by patches/0002-line-origin.patch
}

JSValue nx_qjs_new_private_symbol(JSContext *ctx) {
    return JS_NewSymbolFromAtom(ctx, JS_ATOM_brand, JS_ATOM_TYPE_PRIVATE);
}

int nx_qjs_is_error(JSValueConst value) {
    return JS_VALUE_GET_TAG(value) == JS_TAG_OBJECT &&
           JS_VALUE_GET_OBJ(value)->class_id == JS_CLASS_ERROR;
}

int nx_qjs_is_async_function(JSValueConst value) {
    return JS_VALUE_GET_TAG(value) == JS_TAG_OBJECT &&
           JS_VALUE_GET_OBJ(value)->class_id == JS_CLASS_ASYNC_FUNCTION;
}

// The two variables are added by patches/0005-interruption-kept.patch.
int nx_qjs_stack_overflowed(void) {
    return nx_stack_overflowed;
}

int nx_qjs_job_lost(void) { // patches/0007-lost-jobs.patch
    return nx_job_lost;
}

JSValueConst nx_qjs_interruption(void) {
    return nx_interruption;
}

JSValue nx_qjs_throw_interruption(JSContext *ctx, JSValue error) {
    JS_SetUncatchableError(ctx, error, 1);
    if (JS_IsUndefined(nx_interruption)) {
        nx_interruption = JS_DupValue(ctx, error);
    }
    return JS_Throw(ctx, error);
}

int nx_qjs_is_symbol(JSContext *ctx, JSAtom atom) {
    return JS_AtomGetKind(ctx, atom) != JS_ATOM_KIND_STRING;
}

int nx_qjs_same_program(JSValueConst a, JSValueConst b) {
    if (JS_VALUE_GET_TAG(a) != JS_TAG_FUNCTION_BYTECODE ||
        JS_VALUE_GET_TAG(b) != JS_TAG_FUNCTION_BYTECODE) {
        return 0;
    }
    const JSFunctionBytecode *x = JS_VALUE_GET_PTR(a), *y = JS_VALUE_GET_PTR(b);
    return x->byte_code_len == y->byte_code_len && x->cpool_count == y->cpool_count &&
           x->var_count == y->var_count && x->closure_var_count == y->closure_var_count &&
           memcmp(x->byte_code_buf, y->byte_code_buf, (size_t)x->byte_code_len) == 0;
}
