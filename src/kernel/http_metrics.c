// SPDX-License-Identifier: Apache-2.0
// GET /metrics.
#include "kernel/http_conn.h"
#include "kernel/ws.h"

void nx_http_metrics(const struct nx_http_request *request) {
    struct nx_http *http = request->conn->http;
    struct nx_metrics_server server;
    nx_ws_figures(http->ws, &server.ws_clients, &server.ws_dropped);
    nx_metrics_render(http->config.metrics, &server, nx_http_body(http));
    nx_http_send(request->conn, &(struct nx_http_reply){
                                    .status = 200,
                                    .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                });
}
