// SPDX-License-Identifier: Apache-2.0
// Worker side: executions from RUN to their last segment, and compiling. Warm handlers and
// instances at rest are kept by warm.c.
#include "sandbox/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "sandbox/chain.h"
#include "sandbox/warm.h"
#include "sandbox/work.h"

static struct nx_exec *suspended; // list
static struct nx_state_entry *state_entries;
static struct nx_cap caps[NX_MAX_CAPS];

int nx_runner_init(uint32_t spare_instances) {
    state_entries = calloc(NX_MAX_STATE_ENTRIES, sizeof(*state_entries));
    return state_entries != NULL && nx_engine_attach(NULL) == 0 && nx_work_init() == 0
               ? nx_warm_spare(spare_instances)
               : NX_E_NOMEM;
}

// A fresh seed for Math.random. Drawn in batches: one system call serves 32 executions.
static uint64_t next_seed(void) {
    static uint64_t seeds[32];
    static size_t left;
    if (left == 0) {
        if (getrandom(seeds, sizeof(seeds), 0) != (ssize_t)sizeof(seeds)) {
            abort(); // never a predictable seed
        }
        left = sizeof(seeds) / sizeof(seeds[0]);
    }
    return seeds[--left];
}

static uint32_t read_state(struct nx_wire_reader *r) {
    const uint32_t count = nx_wire_get_count(r, NX_MAX_STATE_ENTRIES, 8);
    for (uint32_t i = 0; i < count; i++) {
        state_entries[i].key = nx_wire_get_bytes(r);
        state_entries[i].json = nx_wire_get_bytes(r);
    }
    return count;
}

// Reads CAPS into grants whose scopes are the frame's bytes.
static void read_caps(struct nx_wire_reader *r, struct nx_cap_set *grants) {
    *grants = (struct nx_cap_set){.items = caps};
    const uint32_t count = nx_wire_get_count(r, NX_MAX_CAPS, 5);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t kind = nx_wire_get_u8(r);
        const struct nx_span scope = nx_wire_get_bytes(r);
        if (kind >= NX_CAP_KINDS) {
            r->failed = true;
            return;
        }
        if (nx_span_eq(scope, nx_span_str("*"))) {
            grants->all[kind] = true;
        } else {
            caps[grants->count++] =
                (struct nx_cap){(enum nx_cap_kind)kind, (char *)scope.data, scope.len};
        }
    }
}

// What a suspended execution needs of its RUN frame, which is about to go.
static int keep_grants(struct nx_exec *exec) {
    if (exec->kept != NULL) {
        return 0;
    }
    size_t bytes = exec->grants.count * sizeof(struct nx_cap);
    for (size_t i = 0; i < exec->grants.count; i++) {
        bytes += exec->grants.items[i].scope_len;
    }
    exec->kept = malloc(bytes + 1);
    if (exec->kept == NULL) {
        return NX_E_NOMEM;
    }
    struct nx_cap *items = (struct nx_cap *)(void *)exec->kept;
    char *text = exec->kept + exec->grants.count * sizeof(struct nx_cap);
    for (size_t i = 0; i < exec->grants.count; i++) {
        items[i] = exec->grants.items[i];
        items[i].scope = memcpy(text, items[i].scope, items[i].scope_len);
        text += items[i].scope_len;
    }
    exec->grants.items = items;
    return 0;
}

static void end_exec(struct nx_exec *exec, bool trapped) {
    if (exec->instance != NULL) {
        nx_warm_give_back(exec->instance, exec->code, trapped);
    }
    nx_warm_unref(exec->code);
    free(exec->kept);
    free(exec);
}

static uint32_t microseconds_since(uint64_t start_ns) {
    const uint64_t us = (nx_clock_monotonic_ns() - start_ns) / 1000;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

// Writes the segment's frame and parks or ends the execution.
static int finish(struct nx_exec *exec, enum nx_trap trap, uint32_t outcome, uint64_t start_ns,
                  uint32_t timeout_us, struct nx_buf *out) {
    struct nx_segment_report report = {.run_us = microseconds_since(start_ns)};
    const bool late = report.run_us >= timeout_us;
    const bool good = trap == NX_TRAP_NONE && nx_work.fatal == NX_RESULT_NONE;
    if (good && outcome == NX_GUEST_DONE && nx_work_returned_json()) {
        report.status = NX_WIRE_DONE;
    } else if (good && outcome == NX_GUEST_SUSPENDED && exec->outstanding > 0 &&
               keep_grants(exec) == 0) {
        report.status = NX_WIRE_SUSPENDED;
    } else {
        report.status = NX_WIRE_ERROR;
        report.code = nx_work_judge(trap, nx_instance_hit_memory_limit(exec->instance), late);
    }
    // The guest's own figures: an owned guest can say anything, but no more than its memory.
    const struct nx_guest_shared *shared = nx_instance_shared(exec->instance);
    const uint32_t memory_bytes = nx_engine_memory_limit();
    report.memory_used_bytes = min_u32(shared->heap_bytes, memory_bytes);
    report.memory_peak_bytes = min_u32(shared->heap_peak_bytes, memory_bytes);
    int status = nx_work_write(out, &report);
    if (status == NX_E_LIMIT && report.status != NX_WIRE_ERROR) {
        report.status = NX_WIRE_ERROR;
        report.code = nx_work_too_large();
        status = nx_work_write(out, &report);
    }
    if (report.status == NX_WIRE_DONE && exec->chain != 0) {
        nx_chain_keep(exec->chain);
    } else if (exec->chain != 0) {
        nx_chain_drop(exec->chain);
    }
    exec->chain = 0; // later segments are not part of one
    if (report.status == NX_WIRE_SUSPENDED && status == 0) {
        nx_instance_park(exec->instance);
        exec->next = suspended;
        suspended = exec;
    } else {
        end_exec(exec, trap != NX_TRAP_NONE);
    }
    return status;
}

// Finds a place for `len` bytes and a NUL where the guest can take them: the inbox if they fit. A
// trap: there is none. `what` says in a message whose bytes they are.
static enum nx_trap place(struct nx_instance *instance, uint32_t len, const char *what,
                          uint32_t *address, uint8_t **at) {
    enum nx_trap trap = NX_TRAP_NONE;
    *address = nx_instance_shared(instance)->inbox_address;
    if (len + 1 > NX_GUEST_INBOX_BYTES) {
        trap = nx_instance_call(instance, NX_EXPORT_ALLOC, (uint32_t[5]){len + 1}, address);
    }
    if (trap != NX_TRAP_NONE) {
        return trap;
    }
    *at = *address != 0 ? nx_instance_memory(instance, *address, len + 1) : NULL;
    if (*at == NULL) {
        nx_work.fatal = NX_RESULT_MEMORY_LIMIT;
        snprintf(nx_work.fatal_message, sizeof(nx_work.fatal_message),
                 "%s not fit the memory limit", what);
        return NX_TRAP_HOST;
    }
    return NX_TRAP_NONE;
}

struct nx_deadline nx_runner_deadline(uint64_t start_ns, uint32_t timeout_us) {
    const uint64_t soft_ns = start_ns + (uint64_t)timeout_us * 1000;
    return (struct nx_deadline){
        .slow_ns = start_ns + (uint64_t)NX_SLOW_SEGMENT_US * 1000,
        .soft_ns = soft_ns,
        .hard_ns = soft_ns + (uint64_t)NX_HARD_DEADLINE_GRACE_MS * 1000000,
    };
}

static void set_shared(struct nx_instance *instance) {
    struct nx_guest_shared *shared = nx_instance_shared(instance);
    shared->now_ms = nx_work.now_ms;
    shared->seed = next_seed();
    shared->interrupt = 0;
}

// Calls the handler's first segment in exec->instance.
static enum nx_trap call_run(struct nx_exec *exec, struct nx_span args, struct nx_span scope,
                             uint32_t *outcome) {
    uint8_t *at;
    uint32_t address;
    const uint32_t len = (uint32_t)(args.len + scope.len + 1);
    const enum nx_trap trap = place(exec->instance, len, "the arguments do", &address, &at);
    if (trap != NX_TRAP_NONE) {
        return trap;
    }
    memcpy(at, args.data, args.len);
    at[args.len] = 0;
    memcpy(at + args.len + 1, scope.data, scope.len);
    at[len] = 0;
    return nx_instance_call(exec->instance, NX_EXPORT_RUN,
                            (uint32_t[5]){address, (uint32_t)args.len, (uint32_t)scope.len},
                            outcome);
}

// ---- frames

int nx_runner_load(uint32_t slot, struct nx_span payload) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    const struct nx_span bytecode = nx_wire_get_bytes(&r);
    return nx_wire_reader_done(&r) ? nx_warm_load(slot, bytecode) : NX_E_PROTOCOL;
}

int nx_runner_unload(uint32_t slot) {
    return nx_warm_unload(slot);
}

static void read_limits(struct nx_wire_reader *r, struct nx_exec_caps *limits) {
    limits->max_host_calls = nx_wire_get_u32(r);
    limits->max_mutations = nx_wire_get_u32(r);
    limits->max_events = nx_wire_get_u32(r);
    limits->max_log_bytes = nx_wire_get_u32(r);
    limits->max_value_bytes = nx_wire_get_u32(r);
    limits->max_state_bytes = nx_wire_get_u32(r);
}

// The segment could not even start: say so and end the execution.
static int refuse(struct nx_exec *exec, enum nx_result_code code, const char *message,
                  struct nx_buf *out) {
    nx_buf_append_str(&nx_work.message, message);
    nx_chain_drop(exec->chain);
    const struct nx_segment_report report = {.status = NX_WIRE_ERROR, .code = code};
    const int status = nx_work_write(out, &report);
    end_exec(exec, false);
    return status;
}

// The state it was to begin with is not here any more.
static int not_run(struct nx_exec *exec, struct nx_buf *out) {
    const struct nx_segment_report report = {.status = NX_WIRE_NOT_RUN};
    nx_work_begin(exec, NULL, 0, 0);
    const int status = nx_work_write(out, &report);
    end_exec(exec, false);
    return status;
}

int nx_runner_run(uint32_t id, struct nx_span payload, struct nx_buf *out) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    struct nx_exec *exec = calloc(1, sizeof(*exec));
    if (exec == NULL) {
        return NX_E_NOMEM;
    }
    exec->id = id;
    exec->code = nx_warm_code(nx_wire_get_u32(&r));
    const uint32_t timeout_us = nx_wire_get_u32(&r);
    read_limits(&r, &exec->limits);
    uint32_t state_count = read_state(&r);
    read_caps(&r, &exec->grants);
    const struct nx_span args = nx_wire_get_bytes(&r), scope = nx_wire_get_bytes(&r);
    const uint8_t flags = nx_wire_get_u8(&r);
    const uint32_t chain = nx_wire_get_u32(&r);
    if (!nx_wire_reader_done(&r) || exec->code == NULL) {
        end_exec(exec, false);
        return NX_E_PROTOCOL;
    }
    const struct nx_state_entry *state = state_entries;
    exec->chain = (flags & NX_RUN_KEEP) != 0 ? chain : 0;
    if ((flags & NX_RUN_FOLLOWS) != 0 && (state = nx_chain_base(chain, &state_count)) == NULL) {
        return not_run(exec, out);
    }
    nx_work_begin(exec, state, state_count, (double)nx_clock_wall_ms());
    const uint64_t start_ns = nx_clock_monotonic_ns();
    const struct nx_deadline deadline = nx_runner_deadline(start_ns, timeout_us);
    enum nx_trap trap;
    uint32_t outcome;
    exec->instance = nx_warm_take(exec->code, &deadline, &trap, &outcome);
    if (exec->instance == NULL) {
        nx_engine_clear_deadline();
        return refuse(exec, trap == NX_TRAP_DEADLINE ? NX_RESULT_TIMEOUT : NX_RESULT_MEMORY_LIMIT,
                      "the handler could not be loaded", out);
    }
    set_shared(exec->instance);
    trap = call_run(exec, args, scope, &outcome);
    nx_engine_clear_deadline();
    return finish(exec, trap, outcome, start_ns, timeout_us, out);
}

// Takes the execution out of the list of suspended ones.
static struct nx_exec *wake(uint32_t id) {
    for (struct nx_exec **at = &suspended; *at != NULL; at = &(*at)->next) {
        if ((*at)->id == id) {
            struct nx_exec *exec = *at;
            *at = exec->next;
            return exec;
        }
    }
    return NULL;
}

int nx_runner_release(uint32_t id) {
    struct nx_exec *exec = wake(id);
    if (exec == NULL) {
        return NX_E_PROTOCOL;
    }
    end_exec(exec, false);
    return 0;
}

static bool answer_call(struct nx_exec *exec, uint32_t call_id) {
    for (uint32_t i = 0; i < exec->outstanding; i++) {
        if (exec->outstanding_ids[i] == call_id) {
            exec->outstanding_ids[i] = exec->outstanding_ids[--exec->outstanding];
            return true;
        }
    }
    return false;
}

// Hands an extension call's result to the guest: JSON, or code NUL message.
static enum nx_trap call_resume(struct nx_exec *exec, uint32_t call_id, bool ok,
                                struct nx_span first, struct nx_span second, uint32_t *outcome) {
    const uint32_t len = (uint32_t)(ok ? first.len : first.len + 1 + second.len);
    uint8_t *at;
    uint32_t address;
    const enum nx_trap trap =
        place(exec->instance, len, "the result of the extension call does", &address, &at);
    if (trap != NX_TRAP_NONE) {
        return trap;
    }
    memcpy(at, first.data, first.len);
    if (!ok) {
        at[first.len] = 0;
        memcpy(at + first.len + 1, second.data, second.len);
    }
    at[len] = 0;
    return nx_instance_call(exec->instance, NX_EXPORT_RESUME,
                            (uint32_t[5]){call_id, ok, address, len}, outcome);
}

int nx_runner_resume(uint32_t id, struct nx_span payload, struct nx_buf *out) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    const uint32_t timeout_us = nx_wire_get_u32(&r), call_id = nx_wire_get_u32(&r);
    const bool ok = nx_wire_get_u8(&r) != 0;
    const struct nx_span first = nx_wire_get_bytes(&r), second = nx_wire_get_bytes(&r);
    const uint32_t state_count = read_state(&r);
    struct nx_exec *exec = nx_wire_reader_done(&r) ? wake(id) : NULL;
    if (exec == NULL || !answer_call(exec, call_id)) {
        if (exec != NULL) {
            end_exec(exec, false);
        }
        return NX_E_PROTOCOL;
    }
    nx_work_begin(exec, state_entries, state_count, (double)nx_clock_wall_ms());
    nx_instance_shared(exec->instance)->now_ms = nx_work.now_ms;
    const uint64_t start_ns = nx_clock_monotonic_ns();
    uint32_t outcome = NX_GUEST_ERROR;
    const struct nx_deadline deadline = nx_runner_deadline(start_ns, timeout_us);
    nx_engine_set_deadline(exec->instance, &deadline);
    const enum nx_trap trap = call_resume(exec, call_id, ok, first, second, &outcome);
    nx_engine_clear_deadline();
    return finish(exec, trap, outcome, start_ns, timeout_us, out);
}
