// SPDX-License-Identifier: Apache-2.0
// The engine with the real guest: handlers run, memory is pristine after every call, traps end
// calls.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/privileges.h"
#include "sandbox/engine.h"

static char state[64];   // the one key there is
static char result[256]; // what the handler returned
static char bytecode[65536];
static size_t result_len, bytecode_len;
static int error_kind, error_line, error_column;
static char error_message[256];

static int32_t copy_out(uint32_t to, uint32_t cap, const char *text) {
    const size_t len = strlen(text);
    uint8_t *at = nx_engine_memory(to, cap);
    if (at != NULL && len <= cap) {
        memcpy(at, text, len);
    }
    return (int32_t)len;
}

static int32_t on_get(void *user, uint32_t key, uint32_t key_len, uint32_t buf, uint32_t cap) {
    (void)user;
    (void)key;
    (void)key_len;
    return state[0] == '\0' ? NX_HOST_ABSENT : copy_out(buf, cap, state);
}

static int32_t on_set(void *user, uint32_t key, uint32_t key_len, uint32_t json, uint32_t len) {
    (void)user;
    (void)key;
    (void)key_len;
    const uint8_t *at = nx_engine_memory(json, len);
    if (at == NULL || len >= sizeof(state)) {
        return NX_HOST_INVALID;
    }
    memcpy(state, at, len);
    state[len] = '\0';
    return NX_HOST_OK;
}

static int32_t on_keys(void *user, uint32_t buf, uint32_t cap) {
    (void)user;
    (void)buf;
    (void)cap;
    return 0;
}

static void on_result(void *user, uint32_t data, uint32_t len) {
    (void)user;
    const uint8_t *at = nx_engine_memory(data, len);
    assert_non_null(at);
    if (len < sizeof(result)) {
        memcpy(result, at, len);
        result[len] = '\0';
        result_len = len;
    }
    if (len <= sizeof(bytecode)) {
        memcpy(bytecode, at, len);
        bytecode_len = len;
    }
}

static void on_error(void *user, int32_t kind, uint32_t message, uint32_t message_len,
                     uint32_t stack, uint32_t stack_len, uint32_t detail, uint32_t detail_len,
                     int32_t line, int32_t column) {
    (void)user;
    (void)stack;
    (void)stack_len;
    (void)detail;
    (void)detail_len;
    const uint8_t *at = nx_engine_memory(message, message_len);
    assert_non_null(at);
    const size_t len =
        message_len < sizeof(error_message) ? message_len : sizeof(error_message) - 1;
    memcpy(error_message, at, len);
    error_message[len] = '\0';
    error_kind = kind;
    error_line = line;
    error_column = column;
}

static const struct nx_engine_imports imports = {.state_get = on_get,
                                                 .state_set = on_set,
                                                 .state_keys = on_keys,
                                                 .result = on_result,
                                                 .error = on_error};

static uint32_t put(struct nx_instance *instance, const char *data, size_t len) {
    uint32_t address;
    assert_int_equal(
        nx_instance_call(instance, NX_EXPORT_ALLOC, (uint32_t[5]){(uint32_t)len + 1}, &address),
        NX_TRAP_NONE);
    uint8_t *at = nx_instance_memory(instance, address, (uint32_t)len + 1);
    assert_non_null(at);
    memcpy(at, data, len);
    at[len] = 0;
    return address;
}

static uint32_t compile(const char *source) {
    struct nx_instance *instance = nx_instance_new(NX_GUEST_COMPILE);
    uint32_t outcome;
    assert_non_null(instance);
    const uint32_t address = put(instance, source, strlen(source));
    assert_int_equal(nx_instance_call(instance, NX_EXPORT_COMPILE,
                                      (uint32_t[5]){address, (uint32_t)strlen(source), 0, 7, 5},
                                      &outcome),
                     NX_TRAP_NONE);
    nx_instance_free(instance);
    return outcome;
}

// An instance that holds the compiled handler.
static struct nx_instance *load(const char *source) {
    assert_int_equal(compile(source), NX_GUEST_DONE);
    struct nx_instance *instance = nx_instance_new(NX_GUEST_EXECUTE);
    assert_non_null(instance);
    const uint32_t address = put(instance, bytecode, bytecode_len);
    uint32_t outcome;
    assert_int_equal(nx_instance_call(instance, NX_EXPORT_LOAD,
                                      (uint32_t[5]){address, (uint32_t)bytecode_len}, &outcome),
                     NX_TRAP_NONE);
    assert_int_equal(outcome, NX_GUEST_DONE);
    return instance;
}

// Where the inputs are.
static uint32_t put_inputs(struct nx_instance *instance) {
    struct nx_guest_shared *shared = nx_instance_shared(instance);
    shared->seed = 1;
    uint8_t *inbox = nx_instance_memory(instance, shared->inbox_address, 6);
    assert_non_null(inbox);
    memcpy(inbox, "{}\0{}", 6);
    return shared->inbox_address;
}

static enum nx_trap run(struct nx_instance *instance, uint32_t *outcome) {
    const uint32_t inputs = put_inputs(instance);
    return nx_instance_call(instance, NX_EXPORT_RUN, (uint32_t[5]){inputs, 2, 2}, outcome);
}

static void counts_and_is_pristine_again(void **unused) {
    (void)unused;
    struct nx_instance *instance =
        load("globalThis.seen = (globalThis.seen || 0) + 1; Array.prototype.leak = 1;\n"
             "$state.count = ($state.count || 0) + 1; return globalThis.seen");
    struct nx_snapshot *warm = nx_instance_snapshot(instance);
    assert_non_null(warm);
    nx_instance_bind(instance, warm);
    state[0] = '\0';
    for (int i = 1; i <= 1000; i++) {
        uint32_t outcome;
        assert_int_equal(run(instance, &outcome), NX_TRAP_NONE);
        assert_int_equal(outcome, NX_GUEST_DONE);
        assert_string_equal(result, "1"); // control below: without the reset it counts
        nx_instance_reset(instance, false);
    }
    assert_string_equal(state, "1000");
    uint32_t outcome;
    assert_int_equal(run(instance, &outcome), NX_TRAP_NONE);
    assert_int_equal(run(instance, &outcome), NX_TRAP_NONE);
    assert_string_equal(result, "2");
    nx_instance_free(instance);
    nx_snapshot_free(warm);
}

static bool same_memory(struct nx_instance *a, struct nx_instance *b) {
    const uint32_t bytes = nx_instance_memory_bytes(a);
    return bytes == nx_instance_memory_bytes(b) &&
           memcmp(nx_instance_memory(a, 0, bytes), nx_instance_memory(b, 0, bytes), bytes) == 0;
}

// Whatever an instance held and ran before, bound to a snapshot it is as a new one bound to that.
static void an_instance_moves_between_handlers(void **unused) {
    (void)unused;
    static const char *const bodies[] = {
        "$state.count = 1",
        "/* a longer one */ const text = 'x'.repeat(300000); $state.count = text.length;"
        "globalThis.kept = [text, {}, () => text, /x+/g, new Map([[text, 1]])]"};
    struct nx_snapshot *snapshots[3] = {NULL}; // the last: the plain image
    struct nx_instance *fresh[3], *moving = nx_instance_new(NX_GUEST_EXECUTE);
    for (size_t i = 0; i < 3; i++) {
        if (i < 2) {
            struct nx_instance *loaded = load(bodies[i]);
            snapshots[i] = nx_instance_snapshot(loaded);
            assert_non_null(snapshots[i]);
            nx_instance_free(loaded);
        }
        fresh[i] = nx_instance_new(NX_GUEST_EXECUTE);
        nx_instance_bind(fresh[i], snapshots[i]);
    }
    assert_false(same_memory(fresh[0], fresh[1])); // it can tell them apart
    assert_false(same_memory(fresh[0], fresh[2]));
    static const size_t order[] = {0, 1, 0, 0, 2, 1, 1, 2, 0, 1};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        uint32_t outcome;
        nx_instance_bind(moving, snapshots[order[i]]);
        assert_true(same_memory(moving, fresh[order[i]]));
        if (order[i] == 2) {
            continue; // nothing is loaded that could run
        }
        assert_int_equal(run(moving, &outcome), NX_TRAP_NONE);
        assert_int_equal(outcome, NX_GUEST_DONE);
        assert_false(same_memory(moving, fresh[order[i]]));
        nx_instance_reset(moving, i % 3 == 0);
        assert_true(same_memory(moving, fresh[order[i]]));
    }
    nx_instance_free(moving);
    for (size_t i = 0; i < 3; i++) {
        nx_instance_free(fresh[i]);
        nx_snapshot_free(snapshots[i]);
    }
}

// A body without the word `await` is compiled as a plain function; nothing else may tell.
static void plain_and_async_bodies_do_the_same(void **unused) {
    (void)unused;
    static const struct {
        const char *body, *result; // NULL: an error
    } cases[] = {
        {"", ""},
        {"return", ""},
        {"return 7", "7"},
        {"return -0.5", "-0.5"},
        {"return 0 / 0", "null"},
        {"return 1 / 0", "null"},
        {"return 1e21", "1e+21"},
        {"return true", "true"},
        {"return null", "null"},
        {"return '\\n'", "\"\\n\""},
        {"return () => 1", ""},
        {"return [1, {a: $args}, $scope]", "[1,{\"a\":{}},{}]"},
        {"return Promise.resolve(1).then((x) => x + 1)", "2"},
        {"return { then(done) { done('adopted'); } }", "\"adopted\""},
        {"let n = 0; Promise.resolve().then(() => n++); return { toJSON: () => n }", "1"},
        {"return (() => typeof this)()", "\"undefined\""},
        {"throw new Error('mine')", NULL},
        {"return Promise.reject(new Error('mine'))", NULL},
        {"return { then() { throw new Error('mine'); } }", NULL},
        {"return new Promise(() => {})", NULL}, // nothing can settle it
    };
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        char body[256];
        snprintf(body, sizeof(body), "%s%s", cases[i / 2].body,
                 i % 2 == 0 ? "" : "\n// await: the other form");
        struct nx_instance *instance = load(body);
        uint32_t outcome;
        memset(result, 'x', sizeof(result));
        assert_int_equal(run(instance, &outcome), NX_TRAP_NONE);
        if (cases[i / 2].result != NULL) {
            assert_int_equal(outcome, NX_GUEST_DONE);
            assert_string_equal(result, cases[i / 2].result);
        } else {
            assert_int_equal(outcome, NX_GUEST_ERROR);
        }
        nx_instance_free(instance);
    }
}

static void state_numbers_keep_their_value(void **unused) {
    (void)unused;
    static const char *const texts[][2] = {{"41", "42"},
                                           {"0", "1"},
                                           {"-1", "0"},
                                           {"-0", "1"},
                                           {"999999999", "1000000000"},
                                           {"2147483647", "2147483648"},
                                           {"-2147483649", "-2147483648"},
                                           {"1.5e3", "1501"}};
    struct nx_instance *instance = load("$state.count += 1; return $state.count");
    struct nx_snapshot *warm = nx_instance_snapshot(instance);
    assert_non_null(warm);
    nx_instance_bind(instance, warm);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint32_t outcome;
        snprintf(state, sizeof(state), "%s", texts[i][0]);
        assert_int_equal(run(instance, &outcome), NX_TRAP_NONE);
        assert_int_equal(outcome, NX_GUEST_DONE);
        assert_string_equal(state, texts[i][1]);
        assert_string_equal(result, texts[i][1]);
        nx_instance_reset(instance, false);
    }
    nx_instance_free(instance);
    nx_snapshot_free(warm);
}

static volatile sig_atomic_t slow_calls;

static void count_slow(void) {
    slow_calls++;
}

static void deadline_stops_loops_and_builtins(void **unused) {
    (void)unused;
    static const char *const endless[] = {"while (true) {}",
                                          "for (;;) 'x'.repeat(2**24).split('y')",
                                          "/^(a+)+$/.test('a'.repeat(40) + 'b')",
                                          "const f = () => Promise.resolve().then(f); await f()"};
    for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
        struct nx_instance *instance = load(endless[i]);
        const uint64_t start = nx_clock_monotonic_ns();
        uint32_t outcome = NX_GUEST_DONE;
        const struct nx_deadline deadline = {
            .slow_ns = start + 1000000, .soft_ns = start + 50000000, .hard_ns = start + 60000000};
        slow_calls = 0;
        nx_engine_on_slow(count_slow);
        nx_engine_set_deadline(instance, &deadline);
        const enum nx_trap trap = run(instance, &outcome);
        nx_engine_clear_deadline();
        assert_int_equal(slow_calls, 1);
        assert_true(trap == NX_TRAP_DEADLINE || outcome == NX_GUEST_ERROR);
        assert_true(nx_clock_monotonic_ns() - start < 20000000000);
        nx_instance_free(instance);
    }
}

static void errors_have_the_files_positions(void **unused) {
    (void)unused;
    assert_int_equal(compile("return 1 +"), NX_GUEST_ERROR);
    assert_int_equal(error_kind, NX_GUEST_ERROR_SYNTAX);
    struct nx_instance *instance = load("\n  null.x");
    uint32_t outcome;
    assert_int_equal(run(instance, &outcome), NX_TRAP_NONE);
    assert_int_equal(outcome, NX_GUEST_ERROR);
    assert_int_equal(error_kind, NX_GUEST_ERROR_THROWN);
    assert_int_equal(error_line, 8); // the code starts on line 7
    assert_non_null(strstr(error_message, "TypeError"));
    nx_instance_free(instance);
}

static void a_body_cannot_close_its_function(void **unused) {
    (void)unused;
    assert_int_equal(compile("}, globalThis.x = 1, async function () {"), NX_GUEST_ERROR);
    assert_int_equal(error_kind, NX_GUEST_ERROR_ESCAPE);
    assert_int_equal(compile("const o = {}; { globalThis.x = 1 }"), NX_GUEST_DONE);
}

static void code_cannot_be_made_from_text(void **unused) {
    (void)unused;
    static const char *const attempts[] = {"return (() => {}).constructor('return 1')()",
                                           "return (async () => {}).constructor('return 1')()",
                                           "return (function* () {}).constructor('yield 1')()",
                                           "return globalThis.eval('1')"};
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        struct nx_instance *instance = load(attempts[i]);
        uint32_t outcome;
        assert_int_equal(run(instance, &outcome), NX_TRAP_NONE);
        assert_int_equal(outcome, NX_GUEST_ERROR);
        nx_instance_free(instance);
    }
}

// Calls the handler with so many bytes of the stack left, in a process of its own. Negative: the
// signal that ended it.
static int run_near_the_end(struct nx_instance *instance, uintptr_t lowest, size_t left) {
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        uint32_t outcome, args[5] = {put_inputs(instance), 2, 2};
        // cmocka put handlers of its own in place of the engine's.
        if (nx_engine_attach(NULL) != 0) {
            _exit(100);
        }
        volatile char *taken =
            __builtin_alloca((uintptr_t)__builtin_frame_address(0) - lowest - left);
        taken[0] = 1;
        _exit((int)nx_instance_call(instance, NX_EXPORT_RUN, args, &outcome));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

// A guest that owns its memory decides how deep it calls, and so can have the stack end wherever it
// likes: also in the first instructions of a host call, or of what turns it away. The worker must
// not die of that, with all that others have suspended in it.
static void the_stack_may_end_in_a_host_call(void **unused) {
    (void)unused;
    // What a sanitizer does before each jump takes more stack than the guest here.
    enum { STEP = 16, FIRST = NX_SANITIZED ? 3072 : 1024, LAST = 4096, PLENTY = 384 * 1024 };
    struct nx_instance *instance = load("Object.keys($state)");
    pthread_attr_t attributes;
    void *lowest;
    size_t bytes;
    assert_int_equal(pthread_getattr_np(pthread_self(), &attributes), 0);
    assert_int_equal(pthread_attr_getstack(&attributes, &lowest, &bytes), 0);
    pthread_attr_destroy(&attributes);
    for (size_t left = LAST; left >= FIRST; left -= STEP) {
        assert_int_equal(run_near_the_end(instance, (uintptr_t)lowest, left), NX_TRAP_STACK);
    }
    assert_int_equal(run_near_the_end(instance, (uintptr_t)lowest, PLENTY), NX_TRAP_NONE);
    nx_instance_free(instance);
}

// Before Linux 6.7 a file sealed against writing could not be mapped shared, not even to be read:
// with a shared mapping of an image nothing would start there.
static void images_are_mapped_privately(void **unused) {
    (void)unused;
    char line[512], permissions[5];
    unsigned found = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (strstr(line, "/memfd:nexus-image") != NULL) {
            assert_int_equal(sscanf(line, "%*s %4s", permissions), 1);
            assert_int_equal(permissions[3], 'p');
            found++;
        }
    }
    fclose(maps);
    assert_true(found >= 2); // one image for each mode
}

static int start_engine(void **unused) {
    (void)unused;
    const struct nx_engine_config config = {.memory_limit_bytes = 32 * 1024 * 1024,
                                            .stack_limit_bytes = 1024 * 1024,
                                            .imports = &imports};
    struct nx_error err = {0};
    // Small, so that a test can use it up.
    struct rlimit stack;
    if (getrlimit(RLIMIT_STACK, &stack) != 0) {
        return -1;
    }
    stack.rlim_cur = 1024 * 1024;
    if (setrlimit(RLIMIT_STACK, &stack) != 0) {
        return -1;
    }
    return nx_engine_create(&config, &err) == 0 && nx_engine_attach(&err) == 0 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_is_pristine_again),
        cmocka_unit_test(an_instance_moves_between_handlers),
        cmocka_unit_test(plain_and_async_bodies_do_the_same),
        cmocka_unit_test(state_numbers_keep_their_value),
        cmocka_unit_test(deadline_stops_loops_and_builtins),
        cmocka_unit_test(errors_have_the_files_positions),
        cmocka_unit_test(a_body_cannot_close_its_function),
        cmocka_unit_test(code_cannot_be_made_from_text),
        cmocka_unit_test(images_are_mapped_privately),
        cmocka_unit_test(the_stack_may_end_in_a_host_call),
    };
    return cmocka_run_group_tests(tests, start_engine, NULL);
}
