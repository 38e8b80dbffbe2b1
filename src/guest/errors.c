// SPDX-License-Identifier: Apache-2.0
// Guest side: errors thrown to the handler, and errors reported to the host.
//
// Errors made here carry their kind under a private symbol, so that what a handler throws itself is
// never mistaken for one. (A handler that owns the guest can forge it; the host treats the report
// as the handler's own word.)
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "glue.h"
#include "qjs_unit.h"

static JSAtom kind_atom;

int nx_errors_init(JSContext *ctx) {
    JSValue symbol = nx_qjs_new_private_symbol(ctx);
    if (JS_IsException(symbol)) {
        return -1;
    }
    kind_atom = JS_ValueToAtom(ctx, symbol);
    JS_FreeValue(ctx, symbol);
    return kind_atom == JS_ATOM_NULL ? -1 : 0;
}

static JSValue error_new(JSContext *ctx, enum nx_guest_error kind, const char *name,
                         JSValue message) {
    const int flags = JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE;
    JSValue error = JS_NewError(ctx);
    if (JS_IsException(error) || JS_IsException(message)) {
        JS_FreeValue(ctx, message);
        JS_FreeValue(ctx, error);
        return JS_EXCEPTION;
    }
    if (JS_DefinePropertyValueStr(ctx, error, "message", message, flags) < 0 ||
        JS_DefinePropertyValueStr(ctx, error, "name", JS_NewString(ctx, name), flags) < 0 ||
        JS_DefinePropertyValue(ctx, error, kind_atom, JS_NewInt32(ctx, (int32_t)kind), 0) < 0) {
        JS_FreeValue(ctx, error);
        return JS_EXCEPTION;
    }
    return error;
}

static JSValue joined(JSContext *ctx, const char *prefix, const char *rest, size_t rest_len) {
    const size_t prefix_len = strlen(prefix);
    char *text = js_malloc(ctx, prefix_len + rest_len + 1);
    if (text == NULL) {
        return JS_EXCEPTION;
    }
    memcpy(text, prefix, prefix_len);
    memcpy(text + prefix_len, rest, rest_len);
    JSValue value = JS_NewStringLen(ctx, text, prefix_len + rest_len);
    js_free(ctx, text);
    return value;
}

JSValue nx_throw_denied(JSContext *ctx, const char *prefix, const char *scope, size_t scope_len) {
    const int flags = JS_PROP_ENUMERABLE; // fixed: the result says what was denied
    JSValue token = joined(ctx, prefix, scope, scope_len);
    size_t token_len = 0;
    const char *text = JS_IsException(token) ? NULL : JS_ToCStringLen(ctx, &token_len, token);
    if (text == NULL) {
        JS_FreeValue(ctx, token);
        return JS_EXCEPTION;
    }
    JSValue message = joined(ctx, "capability not granted: ", text, token_len);
    JS_FreeCString(ctx, text);
    JSValue error = error_new(ctx, NX_GUEST_ERROR_DENIED, "PermissionDenied", message);
    if (JS_IsException(error)) {
        JS_FreeValue(ctx, token);
        return JS_EXCEPTION;
    }
    JS_DefinePropertyValueStr(ctx, error, "code", JS_NewString(ctx, "PERMISSION_DENIED"), flags);
    JS_DefinePropertyValueStr(ctx, error, "capability", token, flags);
    return JS_Throw(ctx, error);
}

JSValue nx_throw_host(JSContext *ctx, int32_t status) {
    if (status == NX_HOST_FATAL) {
        // The host has already recorded why; end the handler as directly as QuickJS can. Where a
        // promise swallows the error, the flag ends what runs next.
        nx_shared.interrupt = 1;
        JSValue error = error_new(ctx, NX_GUEST_ERROR_INTERRUPTED, "ResourceLimit",
                                  JS_NewString(ctx, "a limit of this execution was reached"));
        return JS_IsException(error) ? error : nx_qjs_throw_interruption(ctx, error);
    }
    return JS_ThrowRangeError(ctx,
                              "the argument is not usable here (too long, or not well-formed)");
}

JSValue nx_call_error_new(JSContext *ctx, JSValueConst code, JSValueConst message) {
    JSValue error =
        error_new(ctx, NX_GUEST_ERROR_CALL, "ExtensionError", JS_DupValue(ctx, message));
    if (!JS_IsException(error)) {
        JS_DefinePropertyValueStr(ctx, error, "code", JS_DupValue(ctx, code),
                                  JS_PROP_CONFIGURABLE | JS_PROP_ENUMERABLE);
    }
    return error;
}

static bool is_plain(JSContext *ctx, JSValueConst value) {
    double number;
    return JS_IsBool(value) || JS_IsNull(value) ||
           (JS_IsNumber(value) && JS_ToFloat64(ctx, &number, value) == 0 && isfinite(number));
}

int nx_json_text(JSContext *ctx, JSValueConst value, const char **text, size_t *len) {
    *text = NULL;
    *len = 0;
    if (JS_IsUndefined(value)) {
        return 0;
    }
    // The JSON of these is their text, which costs no wrapper object, array and buffer.
    JSValue json = is_plain(ctx, value) ? JS_ToString(ctx, value)
                                        : JS_JSONStringify(ctx, value, JS_UNDEFINED, JS_UNDEFINED);
    if (JS_IsException(json)) {
        return -1;
    }
    if (!JS_IsUndefined(json)) {
        *text = JS_ToCStringLen(ctx, len, json);
    }
    JS_FreeValue(ctx, json);
    return *text == NULL && !JS_IsUndefined(json) ? -1 : 0;
}

JSValue nx_json_parse(JSContext *ctx, const char *text, size_t len, const char *name) {
    const bool negative = len > 0 && text[0] == '-';
    const size_t digits = len - negative;
    int32_t value = 0;
    // Up to nine digits cannot overflow. "-0" is no integer, "01" no JSON.
    if (digits == 0 || digits > 9 || (text[negative] == '0' && len > 1)) {
        return JS_ParseJSON(ctx, text, len, name);
    }
    for (size_t i = negative; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return JS_ParseJSON(ctx, text, len, name);
        }
        value = value * 10 + (text[i] - '0');
    }
    return JS_NewInt32(ctx, negative ? -value : value);
}

// A property as text, or NULL; never leaves an exception pending.
static const char *text_property(JSContext *ctx, JSValueConst object, const char *name,
                                 size_t *len) {
    *len = 0;
    JSValue value = JS_GetPropertyStr(ctx, object, name);
    const char *text = NULL;
    if (!JS_IsUndefined(value) && !JS_IsException(value)) {
        text = JS_ToCStringLen(ctx, len, value);
    }
    JS_FreeValue(ctx, value);
    if (text == NULL) {
        JS_FreeValue(ctx, JS_GetException(ctx));
    }
    return text;
}

// "name: message" of an Error as the handler sees it; plain values as String() shows them.
static const char *describe(JSContext *ctx, JSValueConst error, size_t *len) {
    const char *text = JS_ToCStringLen(ctx, len, error);
    if (text == NULL) {
        JS_FreeValue(ctx, JS_GetException(ctx));
        *len = 0;
    }
    return text;
}

// The first "(handler:LINE:COLUMN)" of a stack.
static void locate(const char *stack, int *line, int *column) {
    const char *at = stack != NULL ? strstr(stack, "handler:") : NULL;
    if (at == NULL || sscanf(at, "handler:%d:%d", line, column) != 2) {
        *line = *column = 0;
    }
}

// An own data property of a genuine Error, or undefined. Runs none of the handler's code: no
// getter, and no prototype, which may be a proxy.
static JSValue own_value(JSContext *ctx, JSValueConst error, JSAtom name) {
    JSPropertyDescriptor d;
    if (JS_GetOwnProperty(ctx, &d, error, name) <= 0) {
        return JS_UNDEFINED;
    }
    JS_FreeValue(ctx, d.getter);
    JS_FreeValue(ctx, d.setter);
    return d.value;
}

// What an error without a kind of ours is about: memory and stack only if they did run out.
static enum nx_guest_error classify_message(JSContext *ctx, JSValueConst error) {
    enum nx_guest_error kind = NX_GUEST_ERROR_THROWN;
    JSAtom name = JS_NewAtom(ctx, "message");
    JSValue message = own_value(ctx, error, name);
    const char *text = JS_IsString(message) ? JS_ToCString(ctx, message) : NULL;
    if (text != NULL && nx_heap_refused && strcmp(text, "out of memory") == 0) {
        kind = NX_GUEST_ERROR_MEMORY;
    } else if (text != NULL && nx_qjs_stack_overflowed() && strcmp(text, "stack overflow") == 0) {
        kind = NX_GUEST_ERROR_STACK;
    }
    JS_FreeCString(ctx, text);
    JS_FreeValue(ctx, message);
    JS_FreeAtom(ctx, name);
    return kind;
}

static enum nx_guest_error classify(JSContext *ctx, JSValueConst error) {
    if (JS_IsNull(error) && nx_heap_refused) {
        return NX_GUEST_ERROR_MEMORY; // what QuickJS throws when it cannot even make an Error
    }
    if (!nx_qjs_is_error(error)) {
        return NX_GUEST_ERROR_THROWN;
    }
    JSValue kind = own_value(ctx, error, kind_atom);
    int32_t value = NX_GUEST_ERROR_THROWN;
    if (JS_IsNumber(kind)) {
        JS_ToInt32(ctx, &value, kind);
    } else {
        value = (int32_t)classify_message(ctx, error);
    }
    JS_FreeValue(ctx, kind);
    return (enum nx_guest_error)value;
}

void nx_report_interruption(JSContext *ctx) {
    size_t stack_len = 0;
    const char *stack = NULL;
    int line = 0, column = 0;
    static const char message[] = "interrupted";
    JSValueConst error = nx_qjs_interruption();
    if (nx_qjs_is_error(error)) {
        stack = text_property(ctx, error, "stack", &stack_len);
        locate(stack, &line, &column);
    }
    nx_host_error(NX_GUEST_ERROR_INTERRUPTED, message, sizeof(message) - 1, stack, stack_len, NULL,
                  0, line, column);
    JS_FreeCString(ctx, stack);
}

static void report_thrown(JSContext *ctx, JSValueConst error) {
    static const char unprintable[] = "what was thrown cannot be shown as text";
    size_t message_len, stack_len = 0, detail_len = 0;
    const char *message = describe(ctx, error, &message_len);
    const char *stack = NULL, *detail = NULL;
    const enum nx_guest_error kind = classify(ctx, error);
    int line = 0, column = 0;
    if (JS_IsObject(error)) {
        stack = text_property(ctx, error, "stack", &stack_len);
        locate(stack, &line, &column);
        if (kind == NX_GUEST_ERROR_DENIED) {
            detail = text_property(ctx, error, "capability", &detail_len);
        } else if (kind == NX_GUEST_ERROR_CALL) {
            detail = text_property(ctx, error, "code", &detail_len);
        }
    }
    nx_host_error((int32_t)kind, message != NULL ? message : unprintable,
                  message != NULL ? message_len : sizeof(unprintable) - 1, stack, stack_len, detail,
                  detail_len, line, column);
    JS_FreeCString(ctx, message);
    JS_FreeCString(ctx, stack);
    JS_FreeCString(ctx, detail);
}

void nx_report_error(JSContext *ctx, JSValue error) {
    // Showing an error may run the handler's code, and that may be interrupted too: the last report
    // is the one that counts.
    if (nx_shared.interrupt == 0) {
        report_thrown(ctx, error);
    }
    if (nx_shared.interrupt != 0) {
        nx_report_interruption(ctx);
    }
    JS_FreeValue(ctx, error);
}

void nx_report_compile_error(JSContext *ctx) {
    JSValue error = JS_GetException(ctx);
    if (nx_shared.interrupt != 0) {
        nx_report_interruption(ctx);
        JS_FreeValue(ctx, error);
        return;
    }
    size_t len;
    const char *message = describe(ctx, error, &len);
    int32_t line = 0, column = 0;
    JSValue value = JS_GetPropertyStr(ctx, error, "lineNumber");
    JS_ToInt32(ctx, &line, value);
    JS_FreeValue(ctx, value);
    value = JS_GetPropertyStr(ctx, error, "columnNumber");
    JS_ToInt32(ctx, &column, value);
    JS_FreeValue(ctx, value);
    const enum nx_guest_error kind = classify(ctx, error);
    nx_host_error((int32_t)(kind == NX_GUEST_ERROR_THROWN ? NX_GUEST_ERROR_SYNTAX : kind), message,
                  len, NULL, 0, NULL, 0, line, column);
    JS_FreeCString(ctx, message);
    JS_FreeValue(ctx, error);
}

void nx_report_plain(enum nx_guest_error kind, const char *message) {
    nx_host_error((int32_t)kind, message, strlen(message), NULL, 0, NULL, 0, 0, 0);
}
