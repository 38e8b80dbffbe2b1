// SPDX-License-Identifier: Apache-2.0
// Prints results. This runs once a trigger, so it appends pieces and formats nothing it need not.
#include "kernel/result.h"

#include "base/json.h"

// Only for string literals: their length is known without counting.
#define PUT(out, literal) nx_buf_append((out), (literal), sizeof(literal) - 1)

const char *nx_exec_status_name(enum nx_exec_status status) {
    switch (status) {
    case NX_EXEC_SUCCESS:
        return "success";
    case NX_EXEC_SUSPENDED:
        return "suspended";
    default:
        return "error";
    }
}

static void put_number(struct nx_buf *out, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    nx_buf_append(out, digits + at, sizeof digits - at);
}

// Spans of JSON that stand for "nothing given" print as null where a member must be present.
static void put_json(struct nx_buf *out, struct nx_span json) {
    if (json.len)
        nx_buf_append_span(out, json);
    else
        PUT(out, "null");
}

int nx_result_render_mutations(struct nx_buf *out, const struct nx_mutation *mutations,
                               size_t count) {
    nx_buf_append_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            nx_buf_append_char(out, ',');
        if (mutations[i].is_delete)
            PUT(out, "{\"operation\":\"delete\",\"key\":");
        else
            PUT(out, "{\"operation\":\"set\",\"key\":");
        nx_json_append_string(out, mutations[i].key);
        if (!mutations[i].is_delete) {
            PUT(out, ",\"value\":");
            put_json(out, mutations[i].json);
        }
        nx_buf_append_char(out, '}');
    }
    return nx_buf_append_char(out, ']');
}

int nx_result_render_events(struct nx_buf *out, const struct nx_event *events, size_t count) {
    nx_buf_append_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            nx_buf_append_char(out, ',');
        PUT(out, "{\"name\":");
        nx_json_append_string(out, events[i].name);
        if (events[i].payload_json.len) {
            PUT(out, ",\"payload\":");
            nx_buf_append_span(out, events[i].payload_json);
        }
        nx_buf_append_char(out, '}');
    }
    return nx_buf_append_char(out, ']');
}

int nx_result_render_views(struct nx_buf *out, const struct nx_view_command *views, size_t count) {
    nx_buf_append_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            nx_buf_append_char(out, ',');
        PUT(out, "{\"type\":");
        nx_json_append_string(out, views[i].type);
        PUT(out, ",\"componentId\":");
        nx_json_append_string(out, views[i].component_id);
        if (views[i].args_json.len) {
            PUT(out, ",\"args\":");
            nx_buf_append_span(out, views[i].args_json);
        }
        nx_buf_append_char(out, '}');
    }
    return nx_buf_append_char(out, ']');
}

int nx_result_render_logs(struct nx_buf *out, const struct nx_log_entry *logs, size_t count) {
    nx_buf_append_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            nx_buf_append_char(out, ',');
        PUT(out, "{\"level\":");
        nx_json_append_string(out, logs[i].level);
        PUT(out, ",\"message\":");
        nx_json_append_string(out, logs[i].message);
        nx_buf_append_char(out, '}');
    }
    return nx_buf_append_char(out, ']');
}

int nx_result_render_suspension(struct nx_buf *out, const struct nx_result *result) {
    PUT(out, "{\"suspensionId\":\"");
    put_number(out, result->suspension.id);
    PUT(out, "\",\"calls\":[");
    for (size_t i = 0; i < result->suspension.call_count; i++) {
        const struct nx_ext_call *call = &result->suspension.calls[i];
        if (i)
            nx_buf_append_char(out, ',');
        PUT(out, "{\"callId\":");
        put_number(out, call->call_id);
        PUT(out, ",\"extension\":");
        nx_json_append_string(out, call->extension);
        PUT(out, ",\"method\":");
        nx_json_append_string(out, call->method);
        PUT(out, ",\"args\":");
        put_json(out, call->args_json);
        nx_buf_append_char(out, '}');
    }
    return PUT(out, "]}");
}

static void put_error(struct nx_buf *out, const struct nx_result *result) {
    PUT(out, ",\"error\":{\"code\":\"");
    nx_buf_append_str(out, nx_result_code_name(result->error.code));
    PUT(out, "\",\"message\":");
    nx_json_append_string(out, result->error.message);
    if (result->error.stack.len) {
        PUT(out, ",\"stack\":");
        nx_json_append_string(out, result->error.stack);
    }
    if (result->error.line) {
        PUT(out, ",\"location\":{\"line\":");
        put_number(out, result->error.line);
        PUT(out, ",\"column\":");
        put_number(out, result->error.column);
        nx_buf_append_char(out, '}');
    }
    if (result->error.snippet.len) {
        PUT(out, ",\"snippet\":{\"code\":");
        nx_json_append_string(out, result->error.snippet);
        PUT(out, ",\"highlightLine\":");
        put_number(out, result->error.highlight_line);
        nx_buf_append_char(out, '}');
    }
    if (result->error.capability.len) {
        PUT(out, ",\"capability\":");
        nx_json_append_string(out, result->error.capability);
    }
    nx_buf_append_char(out, '}');
}

static void put_host_calls(struct nx_buf *out, const uint32_t *calls) {
    static const char *const names[] = {
#define NX_HOST_CALL_NAME(name, text) text,
        NX_HOST_CALLS(NX_HOST_CALL_NAME)
#undef NX_HOST_CALL_NAME
    };
    bool first = true;
    for (int i = 0; i < NX_HOST_CALL_COUNT; i++) {
        if (!calls[i])
            continue;
        if (!first)
            nx_buf_append_char(out, ',');
        first = false;
        nx_buf_append_char(out, '"');
        nx_buf_append_str(out, names[i]);
        PUT(out, "\":");
        put_number(out, calls[i]);
    }
}

static void put_metrics(struct nx_buf *out, const struct nx_result *result) {
    PUT(out, ",\"metrics\":{\"durationUs\":");
    put_number(out, result->metrics.duration_us);
    PUT(out, ",\"memoryUsedBytes\":");
    put_number(out, result->metrics.memory_used_bytes);
    PUT(out, ",\"memoryPeakBytes\":");
    put_number(out, result->metrics.memory_peak_bytes);
    PUT(out, ",\"hostCalls\":{");
    put_host_calls(out, result->metrics.host_calls);
    PUT(out, "},\"compileUs\":");
    put_number(out, result->metrics.compile_us);
    if (result->metrics.cache_hit)
        PUT(out, ",\"cacheHit\":true,\"segments\":");
    else
        PUT(out, ",\"cacheHit\":false,\"segments\":");
    put_number(out, result->metrics.segments);
    nx_buf_append_char(out, '}');
}

// About as much as the result takes when printed; names and numbers count only in the round.
static size_t expected_bytes(const struct nx_result *result) {
    enum { PER_RESULT = 1024, PER_ITEM = 64 };
    size_t bytes = PER_RESULT + result->return_json.len;
    for (size_t i = 0; i < result->mutation_count; i++)
        bytes += PER_ITEM + result->mutations[i].json.len;
    for (size_t i = 0; i < result->event_count; i++)
        bytes += PER_ITEM + result->events[i].payload_json.len;
    for (size_t i = 0; i < result->view_count; i++)
        bytes += PER_ITEM + result->views[i].args_json.len;
    for (size_t i = 0; i < result->log_count; i++)
        bytes += PER_ITEM + result->logs[i].message.len;
    return bytes;
}

int nx_result_render_members(struct nx_buf *out, const struct nx_result *result) {
    nx_buf_expect(out, expected_bytes(result));
    PUT(out, "\"status\":\"");
    nx_buf_append_str(out, nx_exec_status_name(result->status));
    nx_buf_append_char(out, '"');
    if (result->status == NX_EXEC_SUCCESS && result->return_json.len) {
        PUT(out, ",\"returnValue\":");
        nx_buf_append_span(out, result->return_json);
    }
    PUT(out, ",\"mutations\":");
    nx_result_render_mutations(out, result->mutations, result->mutation_count);
    PUT(out, ",\"events\":");
    nx_result_render_events(out, result->events, result->event_count);
    PUT(out, ",\"viewCommands\":");
    nx_result_render_views(out, result->views, result->view_count);
    if (result->status == NX_EXEC_SUSPENDED) {
        PUT(out, ",\"suspension\":");
        nx_result_render_suspension(out, result);
    }
    if (result->status == NX_EXEC_ERROR)
        put_error(out, result);
    PUT(out, ",\"logs\":");
    nx_result_render_logs(out, result->logs, result->log_count);
    put_metrics(out, result);
    return out->failed;
}

int nx_result_render(struct nx_buf *out, const struct nx_result *result) {
    nx_buf_append_char(out, '{');
    nx_result_render_members(out, result);
    return nx_buf_append_char(out, '}');
}
