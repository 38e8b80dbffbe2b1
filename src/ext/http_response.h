// SPDX-License-Identifier: Apache-2.0
// A response as it arrives, and as the handler gets it.
#ifndef NX_EXT_HTTP_RESPONSE_H
#define NX_EXT_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/limits.h"

struct nx_ext_http_response {
    struct nx_buf head; // names in lower case and values, one after the other
    struct nx_buf body;
    struct nx_buf status_text;
    size_t head_bytes; // received, those of interim responses included
    size_t header_count;
    bool encoded; // some header named a compression
    struct {
        size_t name, name_len, value, value_len; // in `head`
    } headers[NX_MAX_HTTP_EXT_HEADERS];
};

void nx_ext_http_response_init(struct nx_ext_http_response *response, size_t max_body_bytes);
void nx_ext_http_response_free(struct nx_ext_http_response *response);

// Forgets everything, for the next hop.
void nx_ext_http_response_reset(struct nx_ext_http_response *response);

// Takes one line of the head with its line end. A status line starts anew: what came before it was
// an interim response. Returns NULL, or as static text why the response is refused: over a limit,
// no memory, or compressed in another way than was asked for. What is compressed several times over
// could keep the library busy for minutes with data that never arrives here to be counted.
const char *nx_ext_http_response_line(struct nx_ext_http_response *response, const char *data,
                                      size_t len);

// Appends the result that http.h describes. 0 or out->failed.
int nx_ext_http_response_render(const struct nx_ext_http_response *response, long status,
                                struct nx_buf *out);

#endif
