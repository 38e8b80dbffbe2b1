// SPDX-License-Identifier: Apache-2.0
// See client_test.h. This file: programs of the fake sandbox, forged frames and what must become of
// them.
#include "client_test.h"

struct nx_buf *program_new(void) {
    static struct nx_buf program;
    nx_buf_free(&program);
    nx_buf_init(&program, NX_MAX_FRAME_BYTES);
    return &program;
}

void program_order(struct nx_buf *program, enum fake_order order) {
    nx_wire_put_u8(program, (uint8_t)order);
}

void program_sleep(struct nx_buf *program, uint32_t ms) {
    program_order(program, FAKE_SLEEP);
    nx_wire_put_u32(program, ms);
}

void program_frame(struct nx_buf *program, uint8_t type, uint32_t id_added,
                   struct nx_span payload) {
    program_order(program, FAKE_FRAME);
    nx_wire_put_u8(program, type);
    nx_wire_put_u32(program, id_added);
    nx_wire_put_bytes(program, payload);
}

static void put_item(struct nx_buf *out, const struct item *item) {
    switch (item->kind) {
    case 's':
    case 'd':
        nx_wire_put_u8(out, item->n != 0 ? (uint8_t)item->n : item->kind == 'd');
        break;
    case 'l':
    case 'x':
        nx_wire_put_u8(out, (uint8_t)item->n);
        break;
    case 'c':
        nx_wire_put_u32(out, item->n);
        break;
    default:
        break;
    }
    nx_wire_put_bytes(out, nx_span_str(item->a));
    if (strchr("sdevc", item->kind) != NULL) {
        nx_wire_put_bytes(out, nx_span_str(item->b));
    }
    if (strchr("vc", item->kind) != NULL) {
        nx_wire_put_bytes(out, nx_span_str(item->c));
    }
}

// One section: the items of these kinds.
static void put_section(struct nx_buf *out, const struct item *items, const char *kinds) {
    uint32_t count = 0;
    for (const struct item *item = items; item->kind != 0; item++) {
        count += strchr(kinds, item->kind) != NULL;
    }
    nx_wire_put_u32(out, count);
    for (const struct item *item = items; item->kind != 0; item++) {
        if (strchr(kinds, item->kind) != NULL) {
            put_item(out, item);
        }
    }
}

void forge(struct nx_buf *out, const struct forged *forged) {
    static const char *const sections[] = {"sd", "e", "v", "l", "c", "x"};
    nx_wire_put_u8(out, forged->status);
    nx_wire_put_u32(out, forged->run_us != 0 ? forged->run_us : 5);
    nx_wire_put_u64(out, forged->memory_used != 0 ? forged->memory_used : 1000);
    nx_wire_put_u64(out, forged->memory_peak != 0 ? forged->memory_peak : 2000);
    for (int i = 0; i < NX_RESET_KINDS; i++) {
        nx_wire_put_u32(out, forged->resets);
    }
    for (int i = 0; i < NX_HOST_CALL_COUNT; i++) {
        nx_wire_put_u32(out, forged->host_calls);
    }
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        put_section(out, forged->items, sections[i]);
    }
    if (forged->status == NX_SEGMENT_DONE) {
        nx_wire_put_bytes(out, nx_span_str(forged->json));
    } else if (forged->status != NX_SEGMENT_SUSPENDED && forged->status != NX_SEGMENT_NOT_RUN) {
        nx_wire_put_u8(out, forged->code);
        nx_wire_put_bytes(out, nx_span_str(forged->message));
        nx_wire_put_bytes(out, nx_span_str(forged->stack));
        nx_wire_put_bytes(out, nx_span_str(forged->capability));
        nx_wire_put_u32(out, forged->line);
        nx_wire_put_u32(out, forged->column);
    }
}

void program_segment(struct nx_buf *program, const struct forged *forged) {
    struct nx_buf payload;
    nx_buf_init(&payload, NX_MAX_FRAME_BYTES);
    forge(&payload, forged);
    program_frame(program, NX_FRAME_SEGMENT, 0, nx_buf_span(&payload));
    nx_buf_free(&payload);
    if (forged->status == NX_SEGMENT_SUSPENDED) {
        program_order(program, FAKE_WAIT);
    }
}

struct nx_code *code_of_program(const struct nx_buf *program) {
    assert_int_equal(program->failed, 0);
    return code_of(nx_buf_span(program));
}

struct nx_code *code_of_slow(uint32_t ms) {
    struct nx_buf *program = program_new();
    program_order(program, FAKE_SLOW);
    program_sleep(program, ms);
    program_segment(program, &(struct forged){.json = "\"slow\""});
    return code_of_program(program);
}

struct nx_code *code_of_segment(const struct forged *forged) {
    struct nx_buf *program = program_new();
    program_segment(program, forged);
    return code_of_program(program);
}

const struct forged forged_one_call = {
    .status = NX_SEGMENT_SUSPENDED,
    .items = {{.kind = 'c', .n = 1, .a = "e", .b = "m", .c = "[]"}}};

struct nx_code *code_of_two_segments(uint32_t ms) {
    struct nx_buf *program = program_new();
    program_segment(program, &forged_one_call);
    program_sleep(program, ms);
    program_segment(program, &(struct forged){.json = "2"});
    return code_of_program(program);
}

void pool_expect_idle(void) {
    const struct nx_sandbox_stats stats = pool_stats();
    assert_int_equal(stats.running, 0);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.suspended, 0);
}

void run_expect_silence(struct run *run, unsigned segments) {
    struct nx_buf *program = program_new();
    program_order(program, FAKE_COUNT);
    struct nx_code *code = code_of_program(program);
    struct run next;
    loop_for(50); // what runs ends, and what is to be released is
    run_start(&next, code, NULL);
    run_wait(&next, 1);
    assert_string_equal(run_text(&next), "done 0");
    assert_int_equal(run->segments, segments);
    pool_expect_idle();
    run_free(&next);
    nx_code_unref(code);
}

// ---- checks
// ---

// A neighbour that only wants to be left alone.
static void start_neighbour(struct run *run, uint32_t ms) {
    struct nx_buf *program = program_new();
    program_sleep(program, ms);
    program_segment(program, &(struct forged){.json = "\"well\""});
    struct nx_code *code = code_of_program(program);
    run_start(run, code, NULL);
    nx_code_unref(code);
}

void refresh_pool(void) {
    if (pool_stats().worker_restarts != 0) {
        pool_stop();
        pool_start_fake(FAKE_GOOD, CHECK_WORKERS, 64);
    }
}

void expect_killed(struct nx_code *code, const struct run_options *options) {
    struct run before, forger, after;
    refresh_pool();
    pool_settle(CHECK_WORKERS);
    const uint64_t kills = pool_stats().protocol_kills;
    start_neighbour(&before, 5);
    run_start(&forger, code, options);
    start_neighbour(&after, 1);
    run_wait(&forger, 1);
    run_wait(&before, 1);
    run_wait(&after, 1);
    assert_string_equal(run_text(&before), "done \"well\"");
    assert_string_equal(run_text(&after), "done \"well\"");
    assert_string_equal(run_text(&forger), "error INTERNAL_ERROR");
    assert_int_equal(pool_stats().protocol_kills, kills + 1);
    run_free(&before);
    run_free(&forger);
    run_free(&after);
}

void expect_passed(struct nx_code *code, const struct run_options *options, const char *expected) {
    struct run run;
    const uint64_t kills = pool_stats().protocol_kills;
    run_start(&run, code, options);
    run_wait(&run, 1);
    assert_string_equal(run_text(&run), expected);
    assert_int_equal(pool_stats().protocol_kills, kills);
    run_free(&run);
}

// ---- one frame, one forgery

void run_checks(const struct check *checks, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct check *c = &checks[i];
        const bool is_same =
            c->control.status == 0 && c->control.json == NULL && c->control.items[0].kind == 0;
        struct nx_code *bad = code_of_segment(&c->forged);
        struct nx_code *good = code_of_segment(is_same ? &c->forged : &c->control);
        print_message("  %s\n", c->name);
        expect_killed(bad, &(struct run_options){.caps = c->caps});
        expect_passed(good, &(struct run_options){.caps = c->control_caps}, c->expected);
        nx_code_unref(bad);
        nx_code_unref(good);
    }
}

struct nx_code *code_that_returns(const char *json, uint32_t ms) {
    struct nx_buf *program = program_new();
    program_sleep(program, ms);
    program_segment(program, &(struct forged){.json = json});
    return code_of_program(program);
}

int pool_setup_one(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_GOOD, 1, 64);
    return 0;
}

int pool_setup_two(void **unused) {
    (void)unused;
    pool_start_fake(FAKE_GOOD, 2, 64);
    pool_settle(2);
    return 0;
}

int pool_teardown(void **unused) {
    (void)unused;
    pool_stop();
    return 0;
}

int pool_teardown_strict(void **unused) {
    (void)unused;
    const struct nx_sandbox_stats stats = pool_stats();
    assert_int_equal(stats.worker_restarts, 0); // the fake is strict: nothing it was sent was wrong
    pool_stop();
    return 0;
}
