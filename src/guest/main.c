// SPDX-License-Identifier: Apache-2.0
// Guest side: the exports. One module serves as two images: EXECUTE, which runs handlers and has no
// eval, and COMPILE, which turns source into bytecode and runs nothing of it.
//
// Life of an EXECUTE instance:   init -> (image taken) -> load -> (warm image taken)
//                                -> run -> [resume ...] -> reset to the warm image by the host
#include <stdlib.h>
#include <string.h>

#include "glue.h"
#include "prelude_bytes.h"
#include "qjs_unit.h"

#define NX_EXPORT(name) __attribute__((export_name(name)))

struct nx_guest_shared nx_shared;
static char inbox[NX_GUEST_INBOX_BYTES];
static JSRuntime *runtime;
static JSContext *context;
static JSValue handler = JS_UNDEFINED;
static bool handler_is_async;
static JSValue promise = JS_UNDEFINED;  // what the handler returned, or undefined and …
static JSValue returned = JS_UNDEFINED; // … this, which is no promise and needs none
static JSValue empty_inputs[2];         // `{}` as $args and $scope; a reset makes them new again
static JSValue world[4];                // $emit, $view, $ext, $log
static JSValue state_object = JS_UNDEFINED;

static int interrupted(JSRuntime *rt, void *opaque) {
    (void)rt;
    (void)opaque;
    return *(volatile uint32_t *)&nx_shared.interrupt != 0;
}

// Every intrinsic a handler gets. Left out: eval (and with it the function constructors), WeakRef
// and FinalizationRegistry (they make garbage collection observable), Atomics and SharedArrayBuffer
// (there are no threads; they make clocks).
static int add_intrinsics(JSContext *ctx, uint32_t mode) {
    JS_AddIntrinsicBaseObjects(ctx);
    JS_AddIntrinsicDate(ctx);
    if (mode == NX_GUEST_COMPILE) {
        JS_AddIntrinsicEval(ctx);
    }
    JS_AddIntrinsicStringNormalize(ctx);
    JS_AddIntrinsicRegExp(ctx);
    JS_AddIntrinsicJSON(ctx);
    JS_AddIntrinsicProxy(ctx);
    JS_AddIntrinsicMapSet(ctx);
    JS_AddIntrinsicTypedArrays(ctx);
    JS_AddIntrinsicPromise(ctx);
    JSValue global = JS_GetGlobalObject(ctx);
    static const char *const left_out[] = {"SharedArrayBuffer", "eval"};
    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
        JSAtom name = JS_NewAtom(ctx, left_out[i]);
        JS_DeleteProperty(ctx, global, name, 0);
        JS_FreeAtom(ctx, name);
    }
    JS_FreeValue(ctx, global);
    return 0;
}

// Builds the runtime. Returns the address of the shared block, or 0.
NX_EXPORT("nx_init") uint32_t nx_init(uint32_t mode, uint32_t stack_bytes) {
    runtime = JS_NewRuntime2(&nx_heap_functions, NULL);
    if (runtime == NULL) {
        return 0;
    }
    JS_SetMaxStackSize(runtime, stack_bytes);
    JS_SetInterruptHandler(runtime, interrupted, NULL);
    JS_SetStripInfo(runtime, JS_STRIP_SOURCE);
    context = JS_NewContextRaw(runtime);
    if (context == NULL || add_intrinsics(context, mode) < 0 || nx_errors_init(context) < 0) {
        return 0;
    }
    nx_shared.inbox_address = (uint32_t)(uintptr_t)inbox;
    return (uint32_t)(uintptr_t)&nx_shared;
}

// Memory for an input that does not fit the inbox. 0 when there is none. Freed by the next reset.
NX_EXPORT("nx_alloc") uint32_t nx_alloc(uint32_t len) {
    return (uint32_t)(uintptr_t)malloc((size_t)len + 1);
}

static JSValue read_bytecode(const char *data, size_t len) {
    // ROM: the functions refer to the buffer instead of copying it; it lives as long as the image.
    JSValue program = JS_ReadObject(context, (const uint8_t *)data, len,
                                    JS_READ_OBJ_BYTECODE | JS_READ_OBJ_ROM_DATA);
    return JS_IsException(program) ? program : JS_EvalFunction(context, program);
}

// Runs the prelude (bytecode made by a COMPILE instance) and keeps what it returns.
NX_EXPORT("nx_boot") uint32_t nx_boot(const char *bytecode, uint32_t len) {
    JSValue prelude = read_bytecode(bytecode, len);
    JSValue natives = nx_natives_new(context);
    JSValue made = JS_Call(context, prelude, JS_UNDEFINED, 1, (JSValueConst[]){natives});
    JS_FreeValue(context, natives);
    JS_FreeValue(context, prelude);
    if (JS_IsException(made)) {
        nx_report_error(context, JS_GetException(context));
        return NX_GUEST_ERROR;
    }
    for (uint32_t i = 0; i < 4; i++) {
        world[i] = JS_GetPropertyUint32(context, made, i);
    }
    JSValue read_only = JS_GetPropertyUint32(context, made, 4);
    JS_FreeValue(context, made);
    for (uint32_t i = 0; i < 2; i++) {
        empty_inputs[i] = JS_NewObject(context);
    }
    if (nx_state_init(context, &state_object, read_only) < 0) {
        return NX_GUEST_ERROR;
    }
    JS_RunGC(runtime);
    return NX_GUEST_DONE;
}

// Loads a handler's bytecode. Evaluating it only creates the function: nx_compile made sure that
// the program does nothing else.
NX_EXPORT("nx_load") uint32_t nx_load(const char *bytecode, uint32_t len) {
    handler = read_bytecode(bytecode, len);
    if (JS_IsException(handler)) {
        nx_report_error(context, JS_GetException(context));
        return NX_GUEST_ERROR;
    }
    handler_is_async = nx_qjs_is_async_function(handler);
    return NX_GUEST_DONE;
}

static uint32_t fail(void) {
    nx_report_error(context, JS_GetException(context));
    return NX_GUEST_ERROR;
}

static uint32_t complete(JSValue value) {
    const char *json;
    size_t len;
    if (nx_json_text(context, value, &json, &len) < 0 || nx_state_flush(context, true) < 0) {
        return fail();
    }
    nx_host_result(json, len);
    return NX_GUEST_DONE;
}

// Runs jobs until none is left, then says how the execution stands.
static uint32_t settle(void) {
    JSContext *ctx;
    int status;
    do {
        status = interrupted(runtime, NULL) ? 0 : JS_ExecutePendingJob(runtime, &ctx);
    } while (status > 0);
    if (status < 0) {
        return fail();
    }
    if (interrupted(runtime, NULL)) {
        nx_report_interruption(context);
        return NX_GUEST_ERROR;
    }
    if (nx_qjs_job_lost()) {
        JS_ThrowOutOfMemory(context);
        return fail();
    }
    if (JS_IsUndefined(promise)) {
        return complete(returned);
    }
    switch (JS_PromiseState(context, promise)) {
    case JS_PROMISE_FULFILLED:
        return complete(JS_PromiseResult(context, promise));
    case JS_PROMISE_REJECTED:
        nx_report_error(context, JS_PromiseResult(context, promise));
        return NX_GUEST_ERROR;
    default:
        break;
    }
    if (nx_natives_outstanding() == 0) {
        nx_report_plain(NX_GUEST_ERROR_NEVER, "the handler waits for a promise that nothing can "
                                              "settle: no extension call is outstanding");
        return NX_GUEST_ERROR;
    }
    if (nx_state_flush(context, false) < 0) {
        return fail();
    }
    nx_state_new_segment();
    return NX_GUEST_SUSPENDED;
}

static JSValue parse_input(uint32_t which, const char *text, size_t len) {
    static const char *const names[] = {"$args", "$scope"};
    return len == 2 && memcmp(text, "{}", 2) == 0 ? empty_inputs[which]
                                                  : JS_ParseJSON(context, text, len, names[which]);
}

// Takes what a handler that is no async function returned: an object may be a promise, or like one.
static int take_returned(JSValue value) {
    JSValue settle[2];
    if (!JS_IsObject(value)) {
        returned = value;
        return 0;
    }
    promise = JS_NewPromiseCapability(context, settle);
    if (JS_IsException(promise)) {
        return -1;
    }
    return JS_IsException(JS_Call(context, settle[0], JS_UNDEFINED, 1, (JSValueConst[]){value}))
               ? -1
               : 0;
}

// Calls the loaded handler. `input` holds the arguments' JSON, a NUL, the scope's JSON, and a NUL.
// Nothing is freed that lives to the end of the execution: the host's reset does that.
NX_EXPORT("nx_run")
uint32_t nx_run(const char *input, uint32_t args_len, uint32_t scope_len) {
    nx_qjs_seed_random(context, nx_shared.seed);
    JSValue args = parse_input(0, input, args_len);
    JSValue scope = parse_input(1, input + args_len + 1, scope_len);
    if (JS_IsException(args) || JS_IsException(scope)) {
        return fail();
    }
    JSValue value = JS_Call(
        context, handler, JS_UNDEFINED, 7,
        (JSValueConst[]){state_object, args, scope, world[0], world[1], world[2], world[3]});
    if (JS_IsException(value)) {
        return fail();
    }
    if (handler_is_async) {
        promise = value;
    } else if (take_returned(value) < 0) {
        return fail();
    }
    return settle();
}

// Answers one outstanding call and goes on. ok: `input` is the value's JSON (empty: undefined);
// otherwise it is an error code, a NUL, and a message. NUL-terminated in both cases.
NX_EXPORT("nx_resume")
uint32_t nx_resume(uint32_t call_id, uint32_t ok, const char *input, uint32_t len) {
    JSValue value;
    if (ok) {
        value = len == 0 ? JS_UNDEFINED : JS_ParseJSON(context, input, len, "result");
    } else {
        const size_t code_len = strlen(input);
        JSValue code = JS_NewStringLen(context, input, code_len);
        JSValue message = JS_NewStringLen(context, input + code_len + 1, len - code_len - 1);
        value = nx_call_error_new(context, code, message);
        JS_FreeValue(context, code);
        JS_FreeValue(context, message);
    }
    if (JS_IsException(value) || nx_natives_settle(context, call_id, ok != 0, value) < 0) {
        return fail();
    }
    return settle();
}

// ---- compiling

static const char async_head[] =
    "(async function handler($state,$args,$scope,$emit,$view,$ext,$log)"
    "{\"use strict\";\n";
static const char plain_head[] = "(function handler($state,$args,$scope,$emit,$view,$ext,$log)"
                                 "{\"use strict\";\n";
static const char handler_tail[] = "\n})";
static const char expression_head[] = "(function computed($state){\"use strict\";return(\n";
static const char expression_tail[] = "\n)})";
// The same in another bracket. A text that closes the one it stands in fits only one of them.
static const char bracket_head[] = "(function computed($state){\"use strict\";return[\n";
static const char bracket_tail[] = "\n]})";

// head + blanks up to `column` + code + tail. The head is a line of its own. NULL: no memory.
static char *wrap(const char *head, const char *tail, const char *code, size_t code_len,
                  uint32_t column, size_t *out_len) {
    const size_t head_len = strlen(head), tail_len = strlen(tail);
    const size_t blanks = column > 1 ? column - 1 : 0;
    char *text = malloc(head_len + blanks + code_len + tail_len + 1), *at = text;
    if (text == NULL) {
        return NULL;
    }
    memcpy(at, head, head_len);
    at += head_len;
    memset(at, ' ', blanks);
    at += blanks;
    memcpy(at, code, code_len);
    at += code_len;
    memcpy(at, tail, tail_len + 1);
    *out_len = (size_t)(at - text) + tail_len;
    return text;
}

enum form { ASYNC_BODY, PLAIN_BODY, EXPRESSION, BRACKETED };

// A body that does not even contain the word cannot await anything: called as a plain function it
// does the same, without the frame and the promise that an async function's call makes.
static enum form form_of(const char *code, size_t len) {
    return memmem(code, len, "await", 5) != NULL ? ASYNC_BODY : PLAIN_BODY;
}

static JSValue compile_wrapped(enum form form, const char *code, size_t code_len, uint32_t line,
                               uint32_t column) {
    static const char *const heads[] = {async_head, plain_head, expression_head, bracket_head};
    static const char *const tails[] = {handler_tail, handler_tail, expression_tail, bracket_tail};
    size_t len;
    char *text = wrap(heads[form], tails[form], code, code_len, column, &len);
    if (text == NULL) {
        return JS_ThrowOutOfMemory(context);
    }
    nx_qjs_set_first_line((int)line - 1); // the head stands on the line before
    JSValue program =
        JS_Eval(context, text, len, "handler", JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
    free(text);
    return program;
}

static uint32_t report_bytecode(JSValue program) {
    size_t size;
    uint8_t *bytecode = JS_WriteObject(context, &size, program, JS_WRITE_OBJ_BYTECODE);
    if (bytecode == NULL) {
        nx_report_compile_error(context);
        return NX_GUEST_ERROR;
    }
    nx_host_result((const char *)bytecode, size);
    return NX_GUEST_DONE;
}

// Compiles a handler's body (expression = 0) or a computed expression to bytecode. `line` and
// `column` say where the code's first character stands in its file.
//
// A body such as `}, evil(), async function () {` would close its own function and run code when
// the program is loaded. So the program's top level must be the very code of a program with an
// empty body: create one closure and return it. An expression must fit brackets of another kind as
// well, or it might close those it stands in and go on with statements.
NX_EXPORT("nx_compile")
uint32_t nx_compile(const char *code, uint32_t len, uint32_t expression, uint32_t line,
                    uint32_t column) {
    const enum form form = expression != 0 ? EXPRESSION : form_of(code, len);
    JSValue program = compile_wrapped(form, code, len, line, column);
    if (JS_IsException(program)) {
        nx_report_compile_error(context);
        return NX_GUEST_ERROR;
    }
    JSValue model =
        expression ? compile_wrapped(form, "0", 1, 1, 1) : compile_wrapped(form, "", 0, 1, 1);
    const bool one =
        !expression || !JS_IsException(compile_wrapped(BRACKETED, code, len, line, column));
    if (!one || !nx_qjs_same_program(program, model)) {
        nx_report_plain(NX_GUEST_ERROR_ESCAPE, expression ? "not one expression"
                                                          : "the handler's body closes its own "
                                                            "function");
        return NX_GUEST_ERROR;
    }
    return report_bytecode(program);
}

// Compiles the prelude that is built into this module.
NX_EXPORT("nx_compile_prelude") uint32_t nx_compile_prelude(void) {
    JSValue program =
        JS_Eval(context, (const char *)nx_prelude_bytes, nx_prelude_bytes_len, "prelude",
                JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY | JS_EVAL_FLAG_STRICT);
    if (JS_IsException(program)) {
        nx_report_compile_error(context);
        return NX_GUEST_ERROR;
    }
    return report_bytecode(program);
}
