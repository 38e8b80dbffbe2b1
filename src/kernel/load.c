// SPDX-License-Identifier: Apache-2.0
// Panels from files. One file at a time is read and handed to the runtime; the next follows when
// its panel is there, so that thousands of files do not pile up.
#include "kernel/load.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"

struct nx_load {
    struct nx_runtime *runtime;
    char *dir;             // owned
    struct dirent **files; // owned, as scandir gives them
    size_t count, next;
    size_t loaded, failed;
    uv_timer_t timer;
    void (*done)(void *user, size_t loaded, size_t failed); // NULL once called or cancelled
    void *user;
    bool creating; // the runtime will call back
    bool closed;   // the timer is closed
};

// ---- Ending

static void free_files(struct dirent **files, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(files[i]);
    free(files);
}

// Freed when neither the runtime nor the loop will come back to it.
static void free_if_idle(struct nx_load *load) {
    if (load->creating || !load->closed)
        return;
    free_files(load->files, load->count);
    free(load->dir);
    free(load);
}

static void on_timer_closed(uv_handle_t *handle) {
    struct nx_load *load = handle->data;
    load->closed = true;
    free_if_idle(load);
}

static void close_timer(struct nx_load *load) {
    if (!uv_is_closing((uv_handle_t *)&load->timer))
        uv_close((uv_handle_t *)&load->timer, on_timer_closed);
}

static void report(struct nx_load *load) {
    void (*done)(void *user, size_t loaded, size_t failed) = load->done;
    load->done = NULL;
    if (done)
        done(load->user, load->loaded, load->failed);
}

void nx_load_cancel(struct nx_load *load) {
    load->done = NULL;
    load->next = load->count;
    close_timer(load);
}

// ---- One file

static const char *file_name(const struct nx_load *load) {
    return load->files[load->next - 1]->d_name;
}

static void log_failure(struct nx_load *load, const char *code, const char *message) {
    load->failed++;
    nx_log(NX_LOG_ERROR, "server", "panel not loaded",
           NX_LOG_FIELDS(NX_LOG_STR("file", file_name(load)), NX_LOG_STR("code", code),
                         NX_LOG_STR("error", message)));
}

static void print_failure(const struct nx_load *load, const char *code, const char *message) {
    fprintf(stderr, "%s/%s:1:1: error %s: %s\n", load->dir, file_name(load), code, message);
}

static void print_findings(const struct nx_load *load, const struct nx_diagnostics *found) {
    for (size_t i = 0; i < found->count; i++) {
        const struct nx_diagnostic *d = &found->items[i];
        if (d->warning)
            continue;
        // Panels in JSON have no positions of their own.
        fprintf(stderr, "%s/%s:%u:%u: error %s: %s\n", load->dir, file_name(load),
                d->pos.line ? d->pos.line : 1, d->pos.column ? d->pos.column : 1, d->code,
                d->message);
    }
}

static void go_on(struct nx_load *load);

static void on_created(void *user, struct nx_panel *panel, const struct nx_result *mount,
                       const struct nx_panel_failure *failure) {
    struct nx_load *load = user;
    load->creating = false;
    if (panel) {
        load->loaded++;
        if (mount && mount->status == NX_EXEC_ERROR)
            nx_log(NX_LOG_WARN, "server", "mount handler failed",
                   NX_LOG_FIELDS(NX_LOG_STR("panelId", nx_panel_id(panel))));
    } else if (!nx_runtime_stopping(load->runtime)) {
        print_findings(load, failure->diagnostics);
        if (failure->diagnostics->errors == 0)
            print_failure(load, failure->code, failure->message);
        log_failure(load, failure->code, failure->message);
    }
    go_on(load);
}

// The file's name without its suffix, if the panel names no id itself and this one will do.
static struct nx_span id_from_name(const char *name, struct nx_span source) {
    struct nx_span id = {NULL, 0};
    struct nx_panel_def *def = NULL;
    struct nx_diagnostics ignored = {0};
    if (nx_panel_def_parse(source, &def, &ignored) == 0 && !def->id) {
        id = nx_span_of(name, (size_t)(strrchr(name, '.') - name));
        if (!nx_panel_id_valid(id))
            id.len = 0;
    }
    nx_panel_def_free(def);
    nx_diagnostics_free(&ignored);
    return id;
}

static void create(struct nx_load *load) {
    struct nx_error err = {0};
    struct nx_buf path, text;
    nx_buf_init(&path, PATH_MAX);
    nx_buf_init(&text, NX_MAX_PANEL_JSON_BYTES);
    nx_buf_printf(&path, "%s/%s", load->dir, file_name(load));
    int rc = path.failed ? nx_error_set(&err, path.failed, "the path is too long")
                         : nx_fd_read_file(path.data, NX_MAX_PANEL_JSON_BYTES, &text, &err);
    if (rc == 0) {
        struct nx_panel_request request = {.source = nx_buf_span(&text)};
        request.id = id_from_name(file_name(load), request.source);
        rc = nx_runtime_create_panel(load->runtime, &request, on_created, load, &err);
        load->creating = rc == 0;
    }
    if (rc) {
        print_failure(load, "INVALID_REQUEST", err.message);
        log_failure(load, "INVALID_REQUEST", err.message);
    }
    nx_buf_free(&text);
    nx_buf_free(&path);
}

// Starts on files until one is under way, or all are done.
static void go_on(struct nx_load *load) {
    while (!load->creating && load->next < load->count && !nx_runtime_stopping(load->runtime)) {
        load->next++;
        create(load);
    }
    if (load->creating)
        return;
    report(load);
    close_timer(load);
    free_if_idle(load);
}

// ---- All of them

static void on_late(uv_timer_t *timer) {
    report(timer->data);
}

static void on_start(uv_timer_t *timer) {
    struct nx_load *load = timer->data;
    uv_timer_start(timer, on_late, NX_PANEL_LOAD_TIMEOUT_MS, 0);
    go_on(load);
}

static int is_panel_file(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot && dot > entry->d_name && (strcmp(dot, ".nxml") == 0 || strcmp(dot, ".json") == 0);
}

int nx_load_start(struct nx_load **out, uv_loop_t *loop, struct nx_runtime *runtime,
                  const char *dir, void (*done)(void *user, size_t loaded, size_t failed),
                  void *user, struct nx_error *err) {
    struct dirent **files = NULL;
    int count = scandir(dir, &files, is_panel_file, alphasort);
    if (count < 0)
        return nx_error_errno(err, "%s", dir);
    struct nx_load *load = calloc(1, sizeof *load);
    char *dir_copy = strdup(dir);
    if (!load || !dir_copy || count > NX_MAX_PANEL_FILES) {
        free(load);
        free(dir_copy);
        free_files(files, (size_t)count);
        return count > NX_MAX_PANEL_FILES
                   ? nx_error_set(err, NX_E_LIMIT, "%s holds more than %d panels", dir,
                                  NX_MAX_PANEL_FILES)
                   : nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    *load = (struct nx_load){.runtime = runtime,
                             .dir = dir_copy,
                             .files = files,
                             .count = (size_t)count,
                             .done = done,
                             .user = user};
    uv_timer_init(loop, &load->timer);
    load->timer.data = load;
    uv_timer_start(&load->timer, on_start, 0, 0);
    *out = load;
    return 0;
}
