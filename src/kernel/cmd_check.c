// SPDX-License-Identifier: Apache-2.0
// `nexus check`: parses, validates and compiles panels; says what is wrong with each, and on
// request which capabilities their handlers appear to need.
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "kernel/cli.h"
#include "kernel/cmd.h"
#include "kernel/suggest.h"

struct check {
    struct nx_cli_runtime cli;
    const char *file; // the one at work
    struct nx_buf json;
    bool suggest, as_json;
    bool invalid; // at least one file was not valid
    bool fault;   // the sandbox could not do its part
};

// ---- Arguments

static void print_usage(FILE *to) {
    fputs(
        "usage: nexus check [--suggest] [--json] FILE...\n"
        "\n"
        "Parses, validates and compiles the panels in the FILEs ('-' is standard input). Findings\n"
        "go to standard error as FILE:LINE:COLUMN: error CODE: message.\n"
        "\n"
        "  --suggest  print the least capabilities that each handler appears to need\n"
        "  --json     print findings and suggestions to standard output as JSON instead\n"
        "  --help     print this\n"
        "\n"
        "Exit status: 0 all are valid, 1 not all are (or not to be read), 2 wrong usage.\n",
        to);
}

// Returns -1 to go on, or an exit code.
static int parse_arguments(struct check *c, int argc, char **argv) {
    static const struct option options[] = {{"suggest", no_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 's':
            c->suggest = true;
            break;
        case 'j':
            c->as_json = true;
            break;
        case 'h':
            print_usage(stdout);
            return NX_EXIT_OK;
        default:
            fputs("Try 'nexus check --help'.\n", stderr);
            return NX_EXIT_USAGE;
        }
    }
    if (optind < argc)
        return -1;
    print_usage(stderr);
    return NX_EXIT_USAGE;
}

// ---- Suggestions

static const char *const type_names[NX_CAP_KINDS] = {
    [NX_CAP_STATE_READ] = "state:read",
    [NX_CAP_STATE_WRITE] = "state:write",
    [NX_CAP_EVENTS_EMIT] = "events:emit",
    [NX_CAP_VIEW_UPDATE] = "view:update",
    [NX_CAP_EXT] = "ext",
};

// Scopes as an attribute's value.
static void put_attribute(struct nx_span text) {
    for (size_t i = 0; i < text.len; i++) {
        static const char special[] = "&<>\"";
        static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
        const char *at = text.data[i] ? strchr(special, text.data[i]) : NULL;
        if (at) {
            fputs(entities[at - special], stdout);
            continue;
        }
        size_t plain = i;
        while (plain < text.len && !(text.data[plain] && strchr(special, text.data[plain])))
            plain++;
        nx_cli_put(stdout, nx_span_of(text.data + i, plain - i));
        i = plain - 1;
    }
}

static void print_as_nxml(const struct nx_suggestion *s) {
    fputs("<Capabilities>\n", stdout);
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        if (s->needs.all[kind])
            printf("  <Capability type=\"%s\" scope=\"*\"/>\n", type_names[kind]);
        for (size_t i = 0; i < s->needs.count; i++) {
            if ((int)s->needs.items[i].kind != kind)
                continue;
            printf("  <Capability type=\"%s\" scope=\"", type_names[kind]);
            put_attribute(nx_span_of(s->needs.items[i].scope, s->needs.items[i].scope_len));
            fputs("\"/>\n", stdout);
        }
    }
    fputs("</Capabilities>\n", stdout);
}

// Appends the tokens as a JSON array, as a JSON panel's "capabilities".
static void append_tokens(struct nx_buf *out, const struct nx_suggestion *s) {
    nx_buf_append_char(out, '[');
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        const char *prefix = nx_cap_prefix((enum nx_cap_kind)kind);
        if (s->needs.all[kind]) {
            nx_json_append_comma(out);
            nx_buf_printf(out, "\"%s*\"", prefix);
        }
        for (size_t i = 0; i < s->needs.count; i++) {
            const struct nx_cap *cap = &s->needs.items[i];
            if ((int)cap->kind != kind)
                continue;
            struct nx_buf token;
            nx_buf_init(&token, NX_MAX_CAP_TOKEN_BYTES);
            nx_cap_format(&token, cap->kind, nx_span_of(cap->scope, cap->scope_len));
            nx_json_append_comma(out);
            nx_json_append_string(out, nx_buf_span(&token));
            nx_buf_free(&token);
        }
    }
    nx_buf_append_char(out, ']');
}

static void print_as_json_panel(const struct nx_suggestion *s) {
    struct nx_buf text;
    nx_buf_init(&text, NX_MAX_PANEL_JSON_BYTES);
    append_tokens(&text, s);
    printf("\"capabilities\": %s\n", text.data ? text.data : "[]");
    nx_buf_free(&text);
}

// The line in the panel's file, or in the handler's own code for JSON panels.
static uint32_t file_line(const struct nx_handler_def *handler, uint32_t line) {
    return handler->pos.line ? handler->pos.line + line - 1 : line;
}

static void print_suggestion(const struct check *c, const struct nx_panel_def *def,
                             const char *name, const struct nx_handler_def *handler,
                             const struct nx_suggestion *s) {
    bool nxml = strcmp(def->kind, "nxml") == 0;
    printf(nxml ? "<!-- %s: %s -->\n" : "// %s: %s\n", nx_cli_file_name(c->file), name);
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        if (!s->unclear_line[kind])
            continue;
        printf(
            "%s %s:%u: %s: the scope is only known when the code runs: grant %s, or list by hand "
            "what it can be%s\n",
            nxml ? "<!--" : "//", nx_cli_file_name(c->file),
            file_line(handler, s->unclear_line[kind]), type_names[kind],
            nxml ? "scope=\"*\"" : "\"*\"", nxml ? " -->" : "");
    }
    if (nxml)
        print_as_nxml(s);
    else
        print_as_json_panel(s);
}

static void append_suggestion(struct nx_buf *out, const char *name,
                              const struct nx_handler_def *handler, const struct nx_suggestion *s) {
    nx_json_append_comma(out);
    nx_buf_append_char(out, '{');
    nx_json_append_key(out, "handler");
    nx_json_append_string(out, nx_span_str(name));
    nx_json_append_key(out, "capabilities");
    append_tokens(out, s);
    nx_json_append_key(out, "unclear");
    nx_buf_append_char(out, '[');
    for (int kind = 0; kind < NX_CAP_KINDS; kind++) {
        if (!s->unclear_line[kind])
            continue;
        nx_json_append_comma(out);
        nx_buf_printf(out, "{\"type\":\"%s\",\"line\":%u}", type_names[kind],
                      file_line(handler, s->unclear_line[kind]));
    }
    nx_buf_append_str(out, "]}");
}

static void suggest_for(struct check *c, const struct nx_panel_def *def, const char *name,
                        const struct nx_handler_def *handler) {
    struct nx_suggestion s;
    struct nx_error err = {0};
    if (!handler)
        return;
    if (nx_suggest(&s, nx_span_of(handler->code, handler->code_len), &err)) {
        fprintf(stderr, "nexus check: %s: %s: no suggestion: %s\n", nx_cli_file_name(c->file), name,
                err.message);
        return;
    }
    if (c->as_json)
        append_suggestion(&c->json, name, handler, &s);
    else
        print_suggestion(c, def, name, handler, &s);
    nx_suggestion_free(&s);
}

static void suggest(struct check *c, const struct nx_panel_def *def) {
    for (size_t i = 0; i < def->tool_count; i++)
        suggest_for(c, def, def->tools[i].name, &def->tools[i].handler);
    suggest_for(c, def, "mount", def->mount);
    suggest_for(c, def, "unmount", def->unmount);
}

// ---- Results

static void append_findings(struct nx_buf *out, const struct nx_diagnostics *found) {
    nx_json_append_key(out, "diagnostics");
    nx_buf_append_char(out, '[');
    for (size_t i = 0; i < found->count; i++) {
        const struct nx_diagnostic *d = &found->items[i];
        nx_json_append_comma(out);
        nx_buf_printf(out, "{\"severity\":\"%s\",\"code\":\"%s\",\"message\":",
                      d->warning ? "warning" : "error", d->code);
        nx_json_append_string(out, nx_span_str(d->message));
        if (d->pos.line)
            nx_buf_printf(out, ",\"line\":%u,\"column\":%u", d->pos.line, d->pos.column);
        nx_buf_append_char(out, '}');
    }
    nx_buf_append_char(out, ']');
}

static void begin_json(struct check *c, bool valid) {
    nx_json_append_comma(&c->json);
    nx_buf_append_str(&c->json, "{\"file\":");
    nx_json_append_string(&c->json, nx_span_str(nx_cli_file_name(c->file)));
    nx_buf_printf(&c->json, ",\"valid\":%s", valid ? "true" : "false");
}

static void print_valid(const struct check *c, const struct nx_diagnostics *found) {
    size_t warnings = found->count;
    nx_cli_put(stdout, nx_span_str(nx_cli_file_name(c->file)));
    if (warnings)
        printf(": valid, %zu warning%s\n", warnings, warnings == 1 ? "" : "s");
    else
        puts(": valid");
}

static void on_checked(void *user, const struct nx_panel_def *def,
                       const struct nx_diagnostics *found, const char *fault) {
    struct check *c = user;
    bool valid = found->errors == 0 && !fault;
    nx_cli_done(&c->cli);
    c->invalid |= !valid;
    c->fault |= fault != NULL;
    if (c->as_json) {
        begin_json(c, valid);
        append_findings(&c->json, found);
        if (c->suggest && valid) {
            nx_json_append_key(&c->json, "suggestions");
            nx_buf_append_char(&c->json, '[');
            suggest(c, def);
            nx_buf_append_char(&c->json, ']');
        }
        nx_buf_append_char(&c->json, '}');
    } else {
        nx_cli_print_findings(stderr, nx_cli_file_name(c->file), found, true);
        if (valid && c->suggest)
            suggest(c, def);
        else if (valid)
            print_valid(c, found);
    }
    if (fault)
        fprintf(stderr, "nexus check: %s: %s\n", nx_cli_file_name(c->file), fault);
}

// ---- The whole

// A file that cannot be read, or checked: said, and the next one follows.
static void report_unchecked(struct check *c, const struct nx_error *err) {
    c->invalid = true;
    fputs("nexus check: ", stderr);
    nx_cli_put(stderr, nx_span_str(err->message));
    fputc('\n', stderr);
    if (!c->as_json)
        return;
    begin_json(c, false);
    nx_buf_append_str(&c->json, ",\"diagnostics\":[],\"error\":");
    nx_json_append_string(&c->json, nx_span_str(err->message));
    nx_buf_append_char(&c->json, '}');
}

static void check_file(struct check *c, const char *file) {
    struct nx_buf source;
    struct nx_error err = {0};
    c->file = file;
    // Longer than any panel may be, so that the parser is the one to say so.
    int rc = nx_cli_read(file, NX_MAX_PANEL_JSON_BYTES + 1, &source, &err);
    if (rc == 0)
        rc = nx_runtime_check_source(c->cli.runtime, nx_buf_span(&source), on_checked, c, &err);
    if (rc)
        report_unchecked(c, &err);
    else
        nx_cli_wait(&c->cli);
    nx_buf_free(&source);
}

int nx_cmd_check(int argc, char **argv) {
    struct check c = {0};
    struct nx_error err = {0};
    int code = parse_arguments(&c, argc, argv);
    if (code >= 0)
        return code;
    if (nx_cli_start(&c.cli, NULL, &err)) {
        fprintf(stderr, "nexus check: %s\n", err.message);
        return NX_EXIT_FAULT;
    }
    nx_buf_init(&c.json, NX_MAX_HTTP_REPLY_BYTES);
    nx_buf_append_char(&c.json, '[');
    for (int i = optind; i < argc; i++)
        check_file(&c, argv[i]);
    nx_buf_append_str(&c.json, "]\n");
    if (c.as_json && c.json.failed)
        fputs("nexus check: too many findings to print\n", stderr);
    else if (c.as_json)
        fputs(c.json.data, stdout);
    code = c.invalid || c.json.failed ? NX_EXIT_FAULT : NX_EXIT_OK;
    nx_buf_free(&c.json);
    nx_cli_stop(&c.cli);
    return code;
}
