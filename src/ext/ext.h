// SPDX-License-Identifier: Apache-2.0
// Extensions: what handlers reach as $ext.name.method(...). Each is an implementation of
// `struct nx_ext` in a registry; every call is asynchronous on the registry's loop.
//
// Grants are not checked here: the kernel does that before it calls.
#ifndef NX_EXT_EXT_H
#define NX_EXT_EXT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "base/result_code.h"
#include "base/span.h"

struct nx_ext_registry;

struct nx_ext_request {
    struct nx_span extension;
    struct nx_span method;
    struct nx_span args_json;   // an array; has passed nx_json_scan
    struct nx_span request_id;  // of the trigger, for outgoing headers; may be empty
    struct nx_span traceparent; // the same; at most NX_TRACEPARENT_BYTES
    struct nx_span tenant; // whose call it is (a panel's id): what is scarce is shared by these
};

struct nx_ext_result {
    bool ok;
    struct nx_span json;      // ok: the value, JSON that would pass nx_json_scan; empty: undefined
    enum nx_result_code code; // not ok: EXTENSION_ERROR, or METHOD_NOT_FOUND, …
    struct nx_span message;   // not ok
};

// Called exactly once for a call that was started and not cancelled, always from the loop. The
// result is valid during the call; the operation is gone when it returns.
typedef void nx_ext_done_fn(void *user, const struct nx_ext_result *result);

// A call under way. Implementations embed it as their first member and set `cancel`.
struct nx_ext_op {
    // Gives the call up: no callback follows, everything is released (handles from the loop).
    void (*cancel)(struct nx_ext_op *op);
};

// One extension. Plain data, copied by nx_ext_register.
struct nx_ext {
    const char *name; // static text, as in $ext.name and in the grant ext:name
    void *self;       // passed to the functions; owned, released by `destroy`
    bool (*has_method)(const void *self, struct nx_span method);
    // Starts a call to a method it has. The request is valid during the call only. Must not call
    // `fn` before it returns. On error nothing was started; `err` becomes an EXTENSION_ERROR that
    // the handler sees.
    int (*call)(void *self, const struct nx_ext_request *request, nx_ext_done_fn *fn, void *user,
                struct nx_ext_op **out, struct nx_error *err);
    void (*destroy)(void *self); // may be NULL; no call is under way
};

// An empty registry on `loop`. NX_E_NOMEM.
int nx_ext_registry_new(struct nx_ext_registry **out, uv_loop_t *loop, struct nx_error *err);

// Destroys the extensions and the registry. Every call must have ended or been cancelled; handles
// of cancelled ones close in the loop's next turn.
void nx_ext_registry_free(struct nx_ext_registry *registry);

uv_loop_t *nx_ext_registry_loop(const struct nx_ext_registry *registry);

// Adds an extension and takes over `self` (on error too). Errors: NX_E_EXISTS (name taken),
// NX_E_LIMIT (over NX_MAX_EXTENSIONS).
int nx_ext_register(struct nx_ext_registry *registry, const struct nx_ext *ext,
                    struct nx_error *err);

// Whether an extension of this name exists.
bool nx_ext_exists(const struct nx_ext_registry *registry, struct nx_span name);

// Starts a call. On error `fn` is never called, and *code says what the handler sees:
// EXTENSION_NOT_FOUND, METHOD_NOT_FOUND or EXTENSION_ERROR.
int nx_ext_call(struct nx_ext_registry *registry, const struct nx_ext_request *request,
                nx_ext_done_fn *fn, void *user, struct nx_ext_op **out, enum nx_result_code *code,
                struct nx_error *err);

// Gives up a call; see struct nx_ext_op. NULL is fine.
void nx_ext_cancel(struct nx_ext_op *op);

// ---- Built in

// `time`: sleep(ms) resolves to undefined after at most NX_MAX_SLEEP_MS; now() resolves to the
// milliseconds since the Unix epoch. NX_E_NOMEM, or an error of nx_ext_register.
int nx_ext_register_time(struct nx_ext_registry *registry, struct nx_error *err);

// Replaces every extension, registered before or later, by canned answers: a JSON object
// {"name.method": ANSWER | [ANSWER, …]} with ANSWER = {"result": any} or {"error": {"code"?,
// "message"?}}, each optionally with "delayMs". A list is given out in order, its last answer again
// and again. A "code" that is a result code (EXTENSION_ERROR, …) is the code the handler sees; any
// other stands in front of the message. Errors: NX_E_INVALID with the offending key,
// NX_E_LIMIT, NX_E_NOMEM.
int nx_ext_mock(struct nx_ext_registry *registry, struct nx_span json, struct nx_error *err);

// For implementations: completes with a copy of `result` after `delay_ms` (0: in the loop's next
// turn). NX_E_NOMEM, NX_E_IO.
int nx_ext_complete_later(uv_loop_t *loop, uint64_t delay_ms, const struct nx_ext_result *result,
                          nx_ext_done_fn *fn, void *user, struct nx_ext_op **out,
                          struct nx_error *err);

#endif
