// SPDX-License-Identifier: Apache-2.0
// Reads a handler's tokens once, front to back. Each use of a global, or of a variable known to
// hold a part of the state, is followed along its chain of members and calls to what is done at its
// end.
#include "kernel/suggest.h"

#include <stdbool.h>
#include <string.h>

#include "base/limits.h"
#include "kernel/js_tokens.h"

// Variables followed in one handler; past it the list may lack a write that goes through one.
enum { MAX_ALIASES = 128 };

// A variable that holds (a part of) the value of a state key.
struct alias {
    struct nx_span name;
    struct nx_span key;
    bool fresh; // a new array made of the value: changing it changes no state, its items may be
};

struct scan {
    const struct nx_js_token *items;
    size_t count;
    const char *source;
    struct nx_suggestion *out;
    struct alias aliases[MAX_ALIASES];
    size_t alias_count;
    bool no_memory;
};

// ---- Tokens

static const struct nx_js_token past_end = {.kind = NX_JS_PUNCT, .text = {"", 0}};

// The token at `i`, which may lie outside.
static const struct nx_js_token *token(const struct scan *sc, size_t i) {
    return i < sc->count ? &sc->items[i] : &past_end;
}

static bool is_punct(const struct scan *sc, size_t i, const char *text) {
    return token(sc, i)->kind == NX_JS_PUNCT && nx_span_eq(token(sc, i)->text, nx_span_str(text));
}

static bool is_word(const struct scan *sc, size_t i, const char *text) {
    return token(sc, i)->kind == NX_JS_WORD && nx_span_eq(token(sc, i)->text, nx_span_str(text));
}

static bool is_member(const struct scan *sc, size_t i) {
    return i > 0 && (is_punct(sc, i - 1, ".") || is_punct(sc, i - 1, "?."));
}

static bool listed(struct nx_span text, const char *const *list) {
    for (; *list; list++)
        if (nx_span_eq(text, nx_span_str(*list)))
            return true;
    return false;
}

// ---- Findings

static void unclear(struct scan *sc, enum nx_cap_kind kind, size_t at) {
    if (sc->out->unclear_line[kind])
        return;
    uint32_t line = 1;
    for (const char *p = sc->source; p < sc->source + token(sc, at)->offset; p++)
        line += *p == '\n';
    sc->out->unclear_line[kind] = line;
}

static void need(struct scan *sc, enum nx_cap_kind kind, struct nx_span scope, size_t at) {
    struct nx_buf text;
    nx_buf_init(&text, NX_MAX_CAP_TOKEN_BYTES);
    int rc = nx_cap_format(&text, kind, scope);
    if (rc == 0)
        rc = nx_caps_add(&sc->out->needs, nx_buf_span(&text), NULL);
    nx_buf_free(&text);
    if (rc == NX_E_NOMEM)
        sc->no_memory = true;
    else if (rc)
        unclear(sc, kind, at); // too many, or not to be said as a token
}

// ---- Variables

static void remember(struct scan *sc, size_t at, struct nx_span key, bool fresh) {
    if (token(sc, at)->kind == NX_JS_WORD && sc->alias_count < MAX_ALIASES)
        sc->aliases[sc->alias_count++] = (struct alias){token(sc, at)->text, key, fresh};
}

// The latest variable of this name.
static const struct alias *find_alias(const struct scan *sc, struct nx_span name) {
    for (size_t i = sc->alias_count; i > 0; i--)
        if (nx_span_eq(sc->aliases[i - 1].name, name))
            return &sc->aliases[i - 1];
    return NULL;
}

// Remembers what stands before the '=' or `of` at `at`: a name, or the names of a pattern.
static void remember_target(struct scan *sc, size_t at, struct nx_span key, bool fresh) {
    if (at == 0)
        return;
    if (!is_punct(sc, at - 1, "}") && !is_punct(sc, at - 1, "]")) {
        if (at < 2 || !is_member(sc, at - 1))
            remember(sc, at - 1, key, fresh);
        return;
    }
    for (size_t i = token(sc, at - 1)->match + 1; i < at - 1; i++)
        remember(sc, i, key, false);
}

// `(item => …`, `((item, i) => …`, `(async item => …` or `(function (item) …` at the bracket
// `at`: the parameter that gets an item of the array.
static void remember_parameter(struct scan *sc, size_t at, struct nx_span method,
                               struct nx_span key) {
    static const char *const with_sum[] = {"reduce", "reduceRight", NULL};
    size_t i = at + 1;
    if (is_word(sc, i, "async"))
        i++;
    if (token(sc, i)->kind == NX_JS_WORD && is_punct(sc, i + 1, "=>")) {
        remember(sc, i, key, false);
        return;
    }
    bool is_function = is_word(sc, i, "function");
    while (is_function && i < sc->count && !is_punct(sc, i, "("))
        i++;
    if (!is_punct(sc, i, "(") || !(is_function || is_punct(sc, token(sc, i)->match + 1, "=>")))
        return;
    i++;
    if (listed(method, with_sum) && is_punct(sc, i + 1, ","))
        i += 2;
    if (is_punct(sc, i, "{") || is_punct(sc, i, "["))
        remember_target(sc, token(sc, i)->match + 1, key, false);
    else
        remember(sc, i, key, false);
}

// ---- Chains

struct chain {
    struct nx_span key;
    size_t end;   // index of the first token after it
    size_t depth; // members since the value, or since the array made of it
    bool fresh;
    bool mutates; // calls a method that changes the value in place
};

static void follow_call(struct scan *sc, struct chain *c, struct nx_span method) {
    static const char *const mutators[] = {"push", "pop",     "shift", "unshift",    "splice",
                                           "sort", "reverse", "fill",  "copyWithin", NULL};
    static const char *const makers[] = {
        "map",      "filter",    "slice",      "concat",   "flat", "flatMap",
        "toSorted", "toSpliced", "toReversed", "with",     "join", "split",
        "keys",     "entries",   "values",     "toString", NULL};
    if (method.len)
        remember_parameter(sc, c->end, method, c->key);
    if (listed(method, mutators) && !(c->fresh && c->depth <= 1))
        c->mutates = true;
    if (listed(method, makers)) {
        c->fresh = true;
        c->depth = 0;
    }
}

// Follows members, indices and calls from c->end on.
static void follow(struct scan *sc, struct chain *c) {
    struct nx_span method = {NULL, 0};
    for (;;) {
        size_t i = c->end;
        bool dot = is_punct(sc, i, ".") || is_punct(sc, i, "?.");
        if (dot && token(sc, i + 1)->kind == NX_JS_WORD) {
            method = token(sc, i + 1)->text;
            c->depth++;
            c->end = i + 2;
        } else if (is_punct(sc, i, "[") || (dot && is_punct(sc, i + 1, "["))) {
            method.len = 0;
            c->depth++;
            c->end = token(sc, i + dot)->match + 1;
        } else if (is_punct(sc, i, "(") || (dot && is_punct(sc, i + 1, "("))) {
            c->end = i + dot;
            follow_call(sc, c, method);
            method.len = 0;
            c->end = token(sc, c->end)->match + 1;
        } else {
            return;
        }
    }
}

static bool line_break_before(const struct scan *sc, size_t i) {
    const struct nx_js_token *before = token(sc, i - 1), *at = token(sc, i);
    for (const char *p = sc->source + before->offset; p < sc->source + at->offset; p++)
        if (*p == '\n')
            return true;
    return false;
}

// What the use of tokens `start` up to `end` does to the place they name.
struct use {
    bool reads, writes;
};

static struct use use_of(const struct scan *sc, size_t start, size_t end) {
    static const char *const compound[] = {"+=",  "-=",  "*=",   "/=",  "%=",  "&=",  "|=",   "^=",
                                           "<<=", ">>=", ">>>=", "**=", "&&=", "||=", "?\?=", NULL};
    bool step_after =
        (is_punct(sc, end, "++") || is_punct(sc, end, "--")) && !line_break_before(sc, end);
    bool step_before =
        start > 0 && (is_punct(sc, start - 1, "++") || is_punct(sc, start - 1, "--"));
    if (step_after || step_before ||
        (token(sc, end)->kind == NX_JS_PUNCT && listed(token(sc, end)->text, compound)))
        return (struct use){true, true};
    if (is_punct(sc, end, "=") || (start > 0 && is_word(sc, start - 1, "delete")))
        return (struct use){false, true};
    return (struct use){true, false};
}

// A chain that starts with tokens `start`… is at its end: what it needs of its key.
static void judge_chain(struct scan *sc, const struct chain *c, size_t start, bool is_state) {
    struct use use = use_of(sc, start, c->end);
    bool own = is_state && c->depth == 0 && !c->fresh; // the key itself, not something in it
    bool writes = c->mutates || (use.writes && (own || c->depth > (c->fresh ? 1 : 0)));
    if (is_state && (use.reads || !own))
        need(sc, NX_CAP_STATE_READ, c->key, start);
    if (writes)
        need(sc, NX_CAP_STATE_WRITE, c->key, start);
    // What the value is bound to, if it is: `x = …`, `for (const x of …`.
    size_t before = start;
    if (before > 0 && is_word(sc, before - 1, "await"))
        before--;
    if (before > 0 && (is_punct(sc, before - 1, "=") || is_word(sc, before - 1, "of")))
        remember_target(sc, before - 1, c->key, c->fresh && is_punct(sc, before - 1, "="));
}

// ---- $state

// The scope named by member access at `i`: `.name`, `["name"]`, either behind `?.`. Returns the
// index after it; 0 if there is no member access; *scope is empty if the name is computed.
static size_t member_scope(const struct scan *sc, size_t i, struct nx_span *scope) {
    bool dot = is_punct(sc, i, ".") || is_punct(sc, i, "?.");
    *scope = (struct nx_span){NULL, 0};
    if (dot && token(sc, i + 1)->kind == NX_JS_WORD) {
        *scope = token(sc, i + 1)->text;
        return i + 2;
    }
    i += dot;
    if (!is_punct(sc, i, "["))
        return 0;
    const struct nx_js_token *inner = token(sc, i + 1);
    if (inner->kind == NX_JS_STRING && !inner->escaped && is_punct(sc, i + 2, "]"))
        *scope = inner->text;
    return token(sc, i)->match + 1;
}

// `{ a, b: c, d = 1 } = $state`, the pattern ending before the '=' at `at`.
static void read_pattern(struct scan *sc, size_t at) {
    size_t close = at - 1;
    for (size_t i = token(sc, close)->match + 1; i < close; i++) {
        const struct nx_js_token *key = token(sc, i);
        if ((key->kind != NX_JS_WORD && key->kind != NX_JS_STRING) || key->escaped) {
            unclear(sc, NX_CAP_STATE_READ, i); // `...rest`, or a computed name
        } else {
            need(sc, NX_CAP_STATE_READ, key->text, i);
            bool renamed = is_punct(sc, i + 1, ":");
            if (renamed && token(sc, i + 2)->match != UINT32_MAX)
                remember_target(sc, token(sc, i + 2)->match + 1, key->text, false);
            else
                remember(sc, renamed ? i + 2 : i, key->text, false);
        }
        while (i < close && !is_punct(sc, i, ",")) // to the next member
            i = token(sc, i)->match < close && token(sc, i)->match > i ? token(sc, i)->match + 1
                                                                       : i + 1;
    }
}

// `$state` as a whole, at `at`: passed on, spread, listed, taken apart.
static void read_whole(struct scan *sc, size_t at) {
    static const char *const readers[] = {"keys", "values", "entries", "stringify", NULL};
    if (at > 0 && is_word(sc, at - 1, "in")) { // "x" in $state
        const struct nx_js_token *key = token(sc, at - 2);
        if (at > 1 && key->kind == NX_JS_STRING && !key->escaped)
            need(sc, NX_CAP_STATE_READ, key->text, at);
        else
            unclear(sc, NX_CAP_STATE_READ, at);
        return;
    }
    if (at > 1 && is_punct(sc, at - 1, "=") && is_punct(sc, at - 2, "}")) {
        read_pattern(sc, at - 1);
        return;
    }
    unclear(sc, NX_CAP_STATE_READ, at);
    bool only_read =
        is_punct(sc, at - 1, "...") || is_word(sc, at - 1, "return") ||
        (at > 1 && is_punct(sc, at - 1, "(") && listed(token(sc, at - 2)->text, readers));
    if (!only_read)
        unclear(sc, NX_CAP_STATE_WRITE, at);
}

static void read_state(struct scan *sc, size_t at) {
    struct chain c = {0};
    c.end = member_scope(sc, at + 1, &c.key);
    if (c.end == 0) {
        read_whole(sc, at);
        return;
    }
    size_t after_key = c.end;
    if (c.key.len) {
        follow(sc, &c);
        judge_chain(sc, &c, at, true);
        return;
    }
    // A key known only when it runs: whether it is read or written can still be seen.
    follow(sc, &c);
    struct use use = use_of(sc, at, c.end);
    bool own = c.end == after_key;
    if (use.reads || !own)
        unclear(sc, NX_CAP_STATE_READ, at);
    if (use.writes || c.mutates)
        unclear(sc, NX_CAP_STATE_WRITE, at);
}

// ---- The other globals

// A call whose first argument is the scope; `at` is its opening bracket.
static void read_call(struct scan *sc, enum nx_cap_kind kind, size_t at) {
    const struct nx_js_token *name = token(sc, at + 1);
    bool plain = is_punct(sc, at, "(") && name->kind == NX_JS_STRING && !name->escaped &&
                 (is_punct(sc, at + 2, ",") || is_punct(sc, at + 2, ")"));
    if (plain)
        need(sc, kind, name->text, at);
    else
        unclear(sc, kind, at);
}

static void read_ext(struct scan *sc, size_t at) {
    struct nx_span name;
    member_scope(sc, at + 1, &name);
    if (name.len)
        need(sc, NX_CAP_EXT, name, at);
    else
        unclear(sc, NX_CAP_EXT, at);
}

static void read_view(struct scan *sc, size_t at) {
    struct nx_span method;
    size_t call = member_scope(sc, at + 1, &method);
    if (call && method.len)
        read_call(sc, NX_CAP_VIEW_UPDATE, call);
    else
        unclear(sc, NX_CAP_VIEW_UPDATE, at);
}

// ---- The scan

static void read_word(struct scan *sc, size_t at) {
    if (is_member(sc, at))
        return;
    if (is_word(sc, at, "$state")) {
        read_state(sc, at);
    } else if (is_word(sc, at, "$emit")) {
        read_call(sc, NX_CAP_EVENTS_EMIT, at + 1);
    } else if (is_word(sc, at, "$ext")) {
        read_ext(sc, at);
    } else if (is_word(sc, at, "$view")) {
        read_view(sc, at);
    } else {
        const struct alias *alias = find_alias(sc, token(sc, at)->text);
        if (!alias)
            return;
        struct chain c = {.key = alias->key, .end = at + 1, .fresh = alias->fresh};
        follow(sc, &c);
        if (c.end > at + 1 || is_punct(sc, at - 1, "=") || is_word(sc, at - 1, "of"))
            judge_chain(sc, &c, at, false);
    }
}

int nx_suggest(struct nx_suggestion *out, struct nx_span code, struct nx_error *err) {
    struct nx_js_tokens tokens;
    *out = (struct nx_suggestion){0};
    int rc = nx_js_tokens_read(&tokens, code);
    if (rc)
        return nx_error_set(err, rc, "the code's brackets and quotes cannot be followed");
    struct scan sc = {
        .items = tokens.items, .count = tokens.count, .source = code.data, .out = out};
    for (size_t i = 0; i < sc.count; i++)
        if (tokens.items[i].kind == NX_JS_WORD)
            read_word(&sc, i);
    nx_js_tokens_free(&tokens);
    if (!sc.no_memory)
        return 0;
    nx_suggestion_free(out);
    return nx_error_set(err, NX_E_NOMEM, "out of memory");
}

void nx_suggestion_free(struct nx_suggestion *suggestion) {
    nx_caps_free(&suggestion->needs);
    *suggestion = (struct nx_suggestion){0};
}
