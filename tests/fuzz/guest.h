// SPDX-License-Identifier: Apache-2.0
// A worker inside the fuzzing process, with the real guest, and the kernel's
// judgement of what it answers. What a worker of ours says about any handler
// must pass the kernel's checks: else a handler could have its worker, and
// whoever else is in it, killed.
#ifndef NX_TEST_FUZZ_GUEST_H
#define NX_TEST_FUZZ_GUEST_H

#include "base/caps.h"
#include "fuzz.h"
#include "sandbox/client.h"
#include "sandbox/engine.h"
#include "sandbox/wire.h"

enum { GUEST_MEMORY_BYTES = 16 * 1024 * 1024, GUEST_STACK_BYTES = 256 * 1024 };

// Starts engine and runner, once. `imports` may stand in front of
// nx_host_imports; NULL: those.
void guest_start(const struct nx_engine_imports *imports);

// The bytecode of a handler, which must compile. Lives as long as the process.
struct nx_span guest_compile(const char *source);

// The same of any source. False: it does not compile, and `message` says why.
// *bytecode is for free().
bool guest_try_compile(struct nx_span source, struct nx_span *bytecode, struct nx_buf *message);

// Fills a code slot of the worker.
void guest_load(uint32_t slot, struct nx_span bytecode);

// One execution as both sides know it.
struct guest_run {
    uint32_t id;
    uint32_t slot, timeout_us;
    struct nx_exec_limits limits;
    struct nx_cap_set caps; // owned
    struct nx_state_entry state[8];
    uint32_t state_count;
    struct nx_span args, scope; // empty: {}
    uint8_t flags;              // enum nx_run_flags
    uint32_t chain;
    struct nx_execution *kernel; // owned: what the kernel keeps of it
    struct nx_segment segment;   // of the last answer, read from `out`
    struct nx_buf out;           // the worker's answer
};

// Small limits, so that each can be reached; everything else empty.
void guest_run_init(struct guest_run *run, uint32_t id);
void guest_run_free(struct guest_run *run);
void guest_grant(struct guest_run *run, const char *token);

// Sends RUN. The status of nx_runner_run; on 0 the answer was checked and is in
// run->segment.
int guest_call(struct guest_run *run);
// Sends RESUME for one call. The same.
int guest_resume(struct guest_run *run, uint32_t call_id, bool ok, struct nx_span first,
                 struct nx_span second);
// Gives up a suspended execution, which the worker must know.
void guest_release(struct guest_run *run);

// The answer in run->out, as the kernel would take it.
void guest_check_answer(struct guest_run *run);

// What holds of every segment that the kernel lets pass, by the grants and
// limits of its execution.
void guest_check_segment(const struct nx_segment *s, const struct nx_cap_set *caps,
                         const struct nx_exec_limits *limits);

#endif
