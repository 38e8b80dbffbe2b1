// SPDX-License-Identifier: Apache-2.0
// GET /openapi.yaml: docs/openapi.yaml as it was when this was built.
#include "kernel/http_conn.h"

// The assembler copies the file in; src/kernel/CMakeLists.txt says where it is.
__asm__(".pushsection .rodata\n"
        "nx_openapi_begin: .incbin \"" NX_OPENAPI_FILE "\"\n"
        "nx_openapi_end:\n"
        ".popsection\n");
extern const char nx_openapi_begin[], nx_openapi_end[];

void nx_http_openapi(const struct nx_http_request *request) {
    struct nx_http_conn *conn = request->conn;
    // cppcheck-suppress comparePointers  ; both are marks in one section
    nx_buf_append(nx_http_body(conn->http), nx_openapi_begin,
                  (size_t)(nx_openapi_end - nx_openapi_begin));
    nx_http_send(conn, &(struct nx_http_reply){.status = 200, .content_type = "application/yaml"});
}
