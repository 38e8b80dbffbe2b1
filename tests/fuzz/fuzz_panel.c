// SPDX-License-Identifier: Apache-2.0
// Panels as clients send them, in NXML and as JSON, and the arguments of their
// tools. Input: the source; what follows a NUL are arguments for each of its
// tools.
#include <stdlib.h>

#include "base/json.h"
#include "base/limits.h"
#include "fuzz.h"
#include "kernel/js_tokens.h"
#include "nxml/panel_def.h"

static bool json_is(const char *text, enum nx_json_kind kind) {
    enum nx_json_kind found;
    return text && nx_json_scan(nx_span_str(text), &found, NULL) == 0 && found == kind;
}

static bool json_of_type(const char *text, enum nx_value_type type) {
    static const enum nx_json_kind kinds[] = {
        [NX_TYPE_STRING] = NX_JSON_STRING, [NX_TYPE_NUMBER] = NX_JSON_NUMBER,
        [NX_TYPE_BOOLEAN] = NX_JSON_BOOL,  [NX_TYPE_LIST] = NX_JSON_ARRAY,
        [NX_TYPE_OBJECT] = NX_JSON_OBJECT,
    };
    return json_is(text, kinds[type]) || json_is(text, NX_JSON_NULL);
}

static bool text_ok(const char *text, size_t max_bytes) {
    return !text || (strlen(text) <= max_bytes && fuzz_utf8(nx_span_str(text), false));
}

static bool pos_ok(struct nx_pos pos, struct nx_span source) {
    return pos.line <= source.len + 1 && pos.column <= source.len + 2;
}

// ---- Findings

static void check_diagnostics(struct nx_diagnostics *d, struct nx_span source) {
    size_t errors = 0;
    nx_diagnostics_sort(d);
    FUZZ_CHECK(d->count <= NX_MAX_DIAGNOSTICS);
    for (size_t i = 0; i < d->count; i++) {
        const struct nx_diagnostic *one = &d->items[i];
        FUZZ_CHECK(one->code && one->code[0] && one->message && one->message[0]);
        FUZZ_CHECK(pos_ok(one->pos, source));
        FUZZ_CHECK(i == 0 || one->pos.line > d->items[i - 1].pos.line ||
                   (one->pos.line == d->items[i - 1].pos.line &&
                    one->pos.column >= d->items[i - 1].pos.column));
        errors += !one->warning;
    }
    FUZZ_CHECK(errors <= d->errors && d->errors <= errors + d->dropped);
}

// ---- Definitions

static void check_handler(const struct nx_handler_def *h, struct nx_span source) {
    struct nx_js_tokens tokens = {0};
    FUZZ_CHECK(h->code && strlen(h->code) == h->code_len &&
               h->code_len <= NX_MAX_PANEL_SOURCE_BYTES);
    FUZZ_CHECK(fuzz_utf8(nx_span_of(h->code, h->code_len), false));
    FUZZ_CHECK(pos_ok(h->pos, source));
    if (nx_js_tokens_read(&tokens, nx_span_of(h->code, h->code_len)) == 0) {
        for (size_t i = 0; i < tokens.count; i++) {
            const struct nx_js_token *t = &tokens.items[i];
            FUZZ_CHECK(t->offset <= h->code_len && (i == 0 || t->offset >= t[-1].offset));
            FUZZ_CHECK(
                t->text.len == 0 || t->kind == NX_JS_PUNCT ||
                (t->text.data >= h->code && t->text.data + t->text.len <= h->code + h->code_len));
            FUZZ_CHECK(t->match < tokens.count || t->match == UINT32_MAX);
        }
    }
    nx_js_tokens_free(&tokens);
}

static void bind(const struct nx_tool_def *tool, struct nx_span args) {
    enum nx_json_kind kind = NX_JSON_NULL;
    struct nx_error err = {0};
    struct nx_buf out, again;
    if (args.len && (nx_json_scan(args, &kind, NULL) || kind != NX_JSON_OBJECT))
        return;
    nx_buf_init(&out, (size_t)4 * 1024 * 1024);
    nx_buf_init(&again, (size_t)4 * 1024 * 1024);
    int rc = nx_tool_bind_args(tool, args, &out, &err);
    FUZZ_CHECK_ERROR(rc, &err);
    if (rc == 0) {
        FUZZ_CHECK(nx_json_scan(nx_buf_span(&out), &kind, NULL) == 0 && kind == NX_JSON_OBJECT);
        // What was bound is valid as it stands, and binding it changes nothing.
        FUZZ_CHECK(nx_tool_bind_args(tool, nx_buf_span(&out), &again, NULL) == 0);
        FUZZ_CHECK(nx_span_eq(nx_buf_span(&out), nx_buf_span(&again)));
        for (size_t i = 0; i < tool->arg_count; i++) {
            struct nx_span value;
            int found = nx_json_member(nx_buf_span(&out), tool->args[i].name, &value);
            FUZZ_CHECK(found == 0 || (!tool->args[i].required && !tool->args[i].default_json));
        }
    }
    nx_buf_free(&out);
    nx_buf_free(&again);
}

static void check_tool(const struct nx_panel_def *def, const struct nx_tool_def *tool,
                       struct nx_span source, struct nx_span args) {
    FUZZ_CHECK(tool->name && tool->name[0] && text_ok(tool->name, 128));
    FUZZ_CHECK(nx_panel_def_find_tool(def, nx_span_str(tool->name)) == tool);
    FUZZ_CHECK(text_ok(tool->description, NX_MAX_PANEL_SOURCE_BYTES));
    FUZZ_CHECK(tool->timeout_ms <= NX_MAX_TIMEOUT_MS && tool->arg_count <= NX_MAX_TOOL_ARGS);
    FUZZ_CHECK(tool->declares_args || tool->arg_count == 0);
    FUZZ_CHECK(tool->trigger.kind != NX_TRIGGER_INTERVAL ||
               (tool->trigger.interval_ms >= NX_MIN_INTERVAL_MS &&
                tool->trigger.interval_ms <= NX_MAX_INTERVAL_MS));
    FUZZ_CHECK((tool->trigger.kind > NX_TRIGGER_INTERVAL) == (tool->trigger.pattern != NULL));
    for (size_t i = 0; i < tool->arg_count; i++) {
        const struct nx_arg_def *arg = &tool->args[i];
        FUZZ_CHECK(arg->name && arg->name[0]);
        FUZZ_CHECK(!arg->default_json || json_of_type(arg->default_json, arg->type));
    }
    check_handler(&tool->handler, source);
    bind(tool, nx_span_str("{}"));
    bind(tool, args);
}

static void check_def(const struct nx_panel_def *def, struct nx_span source, struct nx_span args) {
    FUZZ_CHECK(!def->id || nx_panel_id_valid(nx_span_str(def->id)));
    FUZZ_CHECK(def->kind && def->title && text_ok(def->title, NX_MAX_TITLE_CHARS * 4));
    FUZZ_CHECK(text_ok(def->description, NX_MAX_DESCRIPTION_CHARS * 4));
    FUZZ_CHECK(text_ok(def->kind, NX_MAX_PANEL_SOURCE_BYTES));
    FUZZ_CHECK(json_is(def->initial_state_json, NX_JSON_OBJECT));
    FUZZ_CHECK(!def->view_json || json_is(def->view_json, NX_JSON_OBJECT));
    FUZZ_CHECK(!def->metadata_json ||
               nx_json_scan(nx_span_str(def->metadata_json), NULL, NULL) == 0);
    for (size_t i = 0; i < def->state_count; i++)
        FUZZ_CHECK(def->states[i].name &&
                   json_of_type(def->states[i].default_json, def->states[i].type));
    for (size_t i = 0; i < def->computed_count; i++)
        FUZZ_CHECK(def->computed[i].name && def->computed[i].expression);
    for (size_t i = 0; i < def->extension_count; i++)
        FUZZ_CHECK(def->extensions[i].name && def->extensions[i].alias);
    for (size_t i = 0; i < def->tool_count; i++)
        check_tool(def, &def->tools[i], source, args);
    if (def->mount)
        check_handler(def->mount, source);
    if (def->unmount)
        check_handler(def->unmount, source);
}

static void parse(struct nx_span source, struct nx_span args) {
    struct nx_panel_def *def = NULL;
    struct nx_diagnostics diags = {0};
    int rc = nx_panel_def_parse(source, &def, &diags);
    FUZZ_CHECK(rc == 0 || rc == NX_E_INVALID);
    FUZZ_CHECK(rc == 0 ? def && diags.errors == 0 : !def && diags.errors > 0);
    check_diagnostics(&diags, source);
    if (def)
        check_def(def, source, args);
    nx_panel_def_free(def);
    nx_diagnostics_free(&diags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = fuzz_input(data, size);
    struct nx_span source = fuzz_copy(fuzz_until(&in, '\0')), args = fuzz_rest(&in);
    parse(source, args);
    free((void *)source.data);
    return 0;
}
