// SPDX-License-Identifier: Apache-2.0
// POST /panels/{id}/trigger/{tool}: the path that has to be fast. From here on nothing of the HTTP
// layer allocates: arguments are passed on from the read buffer, the result is rendered into the
// reply buffer.
#include "kernel/http_conn.h"
#include "kernel/http_replay.h"

static void send_result(struct nx_http_conn *conn, int status, const struct nx_result *result) {
    struct nx_http_reply reply = {.status = status, .preference_applied = status == 202};
    nx_result_render(nx_http_body(conn->http), result);
    nx_http_send(conn, &reply);
}

static void on_result(void *user, struct nx_trigger *trigger, const struct nx_result *result) {
    struct nx_http_conn *conn = user;
    if (result->status == NX_EXEC_SUSPENDED) {
        if (!conn->respond_async)
            return;
        nx_trigger_detach(trigger);
        conn->trigger = NULL;
        send_result(conn, 202, result);
        return;
    }
    conn->trigger = NULL;
    send_result(conn, 200, result);
}

void nx_http_trigger(const struct nx_http_request *request) {
    struct nx_http_conn *conn = request->conn;
    struct nx_panel *panel = nx_http_find_panel(request);
    if (!panel)
        return;
    struct nx_trigger_request trigger = {
        .tool = request->match->tool,
        .args_json = request->body,
        .request_id = nx_span_of(conn->request_id, conn->request_id_len),
        .subject = nx_span_str(conn->identity ? conn->identity->subject : ""),
        .traceparent = nx_span_of(conn->traceparent, conn->traceparent_len),
    };
    if (request->head->headers[NX_HEADER_IDEMPOTENCY_KEY].data) {
        nx_replay_trigger(request, panel, &trigger);
        return;
    }
    struct nx_error err = {0};
    if (nx_runtime_trigger(panel, &trigger, on_result, conn, &conn->trigger, &err))
        nx_http_fail_error(conn, &err, "TOOL_NOT_FOUND");
}
