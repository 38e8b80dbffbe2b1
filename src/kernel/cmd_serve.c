// SPDX-License-Identifier: Apache-2.0
// `nexus serve`: settings, runtime, panels, HTTP, signals; and the orderly way back out of it.
//
//   start:  settings -> runtime -> address taken -> panels loaded -> connections accepted
//   stop:   signal -> /ready says 503, runtime drains -> runtime gone -> connections closed -> exit
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/privileges.h"
#include "base/sched.h"
#include "kernel/access.h"
#include "kernel/audit.h"
#include "kernel/cache_dir.h"
#include "kernel/cache_disk.h"
#include "kernel/cmd.h"
#include "kernel/config.h"
#include "kernel/http.h"
#include "kernel/load.h"
#include "kernel/lockdown.h"
#include "kernel/reload.h"
#include "kernel/runtime.h"
#include "sandbox/launcher.h"
#include "sandbox/lockdown.h"

struct serve {
    uv_loop_t loop;
    struct nx_config config;
    struct nx_access access;
    struct nx_launcher *launcher;
    struct nx_runtime *runtime; // NULL when stopped
    struct nx_http *http;       // NULL when stopped
    struct nx_load *load;       // NULL when done
    struct nx_audit *audit;
    struct nx_metrics *metrics;
    struct nx_cache_disk *disk; // NULL: none, or closed
    uv_signal_t terminate, interrupt, child;
    uv_signal_t hangup; // watched if there are files to read anew
    bool listening, stopping;
    int exit_code;
};

// ---- Settings

static void print_usage(FILE *to) {
    fputs("usage: nexus serve [--panels DIR]\n"
          "\n"
          "Runs the server. Settings come from the environment (HOST, HTTP_PORT, ...).\n"
          "\n"
          "  --panels DIR  load every *.nxml and *.json panel in DIR\n"
          "  --help        print this\n"
          "\n"
          "Exit status: 0 after a clean stop, 1 on a fault, 2 on bad settings.\n",
          to);
}

// Returns -1 to go on, or an exit code.
static int parse_arguments(int argc, char **argv, const char **panels_dir) {
    static const struct option options[] = {
        {"panels", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {0}};
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            *panels_dir = optarg;
            break;
        case 'h':
            print_usage(stdout);
            return NX_EXIT_OK;
        default:
            fputs("Try 'nexus serve --help'.\n", stderr);
            return NX_EXIT_USAGE;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "nexus serve: unexpected argument '%s'\n", argv[optind]);
    return NX_EXIT_USAGE;
}

static void print_lines(const char *text, const char *what) {
    while (text && *text) {
        size_t len = strcspn(text, "\n");
        fprintf(stderr, "nexus serve: %s: %.*s\n", what, (int)len, text);
        text += len + (text[len] == '\n');
    }
}

// Opened for good once there is a loop; here to list what is wrong with it among the rest.
static int check_cache_dir(const struct nx_config *config, struct nx_buf *problems) {
    struct nx_error err = {0};
    struct nx_cache_dir dir;
    if (!config->cache_dir)
        return 0;
    int rc = nx_cache_dir_open(&dir, config->cache_dir, NX_CACHE_BLOCK_BYTES, &err);
    if (rc == 0)
        nx_cache_dir_close(&dir);
    if (rc == NX_E_INVALID)
        nx_buf_printf(problems, "CACHE_DIR=%s\n", err.message);
    return rc == NX_E_INVALID ? rc : 0;
}

static int load_config(struct nx_config *config, struct nx_access *access) {
    extern char **environ;
    struct nx_buf problems, notes;
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    nx_buf_init(&notes, NX_MAX_CONFIG_PROBLEM_BYTES);
    int rc = nx_config_load(config, (const char *const *)environ, &problems, &notes);
    if (nx_access_open(access, config, &problems, &notes))
        rc = NX_E_INVALID;
    if (check_cache_dir(config, &problems))
        rc = NX_E_INVALID;
    if (nx_reload_log_level(config, &problems))
        rc = NX_E_INVALID;
    nx_access_forget_secret(config, environ);
    if (rc) {
        print_lines(problems.data, "bad setting");
    } else {
        nx_log_configure(STDOUT_FILENO, config->log_level, config->log_pretty);
        nx_log_enlarge_pipe();
        nx_reload_log_lines(notes.data);
    }
    nx_buf_free(&problems);
    nx_buf_free(&notes);
    return rc;
}

// One more than all heavy executions may take: the last is for those not known yet.
static uint32_t spare_workers(const struct nx_config *config) {
    return config->workers < NX_MAX_WORKERS ? config->workers + 1 : NX_MAX_WORKERS;
}

static void runtime_config(const struct nx_config *from, struct nx_runtime_config *to) {
    nx_runtime_config_default(to);
    to->sandbox.workers = from->workers;
    to->sandbox.spare_workers = spare_workers(from);
    to->sandbox.max_instances = from->max_instances;
    to->sandbox.memory_limit_bytes = from->memory_limit_mb * 1024u * 1024u;
    to->sandbox.stack_limit_bytes = from->stack_limit_kb * 1024u;
    to->sandbox.spare_instances = (from->min_instances + from->workers - 1) / from->workers;
    to->limits.timeout_ms = from->timeout_ms;
    to->limits.max_host_calls = from->max_host_calls;
    to->limits.max_mutations = from->max_state_mutations;
    to->limits.max_events = from->max_events;
    to->limits.max_log_bytes = from->max_log_kb * 1024u;
    to->limits.max_value_bytes = from->max_value_kb * 1024u;
    to->limits.max_state_bytes = from->max_state_kb * 1024u;
    to->suspend_timeout_ms = from->suspend_timeout_ms;
    to->max_panels = from->max_panels;
    to->max_queue = from->max_queue;
    to->max_cache_bytes = (size_t)from->max_cache_mb * 1024 * 1024;
}

// ---- What is logged

// That a chain of tools was cut is the audit's business: somebody's tools set each other off.
static void on_skipped(void *user, struct nx_panel *panel, const struct nx_skip *skip) {
    (void)user;
    nx_log(NX_LOG_WARN, skip->reason == NX_SKIP_DEPTH ? "audit" : "execution", "tool not set off",
           NX_LOG_FIELDS(NX_LOG_STR("panelId", nx_panel_id(panel)),
                         NX_LOG_STR("handler", skip->tool),
                         NX_LOG_STR("trigger", nx_trigger_kind_name(skip->kind)),
                         NX_LOG_STR("reason", nx_skip_reason_name(skip->reason)),
                         NX_LOG_INT("count", (int64_t)skip->count),
                         NX_LOG_BOOL("audit", skip->reason == NX_SKIP_DEPTH)));
}

static void on_cache_news(void *user, enum nx_cache_news news, const char *detail) {
    static const char *const messages[] = {
        [NX_CACHE_STOPPED] = "the bytecode cache on disk does not work; going on without it",
        [NX_CACHE_WORKS] = "the bytecode cache on disk works again",
        [NX_CACHE_REFUSED] = "an entry of the bytecode cache on disk was refused",
    };
    (void)user;
    nx_log(
        news == NX_CACHE_WORKS ? NX_LOG_INFO : NX_LOG_WARN,
        news == NX_CACHE_REFUSED ? "audit" : "cache", messages[news],
        NX_LOG_FIELDS(NX_LOG_STR("error", detail), NX_LOG_BOOL("audit", news == NX_CACHE_REFUSED)));
}

static void on_sandbox_news(void *user, enum nx_sandbox_news news, pid_t pid, const char *detail) {
    static const char *const messages[] = {
        [NX_SANDBOX_WORKER_DIED] = "a worker ended unexpectedly; another takes its place",
        [NX_SANDBOX_WORKER_HUNG] =
            "a worker that did not answer was killed; another takes its place",
        [NX_SANDBOX_WORKER_ROGUE] =
            "a worker that broke a rule was killed; another takes its place",
        [NX_SANDBOX_ZYGOTE_LOST] = "the zygote was lost; it is started again, and all workers",
        [NX_SANDBOX_ZYGOTE_BACK] = "the zygote was started again",
    };
    const bool audit = news == NX_SANDBOX_WORKER_ROGUE; // no handler can do that: the sandbox leaks
    (void)user;
    nx_log(news == NX_SANDBOX_ZYGOTE_BACK ? NX_LOG_INFO : NX_LOG_WARN, audit ? "audit" : "sandbox",
           messages[news],
           NX_LOG_FIELDS(NX_LOG_INT("pid", pid), NX_LOG_STR("error", detail),
                         NX_LOG_BOOL("audit", audit)));
}

// ---- Stopping

static void on_disk_closed(void *user) {
    struct serve *s = user;
    s->disk = NULL;
    uv_close((uv_handle_t *)&s->terminate, NULL);
    uv_close((uv_handle_t *)&s->interrupt, NULL);
    uv_close((uv_handle_t *)&s->hangup, NULL);
    uv_close((uv_handle_t *)&s->child, NULL);
}

static void on_http_stopped(void *user) {
    struct serve *s = user;
    s->http = NULL;
    if (s->disk)
        nx_cache_disk_close(s->disk, on_disk_closed, s);
    else
        on_disk_closed(s);
}

static void on_runtime_stopped(void *user) {
    struct serve *s = user;
    s->runtime = NULL;
    if (s->http)
        nx_http_stop(s->http, on_http_stopped, s);
    else
        on_http_stopped(s);
}

static void stop(struct serve *s) {
    if (s->stopping)
        return;
    s->stopping = true;
    if (s->load)
        nx_load_cancel(s->load);
    s->load = NULL;
    if (s->http)
        nx_http_drain(s->http);
    nx_runtime_stop(s->runtime, NX_DEFAULT_DRAIN_MS, on_runtime_stopped, s);
}

static void on_signal(uv_signal_t *handle, int signum) {
    struct serve *s = handle->data;
    // The second one means it: workers end with the channel to this process.
    if (s->stopping)
        _exit(128 + signum);
    nx_log(NX_LOG_INFO, "server", "stopping",
           NX_LOG_FIELDS(NX_LOG_STR("signal", strsignal(signum))));
    stop(s);
}

static void fault(struct serve *s, const struct nx_error *err) {
    nx_log(NX_LOG_ERROR, "server", err->message, NULL);
    s->exit_code = NX_EXIT_FAULT;
    stop(s);
}

// ---- Starting

static void warn_of_few_descriptors(const struct serve *s) {
    uint32_t most = nx_http_max_clients(s->http);
    if (most < s->config.max_clients)
        nx_log(NX_LOG_WARN, "http",
               "fewer connections than MAX_CLIENTS: the descriptor limit (ulimit -Hn) is too low",
               NX_LOG_FIELDS(NX_LOG_INT("maxClients", most),
                             NX_LOG_INT("wanted", s->config.max_clients)));
}

static void on_loaded(void *user, size_t loaded, size_t failed) {
    struct serve *s = user;
    struct nx_error err = {0};
    s->load = NULL;
    if (loaded || failed)
        nx_log(failed ? NX_LOG_ERROR : NX_LOG_INFO, "server", "panels loaded",
               NX_LOG_FIELDS(NX_LOG_INT("loaded", (int64_t)loaded),
                             NX_LOG_INT("failed", (int64_t)failed)));
    if (nx_http_listen(s->http, &err)) {
        fault(s, &err);
        return;
    }
    warn_of_few_descriptors(s);
    nx_http_set_ready(s->http);
    nx_log(NX_LOG_INFO, "http", "listening",
           NX_LOG_FIELDS(NX_LOG_STR("url", nx_http_url(s->http)),
                         NX_LOG_STR("wsUrl", nx_http_ws_listen_url(s->http)),
                         NX_LOG_STR("metricsUrl", nx_http_metrics_url(s->http))));
}

static int start_parts(struct serve *s, const char *panels_dir, struct nx_error *err) {
    struct nx_runtime_config runtime;
    struct nx_http_config http = {
        .host = s->config.host,
        .port = (uint16_t)s->config.http_port,
        .ws_port = s->config.ws_port,
        .metrics_port = s->config.metrics_port,
        .public_url = s->config.public_url,
        .allow_query_token = s->config.allow_query_token,
        .body_limit_bytes = s->config.body_limit_bytes,
        .max_clients = s->config.max_clients,
        .worker_fds = NX_WORKER_FDS * (s->config.workers + spare_workers(&s->config)),
        .max_panels = s->config.max_panels,
        .audit_all = s->config.audit_all,
        .local_only = !s->access.auth && nx_config_is_loopback(s->config.host),
        .auth = s->access.auth,
        .origins = s->access.origins,
    };
    const struct nx_observer observer = {.on_skipped = on_skipped};
    runtime_config(&s->config, &runtime);
    runtime.policy = s->access.policy;
    runtime.sandbox.launcher = s->launcher;
    runtime.sandbox.on_news = on_sandbox_news;
    if (s->disk)
        runtime.cache_tier = nx_cache_disk_tier(s->disk);
    int rc = nx_runtime_start(&s->runtime, &s->loop, &runtime, err);
    if (rc == 0)
        rc = nx_ext_register_http(nx_runtime_extensions(s->runtime), &s->config.http, err);
    if (rc == 0)
        rc = nx_audit_new(&s->audit, s->runtime, s->config.audit_all, err);
    if (rc == 0)
        rc = nx_runtime_observe(s->runtime, &observer);
    if (rc == 0)
        rc = nx_metrics_new(&s->metrics, s->runtime, s->config.metrics_per_panel, err);
    http.metrics = s->metrics;
    if (rc == 0 && s->disk)
        nx_metrics_watch_disk(s->metrics, s->disk);
    if (rc == 0)
        rc = nx_http_new(&s->http, &s->loop, s->runtime, &http, err);
    if (rc == 0 && panels_dir)
        rc = nx_load_start(&s->load, &s->loop, s->runtime, panels_dir, on_loaded, s, err);
    return rc;
}

static void on_hangup(uv_signal_t *handle, int signum) {
    struct serve *s = handle->data;
    (void)signum;
    nx_reload_files(&s->config, &s->access, s->disk);
}

// As process 1 of a container it inherits the workers of a zygote that died, and nobody else buries
// them. Whoever waits for one process holds its pidfd, and takes it well that it is buried already.
static void on_child(uv_signal_t *handle, int signum) {
    (void)handle;
    (void)signum;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

static void watch_signals(struct serve *s) {
    // A client or log reader that goes away is an error to handle where it happens.
    signal(SIGPIPE, SIG_IGN);
    uv_signal_init(&s->loop, &s->terminate);
    uv_signal_init(&s->loop, &s->interrupt);
    uv_signal_init(&s->loop, &s->hangup);
    uv_signal_init(&s->loop, &s->child);
    s->terminate.data = s->interrupt.data = s->hangup.data = s;
    if (nx_reload_has_files(&s->config))
        uv_signal_start(&s->hangup, on_hangup, SIGHUP);
    uv_signal_start(&s->terminate, on_signal, SIGTERM);
    uv_signal_start(&s->interrupt, on_signal, SIGINT);
    uv_signal_start(&s->child, on_child, SIGCHLD);
}

static void hide_from_debuggers(void) {
    // Other processes of the same user may not read this one's memory. Under AddressSanitizer the
    // leak check at the end needs to.
#ifndef __SANITIZE_ADDRESS__
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

static int open_disk(struct serve *s, struct nx_error *err) {
    const struct nx_cache_disk_config config = {
        .path = s->config.cache_dir,
        .max_bytes = (size_t)s->config.max_cache_mb * 1024 * 1024,
        .on_news = on_cache_news,
    };
    if (!config.path)
        return 0;
    int rc = nx_cache_disk_open(&s->disk, &s->loop, &config, err);
    if (rc == 0)
        nx_cache_disk_set_seal(s->disk, &s->access.cache_seal);
    return rc;
}

// ---- The lockdown

static void log_protections(uint32_t in_force) {
    bool landlock = in_force & NX_PROTECT_LANDLOCK;
    nx_log(landlock || NX_SANITIZED ? NX_LOG_INFO : NX_LOG_WARN, "server",
           landlock ? "locked down"
                    : "locked down, but the system has no Landlock: files are open as they are to "
                      "its user",
           NX_LOG_FIELDS(NX_LOG_BOOL("landlock", landlock)));
}

// Takes from this process what serving does not need: see lockdown.h. Addresses are bound and the
// first worker runs; panels are not read yet.
static int lock_down(struct serve *s, const char *panels_dir, struct nx_error *err) {
    const struct nx_lockdown_needs needs = {
        .panels_dir = panels_dir,
        .reread = {s->config.policy_file, s->config.jwt_secret_file, s->config.jwt_public_key_file,
                   s->config.log_level_file},
        .cache_dir = s->config.cache_dir,
        .http_client = s->config.http.allowed_domains != NULL,
        .ca_file = s->config.http.ca_file,
        .strict = s->config.kernel_lockdown == NX_LOCKDOWN_STRICT,
    };
    uint32_t in_force;
    if (s->config.kernel_lockdown == NX_LOCKDOWN_OFF) {
        nx_log(NX_LOG_WARN, "server", "not locked down: KERNEL_LOCKDOWN=off", NULL);
        return 0;
    }
    int rc = nx_lockdown_enter(&needs, &in_force, err);
    if (rc == 0) {
        nx_http_set_protections(s->http, in_force);
        log_protections(in_force);
    }
    return rc;
}

static int run(struct serve *s, const char *panels_dir) {
    struct nx_error err = {0};
    if (s->config.kernel_lockdown != NX_LOCKDOWN_OFF && nx_lockdown_begin(&err)) {
        nx_log(NX_LOG_ERROR, "server", err.message, NULL);
        return NX_EXIT_FAULT;
    }
    if (uv_loop_init(&s->loop)) {
        fputs("nexus serve: cannot make an event loop\n", stderr);
        return NX_EXIT_FAULT;
    }
    watch_signals(s);
    if (open_disk(s, &err) || start_parts(s, panels_dir, &err) || lock_down(s, panels_dir, &err)) {
        s->exit_code = NX_EXIT_FAULT;
        nx_log(NX_LOG_ERROR, "server", err.message, NULL);
        if (s->runtime)
            stop(s);
        else
            on_http_stopped(s);
    } else if (!s->load) {
        on_loaded(s, 0, 0);
    }
    uv_run(&s->loop, UV_RUN_DEFAULT);
    uv_loop_close(&s->loop);
    nx_metrics_free(s->metrics);
    nx_audit_free(s->audit);
    if (s->exit_code == NX_EXIT_OK)
        nx_log(NX_LOG_INFO, "server", "stopped", NULL);
    return s->exit_code;
}

int nx_cmd_serve(int argc, char **argv) {
    const char *panels_dir = NULL;
    int code = parse_arguments(argc, argv, &panels_dir);
    if (code >= 0)
        return code;
    hide_from_debuggers();
    nx_sched_answer_soon(); // and so do the workers
    struct serve *s = calloc(1, sizeof *s);
    if (!s) {
        fputs("nexus serve: out of memory\n", stderr);
        return NX_EXIT_FAULT;
    }
    // Before anything is read that it should not know.
    struct nx_error err = {0};
    if (nx_launcher_start(&s->launcher, NULL, &err)) {
        fprintf(stderr, "nexus serve: %s\n", err.message);
        free(s);
        return NX_EXIT_FAULT;
    }
    code = load_config(&s->config, &s->access) ? NX_EXIT_USAGE : -1;
    if (code < 0 && panels_dir && access(panels_dir, R_OK | X_OK)) {
        fprintf(stderr, "nexus serve: --panels %s: %s\n", panels_dir, strerror(errno));
        code = NX_EXIT_USAGE;
    }
    if (code < 0)
        code = run(s, panels_dir);
    nx_launcher_stop(s->launcher);
    nx_access_close(&s->access);
    free(s);
    return code;
}
