// SPDX-License-Identifier: Apache-2.0
#include "kernel/auth_json.h"

#include "base/json.h"

int nx_auth_json_object(struct nx_span text, json_t **out, struct nx_error *err) {
    enum nx_json_kind kind;
    json_error_t fault;
    // First the scanner, which never recurses: jansson does, once for each level.
    int rc = nx_json_scan(text, &kind, err);
    if (rc)
        return rc;
    if (kind != NX_JSON_OBJECT)
        return nx_error_set(err, NX_E_INVALID, "not a JSON object");
    *out = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
    if (*out)
        return 0;
    if (json_error_code(&fault) == json_error_out_of_memory)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    return nx_error_set(err, NX_E_INVALID, "line %d, column %d: %s", fault.line, fault.column,
                        fault.text);
}
