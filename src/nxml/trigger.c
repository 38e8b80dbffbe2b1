// SPDX-License-Identifier: Apache-2.0
// What sets a tool off: manual, interval, cron, event, state.
#include "nxml/lexer.h"
#include "nxml/parse.h"

const char *nx_trigger_kind_name(enum nx_trigger_kind kind) {
    static const char *const names[NX_TRIGGER_KINDS] = {
        [NX_TRIGGER_MANUAL] = "manual", [NX_TRIGGER_INTERVAL] = "interval",
        [NX_TRIGGER_CRON] = "cron",     [NX_TRIGGER_EVENT] = "event",
        [NX_TRIGGER_STATE] = "state",
    };
    return names[kind];
}

// ---- Cron

struct cron_field {
    const char *name;
    uint32_t min, max;
};

static const struct cron_field cron_fields[] = {
    {"minute", 0, 59}, {"hour", 0, 23},       {"day of month", 1, 31},
    {"month", 1, 12},  {"day of week", 0, 7},
};

enum { CRON_FIELDS = sizeof cron_fields / sizeof cron_fields[0] };

// Splits `s` at the first `ch`; *rest is empty and false is returned when there is none.
static bool split(struct nx_span s, char ch, struct nx_span *head, struct nx_span *rest) {
    const char *at = s.len ? memchr(s.data, ch, s.len) : NULL;
    *head = at ? nx_span_of(s.data, (size_t)(at - s.data)) : s;
    *rest = at ? nx_span_of(at + 1, s.len - head->len - 1) : nx_span_of(NULL, 0);
    return at != NULL;
}

// One item of a field's list: `*`, `n` or `n-m`; `*` and ranges also with `/step`.
static bool cron_item_valid(struct nx_span item, const struct cron_field *field) {
    struct nx_span range, step, low, high;
    uint32_t n = 0, first = 0, last = 0;
    bool stepped = split(item, '/', &range, &step);
    if (stepped && (!nx_parse_uint(step, field->max, &n) || n == 0))
        return false;
    if (nx_span_eq(range, nx_span_str("*")))
        return true;
    bool ranged = split(range, '-', &low, &high);
    if (!nx_parse_uint(low, field->max, &first) || first < field->min)
        return false;
    if (!ranged)
        return !stepped;
    return nx_parse_uint(high, field->max, &last) && first <= last;
}

static bool cron_field_valid(struct nx_span text, const struct cron_field *field) {
    struct nx_span item;
    bool more = true;
    while (more) {
        more = split(text, ',', &item, &text);
        if (!cron_item_valid(item, field))
            return false;
    }
    return true;
}

// The next run of bytes without white space, removed from `text`.
static struct nx_span next_word(struct nx_span *text) {
    *text = nx_span_trim(*text);
    size_t n = 0;
    while (n < text->len && !nx_is_space(text->data[n]))
        n++;
    struct nx_span word = nx_span_of(text->data, n);
    text->data += n;
    text->len -= n;
    return word;
}

// The five fields of `text` with one space between, for free(); NULL after reporting.
static char *parse_cron(struct nx_parse *p, struct nx_span text, struct nx_pos pos) {
    struct nx_buf b;
    nx_buf_init(&b, text.len + CRON_FIELDS);
    for (size_t i = 0; i < CRON_FIELDS; i++) {
        struct nx_span field = next_word(&text);
        if (!cron_field_valid(field, &cron_fields[i])) {
            nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, pos,
                           "'%.*s' is no cron field for the %s (%u-%u)", nx_quote_len(field),
                           field.len ? field.data : "", cron_fields[i].name, cron_fields[i].min,
                           cron_fields[i].max);
            nx_buf_free(&b);
            return NULL;
        }
        nx_buf_append_str(&b, i ? " " : "");
        nx_buf_append_span(&b, field);
    }
    if (nx_span_trim(text).len) {
        nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, pos, "a cron trigger has five fields");
        nx_buf_free(&b);
        return NULL;
    }
    return nx_parse_steal(p, &b);
}

// ---- The others

void nx_parse_trigger_pattern(struct nx_parse *p, struct nx_span text, struct nx_pos pos,
                              struct nx_trigger_def *out) {
    if (out->kind == NX_TRIGGER_CRON)
        out->pattern = parse_cron(p, text, pos);
    else if (text.len == 0 || text.len > NX_MAX_KEY_BYTES)
        nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, pos, "%s must have 1 to %d bytes",
                       out->kind == NX_TRIGGER_EVENT ? "the event's name" : "the state key",
                       NX_MAX_KEY_BYTES);
    else
        out->pattern = nx_parse_strdup(p, text);
}

void nx_parse_trigger_interval(struct nx_parse *p, uint64_t ms, struct nx_pos pos,
                               struct nx_trigger_def *out) {
    if (ms < NX_MIN_INTERVAL_MS || ms > NX_MAX_INTERVAL_MS)
        nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, pos, "an interval must be from %d ms to %u ms",
                       NX_MIN_INTERVAL_MS, NX_MAX_INTERVAL_MS);
    else
        out->interval_ms = (uint32_t)ms;
}

static void parse_interval(struct nx_parse *p, struct nx_span text, struct nx_pos pos,
                           struct nx_trigger_def *out) {
    static const struct {
        const char *name;
        uint32_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    size_t digits = 0;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    struct nx_span unit = nx_span_of(text.data + digits, text.len - digits);
    uint32_t n = 0;
    bool number = nx_parse_uint(nx_span_of(text.data, digits), UINT32_MAX, &n);
    for (size_t i = 0; number && i < sizeof units / sizeof units[0]; i++) {
        if (nx_span_eq(unit, nx_span_str(units[i].name))) {
            nx_parse_trigger_interval(p, (uint64_t)n * units[i].ms, pos, out);
            return;
        }
    }
    nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, pos,
                   "'%.*s' is not an interval such as 250ms, 5s, 10m or 1h", nx_quote_len(text),
                   text.data);
}

void nx_parse_trigger(struct nx_parse *p, struct nx_span text, struct nx_pos pos,
                      struct nx_trigger_def *out) {
    struct nx_span kind, rest;
    bool has_rest = split(text, ':', &kind, &rest);
    if (nx_span_eq(text, nx_span_str("manual"))) {
        out->kind = NX_TRIGGER_MANUAL;
    } else if (has_rest && nx_span_eq(kind, nx_span_str("interval"))) {
        out->kind = NX_TRIGGER_INTERVAL;
        parse_interval(p, rest, pos, out);
    } else if (has_rest && nx_span_eq(kind, nx_span_str("cron"))) {
        out->kind = NX_TRIGGER_CRON;
        nx_parse_trigger_pattern(p, rest, pos, out);
    } else if (has_rest && nx_span_eq(kind, nx_span_str("event"))) {
        out->kind = NX_TRIGGER_EVENT;
        nx_parse_trigger_pattern(p, rest, pos, out);
    } else if (has_rest && nx_span_eq(kind, nx_span_str("state"))) {
        out->kind = NX_TRIGGER_STATE;
        nx_parse_trigger_pattern(p, rest, pos, out);
    } else {
        nx_parse_error(p, NX_DIAG_INVALID_ATTRIBUTE, pos,
                       "'%.*s' is not a trigger: manual, interval:…, cron:…, event:… or state:…",
                       nx_quote_len(text), text.data);
    }
}
