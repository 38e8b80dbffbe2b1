// SPDX-License-Identifier: Apache-2.0
// Compiles every handler and Computed expression of a definition, a few at a time, and turns what
// does not compile into findings with positions in the panel's file.
#include <stdlib.h>

#include "kernel/core.h"

// One thing to compile.
struct item {
    struct nx_cache_source source;
    struct nx_pos pos;
    const char *what, *name; // for messages: `tool 'x'`, `lifecycle 'mount'`, `computed 'y'`
};

// A compilation under way.
struct slot {
    struct nx_cache_wait wait;
    struct nx_compile_job *job;
    struct item item;
};

struct nx_compile_job {
    struct nx_runtime *rt;
    const struct nx_panel_def *def;
    struct nx_diagnostics *diags;
    uint8_t (*ids)[NX_CODE_ID_BYTES];
    nx_compile_job_fn *fn;
    void *user;
    struct nx_later done;
    const char *fault;
    size_t next, handlers, total; // items begin with the handlers, the expressions follow
    size_t in_flight;
    struct slot slots[NX_COMPILE_WINDOW];
};

// JSON panels have no positions: their handlers are texts of their own.
static struct nx_cache_source make_source(enum nx_compile_kind kind, struct nx_span text,
                                          struct nx_pos pos) {
    return (struct nx_cache_source){kind, text, pos.line ? pos.line : 1, pos.line ? pos.column : 1};
}

struct nx_cache_source nx_handler_source(const struct nx_handler_def *def) {
    return make_source(NX_COMPILE_HANDLER, nx_span_of(def->code, def->code_len), def->pos);
}

static struct item handler_item(const struct nx_handler_def *def, const char *what,
                                const char *name) {
    return (struct item){nx_handler_source(def), def->pos, what, name};
}

static struct item get_item(const struct nx_compile_job *job, size_t index) {
    const struct nx_panel_def *def = job->def;
    if (index < def->tool_count)
        return handler_item(&def->tools[index].handler, "tool", def->tools[index].name);
    index -= def->tool_count;
    if (def->mount && index-- == 0)
        return handler_item(def->mount, "lifecycle", "mount");
    if (def->unmount && index-- == 0)
        return handler_item(def->unmount, "lifecycle", "unmount");
    const struct nx_computed_def *computed = &def->computed[index];
    return (struct item){
        make_source(NX_COMPILE_EXPRESSION, nx_span_str(computed->expression), computed->pos),
        computed->pos, "computed", computed->name};
}

static void report(struct nx_compile_job *job, const struct item *item,
                   const struct nx_compiled *compiled) {
    struct nx_pos pos = item->pos;
    if (compiled->line)
        pos = (struct nx_pos){compiled->line, compiled->column};
    nx_diagnostics_add(job->diags, false, "COMPILATION_ERROR", pos, "%s '%s': %.*s", item->what,
                       item->name, (int)compiled->message.len, compiled->message.data);
}

static void pump(struct nx_compile_job *job);

static void on_compiled(void *user, const struct nx_compiled *compiled) {
    struct slot *slot = user;
    struct nx_compile_job *job = slot->job;
    slot->job = NULL;
    job->in_flight--;
    if (compiled->code == NX_RESULT_INTERNAL_ERROR || compiled->code == NX_RESULT_OVERLOADED)
        job->fault = "the sandbox could not compile";
    else if (compiled->code != NX_RESULT_NONE)
        report(job, &slot->item, compiled);
    pump(job);
}

static struct slot *free_slot(struct nx_compile_job *job) {
    for (size_t i = 0; i < NX_COMPILE_WINDOW; i++) {
        if (!job->slots[i].job)
            return &job->slots[i];
    }
    return NULL;
}

// Starts compiling the next item unless the cache has it. NX_E_BUSY: no room now.
static int start_next(struct nx_compile_job *job) {
    struct item item = get_item(job, job->next);
    struct nx_error err = {0};
    struct nx_code *code;
    uint8_t id[NX_CODE_ID_BYTES];
    struct slot *slot = free_slot(job);
    if (!slot)
        return NX_E_BUSY;
    int rc = nx_cache_id(&item.source, id);
    if (rc)
        return rc;
    if (job->ids && job->next < job->handlers)
        memcpy(job->ids[job->next], id, sizeof id);
    if (nx_cache_lookup(job->rt->cache, id, &code)) {
        nx_code_unref(code);
        job->next++;
        return 0;
    }
    slot->item = item;
    slot->wait.fn = on_compiled;
    slot->wait.user = slot;
    rc = nx_cache_compile(job->rt->cache, &item.source, id, &slot->wait, &err);
    if (rc)
        return rc == NX_E_LIMIT ? NX_E_BUSY : rc;
    slot->job = job;
    job->in_flight++;
    job->next++;
    return 0;
}

static void pump(struct nx_compile_job *job) {
    int rc = 0;
    while (rc == 0 && !job->fault && job->next < job->total)
        rc = start_next(job);
    if (rc && (rc != NX_E_BUSY || job->in_flight == 0) && !job->fault)
        job->fault = rc == NX_E_BUSY ? "too many compilations are waiting" : "out of memory";
    if (job->in_flight == 0)
        nx_later_add(job->rt, &job->done);
}

static void finish(struct nx_later *later) {
    struct nx_compile_job *job =
        (struct nx_compile_job *)((char *)later - offsetof(struct nx_compile_job, done));
    nx_diagnostics_sort(job->diags);
    job->fn(job->user, job->fault);
    free(job);
}

int nx_compile_job_start(struct nx_compile_job **out, struct nx_runtime *rt,
                         const struct nx_panel_def *def, struct nx_diagnostics *diags,
                         uint8_t (*ids)[NX_CODE_ID_BYTES], nx_compile_job_fn *fn, void *user,
                         struct nx_error *err) {
    struct nx_compile_job *job = calloc(1, sizeof *job);
    if (!job)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    job->rt = rt;
    job->def = def;
    job->diags = diags;
    job->ids = ids;
    job->fn = fn;
    job->user = user;
    job->done.run = finish;
    job->handlers = def->tool_count + (def->mount ? 1 : 0) + (def->unmount ? 1 : 0);
    job->total = job->handlers + def->computed_count;
    *out = job;
    pump(job);
    return 0;
}

void nx_compile_job_cancel(struct nx_compile_job *job) {
    if (!job)
        return;
    nx_later_forget(job->rt, &job->done);
    for (size_t i = 0; i < NX_COMPILE_WINDOW; i++)
        nx_cache_forget(&job->slots[i].wait);
    free(job);
}
