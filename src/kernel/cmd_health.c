// SPDX-License-Identifier: Apache-2.0
// `nexus health`: asks a server whether it lives. For containers, whose images have no HTTP client.
#include <curl/curl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "kernel/cmd.h"
#include "kernel/config.h"

static void print_usage(FILE *to) {
    fputs("usage: nexus health [--url URL]\n"
          "\n"
          "Asks a server for /health and prints what it found. The server is that of HOST and\n"
          "HTTP_PORT, as 'nexus serve' reads them from the environment.\n"
          "\n"
          "  --url URL  ask this server, e.g. http://127.0.0.1:3000\n"
          "  --help     print this\n"
          "\n"
          "Exit status: 0 if it is healthy, 1 if not or if it does not answer within 3 seconds,\n"
          "2 on wrong usage or bad settings.\n",
          to);
}

// Returns -1 to go on, or an exit code.
static int parse_arguments(int argc, char **argv, const char **url) {
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'}, {"help", no_argument, NULL, 'h'}, {0}};
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'u':
            *url = optarg;
            break;
        case 'h':
            print_usage(stdout);
            return NX_EXIT_OK;
        default:
            fputs("Try 'nexus health --help'.\n", stderr);
            return NX_EXIT_USAGE;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "nexus health: unexpected argument '%s'\n", argv[optind]);
    return NX_EXIT_USAGE;
}

// ---- Which server

// A server that listens on every address is asked on loopback.
static const char *reachable(const char *host) {
    if (strcmp(host, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(host, "::") == 0 ? "::1" : host;
}

static int url_from_settings(struct nx_buf *url) {
    extern char **environ;
    struct nx_config config;
    struct nx_buf problems;
    nx_buf_init(&problems, NX_MAX_CONFIG_PROBLEM_BYTES);
    int rc = nx_config_load_address(&config, (const char *const *)environ, &problems);
    if (rc) {
        fprintf(stderr, "nexus health: bad setting: %s", problems.data ? problems.data : "\n");
    } else if (config.http_port <= 0) {
        fputs("nexus health: HTTP_PORT does not say which port the server has; use --url\n",
              stderr);
        rc = NX_E_INVALID;
    } else {
        const char *host = reachable(config.host);
        bool v6 = strchr(host, ':') != NULL;
        nx_buf_printf(url, "http://%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "",
                      (int)config.http_port);
    }
    nx_buf_free(&problems);
    return rc;
}

static int make_url(const char *given, struct nx_buf *url) {
    if (!given) {
        if (url_from_settings(url))
            return NX_E_INVALID;
    } else {
        size_t len = strlen(given);
        while (len && given[len - 1] == '/')
            len--;
        nx_buf_append(url, given, len);
    }
    nx_buf_append_str(url, "/health");
    if (url->failed)
        fputs("nexus health: the URL is too long\n", stderr);
    return url->failed;
}

// ---- Asking

// The status says it all.
static size_t discard(char *data, size_t size, size_t count, void *user) {
    (void)data;
    (void)user;
    return size * count;
}

static CURLcode set_up(CURL *easy, const char *url, char *detail) {
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_URL, url);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    // The server itself is meant, whatever proxy the environment names.
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)NX_HEALTH_TIMEOUT_MS);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
    return rc;
}

// The status of the answer, or 0 after saying why there is none.
static long ask(const char *url) {
    char detail[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURL *easy = curl_easy_init();
    CURLcode rc = easy ? set_up(easy, url, detail) : CURLE_OUT_OF_MEMORY;
    if (rc == CURLE_OK)
        rc = curl_easy_perform(easy);
    if (rc == CURLE_OK)
        rc = curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    if (rc == CURLE_OK)
        return status;
    fprintf(stderr, "nexus health: %s: %s\n", url, detail[0] ? detail : curl_easy_strerror(rc));
    return 0;
}

int nx_cmd_health(int argc, char **argv) {
    const char *given = NULL;
    struct nx_buf url;
    int code = parse_arguments(argc, argv, &given);
    if (code >= 0)
        return code;
    nx_buf_init(&url, NX_MAX_PUBLIC_URL_BYTES);
    code = NX_EXIT_USAGE;
    if (make_url(given, &url) == 0) {
        long status = ask(url.data);
        code = status == 200 ? NX_EXIT_OK : NX_EXIT_FAULT;
        if (status == 200)
            puts("healthy");
        else if (status)
            fprintf(stderr, "nexus health: %s: answered %ld\n", url.data, status);
    }
    nx_buf_free(&url);
    return code;
}
