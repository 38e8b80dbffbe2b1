// SPDX-License-Identifier: Apache-2.0
// Which addresses may be connected to on behalf of handlers: one predicate on the address of the
// socket, whatever name, spelling or redirect led to it. Pure functions.
#ifndef NX_EXT_EGRESS_H
#define NX_EXT_EGRESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/limits.h"

// Why `address` (`len` bytes) may not be connected to, as static text that completes "the address
// is …"; NULL if it is a public unicast address.
//
// IPv4: everything the IANA registry of special-purpose addresses does not call globally
// reachable, multicast, and 168.63.129.16, a metadata service on a public address.
// IPv6: only 2000::/3, less what the registry sets apart there. Addresses that carry an IPv4
// address (mapped, compatible, NAT64, 6to4, Teredo) are refused whatever they carry: a public IPv4
// address has no need of them. Other families are refused.
const char *nx_egress_refusal(const struct sockaddr *address, socklen_t len);

// Address and port pairs that are allowed although the address is not public.
struct nx_egress_exceptions {
    size_t count;
    struct nx_egress_endpoint {
        int family;
        uint16_t port;     // host byte order
        uint8_t bytes[16]; // of the address, network byte order; IPv4 uses the first 4
    } items[NX_MAX_EGRESS_EXCEPTIONS];
};

// Reads a comma-separated list of `1.2.3.4:80` and `[fd00::1]:80`; white space around items is
// fine, NULL is an empty list. Each item names one address and one port (1 to 65535): there is no
// way to write a range. Errors: NX_E_INVALID with the item, NX_E_LIMIT.
int nx_egress_parse(struct nx_egress_exceptions *out, const char *list, struct nx_error *err);

// nx_egress_refusal, or NULL if `address` with its port is among `exceptions` (same family, address
// and port; an IPv4 address inside an IPv6 one is not the same).
const char *nx_egress_judge(const struct nx_egress_exceptions *exceptions,
                            const struct sockaddr *address, socklen_t len);

// The same for an address given as text, as inet_ntop writes it. Text that is no address is
// refused.
const char *nx_egress_judge_text(const struct nx_egress_exceptions *exceptions, const char *address,
                                 uint16_t port);

#endif
