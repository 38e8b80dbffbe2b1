// SPDX-License-Identifier: Apache-2.0
// The client with the real nexus-sandbox: JavaScript in, segments out. Nothing that a handler does
// may cost a worker its life, so after every test the pool must be the one it was.
#include "client_test.h"

#include "base/limits.h"

enum { WORKERS = 2, INSTANCES = 512 };

static int start_pool(void **unused) {
    (void)unused;
    pool_start_real(WORKERS, INSTANCES, 32u << 20);
    pool_settle(WORKERS);
    return 0;
}

static int stop_pool(void **unused) {
    (void)unused;
    pool_stop();
    return 0;
}

static int nobody_died(void **unused) {
    (void)unused;
    const struct nx_sandbox_stats stats = pool_stats();
    assert_int_equal(stats.worker_restarts, 0);
    assert_int_equal(stats.protocol_kills, 0);
    assert_int_equal(stats.watchdog_kills, 0);
    assert_int_equal(stats.running, 0);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.suspended, 0);
    return 0;
}

// ---- compiling and running

static void handlers_run(void **unused) {
    (void)unused;
    expect_source("return 1 + 1", NULL, "done 2");
    expect_source("", NULL, "done ");
    expect_source("return [$args.a, $scope.b]",
                  &(struct run_options){.args = "{\"a\":[1]}", .scope = "{\"b\":\"x\"}"},
                  "done [[1],\"x\"]");
    expect_source("$log('hi'); $log.error('no'); return await 3", NULL,
                  "done 3\nlog info hi\nlog error no");
    expect_source("throw new Error('boom')", NULL, "error EXECUTION_ERROR");
}

static void effects_arrive(void **unused) {
    (void)unused;
    static const struct nx_state_entry state[] = {{{"n", 1}, {"41", 2}}, {{"old", 3}, {"[]", 2}}};
    expect_source(
        "$state.n++; $state.list = [$state.n]; delete $state.old; $emit('saved', {n: $state.n});"
        "$view.focus('input'); return $state.n",
        &(struct run_options){.caps = "state:read:* state:write:* events:emit:saved "
                                      "view:update:input",
                              .state = state,
                              .state_count = 2},
        "done 42\nset n=42\nset list=[42]\ndelete old\nemit saved={\"n\":42}\n"
        "view focus input={}");
}

static void compile_errors_have_a_place(void **unused) {
    (void)unused;
    static const struct {
        enum nx_compile_kind kind;
        const char *source;
        enum nx_result_code code;
        uint32_t line;
    } rows[] = {
        {NX_COMPILE_HANDLER, "let a = 1;\nlet b = ;", NX_RESULT_COMPILATION_ERROR, 2},
        {NX_COMPILE_HANDLER, "}, globalThis.x = 1, async function () {", NX_RESULT_INVALID_HANDLER,
         0},
        {NX_COMPILE_HANDLER, "return 1", NX_RESULT_NONE, 0},
        {NX_COMPILE_EXPRESSION, "$state.a + 1", NX_RESULT_NONE, 0},
        {NX_COMPILE_EXPRESSION, "$state.a + ; 1", NX_RESULT_COMPILATION_ERROR, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct compiled compiled;
        compile_start(&compiled, rows[i].kind, nx_span_str(rows[i].source));
        compile_wait(&compiled);
        assert_string_equal(nx_result_code_name(compiled.code), nx_result_code_name(rows[i].code));
        assert_int_equal(compiled.message[0] != '\0', rows[i].code != NX_RESULT_NONE);
        assert_int_equal(compiled.bytecode.len != 0,
                         rows[i].code == NX_RESULT_NONE && rows[i].kind == NX_COMPILE_HANDLER);
        if (rows[i].line != 0) {
            assert_int_equal(compiled.line, rows[i].line);
        }
        compile_free(&compiled);
    }
}

// ---- grants

static const struct nx_state_entry secrets[] = {
    {{"open", 4}, {"1", 1}},
    {{"secret", 6}, {"\"TOP\"", 5}},
};

static void what_may_not_be_read_is_denied_and_not_there(void **unused) {
    (void)unused;
    static const struct run_options some = {
        .caps = "state:read:open state:write:secret", .state = secrets, .state_count = 2};
    static const struct run_options everything = {
        .caps = "state:read:*", .state = secrets, .state_count = 2};
    expect_source("return $state.secret", &some,
                  "error PERMISSION_DENIED state:read:secret\ndenied state:read:secret");
    expect_source("return $state.secret", &everything, "done \"TOP\"");
    expect_source(
        "try { return $state.secret } catch (e) { return [e.name, e.code, e.capability] }", &some,
        "done [\"PermissionDenied\",\"PERMISSION_DENIED\",\"state:read:secret\"]\n"
        "denied state:read:secret");
    // However one looks: keys, JSON, copies.
    static const char look[] =
        "return [Object.keys($state), JSON.stringify({...$state}), {...$state},"
        " Object.entries($state), Reflect.ownKeys($state)]";
    expect_source(look, &some,
                  "done [[\"open\"],\"{\\\"open\\\":1}\",{\"open\":1},[[\"open\",1]],[\"open\"]]");
    expect_source(look, &everything,
                  "done [[\"open\",\"secret\"],\"{\\\"open\\\":1,\\\"secret\\\":\\\"TOP\\\"}\","
                  "{\"open\":1,\"secret\":\"TOP\"},[[\"open\",1],[\"secret\",\"TOP\"]],"
                  "[\"open\",\"secret\"]]");
}

static void everything_else_needs_its_grant(void **unused) {
    (void)unused;
    static const struct {
        const char *source, *cap, *denied, *allowed;
    } rows[] = {
        {"$state.k = 1", "state:write:k",
         "error PERMISSION_DENIED state:write:k\ndenied state:write:k", "done \nset k=1"},
        {"delete $state.k", "state:write:k",
         "error PERMISSION_DENIED state:write:k\ndenied state:write:k", "done \ndelete k"},
        {"$emit('e', 1)", "events:emit:e",
         "error PERMISSION_DENIED events:emit:e\ndenied events:emit:e", "done \nemit e=1"},
        {"$view.focus('i')", "view:update:i",
         "error PERMISSION_DENIED view:update:i\ndenied view:update:i", "done \nview focus i={}"},
        {"await $ext.http.get('x')", "ext:http",
         "error PERMISSION_DENIED ext:http\ndenied ext:http", "suspended\ncall 1 http.get=[\"x\"]"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_source(rows[i].source, &(struct run_options){.caps = "state:read:*"},
                      rows[i].denied);
        expect_source(rows[i].source, &(struct run_options){.caps = rows[i].cap}, rows[i].allowed);
    }
}

// ---- suspension

static void several_calls_answered_one_by_one(void **unused) {
    (void)unused;
    static const struct nx_state_entry before[] = {{{"n", 1}, {"1", 1}}};
    static const struct nx_state_entry after[] = {{{"n", 1}, {"7", 1}}, {{"hidden", 6}, {"1", 1}}};
    struct nx_code *code =
        code_of_source("const first = $state.n;\n"
                       "const got = await Promise.all([$ext.a.x(1), $ext.a.x(2), $ext.b.y(3)]);\n"
                       "let caught;\n"
                       "try { await $ext.b.z() } catch (e) { caught = [e.code, e.message] }\n"
                       "return [first, $state.n, Object.keys($state), got, caught]");
    struct run run;
    run_start(&run, code,
              &(struct run_options){
                  .caps = "state:read:n ext:a ext:b", .state = before, .state_count = 1});
    run_wait(&run, 1);
    assert_string_equal(run_text(&run),
                        "suspended\ncall 1 a.x=[1]\ncall 2 a.x=[2]\ncall 3 b.y=[3]");
    static const uint32_t order[] = {3, 1, 2};
    static const char *const texts[] = {"suspended", "suspended", "suspended\ncall 4 b.z=[]"};
    for (unsigned i = 0; i < 3; i++) {
        char json[16];
        snprintf(json, sizeof(json), "\"r%u\"", order[i]);
        const struct nx_call_result result = {
            .call_id = order[i], .ok = true, .json = nx_span_str(json)};
        assert_int_equal(run_try_resume(&run, &result, after, 2, NULL), 0);
        run_wait(&run, i + 2);
        assert_string_equal(run_text(&run), texts[i]);
    }
    const struct nx_call_result failed = {
        .call_id = 4, .code = NX_RESULT_METHOD_NOT_FOUND, .message = nx_span_str("no z")};
    assert_int_equal(run_try_resume(&run, &failed, after, 2, NULL), 0);
    run_wait(&run, 5);
    assert_string_equal(
        run_text(&run),
        "done [1,7,[\"n\"],[\"r1\",\"r2\",\"r3\"],[\"METHOD_NOT_FOUND\",\"no z\"]]");
    run_free(&run);
    nx_code_unref(code);
}

// Many parked at once, resumed in another order than they came: none is taken for another.
static void many_suspended_at_once(void **unused) {
    (void)unused;
    enum { COUNT = 300 };
    static struct run runs[COUNT];
    struct nx_code *code =
        code_of_source("let mine = $args.n; const got = await $ext.e.m(mine); return [mine, got]");
    char json[32], expected[64];
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(json, sizeof(json), "{\"n\":%u}", i);
        run_start(&runs[i], code, &(struct run_options){.caps = "ext:e", .args = json});
    }
    for (unsigned i = 0; i < COUNT; i++) {
        run_wait(&runs[i], 1);
        snprintf(expected, sizeof(expected), "suspended\ncall 1 e.m=[%u]", i);
        assert_string_equal(run_text(&runs[i]), expected);
    }
    assert_int_equal(pool_stats().suspended, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        const unsigned which = i * 7 % COUNT;
        snprintf(json, sizeof(json), "%u", which + 1000);
        run_resume(&runs[which], 1, json);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        run_wait(&runs[i], 2);
        snprintf(expected, sizeof(expected), "done [%u,%u]", i, i + 1000);
        assert_string_equal(run_text(&runs[i]), expected);
        run_free(&runs[i]);
    }
    nx_code_unref(code);
}

// patches/0008-bigints.patch. Hashes of 64 bits are made with asUintN.
static void bigints_are_right(void **unused) {
    (void)unused;
    expect_source(
        "let below = 0xffffffffffffffffn; below--;\n"
        "const wrap = (bits, value) => BigInt.asUintN(bits, value);\n"
        "let refused = null; try { wrap(2 ** 53 - 1, -1n) } catch (e) { refused = e.name }\n"
        "return [below, wrap(64, -1n), wrap(32, -1n), wrap(31, -1n), wrap(96, -(2n ** 95n)),\n"
        "  wrap(64, 0xcbf29ce484222325n * 0x100000001b3n), BigInt.asIntN(64, 2n ** 63n),\n"
        "  wrap(2 ** 53 - 1, 7n), -5n > -1e40, -(2n ** 90n) < -3, 5n < 1e40,"
        "  2n ** 200n + 1n > 2 ** 200].join() + refused",
        NULL,
        "done \"18446744073709551614,18446744073709551615,4294967295,2147483647,"
        "39614081257132168796771975168,12638153115695167455,-9223372036854775808,7,true,true,true,"
        "trueRangeError\"");
}

// A value's toJSON is asked when the segment ends, and may be the first to see that the key was
// written: what was written stays, whoever did it.
static void what_was_written_meanwhile_stays(void **unused) {
    (void)unused;
    static const struct nx_state_entry before[] = {{{"l", 1}, {"[1]", 3}}, {{"o", 1}, {"{}", 2}}};
    static const struct nx_state_entry after[] = {{{"l", 1}, {"[2]", 3}}, {{"o", 1}, {"{}", 2}}};
    struct nx_code *code = code_of_source("const held = $state.l;\n"
                                          "await $ext.e.m();\n"
                                          "held.toJSON = () => [$state.l.length, 3];\n"
                                          "$state.o.toJSON = () => ($state.o = 4);\n"
                                          "return 1");
    const struct nx_call_result result = {.call_id = 1, .ok = true, .json = {"1", 1}};
    struct run run;
    run_start(&run, code,
              &(struct run_options){
                  .caps = "state:read:* state:write:* ext:e", .state = before, .state_count = 2});
    run_wait(&run, 1);
    assert_int_equal(run_try_resume(&run, &result, after, 2, NULL), 0);
    run_wait(&run, 2);
    assert_string_equal(run_text(&run), "done 1\nset o=4");
    run_free(&run);
    nx_code_unref(code);
}

// Fills the memory but for `rooms`, an array of the handler's.
#define FILL_MEMORY                                                                                \
    "let held = null; const blocks = [];\n"                                                        \
    "rooms.push(0); rooms.pop();\n"                                                                \
    "for (let bytes = 1e6; bytes > 900; bytes /= 10)\n"                                            \
    "  try { for (;;) blocks.push(new ArrayBuffer(bytes)) } catch {}\n"                            \
    "try { for (;;) held = { held } } catch {}\n"

// All of them, or an error: as the memory that is left becomes more, it is first one and then the
// other.
static void no_key_is_lost_for_want_of_memory(void **unused) {
    (void)unused;
    enum { KEYS = 100, KEY_BYTES = 1000 };
    static char names[KEYS][KEY_BYTES];
    struct nx_state_entry state[KEYS];
    for (unsigned i = 0; i < KEYS; i++) {
        memset(names[i], 'a' + (int)(i % 26), KEY_BYTES);
        names[i][0] = (char)('A' + i / 26);
        state[i] = (struct nx_state_entry){nx_span_of(names[i], KEY_BYTES), nx_span_str("1")};
    }
    expect_source(
        "const { ownKeys } = Reflect, seen = [0, 0, 0];\n"
        "const rooms = [101000, 202000].map((bytes) => new ArrayBuffer(bytes));\n" FILL_MEMORY
        "rooms.length = 0;\n"
        "for (let i = 0; i < 200; i++) {\n"
        "  let found = 0;\n"
        "  try {\n"
        "    const keys = ownKeys($state);\n"
        "    for (let k = 0; k < keys.length; k++) found += keys[k].length === 1000;\n"
        "  } catch { found = -1 }\n"
        "  seen[found === 100 ? 0 : found < 0 ? 1 : 2]++;\n"
        "  blocks.pop();\n"
        "}\n"
        "blocks.length = 0;\n"
        "return seen.map((times) => times > 0)",
        &(struct run_options){.caps = "state:read:*", .state = state, .state_count = KEYS},
        "done [true,true,false]");
}

// What the handler is told of a write is so: here that there was no memory for it.
static void no_write_is_made_that_has_failed(void **unused) {
    (void)unused;
    struct run run;
    run_source(&run,
               "const text = 'x'.repeat(5000), rooms = [], names = [], told = [];\n"
               "for (let i = 0; i < 60; i++) rooms.push(new ArrayBuffer(6000));\n"
               "for (let i = 0; i < 50; i++) names.push('k' + i), told.push(false);\n" FILL_MEMORY
               "for (let i = 0; i < 50; i++) {\n"
               "  rooms.pop();\n"
               "  try { $state[names[i]] = text; told[i] = true } catch {}\n"
               "}\n"
               "rooms.length = blocks.length = 0;\n"
               "held = null;\n"
               "const lies = names.filter((name, i) => name in $state !== told[i]);\n"
               "return [lies, told.includes(true), told.includes(false)]",
               &(struct run_options){.caps = "state:read:* state:write:*"});
    assert_ptr_equal(strstr(run_text(&run), "done [[],true,true]\n"), run_text(&run));
    run_free(&run);
}

// Without the memory to see whether a value has changed, nobody says that it has.
static void no_write_is_made_up_for_want_of_memory(void **unused) {
    (void)unused;
    enum { LISTS = 400 };
    char json[3 * LISTS + 8] = "[ []"; // not as QuickJS prints it
    for (unsigned i = 0; i < LISTS; i++) {
        memcpy(json + 4 + (size_t)3 * i, ",[]", 4);
    }
    json[4 + 3 * LISTS] = ']';
    const struct nx_state_entry state[] = {{{"o", 1}, nx_span_str(json)}};
    struct nx_code *code = code_of_source(
        "const rooms = [], keep = globalThis.keep = { all: [rooms, 0, $state.o] };\n"
        "for (let i = 0; i < 99; i++) rooms.push(new ArrayBuffer(600));\n" FILL_MEMORY
        "keep.all[1] = blocks;\n"
        "for (let i = 0; i < $args.rooms; i++) rooms.pop();\n"
        "return 1");
    unsigned failed = 0;
    for (unsigned rooms = 0; rooms < 99; rooms += 7) {
        char args[32];
        struct run run;
        snprintf(args, sizeof(args), "{\"rooms\":%u}", rooms);
        run_start(&run, code,
                  &(struct run_options){.caps = "state:read:* state:write:*",
                                        .args = args,
                                        .state = state,
                                        .state_count = 1});
        run_wait(&run, 1);
        failed += run.status == NX_SEGMENT_ERROR;
        assert_string_equal(run_text(&run),
                            run.status == NX_SEGMENT_DONE ? "done 1" : "error MEMORY_LIMIT");
        run_free(&run);
    }
    assert_in_range(failed, 1, 14); // of 15
    nx_code_unref(code);
}

// All that waits for a call's answer goes on, or the handler fails: there may be memory for some.
static void an_answer_without_memory_says_so(void **unused) {
    (void)unused;
    struct nx_code *code =
        code_of_source("const rooms = [];\n"
                       "for (let i = 0; i < 99; i++) rooms.push(new ArrayBuffer(16));\n"
                       "let count = 0;\n"
                       "const call = $ext.e.m();\n"
                       "const first = call.then(() => { held = null; blocks.length = 0 });\n"
                       "for (let i = 0; i < 9; i++) call.then(() => { count++ });\n" FILL_MEMORY
                       "for (let i = 0; i < $args.rooms; i++) rooms.pop();\n"
                       "await first;\n"
                       "await null;\n"
                       "return count");
    unsigned waited = 0, done = 0;
    for (unsigned rooms = 0; rooms < 16; rooms++) {
        char json[32];
        struct run run;
        snprintf(json, sizeof(json), "{\"rooms\":%u}", rooms);
        run_start(&run, code, &(struct run_options){.caps = "ext:e", .args = json});
        run_wait(&run, 1);
        if (run.execution != NULL) {
            waited++;
            run_resume(&run, 1, "1");
            run_wait(&run, 2);
        }
        done += run.status == NX_SEGMENT_DONE;
        assert_string_equal(run_text(&run),
                            run.status == NX_SEGMENT_DONE ? "done 9" : "error MEMORY_LIMIT");
        run_free(&run);
    }
    assert_true(done > 0 && waited > done);
    nx_code_unref(code);
}

// ---- many handlers

static void more_handlers_than_slots(void **unused) {
    (void)unused;
    enum { HANDLERS = NX_WIRE_CODE_SLOTS + 44 };
    static struct nx_code *codes[HANDLERS];
    static struct run runs[HANDLERS];
    char text[64];
    for (unsigned i = 0; i < HANDLERS; i++) {
        snprintf(text, sizeof(text), "return %u", i);
        codes[i] = code_of_source(text);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < HANDLERS; i++) {
            run_start(&runs[i], codes[i], NULL);
        }
        for (unsigned i = 0; i < HANDLERS; i++) {
            run_wait(&runs[i], 1);
            snprintf(text, sizeof(text), "done %u", i);
            assert_string_equal(run_text(&runs[i]), text);
            run_free(&runs[i]);
        }
    }
    for (unsigned i = 0; i < HANDLERS; i++) {
        nx_code_unref(codes[i]);
    }
}

// Each handler leaves whatever it can behind, and returns what it finds of the others: nothing.
static void ten_thousand_runs_leave_no_trace(void **unused) {
    (void)unused;
    enum { KINDS = 4, RUNS = 10000, AT_ONCE = 200 };
    static const char *const dirt[KINDS] = {
        "globalThis.a = 'A';",
        "Object.prototype.b = 'B'; Array.prototype.map = () => 'B';",
        ("String.prototype.c = 'C';"
         "JSON.parse = null; globalThis.Promise = undefined; Math.c = 'C';"),
        "globalThis.big = new Array(20000).fill('D'); Symbol.for('d'); Function.prototype.d = 'D';",
    };
    static const char look[] =
        "const found = [globalThis.a, globalThis.big, ({}).b, ({}).c, 'x'.c, (() => 0).d, Math.c]"
        "  .filter((x) => x !== undefined).length + ([1].map((x) => x)[0] === 1 ? 0 : 100) +"
        "  (JSON.parse('1') === 1 ? 0 : 100) + (typeof Promise === 'function' ? 0 : 100);";
    static struct run runs[AT_ONCE];
    struct nx_code *codes[KINDS];
    for (size_t i = 0; i < KINDS; i++) {
        char source[1024];
        snprintf(source, sizeof(source), "%s %s return found", look, dirt[i]);
        codes[i] = code_of_source(source);
    }
    for (unsigned done = 0; done < RUNS; done += AT_ONCE) {
        for (unsigned i = 0; i < AT_ONCE; i++) {
            run_start(&runs[i], codes[(i + done / AT_ONCE * i) % KINDS], NULL);
        }
        for (unsigned i = 0; i < AT_ONCE; i++) {
            run_wait(&runs[i], 1);
            assert_string_equal(run_text(&runs[i]), "done 0");
            run_free(&runs[i]);
        }
    }
    for (size_t i = 0; i < KINDS; i++) {
        nx_code_unref(codes[i]);
    }
    // The control: within one run, the same look finds all of it.
    char source[2048];
    snprintf(source, sizeof(source), "%s %s %s %s { %s return found }", dirt[0], dirt[1],
             "String.prototype.c = Math.c = 'C';", dirt[3], look);
    expect_source(source, NULL, "done 106");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(handlers_run, nobody_died),
        cmocka_unit_test_teardown(effects_arrive, nobody_died),
        cmocka_unit_test_teardown(compile_errors_have_a_place, nobody_died),
        cmocka_unit_test_teardown(what_may_not_be_read_is_denied_and_not_there, nobody_died),
        cmocka_unit_test_teardown(everything_else_needs_its_grant, nobody_died),
        cmocka_unit_test_teardown(several_calls_answered_one_by_one, nobody_died),
        cmocka_unit_test_teardown(many_suspended_at_once, nobody_died),
        cmocka_unit_test_teardown(bigints_are_right, nobody_died),
        cmocka_unit_test_teardown(what_was_written_meanwhile_stays, nobody_died),
        cmocka_unit_test_teardown(no_key_is_lost_for_want_of_memory, nobody_died),
        cmocka_unit_test_teardown(no_write_is_made_that_has_failed, nobody_died),
        cmocka_unit_test_teardown(no_write_is_made_up_for_want_of_memory, nobody_died),
        cmocka_unit_test_teardown(an_answer_without_memory_says_so, nobody_died),
        cmocka_unit_test_teardown(more_handlers_than_slots, nobody_died),
        cmocka_unit_test_teardown(ten_thousand_runs_leave_no_trace, nobody_died),
    };
    return cmocka_run_group_tests(tests, start_pool, stop_pool);
}
