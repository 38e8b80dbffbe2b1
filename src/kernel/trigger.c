// SPDX-License-Identifier: Apache-2.0
// Accepting, cancelling and ending triggers. What happens in between: turn.c and segment.c.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "kernel/core.h"

static uint32_t least_timeout(const struct nx_runtime *rt, const struct nx_handler *handler,
                              uint32_t asked_ms) {
    uint32_t ms = rt->config.limits.timeout_ms;
    if (handler->tool && handler->tool->timeout_ms && handler->tool->timeout_ms < ms)
        ms = handler->tool->timeout_ms;
    if (asked_ms && asked_ms < ms)
        ms = asked_ms;
    return ms;
}

// Appends to the trigger's own bytes; returns how many.
static size_t keep(struct nx_trigger *t, size_t at, struct nx_span text) {
    if (text.len)
        memcpy(t->request_id + at, text.data, text.len);
    return text.len;
}

// `request` may be NULL.
static struct nx_trigger *new_trigger(struct nx_panel *panel, struct nx_handler *handler,
                                      const struct nx_trigger_request *request) {
    static const struct nx_trigger_request internal;
    const struct nx_trigger_request *r = request ? request : &internal;
    struct nx_trigger *t =
        calloc(1, sizeof *t + r->request_id.len + r->subject.len + r->traceparent.len);
    if (!t)
        return NULL;
    t->panel = panel;
    t->handler = handler;
    TAILQ_INIT(&t->calls);
    TAILQ_INIT(&t->answers);
    t->request_id_len = keep(t, 0, r->request_id);
    t->subject_len = keep(t, t->request_id_len, r->subject);
    t->traceparent_len = keep(t, t->request_id_len + t->subject_len, r->traceparent);
    panel->trigger_count++;
    panel->rt->trigger_count++;
    return t;
}

static void free_trigger(struct nx_trigger *t) {
    t->panel->trigger_count--;
    t->panel->rt->trigger_count--;
    nx_trigger_drop_cause(t);
    nx_suspend_let_go(t, t->held_bytes);
    nx_gather_free(t->gather);
    free(t->args);
    free(t);
}

static int keep_args(struct nx_trigger *t, struct nx_span args, struct nx_error *err) {
    if (args.len == 0)
        return 0;
    t->args = malloc(args.len);
    if (!t->args)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    memcpy(t->args, args.data, args.len);
    t->args_len = args.len;
    return 0;
}

// Queues the trigger with its own copy of the arguments.
static int wait_in_line(struct nx_trigger *t, struct nx_span args, struct nx_error *err) {
    struct nx_panel *panel = t->panel;
    struct nx_runtime *rt = panel->rt;
    uint64_t all = (uint64_t)rt->config.max_queue * NX_QUEUE_PANELS_FACTOR;
    // What sets itself off has limits of its own.
    if (panel->waiting_count - panel->set_off_waiting >= rt->config.max_queue ||
        rt->waiting_count - rt->set_off_waiting >= all)
        return nx_error_set(err, NX_E_BUSY, "too many triggers are waiting");
    if (panel->waiting_args_bytes + args.len > NX_MAX_PANEL_QUEUED_ARGS_BYTES ||
        rt->waiting_args_bytes + args.len > NX_MAX_QUEUED_ARGS_BYTES)
        return nx_error_set(err, NX_E_BUSY, "too many bytes of arguments are waiting");
    int rc = keep_args(t, args, err);
    if (rc)
        return rc;
    nx_turn_enqueue(t, NX_TRIGGER_WAITING);
    nx_turn_extend(panel);
    return 0;
}

// The arguments to pass on: checked, defaults filled in. Valid until the next call.
static int bind_args(struct nx_runtime *rt, const struct nx_tool_def *tool, struct nx_span given,
                     struct nx_span *args, struct nx_error *err) {
    enum nx_json_kind kind = NX_JSON_OBJECT;
    *args = given.len ? given : nx_span_str("{}");
    if (given.len) {
        int rc = nx_json_scan(given, &kind, err);
        if (rc) {
            nx_error_wrap(err, "arguments");
            return NX_E_INVALID;
        }
    }
    if (kind != NX_JSON_OBJECT)
        return nx_error_set(err, NX_E_INVALID, "arguments must be a JSON object");
    if (!tool->declares_args)
        return 0;
    nx_buf_reset(&rt->args_scratch);
    int rc = nx_tool_bind_args(tool, *args, &rt->args_scratch, err);
    if (rc)
        return rc;
    if (rt->args_scratch.failed)
        return nx_error_set(err, rt->args_scratch.failed, "arguments are too large");
    *args = nx_buf_span(&rt->args_scratch);
    return 0;
}

static int start_or_wait(struct nx_trigger *t, struct nx_span args, struct nx_error *err) {
    struct nx_panel *panel = t->panel;
    if (!nx_turn_is_free(panel))
        return wait_in_line(t, args, err);
    int rc = nx_turn_start(t, args, err);
    if (rc == NX_E_BUSY && panel->starved)
        return wait_in_line(t, args, err);
    return rc;
}

int nx_runtime_trigger(struct nx_panel *panel, const struct nx_trigger_request *request,
                       nx_trigger_fn *fn, void *user, struct nx_trigger **out,
                       struct nx_error *err) {
    struct nx_runtime *rt = panel->rt;
    if (rt->stopping || panel->phase != NX_PANEL_ACTIVE)
        return nx_error_set(err, NX_E_CLOSED,
                            rt->stopping ? "the server is stopping" : "the panel is being deleted");
    const struct nx_tool_def *tool = nx_panel_def_find_tool(panel->def, request->tool);
    if (!tool)
        return nx_error_set(err, NX_E_NOTFOUND, "panel %s has no tool '%.*s'", panel->id,
                            (int)request->tool.len, request->tool.data);
    if (request->request_id.len > NX_MAX_REQUEST_ID_BYTES)
        return nx_error_set(err, NX_E_INVALID, "request id over %d bytes", NX_MAX_REQUEST_ID_BYTES);
    struct nx_span args;
    int rc = bind_args(rt, tool, request->args_json, &args, err);
    if (rc)
        return rc;
    struct nx_handler *handler = nx_panel_tool_handler(panel, tool);
    struct nx_trigger *t = new_trigger(panel, handler, request);
    if (!t)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    t->fn = fn;
    t->user = user;
    t->timeout_ms = least_timeout(rt, handler, request->timeout_ms);
    panel->last_activity_ms = nx_clock_wall_ms();
    rc = start_or_wait(t, args, err);
    if (rc) {
        free_trigger(t);
        return rc;
    }
    if (out)
        *out = t;
    return 0;
}

int nx_trigger_internal(struct nx_panel *panel, struct nx_handler *handler, nx_trigger_fn *fn,
                        void *user, struct nx_error *err) {
    struct nx_trigger *t = new_trigger(panel, handler, NULL);
    if (!t)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    t->fn = fn;
    t->user = user;
    t->timeout_ms = least_timeout(panel->rt, handler, 0);
    nx_turn_enqueue(t, NX_TRIGGER_WAITING);
    return 0;
}

void nx_trigger_drop_cause(struct nx_trigger *t) {
    if (!t->cause)
        return;
    t->panel->cause_bytes -= t->cause->json_len;
    nx_cause_unref(t->panel->rt, t->cause);
    t->cause = NULL;
}

int nx_trigger_standing(struct nx_standing *standing, struct nx_cause *cause, nx_trigger_fn *fn,
                        struct nx_error *err) {
    struct nx_panel *panel = standing->panel;
    struct nx_handler *handler = standing->handler;
    struct nx_span args = {NULL, 0};
    int rc =
        handler->tool->declares_args ? bind_args(panel->rt, handler->tool, args, &args, err) : 0;
    if (rc)
        return rc;
    struct nx_trigger *t = new_trigger(panel, handler, NULL);
    if (!t)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    rc = keep_args(t, args, err);
    if (rc) {
        free_trigger(t);
        return rc;
    }
    t->fn = fn;
    t->user = standing;
    t->timeout_ms = least_timeout(panel->rt, handler, 0);
    t->standing = standing;
    t->depth = cause->depth;
    t->cause = cause;
    cause->refs++;
    panel->cause_bytes += cause->json_len;
    panel->last_activity_ms = nx_clock_wall_ms();
    standing->last = t;
    nx_turn_enqueue(t, NX_TRIGGER_WAITING);
    return 0;
}

// ---- Ending

struct nx_run_info nx_trigger_info(const struct nx_trigger *t) {
    const char *subject = t->request_id + t->request_id_len;
    return (struct nx_run_info){t->panel,
                                t->handler->name,
                                nx_span_of(t->request_id, t->request_id_len),
                                nx_span_of(subject, t->subject_len),
                                nx_span_of(subject + t->subject_len, t->traceparent_len),
                                t->standing ? t->standing->def->kind : NX_TRIGGER_MANUAL};
}

void nx_trigger_end(struct nx_trigger *t) {
    struct nx_runtime *rt = t->panel->rt;
    t->phase = NX_TRIGGER_ENDED;
    nx_cache_forget(&t->compile);
    nx_suspend_release(t);
    if (t->execution)
        nx_share_cancel(t);
    rt->totals.executions[t->result.status]++;
    if (t->result.status == NX_EXEC_ERROR)
        rt->totals.errors[t->result.error.code]++;
    struct nx_run_info info = nx_trigger_info(t);
    NX_OBSERVE(rt, on_finished, &info, &t->result);
    if (t->fn)
        t->fn(t->user, t, &t->result);
    free_trigger(t);
}

static void detach_from_panel(struct nx_trigger *t) {
    struct nx_panel *panel = t->panel;
    switch (t->phase) {
    case NX_TRIGGER_WAITING:
        nx_turn_dequeue(t);
        break;
    case NX_TRIGGER_READY:
        nx_turn_dequeue(t);
        nx_suspend_unpark(t);
        break;
    case NX_TRIGGER_SUSPENDED:
        TAILQ_REMOVE(&panel->suspended, t, link);
        nx_suspend_unpark(t);
        break;
    default:
        nx_turn_leave(t);
    }
}

void nx_trigger_fail(struct nx_trigger *t, enum nx_result_code code, struct nx_span message) {
    detach_from_panel(t);
    t->result.status = NX_EXEC_ERROR;
    t->result.error.code = code;
    t->result.error.message = message;
    nx_gather_view(t->gather, &t->result);
    nx_trigger_end(t);
}

void nx_trigger_cancel(struct nx_trigger *t) {
    struct nx_panel *panel = t->panel;
    if (t->phase == NX_TRIGGER_ENDED)
        return;
    nx_trigger_fail(t, NX_RESULT_CANCELLED, nx_span_str("the execution was cancelled"));
    nx_turn_give(panel);
}

void nx_trigger_detach(struct nx_trigger *t) {
    t->fn = NULL;
    t->user = NULL;
}

struct nx_panel *nx_trigger_panel(const struct nx_trigger *t) {
    return t->panel;
}

const struct nx_tool_def *nx_trigger_tool(const struct nx_trigger *t) {
    return t->handler->tool;
}
