// SPDX-License-Identifier: Apache-2.0
// Tokens as text. Nothing here knows a key.
#include "kernel/auth_jose.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "kernel/auth_json.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// ---- Encoding

// The six bits a character stands for, or -1.
static int sextet(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int nx_jose_decode(struct nx_span encoded, struct nx_buf *out, struct nx_error *err) {
    unsigned bits = 0, have = 0;
    for (size_t i = 0; i < encoded.len; i++) {
        int value = sextet(encoded.data[i]);
        if (value < 0)
            return nx_error_set(err, NX_E_INVALID, "the token is not base64url");
        bits = (bits << 6 | (unsigned)value) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            nx_buf_append_char(out, (char)(unsigned char)(bits >> have));
        }
    }
    // A single character left over stands for nothing; bits left over would be a second spelling of
    // the same bytes.
    if (encoded.len % 4 == 1 || (bits & ((1u << have) - 1)))
        return nx_error_set(err, NX_E_INVALID, "the token is not canonical base64url");
    return out->failed ? nx_error_set(err, out->failed, "out of memory") : 0;
}

int nx_jose_encode(struct nx_span data, struct nx_buf *out) {
    unsigned bits = 0, have = 0;
    for (size_t i = 0; i < data.len; i++) {
        bits = (bits << 8 | (unsigned char)data.data[i]) & 0xffff;
        for (have += 8; have >= 6; have -= 6)
            nx_buf_append_char(out, alphabet[bits >> (have - 6) & 63]);
    }
    if (have)
        nx_buf_append_char(out, alphabet[bits << (6 - have) & 63]);
    return out->failed;
}

// ---- Parts

static bool take_part(struct nx_span *rest, struct nx_span *part) {
    const char *dot = rest->len ? memchr(rest->data, '.', rest->len) : NULL;
    if (!dot)
        return false;
    *part = nx_span_of(rest->data, (size_t)(dot - rest->data));
    *rest = nx_span_of(dot + 1, rest->len - part->len - 1);
    return true;
}

int nx_jose_split(struct nx_span token, struct nx_jose *out, struct nx_error *err) {
    if (token.len == 0 || token.len > NX_MAX_TOKEN_BYTES)
        return nx_error_set(err, NX_E_LIMIT, "a token has 1 to %d bytes", NX_MAX_TOKEN_BYTES);
    struct nx_span rest = token;
    if (!take_part(&rest, &out->header) || !take_part(&rest, &out->payload) ||
        memchr(rest.data, '.', rest.len))
        return nx_error_set(err, NX_E_INVALID, "a token has three parts");
    out->signature = rest;
    out->signed_part = nx_span_of(token.data, out->header.len + 1 + out->payload.len);
    if (out->header.len == 0 || out->payload.len == 0 || out->signature.len == 0)
        return nx_error_set(err, NX_E_INVALID, "a part of the token is empty");
    return 0;
}

// ---- Header

// An identifier of a key, as issuers make them: nothing that could be taken for a path upwards, a
// quote, or a command, even though nobody here looks anything up by it.
static bool key_name_acceptable(const json_t *value) {
    size_t len = json_string_length(value);
    const char *text = json_string_value(value);
    if (!text || len == 0 || len > NX_MAX_TOKEN_KID_BYTES || strstr(text, ".."))
        return false;
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "-_.~+/=:@";
    return strspn(text, allowed) == len;
}

static int check_parameter(const char *name, const json_t *value, const char *alg,
                           struct nx_error *err) {
    const char *text = json_string_value(value);
    if (strcmp(name, "alg") == 0) {
        if (text && strcmp(text, alg) == 0)
            return 0;
        return nx_error_set(err, NX_E_INVALID, "the token's algorithm is not %s", alg);
    }
    if (strcmp(name, "typ") == 0) {
        if (text && (strcasecmp(text, "JWT") == 0 || strcasecmp(text, "at+jwt") == 0))
            return 0;
        return nx_error_set(err, NX_E_INVALID, "the token's type is not JWT");
    }
    bool names_key =
        strcmp(name, "kid") == 0 || strcmp(name, "x5t") == 0 || strcmp(name, "x5t#S256") == 0;
    if (names_key && key_name_acceptable(value))
        return 0;
    if (names_key)
        return nx_error_set(err, NX_E_INVALID, "the token's %s is malformed", name);
    return nx_error_set(err, NX_E_INVALID, "the token's header holds more than this server takes");
}

int nx_jose_check_header(struct nx_span json, const char *alg, struct nx_error *err) {
    json_t *header = NULL;
    int rc = nx_auth_json_object(json, &header, NULL);
    if (rc)
        return nx_error_set(err, rc, "the token's header is not a JSON object without duplicates");
    if (!json_object_get(header, "alg"))
        rc = nx_error_set(err, NX_E_INVALID, "the token names no algorithm");
    const char *name;
    json_t *value;
    json_object_foreach(header, name, value) {
        if (rc == 0)
            rc = check_parameter(name, value, alg, err);
    }
    json_decref(header);
    return rc;
}
