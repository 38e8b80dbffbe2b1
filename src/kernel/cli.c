// SPDX-License-Identifier: Apache-2.0
// Input, output and the runtime of the verbs that run once and end.
#include "kernel/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/utf8.h"
#include "kernel/lockdown.h"
#include "sandbox/launcher.h"

// ---- Input

static int read_stdin(size_t max_bytes, struct nx_buf *out, struct nx_error *err) {
    enum { CHUNK = 65536 };
    nx_buf_init(out, max_bytes);
    for (;;) {
        char chunk[CHUNK];
        ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        int rc = n < 0 ? nx_error_errno(err, "standard input") : 0;
        if (n > 0 && nx_buf_append(out, chunk, (size_t)n))
            rc = out->failed == NX_E_LIMIT
                     ? nx_error_set(err, NX_E_LIMIT, "standard input: over %zu bytes", max_bytes)
                     : nx_error_set(err, out->failed, "out of memory");
        if (rc)
            nx_buf_free(out);
        if (rc || n == 0)
            return rc;
    }
}

int nx_cli_read(const char *path, size_t max_bytes, struct nx_buf *out, struct nx_error *err) {
    return strcmp(path, "-") == 0 ? read_stdin(max_bytes, out, err)
                                  : nx_fd_read_file(path, max_bytes, out, err);
}

const char *nx_cli_file_name(const char *path) {
    return strcmp(path, "-") == 0 ? "<stdin>" : path;
}

// ---- Output

void nx_cli_put(FILE *to, struct nx_span text) {
    for (size_t i = 0; i < text.len;) {
        const unsigned char *p = (const unsigned char *)text.data + i;
        size_t n = nx_utf8_sequence(p, text.len - i);
        // C0 and DEL, what is not UTF-8, and C1 (U+0080 to U+009F).
        bool control = *p < 0x20 || *p == 0x7f || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
        if (n && !control) {
            fwrite(p, 1, n, to);
            i += n;
        } else {
            fprintf(to, *p == '\n' ? "\\n" : "\\x%02x", *p);
            i++;
        }
    }
}

static bool wants_colour(FILE *to) {
    const char *term = getenv("TERM"), *none = getenv("NO_COLOR");
    return isatty(fileno(to)) && !(none && *none) && term && strcmp(term, "dumb") != 0;
}

static void print_finding(FILE *to, const char *file, const struct nx_diagnostic *d, bool colour) {
    const char *kind = d->warning ? "warning" : "error";
    nx_cli_put(to, nx_span_str(file));
    // Panels in JSON have no positions of their own.
    fprintf(to, ":%u:%u: ", d->pos.line ? d->pos.line : 1, d->pos.column ? d->pos.column : 1);
    if (colour)
        fprintf(to, "\033[%sm%s\033[0m", d->warning ? "1;35" : "1;31", kind);
    else
        fputs(kind, to);
    fprintf(to, " %s: ", d->code);
    nx_cli_put(to, nx_span_str(d->message));
    fputc('\n', to);
}

void nx_cli_print_findings(FILE *to, const char *file, const struct nx_diagnostics *found,
                           bool warnings) {
    bool colour = wants_colour(to);
    for (size_t i = 0; i < found->count; i++)
        if (warnings || !found->items[i].warning)
            print_finding(to, file, &found->items[i], colour);
    if (found->dropped)
        fprintf(to, "%s: and %zu more\n", file, found->dropped);
}

// ---- Runtime

int nx_cli_start(struct nx_cli_runtime *cli, const struct nx_runtime_config *config,
                 struct nx_error *err) {
    struct nx_runtime_config own;
    nx_runtime_config_default(&own);
    nx_log_configure(STDERR_FILENO, NX_LOG_WARN, isatty(STDERR_FILENO));
    if (config)
        own = *config;
    int rc = nx_launcher_start(&cli->launcher, NULL, err);
    if (rc == 0)
        rc = nx_lockdown_begin(err);
    if (rc == 0 && uv_loop_init(&cli->loop))
        rc = nx_error_set(err, NX_E_IO, "cannot make an event loop");
    if (rc) {
        nx_launcher_stop(cli->launcher);
        return rc;
    }
    own.sandbox.launcher = cli->launcher;
    rc = nx_runtime_start(&cli->runtime, &cli->loop, &own, err);
    if (rc) {
        uv_run(&cli->loop, UV_RUN_DEFAULT); // handles that are closing
        uv_loop_close(&cli->loop);
        nx_launcher_stop(cli->launcher);
    }
    return rc;
}

void nx_cli_wait(struct nx_cli_runtime *cli) {
    cli->done = false;
    while (!cli->done)
        uv_run(&cli->loop, UV_RUN_DEFAULT);
}

void nx_cli_done(struct nx_cli_runtime *cli) {
    cli->done = true;
    uv_stop(&cli->loop); // or it would wait for the next event, which may never come
}

static void on_stopped(void *user) {
    nx_cli_done(user);
}

void nx_cli_stop(struct nx_cli_runtime *cli) {
    nx_runtime_stop(cli->runtime, 0, on_stopped, cli);
    nx_cli_wait(cli);
    uv_run(&cli->loop, UV_RUN_DEFAULT); // handles that are closing
    uv_loop_close(&cli->loop);
    nx_launcher_stop(cli->launcher);
}
