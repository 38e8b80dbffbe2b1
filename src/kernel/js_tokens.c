// SPDX-License-Identifier: Apache-2.0
// The tokens of a handler. Whether a '/' divides or starts a regular expression is told from the
// token before it, which is right for all but code written to confuse.
#include "kernel/js_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"

struct lexer {
    const char *s;
    size_t len, at;
    struct nx_js_tokens *out;
    size_t capacity;
    uint32_t open; // innermost open bracket; its own `match` is the next outer one
};

// No bracket is open.
static const uint32_t NONE = UINT32_MAX;

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || c == '#' || c == '\\' || ((unsigned char)c & 0x80);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static char peek(const struct lexer *lx, size_t ahead) {
    return lx->at + ahead < lx->len ? lx->s[lx->at + ahead] : '\0';
}

static int add(struct lexer *lx, enum nx_js_kind kind, struct nx_span text, size_t offset) {
    if (lx->out->count == lx->capacity) {
        size_t capacity = lx->capacity ? lx->capacity * 2 : 64;
        struct nx_js_token *items = realloc(lx->out->items, capacity * sizeof *items);
        if (!items)
            return NX_E_NOMEM;
        lx->out->items = items;
        lx->capacity = capacity;
    }
    lx->out->items[lx->out->count++] =
        (struct nx_js_token){.kind = kind, .text = text, .match = NONE, .offset = (uint32_t)offset};
    return 0;
}

// ---- Brackets

// A template's "(" is told from a written one by its text, which is the back-tick.
static const char template_mark[] = "`";

static int open_bracket(struct lexer *lx, struct nx_span text, size_t offset) {
    int rc = add(lx, NX_JS_PUNCT, text, offset);
    if (rc)
        return rc;
    lx->out->items[lx->out->count - 1].match = lx->open;
    lx->open = (uint32_t)(lx->out->count - 1);
    return 0;
}

// Adds the closing bracket `text`, if the innermost open one is `opening`.
static int close_bracket(struct lexer *lx, const char *opening, struct nx_span text,
                         size_t offset) {
    if (lx->open == NONE || !nx_span_eq(lx->out->items[lx->open].text, nx_span_str(opening)))
        return NX_E_INVALID;
    int rc = add(lx, NX_JS_PUNCT, text, offset);
    if (rc)
        return rc;
    uint32_t partner = lx->open;
    struct nx_js_token *items = lx->out->items;
    lx->open = items[partner].match;
    items[partner].match = (uint32_t)(lx->out->count - 1);
    items[lx->out->count - 1].match = partner;
    return 0;
}

// ---- Literals and comments

static int read_string(struct lexer *lx) {
    size_t start = lx->at;
    bool escaped = false;
    char quote = lx->s[lx->at++];
    while (lx->at < lx->len && lx->s[lx->at] != quote && lx->s[lx->at] != '\n') {
        escaped |= lx->s[lx->at] == '\\';
        lx->at += lx->s[lx->at] == '\\' && lx->at + 1 < lx->len ? 2 : 1;
    }
    if (peek(lx, 0) != quote)
        return NX_E_INVALID;
    lx->at++;
    int rc = add(lx, NX_JS_STRING, nx_span_of(lx->s + start + 1, lx->at - start - 2), start);
    if (rc == 0)
        lx->out->items[lx->out->count - 1].escaped = escaped;
    return rc;
}

static int read_regex(struct lexer *lx) {
    size_t start = lx->at++;
    bool in_class = false;
    for (; lx->at < lx->len && lx->s[lx->at] != '\n'; lx->at++) {
        char c = lx->s[lx->at];
        if (c == '\\')
            lx->at++;
        else if (c == '[')
            in_class = true;
        else if (c == ']')
            in_class = false;
        else if (c == '/' && !in_class)
            break;
    }
    if (peek(lx, 0) != '/')
        return NX_E_INVALID;
    lx->at++;
    while (is_word(peek(lx, 0)))
        lx->at++;
    return add(lx, NX_JS_LITERAL, nx_span_of(lx->s + start, lx->at - start), start);
}

// The cursor is in a template's text, which began at `start` (after the back-tick, or after the
// brace that closed an expression). Moves past its end, or past the next "${".
static int read_template_text(struct lexer *lx, size_t start, bool first) {
    bool escaped = false;
    for (; lx->at < lx->len; lx->at++) {
        char c = lx->s[lx->at];
        if (c == '`') {
            lx->at++;
            if (!first)
                return close_bracket(lx, template_mark, nx_span_str(")"), lx->at - 1);
            int rc =
                add(lx, NX_JS_STRING, nx_span_of(lx->s + start, lx->at - 1 - start), start - 1);
            if (rc == 0)
                lx->out->items[lx->out->count - 1].escaped = escaped;
            return rc;
        }
        if (c == '\\') {
            escaped = true;
            lx->at++;
        } else if (c == '$' && peek(lx, 1) == '{') {
            lx->at += 2;
            return first ? open_bracket(lx, nx_span_str(template_mark), start - 1)
                         : add(lx, NX_JS_PUNCT, nx_span_str(","), lx->at - 2);
        }
    }
    return NX_E_INVALID;
}

static void skip_to(struct lexer *lx, const char *end) {
    const char *found = memmem(lx->s + lx->at, lx->len - lx->at, end, strlen(end));
    lx->at = found ? (size_t)(found - lx->s) + strlen(end) : lx->len;
}

// ---- Words, numbers, operators

static bool in_list(struct nx_span text, const char *const *list) {
    for (; *list; list++)
        if (nx_span_eq(text, nx_span_str(*list)))
            return true;
    return false;
}

// Whether a '/' after the last token starts a regular expression.
static bool regex_may_follow(const struct lexer *lx) {
    static const char *const words[] = {"return", "typeof", "case",  "in",         "of",
                                        "delete", "void",   "throw", "new",        "do",
                                        "else",   "await",  "yield", "instanceof", NULL};
    static const char *const heads[] = {"if", "while", "for", "with", NULL};
    const struct nx_js_token *items = lx->out->items;
    if (lx->out->count == 0)
        return true;
    const struct nx_js_token *last = &items[lx->out->count - 1];
    bool member = lx->out->count > 1 && nx_span_eq(last[-1].text, nx_span_str("."));
    if (last->kind == NX_JS_WORD)
        return !member && in_list(last->text, words);
    if (last->kind != NX_JS_PUNCT)
        return false;
    if (nx_span_eq(last->text, nx_span_str(")")))
        return last->match > 0 && last->match < lx->out->count &&
               in_list(items[last->match - 1].text, heads);
    return !nx_span_eq(last->text, nx_span_str("]")) && !nx_span_eq(last->text, nx_span_str("}")) &&
           !nx_span_eq(last->text, nx_span_str("++")) && !nx_span_eq(last->text, nx_span_str("--"));
}

static int read_word(struct lexer *lx) {
    size_t start = lx->at;
    bool number = is_digit(lx->s[lx->at]) || lx->s[lx->at] == '.';
    while (lx->at < lx->len &&
           (is_word(lx->s[lx->at]) || (number && lx->s[lx->at] == '.') ||
            (number && (lx->s[lx->at] == '+' || lx->s[lx->at] == '-') && lx->at > start &&
             (lx->s[lx->at - 1] | 0x20) == 'e' && lx->s[start + 1] != 'x')))
        lx->at++;
    return add(lx, number ? NX_JS_LITERAL : NX_JS_WORD, nx_span_of(lx->s + start, lx->at - start),
               start);
}

static size_t operator_length(const struct lexer *lx) {
    static const char *const operators[] = {
        ">>>=", "...", "===", "!==", "**=", "<<=", ">>=", ">>>", "&&=", "||=", "?\?=", "=>",
        "==",   "!=",  "<=",  ">=",  "&&",  "||",  "??",  "?.",  "++",  "--",  "+=",   "-=",
        "*=",   "/=",  "%=",  "&=",  "|=",  "^=",  "**",  "<<",  ">>",  NULL};
    struct nx_span rest = nx_span_of(lx->s + lx->at, lx->len - lx->at);
    for (size_t i = 0; operators[i]; i++) {
        if (!nx_span_starts(rest, nx_span_str(operators[i])))
            continue;
        // `a?.5:b` is a condition.
        return operators[i][0] == '?' && operators[i][1] == '.' && is_digit(peek(lx, 2))
                   ? 1
                   : strlen(operators[i]);
    }
    return 1;
}

static int read_brace_end(struct lexer *lx) {
    // Inside a template's expression, a brace that closes none of its own ends the expression.
    if (lx->open != NONE && nx_span_eq(lx->out->items[lx->open].text, nx_span_str(template_mark))) {
        lx->at++;
        return read_template_text(lx, lx->at, false);
    }
    int rc = close_bracket(lx, "{", nx_span_of(lx->s + lx->at, 1), lx->at);
    lx->at++;
    return rc;
}

static int read_punct(struct lexer *lx) {
    size_t start = lx->at;
    struct nx_span text = nx_span_of(lx->s + start, 1);
    switch (lx->s[start]) {
    case '(':
    case '[':
    case '{':
        lx->at++;
        return open_bracket(lx, text, start);
    case ')':
        lx->at++;
        return close_bracket(lx, "(", text, start);
    case ']':
        lx->at++;
        return close_bracket(lx, "[", text, start);
    case '}':
        return read_brace_end(lx);
    default:
        text.len = operator_length(lx);
        lx->at += text.len;
        return add(lx, NX_JS_PUNCT, text, start);
    }
}

static int read_token(struct lexer *lx) {
    char c = lx->s[lx->at];
    if (is_space(c)) {
        lx->at++;
        return 0;
    }
    if (c == '/' && peek(lx, 1) == '/') {
        skip_to(lx, "\n");
        return 0;
    }
    if (c == '/' && peek(lx, 1) == '*') {
        lx->at += 2;
        skip_to(lx, "*/");
        return 0;
    }
    if (c == '"' || c == '\'')
        return read_string(lx);
    if (c == '`') {
        lx->at++;
        return read_template_text(lx, lx->at, true);
    }
    if (c == '/' && regex_may_follow(lx))
        return read_regex(lx);
    if (is_word(c) || (c == '.' && is_digit(peek(lx, 1))))
        return read_word(lx);
    return read_punct(lx);
}

// A template's opening mark has done its work: to the reader it is a bracket as any other.
static void unmark_templates(struct nx_js_tokens *tokens) {
    for (size_t i = 0; i < tokens->count; i++)
        if (tokens->items[i].text.data == template_mark)
            tokens->items[i].text = nx_span_str("(");
}

int nx_js_tokens_read(struct nx_js_tokens *out, struct nx_span code) {
    *out = (struct nx_js_tokens){0};
    if (code.len > NX_MAX_PANEL_SOURCE_BYTES)
        return NX_E_LIMIT;
    struct lexer lx = {.s = code.data, .len = code.len, .out = out, .open = NONE};
    int rc = 0;
    while (rc == 0 && lx.at < lx.len)
        rc = read_token(&lx);
    if (rc == 0 && lx.open != NONE)
        rc = NX_E_INVALID;
    if (rc)
        nx_js_tokens_free(out);
    else
        unmark_templates(out);
    return rc;
}

void nx_js_tokens_free(struct nx_js_tokens *tokens) {
    free(tokens->items);
    *tokens = (struct nx_js_tokens){0};
}
