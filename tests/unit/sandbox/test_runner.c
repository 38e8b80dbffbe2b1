// SPDX-License-Identifier: Apache-2.0
// The worker's half in this process: what frames of the kernel lead to, without a pool around them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "sandbox/chain.h"
#include "sandbox/exec.h"
#include "sandbox/pool.h"
#include "sandbox/runner.h"
#include "sandbox/wire.h"

enum { MEMORY_BYTES = 128 * 1024 * 1024 };

static struct nx_buf frame, answer;
static const char *args = "{}";

// What the guest hands over is nothing, it says: it owns itself.
static bool gives_nothing;
static struct nx_engine_imports imports;

static void on_result(void *user, uint32_t data, uint32_t len) {
    nx_host_imports.result(user, gives_nothing ? UINT32_MAX : data, len);
}

static int set_up(void **state) {
    (void)state;
    const struct nx_engine_config config = {
        .memory_limit_bytes = MEMORY_BYTES, .stack_limit_bytes = 256 * 1024, .imports = &imports};
    imports = nx_host_imports;
    imports.result = on_result;
    nx_buf_init(&frame, NX_MAX_FRAME_BYTES);
    nx_buf_init(&answer, NX_MAX_FRAME_BYTES);
    return nx_engine_create(&config, NULL) != 0 || nx_runner_init(2) != 0;
}

static int tear_down(void **state) {
    (void)state;
    nx_buf_free(&frame);
    nx_buf_free(&answer);
    return 0;
}

static void load(struct nx_span bytecode) {
    nx_buf_reset(&frame);
    nx_wire_put_bytes(&frame, bytecode);
    assert_int_equal(nx_runner_load(0, nx_buf_span(&frame)), 0);
}

// What the kernel makes of a SEGMENT frame: a worker whose frame it refuses is killed, and with it
// whatever others have suspended there.
static void check_segment(struct nx_span payload, uint32_t limit, bool follows,
                          struct nx_segment *segment) {
    static struct nx_sandbox pool = {.config.memory_limit_bytes = MEMORY_BYTES};
    const struct nx_cap_set caps = {.all = {[NX_CAP_EXT] = true}};
    struct nx_execution execution = {
        .job.kind = NX_JOB_RUN,
        .sandbox = &pool,
        .caps = &caps,
        .follows = follows,
        .limits = {1000, limit, limit, limit, limit, limit, limit},
    };
    assert_int_equal(nx_segment_check(&execution, payload, segment), 0);
}

// The frame in `answer`.
static void read_answer(uint32_t id, uint32_t limit, bool follows, struct nx_segment *segment) {
    struct nx_frame_header header;
    struct nx_span payload;
    assert_int_equal(nx_wire_next(nx_buf_span(&answer), &header, &payload), 1);
    assert_int_equal(header.id, id);
    check_segment(payload, limit, follows, segment);
}

// Runs slot 0, which may call any extension, under these limits. The status, and on 0 the answer in
// *segment.
static int run_in(uint32_t id, uint32_t timeout_us, uint32_t limit, uint8_t flags, uint32_t chain,
                  struct nx_segment *segment) {
    nx_buf_reset(&frame);
    nx_buf_reset(&answer);
    nx_wire_put_u32(&frame, 0);
    nx_wire_put_u32(&frame, timeout_us);
    for (int i = 0; i < 6; i++) {
        nx_wire_put_u32(&frame, limit); // each of them
    }
    nx_wire_put_u32(&frame, 0); // state
    nx_wire_put_u32(&frame, 1); // grants
    nx_wire_put_u8(&frame, NX_CAP_EXT);
    nx_wire_put_bytes(&frame, nx_span_str("*"));
    nx_wire_put_bytes(&frame, nx_span_str(args));
    nx_wire_put_bytes(&frame, nx_span_str("{}"));
    nx_wire_put_u8(&frame, flags);
    nx_wire_put_u32(&frame, chain);
    const int status = nx_runner_run(id, nx_buf_span(&frame), &answer);
    if (status == 0) {
        read_answer(id, limit, (flags & NX_RUN_FOLLOWS) != 0, segment);
    }
    return status;
}

static int run(uint32_t id, uint32_t timeout_us, uint8_t *how) {
    struct nx_segment segment;
    const int status = run_in(id, timeout_us, 1000, 0, 0, &segment);
    *how = (uint8_t)segment.status;
    return status;
}

// Compiles, and reads the answer up to the bytecode.
static enum nx_result_code try_compile(struct nx_buf *compiled, const char *source, bool expression,
                                       struct nx_span *bytecode) {
    struct nx_wire_reader r;
    nx_buf_init(compiled, NX_MAX_FRAME_BYTES);
    nx_buf_reset(&frame);
    nx_wire_put_u8(&frame, expression);
    nx_wire_put_u32(&frame, 1);
    nx_wire_put_u32(&frame, 1);
    nx_wire_put_bytes(&frame, nx_span_str(source));
    assert_int_equal(nx_runner_compile(1, nx_buf_span(&frame), compiled), 0);
    nx_wire_reader_init(&r, nx_span_of(compiled->data + sizeof(struct nx_frame_header),
                                       compiled->len - sizeof(struct nx_frame_header)));
    const uint8_t code = nx_wire_get_u8(&r);
    for (int i = 0; i < 3; i++) {
        nx_wire_get_u32(&r);
    }
    *bytecode = nx_wire_get_bytes(&r);
    return (enum nx_result_code)code;
}

static void compile(const char *source) {
    struct nx_buf compiled;
    struct nx_span bytecode;
    assert_int_equal(try_compile(&compiled, source, false, &bytecode), NX_RESULT_NONE);
    load(bytecode);
    nx_buf_free(&compiled);
}

// Bytecode that does not load, with deadlines that pass while it is found out or just after: when
// its instance is given up, nobody may tell it the time any more. (A deadline that does hits
// unmapped memory, and the worker with all it holds dies.)
static void deadlines_of_what_does_not_load(void **state) {
    (void)state;
    uint8_t how = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        load(nx_span_str("no bytecode"));
        assert_int_equal(run(i + 1, i % 300, &how), 0);
        assert_int_equal(how, 2); // an error
    }
    // The control: the same worker goes on to run what is right.
    compile("return 1;");
    assert_int_equal(run(10000, 1000000, &how), 0);
    assert_int_equal(how, 0);
}

static int resume(uint32_t id, uint32_t timeout_us, uint32_t call_id, struct nx_span json) {
    nx_buf_reset(&frame);
    nx_buf_reset(&answer);
    nx_wire_put_u32(&frame, timeout_us);
    nx_wire_put_u32(&frame, call_id);
    nx_wire_put_u8(&frame, 1);
    nx_wire_put_bytes(&frame, json);
    nx_wire_put_bytes(&frame, nx_span_str(""));
    nx_wire_put_u32(&frame, 0);
    return nx_runner_resume(id, nx_buf_span(&frame), &answer);
}

// A RESUME for a call that was never made is refused, and takes its execution along.
static void foreign_calls(void **state) {
    (void)state;
    uint8_t how = 0;
    compile("return await $ext.time.sleep(1);");
    assert_int_equal(run(20000, 1000000, &how), 0);
    assert_int_equal(how, 1);                                                  // suspended
    assert_int_equal(resume(20000, 1000, 7, nx_span_str("1")), NX_E_PROTOCOL); // its only call is 1
    assert_int_equal(nx_runner_release(20000), NX_E_PROTOCOL);
}

// What an extension gives must fit what the execution has left of its memory.
static void results_that_do_not_fit(void **state) {
    (void)state;
    enum { LIMIT = NX_MAX_EXECUTION_KB * 1024, RESULT_BYTES = 4 << 20 };
    static char json[RESULT_BYTES];
    memset(json, 'x', sizeof json);
    json[0] = json[sizeof json - 1] = '"';
    compile("const held = [];"
            "for (let i = 0; i < $args.megabytes; i++) held.push(new Uint8Array(1 << 20));"
            "return (await $ext.time.sleep(1)).length;");
    for (uint32_t i = 0; i < 2; i++) {
        struct nx_segment segment;
        args = i == 0 ? "{\"megabytes\":100}" : "{\"megabytes\":122}";
        assert_int_equal(run_in(21000 + i, 10000000, LIMIT, 0, 0, &segment), 0);
        args = "{}";
        assert_int_equal(segment.status, NX_SEGMENT_SUSPENDED);
        assert_int_equal(resume(21000 + i, 10000000, 1, nx_span_of(json, sizeof json)), 0);
        read_answer(21000 + i, LIMIT, false, &segment);
        if (i == 0) { // the control
            assert_int_equal(segment.status, NX_SEGMENT_DONE);
        } else {
            assert_int_equal(segment.status, NX_SEGMENT_ERROR);
            assert_int_equal(segment.error.code, NX_RESULT_MEMORY_LIMIT);
            assert_true(nx_span_eq(
                segment.error.message,
                nx_span_str("the result of the extension call does not fit the memory limit")));
        }
    }
}

// A source that owns the compiler's guest can have it say that it is done. Without bytecode that is
// an error like any other: the kernel would take it for a lie of the worker.
static void bytecode_that_is_not_there(void **state) {
    (void)state;
    struct nx_buf compiled;
    struct nx_span bytecode;
    gives_nothing = true;
    const enum nx_result_code lied = try_compile(&compiled, "return 1;", false, &bytecode);
    assert_int_equal(bytecode.len, 0);
    nx_buf_free(&compiled);
    const enum nx_result_code expression = try_compile(&compiled, "1", true, &bytecode);
    nx_buf_free(&compiled);
    gives_nothing = false;
    const enum nx_result_code honest = try_compile(&compiled, "return 1;", false, &bytecode);
    assert_true(bytecode.len > 0);
    nx_buf_free(&compiled);
    assert_int_equal(lied, NX_RESULT_EXECUTION_ERROR);
    assert_int_equal(expression, NX_RESULT_NONE); // gives none anyway
    assert_int_equal(honest, NX_RESULT_NONE);
}

// Limits may be set above what the worker has room for. What does not fit is then that handler's
// error: not a result that is silently another, nor a frame with half an item, for which the kernel
// would kill the worker.
static void more_than_there_is_room_for(void **state) {
    (void)state;
    enum { LIMIT = NX_MAX_EXECUTION_KB * 1024 };
    static const struct {
        const char *source;
        enum nx_segment_status status;
        size_t logs, result_bytes;
    } cases[] = {
        {"return 'x'.repeat(7 << 20);", NX_SEGMENT_DONE, 0, (7 << 20) + 2},
        {"return 'x'.repeat(9 << 20);", NX_SEGMENT_ERROR, 0, 0},
        {"for (let i = 0; i < 7; i++) $log('x'.repeat(1 << 20));", NX_SEGMENT_DONE, 7, 0},
        {"for (let i = 0; i < 9; i++) $log('x'.repeat(1 << 20));", NX_SEGMENT_ERROR, 7, 0},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nx_segment segment;
        compile(cases[i].source);
        assert_int_equal(run_in(30000 + i, 10000000, LIMIT, 0, 0, &segment), 0);
        assert_int_equal(segment.status, cases[i].status);
        assert_int_equal(segment.log_count, cases[i].logs);
        assert_int_equal(segment.return_json.len, cases[i].result_bytes);
        if (cases[i].status == NX_SEGMENT_ERROR) {
            assert_int_equal(segment.error.code, NX_RESULT_RESOURCE_LIMIT);
        }
    }
}

// A state of which the handler may read nothing is a base like any other.
static void chains_without_state(void **state) {
    (void)state;
    struct nx_segment segment;
    compile("return 1;");
    assert_int_equal(run_in(40000, 1000000, 1000, NX_RUN_KEEP, 1, &segment), 0);
    assert_int_equal(segment.status, NX_SEGMENT_DONE);
    assert_int_equal(run_in(40001, 1000000, 1000, NX_RUN_FOLLOWS, 1, &segment), 0);
    assert_int_equal(segment.status, NX_SEGMENT_DONE);
    assert_int_equal(run_in(40002, 1000000, 1000, NX_RUN_FOLLOWS, 2, &segment), 0);
    assert_int_equal(segment.status, NX_SEGMENT_NOT_RUN); // there is no such chain
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadlines_of_what_does_not_load),
        cmocka_unit_test(foreign_calls),
        cmocka_unit_test(results_that_do_not_fit),
        cmocka_unit_test(bytecode_that_is_not_there),
        cmocka_unit_test(more_than_there_is_room_for),
        cmocka_unit_test(chains_without_state),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
