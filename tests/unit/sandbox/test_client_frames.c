// SPDX-License-Identifier: Apache-2.0
// Frames from an owned worker that are wrong as frames: of another protocol, for somebody else, out
// of order, cut, too long, too many. And what it can forge in the answer to a compile request.
#include "client_test.h"

#include <signal.h>
#include <unistd.h>

#include "base/limits.h"

static int setup(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_GOOD, CHECK_WORKERS, 64);
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    pool_stop();
    return 0;
}

static const struct forged done = {.json = "1"};

static void put_done(struct nx_buf *payload) {
    nx_buf_init(payload, 4096);
    forge(payload, &done);
}

// ---- bytes

static void the_answer_itself_passes(void **unused) {
    (void)unused;
    struct nx_code *code = code_of_segment(&done);
    expect_passed(code, NULL, "done 1");
    nx_code_unref(code);
}

// A whole answer as raw bytes, for the tests to break.
static void put_raw_done(struct nx_buf *raw, uint32_t id) {
    nx_buf_init(raw, 4096);
    const size_t start = nx_wire_begin(raw, NX_FRAME_SEGMENT, id);
    struct nx_buf payload;
    put_done(&payload);
    nx_buf_append_span(raw, nx_buf_span(&payload));
    nx_buf_free(&payload);
    assert_int_equal(nx_wire_end(raw, start), 0);
}

static struct nx_code *code_of_raw(struct nx_span raw, enum fake_order after) {
    struct nx_buf *program = program_new();
    program_order(program, FAKE_RAW);
    nx_wire_put_bytes(program, raw);
    program_order(program, after);
    return code_of_program(program);
}

static void a_header_of_another_protocol_kills(void **unused) {
    (void)unused;
    static const struct {
        size_t at;
        unsigned char value;
        const char *name;
    } rows[] = {
        {4, 0, "version 0"},       {4, 2, "version 2"},       {5, 0, "type 0"},
        {5, 255, "type 255"},      {6, 1, "not zero"},        {7, 1, "not zero"},
        {3, 255, "a huge length"}, {3, 4, "64 MiB and more"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nx_buf raw;
        put_raw_done(&raw, 1);
        raw.data[rows[i].at] = (char)rows[i].value;
        print_message("  %s\n", rows[i].name);
        struct nx_code *code = code_of_raw(nx_buf_span(&raw), FAKE_HANG);
        expect_killed(code, NULL); // at once: it does not wait for what the length announces
        nx_code_unref(code);
        nx_buf_free(&raw);
    }
}

static void no_kind_of_frame_but_its_own_answer(void **unused) {
    (void)unused;
    for (unsigned type = NX_FRAME_CONFIG; type <= NX_FRAME_LAST; type++) {
        if (type == NX_FRAME_SEGMENT) {
            continue; // the control is the test above
        }
        struct nx_buf payload;
        put_done(&payload);
        struct nx_buf *program = program_new();
        program_frame(program, (uint8_t)type, 0, nx_buf_span(&payload));
        program_order(program, FAKE_HANG);
        struct nx_code *code = code_of_program(program);
        expect_killed(code, NULL);
        nx_code_unref(code);
        nx_buf_free(&payload);
    }
}

static void nobody_elses_id(void **unused) {
    (void)unused;
    static const uint32_t added[] = {1, UINT32_MAX, 1000, 1u << 31};
    for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++) {
        struct nx_buf payload;
        put_done(&payload);
        struct nx_buf *program = program_new();
        program_frame(program, NX_FRAME_SEGMENT, added[i], nx_buf_span(&payload));
        struct nx_code *code = code_of_program(program);
        expect_killed(code, NULL);
        nx_code_unref(code);
        nx_buf_free(&payload);
    }
}

// Every byte of a frame is needed, and none may be added.
static void a_payload_cut_or_padded_kills(void **unused) {
    (void)unused;
    struct nx_buf payload;
    put_done(&payload);
    const size_t len = payload.len;
    nx_buf_append_char(&payload, 0);
    for (size_t cut = 0; cut <= len + 1; cut += cut + 9 < len ? 7 : 1) {
        struct nx_buf *program = program_new();
        program_frame(program, NX_FRAME_SEGMENT, 0, nx_span_of(payload.data, cut));
        struct nx_code *code = code_of_program(program);
        if (cut == len) {
            expect_passed(code, NULL, "done 1");
        } else {
            expect_killed(code, NULL);
        }
        nx_code_unref(code);
    }
    nx_buf_free(&payload);
}

// The counts of the sections, each far over what follows.
static void counts_too_big_kill(void **unused) {
    (void)unused;
    enum { COUNTS_AT = 1 + 4 + 8 + 8 + 4 * (NX_RESET_KINDS + NX_HOST_CALL_COUNT), SECTIONS = 6 };
    static const uint32_t counts[] = {1, 1000, 1u << 30, UINT32_MAX};
    for (size_t i = 0; i < SECTIONS; i++) {
        for (size_t j = 0; j < sizeof(counts) / sizeof(counts[0]); j++) {
            struct nx_buf payload;
            put_done(&payload);
            memcpy(payload.data + COUNTS_AT + 4 * i, &counts[j], 4);
            struct nx_buf *program = program_new();
            program_frame(program, NX_FRAME_SEGMENT, 0, nx_buf_span(&payload));
            struct nx_code *code = code_of_program(program);
            expect_killed(code, &(struct run_options){
                                    .caps = "state:write:* events:emit:* view:update:* ext:*"});
            nx_code_unref(code);
            nx_buf_free(&payload);
        }
    }
}

// ---- order

static bool killed(void *user) {
    return pool_stats().protocol_kills >= *(uint64_t *)user;
}

// Until so many workers in all were killed for a broken rule, and no more.
static void wait_for_kill(uint64_t kills) {
    loop_until(killed, &kills);
    assert_int_equal(pool_stats().protocol_kills, kills);
}

// One answer to one question. The first is taken, as nothing is wrong with it; the worker dies of
// the second.
static void a_second_answer_kills(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_segment(program, &done);
    program_segment(program, &(struct forged){.json = "2"});
    struct nx_code *code = code_of_program(program);
    struct run run;
    const uint64_t kills = pool_stats().protocol_kills;
    run_start(&run, code, NULL);
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "done 1");
    wait_for_kill(kills + 1);
    assert_int_equal(run.segments, 1);
    pool_settle(CHECK_WORKERS);
    run_free(&run);
    nx_code_unref(code);
}

static void an_answer_nobody_asked_for_kills(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_segment(program, &done);
    program_sleep(program, 30);
    program_segment(program, &(struct forged){.json = "2"});
    struct nx_code *code = code_of_program(program);
    struct run run;
    const uint64_t kills = pool_stats().protocol_kills;
    run_start(&run, code, NULL);
    run_wait(&run, 1);
    wait_for_kill(kills + 1);
    pool_settle(CHECK_WORKERS);
    run_free(&run);
    nx_code_unref(code);
}

// Not even the start of one: it would lie in the kernel's memory for as long as the worker likes.
static void the_start_of_an_unasked_frame_kills(void **unused) {
    (void)unused;
    struct nx_buf raw;
    put_raw_done(&raw, 1);
    for (size_t len = 1; len < raw.len; len += len < 14 ? 4 : 30) {
        struct nx_buf *program = program_new();
        program_segment(program, &done);
        program_sleep(program, 10);
        program_order(program, FAKE_RAW);
        nx_wire_put_bytes(program, nx_span_of(raw.data, len));
        program_order(program, FAKE_HANG);
        struct nx_code *code = code_of_program(program);
        struct run run;
        refresh_pool();
        run_start(&run, code, NULL);
        run_wait(&run, 1);
        assert_string_equal(run_text(&run), "done 1");
        wait_for_kill(1);
        run_free(&run);
        nx_code_unref(code);
    }
    nx_buf_free(&raw);
}

// The worker goes on with an execution that waits for a call: its turn has not come.
static void a_suspended_execution_stays_suspended(void **unused) {
    (void)unused;
    static const struct forged suspended = {
        .status = NX_SEGMENT_SUSPENDED,
        .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}};
    struct nx_buf payload;
    struct nx_buf *program = program_new();
    nx_buf_init(&payload, 4096);
    forge(&payload, &suspended);
    program_frame(program, NX_FRAME_SEGMENT, 0, nx_buf_span(&payload));
    nx_buf_free(&payload);
    program_sleep(program, 500); // so that the two are not read at once
    program_segment(program, &done);
    struct nx_code *code = code_of_program(program);
    struct run run;
    const uint64_t kills = pool_stats().protocol_kills;
    run_start(&run, code, &(struct run_options){.caps = "ext:e"});
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), "suspended\ncall 1 e.m=[]");
    run_wait(&run, 2);
    assert_string_equal(run_text(&run), "error INTERNAL_ERROR");
    assert_int_equal(pool_stats().protocol_kills, kills + 1);
    pool_settle(CHECK_WORKERS);
    run_free(&run);
    nx_code_unref(code);
}

// A frame may come in as many pieces as it likes.
static void a_frame_in_pieces_passes(void **unused) {
    (void)unused;
    struct nx_buf *program = program_new();
    program_order(program, FAKE_PIECES);
    struct nx_buf payload;
    put_done(&payload);
    nx_wire_put_bytes(program, nx_buf_span(&payload));
    nx_buf_free(&payload);
    struct nx_code *code = code_of_program(program);
    expect_passed(code, NULL, "done 1");
    nx_code_unref(code);
}

static void a_flood_kills(void **unused) {
    (void)unused;
    struct nx_buf raw;
    put_raw_done(&raw, 1u << 30);
    struct nx_buf *program = program_new();
    program_order(program, FAKE_FLOOD);
    nx_wire_put_bytes(program, nx_buf_span(&raw));
    struct nx_code *code = code_of_program(program);
    expect_killed(code, NULL);
    nx_code_unref(code);
    nx_buf_free(&raw);
}

// A descriptor that comes with an answer goes nowhere.
static void descriptors_are_not_accepted(void **unused) {
    (void)unused;
    struct nx_buf payload;
    put_done(&payload);
    struct nx_buf *program = program_new();
    program_order(program, FAKE_FRAME_FD);
    nx_wire_put_u8(program, NX_FRAME_SEGMENT);
    nx_wire_put_u32(program, 0);
    nx_wire_put_bytes(program, nx_buf_span(&payload));
    struct nx_code *code = code_of_program(program);
    pool_settle(CHECK_WORKERS);
    const unsigned fds = count_fds();
    for (int i = 0; i < 10; i++) {
        struct run run;
        run_start(&run, code, NULL);
        run_wait(&run, 1);
        run_free(&run);
    }
    pool_settle(CHECK_WORKERS);
    assert_int_equal(count_fds(), fds);
    nx_code_unref(code);
    nx_buf_free(&payload);
}

// ---- compile requests

struct forged_compiled {
    const char *name, *bytecode, *message;
    uint32_t line, column;
    uint8_t code;
    bool padded, as_expression;
    bool refused;
};

static void put_compiled(struct nx_buf *payload, const struct forged_compiled *c) {
    nx_buf_init(payload, 4096);
    nx_wire_put_u8(payload, c->code);
    nx_wire_put_u32(payload, 7);
    nx_wire_put_u32(payload, c->line);
    nx_wire_put_u32(payload, c->column);
    nx_wire_put_bytes(payload, nx_span_str(c->bytecode));
    nx_wire_put_bytes(payload, nx_span_str(c->message));
    if (c->padded) {
        nx_wire_put_u8(payload, 0);
    }
}

static void compile_program(struct compiled *compiled, const struct nx_buf *program,
                            enum nx_compile_kind kind) {
    assert_int_equal(program->failed, 0);
    compile_start(compiled, kind, nx_buf_span(program));
    compile_wait(compiled);
}

static void forged_compiled_frames_kill(void **unused) {
    (void)unused;
    static const struct forged_compiled rows[] = {
        {.name = "the control", .bytecode = "bytes"},
        {.name = "an error", .code = NX_RESULT_COMPILATION_ERROR, .message = "m", .line = 2},
        {.name = "an expression gives no bytecode", .as_expression = true},
        {.name = "a code that there is not", .code = NX_RESULT_CODE_COUNT, .refused = true},
        {.name = "no bytecode", .refused = true},
        {.name = "an error with bytecode",
         .code = NX_RESULT_COMPILATION_ERROR,
         .bytecode = "bytes",
         .refused = true},
        {.name = "a message that is not UTF-8",
         .code = NX_RESULT_COMPILATION_ERROR,
         .message = "\xff",
         .refused = true},
        {.name = "a byte too many", .bytecode = "bytes", .padded = true, .refused = true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nx_buf payload;
        struct compiled compiled;
        struct nx_buf *program = program_new();
        put_compiled(&payload, &rows[i]);
        program_frame(program, NX_FRAME_COMPILED, 0, nx_buf_span(&payload));
        nx_buf_free(&payload);
        print_message("  %s\n", rows[i].name);
        refresh_pool();
        const uint64_t kills = pool_stats().protocol_kills;
        compile_program(&compiled, program,
                        rows[i].as_expression ? NX_COMPILE_EXPRESSION : NX_COMPILE_HANDLER);
        assert_int_equal(compiled.code, rows[i].refused ? NX_RESULT_INTERNAL_ERROR : rows[i].code);
        assert_int_equal(pool_stats().protocol_kills, kills + (rows[i].refused ? 1 : 0));
        if (!rows[i].refused) {
            assert_int_equal(compiled.bytecode.len,
                             rows[i].bytecode == NULL ? 0 : strlen(rows[i].bytecode));
            assert_int_equal(compiled.line, rows[i].line);
        }
        compile_free(&compiled);
    }
}

static void compile_requests_get_their_own_answer(void **unused) {
    (void)unused;
    static const struct {
        uint8_t type;
        uint32_t added;
    } rows[] = {{NX_FRAME_SEGMENT, 0}, {NX_FRAME_COMPILED, 1}, {NX_FRAME_COMPILE, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nx_buf payload;
        struct compiled compiled;
        struct nx_buf *program = program_new();
        put_compiled(&payload, &(struct forged_compiled){.bytecode = "bytes"});
        program_frame(program, rows[i].type, rows[i].added, nx_buf_span(&payload));
        nx_buf_free(&payload);
        refresh_pool();
        const uint64_t kills = pool_stats().protocol_kills;
        compile_program(&compiled, program, NX_COMPILE_HANDLER);
        assert_int_equal(compiled.code, NX_RESULT_INTERNAL_ERROR);
        assert_int_equal(pool_stats().protocol_kills, kills + 1);
        compile_free(&compiled);
    }
}

// A SEGMENT frame for a RUN answered by COMPILED is covered above; here a worker dies over a
// compile.
static void a_worker_that_dies_over_a_compile(void **unused) {
    (void)unused;
    struct compiled compiled;
    struct nx_buf *program = program_new();
    program_order(program, FAKE_SIGNAL);
    nx_wire_put_u8(program, SIGKILL);
    pool_settle(CHECK_WORKERS);
    const uint64_t restarts = pool_stats().worker_restarts;
    compile_program(&compiled, program, NX_COMPILE_HANDLER);
    assert_int_equal(compiled.code, NX_RESULT_INTERNAL_ERROR);
    pool_settle(CHECK_WORKERS);
    assert_int_equal(pool_stats().worker_restarts, restarts + 1);
    compile_free(&compiled);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_itself_passes),
        cmocka_unit_test(a_header_of_another_protocol_kills),
        cmocka_unit_test(no_kind_of_frame_but_its_own_answer),
        cmocka_unit_test(nobody_elses_id),
        cmocka_unit_test(a_payload_cut_or_padded_kills),
        cmocka_unit_test(counts_too_big_kill),
        cmocka_unit_test(a_second_answer_kills),
        cmocka_unit_test(an_answer_nobody_asked_for_kills),
        cmocka_unit_test(the_start_of_an_unasked_frame_kills),
        cmocka_unit_test(a_suspended_execution_stays_suspended),
        cmocka_unit_test(a_frame_in_pieces_passes),
        cmocka_unit_test(a_flood_kills),
        cmocka_unit_test(descriptors_are_not_accepted),
        cmocka_unit_test(forged_compiled_frames_kill),
        cmocka_unit_test(compile_requests_get_their_own_answer),
        cmocka_unit_test(a_worker_that_dies_over_a_compile),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
