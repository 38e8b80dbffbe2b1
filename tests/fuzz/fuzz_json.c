// SPDX-License-Identifier: Apache-2.0
// JSON text from strangers: the scanner against jansson's parser, and what is
// done with a text once it was scanned. Input: the text.
#include <jansson.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/limits.h"
#include "fuzz.h"
#include "kernel/json_pretty.h"

// Whether the text may hold a lone surrogate, which the scanner takes and
// jansson does not.
static bool has_surrogate(struct nx_span text) {
    for (size_t i = 0; i + 3 < text.len; i++)
        if (text.data[i] == '\\' && text.data[i + 1] == 'u' && (text.data[i + 2] | 0x20) == 'd' &&
            text.data[i + 3] >= '8')
            return true;
    return false;
}

static bool within_jansson(struct nx_span text, enum json_error_code code) {
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           (code == json_error_invalid_syntax && has_surrogate(text));
}

// A string, unescaped and written again, is the same string.
static void check_string(struct nx_span raw) {
    struct nx_buf plain, quoted, again;
    nx_buf_init(&plain, raw.len);
    nx_buf_init(&quoted, raw.len * 6 + 2);
    nx_buf_init(&again, raw.len);
    FUZZ_CHECK(nx_json_unescape(&plain, raw) == 0);
    FUZZ_CHECK(fuzz_utf8(nx_buf_span(&plain), true));
    FUZZ_CHECK(nx_wtf8_valid(nx_buf_span(&plain)));
    FUZZ_CHECK(nx_json_append_string(&quoted, nx_buf_span(&plain)) == 0);
    FUZZ_CHECK(nx_json_scan(nx_buf_span(&quoted), NULL, NULL) == 0);
    FUZZ_CHECK(nx_json_unescape(&again, nx_span_of(quoted.data + 1, quoted.len - 2)) == 0);
    FUZZ_CHECK(nx_span_eq(nx_buf_span(&plain), nx_buf_span(&again)));
    nx_buf_free(&plain);
    nx_buf_free(&quoted);
    nx_buf_free(&again);
}

struct walk {
    struct nx_span text;
    json_t *tree; // NULL: jansson did not take the text
    size_t members;
};

// The tree's value of `key` is what `value` says.
static void check_value(const json_t *tree, struct nx_span key, struct nx_span value) {
    json_t *theirs = json_object_getn(tree, key.len ? key.data : "", key.len);
    json_t *ours = json_loadb(value.data, value.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    FUZZ_CHECK(theirs && ours && json_equal(theirs, ours));
    json_decref(ours);
}

static int on_member(void *user, struct nx_span raw_key, struct nx_span value) {
    struct walk *walk = user;
    struct nx_buf key;
    walk->members++;
    check_string(raw_key);
    FUZZ_CHECK(nx_json_scan(value, NULL, NULL) == 0);
    FUZZ_CHECK(value.data >= walk->text.data &&
               value.data + value.len <= walk->text.data + walk->text.len);
    if (value.data[0] == '"')
        check_string(nx_span_of(value.data + 1, value.len - 2));
    nx_buf_init(&key, raw_key.len);
    FUZZ_CHECK(nx_json_unescape(&key, raw_key) == 0);
    struct nx_span found = {0};
    if (!key.len || !memchr(key.data, '\0', key.len)) {
        // The last of several with one name counts, for both readers.
        FUZZ_CHECK(nx_json_member(walk->text, key.len ? key.data : "", &found) == 0);
        if (walk->tree)
            check_value(walk->tree, nx_buf_span(&key), found);
    }
    nx_buf_free(&key);
    return 0;
}

static void check_object(struct nx_span text, json_t *tree) {
    struct walk walk = {.text = text, .tree = tree};
    FUZZ_CHECK(nx_json_each_member(text, on_member, &walk) == 0);
    FUZZ_CHECK(!tree || json_object_size(tree) <= walk.members);
    FUZZ_CHECK(!tree || (json_object_size(tree) == 0) == (walk.members == 0));
}

// Laid out for people it is the same value, and laying it out again changes
// nothing.
static void check_pretty(struct nx_span text, json_t *tree) {
    struct nx_buf once, twice;
    size_t room = text.len * (2 * NX_JSON_MAX_DEPTH + 4) + 64;
    nx_buf_init(&once, room);
    nx_buf_init(&twice, room);
    FUZZ_CHECK(nx_json_pretty(&once, text) == 0);
    FUZZ_CHECK(nx_json_scan(nx_buf_span(&once), NULL, NULL) == 0);
    FUZZ_CHECK(nx_json_pretty(&twice, nx_buf_span(&once)) == 0);
    FUZZ_CHECK(nx_span_eq(nx_buf_span(&once), nx_buf_span(&twice)));
    if (tree) {
        json_t *laid = json_loadb(once.data, once.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        FUZZ_CHECK(laid && json_equal(tree, laid));
        json_decref(laid);
    }
    nx_buf_free(&once);
    nx_buf_free(&twice);
}

// Any bytes can be written as a string; what was valid comes back as it was.
static void check_bytes(struct nx_span bytes) {
    struct nx_buf quoted, plain;
    nx_buf_init(&quoted, bytes.len * 6 + 2);
    nx_buf_init(&plain, bytes.len * 3);
    FUZZ_CHECK(nx_utf8_valid(bytes) == fuzz_utf8(bytes, false));
    FUZZ_CHECK(nx_wtf8_valid(bytes) == fuzz_utf8(bytes, true));
    FUZZ_CHECK(nx_json_append_string(&quoted, bytes) == 0);
    FUZZ_CHECK(fuzz_utf8(nx_buf_span(&quoted), false));
    FUZZ_CHECK(nx_json_scan(nx_buf_span(&quoted), NULL, NULL) == 0);
    FUZZ_CHECK(nx_json_unescape(&plain, nx_span_of(quoted.data + 1, quoted.len - 2)) == 0);
    FUZZ_CHECK(!nx_wtf8_valid(bytes) || nx_span_eq(bytes, nx_buf_span(&plain)));
    nx_buf_free(&quoted);
    nx_buf_free(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum nx_json_kind kinds[] = {
        [JSON_OBJECT] = NX_JSON_OBJECT, [JSON_ARRAY] = NX_JSON_ARRAY,
        [JSON_STRING] = NX_JSON_STRING, [JSON_INTEGER] = NX_JSON_NUMBER,
        [JSON_REAL] = NX_JSON_NUMBER,   [JSON_TRUE] = NX_JSON_BOOL,
        [JSON_FALSE] = NX_JSON_BOOL,    [JSON_NULL] = NX_JSON_NULL};
    struct nx_span text = nx_span_of(data, size);
    struct nx_error err = {0};
    json_error_t fault;
    enum nx_json_kind kind;
    int rc = nx_json_scan(text, &kind, &err);
    FUZZ_CHECK_ERROR(rc, &err);
    json_t *tree = json_loadb(text.data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &fault);
    // jansson loses a NUL behind a value.
    if (rc && tree && memchr(text.data, '\0', size)) {
        json_decref(tree);
        tree = NULL;
    }
    if (tree)
        FUZZ_CHECK(rc == 0 ? kinds[json_typeof(tree)] == kind : rc == NX_E_LIMIT);
    else
        FUZZ_CHECK(rc != 0 || within_jansson(text, json_error_code(&fault)));
    check_bytes(text);
    if (rc == 0 && kind == NX_JSON_OBJECT)
        check_object(text, tree);
    if (rc == 0 && size < 4096)
        check_pretty(text, tree);
    json_decref(tree);
    return 0;
}
