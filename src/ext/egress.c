// SPDX-License-Identifier: Apache-2.0
// The predicate as two tables of prefixes, and the operator's list of exceptions.
#include "ext/egress.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct prefix {
    uint8_t bytes[16];
    unsigned bits;
    const char *why;
};

// The first match names the reason, so longer prefixes stand before those that contain them.
static const struct prefix refused_v4[] = {
    {{0}, 8, "unspecified"},
    {{10}, 8, "private"},
    {{100, 64}, 10, "shared (carrier-grade NAT)"},
    {{127}, 8, "loopback"},
    {{168, 63, 129, 16}, 32, "a metadata service"},
    {{169, 254}, 16, "link-local"},
    {{172, 16}, 12, "private"},
    {{192, 0, 0}, 24, "reserved"},
    {{192, 0, 2}, 24, "reserved for documentation"},
    {{192, 88, 99}, 24, "a 6to4 relay"},
    {{192, 168}, 16, "private"},
    {{198, 18}, 15, "reserved for benchmarks"},
    {{198, 51, 100}, 24, "reserved for documentation"},
    {{203, 0, 113}, 24, "reserved for documentation"},
    {{224}, 4, "multicast"},
    {{240}, 4, "reserved"},
};

static const struct prefix refused_v6[] = {
    {{0}, 128, "unspecified"},
    {{[15] = 1}, 128, "loopback"},
    {{[10] = 0xff, 0xff}, 96, "an IPv4-mapped one"},
    {{0}, 96, "an IPv4-compatible one"},
    {{0x00, 0x64, 0xff, 0x9b}, 96, "a NAT64 one"},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, "a NAT64 one"},
    {{0x20, 0x01, 0x00, 0x00}, 32, "a Teredo one"},
    {{0x20, 0x01, 0x00, 0x00}, 23, "reserved"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "reserved for documentation"},
    {{0x20, 0x02}, 16, "a 6to4 one"},
    {{0x3f, 0xff}, 20, "reserved for documentation"},
    {{0xfc}, 7, "private"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xfe, 0xc0}, 10, "private"},
    {{0xff}, 8, "multicast"},
};
// All of today's global unicast space; what lies outside is refused without a reason of its own.
static const struct prefix global_v6 = {{0x20}, 3, NULL};

static bool matches(const uint8_t *address, const struct prefix *prefix) {
    unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;
    if (memcmp(address, prefix->bytes, whole) != 0)
        return false;
    return rest == 0 || ((address[whole] ^ prefix->bytes[whole]) >> (8 - rest)) == 0;
}

static const char *find_reason(const uint8_t *address, const struct prefix *table, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (matches(address, &table[i]))
            return table[i].why;
    return NULL;
}

static const char *endpoint_refusal(const struct nx_egress_endpoint *endpoint) {
    if (endpoint->family == AF_INET)
        return find_reason(endpoint->bytes, refused_v4, sizeof refused_v4 / sizeof refused_v4[0]);
    const char *why =
        find_reason(endpoint->bytes, refused_v6, sizeof refused_v6 / sizeof refused_v6[0]);
    return why || matches(endpoint->bytes, &global_v6) ? why : "reserved";
}

// ---- Addresses

static bool from_sockaddr(const struct sockaddr *address, socklen_t len,
                          struct nx_egress_endpoint *out) {
    *out = (struct nx_egress_endpoint){0};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (len >= sizeof v4 && address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        out->port = ntohs(v4.sin_port);
        memcpy(out->bytes, &v4.sin_addr, sizeof v4.sin_addr);
    } else if (len >= sizeof v6 && address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof v6);
        out->port = ntohs(v6.sin6_port);
        memcpy(out->bytes, &v6.sin6_addr, sizeof v6.sin6_addr);
    } else {
        return false;
    }
    out->family = address->sa_family;
    return true;
}

static bool from_text(const char *address, uint16_t port, struct nx_egress_endpoint *out) {
    *out = (struct nx_egress_endpoint){.port = port};
    out->family = strchr(address, ':') ? AF_INET6 : AF_INET;
    return inet_pton(out->family, address, out->bytes) == 1;
}

static const char *judge(const struct nx_egress_exceptions *exceptions,
                         const struct nx_egress_endpoint *endpoint) {
    const char *why = endpoint_refusal(endpoint);
    for (size_t i = 0; why && i < exceptions->count; i++) {
        const struct nx_egress_endpoint *allowed = &exceptions->items[i];
        if (allowed->family == endpoint->family && allowed->port == endpoint->port &&
            memcmp(allowed->bytes, endpoint->bytes, sizeof allowed->bytes) == 0)
            why = NULL;
    }
    return why;
}

static const char not_internet[] = "not an Internet address";

const char *nx_egress_refusal(const struct sockaddr *address, socklen_t len) {
    struct nx_egress_endpoint endpoint;
    return from_sockaddr(address, len, &endpoint) ? endpoint_refusal(&endpoint) : not_internet;
}

const char *nx_egress_judge(const struct nx_egress_exceptions *exceptions,
                            const struct sockaddr *address, socklen_t len) {
    struct nx_egress_endpoint endpoint;
    return from_sockaddr(address, len, &endpoint) ? judge(exceptions, &endpoint) : not_internet;
}

const char *nx_egress_judge_text(const struct nx_egress_exceptions *exceptions, const char *address,
                                 uint16_t port) {
    struct nx_egress_endpoint endpoint;
    return from_text(address, port, &endpoint) ? judge(exceptions, &endpoint) : not_internet;
}

// ---- The list of exceptions

static bool parse_port(const char *text, size_t len, uint16_t *port) {
    uint32_t value = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *port = (uint16_t)value;
    return value >= 1 && value <= 65535;
}

// "address:port" or "[address]:port".
static bool parse_endpoint(const char *text, size_t len, struct nx_egress_endpoint *out) {
    const char *colon = memrchr(text, ':', len);
    char address[INET6_ADDRSTRLEN];
    uint16_t port;
    if (!colon || !parse_port(colon + 1, len - (size_t)(colon - text) - 1, &port))
        return false;
    size_t address_len = (size_t)(colon - text);
    bool brackets = address_len >= 2 && text[0] == '[' && text[address_len - 1] == ']';
    if (brackets) {
        text++;
        address_len -= 2;
    }
    if (address_len >= sizeof address)
        return false;
    memcpy(address, text, address_len);
    address[address_len] = '\0';
    if (!from_text(address, port, out) || (out->family == AF_INET6) != brackets)
        return false;
    // Connecting to "no address" reaches this machine: that is not the exact address it looks like.
    static const uint8_t zero[sizeof out->bytes];
    return memcmp(out->bytes, zero, sizeof zero) != 0;
}

int nx_egress_parse(struct nx_egress_exceptions *out, const char *list, struct nx_error *err) {
    static const char space[] = " \t";
    out->count = 0;
    for (const char *p = list; p && *p;) {
        const char *end = strchrnul(p, ',');
        p += strspn(p, space);
        size_t len = p < end ? (size_t)(end - p) : 0;
        while (len && strchr(space, p[len - 1]))
            len--;
        if (out->count == NX_MAX_EGRESS_EXCEPTIONS)
            return nx_error_set(err, NX_E_LIMIT, "over %d addresses", NX_MAX_EGRESS_EXCEPTIONS);
        if (!parse_endpoint(p, len, &out->items[out->count]))
            return nx_error_set(err, NX_E_INVALID,
                                "'%.*s' is not an address and port such as 10.0.0.1:8080 or "
                                "[fd00::1]:8080",
                                (int)(len < 80 ? len : 80), p);
        out->count++;
        p = *end ? end + 1 : end;
    }
    return 0;
}
