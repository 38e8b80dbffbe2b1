// SPDX-License-Identifier: Apache-2.0
// What sets a tool off, and patterns of names. Input: a line with a trigger
// (`cron:…`), one with a number of seconds since 1970, then a name to match.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/json.h"
#include "fuzz.h"
#include "kernel/cron.h"
#include "kernel/glob.h"
#include "nxml/panel_def.h"

enum { MINUTE_MS = 60000, LOOK_MINUTES = 3000 };

static bool matches(const struct nx_cron *cron, int64_t ms) {
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    bool day = cron->days >> tm.tm_mday & 1, weekday = cron->weekdays >> tm.tm_wday & 1;
    return (cron->minutes >> tm.tm_min & 1) && (cron->hours >> tm.tm_hour & 1) &&
           (cron->months >> (tm.tm_mon + 1) & 1) &&
           (cron->either_day ? day || weekday : day && weekday);
}

// The next time is after, matches, and is the first that does.
static void check_next(const struct nx_cron *cron, int64_t after_ms) {
    int64_t next = nx_cron_next(cron, after_ms);
    int64_t first = (after_ms / MINUTE_MS + 1) * MINUTE_MS;
    if (next != NX_CRON_NEVER)
        FUZZ_CHECK(next > after_ms && next % MINUTE_MS == 0 && matches(cron, next));
    for (int i = 0; i < LOOK_MINUTES && first + (int64_t)i * MINUTE_MS < next; i++)
        FUZZ_CHECK(!matches(cron, first + (int64_t)i * MINUTE_MS));
}

static void check_cron(struct nx_span text, int64_t after_ms) {
    struct nx_cron cron;
    if (nx_cron_parse(&cron, text))
        return;
    FUZZ_CHECK(cron.minutes && !(cron.minutes >> 60) && cron.hours && !(cron.hours >> 24));
    FUZZ_CHECK(cron.days && !(cron.days & 1) && cron.months && !(cron.months & 1) &&
               !(cron.months >> 13) && cron.weekdays && !(cron.weekdays >> 7));
    check_next(&cron, after_ms);
}

// The same without cleverness: quadratic.
static bool slow_match(struct nx_span pattern, struct nx_span text) {
    bool *row = calloc(text.len + 1, sizeof *row);
    FUZZ_CHECK(row);
    row[0] = true;
    for (size_t p = 0; p < pattern.len; p++) {
        bool star = pattern.data[p] == '*', diagonal = row[0];
        row[0] = row[0] && star;
        for (size_t t = 1; t <= text.len; t++) {
            bool above = row[t];
            row[t] = star ? above || row[t - 1] : diagonal && pattern.data[p] == text.data[t - 1];
            diagonal = above;
        }
    }
    bool matched = row[text.len];
    free(row);
    return matched;
}

// A panel whose one tool has the trigger: what the panel takes, the schedule
// understands.
static void check_panel(struct nx_span trigger, int64_t after_ms) {
    struct nx_panel_def *def = NULL;
    struct nx_diagnostics diags = {0};
    struct nx_buf source;
    nx_buf_init(&source, trigger.len * 6 + 1024);
    nx_buf_append_str(&source,
                      "{\"kind\":\"k\",\"tools\":[{\"name\":\"t\",\"handler\":\"return 1\","
                      "\"trigger\":");
    nx_json_append_string(&source, trigger);
    nx_buf_append_str(&source, "}]}");
    FUZZ_CHECK(source.failed == 0);
    int rc = nx_panel_def_parse_json(nx_buf_span(&source), &def, &diags);
    FUZZ_CHECK(rc == 0 ? def && diags.errors == 0 : !def && diags.errors > 0);
    if (def && def->tool_count == 1 && def->tools[0].trigger.kind == NX_TRIGGER_CRON) {
        struct nx_cron cron;
        FUZZ_CHECK(nx_cron_parse(&cron, nx_span_str(def->tools[0].trigger.pattern)) == 0);
        check_next(&cron, after_ms);
    }
    nx_panel_def_free(def);
    nx_diagnostics_free(&diags);
    nx_buf_free(&source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = fuzz_input(data, size);
    struct nx_span trigger = fuzz_until(&in, '\n');
    char *number = fuzz_string(fuzz_until(&in, '\n'));
    int64_t after_ms = strtoll(number, NULL, 10) % 250000000000 * 1000;
    free(number);
    struct nx_span name = fuzz_rest(&in), prefix = nx_span_str("cron:");
    if (after_ms < 0)
        after_ms = -after_ms;
    struct nx_span fields = nx_span_starts(trigger, prefix)
                                ? nx_span_of(trigger.data + prefix.len, trigger.len - prefix.len)
                                : trigger;
    check_cron(fields, after_ms);
    check_panel(trigger, after_ms);
    if (fields.len * name.len < 1000000)
        FUZZ_CHECK(nx_glob_match(fields, name) == slow_match(fields, name));
    return 0;
}
