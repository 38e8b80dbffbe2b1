// SPDX-License-Identifier: Apache-2.0
// Worker side: what became of a segment, and its SEGMENT frame.
#ifndef NX_SANDBOX_WORK_H
#define NX_SANDBOX_WORK_H

#include "sandbox/exec.h"
#include "sandbox/wire.h"

// A segment's status on the wire; the values of enum nx_segment_status (client.h).
enum nx_wire_status {
    NX_WIRE_DONE = 0,
    NX_WIRE_SUSPENDED = 1,
    NX_WIRE_ERROR = 2,
    NX_WIRE_NOT_RUN = 3,
};

struct nx_segment_report {
    enum nx_wire_status status;
    enum nx_result_code code; // of an error
    uint32_t run_us;
    uint64_t memory_used_bytes, memory_peak_bytes;
};

// The result code of a segment that did not succeed, with its message put into nx_work.message.
// What the host saw itself (a limit, a trap) weighs more than what the guest reports.
enum nx_result_code nx_work_judge(enum nx_trap trap, bool hit_memory_limit, bool deadline_passed);

// Whether what the handler returned is nothing, or JSON.
bool nx_work_returned_json(void);

// The result code of a segment that says more than a frame holds; sets its message.
enum nx_result_code nx_work_too_large(void);

// Appends the SEGMENT frame of nx_work. 0, or an error with `out` as it was.
int nx_work_write(struct nx_buf *out, const struct nx_segment_report *report);

#endif
