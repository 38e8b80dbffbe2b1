// SPDX-License-Identifier: Apache-2.0
// Guest side: what the glue's files share. One runtime, one context, one execution per instance.
#ifndef NX_GUEST_GLUE_H
#define NX_GUEST_GLUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "host.h"
#include "quickjs.h"

extern struct nx_guest_shared nx_shared;

// ---- heap.c
// -------------------------------------------------------------------------------------- QuickJS's
// allocator callbacks over libc's malloc; they keep the heap figures of nx_shared.
extern const JSMallocFunctions nx_heap_functions;

// Whether a request for memory has failed: without one, no error is about memory.
extern bool nx_heap_refused;

// malloc for what is not QuickJS's own: not counted, but a refusal is noted as well.
void *nx_heap_extra(size_t size);

// ---- state.c
// ------------------------------------------------------------------------------------- Creates
// `$state`. `read_only` (from the prelude) wraps a value that may be read but not written.
int nx_state_init(JSContext *ctx, JSValue *state_object, JSValue read_only);

// Reports nested writes since the last flush to the host; of values that were read in an earlier
// segment, and not again since, only the `last` time. 0, or -1 with an exception pending.
int nx_state_flush(JSContext *ctx, bool last);

// A new segment begins: values held from the last one must be checked against the host's again.
void nx_state_new_segment(void);

// ---- natives.c
// ----------------------------------------------------------------------------------- The native
// functions handed to the prelude: emit, view, ext, log, denied.
JSValue nx_natives_new(JSContext *ctx);

// Settles the promise of an outstanding extension call. 0, or -1 if there is none with that id.
int nx_natives_settle(JSContext *ctx, uint32_t call_id, bool ok, JSValue value);
uint32_t nx_natives_outstanding(void);

// ---- errors.c
int nx_errors_init(JSContext *ctx);

// Throws PermissionDenied for prefix+scope, e.g. "state:write:" + "secret".
JSValue nx_throw_denied(JSContext *ctx, const char *prefix, const char *scope, size_t scope_len);

// Throws what a negative nx_host_status other than DENIED and ABSENT asks for.
JSValue nx_throw_host(JSContext *ctx, int32_t status);

// An Error as the handler sees it when an extension call fails (not thrown).
JSValue nx_call_error_new(JSContext *ctx, JSValueConst code, JSValueConst message);

// Reports `error` (a thrown value, freed) to the host.
void nx_report_error(JSContext *ctx, JSValue error);

// Reports that the interrupt flag ended the execution, and where it did.
void nx_report_interruption(JSContext *ctx);

// Reports the pending exception as one of compilation.
void nx_report_compile_error(JSContext *ctx);

void nx_report_plain(enum nx_guest_error kind, const char *message);

// ---- json
// ---------------------------------------------------------------------------------------- JSON
// text of a value: *text is NULL when the value has none (undefined, a function). The caller frees
// with JS_FreeCString. 0, or -1 with an exception pending.
int nx_json_text(JSContext *ctx, JSValueConst value, const char **text, size_t *len);

// The value of a NUL-terminated JSON text, as JS_ParseJSON; small integers at no cost.
JSValue nx_json_parse(JSContext *ctx, const char *text, size_t len, const char *name);

#endif
