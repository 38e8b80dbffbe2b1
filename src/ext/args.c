// SPDX-License-Identifier: Apache-2.0
#include "ext/args.h"

#include <string.h>

#include "base/json.h"

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct nx_span trim(struct nx_span s) {
    while (s.len && is_space(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

// The end of the element that starts at `p`: its comma, or the bracket that closes the list.
static const char *element_end(const char *p, const char *end) {
    size_t depth = 0;
    for (bool in_string = false; p < end; p++) {
        if (in_string) {
            if (*p == '\\')
                p++;
            else if (*p == '"')
                in_string = false;
        } else if (*p == '"') {
            in_string = true;
        } else if (*p == '[' || *p == '{') {
            depth++;
        } else if (depth == 0 && (*p == ',' || *p == ']')) {
            break;
        } else if (*p == ']' || *p == '}') {
            depth--;
        }
    }
    return p < end ? p : end;
}

bool nx_ext_args_item(struct nx_span list, size_t index, struct nx_span *out) {
    *out = (struct nx_span){NULL, 0};
    list = trim(list);
    if (list.len < 2 || list.data[0] != '[')
        return false;
    const char *end = list.data + list.len;
    for (const char *p = list.data + 1; p < end;) {
        const char *stop = element_end(p, end);
        struct nx_span item = trim(nx_span_of(p, (size_t)(stop - p)));
        if (item.len == 0)
            return false; // an empty list
        if (index-- == 0) {
            *out = item;
            return true;
        }
        p = stop + 1;
        if (stop < end && *stop == ']')
            return false;
    }
    return false;
}

bool nx_ext_args_text(struct nx_span value, struct nx_buf *out) {
    if (value.len < 2 || value.data[0] != '"')
        return false;
    size_t start = out->len;
    return nx_json_unescape(out, nx_span_of(value.data + 1, value.len - 2)) == 0 &&
           nx_utf8_valid(nx_span_of(out->data ? out->data + start : NULL, out->len - start));
}
