// SPDX-License-Identifier: Apache-2.0
// Objects, arrays and strings of a JSON panel; see json_read.h.
#include "nxml/json_read.h"

#include <stdio.h>

#include "base/json.h"
#include "nxml/lexer.h"

// ---- Path

size_t nx_json_path_push(struct nx_parse *p, const char *fmt, ...) {
    size_t mark = strlen(p->where);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->where + mark, sizeof p->where - mark, fmt, ap);
    va_end(ap);
    return mark;
}

void nx_json_path_pop(struct nx_parse *p, size_t mark) {
    p->where[mark] = 0;
}

// ---- Values

bool nx_json_is(struct nx_span value, char first) {
    value = nx_span_trim(value);
    return value.len && value.data[0] == first;
}

struct nx_span nx_json_read_string(struct nx_parse *p, struct nx_span value) {
    struct nx_span none = {NULL, 0};
    value = nx_span_trim(value);
    if (value.len < 2 || value.data[0] != '"') {
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "must be a string");
        return none;
    }
    struct nx_buf plain;
    nx_buf_init(&plain, value.len); // unescaping never makes longer
    nx_json_unescape(&plain, nx_span_of(value.data + 1, value.len - 2));
    struct nx_span text = none;
    if (plain.failed)
        p->failed = NX_E_NOMEM;
    else if (!nx_utf8_valid(nx_buf_span(&plain)) || (plain.len && memchr(plain.data, 0, plain.len)))
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "must not hold NUL or lone surrogates");
    else
        text = nx_parse_keep(p, nx_buf_span(&plain));
    nx_buf_free(&plain);
    return text;
}

char *nx_json_read_strdup(struct nx_parse *p, struct nx_span value) {
    struct nx_span text = nx_json_read_string(p, value);
    return text.data ? nx_parse_strdup(p, text) : NULL;
}

// ---- Arrays

static size_t string_end(struct nx_span t, size_t at) {
    for (at++; at < t.len && t.data[at] != '"'; at++)
        at += t.data[at] == '\\';
    return at + 1;
}

// The end of the element that starts at `at`: the comma or bracket after it, outside of strings and
// nested containers.
static size_t element_end(struct nx_span t, size_t at) {
    size_t depth = 0;
    while (at < t.len) {
        char ch = t.data[at];
        if (ch == '"') {
            at = string_end(t, at);
            continue;
        }
        if (depth == 0 && (ch == ',' || ch == ']' || ch == '}'))
            return at;
        depth += ch == '[' || ch == '{';
        depth -= ch == ']' || ch == '}';
        at++;
    }
    return t.len;
}

void nx_json_each_element(struct nx_parse *p, struct nx_span value,
                          void (*fn)(struct nx_parse *p, void *user, size_t index,
                                     struct nx_span element),
                          void *user) {
    struct nx_span t = nx_span_trim(value);
    size_t index = 0;
    for (size_t at = 1; at < t.len && !p->failed; index++) {
        size_t end = element_end(t, at);
        struct nx_span element = nx_span_trim(nx_span_of(t.data + at, end - at));
        if (element.len == 0)
            return; // an empty array
        size_t mark = nx_json_path_push(p, "[%zu]", index);
        fn(p, user, index, element);
        nx_json_path_pop(p, mark);
        at = end + 1;
    }
}

size_t nx_json_count(struct nx_span value) {
    struct nx_span t = nx_span_trim(value);
    size_t count = 0;
    for (size_t at = 1; at < t.len; count++) {
        size_t end = element_end(t, at);
        if (nx_span_trim(nx_span_of(t.data + at, end - at)).len == 0)
            return count;
        at = end + 1;
    }
    return count;
}

// ---- Objects

struct object_reader {
    struct nx_parse *p;
    const struct nx_json_member_rule *rules;
    size_t count;
    void *target;
    bool seen[NX_JSON_MAX_RULES];
};

static size_t find_rule(const struct object_reader *r, struct nx_span key) {
    size_t i = 0;
    while (i < r->count && !nx_span_eq(key, nx_span_str(r->rules[i].name)))
        i++;
    return i;
}

static int read_member(void *user, struct nx_span raw_key, struct nx_span value) {
    struct object_reader *r = user;
    struct nx_parse *p = r->p;
    struct nx_buf key;
    nx_buf_init(&key, raw_key.len + 1);
    nx_json_unescape(&key, raw_key);
    size_t i = find_rule(r, nx_buf_span(&key));
    size_t mark =
        nx_json_path_push(p, "%s%.*s", p->where[0] ? "." : "", nx_quote_len(raw_key), raw_key.data);
    if (key.failed)
        p->failed = NX_E_NOMEM;
    else if (i == r->count)
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "unknown member");
    else if (r->seen[i])
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "given twice");
    else
        r->rules[i].read(p, r->target, value);
    if (i < r->count)
        r->seen[i] = true;
    nx_json_path_pop(p, mark);
    nx_buf_free(&key);
    return p->failed;
}

void nx_json_read_object(struct nx_parse *p, struct nx_span object,
                         const struct nx_json_member_rule *rules, size_t count, void *target) {
    struct object_reader r = {.p = p, .rules = rules, .count = count, .target = target};
    if (!nx_json_is(object, '{')) {
        nx_json_error(p, NX_DIAG_INVALID_ATTRIBUTE, "must be an object");
        return;
    }
    nx_json_each_member(object, read_member, &r);
    for (size_t i = 0; i < count && !p->failed; i++)
        if (rules[i].required && !r.seen[i])
            nx_json_error(p, NX_DIAG_MISSING_ATTRIBUTE, "the member '%s' is missing",
                          rules[i].name);
}
