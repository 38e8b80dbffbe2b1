// SPDX-License-Identifier: Apache-2.0
// The `time` extension: sleep(ms) and now().
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "ext/ext.h"

// Longest text of a JSON number that is looked at: a double needs no more.
enum { NUMBER_BYTES = 64 };

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct nx_span skip_space(struct nx_span s) {
    while (s.len && is_space(*s.data)) {
        s.data++;
        s.len--;
    }
    return s;
}

// The first item of the JSON array `args` as a number; NAN if it is none.
static double first_number(struct nx_span args) {
    args = skip_space(args);
    if (!args.len || *args.data != '[')
        return NAN;
    args = skip_space(nx_span_of(args.data + 1, args.len - 1));
    char text[NUMBER_BYTES];
    size_t len = 0;
    while (len < args.len && len < sizeof text - 1 && args.data[len] &&
           strchr("+-.0123456789eE", args.data[len])) {
        text[len] = args.data[len];
        len++;
    }
    if (len == 0 || len == sizeof text - 1)
        return NAN;
    text[len] = '\0';
    char *end;
    double number = strtod(text, &end);
    return *end == '\0' ? number : NAN;
}

static bool time_has_method(const void *self, struct nx_span method) {
    (void)self;
    return nx_span_eq(method, nx_span_str("sleep")) || nx_span_eq(method, nx_span_str("now"));
}

static int time_call(void *self, const struct nx_ext_request *request, nx_ext_done_fn *fn,
                     void *user, struct nx_ext_op **out, struct nx_error *err) {
    uv_loop_t *loop = self;
    char now[32];
    struct nx_ext_result result = {.ok = true};
    if (nx_span_eq(request->method, nx_span_str("now"))) {
        snprintf(now, sizeof now, "%" PRId64, nx_clock_wall_ms());
        result.json = nx_span_str(now);
        return nx_ext_complete_later(loop, 0, &result, fn, user, out, err);
    }
    double ms = first_number(request->args_json);
    if (!(ms >= 0))
        return nx_error_set(err, NX_E_INVALID, "sleep needs a number of milliseconds, 0 or more");
    uint64_t delay_ms = ms > NX_MAX_SLEEP_MS ? NX_MAX_SLEEP_MS : (uint64_t)ms;
    return nx_ext_complete_later(loop, delay_ms, &result, fn, user, out, err);
}

int nx_ext_register_time(struct nx_ext_registry *registry, struct nx_error *err) {
    return nx_ext_register(registry,
                           &(struct nx_ext){
                               .name = "time",
                               .self = nx_ext_registry_loop(registry),
                               .has_method = time_has_method,
                               .call = time_call,
                           },
                           err);
}
