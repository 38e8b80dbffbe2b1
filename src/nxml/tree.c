// SPDX-License-Identifier: Apache-2.0
// From characters to elements: goes on after every error it can make sense of.
#include "nxml/tree.h"

#include "nxml/lexer.h"

struct builder {
    struct nx_parse *p;
    struct nx_cursor c;
    struct nx_elem *root, *open; // open: the innermost element not yet closed
    uint32_t elements;
    bool broken; // nothing after this point can be trusted
};

static void syntax_error(struct builder *b, struct nx_pos pos, const char *message) {
    nx_parse_error(b->p, NX_DIAG_INVALID_SYNTAX, pos, "%s", message);
}

// Reports what ends the parse.
static void give_up(struct builder *b, struct nx_pos pos, const char *message) {
    syntax_error(b, pos, message);
    b->broken = true;
}

// ---- Attributes

static const struct nx_attr *find_attr(const struct nx_elem *e, struct nx_span name) {
    for (const struct nx_attr *a = e->attrs; a; a = a->next)
        if (nx_span_eq(a->name, name))
            return a;
    return NULL;
}

static void attr_add(struct builder *b, struct nx_elem *e, struct nx_attr attr) {
    if (e->attr_count == NX_MAX_NXML_ATTRIBUTES) {
        give_up(b, attr.pos, "the element has more than 256 attributes");
        return;
    }
    if (find_attr(e, attr.name)) {
        nx_parse_error(b->p, NX_DIAG_INVALID_ATTRIBUTE, attr.pos,
                       "the attribute '%.*s' is given twice", nx_quote_len(attr.name),
                       attr.name.data);
        return;
    }
    struct nx_attr *kept = nx_parse_alloc(b->p, sizeof *kept);
    if (!kept)
        return;
    *kept = attr;
    *e->attr_end = kept;
    e->attr_end = &kept->next;
    e->attr_count++;
}

// Reads a quoted value into `attr`; false if there is none.
static bool read_value(struct builder *b, struct nx_attr *attr) {
    struct nx_cursor *c = &b->c;
    struct nx_pos quote_pos = c->pos;
    const char *quote = nx_cursor_at(c, "\"") ? "\"" : "'";
    if (!nx_cursor_at(c, quote)) {
        syntax_error(b, c->pos, "an attribute's value must be in quotes");
        return false;
    }
    nx_cursor_advance(c, 1);
    attr->value_pos = c->pos;
    size_t start = c->at;
    if (!nx_cursor_seek(c, quote)) {
        give_up(b, quote_pos, "the attribute's value is never closed");
        return false;
    }
    struct nx_span raw = nx_span_of(c->data + start, c->at - start);
    nx_cursor_advance(c, 1);
    attr->value = nx_lexer_decode(b->p, raw, attr->value_pos);
    attr->verbatim = attr->value.data == raw.data;
    return true;
}

// After something that is no attribute: to the next place where the tag can go on or end.
static void skip_junk(struct nx_cursor *c) {
    size_t n = c->at;
    while (n < c->len && !nx_is_space(c->data[n]) && !strchr("<>/\"'", c->data[n]))
        n++;
    nx_cursor_advance(c, n > c->at ? n - c->at : 1);
}

static void read_attribute(struct builder *b, struct nx_elem *e) {
    struct nx_cursor *c = &b->c;
    struct nx_attr attr = {.pos = c->pos};
    attr.name = nx_cursor_name(c);
    if (attr.name.len == 0) {
        syntax_error(b, c->pos, "expected an attribute, '>' or '/>'");
        skip_junk(c);
        return;
    }
    struct nx_cursor before = *c;
    nx_cursor_skip_space(c);
    if (!nx_cursor_at(c, "=")) {
        *c = before; // the space belongs between this attribute and the next
        attr.value = nx_span_str("true");
        attr.value_pos = attr.pos;
        attr_add(b, e, attr);
        return;
    }
    nx_cursor_advance(c, 1);
    nx_cursor_skip_space(c);
    if (read_value(b, &attr))
        attr_add(b, e, attr);
    else if (!b->broken)
        skip_junk(c);
}

// ---- Tags

static struct nx_elem *elem_new(struct builder *b, struct nx_pos pos) {
    struct nx_elem *e = nx_parse_alloc(b->p, sizeof *e);
    if (!e) {
        b->broken = true;
        return NULL;
    }
    e->pos = pos;
    e->attr_end = &e->attrs;
    e->parent = b->open;
    e->depth = b->open ? b->open->depth + 1 : 1;
    return e;
}

static void link_child(struct nx_elem *parent, struct nx_elem *e) {
    if (parent->last_child)
        parent->last_child->next = e;
    else
        parent->first_child = e;
    parent->last_child = e;
}

// Puts a new element where the cursor is in the tree, heeding the caps.
static void place_elem(struct builder *b, struct nx_elem *e) {
    if (++b->elements > NX_MAX_NXML_ELEMENTS)
        give_up(b, e->pos, "the panel has more than 10000 elements");
    else if (e->depth > NX_MAX_NXML_DEPTH)
        give_up(b, e->pos, "elements are nested deeper than 64");
    else if (b->open)
        link_child(b->open, e);
    else if (!b->root)
        b->root = e;
    else
        syntax_error(b, e->pos, "only one element may stand at the top");
}

// Reads attributes up to the end of the tag; whether the element is empty ("/>").
static bool read_tag_rest(struct builder *b, struct nx_elem *e) {
    struct nx_cursor *c = &b->c;
    while (!b->broken) {
        bool spaced = nx_cursor_skip_space(c);
        if (c->at == c->len || nx_cursor_at(c, "<")) {
            // A tag that runs into the next one was meant to end here.
            syntax_error(b, e->pos, "the tag is not closed by '>'");
            b->broken = c->at == c->len;
            return false;
        }
        if (nx_cursor_at(c, "/>")) {
            nx_cursor_advance(c, 2);
            return true;
        }
        if (nx_cursor_at(c, ">")) {
            nx_cursor_advance(c, 1);
            return false;
        }
        if (!spaced)
            syntax_error(b, c->pos, "expected white space before an attribute");
        read_attribute(b, e);
    }
    return false;
}

static void read_start_tag(struct builder *b) {
    struct nx_cursor *c = &b->c;
    struct nx_elem *e = elem_new(b, c->pos);
    if (!e)
        return;
    nx_cursor_advance(c, 1);
    e->name = nx_cursor_name(c);
    place_elem(b, e);
    bool empty = read_tag_rest(b, e);
    e->text_pos = c->pos;
    if (b->broken || empty)
        return;
    if (!nx_elem_is(e, "Handler"))
        b->open = e;
    else if (!nx_lexer_handler(b->p, c, e->pos, &e->text, &e->text_pos))
        b->broken = true;
}

static void read_end_tag(struct builder *b) {
    struct nx_cursor *c = &b->c;
    struct nx_pos pos = c->pos;
    nx_cursor_advance(c, 2);
    struct nx_span name = nx_cursor_name(c);
    nx_cursor_skip_space(c);
    if (name.len == 0 || !nx_cursor_at(c, ">")) {
        syntax_error(b, pos, "an end tag is </, a name and '>'");
        while (c->at < c->len && !nx_cursor_at(c, "<") && !nx_cursor_at(c, ">"))
            nx_cursor_advance(c, 1);
    }
    if (nx_cursor_at(c, ">"))
        nx_cursor_advance(c, 1);

    if (name.len == 0)
        return; // reported
    struct nx_elem *e = b->open;
    while (e && !nx_span_eq(e->name, name))
        e = e->parent;
    if (!e) {
        nx_parse_error(b->p, NX_DIAG_INVALID_SYNTAX, pos, "</%.*s> closes nothing",
                       nx_quote_len(name), name.data);
        return;
    }
    if (e != b->open)
        nx_parse_error(b->p, NX_DIAG_INVALID_SYNTAX, pos,
                       "expected </%.*s> for the element opened at line %u, found </%.*s>",
                       nx_quote_len(b->open->name), b->open->name.data, b->open->pos.line,
                       nx_quote_len(name), name.data);
    b->open = e->parent;
}

// ---- Everything else

static void add_text(struct builder *b, struct nx_span text, struct nx_pos pos) {
    struct nx_span trimmed = nx_span_trim(text);
    if (trimmed.len == 0)
        return;
    pos = nx_pos_after(pos, nx_span_of(text.data, (size_t)(trimmed.data - text.data)));
    if (!b->open) {
        syntax_error(b, pos, "text outside the root element");
        return;
    }
    struct nx_elem *e = elem_new(b, pos);
    if (!e)
        return;
    e->text = trimmed;
    e->text_pos = pos;
    link_child(b->open, e);
}

static void read_text(struct builder *b) {
    struct nx_cursor start = b->c;
    nx_cursor_seek(&b->c, "<");
    struct nx_span raw = nx_span_of(start.data + start.at, b->c.at - start.at);
    // Trimmed before it is decoded, so that the place of what remains is known.
    struct nx_span text = nx_span_trim(raw);
    if (text.len == 0)
        return;
    struct nx_pos pos =
        nx_pos_after(start.pos, nx_span_of(raw.data, (size_t)(text.data - raw.data)));
    add_text(b, nx_lexer_decode(b->p, text, pos), pos);
}

static void read_cdata(struct builder *b) {
    struct nx_pos open = b->c.pos;
    nx_cursor_advance(&b->c, strlen("<![CDATA["));
    struct nx_cursor start = b->c;
    if (!nx_cursor_seek(&b->c, "]]>")) {
        give_up(b, open, "the CDATA section is never closed");
        return;
    }
    add_text(b, nx_span_of(start.data + start.at, b->c.at - start.at), start.pos);
    nx_cursor_advance(&b->c, strlen("]]>"));
}

// Skips the `opener_len` bytes of markup at the cursor and on past `end`; reports `unclosed` if
// that never comes.
static void skip_past(struct builder *b, size_t opener_len, const char *end, const char *unclosed) {
    struct nx_pos open = b->c.pos;
    nx_cursor_advance(&b->c, opener_len);
    if (nx_cursor_seek(&b->c, end))
        nx_cursor_advance(&b->c, strlen(end));
    else
        give_up(b, open, unclosed);
}

static void skip_doctype(struct builder *b) {
    syntax_error(b, b->c.pos, "document types and declarations are not part of NXML");
    struct nx_span rest = nx_cursor_rest(&b->c);
    const char *close = memchr(rest.data, '>', rest.len);
    bool subset = close && memchr(rest.data, '[', (size_t)(close - rest.data));
    skip_past(b, 2, subset ? "]>" : ">", "the declaration is never closed");
}

static bool starts_name(const struct nx_cursor *c, size_t offset) {
    struct nx_cursor at = *c;
    nx_cursor_advance(&at, offset);
    return nx_cursor_name(&at).len > 0;
}

static void read_markup(struct builder *b) {
    struct nx_cursor *c = &b->c;
    if (nx_cursor_at(c, "<!--")) {
        skip_past(b, 4, "-->", "the comment is never closed");
    } else if (nx_cursor_at(c, "<![CDATA[")) {
        read_cdata(b);
    } else if (nx_cursor_at(c, "<!")) {
        skip_doctype(b);
    } else if (nx_cursor_at(c, "<?")) {
        syntax_error(b, c->pos, "processing instructions are not part of NXML");
        skip_past(b, 2, "?>", "the processing instruction is never closed");
    } else if (nx_cursor_at(c, "</")) {
        read_end_tag(b);
    } else if (starts_name(c, 1)) {
        read_start_tag(b);
    } else {
        syntax_error(b, c->pos, "'<' starts no tag here: write &lt; for the character");
        nx_cursor_advance(c, 1);
    }
}

struct nx_elem *nx_tree_parse(struct nx_parse *p, struct nx_span source) {
    struct builder b = {.p = p, .c = {source.data, source.len, 0, {1, 1}}};
    if (nx_cursor_at(&b.c, "\xEF\xBB\xBF"))
        b.c.at = 3; // a byte order mark is not a column
    while (b.c.at < b.c.len && !b.broken && !p->failed) {
        if (nx_cursor_at(&b.c, "<"))
            read_markup(&b);
        else
            read_text(&b);
    }
    if (!b.broken && b.open)
        nx_parse_error(p, NX_DIAG_INVALID_SYNTAX, b.open->pos, "<%.*s> is never closed",
                       nx_quote_len(b.open->name), b.open->name.data);
    else if (!b.broken && !b.root)
        syntax_error(&b, (struct nx_pos){1, 1}, "the source holds no element");
    return b.broken || b.open || p->failed ? NULL : b.root;
}
