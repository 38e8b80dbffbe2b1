// SPDX-License-Identifier: Apache-2.0
// Binding a call's arguments to a tool's declarations. On every trigger: no tree, and no memory
// but the output's (and that of keys written with escapes, which nobody writes).
#include "base/json.h"
#include "base/limits.h"
#include "nxml/lexer.h"
#include "nxml/panel_def.h"
#include "nxml/parse.h"

struct binding {
    const struct nx_tool_def *tool;
    struct nx_error *err;
    struct nx_span values[NX_MAX_TOOL_ARGS]; // empty: not given
    bool refused;                            // err is set
};

// Puts `value` where the argument `name` has its place; whether there is one.
static bool bind_value(struct binding *b, struct nx_span name, struct nx_span value) {
    for (size_t i = 0; i < b->tool->arg_count; i++) {
        if (nx_span_eq(name, nx_span_str(b->tool->args[i].name))) {
            b->values[i] = value; // of a key given twice the last counts, as in JSON.parse
            return true;
        }
    }
    return false;
}

static int bind_member(void *user, struct nx_span raw_key, struct nx_span value) {
    struct binding *b = user;
    bool bound = false;
    int status = 0;
    if (raw_key.len && memchr(raw_key.data, '\\', raw_key.len)) {
        struct nx_buf plain;
        nx_buf_init(&plain, NX_MAX_IDENTIFIER_BYTES); // a longer key is no argument's
        status = nx_json_unescape(&plain, raw_key);
        bound = status == 0 && bind_value(b, nx_buf_span(&plain), value);
        nx_buf_free(&plain);
    } else {
        bound = bind_value(b, raw_key, value);
    }
    if (bound)
        return 0;
    b->refused = true;
    if (status == NX_E_NOMEM)
        return nx_error_set(b->err, NX_E_NOMEM, "out of memory");
    return nx_error_set(b->err, NX_E_INVALID, "unknown argument '%.*s'", nx_quote_len(raw_key),
                        raw_key.data);
}

// Appends the i-th argument, from the call or its default; nothing if it is optional and absent.
static int append_arg(struct binding *b, size_t i, struct nx_buf *out) {
    const struct nx_arg_def *arg = &b->tool->args[i];
    struct nx_span value = b->values[i];
    enum nx_value_type type;
    if (value.len) {
        if (!nx_json_value_type(value, &type) || type != arg->type)
            return nx_error_set(b->err, NX_E_INVALID, "argument '%s' must be %s %s", arg->name,
                                arg->type == NX_TYPE_OBJECT ? "an" : "a",
                                nx_value_type_name(arg->type));
    } else if (arg->default_json) {
        value = nx_span_str(arg->default_json);
    } else if (arg->required) {
        return nx_error_set(b->err, NX_E_INVALID, "missing argument '%s'", arg->name);
    } else {
        return 0;
    }
    nx_json_append_key(out, arg->name);
    nx_buf_append_span(out, value);
    return 0;
}

int nx_tool_bind_args(const struct nx_tool_def *tool, struct nx_span args, struct nx_buf *out,
                      struct nx_error *err) {
    struct binding b = {.tool = tool, .err = err};
    if (args.len == 0)
        args = nx_span_str("{}");
    args = nx_span_trim(args);
    if (args.len == 0 || args.data[0] != '{')
        return nx_error_set(err, NX_E_INVALID, "the arguments must be a JSON object");
    if (tool->declares_args) {
        int status = nx_json_each_member(args, bind_member, &b);
        if (status && !b.refused)
            return nx_error_set(err, status, "the arguments are malformed");
        nx_buf_append_char(out, '{');
        for (size_t i = 0; i < tool->arg_count && status == 0; i++)
            status = append_arg(&b, i, out);
        nx_buf_append_char(out, '}');
        if (status)
            return status;
    } else {
        nx_buf_append_span(out, args);
    }
    if (out->failed)
        return nx_error_set(err, out->failed, "%s",
                            out->failed == NX_E_NOMEM ? "out of memory"
                                                      : "the arguments are too large");
    return 0;
}
