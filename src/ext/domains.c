// SPDX-License-Identifier: Apache-2.0
// The list is kept as normalised text and searched from its start: it is short, and a call over the
// network follows each search.
#include "ext/domains.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_host_char(char c) {
    c = lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
           c == ':';
}

// `item` without the white space around it.
static struct nx_span trim(struct nx_span item) {
    while (item.len && strchr(" \t", item.data[0])) {
        item.data++;
        item.len--;
    }
    while (item.len && strchr(" \t", item.data[item.len - 1]))
        item.len--;
    return item;
}

static struct nx_span strip_dot(struct nx_span host) {
    if (host.len > 1 && host.data[host.len - 1] == '.')
        host.len--;
    return host;
}

static bool item_valid(struct nx_span item) {
    if (nx_span_eq(item, nx_span_str("*")))
        return true;
    if (nx_span_starts(item, nx_span_str("*.")))
        item = nx_span_of(item.data + 2, item.len - 2);
    item = strip_dot(item);
    if (item.len == 0 || item.len > NX_MAX_HOST_BYTES || item.data[0] == '.' ||
        item.data[item.len - 1] == '.')
        return false;
    // A single colon stands before a port, which has no place here; an IPv6 address has more.
    size_t colons = 0;
    for (size_t i = 0; i < item.len; i++) {
        if (!is_host_char(item.data[i]))
            return false;
        colons += item.data[i] == ':';
    }
    return colons != 1;
}

static char *append(char *to, struct nx_span item) {
    item = strip_dot(item);
    for (size_t i = 0; i < item.len; i++)
        *to++ = lower(item.data[i]);
    return to;
}

int nx_domains_parse(struct nx_domains *out, const char *list, struct nx_error *err) {
    size_t len = strlen(list);
    *out = (struct nx_domains){0};
    if (len > NX_MAX_ALLOWED_DOMAINS_BYTES)
        return nx_error_set(err, NX_E_LIMIT, "over %d bytes", NX_MAX_ALLOWED_DOMAINS_BYTES);
    out->text = malloc(len + 1);
    if (!out->text)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    char *to = out->text;
    for (const char *p = list;;) {
        const char *end = strchrnul(p, ',');
        struct nx_span item = trim(nx_span_of(p, (size_t)(end - p)));
        if (!item_valid(item)) {
            nx_domains_free(out);
            return nx_error_set(err, NX_E_INVALID,
                                "'%.*s' is not a host such as api.example.com, *.example.com or *",
                                (int)(item.len < 80 ? item.len : 80), item.data);
        }
        if (nx_span_eq(item, nx_span_str("*")))
            out->any = true;
        to = append(to, item);
        if (!*end)
            break;
        *to++ = ',';
        p = end + 1;
    }
    *to = '\0';
    return 0;
}

void nx_domains_free(struct nx_domains *domains) {
    free(domains->text);
    *domains = (struct nx_domains){0};
}

// Whether `host` ends with the lower-case `suffix`.
static bool ends_with(struct nx_span host, struct nx_span suffix) {
    if (host.len < suffix.len)
        return false;
    const char *end = host.data + host.len - suffix.len;
    for (size_t i = 0; i < suffix.len; i++)
        if (lower(end[i]) != suffix.data[i])
            return false;
    return true;
}

bool nx_domains_allow(const struct nx_domains *domains, struct nx_span host) {
    host = strip_dot(host);
    if (host.len == 0 || !domains->text)
        return false;
    if (domains->any)
        return true;
    for (const char *p = domains->text;;) {
        const char *end = strchrnul(p, ',');
        struct nx_span item = nx_span_of(p, (size_t)(end - p));
        // "*.example.com" takes what ends with ".example.com" and has something before it.
        if (item.data[0] == '*'
                ? host.len >= item.len && ends_with(host, nx_span_of(p + 1, item.len - 1))
                : host.len == item.len && ends_with(host, item))
            return true;
        if (!*end)
            return false;
        p = end + 1;
    }
}
