// SPDX-License-Identifier: Apache-2.0
// Memory that runs out at any point of a call: the call ends with an error (or without, if nobody
// needed that memory), the next one works, nothing is lost. The test stands in front of the C
// library's allocator, which the sanitizers do too: with them it only checks that calls work.
//
// libcurl gets its memory from functions of its own here, which fail only while a call starts,
// where its results are ours to check: on its own it does not always survive (7.88 divides by the
// size of a table it could not make). libuv's never fail: it ends the process itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "ext/ext.h"
#include "ext/http.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { MAX_POINTS = 20000 };

// Of the thread that makes the calls; the server's allocations do not count.
static _Thread_local bool armed, counting, starting;
static _Thread_local long until_fail, balance;
static long failures;

#if !SANITIZED

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *memory);

#define PASS_THROUGH(name)                                                                         \
    static void *name##_malloc(size_t size) {                                                      \
        return name##_refuses() ? NULL : count(__libc_malloc(size));                               \
    }                                                                                              \
    static void *name##_calloc(size_t n, size_t size) {                                            \
        return name##_refuses() ? NULL : count(__libc_calloc(n, size));                            \
    }                                                                                              \
    static void *name##_realloc(void *old, size_t size) {                                          \
        if (name##_refuses())                                                                      \
            return NULL;                                                                           \
        void *memory = __libc_realloc(old, size);                                                  \
        return old ? memory : count(memory);                                                       \
    }

// One allocation fails, then there is memory again: the clean-up after it is tried as well.
static bool refuse(void) {
    if (!armed || until_fail-- != 0)
        return false;
    failures++;
    return true;
}

static void *count(void *memory) {
    balance += counting && memory;
    return memory;
}

static bool uv_refuses(void) {
    return false;
}

static bool curl_refuses(void) {
    return starting && refuse();
}

PASS_THROUGH(uv)
PASS_THROUGH(curl)

static char *curl_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = curl_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static void take_over(void) {
    assert_int_equal(uv_replace_allocator(uv_malloc, uv_realloc, uv_calloc, free), 0);
    assert_int_equal(curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, free, curl_realloc,
                                          curl_strdup, curl_calloc),
                     0);
}

void *malloc(size_t size) {
    return refuse() ? NULL : count(__libc_malloc(size));
}

// The C library names its parameters otherwise.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
void *calloc(size_t n, size_t size) {
    return refuse() ? NULL : count(__libc_calloc(n, size));
}

void *realloc(void *old, size_t size) {
    if (refuse())
        return NULL;
    void *memory = __libc_realloc(old, size);
    return old ? memory : count(memory);
}

void free(void *memory) {
    balance -= counting && memory;
    __libc_free(memory);
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)

#else

static void take_over(void) {
    assert_int_equal(curl_global_init(CURL_GLOBAL_DEFAULT), 0);
}

#endif

// ---- A server

static uint16_t port;

static void *serve(void *user) {
    static const char redirect[] = "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n"
                                   "Connection: close\r\n\r\n";
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 "Set-Cookie: a\r\nSet-Cookie: b\r\nConnection: close\r\n\r\n[1]";
    int listener = *(int *)user, fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        char request[2048];
        ssize_t len = read(fd, request, sizeof request);
        bool first = len > 8 && memcmp(request, "POST /a ", 8) == 0;
        const char *text = first ? redirect : answer;
        if (len > 0 && write(fd, text, strlen(text)) < 0)
            perror("write");
        close(fd);
    }
    return NULL;
}

static void start_server(pthread_t *thread, int *listener) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(*listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(*listener, 64), 0);
    assert_int_equal(getsockname(*listener, (struct sockaddr *)&address, &len), 0);
    port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(thread, NULL, serve, listener), 0);
}

// ---- Calls

static uv_loop_t loop;
static struct nx_ext_registry *registry;

static void set_up(void) {
    char address[32];
    struct nx_error err = {0};
    struct nx_ext_http_config config;
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    nx_ext_http_config_default(&config);
    config.allowed_domains = "127.0.0.1";
    config.allow_addresses = address;
    config.timeout_ms = 3000; // what cannot be watched for lack of memory ends like this
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(nx_ext_registry_new(&registry, &loop, &err), 0);
    if (nx_ext_register_http(registry, &config, &err))
        fail_msg("%s", err.message);
}

static void tear_down(void) {
    nx_ext_registry_free(registry);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

struct outcome {
    bool done, ok;
    size_t len;
};

static void on_done(void *user, const struct nx_ext_result *result) {
    struct outcome *outcome = user;
    outcome->done = true;
    outcome->ok = result->ok;
    outcome->len = result->json.len;
    assert_true(result->ok ? result->json.len > 0 : result->message.len > 0);
}

// A call with a body, headers and a redirect. Whether it succeeded.
static bool call(void) {
    char args[256];
    struct nx_error err = {0};
    struct nx_ext_op *op = NULL;
    enum nx_result_code code;
    struct outcome outcome = {0};
    snprintf(args, sizeof args,
             "[\"http://127.0.0.1:%u/a\", {\"a\": 1}, {\"headers\": {\"X\": 1}}]", port);
    struct nx_ext_request request = {.extension = nx_span_str("http"),
                                     .method = nx_span_str("post"),
                                     .args_json = nx_span_str(args),
                                     .request_id = nx_span_str("id"),
                                     .tenant = nx_span_str("panel")};
    starting = true;
    int rc = nx_ext_call(registry, &request, on_done, &outcome, &op, &code, &err);
    starting = false;
    if (rc) {
        assert_int_equal(code, NX_RESULT_EXTENSION_ERROR);
        return false;
    }
    assert_false(outcome.done); // never before the call returns
    while (!outcome.done)
        uv_run(&loop, UV_RUN_ONCE);
    return outcome.ok;
}

static void every_allocation_fails_once(void **state) {
    (void)state;
    pthread_t thread;
    int listener;
    start_server(&thread, &listener);
    take_over(); // first of all, so that what the libraries keep for good is not counted
    set_up();
    assert_true(call());
    tear_down();
    counting = true;
    set_up();
    long point = 0, failed = 0;
    for (long before = -1; before != failures && point < MAX_POINTS; point++) {
        before = failures;
        until_fail = point;
        armed = true;
        bool ok = call();
        armed = false;
        failed += !ok;
        if (!call())
            fail_msg("the call after failure %ld", point);
    }
    tear_down();
    counting = false;
    assert_int_equal(balance, 0);
    if (SANITIZED)
        assert_int_equal(failed, 0);
    else
        assert_true(point > 30 && point < MAX_POINTS && failed > 20);
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    curl_global_cleanup();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_fails_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
