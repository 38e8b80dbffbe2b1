// SPDX-License-Identifier: Apache-2.0
// Guest side: `$state`, an exotic object whose properties live with the host.
//
// A key is fetched on its first use and kept as an ordinary JavaScript value, so that reading and
// changing a list runs at full speed. A direct write goes to the host at once. A nested write
// (`$state.list.push(1)`) is found when the segment ends, by comparing the value's JSON with what
// the host last saw; a value that may be read but not written is handed out behind a proxy that
// throws at the very write (prelude.js). The host checks every call again; nothing here is trusted
// by it.
#include <stdlib.h>
#include <string.h>

#include "glue.h"
#include "qjs_unit.h"

struct entry {
    JSAtom key;
    JSValue value; // JS_UNINITIALIZED: known to be absent
    bool read_only;
    bool stale; // kept from an earlier segment: ask the host before use
    // What the host holds (or held when this segment began): nothing, or JSON. A short text is kept
    // in place, so that numbers and flags cost no allocation.
    bool has_json;
    size_t json_len;
    char *long_json; // NULL: it is in `short_json`
    char short_json[24];
};

static JSClassID state_class_id;
static JSValue read_only_wrapper;
static struct entry first_entries[8]; // as many keys as most handlers touch
static struct entry *entries = first_entries;
static size_t entry_count, entry_capacity = sizeof(first_entries) / sizeof(first_entries[0]);

static struct entry *find(JSAtom key) {
    for (size_t i = 0; i < entry_count; i++) {
        if (entries[i].key == key) {
            return &entries[i];
        }
    }
    return NULL;
}

static void entry_clear(JSContext *ctx, struct entry *e) {
    JS_FreeValue(ctx, e->value);
    e->value = JS_UNINITIALIZED;
    free(e->long_json);
    e->long_json = NULL;
    e->json_len = 0;
    e->has_json = false;
}

// The entry's JSON, NUL-terminated, or NULL.
static const char *entry_json(const struct entry *e) {
    if (!e->has_json) {
        return NULL;
    }
    return e->long_json != NULL ? e->long_json : e->short_json;
}

static bool has_text(const struct entry *e, const char *json, size_t len) {
    return e->has_json && e->json_len == len && memcmp(entry_json(e), json, len) == 0;
}

// Puts a copy of `json` into a cleared entry. False: no memory.
static bool entry_keep(struct entry *e, const char *json, size_t len) {
    char *to = e->short_json;
    if (len >= sizeof(e->short_json)) {
        to = e->long_json = nx_heap_extra(len + 1);
        if (to == NULL) {
            return false;
        }
    }
    memcpy(to, json, len);
    to[len] = '\0';
    e->json_len = len;
    e->has_json = true;
    return true;
}

static struct entry *find_or_add(JSContext *ctx, JSAtom key) {
    struct entry *e = find(key);
    if (e != NULL) {
        return e;
    }
    if (entry_count == entry_capacity) {
        const size_t capacity = entry_capacity * 2;
        struct entry *grown = nx_heap_extra(capacity * sizeof(*grown));
        if (grown == NULL) {
            JS_ThrowOutOfMemory(ctx);
            return NULL;
        }
        memcpy(grown, entries, entry_count * sizeof(*grown));
        if (entries != first_entries) {
            free(entries);
        }
        entries = grown;
        entry_capacity = capacity;
    }
    e = &entries[entry_count++];
    *e = (struct entry){.key = JS_DupAtom(ctx, key), .value = JS_UNINITIALIZED, .stale = true};
    return e;
}

enum { NO_MEMORY = -100 }; // beside the nx_host_status of what was fetched

static JSValue throw_status(JSContext *ctx, int32_t status, const char *prefix, const char *key,
                            size_t key_len) {
    if (status == NX_HOST_DENIED) {
        return nx_throw_denied(ctx, prefix, key, key_len);
    }
    return status == NO_MEMORY ? JS_ThrowOutOfMemory(ctx) : nx_throw_host(ctx, status);
}

// Fetches the key's JSON, NUL-terminated, into `small` or, if it does not fit, a malloc'ed buffer.
// Returns the host's status or length; *json is NULL unless the key is present.
enum { SMALL_BYTES = 256 };
static int32_t fetch(const char *key, size_t key_len, char small[SMALL_BYTES], char **json) {
    *json = NULL;
    int32_t status = nx_host_state_get(key, key_len, small, SMALL_BYTES - 1);
    if (status < 0) {
        return status;
    }
    const size_t len = (size_t)(status & ~NX_STATE_READ_ONLY);
    char *text = small;
    if (len > SMALL_BYTES - 1) {
        text = nx_heap_extra(len + 1);
        if (text == NULL) {
            return NO_MEMORY;
        }
        status = nx_host_state_get(key, key_len, text, len);
        if (status < 0) {
            free(text);
            return status;
        }
    }
    text[len] = '\0';
    *json = text;
    return status;
}

// Gives a cleared entry the fetched JSON and its value. False with an exception pending.
static bool fill(JSContext *ctx, struct entry *e, const char *json, int32_t status) {
    const size_t len = (size_t)(status & ~NX_STATE_READ_ONLY);
    if (!entry_keep(e, json, len)) {
        JS_ThrowOutOfMemory(ctx);
        return false;
    }
    e->read_only = (status & NX_STATE_READ_ONLY) != 0;
    JSValue value = nx_json_parse(ctx, json, len, "$state");
    if (e->read_only && JS_IsObject(value)) {
        JSValue name = JS_AtomToString(ctx, e->key);
        JSValue wrapped =
            JS_Call(ctx, read_only_wrapper, JS_UNDEFINED, 2, (JSValueConst[]){value, name});
        JS_FreeValue(ctx, name);
        JS_FreeValue(ctx, value);
        value = wrapped;
    }
    if (JS_IsException(value)) {
        return false;
    }
    e->value = value;
    return true;
}

// Makes what was fetched the entry's value. False with an exception pending: the handler may catch
// it, and must not find the key absent then.
static bool take(JSContext *ctx, struct entry *e, const char *json, int32_t status) {
    const size_t len = json != NULL ? (size_t)(status & ~NX_STATE_READ_ONLY) : 0;
    const bool unchanged = e->stale && json != NULL && has_text(e, json, len);
    e->stale = false;
    if (unchanged) {
        return true; // nobody else changed it: objects the handler holds stay the state's
    }
    entry_clear(ctx, e);
    if (json == NULL || fill(ctx, e, json, status)) {
        return true;
    }
    entry_clear(ctx, e);
    e->stale = true;
    return false;
}

// Brings the key's entry up to date. NULL with an exception pending when it may not be read.
static struct entry *load(JSContext *ctx, JSAtom key) {
    struct entry *e = find(key);
    if (e != NULL && !e->stale) {
        return e;
    }
    size_t key_len;
    JSValue name = JS_AtomToString(ctx, key);
    const char *text = JS_ToCStringLen(ctx, &key_len, name);
    JS_FreeValue(ctx, name);
    if (text == NULL) {
        return NULL;
    }
    char small[SMALL_BYTES], *json;
    const int32_t status = fetch(text, key_len, small, &json);
    if (status < 0 && status != NX_HOST_ABSENT) {
        throw_status(ctx, status, "state:read:", text, key_len);
        JS_FreeCString(ctx, text);
        return NULL;
    }
    JS_FreeCString(ctx, text);
    e = find_or_add(ctx, key);
    const bool taken = e != NULL && take(ctx, e, json, status);
    if (json != small) {
        free(json);
    }
    return taken ? e : NULL;
}

static JSValue state_get(JSContext *ctx, JSValueConst object, JSAtom key, JSValueConst receiver) {
    (void)object;
    (void)receiver;
    struct entry *e = find(key);
    if (e == NULL || e->stale) {
        if (nx_qjs_is_symbol(ctx, key)) {
            return JS_UNDEFINED;
        }
        e = load(ctx, key);
    }
    if (e == NULL) {
        return JS_EXCEPTION;
    }
    return JS_IsUninitialized(e->value) ? JS_UNDEFINED : JS_DupValue(ctx, e->value);
}

// Writes one key. 1, or -1 with an exception pending: then the host was told nothing, or refused.
static int write_key(JSContext *ctx, JSAtom key, JSValueConst value) {
    const char *json;
    size_t json_len;
    if (nx_json_text(ctx, value, &json, &json_len) < 0) {
        return -1;
    }
    if (json == NULL) {
        JS_ThrowTypeError(ctx, "a state value must be representable as JSON");
        return -1;
    }
    size_t key_len;
    JSValue name = JS_AtomToString(ctx, key);
    const char *text = JS_ToCStringLen(ctx, &key_len, name);
    JS_FreeValue(ctx, name);
    struct entry *e = text != NULL ? find_or_add(ctx, key) : NULL;
    struct entry written = {.key = key, .value = JS_UNINITIALIZED};
    int result = -1;
    if (e != NULL && !entry_keep(&written, json, json_len)) {
        JS_ThrowOutOfMemory(ctx);
    } else if (e != NULL) {
        const int32_t status = nx_host_state_set(text, key_len, json, json_len);
        if (status >= 0) {
            // The handler reads its own value back, if it may read the key at all.
            written.stale = status == NX_STATE_WRITE_ONLY;
            written.value = written.stale ? JS_UNINITIALIZED : JS_DupValue(ctx, value);
            entry_clear(ctx, e);
            *e = written;
            result = 1;
        } else {
            free(written.long_json);
            throw_status(ctx, status, "state:write:", text, key_len);
        }
    }
    JS_FreeCString(ctx, text);
    JS_FreeCString(ctx, json);
    return result;
}

static int state_set(JSContext *ctx, JSValueConst object, JSAtom key, JSValueConst value,
                     JSValueConst receiver, int flags) {
    (void)object;
    (void)receiver;
    (void)flags;
    if (nx_qjs_is_symbol(ctx, key)) {
        JS_ThrowTypeError(ctx, "a state key must be a string");
        return -1;
    }
    return write_key(ctx, key, value);
}

static int state_define(JSContext *ctx, JSValueConst object, JSAtom key, JSValueConst value,
                        JSValueConst getter, JSValueConst setter, int flags) {
    (void)getter;
    (void)setter;
    if ((flags & (JS_PROP_HAS_GET | JS_PROP_HAS_SET)) != 0 || (flags & JS_PROP_HAS_VALUE) == 0) {
        JS_ThrowTypeError(ctx, "a state key holds a plain value");
        return -1;
    }
    return state_set(ctx, object, key, value, object, flags);
}

static int state_delete(JSContext *ctx, JSValueConst object, JSAtom key) {
    (void)object;
    if (nx_qjs_is_symbol(ctx, key)) {
        return 1;
    }
    size_t key_len;
    JSValue name = JS_AtomToString(ctx, key);
    const char *text = JS_ToCStringLen(ctx, &key_len, name);
    JS_FreeValue(ctx, name);
    if (text == NULL) {
        return -1;
    }
    const int32_t status = nx_host_state_delete(text, key_len);
    if (status < 0) {
        throw_status(ctx, status, "state:write:", text, key_len);
    } else {
        struct entry *e = find(key);
        if (e != NULL) {
            entry_clear(ctx, e);
            e->stale = true; // a later read asks the host, which checks the read grant
        }
    }
    JS_FreeCString(ctx, text);
    return status < 0 ? -1 : 1;
}

static int state_has(JSContext *ctx, JSValueConst object, JSAtom key) {
    (void)object;
    if (nx_qjs_is_symbol(ctx, key)) {
        return 0;
    }
    size_t key_len;
    JSValue name = JS_AtomToString(ctx, key);
    const char *text = JS_ToCStringLen(ctx, &key_len, name);
    JS_FreeValue(ctx, name);
    if (text == NULL) {
        return -1;
    }
    const int32_t status = nx_host_state_has(text, key_len);
    if (status < 0) {
        throw_status(ctx, status, "state:read:", text, key_len);
    }
    JS_FreeCString(ctx, text);
    return status < 0 ? -1 : status != 0;
}

static int state_get_own(JSContext *ctx, JSPropertyDescriptor *desc, JSValueConst object,
                         JSAtom key) {
    (void)object;
    if (nx_qjs_is_symbol(ctx, key)) {
        return 0;
    }
    struct entry *e = load(ctx, key);
    if (e == NULL) {
        return -1;
    }
    if (JS_IsUninitialized(e->value)) {
        return 0;
    }
    if (desc != NULL) {
        desc->flags = JS_PROP_ENUMERABLE | JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE;
        desc->value = JS_DupValue(ctx, e->value);
        desc->getter = desc->setter = JS_UNDEFINED;
    }
    return 1;
}

static int state_own_names(JSContext *ctx, JSPropertyEnum **names, uint32_t *count,
                           JSValueConst object) {
    (void)object;
    *names = NULL;
    *count = 0;
    int32_t needed = nx_host_state_keys(NULL, 0);
    if (needed < 0) {
        throw_status(ctx, needed, "state:read:", "*", 1);
        return -1;
    }
    // Each key takes at least its length word, which bounds their number. One spare element keeps
    // the allocation from being empty.
    char *list = js_malloc(ctx, (size_t)needed + 1);
    JSPropertyEnum *out = js_mallocz(ctx, ((size_t)needed / 4 + 1) * sizeof(*out));
    if (list != NULL && out != NULL && needed > 0) {
        needed = nx_host_state_keys(list, (size_t)needed);
        if (needed < 0) {
            throw_status(ctx, needed, "state:read:", "*", 1);
        }
    }
    if (list == NULL || out == NULL || needed < 0) {
        js_free(ctx, list);
        js_free(ctx, out);
        return -1;
    }
    uint32_t n = 0;
    for (size_t at = 0; at + 4 <= (size_t)needed;) {
        uint32_t len;
        memcpy(&len, list + at, 4);
        out[n].is_enumerable = 1;
        out[n].atom = JS_NewAtomLen(ctx, list + at + 4, len);
        if (out[n].atom == JS_ATOM_NULL) {
            js_free(ctx, list);
            js_free(ctx, out); // the names in it stay, for another try
            return -1;
        }
        at += 4 + (size_t)len;
        n++;
    }
    js_free(ctx, list);
    *names = out;
    *count = n;
    return 0;
}

static JSClassExoticMethods state_methods = {
    .get_own_property = state_get_own,
    .get_own_property_names = state_own_names,
    .delete_property = state_delete,
    .define_own_property = state_define,
    .has_property = state_has,
    .get_property = state_get,
    .set_property = state_set,
};

static const JSClassDef state_class = {"State", .exotic = &state_methods};

int nx_state_init(JSContext *ctx, JSValue *state_object, JSValue read_only) {
    read_only_wrapper = read_only;
    JS_NewClassID(&state_class_id);
    if (JS_NewClass(JS_GetRuntime(ctx), state_class_id, &state_class) < 0) {
        return -1;
    }
    *state_object = JS_NewObjectProtoClass(ctx, JS_NULL, state_class_id);
    return JS_IsException(*state_object) ? -1 : 0;
}

// Whether `json` (other than the kept text) is the same value as the kept text once that is printed
// the way QuickJS prints: the host's text may be formatted differently. 1, 0, or -1 with an
// exception pending.
static int same_value(JSContext *ctx, const struct entry *e, const char *json, size_t len) {
    JSValue kept = JS_ParseJSON(ctx, entry_json(e), e->json_len, "$state");
    const char *text = NULL;
    size_t text_len = 0;
    int same = -1;
    if (!JS_IsException(kept) && nx_json_text(ctx, kept, &text, &text_len) == 0) {
        same = text != NULL && text_len == len && memcmp(text, json, len) == 0;
    }
    JS_FreeCString(ctx, text);
    JS_FreeValue(ctx, kept);
    return same;
}

// Whether `value`, which the i-th entry held, is still the state's, though others may have written
// the key since an earlier segment, or toJSON just now. 1, 0, or -1 with an exception pending.
static int still_held(JSContext *ctx, size_t i, JSValueConst value) {
    const struct entry *e = load(ctx, entries[i].key);
    if (e == NULL) {
        return -1;
    }
    return JS_IsObject(e->value) && JS_VALUE_GET_PTR(e->value) == JS_VALUE_GET_PTR(value);
}

// Whether the value of the i-th entry has changed since the host saw it. 1, 0, or -1 with an
// exception pending.
static int has_changed(JSContext *ctx, size_t i, JSValueConst value) {
    const char *json;
    size_t len;
    if (nx_json_text(ctx, value, &json, &len) < 0) {
        return -1;
    }
    const struct entry *e = &entries[i]; // only now: a toJSON may have grown the array
    int changed = json == NULL || !has_text(e, json, len);
    if (json != NULL && changed && e->has_json) {
        const int same = same_value(ctx, e, json, len);
        changed = same < 0 ? -1 : !same;
    }
    JS_FreeCString(ctx, json);
    return changed;
}

// Looking at each value that is held at each suspension would cost a handler that makes many calls
// more than all it does.
int nx_state_flush(JSContext *ctx, bool last) {
    for (size_t i = 0; i < entry_count; i++) {
        if (entries[i].read_only || (entries[i].stale && !last) || !JS_IsObject(entries[i].value)) {
            continue;
        }
        JSValue value = JS_DupValue(ctx, entries[i].value);
        int status = has_changed(ctx, i, value);
        if (status > 0) {
            status = still_held(ctx, i, value);
        }
        if (status > 0) {
            status = write_key(ctx, entries[i].key, value);
        }
        JS_FreeValue(ctx, value);
        if (status < 0) {
            return -1;
        }
    }
    return 0;
}

void nx_state_new_segment(void) {
    for (size_t i = 0; i < entry_count; i++) {
        entries[i].stale = true;
    }
}
