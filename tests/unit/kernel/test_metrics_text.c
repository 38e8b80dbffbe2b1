// SPDX-License-Identifier: Apache-2.0
// Histograms and the text format of metrics.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel/metrics_text.h"

// What is counted in a histogram with bounds 4, 8, 16: the bucket it is in, or 3 for none of them.
static unsigned bucket_of(uint64_t value) {
    struct nx_histogram h = {.first = 2, .buckets = 3};
    nx_histogram_add(&h, value);
    assert_int_equal(h.count, 1);
    assert_int_equal(h.sum, value);
    for (unsigned i = 0; i < h.buckets; i++)
        if (h.in[i])
            return i;
    return h.buckets;
}

static void bounds_belong_to_their_bucket(void **unused) {
    (void)unused;
    static const struct {
        uint64_t value;
        unsigned bucket;
    } rows[] = {
        {0, 0}, {1, 0},  {2, 0},  {3, 0},  {4, 0},          {5, 1},          {8, 1},
        {9, 2}, {16, 2}, {17, 3}, {64, 3}, {UINT64_MAX, 3}, {1ull << 63, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(bucket_of(rows[i].value), rows[i].bucket);
}

static void every_bucket_can_be_reached(void **unused) {
    (void)unused;
    struct nx_histogram h = {.first = 4, .buckets = NX_HISTOGRAM_BUCKETS};
    for (unsigned i = 0; i < NX_HISTOGRAM_BUCKETS; i++)
        nx_histogram_add(&h, UINT64_C(1) << (4 + i));
    for (unsigned i = 0; i < NX_HISTOGRAM_BUCKETS; i++)
        assert_int_equal(h.in[i], 1);
}

static void a_histogram_as_text(void **unused) {
    (void)unused;
    struct nx_buf out;
    struct nx_histogram h = {.first = 4, .buckets = 2};
    nx_buf_init(&out, 4096);
    nx_histogram_add(&h, 10);
    nx_histogram_add(&h, 20);
    nx_histogram_add(&h, 970);
    nx_metrics_histogram(&out, "x_seconds", "Text.", &h, 1000000);
    assert_string_equal(out.data, "# HELP x_seconds Text.\n"
                                  "# TYPE x_seconds histogram\n"
                                  "x_seconds_bucket{le=\"1.6e-05\"} 1\n"
                                  "x_seconds_bucket{le=\"3.2e-05\"} 2\n"
                                  "x_seconds_bucket{le=\"+Inf\"} 3\n"
                                  "x_seconds_sum 0.001\n"
                                  "x_seconds_count 3\n");
    nx_buf_free(&out);
}

static void labels_are_escaped(void **unused) {
    (void)unused;
    struct nx_buf out;
    nx_buf_init(&out, 4096);
    const struct nx_metrics_label labels[] = {
        {"a", nx_span_str("x\"y\\z\n")}, {"b", nx_span_str("")}, {0}};
    nx_metrics_sample(&out, "n", labels, UINT64_MAX);
    nx_metrics_sample(&out, "n", NULL, 0);
    assert_string_equal(out.data, "n{a=\"x\\\"y\\\\z\\n\",b=\"\"} 18446744073709551615\nn 0\n");
    nx_buf_free(&out);
}

static void text_without_room_fails_the_buffer(void **unused) {
    (void)unused;
    struct nx_buf out;
    nx_buf_init(&out, 8);
    nx_metrics_family(&out, "name", "counter", "Help.");
    nx_metrics_sample(&out, "name", NULL, 1);
    assert_int_not_equal(out.failed, 0);
    nx_buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_belong_to_their_bucket),
        cmocka_unit_test(every_bucket_can_be_reached),
        cmocka_unit_test(a_histogram_as_text),
        cmocka_unit_test(labels_are_escaped),
        cmocka_unit_test(text_without_room_fails_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
