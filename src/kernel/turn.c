// SPDX-License-Identifier: Apache-2.0
// The turn of a panel: one segment at a time, in order of arrival. A trigger arrives when it is
// made, and again each time an answer makes it ready to go on.
//
// One exception to the order: a new trigger that cannot start because instances are short lets a
// ready one pass, or the two could wait for each other for ever.
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "kernel/core.h"

void nx_turn_enqueue(struct nx_trigger *t, enum nx_trigger_phase phase) {
    struct nx_panel *panel = t->panel;
    bool is_new = phase == NX_TRIGGER_WAITING;
    struct nx_trigger_list *list = is_new ? &panel->waiting : &panel->ready;
    if (t->arrival == 0)
        t->arrival = ++panel->rt->arrivals;
    t->phase = phase;
    struct nx_trigger *first = TAILQ_FIRST(list);
    if (first && t->arrival < first->arrival)
        TAILQ_INSERT_HEAD(list, t, link); // it had its turn and could not use it
    else
        TAILQ_INSERT_TAIL(list, t, link);
    if (!is_new)
        return;
    panel->waiting_count++;
    panel->waiting_args_bytes += t->args_len;
    panel->rt->waiting_count++;
    panel->rt->waiting_args_bytes += t->args_len;
    panel->set_off_waiting += t->standing != NULL;
    panel->rt->set_off_waiting += t->standing != NULL;
}

void nx_turn_dequeue(struct nx_trigger *t) {
    struct nx_panel *panel = t->panel;
    if (t->phase == NX_TRIGGER_READY) {
        TAILQ_REMOVE(&panel->ready, t, link);
        t->arrival = 0; // the next answer arrives anew
        return;
    }
    TAILQ_REMOVE(&panel->waiting, t, link);
    panel->waiting_count--;
    panel->waiting_args_bytes -= t->args_len;
    panel->rt->waiting_count--;
    panel->rt->waiting_args_bytes -= t->args_len;
    panel->set_off_waiting -= t->standing != NULL;
    panel->rt->set_off_waiting -= t->standing != NULL;
}

// Whether the panel may have one more execution: its sleepers must leave room for other panels.
static bool instance_allowed(const struct nx_panel *panel) {
    uint32_t share = panel->rt->config.sandbox.max_instances / NX_PANEL_INSTANCE_SHARE;
    if (share < NX_MIN_PANEL_INSTANCES)
        share = NX_MIN_PANEL_INSTANCES;
    return panel->parked_count < share;
}

bool nx_turn_is_free(const struct nx_panel *panel) {
    return !panel->running && TAILQ_EMPTY(&panel->chained) && !panel->starved &&
           TAILQ_EMPTY(&panel->waiting) && TAILQ_EMPTY(&panel->ready) && instance_allowed(panel);
}

static void starve(struct nx_panel *panel) {
    if (panel->starved)
        return;
    panel->starved = true;
    TAILQ_INSERT_TAIL(&panel->rt->starved, panel, starved_link);
}

// Whether anything holds an instance and will give it back. Otherwise waiting for one is pointless.
static bool instances_in_use(const struct nx_runtime *rt) {
    struct nx_sandbox_stats stats;
    nx_sandbox_get_stats(rt->sandbox, &stats);
    return stats.running + stats.waiting + stats.suspended > 0;
}

// ---- Starting

static int build_scope(struct nx_trigger *t, struct nx_buf *scope) {
    nx_buf_reset(scope);
    nx_buf_append(scope, t->handler->scope_head, t->handler->scope_head_len);
    if (t->request_id_len) {
        nx_buf_append_str(scope, ",\"requestId\":");
        nx_json_append_string(scope, nx_span_of(t->request_id, t->request_id_len));
    }
    if (t->cause) {
        nx_buf_append_str(scope, ",\"trigger\":");
        nx_buf_append(scope, t->cause->bytes, t->cause->json_len);
    }
    return nx_buf_append_char(scope, '}');
}

// Hands the first segment to the sandbox. `follows`: the trigger before it in the panel's chain.
static int send_first(struct nx_trigger *t, struct nx_code *code, struct nx_span args,
                      const struct nx_trigger *follows, struct nx_error *err) {
    struct nx_panel *panel = t->panel;
    struct nx_runtime *rt = panel->rt;
    if (build_scope(t, &rt->scope_scratch))
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    struct nx_exec_request request = {
        .code = code,
        .caps = &t->handler->caps,
        .limits = rt->config.limits,
        .args_json = args,
        .scope_json = nx_buf_span(&rt->scope_scratch),
        .chain = panel->chain,
        .follows = follows ? follows->execution : NULL,
        .expected_us = t->handler->mean_us,
        .lane = nx_share_lane(panel, t->handler),
    };
    request.limits.timeout_ms = t->timeout_ms;
    request.state = nx_store_entries(panel->state, &request.state_count);
    return nx_sandbox_run(rt->sandbox, &request, nx_segment_done, t, &t->execution, err);
}

// Whether others may follow what starts now. The worker keeps the state for them, which only pays
// where somebody waits.
static bool chain_worthwhile(const struct nx_panel *panel) {
    return !TAILQ_EMPTY(&panel->waiting) &&
           nx_store_bytes(panel->state) <= NX_MAX_CHAIN_STATE_BYTES / 2;
}

static int run_code(struct nx_trigger *t, struct nx_code *code, struct nx_span args,
                    struct nx_error *err) {
    struct nx_panel *panel = t->panel;
    struct nx_runtime *rt = panel->rt;
    panel->chain = 0;
    if (chain_worthwhile(panel))
        panel->chain = ++rt->chains ? rt->chains : ++rt->chains;
    int rc = send_first(t, code, args, NULL, err);
    if (rc == NX_E_BUSY && instances_in_use(rt))
        starve(panel);
    if (rc)
        return rc;
    t->phase = NX_TRIGGER_RUNNING;
    t->arrival = 0;
    panel->running = t;
    nx_trigger_drop_cause(t);
    free(t->args);
    t->args = NULL;
    t->args_len = 0;
    return 0;
}

// What a start that failed from the loop leads to: another try later, or the trigger's end.
static void start_failed(struct nx_trigger *t, int rc, const struct nx_error *err) {
    enum nx_result_code code = NX_RESULT_INTERNAL_ERROR;
    if (rc == NX_E_BUSY && t->panel->starved) {
        nx_turn_enqueue(t, NX_TRIGGER_WAITING);
        return;
    }
    if (rc == NX_E_BUSY || rc == NX_E_NOMEM)
        code = NX_RESULT_OVERLOADED;
    else if (rc == NX_E_LIMIT)
        code = NX_RESULT_RESOURCE_LIMIT;
    t->phase = NX_TRIGGER_RUNNING; // on no list
    nx_trigger_fail(t, code, nx_span_str(err->message));
}

static struct nx_span args_of(const struct nx_trigger *t) {
    return t->args ? nx_span_of(t->args, t->args_len) : nx_span_str("{}");
}

static void on_compiled(void *user, const struct nx_compiled *compiled) {
    struct nx_trigger *t = user;
    struct nx_panel *panel = t->panel;
    struct nx_error err = {0};
    panel->running = NULL;
    t->result.metrics.compile_us = compiled->compile_us;
    t->result.metrics.cache_hit = compiled->cached;
    if (compiled->code != NX_RESULT_NONE) {
        nx_trigger_fail(t, compiled->code, compiled->message);
    } else {
        int rc = run_code(t, compiled->bytecode, args_of(t), &err);
        if (rc)
            start_failed(t, rc, &err);
    }
    nx_turn_give(panel);
}

// The code was pushed out of memory: gets it anew while the trigger keeps the turn.
static int start_compile(struct nx_trigger *t, struct nx_span args, struct nx_error *err) {
    struct nx_panel *panel = t->panel;
    if (!t->args) {
        t->args = malloc(args.len);
        if (!t->args)
            return nx_error_set(err, NX_E_NOMEM, "out of memory");
        memcpy(t->args, args.data, args.len);
        t->args_len = args.len;
    }
    t->compile.fn = on_compiled;
    t->compile.user = t;
    struct nx_cache_source source = nx_handler_source(t->handler->def);
    int rc = nx_cache_compile(panel->rt->cache, &source, t->handler->code_id, &t->compile, err);
    if (rc)
        return rc == NX_E_LIMIT ? NX_E_BUSY : rc; // too many compilations waiting
    t->phase = NX_TRIGGER_COMPILING;
    panel->running = t;
    return 0;
}

int nx_turn_start(struct nx_trigger *t, struct nx_span args, struct nx_error *err) {
    struct nx_code *code;
    if (t->arrival == 0)
        t->arrival = ++t->panel->rt->arrivals;
    t->result.metrics.cache_hit = nx_cache_lookup(t->panel->rt->cache, t->handler->code_id, &code);
    if (!t->result.metrics.cache_hit)
        return start_compile(t, args, err);
    int rc = run_code(t, code, args, err);
    nx_code_unref(code);
    return rc;
}

// ---- Chains

static struct nx_trigger *chain_end(const struct nx_panel *panel) {
    struct nx_trigger *last = TAILQ_LAST(&panel->chained, nx_trigger_list);
    return last ? last : panel->running;
}

// Whether `t`, the first in line, may follow. Nobody is overtaken, and what follows has the grants
// of what went before: the same handler's.
static bool may_follow(const struct nx_panel *panel, const struct nx_trigger *t) {
    const struct nx_trigger *ready = TAILQ_FIRST(&panel->ready), *last = chain_end(panel);
    return panel->chain != 0 && last && last->phase != NX_TRIGGER_COMPILING &&
           last->handler == t->handler && panel->chained_count < NX_MAX_CHAIN - 1 &&
           (panel->chained_count + 2) * t->handler->mean_us <= NX_MAX_CHAIN_US &&
           panel->phase == NX_PANEL_ACTIVE && !panel->starved && instance_allowed(panel) &&
           (!ready || t->arrival < ready->arrival) &&
           nx_store_bytes(panel->state) <= NX_MAX_CHAIN_STATE_BYTES / 2;
}

static int follow(struct nx_trigger *t) {
    struct nx_code *code;
    struct nx_error err = {0};
    if (!nx_cache_lookup(t->panel->rt->cache, t->handler->code_id, &code))
        return NX_E_NOTFOUND;
    t->result.metrics.cache_hit = true;
    int rc = send_first(t, code, args_of(t), chain_end(t->panel), &err);
    nx_code_unref(code);
    return rc;
}

void nx_turn_extend(struct nx_panel *panel) {
    struct nx_trigger *t;
    while (panel->running && (t = TAILQ_FIRST(&panel->waiting)) && may_follow(panel, t)) {
        nx_turn_dequeue(t);
        if (follow(t)) {
            nx_turn_enqueue(t, NX_TRIGGER_WAITING); // its turn comes without a chain
            return;
        }
        t->phase = NX_TRIGGER_CHAINED;
        TAILQ_INSERT_TAIL(&panel->chained, t, link);
        panel->chained_count++;
    }
}

void nx_turn_break_chain(struct nx_panel *panel, const struct nx_trigger *t) {
    struct nx_trigger *last = TAILQ_LAST(&panel->chained, nx_trigger_list);
    while (last && last != t) {
        TAILQ_REMOVE(&panel->chained, last, link);
        panel->chained_count--;
        nx_share_cancel(last);
        nx_turn_enqueue(last, NX_TRIGGER_WAITING);
        last = TAILQ_LAST(&panel->chained, nx_trigger_list);
    }
}

// Takes a RUNNING or CHAINED trigger out of the turn; those behind it wait again.
void nx_turn_leave(struct nx_trigger *t) {
    struct nx_panel *panel = t->panel;
    if (t->phase == NX_TRIGGER_CHAINED) {
        nx_turn_break_chain(panel, t);
        TAILQ_REMOVE(&panel->chained, t, link);
        panel->chained_count--;
    } else if (panel->running == t) {
        nx_turn_break_chain(panel, NULL);
        panel->running = NULL;
    }
}

void nx_turn_not_run(struct nx_trigger *t) {
    nx_turn_leave(t);
    t->execution = NULL;
    nx_turn_enqueue(t, NX_TRIGGER_WAITING);
    nx_turn_give(t->panel);
}

// The next in the chain has the turn.
static void advance(struct nx_panel *panel) {
    struct nx_trigger *t = TAILQ_FIRST(&panel->chained);
    if (panel->running || !t)
        return;
    TAILQ_REMOVE(&panel->chained, t, link);
    panel->chained_count--;
    t->phase = NX_TRIGGER_RUNNING;
    panel->running = t;
}

// ---- Giving the turn

static struct nx_trigger *pick(const struct nx_panel *panel) {
    struct nx_trigger *ready = TAILQ_FIRST(&panel->ready);
    struct nx_trigger *waiting = TAILQ_FIRST(&panel->waiting);
    if (waiting && (panel->starved || !instance_allowed(panel)))
        waiting = NULL;
    if (!ready || !waiting)
        return ready ? ready : waiting;
    return ready->arrival < waiting->arrival ? ready : waiting;
}

static void give(struct nx_panel *panel) {
    struct nx_trigger *t;
    advance(panel);
    while (!panel->running && (t = pick(panel))) {
        bool is_ready = t->phase == NX_TRIGGER_READY;
        nx_turn_dequeue(t);
        if (is_ready) {
            nx_suspend_resume(t);
            continue;
        }
        struct nx_error err = {0};
        int rc = nx_turn_start(t, args_of(t), &err);
        if (rc)
            start_failed(t, rc, &err);
    }
    nx_turn_extend(panel);
}

void nx_turn_give(struct nx_panel *panel) {
    struct nx_runtime *rt = panel->rt;
    give(panel);
    struct nx_panel *hungry;
    while ((hungry = TAILQ_FIRST(&rt->starved))) {
        TAILQ_REMOVE(&rt->starved, hungry, starved_link);
        hungry->starved = false;
        give(hungry);
        if (hungry->starved)
            break;                     // still none free
        nx_panel_check_closed(hungry); // what it waited with may have ended at once
    }
    nx_panel_check_closed(panel);
    nx_runtime_check_drained(rt);
}

static void on_next_turn(struct nx_later *later) {
    nx_turn_give((struct nx_panel *)((char *)later - offsetof(struct nx_panel, next_turn)));
}

void nx_turn_give_after(struct nx_panel *panel) {
    bool waits = !TAILQ_EMPTY(&panel->waiting) || !TAILQ_EMPTY(&panel->ready);
    if (!waits || nx_store_bytes(panel->state) < NX_LARGE_STATE_BYTES) {
        nx_turn_give(panel);
        return;
    }
    panel->next_turn.run = on_next_turn;
    nx_later_add(panel->rt, &panel->next_turn);
}
