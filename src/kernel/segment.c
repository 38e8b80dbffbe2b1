// SPDX-License-Identifier: Apache-2.0
// What a finished segment leads to. The order is the point: count, commit, tell the observers, then
// end or park the trigger, then give the turn on.
#include "kernel/core.h"
#include "kernel/snippet.h"

// What a segment cost, and what it was refused.
static void tally(struct nx_trigger *t, const struct nx_segment *segment) {
    struct nx_runtime *rt = t->panel->rt;
    struct nx_result *result = &t->result;
    nx_share_charge(t->panel, t->handler, segment->run_us);
    result->metrics.segments++;
    result->metrics.duration_us += segment->run_us;
    result->metrics.memory_used_bytes = segment->memory_used_bytes;
    if (segment->memory_peak_bytes > result->metrics.memory_peak_bytes)
        result->metrics.memory_peak_bytes = segment->memory_peak_bytes;
    for (int i = 0; i < NX_HOST_CALL_COUNT; i++) {
        result->metrics.host_calls[i] += segment->host_calls[i];
        rt->totals.host_calls[i] += segment->host_calls[i];
    }
    if (segment->denial_count == 0)
        return;
    struct nx_run_info info = nx_trigger_info(t);
    for (size_t i = 0; i < segment->denial_count; i++) {
        rt->totals.denials[segment->denials[i].kind]++;
        NX_OBSERVE(rt, on_denied, &info, &segment->denials[i]);
    }
}

static void tell_logs(struct nx_trigger *t, const struct nx_segment *segment) {
    if (segment->log_count == 0)
        return;
    struct nx_run_info info = nx_trigger_info(t);
    for (size_t i = 0; i < segment->log_count; i++)
        NX_OBSERVE(t->panel->rt, on_log, &info, &segment->logs[i]);
}

// Invariant 2 of runtime.h hangs on this: nothing is told to anybody before the store took it all.
static int commit(struct nx_trigger *t, const struct nx_segment *segment, struct nx_error *err) {
    struct nx_panel *panel = t->panel;
    struct nx_runtime *rt = panel->rt;
    nx_reactions_before(panel, segment);
    if (segment->mutation_count) {
        int rc = nx_store_commit(panel->state, segment->mutations, segment->mutation_count,
                                 rt->config.limits.max_state_bytes, err);
        if (rc)
            return rc;
        NX_OBSERVE(rt, on_commit, panel, nx_store_version(panel->state), segment->mutations,
                   segment->mutation_count);
    }
    for (size_t i = 0; i < segment->event_count; i++)
        NX_OBSERVE(rt, on_event, panel, &segment->events[i]);
    for (size_t i = 0; i < segment->view_count; i++)
        NX_OBSERVE(rt, on_view, panel, &segment->views[i]);
    nx_reactions_after(t, segment);
    return 0;
}

// What a suspended segment adds to what is kept: what it did, and its calls.
static size_t held_bytes(const struct nx_segment *segment, const struct nx_gather *step) {
    size_t bytes = nx_gather_bytes(step);
    for (size_t i = 0; i < segment->call_count; i++)
        bytes += nx_suspend_call_bytes(&segment->calls[i]);
    return bytes;
}

// The same for an execution whose result gathers several segments. What can fail about that comes
// first: a segment whose caller could not be told of it is not committed.
static int commit_gathered(struct nx_trigger *t, const struct nx_segment *segment,
                           struct nx_error *err) {
    struct nx_gather *step;
    if (!t->gather && segment->status == NX_SEGMENT_DONE)
        return commit(t, segment, err);
    int rc = nx_gather_prepare(&t->gather, segment, &step);
    if (rc == NX_E_LIMIT)
        return nx_error_set(err, rc, "the result of all segments together is too large");
    if (rc)
        return nx_error_set(err, rc, "out of memory");
    size_t bytes = segment->status == NX_SEGMENT_SUSPENDED ? held_bytes(segment, step) : 0;
    rc = nx_suspend_hold(t, bytes, err);
    if (rc == 0 && (rc = commit(t, segment, err)))
        nx_suspend_let_go(t, bytes);
    if (rc) {
        nx_gather_free(step);
        return rc;
    }
    size_t before = nx_gather_bytes(t->gather) + nx_gather_bytes(step);
    nx_gather_merge(t->gather, step);
    if (bytes) // of a key written again only the last value is kept
        nx_suspend_let_go(t, before - nx_gather_bytes(t->gather));
    return 0;
}

static enum nx_result_code refusal_code(int rc) {
    switch (rc) {
    case NX_E_LIMIT:
        return NX_RESULT_RESOURCE_LIMIT;
    case NX_E_NOMEM:
        return NX_RESULT_OVERLOADED;
    default:
        return NX_RESULT_INTERNAL_ERROR;
    }
}

// Ends with what was gathered from earlier segments plus this one's logs. Without room for these
// they are left out: the error itself matters more.
static void end_with_error(struct nx_trigger *t, const struct nx_segment *segment,
                           enum nx_result_code code, struct nx_span message) {
    struct nx_result *result = &t->result;
    if (segment->log_count)
        (void)nx_gather_add_logs(&t->gather, segment->logs, segment->log_count);
    nx_gather_view(t->gather, result);
    result->status = NX_EXEC_ERROR;
    result->error.code = code;
    result->error.message = message;
    nx_trigger_end(t);
}

static void end_failed(struct nx_trigger *t, const struct nx_segment *segment) {
    struct nx_snippet snippet;
    struct nx_result *result = &t->result;
    const struct nx_handler_def *def = t->handler->def;
    result->error.stack = segment->error.stack;
    result->error.capability = segment->error.capability;
    result->error.line = segment->error.line;
    result->error.column = segment->error.column;
    uint32_t first_line = def->pos.line ? def->pos.line : 1; // JSON panels have no positions
    if (segment->error.line >= first_line) {
        nx_snippet_cut(&snippet, nx_span_of(def->code, def->code_len),
                       segment->error.line - first_line + 1);
        result->error.snippet = nx_span_of(snippet.code, snippet.len);
        result->error.highlight_line = snippet.highlight_line;
    }
    end_with_error(t, segment, segment->error.code, segment->error.message);
}

static void end_done(struct nx_trigger *t, const struct nx_segment *segment) {
    struct nx_result *result = &t->result;
    if (t->gather) {
        nx_gather_view(t->gather, result);
    } else {
        result->mutations = segment->mutations;
        result->mutation_count = segment->mutation_count;
        result->events = segment->events;
        result->event_count = segment->event_count;
        result->views = segment->views;
        result->view_count = segment->view_count;
        result->logs = segment->logs;
        result->log_count = segment->log_count;
    }
    result->status = NX_EXEC_SUCCESS;
    result->return_json = segment->return_json;
    nx_trigger_end(t);
}

// Every call not yet answered, also those of earlier segments.
static size_t list_calls(const struct nx_trigger *t, struct nx_ext_call *out) {
    size_t count = 0;
    const struct nx_call *call;
    TAILQ_FOREACH(call, &t->answers, link) {
        if (count < NX_MAX_OUTSTANDING_CALLS)
            out[count++] = call->call;
    }
    TAILQ_FOREACH(call, &t->calls, link) {
        if (count < NX_MAX_OUTSTANDING_CALLS)
            out[count++] = call->call;
    }
    return count;
}

static void suspend(struct nx_trigger *t, const struct nx_segment *segment) {
    struct nx_ext_call calls[NX_MAX_OUTSTANDING_CALLS];
    struct nx_result *result = &t->result;
    if (t->panel->phase == NX_PANEL_CLOSING && t->handler != t->panel->unmount) {
        nx_trigger_fail(t, NX_RESULT_CANCELLED, nx_span_str("the panel is closed"));
        return;
    }
    int rc = nx_suspend(t, segment);
    if (rc) {
        nx_trigger_fail(t, NX_RESULT_OVERLOADED, nx_span_str("out of memory"));
        return;
    }
    t->panel->rt->totals.executions[NX_EXEC_SUSPENDED]++;
    if (!t->fn)
        return;
    nx_gather_view(t->gather, result);
    result->status = NX_EXEC_SUSPENDED;
    result->suspension.id = t->suspension_id;
    result->suspension.calls = calls;
    result->suspension.call_count = list_calls(t, calls);
    t->fn(t->user, t, result); // may cancel: `t` may be gone
}

void nx_segment_done(void *user, struct nx_execution *execution, const struct nx_segment *segment) {
    struct nx_trigger *t = user;
    struct nx_panel *panel = t->panel;
    struct nx_error err = {0};
    if (segment->status == NX_SEGMENT_NOT_RUN) {
        nx_turn_not_run(t);
        return;
    }
    if (t->phase == NX_TRIGGER_SUSPENDED || t->phase == NX_TRIGGER_READY) {
        // Its worker is lost, and the turn is not its own: somebody else may have it.
        t->execution = NULL;
        nx_trigger_fail(t, segment->error.code, segment->error.message);
        nx_turn_give(panel);
        return;
    }
    if (segment->status != NX_SEGMENT_DONE)
        nx_turn_break_chain(panel, NULL);
    panel->running = NULL;
    t->arrival = 0; // its next turn is another
    // A suspended execution stays ours until it is resumed or cancelled; an ended one is gone.
    t->execution = segment->status == NX_SEGMENT_SUSPENDED ? execution : NULL;
    tally(t, segment);
    tell_logs(t, segment);
    if (segment->status == NX_SEGMENT_ERROR) {
        end_failed(t, segment);
    } else {
        int rc = commit_gathered(t, segment, &err);
        if (rc) // those behind began with what was not taken
            nx_turn_break_chain(panel, NULL);
        if (rc)
            end_with_error(t, segment, refusal_code(rc), nx_span_str(err.message));
        else if (segment->status == NX_SEGMENT_DONE)
            end_done(t, segment);
        else
            suspend(t, segment);
    }
    nx_turn_give_after(panel);
}
