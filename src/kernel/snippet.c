// SPDX-License-Identifier: Apache-2.0
// The lines of code around an error.
#include "kernel/snippet.h"

// Bytes of `s` to keep so that at most `max` remain and no UTF-8 sequence is cut.
static size_t cut_at_character(struct nx_span s, size_t max) {
    if (s.len <= max)
        return s.len;
    while (max > 0 && ((unsigned char)s.data[max] & 0xC0) == 0x80)
        max--;
    return max;
}

static void add_line(struct nx_snippet *out, struct nx_span text, bool is_first) {
    if (text.len && text.data[text.len - 1] == '\r')
        text.len--;
    if (!is_first)
        out->code[out->len++] = '\n';
    size_t len = cut_at_character(text, NX_MAX_SNIPPET_LINE_BYTES);
    memcpy(out->code + out->len, text.data, len);
    out->len += len;
}

void nx_snippet_cut(struct nx_snippet *out, struct nx_span code, uint32_t line) {
    uint32_t first = line > NX_SNIPPET_CONTEXT_LINES ? line - NX_SNIPPET_CONTEXT_LINES : 1;
    uint32_t last = line + NX_SNIPPET_CONTEXT_LINES;
    uint32_t shown = 0;
    const char *p = code.data, *end = code.data + code.len;
    out->len = 0;
    out->highlight_line = 0;
    for (uint32_t number = 1; p < end && number <= last; number++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *stop = newline ? newline : end;
        if (number >= first) {
            add_line(out, nx_span_of(p, (size_t)(stop - p)), shown == 0);
            shown++;
        }
        if (number == line)
            out->highlight_line = shown;
        p = newline ? newline + 1 : end;
    }
    if (out->highlight_line == 0)
        out->len = 0;
}
