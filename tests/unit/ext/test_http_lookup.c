// SPDX-License-Identifier: Apache-2.0
// Names that take for ever to look up: giving such a call up neither waits for the thread that does
// it, nor lets more of these threads run than calls may be on the wire.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "ext/ext.h"
#include "ext/http.h"

enum { TIMEOUT_MS = 1000, MUCH_LATER_MS = 5000 };

static atomic_int lookups; // under way
static sem_t answer;       // lets one end

// In place of the C library's: every name is slow. (libcurl finds this one first, because the
// program comes before the libraries.)
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result) {
    (void)name;
    (void)service;
    (void)hints;
    *result = NULL;
    lookups++;
    while (sem_wait(&answer))
        ;
    lookups--;
    return EAI_AGAIN;
}

struct fixture {
    uv_loop_t loop;
    struct nx_ext_registry *registry;
};

struct outcome {
    bool done, ok;
    char message[256];
};

static void on_done(void *user, const struct nx_ext_result *result) {
    struct outcome *outcome = user;
    outcome->done = true;
    outcome->ok = result->ok;
    snprintf(outcome->message, sizeof outcome->message, "%.*s", (int)result->message.len,
             result->message.data ? result->message.data : "");
}

static void set_up(struct fixture *f) {
    struct nx_error err = {0};
    struct nx_ext_http_config config;
    nx_ext_http_config_default(&config);
    config.allowed_domains = "*";
    config.max_concurrent = 1;
    config.timeout_ms = TIMEOUT_MS;
    assert_int_equal(sem_init(&answer, 0, 0), 0);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(nx_ext_registry_new(&f->registry, &f->loop, &err), 0);
    assert_int_equal(nx_ext_register_http(f->registry, &config, &err), 0);
}

// Everything is gone, and nothing keeps the loop.
static void tear_down(struct fixture *f) {
    nx_ext_registry_free(f->registry);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    while (lookups) {
        sem_post(&answer);
        uv_sleep(1);
    }
}

static struct nx_ext_op *start(struct fixture *f, const char *tenant, const char *url,
                               struct outcome *outcome) {
    char args[128];
    struct nx_error err = {0};
    struct nx_ext_op *op = NULL;
    enum nx_result_code code;
    snprintf(args, sizeof args, "[\"%s\"]", url);
    struct nx_ext_request request = {.extension = nx_span_str("http"),
                                     .method = nx_span_str("get"),
                                     .args_json = nx_span_str(args),
                                     .tenant = nx_span_str(tenant)};
    *outcome = (struct outcome){0};
    if (nx_ext_call(f->registry, &request, on_done, outcome, &op, &code, &err))
        fail_msg("%s", err.message);
    return op;
}

static void run_until(struct fixture *f, const bool *done) {
    while (!*done)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static void run_until_looking_up(struct fixture *f) {
    while (!lookups)
        uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void giving_up_does_not_wait(void **state) {
    (void)state;
    struct fixture f;
    struct outcome first, second, third;
    set_up(&f);
    uint64_t started = uv_now(&f.loop);
    start(&f, "a", "http://slow.example/", &first);
    run_until(&f, &first.done);
    assert_string_equal(first.message, "no complete answer within 1000 ms");
    assert_true(uv_now(&f.loop) - started < MUCH_LATER_MS);
    assert_int_equal(lookups, 1);
    // The thread is still there, so the tenant's one turn is taken; another tenant has its own.
    start(&f, "a", "http://127.0.0.1:1/", &second);
    start(&f, "b", "http://127.0.0.1:1/", &third);
    run_until(&f, &third.done);
    assert_non_null(strstr(third.message, "loopback"));
    assert_false(second.done);
    run_until(&f, &second.done);
    assert_string_equal(second.message, "no complete answer within 1000 ms");
    tear_down(&f);
}

static void cancelling_does_not_wait(void **state) {
    (void)state;
    struct fixture f;
    struct outcome first, second;
    set_up(&f);
    struct nx_ext_op *op = start(&f, "a", "http://slow.example/", &first);
    run_until_looking_up(&f);
    uint64_t started = uv_hrtime();
    nx_ext_cancel(op);
    assert_true((uv_hrtime() - started) / 1000000 < TIMEOUT_MS);
    start(&f, "a", "http://127.0.0.1:1/", &second);
    run_until(&f, &second.done);
    assert_string_equal(second.message, "no complete answer within 1000 ms");
    assert_false(first.done);
    tear_down(&f);
}

// The control: without a lookup a call that is given up leaves its turn at once, at whatever point.
static void turns_come_back(void **state) {
    (void)state;
    struct fixture f;
    struct outcome first, second;
    set_up(&f);
    nx_ext_cancel(start(&f, "a", "http://never.example/", &first)); // not begun
    struct nx_ext_op *waiting = start(&f, "a", "http://slow.example/", &first);
    struct nx_ext_op *behind = start(&f, "a", "http://slow.example/", &second);
    nx_ext_cancel(behind); // still waiting
    nx_ext_cancel(waiting);
    start(&f, "a", "http://127.0.0.1:1/", &second);
    run_until(&f, &second.done);
    assert_non_null(strstr(second.message, "loopback"));
    // A lookup that ends, ends its call's turn, too.
    start(&f, "a", "http://slow.example/", &first);
    run_until_looking_up(&f);
    sem_post(&answer);
    run_until(&f, &first.done);
    assert_non_null(strstr(first.message, "resolve"));
    start(&f, "a", "http://127.0.0.1:1/", &second);
    run_until(&f, &second.done);
    assert_non_null(strstr(second.message, "loopback"));
    assert_false(first.ok || second.ok);
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(giving_up_does_not_wait),
        cmocka_unit_test(cancelling_does_not_wait),
        cmocka_unit_test(turns_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
