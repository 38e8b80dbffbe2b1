// SPDX-License-Identifier: Apache-2.0
// GET /openapi.yaml: docs/openapi.yaml as it was when this was built.
#include "kernel/http_conn.h"

// The assembler copies the file in, and counts it; src/kernel/CMakeLists.txt says where it is.
__asm__(".pushsection .rodata\n"
        "nx_openapi_text: .incbin \"" NX_OPENAPI_FILE "\"\n"
        "nx_openapi_text_end: .balign 8\n"
        "nx_openapi_bytes: .quad nx_openapi_text_end - nx_openapi_text\n"
        ".popsection\n");
extern const char nx_openapi_text[];
extern const uint64_t nx_openapi_bytes;

void nx_http_openapi(const struct nx_http_request *request) {
    struct nx_http_conn *conn = request->conn;
    nx_buf_append(nx_http_body(conn->http), nx_openapi_text, nx_openapi_bytes);
    nx_http_send(conn, &(struct nx_http_reply){.status = 200, .content_type = "application/yaml"});
}
