// SPDX-License-Identifier: Apache-2.0
// A server that somebody has broken into: nexus, linked so that a trigger whose arguments hold an
// attack (attack.c) runs it as native code in the server's own process, where requests are read.
// All else, the lockdown above all, is the product's. KERNEL_LOCKDOWN=off makes the control of it.
#include "attack.h"
#include "kernel/http_conn.h"

// The linker's names for what replaces a function, and for the function itself.
void owned_trigger(const struct nx_http_request *request) __asm__("__wrap_nx_http_trigger");
void true_trigger(const struct nx_http_request *request) __asm__("__real_nx_http_trigger");

void owned_trigger(const struct nx_http_request *request) {
    const struct nx_http_reply reply = {.status = 200};
    if (attack_perform(request->body, "", nx_http_body(request->conn->http)))
        nx_http_send(request->conn, &reply);
    else
        true_trigger(request);
}
