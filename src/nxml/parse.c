// SPDX-License-Identifier: Apache-2.0
// The frame of a parse: findings, memory, and how it ends.
#include "nxml/parse.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUOTE_BYTES = 64 };

int nx_parse_begin(struct nx_parse *p, struct nx_diagnostics *diags, bool is_nxml) {
    *p = (struct nx_parse){.diags = diags, .errors_before = diags->errors, .is_nxml = is_nxml};
    p->def = nx_parse_calloc(p, 1, sizeof *p->def);
    return p->failed;
}

int nx_parse_finish(struct nx_parse *p, struct nx_panel_def **out) {
    nx_arena_free(&p->arena);
    free(p->caps);
    nx_diagnostics_sort(p->diags);
    int status = p->failed;
    if (status == 0 && p->diags->errors > p->errors_before)
        status = NX_E_INVALID;
    *out = status ? NULL : p->def;
    if (status)
        nx_panel_def_free(p->def);
    p->def = NULL;
    return status;
}

void nx_parse_error(struct nx_parse *p, const char *code, struct nx_pos pos, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (nx_diagnostics_vadd(p->diags, false, code, pos, p->where, fmt, ap))
        p->failed = NX_E_NOMEM;
    va_end(ap);
}

void nx_parse_warn(struct nx_parse *p, const char *code, struct nx_pos pos, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (nx_diagnostics_vadd(p->diags, true, code, pos, p->where, fmt, ap))
        p->failed = NX_E_NOMEM;
    va_end(ap);
}

void *nx_parse_alloc(struct nx_parse *p, size_t size) {
    void *memory = nx_arena_alloc(&p->arena, size);
    if (!memory)
        p->failed = NX_E_NOMEM;
    return memory;
}

struct nx_span nx_parse_keep(struct nx_parse *p, struct nx_span s) {
    char *copy = nx_parse_alloc(p, s.len + 1);
    if (!copy)
        return nx_span_of(NULL, 0);
    if (s.len)
        memcpy(copy, s.data, s.len);
    return nx_span_of(copy, s.len);
}

void *nx_parse_calloc(struct nx_parse *p, size_t count, size_t size) {
    if (count == 0)
        return NULL;
    void *memory = calloc(count, size);
    if (!memory)
        p->failed = NX_E_NOMEM;
    return memory;
}

char *nx_parse_strdup(struct nx_parse *p, struct nx_span s) {
    char *copy = nx_parse_calloc(p, s.len + 1, 1);
    if (copy && s.len)
        memcpy(copy, s.data, s.len);
    return copy;
}

char *nx_parse_steal(struct nx_parse *p, struct nx_buf *b) {
    // Every text built here is bounded by its source, below the buffer's maximum: what fails is
    // memory.
    char *text = b->len || b->failed ? nx_buf_steal(b, NULL) : nx_parse_strdup(p, nx_buf_span(b));
    nx_buf_free(b);
    if (!text)
        p->failed = NX_E_NOMEM;
    return text;
}

int nx_quote_len(struct nx_span s) {
    size_t len = s.len < QUOTE_BYTES ? s.len : QUOTE_BYTES;
    if (len < s.len)
        while (len > 0 && ((unsigned char)s.data[len] & 0xC0) == 0x80)
            len--;
    return (int)len;
}
