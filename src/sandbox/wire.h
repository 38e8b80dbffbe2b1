// SPDX-License-Identifier: Apache-2.0
// The frames between the kernel, the zygote and the workers, over Unix stream sockets.
//
// A frame is a header and `payload_bytes` bytes. Both sides run on one machine from one build, so
// integers are in host order; the build id in READY makes sure of the build. Payloads are sequences
// of u8, u32, u64 and byte strings (u32 length, bytes), written and read with the functions below.
// The reader never trusts a length: it fails for good at the first thing that does not fit.
//
// kernel → zygote   CONFIG   u32 memory_limit_bytes, u32 stack_limit_bytes, u32 spare_instances
//                   SPAWN    id = 1 for a worker that stands back, else 0 (carries the worker's end
//                   of its socket pair as a descriptor)
//                   LOWER    id = pid of a worker: others go before it from now on (sched.h)
// zygote → kernel   READY    bytes build_id
//                   SPAWNED  u32 pid, u32 protections (lockdown.h) (carries a pidfd of the worker
//                            as a descriptor); pid 0 and no descriptor: not this time
//                   FAILED   bytes message (the zygote then exits)
// kernel → worker   COMPILE  id = request; u8 expression, u32 line, u32 column, bytes source
//                   LOAD     id = code slot (< NX_WIRE_CODE_SLOTS); bytes bytecode. Replaces what
//                            the slot held; executions already started keep what they use
//                   UNLOAD   id = code slot
//                   RUN      id = execution (chosen by the kernel, unused before in this worker);
//                            u32 code slot, u32 timeout_us, u32 max_host_calls, u32 max_mutations,
//                            u32 max_events, u32 max_log_bytes, u32 max_value_bytes,
//                            u32 max_state_bytes, STATE, CAPS, bytes args, bytes scope, u8 flags
//                            (enum nx_run_flags, chain.h), u32 chain (0: none)
//                   RESUME   id = execution; u32 timeout_us (running time left), u32 call_id,
//                            u8 ok, bytes json or code, bytes empty or message, STATE
//                   RELEASE  id = execution: a suspended one is given up
//                   GO       id 0: answers SLOW
// worker → kernel   COMPILED id = request; u8 result code, u32 compile_us, u32 line, u32 column,
//                            bytes bytecode, bytes message
//                   SEGMENT  id = execution; u8 status (enum nx_segment_status), u32 run_us,
//                            u64 memory_used, u64 memory_peak, u32 x NX_RESET_KINDS resets of any
//                            instance since the SEGMENT before (each at most NX_MAX_RESETS_TOLD;
//                            what is more is told with the next), u32 x NX_HOST_CALL_COUNT host
//                            calls of this segment,
//                            u32 n, n x {u8 delete, bytes key, bytes json}         mutations
//                            u32 n, n x {bytes name, bytes payload}                events
//                            u32 n, n x {bytes type, bytes component, bytes args}  view commands
//                            u32 n, n x {u8 level, bytes message}                  logs
//                            u32 n, n x {u32 call_id, bytes name, bytes method, bytes args} calls
//                            u32 n, n x {u8 cap kind, bytes scope}                 denials
//                            then by status: DONE bytes return_json; SUSPENDED nothing;
//                            NOT_RUN (it follows in a chain whose base is gone) nothing, and
//                            nothing in the lists;
//                            ERROR u8 result code, bytes message, bytes stack, bytes capability,
//                            u32 line, u32 column
//                   SLOW     id 0: the frame at work takes longer than most. From now on until GO
//                            comes, every RUN and COMPILE frame is dropped unread: the kernel has
//                            another worker do them
// where STATE = u32 n, n x {bytes key, bytes json} and CAPS = u32 n, n x {u8 kind, bytes scope};
// scope "*" is the wildcard.
//
// A worker handles its frames strictly in order and answers each COMPILE, RUN and RESUME that it
// does not drop with exactly one frame, in the same order. Call ids count up from 1 within an
// execution. SLOW is sent by the signal handler of a timer, after everything already answered: so a
// long handler keeps back neither the results of those before it nor those behind it.
#ifndef NX_SANDBOX_WIRE_H
#define NX_SANDBOX_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/span.h"
#include "sandbox/resets.h"

enum {
    NX_WIRE_VERSION = 1,
    NX_WIRE_CODE_SLOTS = 256, // warm handlers per worker; the kernel decides which, by LRU
    NX_WIRE_ZYGOTE_FD = 3,    // the zygote's only descriptor besides stderr
    NX_WIRE_WORKER_FD = 3,    // a worker's channel, in place of the zygote's
};

enum nx_frame_type {
    NX_FRAME_CONFIG = 1,
    NX_FRAME_SPAWN,
    NX_FRAME_READY,
    NX_FRAME_SPAWNED,
    NX_FRAME_FAILED,
    NX_FRAME_COMPILE,
    NX_FRAME_LOAD,
    NX_FRAME_UNLOAD,
    NX_FRAME_RUN,
    NX_FRAME_RESUME,
    NX_FRAME_RELEASE,
    NX_FRAME_COMPILED,
    NX_FRAME_SEGMENT,
    NX_FRAME_GO,
    NX_FRAME_SLOW,
    NX_FRAME_LOWER,
    NX_FRAME_LAST = NX_FRAME_LOWER,
};

struct nx_frame_header {
    uint32_t payload_bytes; // at most NX_MAX_FRAME_BYTES
    uint8_t version;        // NX_WIRE_VERSION
    uint8_t type;           // enum nx_frame_type
    uint16_t zero;
    uint32_t id;
};

// ---- writing: appends to a bounded buffer; check buf->failed once, at the end

// Starts a frame and returns the offset of its header, for nx_wire_end.
size_t nx_wire_begin(struct nx_buf *out, enum nx_frame_type type, uint32_t id);
// Fills in the length of the frame begun at `start`. Returns 0, or out->failed; NX_E_LIMIT if the
// payload is over NX_MAX_FRAME_BYTES. On failure the buffer is cut back to `start` and usable
// again.
int nx_wire_end(struct nx_buf *out, size_t start);
void nx_wire_put_u8(struct nx_buf *out, uint8_t value);
void nx_wire_put_u32(struct nx_buf *out, uint32_t value);
void nx_wire_put_u64(struct nx_buf *out, uint64_t value);
void nx_wire_put_bytes(struct nx_buf *out, struct nx_span bytes);

// ---- reading

// A cursor over one payload. Once `failed`, every read gives 0 or an empty span.
struct nx_wire_reader {
    const char *at, *end;
    bool failed;
};
void nx_wire_reader_init(struct nx_wire_reader *r, struct nx_span payload);
uint8_t nx_wire_get_u8(struct nx_wire_reader *r);
uint32_t nx_wire_get_u32(struct nx_wire_reader *r);
uint64_t nx_wire_get_u64(struct nx_wire_reader *r);
struct nx_span nx_wire_get_bytes(struct nx_wire_reader *r); // points into the payload
// An item count, failing if the rest of the payload cannot hold that many items of at least
// `min_item_bytes` (>= 1) or if it is over `max`.
uint32_t nx_wire_get_count(struct nx_wire_reader *r, uint32_t max, size_t min_item_bytes);
// True if everything was read and nothing failed.
bool nx_wire_reader_done(const struct nx_wire_reader *r);

// Splits off the first frame of `data`. Returns 1 and sets the header and payload (pointing into
// data), 0 if more bytes are needed, or NX_E_PROTOCOL for a header that no peer of this build
// sends.
int nx_wire_next(struct nx_span data, struct nx_frame_header *header, struct nx_span *payload);

#endif
