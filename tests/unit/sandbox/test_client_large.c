// SPDX-License-Identifier: Apache-2.0
// Frames larger than a socket takes at once. They are sent from where they are, and while half of
// one is sent the worker may be slow, die or lie, and the frame be wanted elsewhere.
#include "client_test.h"

#include <signal.h>

#include "base/limits.h"

static int setup(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_GOOD, 1, 64);
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    pool_stop();
    return 0;
}

enum {
    SMALL_BYTES = 100,
    LARGE_BYTES = 400 * 1000, // Linux gives a socket about 200 KB
    HEAD_START_MS = 200,      // in which the first one's worker reads nothing
    ROOM_BYTES = LARGE_BYTES + 1,
};

// JSON of so many bytes that no other seed gives.
static char *json_of(size_t bytes, uint32_t seed) {
    char *json = malloc(ROOM_BYTES);
    assert_non_null(json);
    memset(json, '"', bytes);
    json[bytes] = '\0';
    for (size_t i = 1; i + 1 < bytes; i++) {
        seed = seed * 1664525 + 1013904223; // Numerical Recipes' generator
        json[i] = (char)('a' + (seed >> 16) % 26);
    }
    return json;
}

// The frame that the worker echoed has the JSON, byte for byte.
static void expect_echo(const struct run *run, const char *json) {
    const char *text = run_text(run);
    assert_memory_equal(text, "done \"", 6);
    struct nx_buf hex;
    nx_buf_init(&hex, 2 * ROOM_BYTES);
    for (const char *c = json; *c != '\0'; c++) {
        nx_buf_printf(&hex, "%02x", (unsigned char)*c);
    }
    assert_int_equal(hex.failed, 0);
    assert_non_null(strstr(text, hex.data));
    nx_buf_free(&hex);
}

static struct nx_code *echoes(bool suspends_first) {
    struct nx_buf *program = program_new();
    if (suspends_first) {
        program_segment(
            program,
            &(struct forged){.status = NX_SEGMENT_SUSPENDED,
                             .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}});
    }
    program_order(program, FAKE_ECHO);
    return code_of_program(program);
}

// A program that reads nothing for a while.
static struct nx_buf *blocks(void) {
    struct nx_buf *program = program_new();
    program_sleep(program, HEAD_START_MS);
    return program;
}

static struct nx_code *blocks_and_returns(void) {
    struct nx_buf *program = blocks();
    program_segment(program, &(struct forged){.json = "1"});
    return code_of_program(program);
}

enum { RUNS = 7, ROUNDS = 3 };

// Large among small, first and last, more than one large, and one that nobody waits for any more.
static void all_arrive_whole_and_in_order(void **unused) {
    (void)unused;
    static const size_t sizes[RUNS] = {LARGE_BYTES, SMALL_BYTES, LARGE_BYTES, 70000,
                                       SMALL_BYTES, LARGE_BYTES, SMALL_BYTES};
    struct nx_code *first = blocks_and_returns(), *echo = echoes(false);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct run blocker, runs[RUNS];
        char *args[RUNS];
        run_start(&blocker, first, NULL);
        for (uint32_t i = 0; i < RUNS; i++) {
            args[i] = json_of(sizes[i], round * RUNS + i);
            run_start(&runs[i], echo, &(struct run_options){.args = args[i]});
        }
        run_wait(&blocker, 1); // what could be sent is under way
        const uint32_t cancelled = round == 0 ? 0 : 2;
        run_free(&runs[cancelled]);
        for (uint32_t i = 0; i < RUNS; i++) {
            if (i != cancelled) {
                run_wait(&runs[i], 1);
                expect_echo(&runs[i], args[i]);
                run_free(&runs[i]);
            }
            free(args[i]);
        }
        run_free(&blocker);
    }
    assert_int_equal(pool_stats().worker_restarts, 0); // the fake finds nothing wrong
    nx_code_unref(first);
    nx_code_unref(echo);
}

// The worker says that it is slow while half of a large frame is sent. What is taken back arrives
// later, what is not arrives now, and the worker finds every frame whole.
static void slowness_between_the_halves(void **unused) {
    (void)unused;
    struct nx_buf *program = blocks();
    program_order(program, FAKE_SLOW);
    program_sleep(program, HEAD_START_MS);
    program_segment(program, &(struct forged){.json = "1"});
    struct nx_code *slow = code_of_program(program);
    struct nx_code *echo = echoes(false), *echo_resumed = echoes(true);
    for (int resume_first = 0; resume_first < 2; resume_first++) {
        char *args = json_of(LARGE_BYTES, 1), *more = json_of(LARGE_BYTES, 2);
        char *answer = json_of(LARGE_BYTES, 3);
        struct run blocker, large, larger, resumed;
        run_start(&resumed, echo_resumed, &(struct run_options){.caps = "ext:e"});
        run_wait(&resumed, 1);
        run_start(&blocker, slow, NULL);
        if (resume_first == 0) {
            run_start(&large, echo, &(struct run_options){.args = args});
            while (pool_stats().waiting != 0) {
                loop_for(1); // its frame is the first
            }
            run_resume(&resumed, 1, answer);
        } else {
            loop_for(1);
            run_resume(&resumed, 1, answer);
            run_start(&large, echo, &(struct run_options){.args = args});
        }
        run_start(&larger, echo, &(struct run_options){.args = more});
        run_wait(&blocker, 1);
        assert_string_equal(run_text(&blocker), "done 1");
        run_wait(&large, 1);
        run_wait(&larger, 1);
        run_wait(&resumed, 2);
        expect_echo(&large, args);
        expect_echo(&larger, more);
        expect_echo(&resumed, answer);
        run_free(&blocker);
        run_free(&large);
        run_free(&larger);
        run_free(&resumed);
        free(args);
        free(more);
        free(answer);
    }
    assert_int_equal(pool_stats().worker_restarts, 0);
    nx_code_unref(slow);
    nx_code_unref(echo);
    nx_code_unref(echo_resumed);
}

static bool at_work(void *unused) {
    (void)unused;
    return pool_stats().waiting == 0;
}

static bool one_waits(void *unused) {
    (void)unused;
    return pool_stats().waiting == 1;
}

// What was taken back is cancelled: its frame goes, and the half that is not sent yet stays.
static void cancelled_between_the_halves(void **unused) {
    (void)unused;
    struct nx_buf *program = blocks();
    program_order(program, FAKE_SLOW);
    program_sleep(program, HEAD_START_MS);
    program_segment(program, &(struct forged){.json = "1"});
    struct nx_code *slow = code_of_program(program), *echo = echoes(false);
    char *args = json_of(LARGE_BYTES, 1), *more = json_of(LARGE_BYTES, 2);
    struct run blocker, large, after;
    run_start(&blocker, slow, NULL);
    run_start(&large, echo, &(struct run_options){.args = args});
    loop_until(at_work, NULL);
    loop_until(one_waits, NULL); // taken back
    run_free(&large);
    run_start(&after, echo, &(struct run_options){.args = more});
    run_wait(&blocker, 1);
    run_wait(&after, 1);
    expect_echo(&after, more);
    assert_int_equal(pool_stats().worker_restarts, 0);
    run_free(&blocker);
    run_free(&after);
    free(args);
    free(more);
    nx_code_unref(slow);
    nx_code_unref(echo);
}

// The worker dies with half a frame read: its execution had not begun, and runs in the next one.
static void death_between_the_halves(void **unused) {
    (void)unused;
    struct nx_buf *program = blocks();
    program_order(program, FAKE_SIGNAL);
    nx_wire_put_u8(program, SIGKILL);
    struct nx_code *deadly = code_of_program(program), *echo = echoes(false);
    char *args = json_of(LARGE_BYTES, 1), *more = json_of(LARGE_BYTES, 2);
    struct run victim, large, larger;
    run_start(&victim, deadly, NULL);
    run_start(&large, echo, &(struct run_options){.args = args});
    run_start(&larger, echo, &(struct run_options){.args = more});
    run_wait(&victim, 1);
    assert_string_equal(run_text(&victim), "error INTERNAL_ERROR");
    run_wait(&large, 1);
    run_wait(&larger, 1);
    expect_echo(&large, args);
    expect_echo(&larger, more);
    assert_int_equal(pool_stats().worker_restarts, 1);
    assert_int_equal(pool_stats().protocol_kills, 0);
    run_free(&victim);
    run_free(&large);
    run_free(&larger);
    free(args);
    free(more);
    nx_code_unref(deadly);
    nx_code_unref(echo);
}

// It cannot have run what it was not sent; the frame must not go before its other half has. Of a
// frame that the socket took the kernel cannot tell whether it was read: that is the control.
static void an_answer_to_half_a_frame_kills(void **unused) {
    (void)unused;
    struct nx_buf payload;
    nx_buf_init(&payload, 4096);
    forge(&payload, &(struct forged){.json = "1"});
    struct nx_buf *program = blocks();
    program_frame(program, NX_FRAME_SEGMENT, 0, nx_buf_span(&payload));
    program_frame(program, NX_FRAME_SEGMENT, 1, nx_buf_span(&payload));
    program_order(program, FAKE_HANG);
    struct nx_code *liar = code_of_program(program), *echo = echoes(false);
    for (int is_large = 0; is_large < 2; is_large++) {
        char *args = json_of(is_large ? LARGE_BYTES : SMALL_BYTES, 1);
        struct run first, second;
        run_start(&first, liar, NULL);
        run_start(&second, echo, &(struct run_options){.args = args});
        run_wait(&first, 1);
        assert_string_equal(run_text(&first), "done 1");
        run_wait(&second, 1);
        assert_string_equal(run_text(&second), is_large ? "error INTERNAL_ERROR" : "done 1");
        assert_int_equal(pool_stats().protocol_kills, is_large);
        assert_int_equal(pool_stats().watchdog_kills, 0);
        run_free(&first);
        run_free(&second);
        free(args);
        pool_stop();
        pool_start_fake(FAKE_GOOD, 1, 64);
    }
    nx_code_unref(liar);
    nx_code_unref(echo);
    nx_buf_free(&payload);
}

// Nor what still waits behind what the socket takes. Believed, a worker that reads nothing would
// have done all there is, and would never again have room for more: what others have suspended in
// it could neither go on nor fail.
static void answers_to_what_waits_kill(void **unused) {
    (void)unused;
    enum { JOBS = 17, MEDIUM_BYTES = 60 * 1000 }; // 1 MB: then a worker has no room
    struct nx_buf payload;
    nx_buf_init(&payload, 4096);
    forge(&payload, &(struct forged){.json = "1"});
    struct nx_buf *program = blocks();
    for (uint32_t i = 0; i < JOBS; i++) {
        program_frame(program, NX_FRAME_SEGMENT, i, nx_buf_span(&payload));
    }
    program_order(program, FAKE_HANG);
    struct nx_code *liar = code_of_program(program);
    struct nx_code *sleeps = code_of_segment(&forged_one_call), *echo = echoes(false);
    char *args = json_of(MEDIUM_BYTES, 1);
    struct run suspended, first, others[JOBS];
    run_start(&suspended, sleeps, &(struct run_options){.caps = "ext:e"});
    run_wait(&suspended, 1);
    assert_int_equal(suspended.status, NX_SEGMENT_SUSPENDED);
    run_start(&first, liar, NULL);
    for (size_t i = 0; i < JOBS; i++) {
        run_start(&others[i], echo, &(struct run_options){.args = args});
    }
    run_wait(&suspended, 2);
    assert_string_equal(run_text(&suspended), "error INTERNAL_ERROR");
    assert_int_equal(pool_stats().protocol_kills, 1);
    for (size_t i = 0; i < JOBS; i++) {
        run_wait(&others[i], 1);
        run_free(&others[i]);
    }
    run_free(&first);
    run_free(&suspended);
    free(args);
    nx_code_unref(liar);
    nx_code_unref(sleeps);
    nx_code_unref(echo);
    nx_buf_free(&payload);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_arrive_whole_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(slowness_between_the_halves, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled_between_the_halves, setup, teardown),
        cmocka_unit_test_setup_teardown(death_between_the_halves, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_to_half_a_frame_kills, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_to_what_waits_kill, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
