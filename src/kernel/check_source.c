// SPDX-License-Identifier: Apache-2.0
// Checking a source without making a panel of it.
#include <stdlib.h>

#include "kernel/core.h"

struct check {
    struct nx_runtime *rt;
    nx_checked_fn *fn;
    void *user;
    struct nx_panel_def *def;
    struct nx_diagnostics diags;
    struct nx_compile_job *job;
    struct nx_later later; // for sources that do not parse
};

static void on_compiled(void *user, const char *fault) {
    struct check *check = user;
    struct nx_runtime *rt = check->rt;
    check->fn(check->user, check->def, &check->diags, fault);
    nx_panel_def_free(check->def);
    nx_diagnostics_free(&check->diags);
    free(check);
    rt->check_count--;
    nx_runtime_check_drained(rt);
}

static void on_invalid(struct nx_later *later) {
    on_compiled((char *)later - offsetof(struct check, later), NULL);
}

int nx_runtime_check_source(struct nx_runtime *rt, struct nx_span source, nx_checked_fn *fn,
                            void *user, struct nx_error *err) {
    if (rt->stopping)
        return nx_error_set(err, NX_E_CLOSED, "the server is stopping");
    struct check *check = calloc(1, sizeof *check);
    if (!check)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    check->rt = rt;
    check->fn = fn;
    check->user = user;
    int rc = nx_panel_def_parse(source, &check->def, &check->diags);
    if (rc == NX_E_NOMEM) {
        nx_diagnostics_free(&check->diags);
        free(check);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    rt->check_count++;
    if (rc) {
        nx_diagnostics_sort(&check->diags);
        check->later.run = on_invalid;
        nx_later_add(rt, &check->later);
        return 0;
    }
    rc = nx_compile_job_start(&check->job, rt, check->def, &check->diags, NULL, on_compiled, check,
                              err);
    if (rc) {
        rt->check_count--;
        nx_panel_def_free(check->def);
        nx_diagnostics_free(&check->diags);
        free(check);
    }
    return rc;
}
