// SPDX-License-Identifier: Apache-2.0
// `nexus run`: one execution of one tool, from a panel's source to its result on standard output.
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "ext/ext.h"
#include "ext/http.h"
#include "kernel/cli.h"
#include "kernel/cmd.h"
#include "kernel/config.h"
#include "kernel/json_pretty.h"
#include "kernel/lockdown.h"

struct run {
    const char *file, *tool;
    const char *args_text, *state_text; // NULL: not given; "-": standard input
    const char *mock_file;              // NULL: the real extensions
    struct nx_cap_set grants;           // used if `replace_grants`
    bool replace_grants, granted, deny_all, pretty;
    uint32_t timeout_ms; // 0: as the panel and the defaults have it
    struct nx_lockdown_needs needs;

    struct nx_buf source, args, state, mock;
    struct nx_cli_runtime cli;
    int exit_code;
};

// ---- Arguments

static void print_usage(FILE *to) {
    fputs(
        "usage: nexus run FILE TOOL [OPTION]...\n"
        "\n"
        "Runs one tool of the panel in FILE once and prints the result as JSON. The state starts\n"
        "from the panel's defaults; the mount handler does not run. What the handler logs goes to\n"
        "standard error. Where a FILE or JSON is '-', it is read from standard input.\n"
        "\n"
        "  --args JSON      arguments of the tool, an object\n"
        "  --state JSON     an object whose members replace those of the initial state\n"
        "  --grant TOKEN    grant this capability instead of those declared (repeatable)\n"
        "  --deny-all       grant nothing\n"
        "  --timeout MS     running time allowed, instead of 5000; a tool's own limit still holds\n"
        "  --ext-mock FILE  answer extension calls from FILE: {\"name.method\": {\"result\": "
        "any}}\n"
        "  --pretty         lay the result out for people\n"
        "  --help           print this\n"
        "\n"
        "Exit status: 0 success, 1 the handler failed, 2 wrong usage or an invalid panel.\n",
        to);
}

// Reports a wrong call; the exit code.
static int usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int usage_error(const char *fmt, ...) {
    struct nx_buf line;
    nx_buf_init(&line, 4 * NX_ERROR_MESSAGE_BYTES);
    va_list ap;
    va_start(ap, fmt);
    nx_buf_vprintf(&line, fmt, ap);
    va_end(ap);
    fputs("nexus run: ", stderr);
    nx_cli_put(stderr, nx_buf_span(&line));
    fputc('\n', stderr);
    nx_buf_free(&line);
    return NX_EXIT_USAGE;
}

static int add_grant(struct run *r, const char *token) {
    struct nx_error err = {0};
    r->replace_grants = r->granted = true;
    if (nx_caps_add(&r->grants, nx_span_str(token), &err) == 0)
        return -1;
    return usage_error("--grant %s: %s", token, err.message);
}

static int set_timeout(struct run *r, const char *text) {
    char *end;
    errno = 0;
    unsigned long ms = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (ms < 1 || ms > NX_MAX_TIMEOUT_MS || errno || *end)
        return usage_error("--timeout %s: must be a number of milliseconds from 1 to %d", text,
                           NX_MAX_TIMEOUT_MS);
    r->timeout_ms = (uint32_t)ms;
    return -1;
}

enum { OPT_ARGS = 256, OPT_STATE, OPT_GRANT, OPT_DENY_ALL, OPT_TIMEOUT, OPT_MOCK, OPT_PRETTY };

// Returns -1 to go on, or an exit code.
static int take_option(struct run *r, int option) {
    switch (option) {
    case OPT_ARGS:
        r->args_text = optarg;
        return -1;
    case OPT_STATE:
        r->state_text = optarg;
        return -1;
    case OPT_GRANT:
        return add_grant(r, optarg);
    case OPT_DENY_ALL:
        r->deny_all = r->replace_grants = true;
        return -1;
    case OPT_TIMEOUT:
        return set_timeout(r, optarg);
    case OPT_MOCK:
        r->mock_file = optarg;
        return -1;
    case OPT_PRETTY:
        r->pretty = true;
        return -1;
    case 'h':
        print_usage(stdout);
        return NX_EXIT_OK;
    default:
        fputs("Try 'nexus run --help'.\n", stderr);
        return NX_EXIT_USAGE;
    }
}

static bool is_stdin(const char *text) {
    return text && strcmp(text, "-") == 0;
}

static int parse_arguments(struct run *r, int argc, char **argv) {
    static const struct option options[] = {{"args", required_argument, NULL, OPT_ARGS},
                                            {"state", required_argument, NULL, OPT_STATE},
                                            {"grant", required_argument, NULL, OPT_GRANT},
                                            {"deny-all", no_argument, NULL, OPT_DENY_ALL},
                                            {"timeout", required_argument, NULL, OPT_TIMEOUT},
                                            {"ext-mock", required_argument, NULL, OPT_MOCK},
                                            {"pretty", no_argument, NULL, OPT_PRETTY},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option, code = -1;
    optind = 1;
    while (code < 0 && (option = getopt_long(argc, argv, "h", options, NULL)) != -1)
        code = take_option(r, option);
    if (code >= 0)
        return code;
    if (argc - optind > 2)
        return usage_error("unexpected argument '%s'", argv[optind + 2]);
    if (argc - optind < 2) {
        print_usage(stderr);
        return NX_EXIT_USAGE;
    }
    r->file = argv[optind];
    r->tool = argv[optind + 1];
    if (r->deny_all && r->granted)
        return usage_error("--deny-all and --grant exclude each other");
    if (is_stdin(r->file) + is_stdin(r->args_text) + is_stdin(r->state_text) +
            is_stdin(r->mock_file) >
        1)
        return usage_error("only one thing can be read from standard input ('-')");
    return -1;
}

// ---- Input

// Reads a JSON object given on the command line as `option`, or from standard input.
static int read_object(const char *option, const char *text, struct nx_buf *out) {
    struct nx_error err = {0};
    enum nx_json_kind kind;
    nx_buf_init(out, NX_MAX_FRAME_BYTES);
    if (!text)
        return -1;
    if (is_stdin(text)) {
        if (nx_cli_read(text, NX_MAX_FRAME_BYTES, out, &err))
            return usage_error("%s: %s", option, err.message);
    } else if (nx_buf_append_str(out, text)) {
        return usage_error("%s: out of memory, or too long", option);
    }
    if (nx_json_scan(nx_buf_span(out), &kind, &err))
        return usage_error("%s: %s", option, err.message);
    if (kind != NX_JSON_OBJECT)
        return usage_error("%s: must be a JSON object", option);
    return -1;
}

static int read_inputs(struct run *r) {
    struct nx_error err = {0};
    if (nx_cli_read(r->file, NX_MAX_PANEL_JSON_BYTES, &r->source, &err))
        return usage_error("%s", err.message);
    int code = read_object("--args", r->args_text, &r->args);
    if (code < 0)
        code = read_object("--state", r->state_text, &r->state);
    if (code < 0 && r->mock_file &&
        nx_cli_read(r->mock_file, NX_MAX_EXT_MOCK_BYTES, &r->mock, &err))
        code = usage_error("--ext-mock: %s", err.message);
    return code;
}

// ---- The execution

static void finish(struct run *r, int exit_code) {
    r->exit_code = exit_code;
    nx_cli_done(&r->cli);
}

static void on_log(void *user, const struct nx_run_info *run, const struct nx_log_entry *entry) {
    (void)user;
    (void)run;
    nx_cli_put(stderr, entry->level);
    fputs(": ", stderr);
    nx_cli_put(stderr, entry->message);
    fputc('\n', stderr);
}

static void on_denied(void *user, const struct nx_run_info *run, const struct nx_denial *denial) {
    (void)user;
    (void)run;
    fprintf(stderr, "nexus run: denied: %s", nx_cap_prefix(denial->kind));
    nx_cli_put(stderr, denial->scope);
    fputc('\n', stderr);
}

static void print_result(struct run *r, const struct nx_result *result) {
    struct nx_buf text, pretty;
    nx_buf_init(&text, NX_MAX_HTTP_REPLY_BYTES);
    nx_buf_init(&pretty, NX_MAX_HTTP_REPLY_BYTES);
    int rc = nx_result_render(&text, result);
    if (rc == 0 && r->pretty)
        rc = nx_json_pretty(&pretty, nx_buf_span(&text));
    const struct nx_buf *shown = r->pretty ? &pretty : &text;
    if (rc == 0) {
        fwrite(shown->data, 1, shown->len, stdout);
        putchar('\n');
    } else {
        fputs("nexus run: the result is too large to print\n", stderr);
    }
    finish(r, rc == 0 && result->status == NX_EXEC_SUCCESS ? NX_EXIT_OK : NX_EXIT_FAULT);
    nx_buf_free(&text);
    nx_buf_free(&pretty);
}

static void on_result(void *user, struct nx_trigger *trigger, const struct nx_result *result) {
    (void)trigger;
    if (result->status != NX_EXEC_SUSPENDED)
        print_result(user, result);
}

static void report_unknown_tool(const struct run *r, const struct nx_panel_def *def) {
    fprintf(stderr, "nexus run: %s has no tool '", nx_cli_file_name(r->file));
    nx_cli_put(stderr, nx_span_str(r->tool));
    fputs(def->tool_count ? "'; it has: " : "', and no other", stderr);
    for (size_t i = 0; i < def->tool_count; i++)
        fprintf(stderr, "%s%s", i ? ", " : "", def->tools[i].name);
    fputc('\n', stderr);
}

static void report_failure(struct run *r, const struct nx_panel_failure *failure) {
    bool ours =
        strcmp(failure->code, "INTERNAL_ERROR") == 0 || strcmp(failure->code, "OVERLOADED") == 0;
    nx_cli_print_findings(stderr, nx_cli_file_name(r->file), failure->diagnostics, false);
    if (failure->diagnostics->errors == 0)
        usage_error("%s: %s", nx_cli_file_name(r->file), failure->message);
    finish(r, ours ? NX_EXIT_FAULT : NX_EXIT_USAGE);
}

static void on_created(void *user, struct nx_panel *panel, const struct nx_result *mount,
                       const struct nx_panel_failure *failure) {
    struct run *r = user;
    struct nx_error err = {0};
    (void)mount;
    if (failure) {
        report_failure(r, failure);
        return;
    }
    const struct nx_trigger_request request = {.tool = nx_span_str(r->tool),
                                               .args_json = nx_buf_span(&r->args),
                                               .timeout_ms = r->timeout_ms};
    int rc = nx_runtime_trigger(panel, &request, on_result, r, NULL, &err);
    if (rc == NX_E_NOTFOUND)
        report_unknown_tool(r, nx_panel_definition(panel));
    else if (rc)
        usage_error("%s", err.message);
    if (rc)
        finish(r, NX_EXIT_USAGE);
}

// ---- The whole

static int fault(const char *message) {
    usage_error("%s", message);
    return NX_EXIT_FAULT;
}

// The extensions that the environment sets up, or the answers that stand in for them. Returns -1 to
// go on, or an exit code.
static int set_up_extensions(struct run *r) {
    extern char **environ;
    struct nx_ext_registry *registry = nx_runtime_extensions(r->cli.runtime);
    struct nx_ext_http_config http;
    struct nx_buf problems;
    struct nx_error err = {0};
    if (r->mock_file)
        return nx_ext_mock(registry, nx_buf_span(&r->mock), &err) == 0
                   ? -1
                   : usage_error("--ext-mock: %s: %s", nx_cli_file_name(r->mock_file), err.message);
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    int code = -1;
    if (nx_config_load_http(&http, (const char *const *)environ, &problems)) {
        for (char *line = problems.data, *end; line && (end = strchr(line, '\n')); line = end + 1)
            code = usage_error("bad setting: %.*s", (int)(end - line), line);
    } else if (nx_ext_register_http(registry, &http, &err)) {
        code = fault(err.message);
    } else {
        r->needs.http_client = http.allowed_domains != NULL;
        r->needs.ca_file = http.ca_file;
    }
    nx_buf_free(&problems);
    return code;
}

static int execute(struct run *r) {
    const struct nx_observer observer = {.on_log = on_log, .on_denied = on_denied};
    const struct nx_panel_request request = {.source = nx_buf_span(&r->source),
                                             .grants = r->replace_grants ? &r->grants : NULL,
                                             .state_json = nx_buf_span(&r->state),
                                             .skip_mount = true,
                                             .calls_only = true};
    struct nx_error err = {0};
    struct nx_runtime *runtime = r->cli.runtime;
    uint32_t in_force;
    int code = set_up_extensions(r);
    if (code >= 0)
        return code;
    // All files are read: what comes now is the panel's, which may be anybody's.
    if (nx_lockdown_enter(&r->needs, &in_force, &err))
        return fault(err.message);
    nx_runtime_observe(runtime, &observer);
    if (nx_runtime_create_panel(runtime, &request, on_created, r, &err))
        return fault(err.message);
    nx_cli_wait(&r->cli);
    return r->exit_code;
}

static int start_and_execute(struct run *r) {
    struct nx_runtime_config config;
    struct nx_error err = {0};
    nx_runtime_config_default(&config);
    if (r->timeout_ms)
        config.limits.timeout_ms = r->timeout_ms;
    if (nx_cli_start(&r->cli, &config, &err))
        return fault(err.message);
    int code = execute(r);
    nx_cli_stop(&r->cli);
    return code;
}

int nx_cmd_run(int argc, char **argv) {
    struct run r = {0};
    int code = parse_arguments(&r, argc, argv);
    if (code < 0)
        code = read_inputs(&r);
    if (code < 0)
        code = start_and_execute(&r);
    nx_buf_free(&r.source);
    nx_buf_free(&r.args);
    nx_buf_free(&r.state);
    nx_buf_free(&r.mock);
    nx_caps_free(&r.grants);
    return code;
}
