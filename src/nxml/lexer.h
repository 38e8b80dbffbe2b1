// SPDX-License-Identifier: Apache-2.0
// The characters of NXML: a cursor that knows its line and column, names, entities, and the raw
// bodies of handlers.
#ifndef NX_NXML_LEXER_H
#define NX_NXML_LEXER_H

#include "base/span.h"
#include "nxml/panel_def.h"
#include "nxml/parse.h"

// A place in the source. Lines end at '\n'; columns count code points.
struct nx_cursor {
    const char *data;
    size_t len, at;
    struct nx_pos pos; // of data[at]
};

// `pos` moved over `bytes`, which are UTF-8.
struct nx_pos nx_pos_after(struct nx_pos pos, struct nx_span bytes);

// Moves over `n` bytes, at most to the end.
void nx_cursor_advance(struct nx_cursor *c, size_t n);

// The bytes not yet read.
struct nx_span nx_cursor_rest(const struct nx_cursor *c);

// Whether the rest starts with `text`.
bool nx_cursor_at(const struct nx_cursor *c, const char *text);

// Moves over white space (space, tab, CR, LF); whether there was any.
bool nx_cursor_skip_space(struct nx_cursor *c);

// Moves to the first `text` at or after the cursor; false, and the cursor at the end, if there is
// none.
bool nx_cursor_seek(struct nx_cursor *c, const char *text);

// Reads `[A-Za-z0-9_$-]+`; an empty span if the cursor is at something else.
struct nx_span nx_cursor_name(struct nx_cursor *c);

// White space as XML has it.
bool nx_is_space(char ch);

// `s` without white space at its ends.
struct nx_span nx_span_trim(struct nx_span s);

// Decodes the five entities and numeric references of `raw`, which starts at `pos`. Returns `raw`
// itself if it holds none, else memory of the parse's arena. A '&' that starts no reference stands
// for itself; a malformed or unknown reference is reported and left out.
struct nx_span nx_lexer_decode(struct nx_parse *p, struct nx_span raw, struct nx_pos pos);

// The body of a handler, the cursor just after `<Handler ...>`: sets *code and *pos to the code
// (of the CDATA section if the body is one) and moves past `</Handler>`. Returns false after
// reporting a body that does not end; `open` is the element's place, for that report.
bool nx_lexer_handler(struct nx_parse *p, struct nx_cursor *c, struct nx_pos open,
                      struct nx_span *code, struct nx_pos *pos);

#endif
