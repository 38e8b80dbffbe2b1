// SPDX-License-Identifier: Apache-2.0
// Native QuickJS from the very sources the guest is made of, with the context a
// guest has.
#include "qjs_unit.c" // NOLINT(bugprone-suspicious-include): as the guest has it

#include "engines.h"

enum {
    MEMORY_BYTES = 64 * 1024 * 1024,
    STACK_BYTES = 256 * 1024,
    MAX_POLLS = 100, // a million steps: some are slow
    SEED = 1,
};

static const char head[] = "(async function handler($state,$args,$scope,$emit,$view,$ext,$log){"
                           "\"use strict\";\n";
static const char tail[] = "\n})";

static unsigned polls;

static int on_poll(JSRuntime *rt, void *opaque) {
    (void)rt;
    (void)opaque;
    return ++polls > MAX_POLLS;
}

static JSContext *new_context(void) {
    JSRuntime *rt = JS_NewRuntime();
    JSContext *ctx = rt ? JS_NewContextRaw(rt) : NULL;
    FUZZ_CHECK(ctx);
    JS_SetMemoryLimit(rt, MEMORY_BYTES);
    JS_SetMaxStackSize(rt, STACK_BYTES);
    JS_SetInterruptHandler(rt, on_poll, NULL);
    JS_SetStripInfo(rt, JS_STRIP_SOURCE);
    JS_AddIntrinsicBaseObjects(ctx);
    JS_AddIntrinsicDate(ctx);
    JS_AddIntrinsicEval(ctx); // only to compile the body, see below
    JS_AddIntrinsicStringNormalize(ctx);
    JS_AddIntrinsicRegExp(ctx);
    JS_AddIntrinsicJSON(ctx);
    JS_AddIntrinsicProxy(ctx);
    JS_AddIntrinsicMapSet(ctx);
    JS_AddIntrinsicTypedArrays(ctx);
    JS_AddIntrinsicPromise(ctx);
    nx_qjs_seed_random(ctx, SEED);
    return ctx;
}

// A guest that runs has neither eval nor what makes functions of text.
static void take_eval_away(JSContext *ctx) {
    static const char *const names[] = {"SharedArrayBuffer", "eval"};
    JSValue global = JS_GetGlobalObject(ctx);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        JSAtom name = JS_NewAtom(ctx, names[i]);
        JS_DeleteProperty(ctx, global, name, 0);
        JS_FreeAtom(ctx, name);
    }
    JS_FreeValue(ctx, global);
    ctx->eval_internal = NULL;
}

static void append_text(JSContext *ctx, JSValueConst value, struct nx_buf *out) {
    size_t len;
    const char *text = JS_ToCStringLen(ctx, &len, value);
    if (text)
        nx_buf_append(out, text, len);
    JS_FreeCString(ctx, text);
}

static enum engines_outcome failed(JSContext *ctx, JSValue error, struct nx_buf *out) {
    nx_buf_reset(out);
    append_text(ctx, error, out);
    JS_FreeValue(ctx, error);
    return ENGINES_ERROR;
}

static enum engines_outcome run(JSContext *ctx, JSValueConst handler, struct nx_buf *out) {
    JSContext *job_ctx;
    JSValue promise = JS_Call(ctx, handler, JS_UNDEFINED, 0, NULL);
    while (JS_ExecutePendingJob(JS_GetRuntime(ctx), &job_ctx) > 0) {
    }
    if (JS_IsException(promise))
        return failed(ctx, JS_GetException(ctx), out);
    enum engines_outcome outcome = ENGINES_ERROR;
    JSValue value = JS_PromiseResult(ctx, promise);
    if (JS_PromiseState(ctx, promise) == JS_PROMISE_FULFILLED) {
        JSValue json = JS_JSONStringify(ctx, value, JS_UNDEFINED, JS_UNDEFINED);
        if (!JS_IsException(json)) {
            append_text(ctx, json, out);
            outcome = ENGINES_DONE;
        }
        JS_FreeValue(ctx, json);
    } else {
        append_text(ctx, value, out);
    }
    JS_FreeValue(ctx, value);
    JS_FreeValue(ctx, promise);
    return outcome;
}

// Whether something ran out that the guest has its own measure of.
static bool hit_limit(const struct nx_buf *out) {
    return polls > MAX_POLLS || nx_stack_overflowed ||
           (out->len && memmem(out->data, out->len, "out of memory", 13));
}

enum engines_outcome engines_run_native(struct nx_span script, struct nx_buf *out) {
    struct nx_buf text;
    polls = 0;
    nx_stack_overflowed = 0;
    nx_interruption = JS_UNDEFINED;
    nx_buf_init(&text, script.len + sizeof head + sizeof tail);
    nx_buf_append_str(&text, head);
    nx_buf_append_span(&text, script);
    nx_buf_append_str(&text, tail);
    FUZZ_CHECK(text.failed == 0);
    JSContext *ctx = new_context();
    JSRuntime *rt = JS_GetRuntime(ctx);
    JSValue handler = JS_Eval(ctx, text.data, text.len, "handler", JS_EVAL_TYPE_GLOBAL);
    take_eval_away(ctx);
    enum engines_outcome outcome =
        JS_IsException(handler) ? failed(ctx, JS_GetException(ctx), out) : run(ctx, handler, out);
    JS_FreeValue(ctx, handler);
    JS_FreeValue(ctx, nx_interruption);
    if (hit_limit(out))
        outcome = ENGINES_LIMIT;
    JS_FreeContext(ctx);
    JS_FreeRuntime(rt);
    nx_buf_free(&text);
    return outcome;
}
