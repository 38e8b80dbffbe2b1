// SPDX-License-Identifier: Apache-2.0
// Canned answers in place of extensions, for trying a panel without the world.
//
// The text is checked whole when it is loaded, and then kept: an answer is looked up in it again at
// each call, which is slow and simple, as befits a tool for one execution.
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "ext/args.h"
#include "ext/registry.h"

struct mock_entry {
    char *key; // owned: "name.method"
    struct nx_span answer;
    size_t given; // how many answers of a list were given out
};

struct nx_ext_mock {
    char *text; // owned; the entries' answers point into it
    struct mock_entry *entries;
    size_t count;
    struct nx_error *load_error; // during loading only
};

// ---- Reading JSON

static enum nx_json_kind kind_of(struct nx_span value) {
    enum nx_json_kind kind = NX_JSON_NULL;
    nx_json_scan(value, &kind, NULL);
    return kind;
}

// Element `wanted` of the array `list`, or its last one if there are fewer.
static struct nx_span item_or_last(struct nx_span list, size_t wanted) {
    struct nx_span item = {NULL, 0};
    size_t i = 0;
    while (i <= wanted && nx_ext_args_item(list, i, &item))
        i++;
    if (i)
        nx_ext_args_item(list, i - 1, &item);
    return item;
}

static uint64_t delay_of(struct nx_span answer) {
    struct nx_span value;
    if (nx_json_member(answer, "delayMs", &value) || value.len > 12)
        return 0;
    char text[16] = {0};
    memcpy(text, value.data, value.len);
    double ms = strtod(text, NULL);
    if (!(ms > 0))
        return 0;
    return ms > NX_MAX_SLEEP_MS ? NX_MAX_SLEEP_MS : (uint64_t)ms;
}

// The unescaped text of string member `name`, or an empty one.
static void text_of(struct nx_span object, const char *name, struct nx_buf *out) {
    struct nx_span value;
    if (nx_json_member(object, name, &value) == 0 && value.len >= 2 && value.data[0] == '"')
        nx_json_unescape(out, nx_span_of(value.data + 1, value.len - 2));
}

// ---- Loading

static bool answer_valid(struct nx_span answer) {
    struct nx_span value;
    if (kind_of(answer) != NX_JSON_OBJECT)
        return false;
    if (nx_json_member(answer, "result", &value) == 0)
        return nx_json_member(answer, "error", &value) != 0;
    return nx_json_member(answer, "error", &value) == 0 && kind_of(value) == NX_JSON_OBJECT;
}

static bool answers_valid(struct nx_span value) {
    if (kind_of(value) != NX_JSON_ARRAY)
        return answer_valid(value);
    struct nx_span item;
    size_t count = 0;
    while (nx_ext_args_item(value, count, &item)) {
        if (!answer_valid(item))
            return false;
        count++;
    }
    return count > 0; // an empty list has no answer to give
}

static int add_entry(void *user, struct nx_span raw_key, struct nx_span value) {
    struct nx_ext_mock *mock = user;
    struct nx_buf key;
    nx_buf_init(&key, NX_MAX_KEY_BYTES);
    nx_json_unescape(&key, raw_key);
    char *text = nx_buf_steal(&key, NULL);
    if (!text)
        return nx_error_set(mock->load_error, NX_E_INVALID, "a key is too long");
    struct mock_entry *entries = realloc(mock->entries, (mock->count + 1) * sizeof *mock->entries);
    if (!entries) {
        free(text);
        return nx_error_set(mock->load_error, NX_E_NOMEM, "out of memory");
    }
    mock->entries = entries;
    mock->entries[mock->count++] = (struct mock_entry){text, value, 0};
    const char *dot = strrchr(text, '.');
    if (!dot || dot == text || !dot[1])
        return nx_error_set(mock->load_error, NX_E_INVALID, "\"%s\" is not name.method", text);
    if (!answers_valid(value))
        return nx_error_set(mock->load_error, NX_E_INVALID,
                            "\"%s\" needs {\"result\": …}, {\"error\": {…}} or a list of these",
                            text);
    return 0;
}

void nx_ext_mock_free(struct nx_ext_mock *mock) {
    if (!mock)
        return;
    for (size_t i = 0; i < mock->count; i++)
        free(mock->entries[i].key);
    free(mock->entries);
    free(mock->text);
    free(mock);
}

static int load(struct nx_ext_mock *mock, struct nx_span json, struct nx_error *err) {
    enum nx_json_kind kind;
    int rc = nx_json_scan(json, &kind, err);
    if (rc)
        return rc;
    if (kind != NX_JSON_OBJECT)
        return nx_error_set(err, NX_E_INVALID, "canned answers must be a JSON object");
    mock->text = malloc(json.len);
    if (!mock->text)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    memcpy(mock->text, json.data, json.len);
    mock->load_error = err;
    rc = nx_json_each_member(nx_span_of(mock->text, json.len), add_entry, mock);
    mock->load_error = NULL;
    return rc;
}

int nx_ext_mock(struct nx_ext_registry *registry, struct nx_span json, struct nx_error *err) {
    if (json.len > NX_MAX_EXT_MOCK_BYTES)
        return nx_error_set(err, NX_E_LIMIT, "over %d bytes of canned answers",
                            NX_MAX_EXT_MOCK_BYTES);
    struct nx_ext_mock *mock = calloc(1, sizeof *mock);
    if (!mock)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    int rc = load(mock, json, err);
    if (rc) {
        nx_ext_mock_free(mock);
        return rc;
    }
    nx_ext_mock_free(registry->mock);
    registry->mock = mock;
    return 0;
}

// ---- Answering

bool nx_ext_mock_exists(const struct nx_ext_mock *mock, struct nx_span extension) {
    for (size_t i = 0; i < mock->count; i++) {
        const char *key = mock->entries[i].key;
        if (nx_span_eq(nx_span_of(key, (size_t)(strrchr(key, '.') - key)), extension))
            return true;
    }
    return false;
}

static struct mock_entry *find_entry(struct nx_ext_mock *mock,
                                     const struct nx_ext_request *request) {
    for (size_t i = 0; i < mock->count; i++) {
        const char *key = mock->entries[i].key;
        const char *dot = strrchr(key, '.');
        if (nx_span_eq(nx_span_of(key, (size_t)(dot - key)), request->extension) &&
            nx_span_eq(nx_span_str(dot + 1), request->method))
            return &mock->entries[i];
    }
    return NULL;
}

static enum nx_result_code code_named(struct nx_span name) {
    for (int code = 1; code < NX_RESULT_CODE_COUNT; code++) {
        if (nx_span_eq(name, nx_span_str(nx_result_code_name((enum nx_result_code)code))))
            return (enum nx_result_code)code;
    }
    return NX_RESULT_NONE;
}

// Fills `result` from {"code","message"}; the message is built in `message`.
static void canned_error(struct nx_span error, struct nx_buf *message,
                         struct nx_ext_result *result) {
    text_of(error, "code", message);
    result->code = code_named(nx_buf_span(message));
    if (result->code == NX_RESULT_NONE)
        result->code = NX_RESULT_EXTENSION_ERROR;
    else
        nx_buf_reset(message);
    size_t code_len = message->len;
    if (code_len)
        nx_buf_append_str(message, ": ");
    text_of(error, "message", message);
    if (code_len && message->len == code_len + 2)
        message->len = code_len; // a foreign code alone
    result->message = nx_buf_span(message);
}

int nx_ext_mock_call(struct nx_ext_mock *mock, uv_loop_t *loop,
                     const struct nx_ext_request *request, nx_ext_done_fn *fn, void *user,
                     struct nx_ext_op **out, enum nx_result_code *code, struct nx_error *err) {
    struct mock_entry *entry = find_entry(mock, request);
    if (!entry) {
        bool known = nx_ext_mock_exists(mock, request->extension);
        *code = known ? NX_RESULT_METHOD_NOT_FOUND : NX_RESULT_EXTENSION_NOT_FOUND;
        return nx_error_set(err, NX_E_NOTFOUND, "there is no canned answer for '%.*s.%.*s'",
                            (int)request->extension.len, request->extension.data,
                            (int)request->method.len, request->method.data);
    }
    *code = NX_RESULT_EXTENSION_ERROR;
    struct nx_span answer = entry->answer, error;
    if (kind_of(answer) == NX_JSON_ARRAY)
        answer = item_or_last(answer, entry->given++);
    struct nx_buf message;
    nx_buf_init(&message, NX_MAX_ERROR_TEXT_BYTES);
    struct nx_ext_result result = {.ok = true};
    if (nx_json_member(answer, "error", &error) == 0) {
        result.ok = false;
        canned_error(error, &message, &result);
    } else {
        nx_json_member(answer, "result", &result.json);
    }
    int rc = nx_ext_complete_later(loop, delay_of(answer), &result, fn, user, out, err);
    nx_buf_free(&message);
    return rc;
}
