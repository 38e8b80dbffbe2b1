// SPDX-License-Identifier: Apache-2.0
// Idempotency-Key: the first result of a trigger, again for whoever repeats the request.
//
// A key belongs to one panel, tool and subject. Its first request runs; the same key with the same
// body gets that run's result for NX_IDEMPOTENCY_MS after its end, or waits for it; with another
// body it is refused. What did not begin to run is not remembered. A panel's keys go with it.
#ifndef NX_KERNEL_HTTP_REPLAY_H
#define NX_KERNEL_HTTP_REPLAY_H

#include "kernel/http_conn.h"

// The keys of one server, none yet. Observes its runtime. On success *out is freed by
// nx_replays_free, after the runtime. Errors: NX_E_NOMEM, NX_E_LIMIT.
int nx_replays_new(struct nx_replays **out, struct nx_http *http, struct nx_error *err);
void nx_replays_free(struct nx_replays *all); // NULL is fine

// Answers a trigger that comes with a key, now or later.
void nx_replay_trigger(const struct nx_http_request *request, struct nx_panel *panel,
                       const struct nx_trigger_request *trigger);

// The connection no longer waits for a result. Harmless if it does not.
void nx_replay_forget(struct nx_http_conn *conn);

// Forgets what is over; to be called now and then.
void nx_replays_expire(struct nx_replays *all);

#endif
