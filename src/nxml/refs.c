// SPDX-License-Identifier: Apache-2.0
// The lexical scan for $state, $ext, $emit and $view.
#include "nxml/refs.h"

#include <stdbool.h>

#include "nxml/lexer.h"

// Template literals nested deeper than this are not followed.
enum { MAX_TEMPLATES = 32 };

struct scan {
    const char *s;
    size_t len, at;
    bool regex_may_follow;        // a '/' here starts a regular expression
    bool after_dot;               // an identifier here is a member's name
    size_t templates;             // template literals we are inside the ${} of
    size_t braces[MAX_TEMPLATES]; // '{' open in each
    bool lost;
    int (*fn)(void *user, const struct nx_ref *ref);
    void *user;
};

static bool is_ident(char ch, bool first) {
    bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' || ch == '$' ||
                  ((unsigned char)ch & 0x80);
    return letter || (!first && ch >= '0' && ch <= '9');
}

static struct nx_span ident_at(const struct scan *sc, size_t at) {
    size_t end = at;
    while (end < sc->len && is_ident(sc->s[end], end == at))
        end++;
    return nx_span_of(sc->s + at, end - at);
}

static size_t skip_space(const struct scan *sc, size_t at) {
    while (at < sc->len && nx_is_space(sc->s[at]))
        at++;
    return at;
}

// ---- Literals and comments

// The cursor is at a quote. A string cannot span lines: an unclosed one ends there.
static void skip_string(struct scan *sc) {
    char quote = sc->s[sc->at++];
    while (sc->at < sc->len && sc->s[sc->at] != quote && sc->s[sc->at] != '\n')
        sc->at += sc->s[sc->at] == '\\' && sc->at + 1 < sc->len ? 2 : 1;
    sc->at += sc->at < sc->len;
}

static void skip_regex(struct scan *sc) {
    bool in_class = false;
    for (sc->at++; sc->at < sc->len && sc->s[sc->at] != '\n'; sc->at++) {
        char ch = sc->s[sc->at];
        if (ch == '\\' && sc->at + 1 < sc->len)
            sc->at++;
        else if (ch == '[')
            in_class = true;
        else if (ch == ']')
            in_class = false;
        else if (ch == '/' && !in_class)
            break;
    }
    sc->at += sc->at < sc->len;
}

// The cursor is inside a template literal's text: to its end or into its next ${.
static void skip_template(struct scan *sc) {
    for (; sc->at < sc->len; sc->at++) {
        char ch = sc->s[sc->at];
        if (ch == '`') {
            sc->at++;
            sc->regex_may_follow = false;
            return;
        }
        if (ch == '\\')
            sc->at++;
        else if (ch == '$' && sc->at + 1 < sc->len && sc->s[sc->at + 1] == '{') {
            sc->at += 2;
            sc->regex_may_follow = true;
            sc->lost = sc->templates == MAX_TEMPLATES;
            if (!sc->lost)
                sc->braces[sc->templates++] = 0;
            return;
        }
    }
    sc->at = sc->len;
}

static void skip_to(struct scan *sc, const char *end) {
    size_t len = strlen(end);
    const char *found = memmem(sc->s + sc->at, sc->len - sc->at, end, len);
    sc->at = found ? (size_t)(found - sc->s) + len : sc->len;
}

static void read_slash(struct scan *sc) {
    char next = sc->at + 1 < sc->len ? sc->s[sc->at + 1] : 0;
    if (next == '/') {
        skip_to(sc, "\n");
    } else if (next == '*') {
        sc->at += 2;
        skip_to(sc, "*/");
    } else if (sc->regex_may_follow) {
        skip_regex(sc);
        sc->regex_may_follow = false;
    } else {
        sc->at++;
        sc->regex_may_follow = true;
    }
}

static void read_brace(struct scan *sc) {
    bool open = sc->s[sc->at++] == '{';
    sc->regex_may_follow = open;
    if (sc->templates == 0)
        return;
    size_t *braces = &sc->braces[sc->templates - 1];
    if (open) {
        ++*braces;
    } else if (*braces > 0) {
        --*braces;
    } else {
        sc->templates--;
        skip_template(sc);
    }
}

// ---- Identifiers

// The content of the string literal at `at`, if it holds no escape and the first thing after it is
// one of `closers`; else empty.
static struct nx_span literal_at(const struct scan *sc, size_t at, const char *closers) {
    struct nx_span none = {NULL, 0};
    at = skip_space(sc, at);
    if (at >= sc->len || (sc->s[at] != '"' && sc->s[at] != '\''))
        return none;
    size_t end = at + 1;
    while (end < sc->len && sc->s[end] != sc->s[at]) {
        if (sc->s[end] == '\\' || sc->s[end] == '\n')
            return none;
        end++;
    }
    size_t after = skip_space(sc, end + 1);
    bool closed = after < sc->len && sc->s[after] && strchr(closers, sc->s[after]);
    return closed ? nx_span_of(sc->s + at + 1, end - at - 1) : none;
}

// The member named at `at`: `.name`, `?.name`, `["name"]` or `?.["name"]`; else empty.
static struct nx_span member_at(const struct scan *sc, size_t at) {
    at = skip_space(sc, at);
    bool optional = at + 1 < sc->len && sc->s[at] == '?' && sc->s[at + 1] == '.';
    if (optional)
        at = skip_space(sc, at + 2);
    if (at < sc->len && sc->s[at] == '[')
        return literal_at(sc, at + 1, "]");
    if (!optional && at < sc->len && sc->s[at] == '.')
        at = skip_space(sc, at + 1);
    else if (!optional)
        return nx_span_of(NULL, 0);
    return ident_at(sc, at);
}

static bool regex_after_word(struct nx_span word) {
    static const char *const words[] = {"return", "typeof", "case",  "in",        "of",
                                        "delete", "void",   "throw", "new",       "do",
                                        "else",   "await",  "yield", "instanceof"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (nx_span_eq(word, nx_span_str(words[i])))
            return true;
    return false;
}

static int read_ident(struct scan *sc) {
    static const char *const globals[NX_REF_KINDS] = {"$state", "$ext", "$emit", "$view"};
    struct nx_span word = ident_at(sc, sc->at);
    struct nx_ref ref = {.offset = sc->at};
    bool member = sc->after_dot;
    sc->at += word.len;
    sc->regex_may_follow = !member && regex_after_word(word);
    for (int kind = 0; kind < NX_REF_KINDS && !member; kind++) {
        if (!nx_span_eq(word, nx_span_str(globals[kind])))
            continue;
        ref.kind = (enum nx_ref_kind)kind;
        if (kind == NX_REF_STATE || kind == NX_REF_EXT)
            ref.name = member_at(sc, sc->at);
        size_t call = skip_space(sc, sc->at);
        if (kind == NX_REF_EMIT && call < sc->len && sc->s[call] == '(')
            ref.name = literal_at(sc, call + 1, ",)");
        return sc->fn(sc->user, &ref);
    }
    return 0;
}

// ---- The scan

// Whether the cursor is at a '.' that makes what follows a member's name; "..." does not.
static bool read_dots(struct scan *sc) {
    size_t dots = 0;
    while (sc->at < sc->len && sc->s[sc->at] == '.') {
        sc->at++;
        dots++;
    }
    sc->regex_may_follow = dots > 1;
    return dots == 1;
}

static int read_token(struct scan *sc) {
    char ch = sc->s[sc->at];
    bool dot = false;
    int status = 0;
    if (nx_is_space(ch)) {
        sc->at++;
        return 0; // a dot still counts after white space
    }
    if (ch == '"' || ch == '\'') {
        skip_string(sc);
        sc->regex_may_follow = false;
    } else if (ch == '`') {
        sc->at++;
        skip_template(sc);
    } else if (ch == '/') {
        read_slash(sc);
    } else if (ch == '{' || ch == '}') {
        read_brace(sc);
    } else if (ch == '.') {
        dot = read_dots(sc);
    } else if (is_ident(ch, true)) {
        status = read_ident(sc);
    } else if (ch >= '0' && ch <= '9') {
        while (sc->at < sc->len && is_ident(sc->s[sc->at], false))
            sc->at++;
        sc->regex_may_follow = false;
    } else {
        sc->at++;
        sc->regex_may_follow = ch != ')' && ch != ']';
    }
    sc->after_dot = dot;
    return status;
}

int nx_refs_each(struct nx_span code, int (*fn)(void *user, const struct nx_ref *ref), void *user) {
    struct scan sc = {.s = code.data, .len = code.len, .fn = fn, .user = user};
    sc.regex_may_follow = true;
    int status = 0;
    while (sc.at < sc.len && !sc.lost && status == 0)
        status = read_token(&sc);
    for (int kind = 0; kind < NX_REF_KINDS && sc.lost && status == 0; kind++) {
        struct nx_ref any = {.kind = (enum nx_ref_kind)kind, .offset = sc.at};
        status = fn(user, &any);
    }
    return status;
}
