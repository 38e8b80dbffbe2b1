// SPDX-License-Identifier: Apache-2.0
// The worker's half in this process: what frames of the kernel lead to, without a pool around them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "sandbox/exec.h"
#include "sandbox/runner.h"
#include "sandbox/wire.h"

static struct nx_buf frame, answer;

static int set_up(void **state) {
    (void)state;
    const struct nx_engine_config config = {.memory_limit_bytes = 16 * 1024 * 1024,
                                            .stack_limit_bytes = 256 * 1024,
                                            .imports = &nx_host_imports};
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

// Runs slot 0, which may call any extension. The status, and on 0 the answer's in *how.
static int run(uint32_t id, uint32_t timeout_us, uint8_t *how) {
    nx_buf_reset(&frame);
    nx_buf_reset(&answer);
    nx_wire_put_u32(&frame, 0);
    nx_wire_put_u32(&frame, timeout_us);
    for (int i = 0; i < 6; i++) {
        nx_wire_put_u32(&frame, 1000); // each limit
    }
    nx_wire_put_u32(&frame, 0); // state
    nx_wire_put_u32(&frame, 1); // grants
    nx_wire_put_u8(&frame, NX_CAP_EXT);
    nx_wire_put_bytes(&frame, nx_span_str("*"));
    nx_wire_put_bytes(&frame, nx_span_str("{}"));
    nx_wire_put_bytes(&frame, nx_span_str("{}"));
    nx_wire_put_u8(&frame, 0);
    nx_wire_put_u32(&frame, 0);
    const int status = nx_runner_run(id, nx_buf_span(&frame), &answer);
    struct nx_frame_header header;
    struct nx_span payload;
    if (status == 0) {
        assert_int_equal(nx_wire_next(nx_buf_span(&answer), &header, &payload), 1);
        assert_int_equal(header.id, id);
        *how = (uint8_t)payload.data[0];
    }
    return status;
}

static void compile(const char *source) {
    struct nx_buf compiled;
    struct nx_wire_reader r;
    nx_buf_init(&compiled, NX_MAX_FRAME_BYTES);
    nx_buf_reset(&frame);
    nx_wire_put_u8(&frame, 0);
    nx_wire_put_u32(&frame, 1);
    nx_wire_put_u32(&frame, 1);
    nx_wire_put_bytes(&frame, nx_span_str(source));
    assert_int_equal(nx_runner_compile(1, nx_buf_span(&frame), &compiled), 0);
    nx_wire_reader_init(&r, nx_span_of(compiled.data + sizeof(struct nx_frame_header),
                                       compiled.len - sizeof(struct nx_frame_header)));
    assert_int_equal(nx_wire_get_u8(&r), NX_RESULT_NONE);
    for (int i = 0; i < 3; i++) {
        nx_wire_get_u32(&r);
    }
    load(nx_wire_get_bytes(&r));
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

// A RESUME for a call that was never made is refused, and takes its execution along.
static void foreign_calls(void **state) {
    (void)state;
    uint8_t how = 0;
    compile("return await $ext.time.sleep(1);");
    assert_int_equal(run(20000, 1000000, &how), 0);
    assert_int_equal(how, 1); // suspended
    nx_buf_reset(&frame);
    nx_wire_put_u32(&frame, 1000);
    nx_wire_put_u32(&frame, 7); // its only call is 1
    nx_wire_put_u8(&frame, 1);
    nx_wire_put_bytes(&frame, nx_span_str("1"));
    nx_wire_put_bytes(&frame, nx_span_str(""));
    nx_wire_put_u32(&frame, 0);
    assert_int_equal(nx_runner_resume(20000, nx_buf_span(&frame), &answer), NX_E_PROTOCOL);
    assert_int_equal(nx_runner_release(20000), NX_E_PROTOCOL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadlines_of_what_does_not_load),
        cmocka_unit_test(foreign_calls),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
