// SPDX-License-Identifier: Apache-2.0
// The worker's loop. Frames that arrived together are handled together and answered by one write.
#include "sandbox/worker.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/lockdown.h"
#include "sandbox/runner.h"
#include "sandbox/wire.h"

enum { READ_BYTES = 256 * 1024 };

// What the signal handler of a slow segment needs to see. It runs only while a guest does, when
// nothing here is half done.
static struct {
    int channel;
    struct nx_buf *out;
    volatile sig_atomic_t yielding; // SLOW was said: RUN and COMPILE are dropped until GO
} loop;

// Gives back what is done and what has not begun, so that neither waits for the segment at work.
// Only write() is used. The kernel always reads; while it does not, the segment waits with us.
static void on_slow(void) {
    const struct nx_frame_header slow = {.version = NX_WIRE_VERSION, .type = NX_FRAME_SLOW};
    if (loop.out->len != 0 && nx_fd_write_all(loop.channel, loop.out->data, loop.out->len) == 0) {
        loop.out->len = 0;
    }
    if (!loop.yielding && nx_fd_write_all(loop.channel, &slow, sizeof(slow)) == 0) {
        loop.yielding = 1;
    }
}

static int handle(const struct nx_frame_header *header, struct nx_span payload,
                  struct nx_buf *out) {
    if (loop.yielding && (header->type == NX_FRAME_RUN || header->type == NX_FRAME_COMPILE)) {
        return 0;
    }
    switch (header->type) {
    case NX_FRAME_RUN:
        return nx_runner_run(header->id, payload, out);
    case NX_FRAME_RESUME:
        return nx_runner_resume(header->id, payload, out);
    case NX_FRAME_RELEASE:
        return nx_runner_release(header->id);
    case NX_FRAME_COMPILE:
        return nx_runner_compile(header->id, payload, out);
    case NX_FRAME_LOAD:
        return nx_runner_load(header->id, payload);
    case NX_FRAME_UNLOAD:
        return nx_runner_unload(header->id);
    case NX_FRAME_GO:
        loop.yielding = 0;
        return payload.len == 0 ? 0 : NX_E_PROTOCOL;
    default:
        return NX_E_PROTOCOL;
    }
}

static int flush(int channel, struct nx_buf *out) {
    const int status = out->len != 0 ? nx_fd_write_all(channel, out->data, out->len) : 0;
    nx_buf_reset(out);
    return status;
}

// Handles every whole frame of `in` and removes them.
static int handle_all(int channel, struct nx_buf *in, struct nx_buf *out) {
    size_t used = 0;
    int status;
    struct nx_frame_header header;
    struct nx_span payload;
    while ((status = nx_wire_next(nx_span_of(in->data + used, in->len - used), &header, &payload)) >
           0) {
        used += sizeof(header) + payload.len;
        status = handle(&header, payload, out);
        if (status == 0 && out->len > NX_WORKER_BATCH_BYTES) {
            status = flush(channel, out);
        }
        if (status != 0) {
            return status;
        }
    }
    nx_buf_consume(in, used);
    return status;
}

int nx_worker_prepare(uint32_t spare_instances, uint32_t *protections, struct nx_error *err) {
    // /proc/self belongs to root while the process is not dumpable, so the engine's view of its own
    // page tables is opened before that; no guest has run yet.
    if (prctl(PR_SET_DUMPABLE, 1) != 0 || nx_runner_init(spare_instances) != 0 ||
        prctl(PR_SET_DUMPABLE, 0) != 0) {
        return nx_error_set(err, NX_E_IO, "cannot prepare the engine");
    }
    return nx_lockdown_worker(protections, err);
}

int nx_worker_main(void) {
    const int channel = NX_WIRE_WORKER_FD;
    struct nx_buf in, out;
    nx_buf_init(&in, 2 * (size_t)NX_MAX_FRAME_BYTES);
    nx_buf_init(&out, 2 * (size_t)NX_MAX_FRAME_BYTES);
    loop.channel = channel;
    loop.out = &out;
    nx_engine_on_slow(on_slow);
    for (;;) {
        char *to = nx_buf_reserve(&in, READ_BYTES);
        if (to == NULL) {
            return 1;
        }
        const ssize_t got = recv(channel, to, READ_BYTES, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got == 0 ? 0 : 1; // the kernel closed its end: the worker's work is done
        }
        in.len += (size_t)got;
        if (handle_all(channel, &in, &out) != 0 || flush(channel, &out) != 0) {
            return 1;
        }
    }
}
