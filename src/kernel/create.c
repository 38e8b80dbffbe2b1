// SPDX-License-Identifier: Apache-2.0
// From a source to a mounted panel:
//
//   parse -> take the id -> grants -> initial state -> compile -> mount -> visible
//
// The first four happen at once, the rest from the loop. Whatever fails, the creator hears of it
// from the loop.
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/json.h"
#include "kernel/core.h"
#include "kernel/policy.h"
#include "kernel/state_text.h"

struct nx_creation {
    TAILQ_ENTRY(nx_creation) link; // on rt->creations
    struct nx_runtime *rt;
    nx_panel_created_fn *fn;
    void *user;
    struct nx_panel *panel; // NULL until its id is taken, and after a failure
    struct nx_diagnostics diags;
    uint8_t (*ids)[NX_CODE_ID_BYTES]; // owned, during compilation
    struct nx_compile_job *job;
    struct nx_later failed;
    bool skip_mount, calls_only;
    const char *code; // of the failure
    struct nx_error err;
};

static void free_creation(struct nx_creation *c) {
    TAILQ_REMOVE(&c->rt->creations, c, link);
    c->rt->creation_count--;
    nx_diagnostics_free(&c->diags);
    free(c->ids);
    free(c);
}

// ---- Failing

static void tell_failure(struct nx_creation *c) {
    struct nx_runtime *rt = c->rt;
    const struct nx_panel_failure failure = {c->code, c->err.message, &c->diags};
    if (c->panel)
        nx_panel_free(c->panel);
    c->panel = NULL;
    c->fn(c->user, NULL, NULL, &failure);
    free_creation(c);
    nx_runtime_check_drained(rt);
}

static void tell_failure_later(struct nx_later *later) {
    tell_failure((struct nx_creation *)((char *)later - offsetof(struct nx_creation, failed)));
}

static void fail(struct nx_creation *c, const char *code) {
    c->code = code;
    c->failed.run = tell_failure_later;
    nx_later_add(c->rt, &c->failed);
}

static const char *code_for(int rc) {
    switch (rc) {
    case NX_E_EXISTS:
        return "PANEL_EXISTS";
    case NX_E_LIMIT:
        return "RESOURCE_LIMIT";
    case NX_E_INVALID:
        return "INVALID_REQUEST";
    case NX_E_NOMEM:
        return "OVERLOADED";
    default:
        return "INTERNAL_ERROR";
    }
}

// ---- Mounting

static void succeed(struct nx_creation *c, const struct nx_result *mount) {
    struct nx_runtime *rt = c->rt;
    struct nx_panel *panel = c->panel;
    if (rt->finishing) {
        nx_error_set(&c->err, NX_E_CLOSED, "the server is stopping");
        fail(c, "INTERNAL_ERROR");
        return;
    }
    if (nx_panel_activate(panel) || (!c->calls_only && nx_standing_start(panel))) {
        nx_error_set(&c->err, NX_E_NOMEM, "out of memory");
        fail(c, "OVERLOADED");
        return;
    }
    NX_OBSERVE(rt, on_panel_created, panel);
    c->fn(c->user, panel, mount, NULL);
    free_creation(c);
    nx_runtime_check_drained(rt);
}

static void on_mount(void *user, struct nx_trigger *trigger, const struct nx_result *result) {
    (void)trigger;
    if (result->status != NX_EXEC_SUSPENDED)
        succeed(user, result);
}

static void on_compiled(void *user, const char *fault) {
    struct nx_creation *c = user;
    struct nx_panel *panel = c->panel;
    c->job = NULL;
    if (fault) {
        nx_error_set(&c->err, NX_E_BUSY, "%s", fault);
        fail(c, "OVERLOADED");
        return;
    }
    if (c->diags.errors) {
        nx_error_set(&c->err, NX_E_INVALID, "the panel does not compile");
        fail(c, "INVALID_NXML");
        return;
    }
    for (size_t i = 0; i < panel->handler_count; i++)
        memcpy(panel->handlers[i].code_id, c->ids[i], NX_CODE_ID_BYTES);
    if (!panel->mount || c->skip_mount) {
        succeed(c, NULL);
        return;
    }
    if (nx_trigger_internal(panel, panel->mount, on_mount, c, &c->err)) {
        fail(c, "OVERLOADED");
        return;
    }
    nx_turn_give(panel);
}

// ---- Preparing

// `panel-` and 96 random bits: never the same twice, and nobody can guess another's.
static int generate_id(char out[32], struct nx_error *err) {
    uint8_t bytes[12];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return nx_error_errno(err, "getrandom");
    memcpy(out, "panel-", 6);
    for (size_t i = 0; i < sizeof bytes; i++) {
        out[6 + 2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[7 + 2 * i] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[6 + 2 * sizeof bytes] = '\0';
    return 0;
}

static int take_id(struct nx_creation *c, struct nx_span id, struct nx_panel_def *def) {
    char generated[32];
    if (id.len == 0)
        id = nx_span_str(def->id);
    if (id.len == 0) {
        if (generate_id(generated, &c->err))
            return NX_E_IO;
        id = nx_span_str(generated);
    }
    if (!nx_panel_id_valid(id))
        return nx_error_set(&c->err, NX_E_INVALID,
                            "a panel id has 1 to %d letters, digits, '_' or '-'",
                            NX_MAX_PANEL_ID_BYTES);
    return nx_panel_new(c->rt, id, def, &c->panel, &c->err);
}

// Policy ∩ what the creator may grant. `room` holds it where both have a say, and is freed by the
// caller; *out is NULL where neither has.
static int find_ceiling(struct nx_creation *c, const struct nx_panel_request *request,
                        struct nx_cap_set *room, const struct nx_cap_set **out) {
    const struct nx_policy *policy = c->rt->config.policy;
    *out = request->ceiling;
    if (!policy)
        return 0;
    const struct nx_cap_set *most = nx_policy_ceiling(policy, nx_span_str(c->panel->def->kind));
    *out = request->ceiling ? room : most;
    return request->ceiling ? nx_caps_intersect(room, most, request->ceiling, &c->err) : 0;
}

static int set_grants(struct nx_creation *c, const struct nx_panel_request *request) {
    struct nx_panel *panel = c->panel;
    struct nx_cap_set room = {0};
    const struct nx_cap_set *ceiling;
    int rc = find_ceiling(c, request, &room, &ceiling);
    for (size_t i = 0; rc == 0 && i < panel->handler_count; i++) {
        struct nx_handler *handler = &panel->handlers[i];
        rc = nx_grants_effective(c->rt->ext, panel->def,
                                 request->grants ? request->grants : &handler->def->caps, ceiling,
                                 &handler->caps, &c->err);
    }
    nx_caps_free(&room);
    return rc;
}

static int set_state(struct nx_creation *c, struct nx_span more) {
    struct nx_state_text text = {0};
    struct nx_panel *panel = c->panel;
    int rc = nx_state_text_add(&text, nx_span_str(panel->def->initial_state_json), &c->err);
    if (rc == 0 && more.len)
        rc = nx_state_text_add(&text, more, &c->err);
    if (rc == 0)
        rc = nx_store_commit(panel->state, text.mutations, text.count,
                             c->rt->config.limits.max_state_bytes, &c->err);
    nx_state_text_free(&text);
    return rc;
}

static int compile(struct nx_creation *c) {
    struct nx_panel *panel = c->panel;
    c->ids = calloc(panel->handler_count + 1, NX_CODE_ID_BYTES);
    if (!c->ids)
        return nx_error_set(&c->err, NX_E_NOMEM, "out of memory");
    return nx_compile_job_start(&c->job, c->rt, panel->def, &c->diags, c->ids, on_compiled, c,
                                &c->err);
}

static int prepare(struct nx_creation *c, const struct nx_panel_request *request) {
    struct nx_panel_def *def = NULL;
    int rc = nx_panel_def_parse(request->source, &def, &c->diags);
    if (rc) {
        nx_diagnostics_sort(&c->diags);
        return nx_error_set(&c->err, rc, "the panel is not valid");
    }
    rc = take_id(c, request->id, def);
    if (rc) {
        nx_panel_def_free(def);
        return rc;
    }
    rc = set_grants(c, request);
    if (rc == 0)
        rc = set_state(c, request->state_json);
    if (rc == 0)
        rc = compile(c);
    return rc;
}

int nx_runtime_create_panel(struct nx_runtime *rt, const struct nx_panel_request *request,
                            nx_panel_created_fn *fn, void *user, struct nx_error *err) {
    if (rt->stopping)
        return nx_error_set(err, NX_E_CLOSED, "the server is stopping");
    if (rt->creation_count >= NX_MAX_CREATIONS)
        return nx_error_set(err, NX_E_BUSY, "too many panels are being created");
    struct nx_creation *c = calloc(1, sizeof *c);
    if (!c)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    c->rt = rt;
    c->fn = fn;
    c->user = user;
    c->skip_mount = request->skip_mount;
    c->calls_only = request->calls_only;
    TAILQ_INSERT_TAIL(&rt->creations, c, link);
    rt->creation_count++;
    int rc = prepare(c, request);
    if (rc)
        fail(c, c->diags.errors ? "INVALID_NXML" : code_for(rc));
    return 0;
}

void nx_creation_abort_all(struct nx_runtime *rt) {
    struct nx_creation *c;
    while ((c = TAILQ_FIRST(&rt->creations))) {
        nx_compile_job_cancel(c->job);
        nx_later_forget(rt, &c->failed);
        if (!c->code) {
            c->code = "INTERNAL_ERROR";
            nx_error_set(&c->err, NX_E_CLOSED, "the server is stopping");
        }
        tell_failure(c);
    }
}
