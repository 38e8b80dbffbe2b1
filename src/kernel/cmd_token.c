// SPDX-License-Identifier: Apache-2.0
// `nexus token`: an HS256 token under the configured secret, as `nexus serve` with the same
// settings takes it.
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "kernel/access.h"
#include "kernel/auth_jose.h"
#include "kernel/cmd.h"

struct request {
    const char *subject, *workspace; // NULL: not given
    json_t *permissions;             // owned arrays of strings; NULL: none given
    json_t *capabilities;
    int64_t ttl_s;
};

static void print_usage(FILE *to) {
    fputs("usage: nexus token --sub S [--workspace W] [--permission P]... [--capability T]...\n"
          "                   [--ttl TIME]\n"
          "\n"
          "Prints a token for nexus serve, signed with the secret in the file JWT_SECRET_FILE\n"
          "names, or in JWT_SECRET. JWT_ISSUER, JWT_AUDIENCE and WORKSPACE_ID go into it, if set.\n"
          "\n"
          "  --sub S         whom the token is for; appears in logs\n"
          "  --workspace W   workspace_id; WORKSPACE_ID if not given\n"
          "  --permission P  panel:create, panel:read, panel:execute, panel:delete, metrics:read,\n"
          "                  or '*'; without any, the token permits nothing\n"
          "  --capability T  what panels created with the token may be granted, like\n"
          "                  'state:read:*'; without any, what the server's policy allows\n"
          "  --ttl TIME      how long it is valid: 30s, 15m, 1h (the default), 7d\n"
          "  --help          print this\n"
          "\n"
          "Exit status: 0 on success, 2 on a wrong call or bad settings.\n",
          to);
}

static int usage_error(const char *what, const char *value) {
    fprintf(stderr, "nexus token: %s: %.200s\nTry 'nexus token --help'.\n", what, value);
    return NX_EXIT_USAGE;
}

// ---- Arguments

// "90", "90s", "15m", "1h", "7d". False: anything else, or more than NX_MAX_TOKEN_TTL_S.
static bool parse_ttl(const char *text, int64_t *ttl_s) {
    static const struct {
        const char *unit;
        int64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    int64_t value = 0;
    size_t digits = strspn(text, "0123456789");
    for (size_t i = 0; i < digits && value <= NX_MAX_TOKEN_TTL_S; i++)
        value = value * 10 + (text[i] - '0');
    for (size_t i = 0; digits && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + digits, units[i].unit) == 0) {
            *ttl_s = value * units[i].seconds;
            return *ttl_s > 0 && *ttl_s <= NX_MAX_TOKEN_TTL_S;
        }
    }
    return false;
}

static bool add_text(json_t **list, const char *text) {
    if (!*list)
        *list = json_array();
    return json_array_append_new(*list, json_string(text)) == 0;
}

static int take_permission(struct request *request, const char *name) {
    if (!nx_permission_parse(nx_span_str(name)))
        return usage_error("there is no such permission", name);
    return add_text(&request->permissions, name) ? -1 : usage_error("not text", name);
}

static int take_capability(struct request *request, const char *token) {
    struct nx_cap_set set = {0};
    int rc = nx_caps_add(&set, nx_span_str(token), NULL);
    nx_caps_free(&set);
    if (rc)
        return usage_error("not a capability", token);
    return add_text(&request->capabilities, token) ? -1 : usage_error("not text", token);
}

static int take_option(struct request *request, int option) {
    switch (option) {
    case 's':
        request->subject = optarg;
        return strlen(optarg) <= NX_MAX_SUBJECT_BYTES ? -1 : usage_error("too long", "--sub");
    case 'w':
        request->workspace = optarg;
        return -1;
    case 'p':
        return take_permission(request, optarg);
    case 'c':
        return take_capability(request, optarg);
    case 't':
        return parse_ttl(optarg, &request->ttl_s)
                   ? -1
                   : usage_error("--ttl takes a time like 15m or 1h, at most 366d", optarg);
    case 'h':
        print_usage(stdout);
        return NX_EXIT_OK;
    default:
        fputs("Try 'nexus token --help'.\n", stderr);
        return NX_EXIT_USAGE;
    }
}

// Returns -1 to go on, or an exit code.
static int parse_arguments(int argc, char **argv, struct request *request) {
    static const struct option options[] = {{"sub", required_argument, NULL, 's'},
                                            {"workspace", required_argument, NULL, 'w'},
                                            {"permission", required_argument, NULL, 'p'},
                                            {"capability", required_argument, NULL, 'c'},
                                            {"ttl", required_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option, code = -1;
    optind = 1;
    while (code < 0 && (option = getopt_long(argc, argv, "h", options, NULL)) != -1)
        code = take_option(request, option);
    if (code < 0 && optind < argc)
        code = usage_error("unexpected argument", argv[optind]);
    if (code < 0 && (!request->subject || !request->subject[0]))
        code = usage_error("missing option", "--sub");
    return code;
}

// ---- Settings

static void print_problems(const struct nx_buf *problems) {
    for (const char *line = problems->data; line && *line;) {
        size_t len = strcspn(line, "\n");
        fprintf(stderr, "nexus token: bad setting: %.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
}

// The settings and the key they name. Returns -1, or an exit code.
static int load(struct nx_config *config, struct nx_auth_key **key) {
    extern char **environ;
    struct nx_buf problems;
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    int rc = nx_config_load_tokens(config, (const char *const *)environ, &problems);
    if (rc == 0 && config->jwt_alg != NX_AUTH_HS256) {
        nx_buf_printf(&problems,
                      "JWT_ALG=%s: its tokens are signed with a private key, by whoever has it\n",
                      nx_auth_alg_name(config->jwt_alg));
        rc = NX_E_INVALID;
    }
    if (rc == 0)
        rc = nx_access_secret_key(key, config, &problems);
    nx_access_forget_secret(config, environ);
    print_problems(&problems);
    nx_buf_free(&problems);
    return rc ? NX_EXIT_USAGE : -1;
}

// ---- The token

static bool put(json_t *claims, const char *name, json_t *value) {
    return json_object_set_new(claims, name, value) == 0;
}

static bool put_text(json_t *claims, const char *name, const char *value) {
    return !value || put(claims, name, json_string(value));
}

// False: a text is not UTF-8, or memory is out.
static bool fill_claims(json_t *claims, const struct request *request,
                        const struct nx_config *config) {
    int64_t now_s = nx_clock_wall_ms() / 1000;
    const char *workspace = request->workspace ? request->workspace : config->workspace_id;
    return put_text(claims, "iss", config->jwt_issuer) &&
           put_text(claims, "aud", config->jwt_audience) &&
           put_text(claims, "sub", request->subject) &&
           put_text(claims, "workspace_id", workspace) && put(claims, "iat", json_integer(now_s)) &&
           put(claims, "exp", json_integer(now_s + request->ttl_s)) &&
           (!request->permissions ||
            json_object_set(claims, "permissions", request->permissions) == 0) &&
           (!request->capabilities ||
            json_object_set(claims, "capabilities", request->capabilities) == 0);
}

static bool sign(const struct nx_auth_key *key, struct nx_span claims, struct nx_buf *token) {
    unsigned char mac[NX_AUTH_MAC_BYTES];
    nx_jose_encode(nx_span_str("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"), token);
    nx_buf_append_char(token, '.');
    nx_jose_encode(claims, token);
    if (token->failed || nx_auth_key_sign(key, nx_buf_span(token), mac))
        return false;
    nx_buf_append_char(token, '.');
    return nx_jose_encode(nx_span_of(mac, sizeof mac), token) == 0;
}

static int print_token(const struct request *request, const struct nx_config *config,
                       const struct nx_auth_key *key) {
    json_t *claims = json_object();
    char *text = NULL;
    struct nx_buf token;
    int code = NX_EXIT_OK;
    nx_buf_init(&token, NX_MAX_TOKEN_BYTES);
    if (claims && fill_claims(claims, request, config))
        text = json_dumps(claims, JSON_COMPACT);
    if (!text)
        code = usage_error("not UTF-8", "a value for the token");
    else if (!sign(key, nx_span_str(text), &token))
        code = usage_error("too much for one token", "name fewer capabilities");
    else
        puts(token.data);
    free(text);
    json_decref(claims);
    nx_buf_free(&token);
    return code;
}

int nx_cmd_token(int argc, char **argv) {
    struct request request = {.ttl_s = NX_DEFAULT_TOKEN_TTL_S};
    struct nx_config config;
    struct nx_auth_key *key = NULL;
    int code = parse_arguments(argc, argv, &request);
    if (code < 0)
        code = load(&config, &key);
    if (code < 0)
        code = print_token(&request, &config, key);
    nx_auth_key_free(key);
    json_decref(request.permissions);
    json_decref(request.capabilities);
    return code;
}
