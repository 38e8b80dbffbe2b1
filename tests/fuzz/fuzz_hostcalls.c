// SPDX-License-Identifier: Apache-2.0
// Host calls as a guest makes them that belongs to its handler. The real guest
// runs a handler; its first host call lets the input go wild: any host call,
// with any pointers and lengths, and writes anywhere in linear memory. Then the
// guest goes on with what is left of it. Input: a byte of grants, a byte for
// the way on, then operations.
#include "base/json.h"
#include "guest.h"
#include "sandbox/exec.h"
#include "sandbox/pool.h"

enum { SCRATCH_BYTES = 2048, MAX_OPERATIONS = 40, SLOT = 0, EDGE_BYTES = 32 };

static struct fuzz_input input;
static bool wild;             // the input has had its turn
static uint32_t scratch_used; // of the guest's inbox, where literal bytes are put

// ---- Operands

struct region {
    uint32_t at, len;
};

static uint32_t memory_end(void) {
    uint32_t pages = 1;
    while (pages < GUEST_MEMORY_BYTES / 65536 && nx_engine_memory(pages * 65536, 1))
        pages++;
    return pages * 65536;
}

static uint32_t scratch(void) {
    return nx_instance_shared(nx_work.exec->instance)->inbox_address;
}

// Bytes of the input, put where the guest could have put them.
static struct region literal(size_t len) {
    static const char *const names[] = {"a",  "b",           "granted", "setFilter",
                                        "[]", "{\"a\":[1]}", "x",       "1"};
    uint8_t how = (uint8_t)len;
    struct nx_span bytes =
        how >= 0xf0 ? nx_span_str(names[how & 7]) : fuzz_take(&input, len & 0x3f);
    if (scratch_used + bytes.len > SCRATCH_BYTES)
        scratch_used = 0;
    uint8_t *to = nx_engine_memory(scratch() + scratch_used, (uint32_t)bytes.len);
    struct region region = {scratch() + scratch_used, (uint32_t)bytes.len};
    // An inbox that the guest's writes moved may be anywhere: then these are wild
    // pointers, too.
    if (to && bytes.len)
        memcpy(to, bytes.data, bytes.len);
    scratch_used += (uint32_t)bytes.len;
    return region;
}

static struct region take_region(void) {
    uint8_t how = fuzz_u8(&input);
    uint32_t near = fuzz_u8(&input);
    switch (how & 7) {
    case 0:
        return (struct region){fuzz_u32(&input), fuzz_u32(&input)};
    case 1: // around the end
        return (struct region){memory_end() - near, near + (how >> 3) - 16};
    case 2: // around 2^32
        return (struct region){0u - near, near + (how >> 3) - 16};
    case 3: // at 0
        return (struct region){how >> 7, near};
    default:
        return literal(near);
    }
}

// ---- Operations

// Writes by the host stay where they belong.
static int32_t checked_read(bool keys, struct region key, struct region room) {
    struct nx_segment_work *work = &nx_work;
    uint8_t before[2 * EDGE_BYTES];
    const uint8_t *low = nx_engine_memory(room.at - EDGE_BYTES, EDGE_BYTES);
    // Room past the end of the address space has no upper edge: after it comes its own beginning.
    const bool wraps = room.len > UINT32_MAX - room.at;
    const uint8_t *high = wraps ? NULL : nx_engine_memory(room.at + room.len, EDGE_BYTES);
    if (low)
        memcpy(before, low, EDGE_BYTES);
    if (high)
        memcpy(before + EDGE_BYTES, high, EDGE_BYTES);
    int32_t got = keys ? nx_host_imports.state_keys(NULL, room.at, room.len)
                       : nx_host_imports.state_get(NULL, key.at, key.len, room.at, room.len);
    FUZZ_CHECK(got >= NX_HOST_INVALID);
    FUZZ_CHECK(!low || memcmp(before, low, EDGE_BYTES) == 0);
    FUZZ_CHECK(!high || memcmp(before + EDGE_BYTES, high, EDGE_BYTES) == 0);
    FUZZ_CHECK(got < 0 || work->fatal == NX_RESULT_NONE);
    return got;
}

static void scribble(void) {
    uint32_t at = fuzz_u32(&input);
    struct nx_span bytes = fuzz_take(&input, fuzz_u8(&input) & 0x1f);
    uint8_t *to = nx_engine_memory(at % memory_end(), (uint32_t)bytes.len);
    if (to && bytes.len)
        memcpy(to, bytes.data, bytes.len);
}

static int32_t call(uint8_t which) {
    struct region a = take_region(), b = {0}, c = {0};
    const struct nx_engine_imports *host = &nx_host_imports;
    switch (which % 12) {
    case NX_HOST_CALL_STATE_GET:
        return checked_read(false, a, take_region());
    case NX_HOST_CALL_STATE_SET:
        b = take_region();
        return host->state_set(NULL, a.at, a.len, b.at, b.len);
    case NX_HOST_CALL_STATE_DELETE:
        return host->state_delete(NULL, a.at, a.len);
    case NX_HOST_CALL_STATE_HAS:
        return host->state_has(NULL, a.at, a.len);
    case NX_HOST_CALL_STATE_KEYS:
        return checked_read(true, b, a);
    case NX_HOST_CALL_EMIT:
        b = take_region();
        return host->emit(NULL, a.at, a.len, b.at, b.len);
    case NX_HOST_CALL_VIEW:
        b = take_region();
        c = take_region();
        return host->view(NULL, a.at, a.len, b.at, b.len, c.at, c.len);
    case NX_HOST_CALL_EXT_CALL:
        b = take_region();
        c = take_region();
        return host->ext_call(NULL, a.at, a.len, b.at, b.len, c.at, c.len);
    case NX_HOST_CALL_LOG:
        return host->log(NULL, (int8_t)fuzz_u8(&input), a.at, a.len);
    case 9:
        host->result(NULL, a.at, a.len);
        return 0;
    case 10:
        b = take_region();
        c = take_region();
        host->error(NULL, (int8_t)fuzz_u8(&input), a.at, a.len, b.at, b.len, c.at, c.len,
                    (int32_t)fuzz_u32(&input), (int32_t)fuzz_u32(&input));
        return 0;
    default:
        scribble();
        return 0;
    }
}

static void go_wild(void) {
    for (int i = 0; i < MAX_OPERATIONS && input.left; i++) {
        enum nx_result_code fatal = nx_work.fatal;
        uint8_t which = fuzz_u8(&input);
        int32_t got = call(which);
        FUZZ_CHECK(got >= NX_HOST_INVALID);
        // Once over, it is over.
        FUZZ_CHECK(fatal == NX_RESULT_NONE || (nx_work.fatal == fatal && got <= 0));
        FUZZ_CHECK(nx_work.exec->host_calls <= nx_work.exec->limits.max_host_calls + 1);
        FUZZ_CHECK(nx_work.change_count <= nx_work.exec->limits.max_mutations + 1);
    }
}

// The guest's own first call.
static int32_t on_get(void *user, uint32_t key, uint32_t key_len, uint32_t buf, uint32_t cap) {
    if (!wild) {
        wild = true;
        go_wild();
    }
    return nx_host_imports.state_get(user, key, key_len, buf, cap);
}

// ---- The handler

static const char handler[] =
    "const first = $state.a;\n"
    "$state.b = first; $emit('granted', first); $log('x');\n"
    "try { $state.secret = 1; } catch (e) { $log(e.message); }\n"
    "if ($args.wait) first === 1 || await $ext.granted.method(first, 2);\n"
    "return [first, Object.keys($state)];";

static void start(void) {
    static struct nx_engine_imports imports;
    static struct nx_span bytecode;
    if (bytecode.data)
        return;
    imports = nx_host_imports;
    imports.state_get = on_get;
    guest_start(&imports);
    bytecode = guest_compile(handler);
    guest_load(SLOT, bytecode);
}

static void grant(struct guest_run *run, uint8_t which) {
    static const char *const tokens[] = {
        "state:read:a",  "state:read:*",        "state:write:b",       "state:write:*",
        "events:emit:*", "events:emit:granted", "view:update:granted", "ext:granted"};
    for (int i = 0; i < 8; i++)
        if (which >> i & 1)
            guest_grant(run, tokens[i]);
}

// Answers what is outstanding until nothing is, or the input says to give up.
static void go_on(struct guest_run *run) {
    for (int i = 0; run->segment.status == NX_SEGMENT_SUSPENDED; i++) {
        uint8_t how = fuzz_u8(&input);
        FUZZ_CHECK(run->kernel->outstanding > 0);
        if (how == 0 || i > 8) {
            guest_release(run);
            return;
        }
        uint32_t which = how % run->kernel->outstanding;
        struct nx_span json = nx_span_str(how & 0x40 ? "[1,{\"a\":2}]" : "");
        struct nx_span message = fuzz_take(&input, how & 0x0f);
        bool ok = how & 0x80;
        wild = !(how & 0x20);
        int rc =
            guest_resume(run, run->kernel->outstanding_ids[which], ok,
                         ok ? json : nx_span_str("EXTENSION_ERROR"), ok ? fuzz_nothing() : message);
        FUZZ_CHECK(rc == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint32_t id;
    struct guest_run run;
    start();
    input = fuzz_input(data, size);
    wild = false;
    scratch_used = 0;
    guest_run_init(&run, ++id);
    run.slot = SLOT;
    grant(&run, fuzz_u8(&input));
    run.args = nx_span_str(fuzz_u8(&input) & 1 ? "{\"wait\":true}" : "{}");
    run.state[0] = (struct nx_state_entry){nx_span_str("a"), nx_span_str("{\"n\":[1,2,3]}")};
    run.state[1] = (struct nx_state_entry){nx_span_str("granted"), nx_span_str("\"text\"")};
    run.state_count = 2;
    FUZZ_CHECK(guest_call(&run) == 0);
    go_on(&run);
    guest_run_free(&run);
    return 0;
}
