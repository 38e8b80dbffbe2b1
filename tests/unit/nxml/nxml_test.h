// SPDX-License-Identifier: Apache-2.0
// What the tests of the panel language share: parse a source, look at its findings.
#ifndef NXML_TEST_H
#define NXML_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nxml/panel_def.h"

// Wraps a piece of source into the smallest panel it belongs in.
#define PANEL(inside) "<NexusPanel>" inside "</NexusPanel>"
#define DATA(inside)  PANEL("<Data>" inside "</Data>")
#define LOGIC(inside) PANEL("<Logic>" inside "</Logic>")
#define TOOL(inside)  LOGIC("<Tool name=\"t\">" inside "</Tool>")
#define VIEW(inside)  PANEL("<View>" inside "</View>")
#define HANDLER       "<Handler>return 1</Handler>"

struct parsed {
    int status;
    struct nx_panel_def *def;
    struct nx_diagnostics diags;
};

static inline struct parsed parse_bytes(const void *data, size_t len) {
    struct parsed r = {0};
    r.status = nx_panel_def_parse(nx_span_of(data, len), &r.def, &r.diags);
    assert_true(r.status == 0 || r.status == NX_E_INVALID || r.status == NX_E_NOMEM);
    assert_int_equal(r.status == 0, r.def != NULL);
    if (r.status == NX_E_INVALID)
        assert_true(r.diags.errors > 0);
    return r;
}

static inline struct parsed parse(const char *source) {
    return parse_bytes(source, strlen(source));
}

static inline void parsed_free(struct parsed *r) {
    nx_panel_def_free(r->def);
    nx_diagnostics_free(&r->diags);
}

static inline void print_findings(const char *source, const struct parsed *r) {
    print_error("source: %s\n", source);
    for (size_t i = 0; i < r->diags.count; i++)
        print_error("  %u:%u %s %s\n", r->diags.items[i].pos.line, r->diags.items[i].pos.column,
                    r->diags.items[i].code, r->diags.items[i].message);
}

static inline const struct nx_diagnostic *find_code(const struct parsed *r, const char *code) {
    for (size_t i = 0; i < r->diags.count; i++)
        if (strcmp(r->diags.items[i].code, code) == 0)
            return &r->diags.items[i];
    return NULL;
}

// The source is refused for `code` at the place given, and for nothing else.
static inline void expect_error(const char *source, const char *code, uint32_t line,
                                uint32_t column) {
    struct parsed r = parse(source);
    const struct nx_diagnostic *d = find_code(&r, code);
    if (r.status != NX_E_INVALID || !d || r.diags.errors != 1 || d->pos.line != line ||
        d->pos.column != column) {
        print_findings(source, &r);
        fail_msg("expected only %s at %u:%u", code, line, column);
    }
    assert_false(d->warning);
    parsed_free(&r);
}

// As expect_error, and `part` is in the message.
static inline void expect_message(const char *source, const char *code, const char *part) {
    struct parsed r = parse(source);
    const struct nx_diagnostic *d = find_code(&r, code);
    if (r.status != NX_E_INVALID || !d || r.diags.errors != 1 || !strstr(d->message, part)) {
        print_findings(source, &r);
        fail_msg("expected only %s with '%s'", code, part);
    }
    parsed_free(&r);
}

static inline void expect_valid(const char *source) {
    struct parsed r = parse(source);
    if (r.status != 0) {
        print_findings(source, &r);
        fail_msg("expected a valid panel");
    }
    parsed_free(&r);
}

// The source is valid, with the warning at the place given.
static inline void expect_warning(const char *source, const char *code, uint32_t line,
                                  uint32_t column) {
    struct parsed r = parse(source);
    const struct nx_diagnostic *d = find_code(&r, code);
    if (r.status != 0 || !d || !d->warning || d->pos.line != line || d->pos.column != column) {
        print_findings(source, &r);
        fail_msg("expected the warning %s at %u:%u", code, line, column);
    }
    parsed_free(&r);
}

// The source is valid and does not raise the warning.
static inline void expect_no_warning(const char *source, const char *code) {
    struct parsed r = parse(source);
    if (r.status != 0 || find_code(&r, code)) {
        print_findings(source, &r);
        fail_msg("expected no %s", code);
    }
    parsed_free(&r);
}

// A valid panel, for a closer look; the caller frees it.
static inline struct parsed parse_valid(const char *source) {
    struct parsed r = parse(source);
    if (r.status != 0) {
        print_findings(source, &r);
        fail_msg("expected a valid panel");
    }
    return r;
}

#endif
