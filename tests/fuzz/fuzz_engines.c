// SPDX-License-Identifier: Apache-2.0
// The same script in native QuickJS and in the guest gives the same result. The
// guest is QuickJS on another word size and another representation of values,
// with another libc, through two translators: each may be wrong. Input: choices
// of a grammar (engines_grammar.c). FUZZ_SHOW=1 prints the scripts.
#include <stdio.h>
#include <stdlib.h>

#include "engines.h"
#include "guest.h"

enum { RESULT_BYTES = 1024 * 1024, TIMEOUT_US = 300000, SLOT = 0 };

static void show(const char *title, struct nx_span text) {
    fprintf(stderr, "---- %s\n%.*s\n", title, (int)text.len, text.len ? text.data : "");
}

// Ran out of something; natively it may not have.
static bool is_limit(enum nx_result_code code) {
    return code == NX_RESULT_TIMEOUT || code == NX_RESULT_MEMORY_LIMIT ||
           code == NX_RESULT_RESOURCE_LIMIT;
}

static enum engines_outcome run_guest(struct nx_span script, struct nx_buf *out) {
    static uint32_t id;
    struct guest_run run;
    struct nx_span bytecode = {0};
    enum engines_outcome outcome = ENGINES_ERROR;
    if (!guest_try_compile(script, &bytecode, out))
        return ENGINES_ERROR;
    guest_load(SLOT, bytecode);
    guest_run_init(&run, ++id);
    run.slot = SLOT;
    run.timeout_us = TIMEOUT_US;
    run.limits.max_value_bytes = RESULT_BYTES;
    FUZZ_CHECK(guest_call(&run) == 0);
    if (run.segment.status == NX_SEGMENT_DONE) {
        nx_buf_append_span(out, run.segment.return_json);
        outcome = ENGINES_DONE;
    } else {
        nx_buf_append_span(out, run.segment.error.message);
        if (is_limit(run.segment.error.code))
            outcome = ENGINES_LIMIT;
    }
    guest_run_free(&run);
    free((void *)bytecode.data);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = fuzz_input(data, size);
    struct nx_buf script, native, guest;
    guest_start(NULL);
    nx_buf_init(&script, (size_t)256 * 1024);
    nx_buf_init(&native, (size_t)2 * RESULT_BYTES);
    nx_buf_init(&guest, (size_t)2 * RESULT_BYTES);
    engines_write_script(&in, &script);
    enum engines_outcome here = engines_run_native(nx_buf_span(&script), &native);
    enum engines_outcome there =
        here == ENGINES_LIMIT ? here : run_guest(nx_buf_span(&script), &guest);
    bool limit = here == ENGINES_LIMIT || there == ENGINES_LIMIT;
    bool same = here == there &&
                (here != ENGINES_DONE || nx_span_eq(nx_buf_span(&native), nx_buf_span(&guest)));
    if (getenv("FUZZ_SHOW") || (!limit && !same)) {
        show("script", nx_buf_span(&script));
        show("native", nx_buf_span(&native));
        show("guest", nx_buf_span(&guest));
    }
    FUZZ_CHECK(limit || same);
    nx_buf_free(&script);
    nx_buf_free(&native);
    nx_buf_free(&guest);
    return 0;
}
