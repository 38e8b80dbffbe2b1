// SPDX-License-Identifier: Apache-2.0
// Frames for a worker: runs, resumptions, code and chains in any order and with
// any content, as far as bytecode that no compiler made, which is what a forged
// cache would hold. Whatever comes, the worker answers as the kernel expects,
// or refuses the frame. Input: operations.
#include <stdlib.h>

#include "guest.h"
#include "sandbox/chain.h"
#include "sandbox/exec.h"
#include "sandbox/pool.h"
#include "sandbox/runner.h"

enum { MAX_OPERATIONS = 24, MAX_SUSPENDED = 8, SLOTS = 6, HANDLERS = 4, PATCHED_BYTES = 8192 };

static const char *const handlers[HANDLERS] = {
    "$state.n = ($state.n || 0) + 1; return $state.n;",
    "await $ext.http.get($args); $emit('done'); return await $ext.http.get(1);",
    ("$log($args, $scope); for (const k of Object.keys($state)) $state[k] = k; "
     "throw new "
     "Error('no');"),
    "const all = await Promise.all([1, 2, 3].map((i) => $ext.time.sleep(i))); "
    "return all;",
};
static struct nx_span codes[HANDLERS];

static struct fuzz_input input;
static struct guest_run *suspended[MAX_SUSPENDED];
static uint32_t last_id;
static unsigned changed; // slots that do not hold their handler, a bit each

static struct nx_span json(void) {
    static const char *const texts[] = {"{}",          "{\"a\":1}", "[]",        "null",
                                        "\"\\ud800\"", "",          "{\"n\":41}"};
    uint8_t how = fuzz_u8(&input);
    return how < 0xc0 ? nx_span_str(texts[how % 7]) : fuzz_take(&input, how & 0x3f);
}

// ---- Executions

static void forget(struct guest_run *run) {
    guest_run_free(run);
    free(run);
}

// The execution goes on in its place, or is over.
static void settle(struct guest_run *run, struct guest_run **place) {
    *place = run->segment.status == NX_SEGMENT_SUSPENDED ? run : NULL;
    if (!*place)
        forget(run);
}

static void fill(struct guest_run *run) {
    static const char *const tokens[] = {"state:read:*", "state:write:*", "events:emit:*",
                                         "ext:*",        "state:read:n",  "ext:time"};
    uint8_t grants = fuzz_u8(&input), how = fuzz_u8(&input);
    for (int i = 0; i < 6; i++)
        if (grants >> i & 1)
            guest_grant(run, tokens[i]);
    run->slot = how % (SLOTS + 1);
    run->flags = how >> 4 & (NX_RUN_KEEP | NX_RUN_FOLLOWS);
    run->chain = how >> 6;
    // What follows in a chain brings no state along.
    for (int i = 0; i < (grants >> 6) && !(run->flags & NX_RUN_FOLLOWS); i++)
        run->state[run->state_count++] =
            (struct nx_state_entry){nx_span_str(i ? "other" : "n"), json()};
    run->args = json();
    run->scope = json();
    run->timeout_us = fuzz_u8(&input) > 0xf0 ? 1 : 5000;
}

static void run(void) {
    struct guest_run *run = calloc(1, sizeof *run);
    FUZZ_CHECK(run);
    guest_run_init(run, ++last_id);
    fill(run);
    uint32_t place = last_id % MAX_SUSPENDED;
    int rc = guest_call(run);
    FUZZ_CHECK(rc == 0 || rc == NX_E_PROTOCOL);
    if (rc || run->segment.status != NX_SEGMENT_SUSPENDED) {
        forget(run);
        return;
    }
    if (suspended[place]) {
        guest_release(suspended[place]);
        forget(suspended[place]);
    }
    suspended[place] = run;
}

static void resume(void) {
    uint8_t how = fuzz_u8(&input);
    struct guest_run **place = &suspended[how % MAX_SUSPENDED], *run = *place;
    if (!run)
        return;
    const struct nx_execution *kernel = run->kernel;
    uint32_t call_id = how & 0x80 ? fuzz_u8(&input)
                                  : kernel->outstanding_ids[(how >> 3 & 7) % kernel->outstanding];
    bool known = false;
    for (uint32_t i = 0; i < kernel->outstanding; i++)
        known = known || kernel->outstanding_ids[i] == call_id;
    bool ok = how & 0x40;
    int rc = guest_resume(run, call_id, ok, ok ? json() : nx_span_str("METHOD_NOT_FOUND"),
                          ok ? fuzz_nothing() : fuzz_take(&input, how & 0x1f));
    FUZZ_CHECK(rc == (known ? 0 : NX_E_PROTOCOL));
    if (known) {
        settle(run, place);
    } else {
        *place = NULL; // a worker would end here
        forget(run);
    }
}

static void release(void) {
    struct guest_run **place = &suspended[fuzz_u8(&input) % MAX_SUSPENDED];
    if (!*place)
        return;
    guest_release(*place);
    FUZZ_CHECK(nx_runner_release((*place)->id) == NX_E_PROTOCOL);
    forget(*place);
    *place = NULL;
}

// ---- Code

// A handler's bytecode with some bytes changed, or bytes that were never any.
static void load(void) {
    static char patched[PATCHED_BYTES];
    uint8_t how = fuzz_u8(&input);
    struct nx_span code = codes[how % HANDLERS];
    FUZZ_CHECK(code.len <= sizeof patched);
    memcpy(patched, code.data, code.len);
    size_t len = how & 0x80 ? code.len - fuzz_u8(&input) % code.len : code.len;
    for (int i = 0; i < (how >> 4 & 7); i++)
        patched[fuzz_u32(&input) % code.len] = (char)fuzz_u8(&input);
    uint32_t slot = fuzz_u8(&input) % SLOTS;
    changed |= 1u << slot;
    guest_load(slot, (how & 0x0f) == 0x0f ? fuzz_take(&input, how) : nx_span_of(patched, len));
}

static void raw(void) {
    struct nx_buf out;
    uint8_t type = fuzz_u8(&input);
    uint32_t id = fuzz_u8(&input);
    struct nx_span payload = fuzz_copy(fuzz_take(&input, fuzz_u8(&input)));
    nx_buf_init(&out, NX_MAX_FRAME_BYTES);
    int rc = NX_E_PROTOCOL;
    if (type % 4 < 2 && id < SLOTS)
        changed |= 1u << id;
    if (type % 4 == 0)
        rc = nx_runner_load(id, payload);
    else if (type % 4 == 1)
        rc = nx_runner_unload(id);
    else if (type % 4 == 2)
        rc = nx_runner_compile(id, payload, &out);
    else if (payload.len < 4)
        rc = nx_runner_resume(0xffffffff, payload, &out);
    FUZZ_CHECK(rc == 0 || rc == NX_E_PROTOCOL);
    free((void *)payload.data);
    nx_buf_free(&out);
}

static void start(void) {
    if (codes[0].data)
        return;
    guest_start(NULL);
    for (int i = 0; i < HANDLERS; i++)
        codes[i] = guest_compile(handlers[i]);
    changed = (1u << SLOTS) - 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    start();
    input = fuzz_input(data, size);
    for (uint32_t i = 0; i < SLOTS; i++)
        if (changed >> i & 1)
            guest_load(i, codes[i % HANDLERS]);
    changed = 0;
    for (int i = 0; i < MAX_OPERATIONS && input.left; i++) {
        uint8_t what = fuzz_u8(&input);
        void (*const operations[])(void) = {run, run, resume, resume, load, release, raw};
        operations[what % 7]();
    }
    for (int i = 0; i < MAX_SUSPENDED; i++) {
        if (!suspended[i])
            continue;
        guest_release(suspended[i]);
        forget(suspended[i]);
        suspended[i] = NULL;
    }
    for (uint32_t chain = 0; chain < 4; chain++)
        nx_chain_drop(chain);
    return 0;
}
