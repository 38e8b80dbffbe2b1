// SPDX-License-Identifier: Apache-2.0
// Reading members of scanned objects, unescaping and writing strings.
#include "base/json.h"

#include "base/utf8.h"

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static size_t skip_space(struct nx_span t, size_t at) {
    while (at < t.len && is_space(t.data[at]))
        at++;
    return at;
}

// Past the closing quote of the string whose opening quote is at `at`; t.len + 1 if there is none.
static size_t skip_string(struct nx_span t, size_t at) {
    size_t first = at + 1;
    for (size_t from = first; from < t.len;) {
        const char *quote = memchr(t.data + from, '"', t.len - from);
        if (!quote)
            break;
        size_t end = (size_t)(quote - t.data);
        size_t run = end;
        while (run > first && t.data[run - 1] == '\\')
            run--;
        // An even run of backslashes escapes only itself. Runs never overlap, so this is linear.
        if ((end - run) % 2 == 0)
            return end + 1;
        from = end + 1;
    }
    return t.len + 1;
}

// Past the value that starts at `at` (not white space); t.len + 1 if it is cut short.
static size_t skip_value(struct nx_span t, size_t at) {
    size_t depth = 0;
    while (at < t.len) {
        char c = t.data[at];
        if (c == '"') {
            at = skip_string(t, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            depth--;
            at++;
        } else if (depth == 0) {
            while (at < t.len && !is_space(t.data[at]) && t.data[at] != ',' && t.data[at] != '}' &&
                   t.data[at] != ']')
                at++;
            return at;
        } else {
            at++;
            continue;
        }
        if (depth == 0)
            return at;
    }
    return depth ? t.len + 1 : at;
}

int nx_json_each_member(struct nx_span text,
                        int (*fn)(void *user, struct nx_span raw_key, struct nx_span value),
                        void *user) {
    size_t at = skip_space(text, 0);
    if (at >= text.len || text.data[at] != '{')
        return NX_E_INVALID;
    at = skip_space(text, at + 1);
    if (at < text.len && text.data[at] == '}')
        return 0;
    // Bounds are checked even though a scanned text cannot fail them: a caller's slip must not
    // become an overread.
    while (at < text.len && text.data[at] == '"') {
        size_t key_end = skip_string(text, at);
        size_t colon = skip_space(text, key_end);
        if (colon >= text.len || text.data[colon] != ':')
            return NX_E_INVALID;
        size_t value = skip_space(text, colon + 1);
        size_t value_end = skip_value(text, value);
        if (value_end > text.len || value_end == value)
            return NX_E_INVALID;
        int rc = fn(user, nx_span_of(text.data + at + 1, key_end - at - 2),
                    nx_span_of(text.data + value, value_end - value));
        if (rc)
            return rc;
        at = skip_space(text, value_end);
        if (at < text.len && text.data[at] == '}')
            return 0;
        if (at >= text.len || text.data[at] != ',')
            return NX_E_INVALID;
        at = skip_space(text, at + 1);
    }
    return NX_E_INVALID;
}

// The four hex digits at `at`, or -1.
static int32_t hex4(struct nx_span raw, size_t at) {
    if (raw.len < 4 || at > raw.len - 4)
        return -1;
    int32_t value = 0;
    for (size_t i = at; i < at + 4; i++) {
        char c = raw.data[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static bool is_high(int32_t code) {
    return code >= 0xd800 && code < 0xdc00;
}

static bool is_low(int32_t code) {
    return code >= 0xdc00 && code < 0xe000;
}

// Decodes the escape at raw.data[*at] (a backslash), writes its UTF-8 and moves *at past it.
// Returns the number of bytes written, or 0 if the escape is malformed.
static size_t take_escape(struct nx_span raw, size_t *at, char out[4]) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (raw.len - *at < 2)
        return 0;
    char c = raw.data[*at + 1];
    if (c != 'u') {
        const char *letter = memchr(letters, c, sizeof letters - 1);
        if (!letter)
            return 0;
        *at += 2;
        out[0] = meanings[letter - letters];
        return 1;
    }
    int32_t code = hex4(raw, *at + 2);
    if (code < 0)
        return 0;
    *at += 6;
    if (is_high(code) && raw.len - *at >= 6 && raw.data[*at] == '\\' && raw.data[*at + 1] == 'u') {
        int32_t low = hex4(raw, *at + 2);
        if (is_low(low)) {
            *at += 6;
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return nx_utf8_encode((uint32_t)code, out);
}

int nx_json_unescape(struct nx_buf *out, struct nx_span raw) {
    for (size_t at = 0; at < raw.len;) {
        const char *slash = memchr(raw.data + at, '\\', raw.len - at);
        size_t plain = slash ? (size_t)(slash - raw.data) - at : raw.len - at;
        if (nx_buf_append(out, raw.data + at, plain))
            return out->failed;
        at += plain;
        if (!slash)
            break;
        char bytes[4];
        size_t n = take_escape(raw, &at, bytes);
        if (n == 0)
            return NX_E_INVALID;
        if (nx_buf_append(out, bytes, n))
            return out->failed;
    }
    return out->failed;
}

// Whether the escaped `raw` means exactly `key`; needs no memory.
static bool key_matches(struct nx_span raw, struct nx_span key) {
    size_t matched = 0;
    for (size_t at = 0; at < raw.len;) {
        char bytes[4];
        size_t n = 1;
        if (raw.data[at] == '\\')
            n = take_escape(raw, &at, bytes);
        else
            bytes[0] = raw.data[at++];
        if (n == 0 || key.len - matched < n || memcmp(key.data + matched, bytes, n) != 0)
            return false;
        matched += n;
    }
    return matched == key.len;
}

struct member_search {
    struct nx_span key;
    struct nx_span value;
    bool found;
};

static int search_member(void *user, struct nx_span raw_key, struct nx_span value) {
    struct member_search *search = user;
    if (key_matches(raw_key, search->key)) {
        search->value = value;
        search->found = true;
    }
    return 0;
}

int nx_json_member(struct nx_span object, const char *key, struct nx_span *value) {
    struct member_search search = {.key = nx_span_str(key)};
    if (nx_json_each_member(object, search_member, &search) != 0 || !search.found)
        return NX_E_NOTFOUND;
    *value = search.value;
    return 0;
}

// Appends \uXXXX.
static int append_unit(struct nx_buf *out, unsigned unit) {
    static const char hex[] = "0123456789abcdef";
    const char text[6] = {
        '\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};
    return nx_buf_append(out, text, sizeof text);
}

static int append_ascii_escape(struct nx_buf *out, unsigned char c) {
    static const char specials[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *special = memchr(specials, c, sizeof specials - 1);
    if (!special)
        return append_unit(out, c);
    return nx_buf_append(out, (const char[]){'\\', letters[special - specials]}, 2);
}

// Appends the character at `p` that starts with a byte of 0x80 or more, and moves past it.
static const unsigned char *append_multibyte(struct nx_buf *out, const unsigned char *p,
                                             size_t left) {
    size_t n = nx_utf8_sequence(p, left);
    if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0) { // C1 controls: terminals obey them in logs
        append_unit(out, p[1]);
    } else if (n > 0) {
        nx_buf_append(out, p, n);
    } else if (left >= 3 && p[0] == 0xed && p[1] >= 0xa0 && p[1] <= 0xbf && (p[2] & 0xc0) == 0x80) {
        append_unit(out, 0xd000u | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu));
        n = 3;
    } else {
        nx_buf_append_str(out, "\xef\xbf\xbd"); // U+FFFD
        n = 1;
    }
    return p + n;
}

// Appends a run without specials, escaping DEL, which the scanner counts as plain.
static void append_plain(struct nx_buf *out, const unsigned char *p, size_t len) {
    for (const unsigned char *del; len > 0 && (del = memchr(p, 0x7f, len)) != NULL;) {
        nx_buf_append(out, p, (size_t)(del - p));
        if (append_unit(out, 0x7f))
            return;
        len -= (size_t)(del - p) + 1;
        p = del + 1;
    }
    nx_buf_append(out, p, len);
}

int nx_json_append_string(struct nx_buf *out, struct nx_span s) {
    const unsigned char *p = (const unsigned char *)(s.len ? s.data : "");
    const unsigned char *end = p + s.len;
    nx_buf_append_char(out, '"');
    while (p < end && !out->failed) {
        const unsigned char *plain = nx_json_skip_plain(p, end);
        append_plain(out, p, (size_t)(plain - p));
        p = plain;
        if (p < end && *p < 0x80)
            append_ascii_escape(out, *p++);
        while (p < end && *p >= 0x80 && !out->failed)
            p = append_multibyte(out, p, (size_t)(end - p));
    }
    return nx_buf_append_char(out, '"');
}

int nx_json_append_comma(struct nx_buf *out) {
    if (out->len == 0 || out->data[out->len - 1] == '{' || out->data[out->len - 1] == '[')
        return out->failed;
    return nx_buf_append_char(out, ',');
}

int nx_json_append_key(struct nx_buf *out, const char *key) {
    nx_json_append_comma(out);
    nx_json_append_string(out, nx_span_str(key));
    return nx_buf_append_char(out, ':');
}
