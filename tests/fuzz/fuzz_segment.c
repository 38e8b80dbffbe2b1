// SPDX-License-Identifier: Apache-2.0
// What an owned worker may say of a segment, held against the kernel's check of
// it. Input: a byte of grants, then the frame's payload, either as it is or put
// together from parts, so that lengths and counts are right more often than by
// chance.
#include <stdlib.h>

#include "guest.h"
#include "sandbox/pool.h"

enum { PARTS_BIT = 0x80, OUTSTANDING_BEFORE = 1 };

static struct nx_sandbox pool = {.config.memory_limit_bytes = GUEST_MEMORY_BYTES};

static struct nx_span text(struct fuzz_input *in) {
    static const char *const words[] = {"a",  "granted", "focus",       "setFilter",
                                        "[]", "{}",      "{\"a\":[1]}", "\"\xed\xa0\x80\"",
                                        "",   "\xff",    "scrollTo",    "secret"};
    uint8_t len = fuzz_u8(in);
    return len >= 0xf0 ? nx_span_str(words[(len & 0xf) % 12]) : fuzz_take(in, len & 0x1f);
}

// Counted items, each of what `form` says: '1' a byte, '4' four, 'b' bytes.
static void put_items(struct nx_buf *out, struct fuzz_input *in, const char *form) {
    uint8_t count = fuzz_u8(in);
    nx_wire_put_u32(out, count >= 0xfe ? fuzz_u32(in) : count & 7);
    for (int i = 0; i < (count & 7); i++) {
        for (const char *f = form; *f; f++) {
            if (*f == '1')
                nx_wire_put_u8(out, fuzz_u8(in) & 7);
            else if (*f == '4')
                nx_wire_put_u32(out, fuzz_u8(in));
            else
                nx_wire_put_bytes(out, text(in));
        }
    }
}

static void put_parts(struct nx_buf *out, struct fuzz_input *in) {
    static const char *const forms[] = {"1bb", "bb", "bbb", "1b", "4bbb", "1b"};
    uint8_t status = fuzz_u8(in) % 5, calls = fuzz_u8(in);
    nx_wire_put_u8(out, status);
    nx_wire_put_u32(out, fuzz_u8(in));
    nx_wire_put_u64(out, fuzz_u8(in) * (uint64_t)100000);
    nx_wire_put_u64(out, fuzz_u8(in) * (uint64_t)100000);
    for (int i = 0; i < NX_RESET_KINDS; i++)
        nx_wire_put_u32(out, calls == 0xfe ? UINT32_MAX : calls & 0x3f);
    for (int i = 0; i < NX_HOST_CALL_COUNT; i++)
        nx_wire_put_u32(out, calls == 0xff ? fuzz_u32(in) : calls >> 6);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        put_items(out, in, forms[i]);
    if (status == NX_SEGMENT_DONE)
        nx_wire_put_bytes(out, text(in));
    if (status != NX_SEGMENT_ERROR)
        return;
    nx_wire_put_u8(out, fuzz_u8(in));
    for (int i = 0; i < 3; i++)
        nx_wire_put_bytes(out, text(in));
    nx_wire_put_u32(out, fuzz_u8(in));
    nx_wire_put_u32(out, fuzz_u8(in));
}

static void init_execution(struct guest_run *run, uint8_t grants) {
    static const char *const tokens[] = {"state:write:a", "state:write:*",       "events:emit:a",
                                         "events:emit:*", "view:update:granted", "ext:*"};
    guest_run_init(run, 1);
    for (int i = 0; i < 6; i++)
        if (grants >> i & 1)
            guest_grant(run, tokens[i]);
    run->kernel->job.kind = NX_JOB_RUN;
    run->kernel->sandbox = &pool;
    run->kernel->caps = &run->caps;
    run->kernel->limits = run->limits;
    run->kernel->follows = grants >> 6 & 1;
    run->kernel->last_call_id = run->kernel->outstanding = OUTSTANDING_BEFORE;
    run->kernel->outstanding_ids[0] = 1;
}

static void check_accepted(const struct guest_run *run, const struct nx_segment *s) {
    const struct nx_execution *e = run->kernel;
    uint64_t calls = 0;
    guest_check_segment(s, &run->caps, &run->limits);
    for (int i = 0; i < NX_HOST_CALL_COUNT; i++)
        calls += s->host_calls[i];
    FUZZ_CHECK(calls == e->host_calls && calls <= run->limits.max_host_calls + 1u);
    FUZZ_CHECK(e->mutations == s->mutation_count);
    FUZZ_CHECK(e->events == s->event_count + s->view_count);
    FUZZ_CHECK(e->outstanding <= NX_MAX_OUTSTANDING_CALLS);
    FUZZ_CHECK(s->status != NX_SEGMENT_SUSPENDED || e->outstanding > 0);
    FUZZ_CHECK(s->status != NX_SEGMENT_NOT_RUN || e->follows);
    for (uint32_t i = 0; i < e->outstanding; i++)
        FUZZ_CHECK(e->outstanding_ids[i] == i + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = fuzz_input(data, size);
    struct guest_run run;
    struct nx_segment segment;
    uint8_t grants = fuzz_u8(&in);
    init_execution(&run, grants);
    if (grants & PARTS_BIT)
        put_parts(&run.out, &in);
    else
        nx_buf_append_span(&run.out, fuzz_rest(&in));
    struct nx_span payload = fuzz_copy(nx_buf_span(&run.out));
    int rc = nx_segment_check(run.kernel, payload, &segment);
    FUZZ_CHECK(rc == 0 || rc == NX_E_PROTOCOL);
    if (rc == 0)
        check_accepted(&run, &segment);
    free((void *)payload.data);
    guest_run_free(&run);
    return 0;
}
