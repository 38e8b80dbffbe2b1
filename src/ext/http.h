// SPDX-License-Identifier: Apache-2.0
// The `http` extension: outgoing requests of handlers.
//
//   $ext.http.get(url, options?)   also head, delete, options
//   $ext.http.post(url, body?, options?)   also put, patch
//   $ext.http.request({method, url, headers?, body?, timeoutMs?, followRedirects?})
//
// Options are {headers, timeoutMs, followRedirects}, for delete and options also `body`; others are
// refused. A body that is a string is sent as it is, anything else as JSON. The result is {status,
// statusText, headers, data, ok}: header names in lower case, repeated ones joined by ", " except
// set-cookie, which is an array; `data` is the parsed body if the content type is JSON and the body
// is valid, else the body as text (UTF-8; other bytes appear as U+FFFD). Any status is a result;
// only a call without a complete answer is an error.
//
// What holds for every hop of every call:
//   1. The scheme is http or https (TLS 1.2 or later, certificate verified), the URL holds no
//      credentials, and its host is in `allowed_domains`.
//   2. The address of the socket, before it connects and again before the request is sent, passes
//      nx_egress_judge.
//   3. No proxy, netrc, cookie jar or authentication comes from anywhere but the handler's headers.
//   4. Redirects (at most NX_MAX_HTTP_EXT_REDIRECTS) start at 1 again; none leads from https to
//      http; Authorization and Cookie do not follow to another scheme, host or port.
#ifndef NX_EXT_HTTP_H
#define NX_EXT_HTTP_H

#include <stdint.h>

#include "base/error.h"

struct nx_ext_registry;

// Strings are copied by nx_ext_register_http.
struct nx_ext_http_config {
    // HTTP_ALLOWED_DOMAINS, see nx_domains_parse; `*` stands for any public address. NULL: no http
    // extension.
    const char *allowed_domains;
    // HTTP_EXT_ALLOW_ADDRESSES, see nx_egress_parse: services on the inside that may be connected
    // to although their address is not public, each by its exact address and port. Their host still
    // has to be in allowed_domains. NULL: none. There is no switch that allows more.
    const char *allow_addresses;
    // HTTP_CA_FILE: PEM file of the authorities that are trusted instead of the system's. NULL:
    // those of the system.
    const char *ca_file;
    const char *user_agent;   // HTTP_USER_AGENT; NULL: none is sent
    uint32_t max_concurrent;  // HTTP_MAX_CONCURRENT, per panel; see NX_HTTP_EXT_PANELS_FACTOR
    uint32_t timeout_ms;      // HTTP_TIMEOUT, a call's whole time
    uint32_t max_response_kb; // HTTP_MAX_RESPONSE_KB, of a body, decompressed
};

// The defaults of API and limits.h, off.
void nx_ext_http_config_default(struct nx_ext_http_config *config);

// Adds `http` to the registry, or does nothing if allowed_domains is NULL. Errors: those of
// nx_domains_parse and nx_egress_parse, NX_E_INVALID for another setting, NX_E_NOMEM, NX_E_IO, and
// those of nx_ext_register.
int nx_ext_register_http(struct nx_ext_registry *registry, const struct nx_ext_http_config *config,
                         struct nx_error *err);

// Checks the texts in `config` without making anything; for a list of all bad settings. Each
// returns what nx_ext_register_http would.
int nx_ext_http_check_domains(const struct nx_ext_http_config *config, struct nx_error *err);
int nx_ext_http_check_addresses(const struct nx_ext_http_config *config, struct nx_error *err);
int nx_ext_http_check_user_agent(const struct nx_ext_http_config *config, struct nx_error *err);
int nx_ext_http_check_ca_file(const struct nx_ext_http_config *config, struct nx_error *err);

#endif
