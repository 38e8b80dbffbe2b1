// SPDX-License-Identifier: Apache-2.0
// The list of findings of one parse.
#include "nxml/diag.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"

// A message quotes at most a few short, cut names: longer than this it helps nobody.
enum { MESSAGE_BYTES = 512, FIRST_CAPACITY = 8 };

static int make_room(struct nx_diagnostics *d) {
    if (d->count < d->capacity)
        return 0;
    size_t capacity = d->capacity ? d->capacity * 2 : FIRST_CAPACITY;
    struct nx_diagnostic *items = realloc(d->items, capacity * sizeof *items);
    if (!items)
        return NX_E_NOMEM;
    d->items = items;
    d->capacity = capacity;
    return 0;
}

__attribute__((format(printf, 2, 0))) static char *format_message(const char *where,
                                                                  const char *fmt, va_list ap) {
    char text[MESSAGE_BYTES];
    int n = where[0] ? snprintf(text, sizeof text, "%s: ", where) : 0;
    if (n < 0 || (size_t)n >= sizeof text)
        n = 0;
    vsnprintf(text + n, sizeof text - (size_t)n, fmt, ap);
    return strdup(text);
}

int nx_diagnostics_vadd(struct nx_diagnostics *d, bool warning, const char *code, struct nx_pos pos,
                        const char *where, const char *fmt, va_list ap) {
    if (!warning)
        d->errors++;
    if (d->count >= NX_MAX_DIAGNOSTICS) {
        d->dropped++;
        return 0;
    }
    char *message = make_room(d) == 0 ? format_message(where, fmt, ap) : NULL;
    if (!message) {
        if (warning)
            d->errors++; // the list is not complete: that must not pass for success
        d->dropped++;
        return NX_E_NOMEM;
    }
    d->items[d->count++] = (struct nx_diagnostic){warning, code, message, pos};
    return 0;
}

void nx_diagnostics_add(struct nx_diagnostics *d, bool warning, const char *code, struct nx_pos pos,
                        const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    nx_diagnostics_vadd(d, warning, code, pos, "", fmt, ap);
    va_end(ap);
}

// Whether `a` belongs after `b` in the source.
static bool comes_after(const struct nx_diagnostic *a, const struct nx_diagnostic *b) {
    if (a->pos.line != b->pos.line)
        return a->pos.line > b->pos.line;
    return a->pos.column > b->pos.column;
}

void nx_diagnostics_sort(struct nx_diagnostics *d) {
    // Insertion sort: stable, and the list is short by its cap.
    for (size_t i = 1; i < d->count; i++) {
        struct nx_diagnostic item = d->items[i];
        size_t at = i;
        for (; at > 0 && comes_after(&d->items[at - 1], &item); at--)
            d->items[at] = d->items[at - 1];
        d->items[at] = item;
    }
}

void nx_diagnostics_free(struct nx_diagnostics *d) {
    for (size_t i = 0; i < d->count; i++)
        free(d->items[i].message);
    free(d->items);
    *d = (struct nx_diagnostics){0};
}
