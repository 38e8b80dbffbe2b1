// SPDX-License-Identifier: Apache-2.0
// Frames: what is written is read back; everything else fails the reader for good.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "sandbox/wire.h"

enum { HEADER_BYTES = sizeof(struct nx_frame_header) };

// A copy that ends where its memory ends, so that AddressSanitizer sees a read past it.
static struct nx_span exact_copy(struct nx_span s) {
    char *copy = malloc(s.len == 0 ? 1 : s.len);
    assert_non_null(copy);
    if (s.len != 0) {
        memcpy(copy, s.data, s.len);
    }
    return nx_span_of(copy, s.len);
}

static void free_copy(struct nx_span s) {
    free((void *)s.data);
}

// One frame with a value of every kind.
static void write_sample(struct nx_buf *out, uint32_t id) {
    const size_t start = nx_wire_begin(out, NX_FRAME_RUN, id);
    nx_wire_put_u8(out, 0xab);
    nx_wire_put_u32(out, 0xdeadbeef);
    nx_wire_put_u64(out, UINT64_MAX - 1);
    nx_wire_put_bytes(out, nx_span_of("a\0b", 3));
    nx_wire_put_bytes(out, nx_span_of(NULL, 0));
    nx_wire_put_u32(out, 2);
    nx_wire_put_bytes(out, nx_span_str("x"));
    nx_wire_put_bytes(out, nx_span_str("yz"));
    assert_int_equal(nx_wire_end(out, start), 0);
}

// Reads what write_sample wrote; true if all of it was there and right.
static bool read_sample(struct nx_span payload) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    bool good = nx_wire_get_u8(&r) == 0xab;
    good = nx_wire_get_u32(&r) == 0xdeadbeef && good;
    good = nx_wire_get_u64(&r) == UINT64_MAX - 1 && good;
    good = nx_span_eq(nx_wire_get_bytes(&r), nx_span_of("a\0b", 3)) && good;
    good = nx_wire_get_bytes(&r).len == 0 && good;
    const uint32_t count = nx_wire_get_count(&r, 2, 5);
    good = count == 2 && good;
    good = nx_span_eq(nx_wire_get_bytes(&r), nx_span_str("x")) && good;
    good = nx_span_eq(nx_wire_get_bytes(&r), nx_span_str("yz")) && good;
    return nx_wire_reader_done(&r) && good;
}

// ---- writing

static void what_is_written_is_read_back(void **unused) {
    (void)unused;
    struct nx_buf out;
    nx_buf_init(&out, 4096);
    write_sample(&out, 7);
    write_sample(&out, UINT32_MAX);
    struct nx_frame_header header;
    struct nx_span payload;
    assert_int_equal(nx_wire_next(nx_buf_span(&out), &header, &payload), 1);
    assert_int_equal(header.version, NX_WIRE_VERSION);
    assert_int_equal(header.type, NX_FRAME_RUN);
    assert_int_equal(header.zero, 0);
    assert_int_equal(header.id, 7);
    assert_int_equal(header.payload_bytes, out.len / 2 - HEADER_BYTES);
    assert_int_equal(payload.len, header.payload_bytes);
    assert_ptr_equal(payload.data, out.data + HEADER_BYTES);
    assert_true(read_sample(payload));

    nx_buf_consume(&out, HEADER_BYTES + payload.len);
    assert_int_equal(nx_wire_next(nx_buf_span(&out), &header, &payload), 1);
    assert_int_equal(header.id, UINT32_MAX);
    assert_true(read_sample(payload));
    nx_buf_consume(&out, HEADER_BYTES + payload.len);
    assert_int_equal(nx_wire_next(nx_buf_span(&out), &header, &payload), 0);
    nx_buf_free(&out);
}

static void a_frame_may_be_empty(void **unused) {
    (void)unused;
    struct nx_buf out;
    nx_buf_init(&out, HEADER_BYTES);
    const size_t start = nx_wire_begin(&out, NX_FRAME_SPAWN, 3);
    assert_int_equal(nx_wire_end(&out, start), 0);
    struct nx_frame_header header;
    struct nx_span payload;
    assert_int_equal(nx_wire_next(nx_buf_span(&out), &header, &payload), 1);
    assert_int_equal(payload.len, 0);
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    assert_true(nx_wire_reader_done(&r));
    nx_buf_free(&out);
}

// Whatever does not fit is cut away, and what stood before it can still be sent.
static void a_frame_that_does_not_fit_leaves_the_buffer_usable(void **unused) {
    (void)unused;
    struct nx_buf sample;
    nx_buf_init(&sample, 4096);
    write_sample(&sample, 1);
    for (size_t room = 0; room < sample.len; room++) {
        struct nx_buf out;
        nx_buf_init(&out, sample.len + room);
        write_sample(&out, 1);
        const size_t start = nx_wire_begin(&out, NX_FRAME_RUN, 2);
        nx_buf_append(&out, sample.data + HEADER_BYTES, sample.len - HEADER_BYTES);
        assert_int_equal(nx_wire_end(&out, start), NX_E_LIMIT);
        assert_int_equal(out.failed, 0);
        assert_int_equal(out.len, sample.len);
        assert_memory_equal(out.data, sample.data, sample.len);
        if (room >= HEADER_BYTES) {
            assert_int_equal(nx_wire_end(&out, nx_wire_begin(&out, NX_FRAME_SPAWN, 0)), 0);
        }
        nx_buf_free(&out);
    }
    struct nx_buf out; // the control: one byte more, and it fits
    nx_buf_init(&out, 2 * sample.len);
    write_sample(&out, 1);
    write_sample(&out, 1);
    assert_int_equal(out.len, 2 * sample.len);
    nx_buf_free(&out);
    nx_buf_free(&sample);
}

static void a_payload_ends_at_the_frame_limit(void **unused) {
    (void)unused;
    char *big = calloc(1, NX_MAX_FRAME_BYTES);
    assert_non_null(big);
    struct nx_buf out;
    nx_buf_init(&out, 2 * (size_t)NX_MAX_FRAME_BYTES);
    size_t start = nx_wire_begin(&out, NX_FRAME_LOAD, 1);
    nx_wire_put_bytes(&out, nx_span_of(big, NX_MAX_FRAME_BYTES - 4));
    assert_int_equal(nx_wire_end(&out, start), 0);
    struct nx_frame_header header;
    struct nx_span payload;
    assert_int_equal(nx_wire_next(nx_buf_span(&out), &header, &payload), 1);
    assert_int_equal(payload.len, NX_MAX_FRAME_BYTES);

    nx_buf_reset(&out);
    start = nx_wire_begin(&out, NX_FRAME_LOAD, 1);
    nx_wire_put_bytes(&out, nx_span_of(big, NX_MAX_FRAME_BYTES - 4));
    nx_wire_put_u8(&out, 0);
    assert_int_equal(nx_wire_end(&out, start), NX_E_LIMIT);
    assert_int_equal(out.len, 0);

    // A length that does not even fit a frame is refused before a byte of it is looked at.
    start = nx_wire_begin(&out, NX_FRAME_LOAD, 1);
    nx_wire_put_bytes(&out, nx_span_of(big, (size_t)NX_MAX_FRAME_BYTES + 1));
    assert_int_equal(out.failed, NX_E_LIMIT);
    assert_int_equal(nx_wire_end(&out, start), NX_E_LIMIT);
    start = nx_wire_begin(&out, NX_FRAME_LOAD, 1);
    nx_wire_put_bytes(&out, nx_span_of(big, SIZE_MAX));
    assert_int_equal(nx_wire_end(&out, start), NX_E_LIMIT);
    assert_int_equal(out.len, 0);
    nx_buf_free(&out);
    free(big);
}

// ---- reading

static void a_payload_cut_anywhere_fails(void **unused) {
    (void)unused;
    struct nx_buf out;
    nx_buf_init(&out, 4096);
    write_sample(&out, 1);
    const struct nx_span whole = nx_span_of(out.data + HEADER_BYTES, out.len - HEADER_BYTES);
    for (size_t len = 0; len <= whole.len; len++) {
        const struct nx_span cut = exact_copy(nx_span_of(whole.data, len));
        assert_int_equal(read_sample(cut), len == whole.len);
        free_copy(cut);
    }
    nx_buf_append_char(&out, 0); // one byte too many is as wrong
    assert_false(read_sample(nx_span_of(out.data + HEADER_BYTES, out.len - HEADER_BYTES)));
    nx_buf_free(&out);
}

static void a_failed_reader_gives_nothing_more(void **unused) {
    (void)unused;
    const struct nx_span three = exact_copy(nx_span_of("\x01\x01\x01", 3));
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, three);
    assert_int_equal(nx_wire_get_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(nx_wire_get_u8(&r), 0); // there is a byte, but it is not what comes next
    assert_int_equal(nx_wire_get_u64(&r), 0);
    assert_int_equal(nx_wire_get_count(&r, 10, 1), 0);
    const struct nx_span none = nx_wire_get_bytes(&r);
    assert_null(none.data);
    assert_int_equal(none.len, 0);
    assert_false(nx_wire_reader_done(&r));

    nx_wire_reader_init(&r, three);
    assert_int_equal(nx_wire_get_u8(&r), 1);
    assert_false(r.failed);
    assert_false(nx_wire_reader_done(&r));
    free_copy(three);
}

static void a_length_longer_than_the_rest_fails(void **unused) {
    (void)unused;
    static const uint32_t lengths[] = {0, 3, 4, 5, INT32_MAX, UINT32_MAX - 3, UINT32_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char bytes[8] = {0};
        memcpy(bytes, &lengths[i], 4);
        const struct nx_span payload = exact_copy(nx_span_of(bytes, sizeof(bytes)));
        struct nx_wire_reader r;
        nx_wire_reader_init(&r, payload);
        const struct nx_span got = nx_wire_get_bytes(&r);
        assert_int_equal(r.failed, lengths[i] > 4);
        assert_int_equal(got.len, r.failed ? 0 : lengths[i]);
        free_copy(payload);
    }
}

static bool count_passes(uint32_t count, uint32_t max, size_t min_item_bytes, size_t rest) {
    char bytes[64] = {0};
    memcpy(bytes, &count, 4);
    const struct nx_span payload = exact_copy(nx_span_of(bytes, 4 + rest));
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    const uint32_t got = nx_wire_get_count(&r, max, min_item_bytes);
    assert_int_equal(got, r.failed ? 0 : count);
    free_copy(payload);
    return !r.failed;
}

static void a_count_is_bounded_by_its_limit_and_by_the_rest(void **unused) {
    (void)unused;
    assert_true(count_passes(0, 0, 1, 0));
    assert_true(count_passes(3, 3, 1, 60));
    assert_false(count_passes(4, 3, 1, 60));
    assert_true(count_passes(6, 100, 9, 54));
    assert_false(count_passes(6, 100, 9, 53));
    assert_true(count_passes(5, 100, 9, 53));
    assert_false(count_passes(1, 100, 9, 0));
    assert_false(count_passes(UINT32_MAX, UINT32_MAX, 1, 60));
    assert_false(count_passes(UINT32_MAX, UINT32_MAX, SIZE_MAX, 60));
}

// ---- headers

static int next(const struct nx_frame_header *header) {
    const struct nx_span data = exact_copy(nx_span_of(header, sizeof(*header)));
    struct nx_frame_header got;
    struct nx_span payload;
    const int status = nx_wire_next(data, &got, &payload);
    free_copy(data);
    return status;
}

static void an_incomplete_frame_waits_for_more(void **unused) {
    (void)unused;
    struct nx_buf out;
    nx_buf_init(&out, 4096);
    write_sample(&out, 1);
    struct nx_frame_header header;
    struct nx_span payload;
    assert_int_equal(nx_wire_next(nx_span_of(NULL, 0), &header, &payload), 0);
    for (size_t len = 0; len <= out.len; len++) {
        const struct nx_span part = exact_copy(nx_span_of(out.data, len));
        assert_int_equal(nx_wire_next(part, &header, &payload), len == out.len);
        free_copy(part);
    }
    nx_buf_free(&out);
}

static void a_header_of_another_protocol_is_refused(void **unused) {
    (void)unused;
    const struct nx_frame_header good = {.version = NX_WIRE_VERSION, .type = NX_FRAME_SEGMENT};
    assert_int_equal(next(&good), 1);
    for (unsigned value = 0; value < 256; value++) {
        struct nx_frame_header h = good;
        h.version = (uint8_t)value;
        assert_int_equal(next(&h), value == NX_WIRE_VERSION ? 1 : NX_E_PROTOCOL);
        h = good;
        h.type = (uint8_t)value;
        assert_int_equal(next(&h),
                         value >= NX_FRAME_CONFIG && value <= NX_FRAME_LAST ? 1 : NX_E_PROTOCOL);
    }
    for (unsigned bit = 0; bit < 16; bit++) {
        struct nx_frame_header h = good;
        h.zero = (uint16_t)(1u << bit);
        assert_int_equal(next(&h), NX_E_PROTOCOL);
    }
}

// Refused from the header alone: nobody waits for, or makes room for, what such a length announces.
static void a_length_over_the_limit_is_refused_at_once(void **unused) {
    (void)unused;
    struct nx_frame_header h = {.version = NX_WIRE_VERSION, .type = NX_FRAME_SEGMENT};
    h.payload_bytes = NX_MAX_FRAME_BYTES;
    assert_int_equal(next(&h), 0);
    h.payload_bytes = NX_MAX_FRAME_BYTES + 1;
    assert_int_equal(next(&h), NX_E_PROTOCOL);
    h.payload_bytes = UINT32_MAX;
    assert_int_equal(next(&h), NX_E_PROTOCOL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_frame_may_be_empty),
        cmocka_unit_test(a_frame_that_does_not_fit_leaves_the_buffer_usable),
        cmocka_unit_test(a_payload_ends_at_the_frame_limit),
        cmocka_unit_test(a_payload_cut_anywhere_fails),
        cmocka_unit_test(a_failed_reader_gives_nothing_more),
        cmocka_unit_test(a_length_longer_than_the_rest_fails),
        cmocka_unit_test(a_count_is_bounded_by_its_limit_and_by_the_rest),
        cmocka_unit_test(an_incomplete_frame_waits_for_more),
        cmocka_unit_test(a_header_of_another_protocol_is_refused),
        cmocka_unit_test(a_length_over_the_limit_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
