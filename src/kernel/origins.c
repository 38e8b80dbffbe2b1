// SPDX-License-Identifier: Apache-2.0
// A list that is compared byte for byte: browsers send one spelling of each origin, so an entry in
// any other would never match, and is refused with a word about why.
#include "kernel/origins.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"

struct nx_origins {
    bool any; // "*"
    size_t count;
    char *items[NX_MAX_ORIGINS]; // owned
};

void nx_origins_free(struct nx_origins *origins) {
    if (!origins)
        return;
    for (size_t i = 0; i < origins->count; i++)
        free(origins->items[i]);
    free(origins);
}

const char *nx_origins_match(const struct nx_origins *origins, struct nx_span origin) {
    if (!origins || origin.len == 0)
        return NULL;
    if (origins->any)
        return "*";
    for (size_t i = 0; i < origins->count; i++)
        if (nx_span_eq(nx_span_str(origins->items[i]), origin))
            return origins->items[i];
    return NULL;
}

static bool is_one_of(char c, const char *more) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr(more, c));
}

static size_t span_of_class(struct nx_span s, const char *more) {
    size_t len = 0;
    while (len < s.len && is_one_of(s.data[len], more))
        len++;
    return len;
}

static struct nx_span skip(struct nx_span s, size_t len) {
    return nx_span_of(s.data + len, s.len - len);
}

static bool port_valid(struct nx_span port) {
    unsigned value = 0;
    for (size_t i = 0; i < port.len; i++) {
        if (port.data[i] < '0' || port.data[i] > '9' || i == 5)
            return false;
        value = value * 10 + (unsigned)(port.data[i] - '0');
    }
    return port.len > 0 && port.data[0] != '0' && value <= 65535;
}

// What is wrong with one origin; NULL: nothing.
static const char *judge(struct nx_span origin) {
    struct nx_span rest = skip(origin, span_of_class(origin, "+-."));
    size_t scheme = origin.len - rest.len;
    if (nx_span_eq(origin, nx_span_str("*")))
        return "'*' stands alone: it is every origin";
    if (nx_span_eq(origin, nx_span_str("null")))
        return "pages without an origin, of which anybody can make one, are not let in by name";
    if (origin.len > NX_MAX_ORIGIN_BYTES)
        return "longer than any origin";
    if (scheme == 0 || !nx_span_starts(rest, nx_span_str("://")))
        return "must be scheme://host or scheme://host:port, in lower case";
    rest = skip(rest, 3);
    bool bracketed = nx_span_starts(rest, nx_span_str("["));
    if (bracketed)
        rest = skip(rest, 1);
    size_t host = span_of_class(rest, bracketed ? ":" : "-._");
    rest = skip(rest, host);
    if (host == 0 || (bracketed && !nx_span_starts(rest, nx_span_str("]"))))
        return "must be scheme://host or scheme://host:port, in lower case, without wildcards";
    if (bracketed)
        rest = skip(rest, 1);
    if (rest.len == 0)
        return NULL;
    if (rest.data[0] == '/')
        return "an origin has no path, nor a '/' at its end";
    if (rest.data[0] != ':' || !port_valid(skip(rest, 1)))
        return "must be scheme://host or scheme://host:port, in lower case, without wildcards";
    struct nx_span name = nx_span_of(origin.data, scheme);
    bool usual = (nx_span_eq(name, nx_span_str("http")) && nx_span_eq(rest, nx_span_str(":80"))) ||
                 (nx_span_eq(name, nx_span_str("https")) && nx_span_eq(rest, nx_span_str(":443")));
    return usual ? "browsers leave the scheme's usual port out: so must the list" : NULL;
}

static void add(struct nx_origins *origins, struct nx_span origin, struct nx_buf *problems) {
    const char *wrong = judge(origin);
    if (!wrong && origins->count == NX_MAX_ORIGINS)
        wrong = "more origins than a list may have";
    char *copy = wrong ? NULL : strndup(origin.data, origin.len);
    if (copy)
        origins->items[origins->count++] = copy;
    else
        nx_buf_printf(problems, "CORS_ORIGINS: %.*s: %s\n",
                      (int)(origin.len < 80 ? origin.len : 80), origin.data,
                      wrong ? wrong : "out of memory");
}

static struct nx_span trim(struct nx_span s) {
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = skip(s, 1);
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

int nx_origins_parse(struct nx_origins **out, const char *list, struct nx_buf *problems) {
    struct nx_span rest = trim(nx_span_str(list));
    size_t before = problems->len;
    *out = NULL;
    if (rest.len == 0 || nx_span_eq(rest, nx_span_str("none")))
        return 0;
    struct nx_origins *origins = calloc(1, sizeof *origins);
    if (!origins) {
        nx_buf_append_str(problems, "CORS_ORIGINS: out of memory\n");
        return NX_E_INVALID;
    }
    origins->any = nx_span_eq(rest, nx_span_str("*"));
    while (!origins->any && rest.len) {
        const char *comma = memchr(rest.data, ',', rest.len);
        size_t len = comma ? (size_t)(comma - rest.data) : rest.len;
        struct nx_span one = trim(nx_span_of(rest.data, len));
        if (one.len)
            add(origins, one, problems);
        rest = skip(rest, comma ? len + 1 : len);
    }
    if (problems->len != before || problems->failed) {
        nx_origins_free(origins);
        return NX_E_INVALID;
    }
    *out = origins;
    return 0;
}
