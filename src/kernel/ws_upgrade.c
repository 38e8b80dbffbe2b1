// SPDX-License-Identifier: Apache-2.0
// From a request to a WebSocket: the opening handshake of RFC 6455, section 4.2. Origin, token and
// permission were judged before, with every other request's.
#include <openssl/evp.h>

#include "kernel/ws_session.h"

#define SUBPROTOCOL "nexus.v1"

enum { KEY_CHARS = 24, SHA1_BYTES = 20, ACCEPT_CHARS = 28 };

// Sixteen bytes in base64.
static bool key_valid(struct nx_span key) {
    unsigned char bytes[KEY_CHARS];
    return key.len == KEY_CHARS && key.data[KEY_CHARS - 1] == '=' &&
           key.data[KEY_CHARS - 2] == '=' && key.data[KEY_CHARS - 3] != '=' &&
           EVP_DecodeBlock(bytes, (const unsigned char *)key.data, KEY_CHARS) == 18;
}

static int accept_of(struct nx_span key, char accept[ACCEPT_CHARS + 1]) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // of RFC 6455
    char text[KEY_CHARS + sizeof guid];
    unsigned char hash[SHA1_BYTES];
    memcpy(text, key.data, KEY_CHARS);
    memcpy(text + KEY_CHARS, guid, sizeof guid);
    if (EVP_Digest(text, KEY_CHARS + sizeof guid - 1, hash, NULL, EVP_sha1(), NULL) != 1)
        return NX_E_NOMEM;
    EVP_EncodeBlock((unsigned char *)accept, hash, SHA1_BYTES);
    return 0;
}

// Whether the request asks for a WebSocket at all. False: it was answered.
static bool check_request(const struct nx_http_request *request) {
    const struct nx_span *headers = request->head->headers;
    struct nx_http_conn *conn = request->conn;
    if (!nx_http_list_has(headers[NX_HEADER_UPGRADE], "websocket") ||
        !nx_http_list_has(headers[NX_HEADER_CONNECTION], "upgrade") ||
        !nx_span_eq(headers[NX_HEADER_WS_VERSION], nx_span_str("13")))
        nx_http_fail(conn, 426, "UPGRADE_REQUIRED", "this is a WebSocket, version 13");
    else if (!key_valid(headers[NX_HEADER_WS_KEY]))
        nx_http_fail(conn, 400, "INVALID_REQUEST", "Sec-WebSocket-Key is not 16 bytes in base64");
    else if (request->body.len)
        nx_http_fail(conn, 400, "INVALID_REQUEST", "an upgrade has no body");
    else if (conn->http->draining)
        nx_http_fail(conn, 503, "UNAVAILABLE", "the server is stopping");
    else
        return true;
    return false;
}

static size_t make_reply(const struct nx_http_request *request, const char *accept, char *out,
                         size_t size) {
    const struct nx_http_conn *conn = request->conn;
    bool named = nx_http_list_has(request->head->headers[NX_HEADER_WS_PROTOCOL], SUBPROTOCOL);
    int len = snprintf(out, size,
                       "HTTP/1.1 101 Switching Protocols\r\n"
                       "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: %s\r\n%sX-Request-Id: %.*s\r\n\r\n",
                       accept, named ? "Sec-WebSocket-Protocol: " SUBPROTOCOL "\r\n" : "",
                       (int)conn->request_id_len, conn->request_id);
    return len > 0 && (size_t)len < size ? (size_t)len : 0;
}

void nx_http_upgrade(const struct nx_http_request *request) {
    struct nx_http_conn *conn = request->conn;
    char accept[ACCEPT_CHARS + 1], reply[512];
    if (!check_request(request))
        return;
    struct nx_panel *panel = nx_http_find_panel(request);
    if (!panel)
        return;
    if (accept_of(request->head->headers[NX_HEADER_WS_KEY], accept)) {
        nx_http_fail(conn, 503, "OVERLOADED", "out of memory");
        return;
    }
    size_t len = make_reply(request, accept, reply, sizeof reply);
    conn->ws = nx_ws_open(conn->http->ws, conn, panel, nx_span_of(reply, len));
    if (!conn->ws) {
        nx_http_conn_close(conn);
        return;
    }
    conn->state = NX_CONN_UPGRADED;
    nx_http_answered(conn, 101);
}

// POST /panels/{id}/ws-ticket
void nx_http_ws_ticket(const struct nx_http_request *request) {
    struct nx_http_conn *conn = request->conn;
    struct nx_http *http = conn->http;
    char ticket[NX_WS_TICKET_CHARS + 1];
    if (!nx_http_find_panel(request))
        return;
    if (nx_ws_ticket_issue(http->tickets, conn->identity, request->match->panel_id,
                           uv_now(http->loop), ticket)) {
        nx_http_fail(conn, 503, "OVERLOADED", "too many tickets are out");
        return;
    }
    nx_buf_printf(nx_http_body(http), "{\"ticket\":\"%s\",\"expiresInMs\":%d}", ticket,
                  NX_WS_TICKET_MS);
    nx_http_send(conn, &(struct nx_http_reply){.status = 201});
}
