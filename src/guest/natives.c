// SPDX-License-Identifier: Apache-2.0
// Guest side: the native functions behind $emit, $view, $ext and $log.
#include "glue.h"

struct text {
    const char *data;
    size_t len;
};

static bool text_of(JSContext *ctx, JSValueConst value, struct text *out) {
    out->data = JS_ToCStringLen(ctx, &out->len, value);
    return out->data != NULL;
}

static JSValue finish(JSContext *ctx, int32_t status, const char *prefix,
                      const struct text *scope) {
    if (status == NX_HOST_DENIED) {
        return nx_throw_denied(ctx, prefix, scope->data, scope->len);
    }
    return status < 0 ? nx_throw_host(ctx, status) : JS_UNDEFINED;
}

// emit(name, payload)
static JSValue native_emit(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    (void)this_val;
    (void)argc;
    struct text name, json;
    if (!text_of(ctx, argv[0], &name)) {
        return JS_EXCEPTION;
    }
    JSValue result = JS_EXCEPTION;
    if (nx_json_text(ctx, argv[1], &json.data, &json.len) == 0) {
        result = finish(ctx, nx_host_emit(name.data, name.len, json.data, json.len),
                        "events:emit:", &name);
        JS_FreeCString(ctx, json.data);
    }
    JS_FreeCString(ctx, name.data);
    return result;
}

// view(type, componentId, args)
static JSValue native_view(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    (void)this_val;
    (void)argc;
    struct text type = {0}, id = {0}, json = {0};
    JSValue result = JS_EXCEPTION;
    if (text_of(ctx, argv[0], &type) && text_of(ctx, argv[1], &id) &&
        nx_json_text(ctx, argv[2], &json.data, &json.len) == 0) {
        const int32_t status =
            nx_host_view(type.data, type.len, id.data, id.len, json.data, json.len);
        result = finish(ctx, status, "view:update:", &id);
    }
    JS_FreeCString(ctx, type.data);
    JS_FreeCString(ctx, id.data);
    JS_FreeCString(ctx, json.data);
    return result;
}

// log(level, text)
static JSValue native_log(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    (void)this_val;
    (void)argc;
    int32_t level;
    struct text text;
    if (JS_ToInt32(ctx, &level, argv[0]) < 0 || !text_of(ctx, argv[1], &text)) {
        return JS_EXCEPTION;
    }
    const int32_t status = nx_host_log(level, text.data, text.len);
    JS_FreeCString(ctx, text.data);
    return status < 0 ? nx_throw_host(ctx, status) : JS_UNDEFINED;
}

// denied(key): a value that may only be read was written to. Asks the host, so that the refusal is
// counted and on record like any other. Were the key writable after all, the host would find that
// no text is no JSON, and write nothing.
static JSValue native_denied(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    (void)this_val;
    (void)argc;
    struct text key;
    if (!text_of(ctx, argv[0], &key)) {
        return JS_EXCEPTION;
    }
    JSValue result = finish(ctx, nx_host_state_set(key.data, key.len, "", 0), "state:write:", &key);
    JS_FreeCString(ctx, key.data);
    return result;
}

// ---- extension calls

struct call {
    uint32_t id;
    JSValue settle[2]; // the promise's resolve and reject
};
static struct call *calls;
static uint32_t call_count, call_capacity;

static bool reserve_call(JSContext *ctx) {
    if (call_count < call_capacity) {
        return true;
    }
    const uint32_t capacity = call_capacity == 0 ? 4 : call_capacity * 2;
    struct call *grown = js_realloc(ctx, calls, capacity * sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    calls = grown;
    call_capacity = capacity;
    return true;
}

// Asks the host for the call, and gives the promise of its answer. The promise comes first: a call
// that the handler could not be told of must not be made.
static JSValue make_call(JSContext *ctx, const struct text *name, const struct text *method,
                         const struct text *json) {
    JSValue settle[2], promise = JS_NewPromiseCapability(ctx, settle);
    if (JS_IsException(promise)) {
        return JS_EXCEPTION;
    }
    const int32_t id =
        nx_host_ext_call(name->data, name->len, method->data, method->len, json->data, json->len);
    if (id > 0) {
        calls[call_count++] = (struct call){(uint32_t)id, {settle[0], settle[1]}};
        return promise;
    }
    JS_FreeValue(ctx, settle[0]);
    JS_FreeValue(ctx, settle[1]);
    JS_FreeValue(ctx, promise);
    return finish(ctx, id < 0 ? id : NX_HOST_FATAL, "ext:", name);
}

// ext(name, method, args): a promise
static JSValue native_ext(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    (void)this_val;
    (void)argc;
    struct text name = {0}, method = {0}, json = {0};
    JSValue result = JS_EXCEPTION;
    if (text_of(ctx, argv[0], &name) && text_of(ctx, argv[1], &method) &&
        nx_json_text(ctx, argv[2], &json.data, &json.len) == 0 && reserve_call(ctx)) {
        result = make_call(ctx, &name, &method, &json);
    }
    JS_FreeCString(ctx, name.data);
    JS_FreeCString(ctx, method.data);
    JS_FreeCString(ctx, json.data);
    return result;
}

int nx_natives_settle(JSContext *ctx, uint32_t call_id, bool ok, JSValue value) {
    for (uint32_t i = 0; i < call_count; i++) {
        if (calls[i].id != call_id) {
            continue;
        }
        struct call call = calls[i];
        calls[i] = calls[--call_count];
        JSValue done =
            JS_Call(ctx, call.settle[ok ? 0 : 1], JS_UNDEFINED, 1, (JSValueConst[]){value});
        JS_FreeValue(ctx, done);
        JS_FreeValue(ctx, value);
        JS_FreeValue(ctx, call.settle[0]);
        JS_FreeValue(ctx, call.settle[1]);
        return JS_IsException(done) ? -1 : 0;
    }
    JS_FreeValue(ctx, value);
    return -1;
}

uint32_t nx_natives_outstanding(void) {
    return call_count;
}

JSValue nx_natives_new(JSContext *ctx) {
    static const struct {
        const char *name;
        JSCFunction *fn;
        int argc;
    } natives[] = {{"emit", native_emit, 2},
                   {"view", native_view, 3},
                   {"ext", native_ext, 3},
                   {"log", native_log, 2},
                   {"denied", native_denied, 1}};
    JSValue object = JS_NewObject(ctx);
    for (size_t i = 0; i < sizeof(natives) / sizeof(natives[0]); i++) {
        JSValue fn = JS_NewCFunction(ctx, natives[i].fn, natives[i].name, natives[i].argc);
        if (JS_SetPropertyStr(ctx, object, natives[i].name, fn) < 0) {
            return JS_EXCEPTION;
        }
    }
    return object;
}
