// SPDX-License-Identifier: Apache-2.0
// Copies a JSON text and changes nothing but the white space between its tokens.
#include "kernel/json_pretty.h"

#include <stdbool.h>

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void new_line(struct nx_buf *out, size_t depth) {
    nx_buf_append_char(out, '\n');
    for (size_t i = 0; i < depth; i++)
        nx_buf_append_str(out, "  ");
}

// Copies the string that starts at `at`; returns the index of its last byte.
static size_t copy_string(struct nx_buf *out, struct nx_span json, size_t at) {
    size_t end = at + 1;
    while (end < json.len && json.data[end] != '"')
        end += json.data[end] == '\\' ? 2 : 1;
    nx_buf_append(out, json.data + at, end + 1 - at);
    return end;
}

int nx_json_pretty(struct nx_buf *out, struct nx_span json) {
    size_t depth = 0;
    bool empty = false; // just after an opening bracket
    for (size_t i = 0; i < json.len && !out->failed; i++) {
        char c = json.data[i];
        if (is_space(c))
            continue;
        bool closes = c == '}' || c == ']';
        if (closes)
            depth--;
        if (closes ? !empty : empty)
            new_line(out, depth);
        empty = c == '{' || c == '[';
        if (c == '"') {
            i = copy_string(out, json, i);
            continue;
        }
        nx_buf_append_char(out, c);
        if (empty)
            depth++;
        else if (c == ',')
            new_line(out, depth);
        else if (c == ':')
            nx_buf_append_char(out, ' ');
    }
    return out->failed;
}
