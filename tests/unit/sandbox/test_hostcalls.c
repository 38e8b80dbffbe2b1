// SPDX-License-Identifier: Apache-2.0
// The host calls against a guest that owns its memory: every pointer and length at the edges and
// past them, overlapping arguments, texts that are none. Each call is made from inside a running
// guest, and each refusal has its control: the same call with good arguments.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/chain.h"
#include "sandbox/exec.h"

static struct nx_instance *instance;
static void (*probe)(void); // what to do inside the host call

static void on_error(void *user, int32_t kind, uint32_t message, uint32_t message_len,
                     uint32_t stack, uint32_t stack_len, uint32_t detail, uint32_t detail_len,
                     int32_t line, int32_t column) {
    (void)user, (void)kind, (void)message, (void)message_len, (void)stack, (void)stack_len;
    (void)detail, (void)detail_len, (void)line, (void)column;
    probe();
}

static void on_result(void *user, uint32_t data, uint32_t len) {
    (void)user, (void)data, (void)len;
    fail(); // what is compiled here does not compile
}

static const struct nx_engine_imports imports = {.error = on_error, .result = on_result};

// ---- a world in which everything is allowed
static struct nx_cap_set grants;
static struct nx_exec exec;
static const struct nx_state_entry state[] = {{{"k", 1}, {"\"value\"", 7}}};

static void fresh(void) {
    exec = (struct nx_exec){.grants = grants,
                            .limits = {.max_host_calls = 1000000,
                                       .max_mutations = 1000000,
                                       .max_events = 1000000,
                                       .max_log_bytes = 1u << 20,
                                       .max_value_bytes = 1u << 20,
                                       .max_state_bytes = 1u << 23}};
    nx_work_begin(&exec, state, 1, 0);
}

// Runs `fn` inside a host call: the guest reports that a source does not compile.
static void inside(void (*fn)(void)) {
    static const char source[] = "not a script";
    uint32_t address, outcome;
    probe = fn;
    instance = nx_instance_new(NX_GUEST_COMPILE);
    assert_non_null(instance);
    assert_int_equal(nx_instance_call(instance, NX_EXPORT_ALLOC, (uint32_t[5]){64}, &address),
                     NX_TRAP_NONE);
    uint8_t *at = nx_instance_memory(instance, address, sizeof(source));
    assert_non_null(at);
    memcpy(at, source, sizeof(source));
    assert_int_equal(nx_instance_call(instance, NX_EXPORT_COMPILE,
                                      (uint32_t[5]){address, sizeof(source) - 1, 0, 1, 1},
                                      &outcome),
                     NX_TRAP_NONE);
    assert_int_equal(outcome, NX_GUEST_ERROR);
    nx_instance_free(instance);
}

// ---- calls by number, with up to three spans
struct at {
    uint32_t address, len;
};

enum { SPANS = 3 };

static int32_t call(enum nx_host_call which, const struct at s[SPANS]) {
    const struct nx_engine_imports *h = &nx_host_imports;
    switch (which) {
    case NX_HOST_CALL_STATE_GET:
        return h->state_get(NULL, s[0].address, s[0].len, s[1].address, s[1].len);
    case NX_HOST_CALL_STATE_SET:
        return h->state_set(NULL, s[0].address, s[0].len, s[1].address, s[1].len);
    case NX_HOST_CALL_STATE_DELETE:
        return h->state_delete(NULL, s[0].address, s[0].len);
    case NX_HOST_CALL_STATE_HAS:
        return h->state_has(NULL, s[0].address, s[0].len);
    case NX_HOST_CALL_STATE_KEYS:
        return h->state_keys(NULL, s[0].address, s[0].len);
    case NX_HOST_CALL_EMIT:
        return h->emit(NULL, s[0].address, s[0].len, s[1].address, s[1].len);
    case NX_HOST_CALL_VIEW:
        return h->view(NULL, s[0].address, s[0].len, s[1].address, s[1].len, s[2].address,
                       s[2].len);
    case NX_HOST_CALL_EXT_CALL:
        return h->ext_call(NULL, s[0].address, s[0].len, s[1].address, s[1].len, s[2].address,
                           s[2].len);
    case NX_HOST_CALL_LOG:
        return h->log(NULL, 1, s[0].address, s[0].len);
    default:
        fail();
        return 0;
    }
}

// Texts that each call takes, and how many spans it has.
static const struct {
    size_t spans;
    const char *text[SPANS];
} good[NX_HOST_CALL_COUNT] = {
    [NX_HOST_CALL_STATE_GET] = {2, {"k", "room for it"}},
    [NX_HOST_CALL_STATE_SET] = {2, {"k", "[1]"}},
    [NX_HOST_CALL_STATE_DELETE] = {1, {"k"}},
    [NX_HOST_CALL_STATE_HAS] = {1, {"k"}},
    [NX_HOST_CALL_STATE_KEYS] = {1, {"room for it"}},
    [NX_HOST_CALL_EMIT] = {2, {"name", "{}"}},
    [NX_HOST_CALL_VIEW] = {3, {"focus", "id", "{}"}},
    [NX_HOST_CALL_EXT_CALL] = {3, {"time", "now", "[]"}},
    [NX_HOST_CALL_LOG] = {1, {"text"}},
};

static uint32_t memory_end(void) {
    return nx_instance_memory_bytes(instance);
}

// Puts a text where the guest has room: near the end of its memory, each in a place of its own.
static struct at put(size_t place, const char *text, size_t len) {
    const uint32_t address = memory_end() - (uint32_t)(place + 1) * 2048;
    uint8_t *at = nx_engine_memory(address, 2048);
    assert_non_null(at);
    memcpy(at, text, len);
    return (struct at){address, (uint32_t)len};
}

static void put_good(enum nx_host_call which, struct at s[SPANS]) {
    for (size_t i = 0; i < good[which].spans; i++) {
        s[i] = put(i, good[which].text[i], strlen(good[which].text[i]));
    }
}

static bool no_effect(void) {
    return nx_work.change_count == 0 && nx_work.events.count == 0 && nx_work.views.count == 0 &&
           nx_work.calls.count == 0 && nx_work.logs.count == 0;
}

static void try_good(void) {
    for (int which = 0; which < NX_HOST_CALL_COUNT; which++) {
        struct at s[SPANS] = {0};
        fresh();
        put_good((enum nx_host_call)which, s);
        assert_true(call((enum nx_host_call)which, s) >= 0);
        const bool reads = which == NX_HOST_CALL_STATE_GET || which == NX_HOST_CALL_STATE_HAS ||
                           which == NX_HOST_CALL_STATE_KEYS;
        assert_int_equal(no_effect(), reads);
    }
}

static void good_arguments_work(void **unused) {
    (void)unused;
    inside(try_good);
}

static void try_outside(void) {
    const uint32_t end = memory_end();
    const struct at outside[] = {{end, 1},
                                 {end - 1, 2},
                                 {0, end + 1},
                                 {1, end},
                                 {UINT32_MAX, 1},
                                 {UINT32_MAX, UINT32_MAX},
                                 {0, UINT32_MAX},
                                 {1, UINT32_MAX},
                                 {end - 1, UINT32_MAX},
                                 {end, UINT32_MAX - end + 1},
                                 {1u << 31, 1},
                                 {1u << 31, 1u << 31},
                                 {UINT32_MAX - 3, 8},
                                 {end + 4096, 1},
                                 {end - 4096, 4097}};
    for (int which = 0; which < NX_HOST_CALL_COUNT; which++) {
        for (size_t span = 0; span < good[which].spans; span++) {
            for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
                struct at s[SPANS] = {0};
                fresh();
                put_good((enum nx_host_call)which, s);
                s[span] = outside[i];
                // A limit may be what refuses it. Of a room for an answer only what the answer
                // fills must be there.
                const int32_t status = call((enum nx_host_call)which, s);
                const bool fits = which == NX_HOST_CALL_STATE_GET && span == 1 &&
                                  (outside[i].len < 7 || outside[i].address < end - 7);
                assert_true(status == NX_HOST_INVALID || status == NX_HOST_FATAL ||
                            (fits && status == 7));
                assert_true(no_effect());
            }
        }
    }
}

static void what_is_not_all_inside_is_refused(void **unused) {
    (void)unused;
    inside(try_outside);
}

static void try_edges(void) {
    const uint32_t end = memory_end();
    // The last byte is a byte like any other.
    uint8_t *last = nx_engine_memory(end - 1, 1);
    assert_non_null(last);
    *last = 'k';
    fresh();
    assert_int_equal(call(NX_HOST_CALL_STATE_HAS, (struct at[SPANS]){{end - 1, 1}}), 1);
    // So is the first; and an empty span may lie anywhere up to the end.
    assert_true(call(NX_HOST_CALL_LOG, (struct at[SPANS]){{0, 16}}) == NX_HOST_OK);
    assert_int_equal(call(NX_HOST_CALL_LOG, (struct at[SPANS]){{end, 0}}), NX_HOST_OK);
    // Names are not empty, keys that are looked up may be.
    struct at s[SPANS] = {put(0, "", 0), put(1, "1", 1)};
    assert_int_equal(call(NX_HOST_CALL_STATE_SET, s), NX_HOST_INVALID);
    assert_int_equal(call(NX_HOST_CALL_EMIT, s), NX_HOST_INVALID);
    assert_int_equal(call(NX_HOST_CALL_STATE_HAS, s), 0);
}

static void the_edges_themselves_are_inside(void **unused) {
    (void)unused;
    inside(try_edges);
}

static void try_overlap(void) {
    // The value is written over the key that was asked for: the key was looked at before.
    fresh();
    struct at key = put(0, "k", 1);
    assert_int_equal(call(NX_HOST_CALL_STATE_GET, (struct at[SPANS]){key, {key.address, 100}}), 7);
    assert_memory_equal(nx_engine_memory(key.address, 7), "\"value\"", 7);
    // Key and value are the same bytes: what is kept is a copy.
    const struct at one = put(0, "12345", 5);
    assert_int_equal(call(NX_HOST_CALL_STATE_SET, (struct at[SPANS]){one, one}), NX_HOST_OK);
    memcpy(nx_engine_memory(one.address, 5), "xxxxx", 5);
    assert_int_equal(nx_work.change_count, 1);
    assert_memory_equal(nx_work.text.data + nx_work.changes[0].key_at, "12345", 5);
    assert_memory_equal(nx_work.text.data + nx_work.changes[0].json_at, "12345", 5);
    // A list of keys longer than its room is written as far as it goes, and no further.
    struct at list = put(1, "........", 8);
    assert_int_equal(call(NX_HOST_CALL_STATE_KEYS, (struct at[SPANS]){{list.address, 4}}), 14);
    assert_memory_equal(nx_engine_memory(list.address, 8), "........", 8);
}

static void overlapping_arguments_are_harmless(void **unused) {
    (void)unused;
    inside(try_overlap);
}

static void refuse_json(struct nx_span json) {
    static const enum nx_host_call takes[] = {NX_HOST_CALL_STATE_SET, NX_HOST_CALL_EMIT,
                                              NX_HOST_CALL_VIEW, NX_HOST_CALL_EXT_CALL};
    for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
        struct at s[SPANS] = {0};
        fresh();
        put_good(takes[i], s);
        s[good[takes[i]].spans - 1] = put(good[takes[i]].spans - 1, json.data, json.len);
        assert_int_equal(call(takes[i], s), NX_HOST_INVALID);
        assert_true(no_effect());
    }
}

static void try_texts(void) {
    static const char *const no_json[] = {
        "{",   "[1,]",     "{\"a\":1,}", "NaN",          "Infinity",  "01",
        "1e",  "\"\\x\"",  "\"\n\"",     "\"\t",         "tru",       "nul",
        "1 2", "{}{}",     "'a'",        "[1]x",         "\"\\ud8\"", "-",
        "+1",  "\"\x80\"", "\"\xff\"",   "\"\xc0\xaf\"", "/**/1",     "{a:1}"};
    for (size_t i = 0; i < sizeof(no_json) / sizeof(no_json[0]); i++) {
        refuse_json(nx_span_str(no_json[i]));
    }
    refuse_json(nx_span_of("[]\0", 3));
    refuse_json(nx_span_of("\0", 1));
    char deep[2000];
    memset(deep, '[', sizeof(deep));
    refuse_json(nx_span_of(deep, sizeof(deep))); // never closed
    memset(deep + 1000, ']', 1000);
    refuse_json(nx_span_of(deep, sizeof(deep))); // closed, but deeper than anything may be
    // Names: what is no text is none; a NUL or a lone surrogate is a character like any other.
    static const char *const no_names[] = {"\x80", "a\xff", "\xc0\x80", "\xf5\x80\x80\x80",
                                           "\xe2\x82"};
    for (size_t i = 0; i < sizeof(no_names) / sizeof(no_names[0]); i++) {
        fresh();
        const struct at name = put(0, no_names[i], strlen(no_names[i]));
        assert_int_equal(call(NX_HOST_CALL_EMIT, (struct at[SPANS]){name}), NX_HOST_INVALID);
        assert_int_equal(call(NX_HOST_CALL_STATE_DELETE, (struct at[SPANS]){name}),
                         NX_HOST_INVALID);
        assert_true(no_effect());
    }
    fresh();
    assert_int_equal(call(NX_HOST_CALL_EMIT, (struct at[SPANS]){put(0, "a\0b", 3)}), NX_HOST_OK);
    char longest[NX_MAX_KEY_BYTES + 1];
    memset(longest, 'n', sizeof(longest));
    struct at name = put(0, longest, NX_MAX_KEY_BYTES);
    assert_int_equal(call(NX_HOST_CALL_EMIT, (struct at[SPANS]){name}), NX_HOST_OK);
    name = put(0, longest, sizeof(longest));
    assert_int_equal(call(NX_HOST_CALL_EMIT, (struct at[SPANS]){name}), NX_HOST_INVALID);
}

static void texts_that_are_none_are_refused(void **unused) {
    (void)unused;
    inside(try_texts);
}

// The guest's own reports: cut and cleaned, wherever they point.
static void try_reports(void) {
    const struct nx_engine_imports *h = &nx_host_imports;
    fresh();
    const struct at text = put(0,
                               "a\xff"
                               "b",
                               3);
    h->error(NULL, 0, text.address, text.len, UINT32_MAX, 5, memory_end() - 1, UINT32_MAX, -1, -1);
    assert_true(nx_work.reported_error);
    assert_memory_equal(nx_work.message.data, "a?b", 3);
    assert_int_equal(nx_work.stack.len, 0);
    assert_int_equal(nx_work.detail.len, 0);
    h->error(NULL, 0, 0, memory_end(), 0, 0, 0, 0, 1, 1);
    assert_true(nx_work.message.len <= NX_MAX_ERROR_TEXT_BYTES);
    h->result(NULL, memory_end(), 10);
    assert_int_equal(nx_work.returned.len, 0);
    h->result(NULL, 0, UINT32_MAX);
    assert_int_equal(nx_work.fatal, NX_RESULT_RESOURCE_LIMIT);
    fresh();
    const struct at json = put(0, "[1]", 3);
    h->result(NULL, json.address, json.len);
    assert_int_equal(nx_work.returned.len, 3);
    assert_int_equal(nx_work.fatal, NX_RESULT_NONE);
}

static void reports_are_only_text(void **unused) {
    (void)unused;
    inside(try_reports);
}

// Without its grant no call has an effect, whatever it is asked with; after a limit none has.
static void try_denied(void) {
    for (int which = 0; which < NX_HOST_CALL_COUNT; which++) {
        struct at s[SPANS] = {0};
        fresh();
        put_good((enum nx_host_call)which, s);
        memset(exec.grants.all, 0, sizeof(exec.grants.all));
        const int32_t status = call((enum nx_host_call)which, s);
        const bool free_to_all = which == NX_HOST_CALL_LOG || which == NX_HOST_CALL_STATE_KEYS;
        assert_true(free_to_all ? status >= 0 : status == NX_HOST_DENIED);
        assert_int_equal(no_effect(), which != NX_HOST_CALL_LOG);
        fresh();
        exec.limits.max_host_calls = 0;
        assert_int_equal(call((enum nx_host_call)which, s), NX_HOST_FATAL);
        exec.limits.max_host_calls = 1000; // too late
        assert_int_equal(call((enum nx_host_call)which, s), NX_HOST_FATAL);
        assert_true(no_effect());
    }
}

static void nothing_without_a_grant_or_after_a_limit(void **unused) {
    (void)unused;
    inside(try_denied);
}

// The largest state there may be, of which as many keys are changed as may be by default: listing
// what is left takes as long as the list, not as long as every key among all changes. Nothing stops
// a host call, so one that takes longer than the watchdog's grace costs the worker its life. (Done
// that way, this takes minutes.)
enum { MANY_KEYS = NX_MAX_STATE_ENTRIES, MANY_CHANGES = 1000, MANY_KEY_BYTES = 100 };

static struct at put_key(uint32_t number) {
    char key[MANY_KEY_BYTES + 1];
    snprintf(key, sizeof(key), "%0*u", MANY_KEY_BYTES, number);
    return put(0, key, MANY_KEY_BYTES);
}

static void try_many_keys(void) {
    static char text[MANY_KEYS][MANY_KEY_BYTES + 1];
    static struct nx_state_entry many[MANY_KEYS];
    const int32_t each = 4 + MANY_KEY_BYTES;
    int32_t keys = MANY_KEYS;
    fresh();
    for (uint32_t i = 0; i < MANY_KEYS; i++) {
        snprintf(text[i], sizeof(text[i]), "%0*u", MANY_KEY_BYTES, i);
        many[i] = (struct nx_state_entry){{text[i], MANY_KEY_BYTES}, {"1", 1}};
    }
    nx_work_begin(&exec, many, MANY_KEYS, 0);
    for (uint32_t i = 0; i < MANY_CHANGES; i++) {
        const struct at key = put_key(i % 2 == 0 ? i : MANY_KEYS + i), one = put(1, "1", 1);
        assert_int_equal(call(NX_HOST_CALL_STATE_SET, (struct at[SPANS]){key, one}), NX_HOST_OK);
        keys += i % 2 != 0; // a new one
        if (i % 8 < 3) {
            assert_int_equal(call(NX_HOST_CALL_STATE_DELETE, (struct at[SPANS]){key}), NX_HOST_OK);
            keys--;
        }
        if (i % 8 == 0) {
            assert_int_equal(call(NX_HOST_CALL_STATE_SET, (struct at[SPANS]){key, one}),
                             NX_HOST_OK);
            keys++;
        }
    }
    for (int i = 0; i < 200; i++) {
        assert_int_equal(call(NX_HOST_CALL_STATE_KEYS, (struct at[SPANS]){{0, 0}}), keys * each);
    }
}

static void many_keys_are_listed_in_time(void **unused) {
    (void)unused;
    inside(try_many_keys);
}

// The base of a chain is made after the handler has ended, when nobody measures or stops it any
// more: it too takes as long as the state is large. (Done key by key, this takes minutes.)
enum { CHAIN_KEYS = 4000, CHAIN_KEY_BYTES = 4 };

static void expect_entry(const struct nx_state_entry *entry, uint32_t number, char value) {
    char key[CHAIN_KEY_BYTES + 1];
    snprintf(key, sizeof(key), "%04u", number);
    assert_true(nx_span_eq(entry->key, nx_span_str(key)));
    assert_true(nx_span_eq(entry->json, nx_span_of(&value, 1)));
}

static void try_chain_of_many_keys(void) {
    static char text[CHAIN_KEYS][CHAIN_KEY_BYTES + 1];
    static struct nx_state_entry many[CHAIN_KEYS];
    char key[CHAIN_KEY_BYTES + 1];
    uint32_t count;
    fresh();
    for (uint32_t i = 0; i < CHAIN_KEYS; i++) {
        snprintf(text[i], sizeof(text[i]), "%04u", i);
        many[i] = (struct nx_state_entry){{text[i], CHAIN_KEY_BYTES}, {"1", 1}};
    }
    nx_work_begin(&exec, many, CHAIN_KEYS, 0);
    for (uint32_t i = 0; i < MANY_CHANGES; i++) {
        // In turn one that is there set to 2, a new one, and one that is there deleted.
        snprintf(key, sizeof(key), "%04u", i % 3 == 1 ? CHAIN_KEYS + i : i);
        const struct at at = put(0, key, CHAIN_KEY_BYTES), two = put(1, "2", 1);
        const enum nx_host_call which =
            i % 3 == 2 ? NX_HOST_CALL_STATE_DELETE : NX_HOST_CALL_STATE_SET;
        assert_int_equal(call(which, (struct at[SPANS]){at, two}), NX_HOST_OK);
    }
    for (int i = 0; i < 4000; i++) {
        nx_chain_keep(7);
    }
    const struct nx_state_entry *base = nx_chain_base(7, &count);
    assert_non_null(base);
    assert_int_equal(count, CHAIN_KEYS); // as many new ones as deleted ones
    for (uint32_t i = 0; i < CHAIN_KEYS; i++) {
        if (i >= MANY_CHANGES || i % 3 != 2) {
            expect_entry(base++, i, i < MANY_CHANGES && i % 3 == 0 ? '2' : '1');
        }
    }
    for (uint32_t i = 1; i < MANY_CHANGES; i += 3) {
        expect_entry(base++, CHAIN_KEYS + i, '2');
    }
    nx_chain_drop(7);
}

static void chains_of_many_keys_are_kept_in_time(void **unused) {
    (void)unused;
    inside(try_chain_of_many_keys);
}

static int start_engine(void **unused) {
    (void)unused;
    const struct nx_engine_config config = {.memory_limit_bytes = 32 * 1024 * 1024,
                                            .stack_limit_bytes = 1024 * 1024,
                                            .imports = &imports};
    struct nx_error err = {0};
    memset(grants.all, true, sizeof(grants.all));
    return nx_engine_create(&config, &err) == 0 && nx_engine_attach(&err) == 0 ? nx_work_init()
                                                                               : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_arguments_work),
        cmocka_unit_test(what_is_not_all_inside_is_refused),
        cmocka_unit_test(the_edges_themselves_are_inside),
        cmocka_unit_test(overlapping_arguments_are_harmless),
        cmocka_unit_test(texts_that_are_none_are_refused),
        cmocka_unit_test(reports_are_only_text),
        cmocka_unit_test(nothing_without_a_grant_or_after_a_limit),
        cmocka_unit_test(many_keys_are_listed_in_time),
        cmocka_unit_test(chains_of_many_keys_are_kept_in_time),
    };
    return cmocka_run_group_tests(tests, start_engine, NULL);
}
