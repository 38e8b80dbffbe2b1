// SPDX-License-Identifier: Apache-2.0
// The characters of NXML; see lexer.h.
#include "nxml/lexer.h"

#include <stdint.h>

#include "base/utf8.h"

struct nx_pos nx_pos_after(struct nx_pos pos, struct nx_span bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char b = (unsigned char)bytes.data[i];
        if (b == '\n') {
            pos.line++;
            pos.column = 1;
        } else if ((b & 0xC0) != 0x80) { // continuation bytes belong to the column before
            pos.column++;
        }
    }
    return pos;
}

void nx_cursor_advance(struct nx_cursor *c, size_t n) {
    if (n > c->len - c->at)
        n = c->len - c->at;
    c->pos = nx_pos_after(c->pos, nx_span_of(c->data + c->at, n));
    c->at += n;
}

struct nx_span nx_cursor_rest(const struct nx_cursor *c) {
    return nx_span_of(c->data + c->at, c->len - c->at);
}

bool nx_cursor_at(const struct nx_cursor *c, const char *text) {
    return nx_span_starts(nx_cursor_rest(c), nx_span_str(text));
}

bool nx_is_space(char ch) {
    return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}

bool nx_cursor_skip_space(struct nx_cursor *c) {
    size_t n = c->at;
    while (n < c->len && nx_is_space(c->data[n]))
        n++;
    bool any = n > c->at;
    nx_cursor_advance(c, n - c->at);
    return any;
}

bool nx_cursor_seek(struct nx_cursor *c, const char *text) {
    struct nx_span rest = nx_cursor_rest(c);
    const char *found = rest.len ? memmem(rest.data, rest.len, text, strlen(text)) : NULL;
    nx_cursor_advance(c, found ? (size_t)(found - rest.data) : rest.len);
    return found != NULL;
}

static bool is_name_char(char ch) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
           ch == '_' || ch == '$' || ch == '-';
}

struct nx_span nx_cursor_name(struct nx_cursor *c) {
    size_t start = c->at, end = start;
    while (end < c->len && is_name_char(c->data[end]))
        end++;
    nx_cursor_advance(c, end - start);
    return nx_span_of(c->data + start, end - start);
}

struct nx_span nx_span_trim(struct nx_span s) {
    while (s.len && nx_is_space(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len && nx_is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

// ---- References

enum { NOT_A_REFERENCE = -1, BAD_REFERENCE = -2, MAX_REFERENCE_BYTES = 12 };

// The value of `text`, all of it digits of `base`, or BAD_REFERENCE if it is no character.
static int32_t parse_code_point(struct nx_span text, uint32_t base) {
    uint32_t value = 0;
    if (text.len == 0)
        return BAD_REFERENCE;
    for (size_t i = 0; i < text.len; i++) {
        char ch = text.data[i];
        uint32_t digit = base;
        if (ch >= '0' && ch <= '9')
            digit = (uint32_t)(ch - '0');
        else if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f')
            digit = (uint32_t)((ch | 0x20) - 'a' + 10);
        if (digit >= base)
            return BAD_REFERENCE;
        value = value * base + digit;
        if (value > 0x10FFFF)
            return BAD_REFERENCE;
    }
    bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    return value == 0 || surrogate ? BAD_REFERENCE : (int32_t)value;
}

static int32_t named_entity(struct nx_span name) {
    static const struct {
        const char *name;
        int32_t value;
    } entities[] = {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}};
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++)
        if (nx_span_eq(name, nx_span_str(entities[i].name)))
            return entities[i].value;
    return BAD_REFERENCE;
}

// What the reference at the start of `s` ("&...") stands for; *used is its length with the ';'.
static int32_t parse_reference(struct nx_span s, size_t *used) {
    bool numeric = s.len > 1 && s.data[1] == '#';
    size_t start = numeric ? 2 : 1, end = start;
    while (end < s.len && end - start <= MAX_REFERENCE_BYTES && is_name_char(s.data[end]))
        end++;
    bool closed = end < s.len && s.data[end] == ';';
    *used = closed ? end + 1 : end;
    struct nx_span body = nx_span_of(s.data + start, end - start);
    if (!numeric)
        return closed && body.len ? named_entity(body) : NOT_A_REFERENCE;
    if (!closed)
        return BAD_REFERENCE;
    if (body.len && body.data[0] == 'x')
        return parse_code_point(nx_span_of(body.data + 1, body.len - 1), 16);
    return parse_code_point(body, 10);
}

struct nx_span nx_lexer_decode(struct nx_parse *p, struct nx_span raw, struct nx_pos pos) {
    if (raw.len == 0 || !memchr(raw.data, '&', raw.len))
        return raw;
    char *out = nx_parse_alloc(p, raw.len); // a reference is never shorter than what it means
    if (!out)
        return nx_span_of(NULL, 0);
    size_t len = 0, used;
    for (size_t i = 0; i < raw.len; i += used) {
        struct nx_span rest = nx_span_of(raw.data + i, raw.len - i);
        int32_t value = NOT_A_REFERENCE;
        if (rest.data[0] == '&')
            value = parse_reference(rest, &used);
        if (value == NOT_A_REFERENCE) {
            used = 1;
            out[len++] = rest.data[0];
        } else if (value == BAD_REFERENCE) {
            nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, pos,
                           "'%.*s' is not one of the five entities or a valid character", (int)used,
                           rest.data);
        } else {
            char utf8[4];
            size_t n = nx_utf8_encode((uint32_t)value, utf8);
            memcpy(out + len, utf8, n);
            len += n;
        }
        pos = nx_pos_after(pos, nx_span_of(rest.data, used));
    }
    return nx_span_of(out, len);
}

// ---- Handler bodies

// If the cursor is at `</Handler>` (white space allowed before '>'), its length, else 0.
static size_t handler_end(const struct nx_cursor *c) {
    struct nx_span rest = nx_cursor_rest(c), tag = nx_span_str("</Handler");
    if (!nx_span_starts(rest, tag))
        return 0;
    size_t n = tag.len;
    while (n < rest.len && nx_is_space(rest.data[n]))
        n++;
    return n < rest.len && rest.data[n] == '>' ? n + 1 : 0;
}

// Moves to the first end tag outside a CDATA section; its length, or 0 at the end of the source.
static size_t seek_handler_end(struct nx_cursor *c) {
    while (nx_cursor_seek(c, "<")) {
        size_t end = handler_end(c);
        if (end)
            return end;
        if (nx_cursor_at(c, "<![CDATA[") && !nx_cursor_seek(c, "]]>"))
            return 0;
        nx_cursor_advance(c, 1);
    }
    return 0;
}

bool nx_lexer_handler(struct nx_parse *p, struct nx_cursor *c, struct nx_pos open,
                      struct nx_span *code, struct nx_pos *pos) {
    struct nx_cursor body = *c;
    size_t end_len = seek_handler_end(c);
    if (!end_len) {
        nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, open,
                       "<Handler> is never closed: no </Handler> outside a CDATA section");
        return false;
    }
    body.len = c->at;
    nx_cursor_advance(c, end_len);
    *code = nx_cursor_rest(&body);
    *pos = body.pos;

    nx_cursor_skip_space(&body);
    if (!nx_cursor_at(&body, "<![CDATA["))
        return true;
    nx_cursor_advance(&body, strlen("<![CDATA["));
    *pos = body.pos;
    size_t start = body.at;
    nx_cursor_seek(&body, "]]>"); // found: the end tag was looked for outside sections
    *code = nx_span_of(body.data + start, body.at - start);
    nx_cursor_advance(&body, strlen("]]>"));
    nx_cursor_skip_space(&body);
    if (body.at < body.len)
        nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, body.pos,
                       "nothing may follow the CDATA section of a <Handler>");
    return true;
}
