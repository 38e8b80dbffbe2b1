// SPDX-License-Identifier: Apache-2.0
// A suspended trigger: its extension calls run at once, its answers are given back one by one, each
// when the panel's turn comes, and it may not sleep longer than the limit.
//
// The limit runs while no answer is there: a trigger that only waits for its panel's turn is not
// to blame.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "kernel/core.h"

// Its memory outlives the trigger until the loop has closed it.
struct nx_suspend_timer {
    uv_timer_t uv;
    struct nx_trigger *trigger;
};

// ---- Parking

static void park(struct nx_trigger *t) {
    struct nx_panel *panel = t->panel;
    t->phase = NX_TRIGGER_SUSPENDED;
    TAILQ_INSERT_TAIL(&panel->suspended, t, link);
    if (panel->parked_count++ == 0)
        panel->rt->panels_parked++;
    panel->rt->suspended_count++;
}

void nx_suspend_unpark(struct nx_trigger *t) {
    struct nx_panel *panel = t->panel;
    if (--panel->parked_count == 0)
        panel->rt->panels_parked--;
    panel->rt->suspended_count--;
}

static void make_ready(struct nx_trigger *t) {
    TAILQ_REMOVE(&t->panel->suspended, t, link);
    if (t->timer)
        uv_timer_stop(&t->timer->uv);
    nx_turn_enqueue(t, NX_TRIGGER_READY);
}

// ---- What is kept meanwhile

int nx_suspend_hold(struct nx_trigger *t, size_t bytes, struct nx_error *err) {
    struct nx_panel *panel = t->panel;
    struct nx_runtime *rt = panel->rt;
    bool little = bytes == 0 || t->held_bytes + bytes <= NX_MIN_HELD_BYTES;
    if (!little && panel->held_bytes + bytes > NX_MAX_PANEL_HELD_BYTES)
        return nx_error_set(err, NX_E_LIMIT,
                            "the panel's suspended executions hold too many bytes: limit of %u",
                            NX_MAX_PANEL_HELD_BYTES);
    if (!little && rt->held_bytes + bytes > NX_MAX_HELD_BYTES)
        return nx_error_set(err, NX_E_NOMEM, "suspended executions hold too many bytes");
    t->held_bytes += bytes;
    panel->held_bytes += bytes;
    rt->held_bytes += bytes;
    return 0;
}

void nx_suspend_let_go(struct nx_trigger *t, size_t bytes) {
    t->held_bytes -= bytes;
    t->panel->held_bytes -= bytes;
    t->panel->rt->held_bytes -= bytes;
}

// ---- The time limit

static void on_timer_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void on_too_long(uv_timer_t *uv) {
    struct nx_suspend_timer *timer = uv->data;
    struct nx_panel *panel = timer->trigger->panel;
    nx_trigger_fail(timer->trigger, NX_RESULT_SUSPENSION_TIMEOUT,
                    nx_span_str("no extension call was answered within the time limit"));
    nx_turn_give(panel);
}

static int start_timer(struct nx_trigger *t) {
    struct nx_runtime *rt = t->panel->rt;
    if (!t->timer) {
        t->timer = malloc(sizeof *t->timer);
        if (!t->timer)
            return NX_E_NOMEM;
        t->timer->trigger = t;
        uv_timer_init(rt->loop, &t->timer->uv);
        t->timer->uv.data = t->timer;
    }
    uv_update_time(rt->loop);
    uv_timer_start(&t->timer->uv, on_too_long, rt->config.suspend_timeout_ms, 0);
    return 0;
}

// ---- Calls and answers

static struct nx_span copy(char **to, struct nx_span from) {
    struct nx_span copied = {*to, from.len};
    if (from.len)
        memcpy(*to, from.data, from.len);
    *to += from.len;
    return copied;
}

size_t nx_suspend_call_bytes(const struct nx_ext_call *call) {
    return call->extension.len + call->method.len + call->args_json.len;
}

static struct nx_call *new_call(struct nx_trigger *t, const struct nx_ext_call *made) {
    size_t len = nx_suspend_call_bytes(made);
    struct nx_call *call = calloc(1, sizeof *call + len);
    if (!call)
        return NULL;
    call->held_bytes = len; // counted with the segment
    char *end = call->bytes;
    call->trigger = t;
    call->call.call_id = made->call_id;
    call->call.extension = copy(&end, made->extension);
    call->call.method = copy(&end, made->method);
    call->call.args_json = copy(&end, made->args_json);
    call->result.call_id = made->call_id;
    TAILQ_INSERT_TAIL(&t->calls, call, link);
    t->call_count++;
    return call;
}

static void free_call(struct nx_call *call) {
    nx_suspend_let_go(call->trigger, call->held_bytes);
    free(call->result_bytes);
    free(call);
}

// Keeps an answer until the handler gets it. If there is no room for its bytes, the handler sees
// that as the call's error.
static void answer(struct nx_call *call, bool ok, struct nx_span json, enum nx_result_code code,
                   struct nx_span message) {
    struct nx_trigger *t = call->trigger;
    call->op = NULL;
    TAILQ_REMOVE(&t->calls, call, link);
    t->call_count--;
    TAILQ_INSERT_TAIL(&t->answers, call, link);
    struct nx_span text = ok ? json : message;
    struct nx_error err = {0};
    if (nx_suspend_hold(t, text.len, &err)) {
        ok = false;
        code = NX_RESULT_RESOURCE_LIMIT;
        text = nx_span_str(err.message);
    } else {
        call->held_bytes += text.len;
    }
    call->result_bytes = malloc(text.len + 1);
    if (!call->result_bytes) {
        ok = false;
        code = NX_RESULT_EXTENSION_ERROR;
        text = (struct nx_span){NULL, 0};
    }
    if (text.len)
        memcpy(call->result_bytes, text.data, text.len);
    call->result.ok = ok;
    call->result.code = ok ? NX_RESULT_NONE : code;
    *(ok ? &call->result.json : &call->result.message) = nx_span_of(call->result_bytes, text.len);
    struct nx_run_info info = nx_trigger_info(t);
    uint64_t us = (nx_clock_monotonic_ns() - call->started_ns) / 1000;
    struct nx_span name =
        nx_grants_extension(t->panel->rt->ext, t->panel->def, call->call.extension);
    NX_OBSERVE(t->panel->rt, on_extension, &info, &call->call, name, call->result.code, us);
}

static void refuse(struct nx_call *call, enum nx_result_code code, const char *message) {
    answer(call, false, (struct nx_span){NULL, 0}, code, nx_span_str(message));
}

// Extensions hand over bytes from outside: what does not scan or fit becomes the call's error.
static void take_answer(struct nx_call *call, const struct nx_ext_result *result) {
    struct nx_error err = {0};
    size_t max_bytes = call->trigger->panel->rt->config.limits.max_value_bytes;
    struct nx_span message = result->message;
    if (message.len > NX_MAX_ERROR_TEXT_BYTES)
        message.len = NX_MAX_ERROR_TEXT_BYTES;
    if (!result->ok)
        answer(call, false, result->json, result->code, message);
    else if (result->json.len > max_bytes)
        refuse(call, NX_RESULT_EXTENSION_ERROR, "the answer is larger than a value may be");
    else if (result->json.len && nx_json_scan(result->json, NULL, &err))
        refuse(call, NX_RESULT_EXTENSION_ERROR, "the answer is not valid JSON");
    else
        answer(call, true, result->json, NX_RESULT_NONE, message);
}

static void on_answer(void *user, const struct nx_ext_result *result) {
    struct nx_call *call = user;
    struct nx_trigger *t = call->trigger;
    struct nx_panel *panel = t->panel;
    take_answer(call, result);
    if (t->phase == NX_TRIGGER_SUSPENDED)
        make_ready(t);
    nx_turn_give(panel);
}

static void start_call(struct nx_call *call) {
    struct nx_trigger *t = call->trigger;
    struct nx_runtime *rt = t->panel->rt;
    struct nx_error err = {0};
    enum nx_result_code code;
    call->started_ns = nx_clock_monotonic_ns();
    if (t->call_count > NX_MAX_OUTSTANDING_CALLS) {
        refuse(call, NX_RESULT_RESOURCE_LIMIT, "too many extension calls at once");
        return;
    }
    // The worker checked this too, but the worker is not to be trusted.
    if (!nx_caps_allow(&t->handler->caps, NX_CAP_EXT, call->call.extension)) {
        refuse(call, NX_RESULT_PERMISSION_DENIED, "the extension is not granted");
        return;
    }
    const struct nx_run_info info = nx_trigger_info(t);
    const struct nx_ext_request request = {
        .extension = nx_grants_extension(rt->ext, t->panel->def, call->call.extension),
        .method = call->call.method,
        .args_json = call->call.args_json,
        .request_id = info.request_id,
        .traceparent = info.traceparent,
        .tenant = nx_span_str(nx_panel_id(t->panel)),
    };
    if (nx_ext_call(rt->ext, &request, on_answer, call, &call->op, &code, &err))
        refuse(call, code, err.message);
}

int nx_suspend(struct nx_trigger *t, const struct nx_segment *segment) {
    t->suspension_id = ++t->panel->rt->suspensions;
    park(t);
    for (size_t i = 0; i < segment->call_count; i++) {
        struct nx_call *call = new_call(t, &segment->calls[i]);
        if (!call)
            return NX_E_NOMEM;
        start_call(call);
    }
    if (TAILQ_EMPTY(&t->answers))
        return start_timer(t);
    make_ready(t);
    return 0;
}

void nx_suspend_resume(struct nx_trigger *t) {
    struct nx_panel *panel = t->panel;
    struct nx_call *call = TAILQ_FIRST(&t->answers);
    struct nx_error err = {0};
    size_t count;
    const struct nx_state_entry *entries = nx_store_entries(panel->state, &count);
    nx_suspend_unpark(t);
    TAILQ_REMOVE(&t->answers, call, link);
    int rc = nx_sandbox_resume(t->execution, &call->result, entries, count, &err);
    free_call(call);
    t->phase = NX_TRIGGER_RUNNING;
    panel->running = t;
    panel->chain = 0;
    if (rc)
        nx_trigger_fail(t, rc == NX_E_LIMIT ? NX_RESULT_RESOURCE_LIMIT : NX_RESULT_INTERNAL_ERROR,
                        nx_span_str(err.message));
}

void nx_suspend_release(struct nx_trigger *t) {
    struct nx_call *call;
    while ((call = TAILQ_FIRST(&t->calls))) {
        TAILQ_REMOVE(&t->calls, call, link);
        nx_ext_cancel(call->op);
        free_call(call);
    }
    while ((call = TAILQ_FIRST(&t->answers))) {
        TAILQ_REMOVE(&t->answers, call, link);
        free_call(call);
    }
    if (t->timer)
        uv_close((uv_handle_t *)&t->timer->uv, on_timer_closed);
    t->timer = NULL;
}
