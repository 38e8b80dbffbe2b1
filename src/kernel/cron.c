// SPDX-License-Identifier: Apache-2.0
#include "kernel/cron.h"

#include <string.h>
#include <time.h>

#include "base/error.h"

// 29 February on a given day of the week comes back every 28 years, 12 more around a year that is
// no leap year.
enum { YEARS_AHEAD = 40 };

enum { MINUTE_MS = 60000 };

// The years that can be written with four digits.
static const int64_t FIRST_MS = -62135596800000; // 0001-01-01
static const int64_t LAST_MS = 253402300799999;  // 9999-12-31

// ---- Reading

// The part of `text` before `ch`, which is taken off it along with `ch`.
static struct nx_span take(struct nx_span *text, char ch) {
    const char *at = text->len ? memchr(text->data, ch, text->len) : NULL;
    size_t len = at ? (size_t)(at - text->data) : text->len;
    struct nx_span head = {text->data, len};
    *text = at ? nx_span_of(at + 1, text->len - len - 1) : nx_span_of(NULL, 0);
    return head;
}

static bool read_number(struct nx_span text, unsigned max, unsigned *out) {
    unsigned n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = n * 10 + (unsigned)(text.data[i] - '0');
        if (n > max) // but any number of zeros in front, as panels may have them
            return false;
    }
    *out = n;
    return text.len > 0;
}

static bool read_item(struct nx_span item, unsigned min, unsigned max, uint64_t *bits) {
    unsigned first = min, last = max, step = 1;
    struct nx_span steps = item, range = take(&steps, '/');
    bool stepped = range.len < item.len;
    if (stepped && (!read_number(steps, max, &step) || step == 0))
        return false;
    if (!nx_span_eq(range, nx_span_str("*"))) {
        struct nx_span high = range, low = take(&high, '-');
        bool ranged = low.len < range.len;
        if (!read_number(low, max, &first) || first < min || (stepped && !ranged))
            return false;
        last = first;
        if (ranged && (!read_number(high, max, &last) || last < first))
            return false;
    }
    for (unsigned n = first; n <= last; n += step)
        *bits |= UINT64_C(1) << n;
    return true;
}

static bool read_field(struct nx_span *text, unsigned min, unsigned max, uint64_t *bits,
                       bool *open) {
    struct nx_span field = take(text, ' ');
    *open = field.len && field.data[0] == '*';
    *bits = 0;
    do {
        if (!read_item(take(&field, ','), min, max, bits))
            return false;
    } while (field.data);
    return true;
}

int nx_cron_parse(struct nx_cron *out, struct nx_span text) {
    uint64_t minutes, hours, days, months, weekdays;
    bool open, any_day, any_weekday;
    if (!read_field(&text, 0, 59, &minutes, &open) || !read_field(&text, 0, 23, &hours, &open) ||
        !read_field(&text, 1, 31, &days, &any_day) || !read_field(&text, 1, 12, &months, &open) ||
        !read_field(&text, 0, 7, &weekdays, &any_weekday) || text.data)
        return NX_E_INVALID;
    *out = (struct nx_cron){
        .minutes = minutes,
        .hours = (uint32_t)hours,
        .days = (uint32_t)days,
        .months = (uint16_t)months,
        .weekdays = (uint8_t)((weekdays | weekdays >> 7) & 0x7f),
        .either_day = !any_day && !any_weekday,
    };
    return 0;
}

// ---- The next time

struct date {
    int year;
    unsigned month, day, weekday; // month from 1; weekday 0 is Sunday
};

static unsigned days_in_month(const struct date *date) {
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (date->year % 4 == 0 && date->year % 100 != 0) || date->year % 400 == 0;
    return days[date->month - 1] + (date->month == 2 && leap ? 1u : 0u);
}

static void skip_days(struct date *date, unsigned count) {
    date->weekday = (date->weekday + count) % 7;
    date->day += count;
    if (date->day <= days_in_month(date))
        return;
    date->day = 1; // never more than to the first of the next month
    date->month = date->month % 12 + 1;
    date->year += date->month == 1;
}

static bool date_matches(const struct nx_cron *cron, const struct date *date) {
    bool day = cron->days >> date->day & 1, weekday = cron->weekdays >> date->weekday & 1;
    return cron->either_day ? day || weekday : day && weekday;
}

// The first matching minute of a day, from `from` on; -1 if there is none left.
static int minute_of_day(const struct nx_cron *cron, int from) {
    for (int hour = from / 60; hour < 24; hour++) {
        if (!(cron->hours >> hour & 1))
            continue;
        uint64_t minutes = cron->minutes;
        if (hour == from / 60)
            minutes &= ~UINT64_C(0) << from % 60;
        if (minutes)
            return hour * 60 + __builtin_ctzll(minutes);
    }
    return -1;
}

static int64_t time_of(const struct date *date, int minute) {
    struct tm tm = {.tm_year = date->year - 1900,
                    .tm_mon = (int)date->month - 1,
                    .tm_mday = (int)date->day,
                    .tm_hour = minute / 60,
                    .tm_min = minute % 60};
    return (int64_t)timegm(&tm) * 1000;
}

int64_t nx_cron_next(const struct nx_cron *cron, int64_t after_ms) {
    if (after_ms < FIRST_MS || after_ms > LAST_MS)
        return NX_CRON_NEVER;
    int64_t into = after_ms % MINUTE_MS;
    time_t start = (time_t)((after_ms - into + (into < 0 ? 0 : MINUTE_MS)) / 1000);
    struct tm tm;
    gmtime_r(&start, &tm);
    struct date date = {tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday,
                        (unsigned)tm.tm_wday};
    int last_year = date.year + YEARS_AHEAD, from = tm.tm_hour * 60 + tm.tm_min;
    for (; date.year <= last_year; from = 0) {
        if (!(cron->months >> date.month & 1)) {
            skip_days(&date, days_in_month(&date) - date.day + 1);
            continue;
        }
        int minute = date_matches(cron, &date) ? minute_of_day(cron, from) : -1;
        if (minute >= 0)
            return time_of(&date, minute);
        skip_days(&date, 1);
    }
    return NX_CRON_NEVER;
}
