// SPDX-License-Identifier: Apache-2.0
// Native QuickJS from the very sources the guest is made of: the yardstick for the guest's speed.
// Runs the handler body in FILE once to warm up and RUNS times timed; prints "median
// ms<TAB>returned JSON". The body is wrapped as the guest wraps it, and the context has what the
// guest's has.
//
// usage: qjs_native FILE RUNS
#include "quickjs.c"

enum { SOURCE_BYTES = 1024 * 1024, MAX_RUNS = 1000, STACK_BYTES = 1024 * 1024 };

static const char head[] = "(async function handler($state,$args,$scope,$emit,$view,$ext,$log){"
                           "\"use strict\";\n";
static const char tail[] = "\n})";

static void die(const char *what) {
    fprintf(stderr, "qjs_native: %s\n", what);
    exit(1);
}

// The wrapped body, NUL-terminated, in a static buffer.
static char *read_body(const char *path, size_t *len) {
    static char text[SOURCE_BYTES + sizeof(head) + sizeof(tail)];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        die("cannot open the script");
    }
    memcpy(text, head, sizeof(head) - 1);
    const size_t got = fread(text + sizeof(head) - 1, 1, SOURCE_BYTES, file);
    fclose(file);
    memcpy(text + sizeof(head) - 1 + got, tail, sizeof(tail));
    *len = sizeof(head) - 1 + got + sizeof(tail) - 1;
    return text;
}

static JSContext *new_context(void) {
    JSRuntime *rt = JS_NewRuntime();
    JSContext *ctx = rt != NULL ? JS_NewContextRaw(rt) : NULL;
    if (ctx == NULL) {
        die("no memory");
    }
    JS_SetMaxStackSize(rt, STACK_BYTES);
    JS_AddIntrinsicBaseObjects(ctx);
    JS_AddIntrinsicDate(ctx);
    JS_AddIntrinsicEval(ctx); // only to compile the body
    JS_AddIntrinsicStringNormalize(ctx);
    JS_AddIntrinsicRegExp(ctx);
    JS_AddIntrinsicJSON(ctx);
    JS_AddIntrinsicProxy(ctx);
    JS_AddIntrinsicMapSet(ctx);
    JS_AddIntrinsicTypedArrays(ctx);
    JS_AddIntrinsicPromise(ctx);
    return ctx;
}

// Calls the handler and runs its jobs; what it returned, as JSON.
static JSValue run(JSContext *ctx, JSValueConst handler) {
    JSContext *job_ctx;
    JSValue promise = JS_Call(ctx, handler, JS_UNDEFINED, 0, NULL);
    while (JS_ExecutePendingJob(JS_GetRuntime(ctx), &job_ctx) > 0) {
    }
    if (JS_PromiseState(ctx, promise) != JS_PROMISE_FULFILLED) {
        die("the script did not end well");
    }
    JSValue value = JS_PromiseResult(ctx, promise);
    JSValue json = JS_JSONStringify(ctx, value, JS_UNDEFINED, JS_UNDEFINED);
    JS_FreeValue(ctx, value);
    JS_FreeValue(ctx, promise);
    return json;
}

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    static double ms[MAX_RUNS];
    const long runs = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (runs < 1 || runs > MAX_RUNS) {
        die("usage: qjs_native FILE RUNS");
    }
    size_t len;
    const char *text = read_body(argv[1], &len);
    JSContext *ctx = new_context();
    JSValue handler = JS_Eval(ctx, text, len, "handler", JS_EVAL_TYPE_GLOBAL);
    if (JS_IsException(handler)) {
        die("the script does not compile");
    }
    JSValue json = JS_UNDEFINED;
    for (long i = -1; i < runs; i++) {
        const double start = now_ms();
        JS_FreeValue(ctx, json);
        json = run(ctx, handler);
        if (i >= 0) {
            ms[i] = now_ms() - start;
        }
    }
    qsort(ms, (size_t)runs, sizeof(ms[0]), by_value);
    const char *result = JS_ToCString(ctx, json);
    printf("%.3f\t%s\n", ms[runs / 2], result != NULL ? result : "");
    return 0;
}
