// SPDX-License-Identifier: Apache-2.0
// Worker side: one execution, and what its running segment has done so far.
//
// An execution outlives its segments; it keeps the grants, the limits and the counts. Everything
// that belongs to one segment is in struct nx_segment_work, of which a worker has one: a single
// segment runs at a time.
#ifndef NX_SANDBOX_EXEC_H
#define NX_SANDBOX_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/caps.h"
#include "base/limits.h"
#include "base/result_code.h"
#include "base/state.h"
#include "sandbox/engine.h"

struct nx_exec_caps {
    uint32_t max_host_calls, max_mutations, max_events, max_log_bytes, max_value_bytes,
        max_state_bytes;
};

struct nx_warm_code; // warm.h

struct nx_exec {
    uint32_t id;
    struct nx_instance *instance;
    struct nx_warm_code *code; // holds a reference
    struct nx_cap_set
        grants; // items are borrowed from `kept` (or, in the first segment, the frame)
    char *kept; // owned copy of the grants' bytes, once suspended
    struct nx_exec_caps limits;
    uint32_t chain; // that its first segment is part of, if its base is to be kept; else 0
    uint32_t host_calls, mutations, events, log_bytes; // so far, over all segments
    uint32_t last_call_id, outstanding;
    uint32_t outstanding_ids[NX_MAX_OUTSTANDING_CALLS];
    struct nx_exec *next; // in the list of suspended or free ones
};

// One changed key of the running segment; offsets into nx_segment_work.text.
struct nx_change {
    uint32_t key_at, key_len, json_at, json_len;
    uint32_t json_room; // bytes at json_at: a later value that fits takes the place of this one
    uint32_t state_at;  // where the key is in the segment's state, from 1; 0: it is not there
    bool is_delete;
};

// A part of the SEGMENT frame that grows while the handler runs.
struct nx_section {
    struct nx_buf items;
    uint32_t count;
    size_t whole_bytes; // of `items`: the last one may have found room for a part of it only
};

struct nx_segment_work {
    struct nx_exec *exec;
    const struct nx_state_entry *state; // as of the segment's start; borrowed from the frame
    uint32_t state_count;
    size_t state_bytes; // keys and values as the segment would leave them
    double now_ms;
    struct nx_buf text;        // keys and values of the changes
    struct nx_change *changes; // in order of first write
    uint32_t change_count, change_capacity;
    struct nx_section events, views, logs, calls, denials;
    uint32_t host_calls[NX_HOST_CALL_COUNT];
    // A limit that was reached: the execution is over, whatever the guest reports.
    enum nx_result_code fatal;
    char fatal_message[128];
    // What the guest reported.
    struct nx_buf returned, message, stack, detail;
    int32_t error_kind, line, column;
    bool reported_error;
};

// The one segment at work, used by the host calls.
extern struct nx_segment_work nx_work;
extern const struct nx_engine_imports nx_host_imports;

// Prepares nx_work for a segment of `exec`.
void nx_work_begin(struct nx_exec *exec, const struct nx_state_entry *state, uint32_t state_count,
                   double now_ms);

// Readies the buffers; once per worker. 0 or NX_E_NOMEM.
int nx_work_init(void);

#endif
