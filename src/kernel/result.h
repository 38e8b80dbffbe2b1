// SPDX-License-Identifier: Apache-2.0
// The result of an execution, and its public JSON form.
//
// A result is a view: its spans and arrays are valid during the callback that hands it over.
// Whoever needs it longer renders it.
#ifndef NX_KERNEL_RESULT_H
#define NX_KERNEL_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/result_code.h"
#include "base/span.h"
#include "sandbox/client.h"

enum nx_exec_status { NX_EXEC_SUCCESS, NX_EXEC_SUSPENDED, NX_EXEC_ERROR, NX_EXEC_STATUS_COUNT };

// "success", "suspended", "error".
const char *nx_exec_status_name(enum nx_exec_status status);

struct nx_result {
    enum nx_exec_status status;
    struct nx_span return_json; // SUCCESS; empty: undefined

    // Of all committed segments so far. Mutations: net effect of the whole execution, in order of
    // first write.
    const struct nx_mutation *mutations;
    size_t mutation_count;
    const struct nx_event *events;
    size_t event_count;
    const struct nx_view_command *views;
    size_t view_count;
    // Of all segments, also a failed one.
    const struct nx_log_entry *logs;
    size_t log_count;

    struct { // SUSPENDED
        uint64_t id;
        const struct nx_ext_call *calls; // every call not yet answered
        size_t call_count;
    } suspension;

    struct { // ERROR
        enum nx_result_code code;
        struct nx_span message;
        struct nx_span stack;      // empty if none
        uint32_t line, column;     // in the panel's source file, 1-based; 0 if unknown
        struct nx_span snippet;    // a few lines of the handler around the error; empty if unknown
        uint32_t highlight_line;   // 1-based line of `snippet` that failed
        struct nx_span capability; // token, for PERMISSION_DENIED; else empty
    } error;

    struct {
        uint64_t duration_us; // running time of all segments, without suspensions
        uint64_t memory_used_bytes, memory_peak_bytes; // last, and highest of any segment
        uint32_t host_calls[NX_HOST_CALL_COUNT];
        uint32_t compile_us; // 0 when the code was in the cache
        bool cache_hit;
        uint32_t segments;
    } metrics;
};

// Appends the result as one JSON object, exactly as documented for clients: members that do not
// apply are absent. Returns 0 or out->failed.
int nx_result_render(struct nx_buf *out, const struct nx_result *result);

// The same without the braces, for messages that put their own members in front, e.g.
// `{"type":"RESULT","requestId":"7",` + members + `}`.
int nx_result_render_members(struct nx_buf *out, const struct nx_result *result);

// The parts, each appended as one JSON array, for messages that carry only them.
int nx_result_render_mutations(struct nx_buf *out, const struct nx_mutation *mutations,
                               size_t count);
int nx_result_render_events(struct nx_buf *out, const struct nx_event *events, size_t count);
int nx_result_render_views(struct nx_buf *out, const struct nx_view_command *views, size_t count);
int nx_result_render_logs(struct nx_buf *out, const struct nx_log_entry *logs, size_t count);
// One object {"suspensionId","calls":[…]}.
int nx_result_render_suspension(struct nx_buf *out, const struct nx_result *result);

#endif
