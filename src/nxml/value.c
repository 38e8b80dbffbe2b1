// SPDX-License-Identifier: Apache-2.0
// Names, types and defaults, the same in both notations.
#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "nxml/lexer.h"
#include "nxml/parse.h"

static bool is_identifier_char(char ch, bool first) {
    bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' || ch == '$';
    return letter || (!first && ch >= '0' && ch <= '9');
}

bool nx_identifier_valid(struct nx_span s) {
    if (s.len == 0 || s.len > NX_MAX_IDENTIFIER_BYTES || nx_span_eq(s, nx_span_str("__proto__")))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_identifier_char(s.data[i], i == 0))
            return false;
    return true;
}

bool nx_parse_identifier(struct nx_parse *p, struct nx_span name, struct nx_pos pos,
                         const char *what) {
    if (nx_identifier_valid(name))
        return true;
    nx_parse_error(p, NX_DIAG_INVALID_IDENTIFIER, pos,
                   "'%.*s' cannot name a %s: letters, digits, _ and $, not first a digit, at most "
                   "%d, not __proto__",
                   nx_quote_len(name), name.data, what, NX_MAX_IDENTIFIER_BYTES);
    return false;
}

void nx_parse_length(struct nx_parse *p, struct nx_span text, struct nx_pos pos, const char *what,
                     size_t min, size_t max) {
    size_t characters = 0;
    for (size_t i = 0; i < text.len; i++)
        characters += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    if (characters < min || characters > max)
        nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, pos, "%s must have %zu to %zu characters",
                       what, min, max);
}

enum nx_value_type nx_parse_type(struct nx_parse *p, struct nx_span name, struct nx_pos pos) {
    for (int type = NX_TYPE_STRING; type <= NX_TYPE_OBJECT; type++)
        if (nx_span_eq(name, nx_span_str(nx_value_type_name((enum nx_value_type)type))))
            return (enum nx_value_type)type;
    nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, pos,
                   "'%.*s' is not a type: string, number, boolean, list or object",
                   nx_quote_len(name), name.data);
    return NX_TYPE_STRING;
}

bool nx_json_value_type(struct nx_span json, enum nx_value_type *type) {
    json = nx_span_trim(json);
    if (json.len == 0)
        return false;
    switch (json.data[0]) {
    case '"':
        *type = NX_TYPE_STRING;
        return true;
    case '[':
        *type = NX_TYPE_LIST;
        return true;
    case '{':
        *type = NX_TYPE_OBJECT;
        return true;
    case 't':
    case 'f':
        *type = NX_TYPE_BOOLEAN;
        return true;
    case 'n':
        return false;
    default:
        *type = NX_TYPE_NUMBER;
        return true;
    }
}

static char *string_default(struct nx_parse *p, struct nx_span text) {
    struct nx_buf b;
    nx_buf_init(&b, text.len * 6 + 2); // every byte may become \uXXXX
    nx_json_append_string(&b, text);
    return nx_parse_steal(p, &b);
}

// Whether the JSON number `text` is one that JavaScript can hold.
static bool is_finite_number(struct nx_parse *p, struct nx_span text) {
    struct nx_span copy = nx_parse_keep(p, text); // for the NUL at its end
    return copy.data && isfinite(strtod(copy.data, NULL));
}

char *nx_parse_default(struct nx_parse *p, enum nx_value_type type, struct nx_span text,
                       struct nx_pos pos) {
    if (type == NX_TYPE_STRING)
        return string_default(p, text);
    struct nx_error err = {0};
    enum nx_value_type found = NX_TYPE_STRING;
    text = nx_span_trim(text);
    bool valid = nx_json_scan(text, NULL, &err) == 0 && nx_json_value_type(text, &found) &&
                 found == type && (type != NX_TYPE_NUMBER || is_finite_number(p, text));
    if (valid)
        return nx_parse_strdup(p, text);
    const char *detail = err.code ? err.message : "the value is of another type";
    nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, pos, "the default '%.*s' is not a %s: %s",
                   nx_quote_len(text), text.data, nx_value_type_name(type), detail);
    return NULL;
}

bool nx_parse_uint(struct nx_span text, uint32_t max, uint32_t *value) {
    uint64_t n = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(text.data[i] - '0');
        if (n > max)
            return false;
    }
    *value = (uint32_t)n;
    return true;
}

uint32_t nx_parse_timeout(struct nx_parse *p, struct nx_span text, struct nx_pos pos) {
    uint32_t ms = 0;
    if (nx_parse_uint(text, NX_MAX_TIMEOUT_MS, &ms) && ms > 0)
        return ms;
    nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, pos,
                   "timeoutMs must be a whole number from 1 to %d", NX_MAX_TIMEOUT_MS);
    return 0;
}
