// SPDX-License-Identifier: Apache-2.0
// The JSON scanner. Its input is hostile: it is iterative, keeps one bit per open container in a
// fixed array, and looks at each byte once.
#include "base/json.h"

#include "base/limits.h"
#include "base/utf8.h"

enum { WORD_BITS = 64 };

struct scanner {
    const unsigned char *start, *p, *end;
    const char *problem; // what was wrong at p; NULL while nothing was
    int status;
    unsigned depth;
    // Bit d - 1 is set when the container at depth d is an object.
    uint64_t objects[(NX_JSON_MAX_DEPTH + WORD_BITS - 1) / WORD_BITS];
};

// What may come next.
enum want { WANT_VALUE, WANT_VALUE_OR_CLOSE, WANT_KEY, WANT_KEY_OR_CLOSE, WANT_NEXT_OR_CLOSE };

static bool fail(struct scanner *s, const char *problem) {
    s->problem = problem;
    s->status = NX_E_INVALID;
    return false;
}

static void skip_space(struct scanner *s) {
    while (s->p < s->end && *s->p <= ' ' &&
           (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

static bool push(struct scanner *s, bool object) {
    if (s->depth == NX_JSON_MAX_DEPTH) {
        s->problem = "nested too deeply";
        s->status = NX_E_LIMIT;
        return false;
    }
    uint64_t bit = UINT64_C(1) << (s->depth % WORD_BITS);
    uint64_t *word = &s->objects[s->depth / WORD_BITS];
    *word = object ? *word | bit : *word & ~bit;
    s->depth++;
    s->p++;
    return true;
}

static bool in_object(const struct scanner *s) {
    unsigned top = s->depth - 1;
    return s->objects[top / WORD_BITS] >> (top % WORD_BITS) & 1;
}

static bool is_hex(unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// At a backslash.
static bool scan_escape(struct scanner *s) {
    if (s->end - s->p < 2)
        return fail(s, "unterminated string");
    switch (s->p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        s->p += 2;
        return true;
    case 'u':
        if (s->end - s->p < 6 || !is_hex(s->p[2]) || !is_hex(s->p[3]) || !is_hex(s->p[4]) ||
            !is_hex(s->p[5]))
            return fail(s, "bad \\u escape");
        s->p += 6;
        return true;
    default:
        return fail(s, "bad escape");
    }
}

// At the opening quote.
static bool scan_string(struct scanner *s) {
    s->p++;
    for (;;) {
        s->p = nx_json_skip_plain(s->p, s->end);
        // Text in one script tends to have runs of multi-byte characters.
        while (s->p < s->end && *s->p >= 0x80) {
            size_t n = nx_utf8_sequence(s->p, (size_t)(s->end - s->p));
            if (n == 0)
                return fail(s, "invalid UTF-8");
            s->p += n;
        }
        if (s->p == s->end)
            return fail(s, "unterminated string");
        if (*s->p == '"') {
            s->p++;
            return true;
        }
        if (*s->p == '\\') {
            if (!scan_escape(s))
                return false;
        } else if (*s->p < 0x20) {
            return fail(s, "control character in string");
        }
    }
}

static bool is_digit(const struct scanner *s) {
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

static bool scan_digits(struct scanner *s) {
    if (!is_digit(s))
        return fail(s, "bad number");
    while (is_digit(s))
        s->p++;
    return true;
}

// At a minus sign or digit.
static bool scan_number(struct scanner *s) {
    if (*s->p == '-')
        s->p++;
    if (s->p < s->end && *s->p == '0')
        s->p++;
    else if (!scan_digits(s))
        return false;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!scan_digits(s))
            return false;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        return scan_digits(s);
    }
    return true;
}

static bool scan_word(struct scanner *s, const char *word, size_t len) {
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return fail(s, "value expected");
    s->p += len;
    return true;
}

// Takes a scalar or the opening of a container, and sets what follows.
static bool scan_value(struct scanner *s, enum want *want) {
    *want = WANT_NEXT_OR_CLOSE;
    switch (*s->p) {
    case '{':
        *want = WANT_KEY_OR_CLOSE;
        return push(s, true);
    case '[':
        *want = WANT_VALUE_OR_CLOSE;
        return push(s, false);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true", 4);
    case 'f':
        return scan_word(s, "false", 5);
    case 'n':
        return scan_word(s, "null", 4);
    default:
        if (*s->p == '-' || is_digit(s))
            return scan_number(s);
        return fail(s, "value expected");
    }
}

static bool scan_key(struct scanner *s) {
    if (*s->p != '"')
        return fail(s, "member name expected");
    if (!scan_string(s))
        return false;
    skip_space(s);
    if (s->p == s->end || *s->p != ':')
        return fail(s, "':' expected");
    s->p++;
    return true;
}

// After a value inside a container: a comma, or the container's end.
static bool scan_next_or_close(struct scanner *s, enum want *want) {
    bool object = in_object(s);
    if (*s->p == ',') {
        *want = object ? WANT_KEY : WANT_VALUE;
    } else if (*s->p == (object ? '}' : ']')) {
        s->depth--;
    } else {
        return fail(s, object ? "',' or '}' expected" : "',' or ']' expected");
    }
    s->p++;
    return true;
}

static bool scan_text(struct scanner *s) {
    enum want want = WANT_VALUE;
    for (;;) {
        skip_space(s);
        if (want == WANT_NEXT_OR_CLOSE && s->depth == 0)
            return s->p == s->end || fail(s, "text after the value");
        if (s->p == s->end)
            return fail(s, "unexpected end");
        bool ok;
        if ((want == WANT_KEY_OR_CLOSE && *s->p == '}') ||
            (want == WANT_VALUE_OR_CLOSE && *s->p == ']'))
            want = WANT_NEXT_OR_CLOSE;
        if (want == WANT_NEXT_OR_CLOSE) {
            ok = scan_next_or_close(s, &want);
        } else if (want == WANT_KEY || want == WANT_KEY_OR_CLOSE) {
            ok = scan_key(s);
            want = WANT_VALUE;
        } else {
            ok = scan_value(s, &want);
        }
        if (!ok)
            return false;
    }
}

static enum nx_json_kind kind_of(unsigned char first) {
    switch (first) {
    case '{':
        return NX_JSON_OBJECT;
    case '[':
        return NX_JSON_ARRAY;
    case '"':
        return NX_JSON_STRING;
    case 't':
    case 'f':
        return NX_JSON_BOOL;
    case 'n':
        return NX_JSON_NULL;
    default:
        return NX_JSON_NUMBER;
    }
}

int nx_json_scan(struct nx_span text, enum nx_json_kind *kind, struct nx_error *err) {
    const unsigned char *start = (const unsigned char *)(text.len ? text.data : "");
    struct scanner s = {.start = start, .p = start, .end = start + text.len};
    skip_space(&s);
    const unsigned char *first = s.p;
    if (!scan_text(&s))
        return nx_error_set(err, s.status, "JSON, byte %zu: %s", (size_t)(s.p - s.start),
                            s.problem);
    if (kind)
        *kind = kind_of(*first);
    return 0;
}
