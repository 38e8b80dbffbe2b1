// SPDX-License-Identifier: Apache-2.0
// The worker's loop. Frames that arrived together are handled together and answered by one write.
#include "sandbox/worker.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/runner.h"
#include "sandbox/wire.h"

enum { READ_BYTES = 256 * 1024 };

static int handle(const struct nx_frame_header *header, struct nx_span payload,
                  struct nx_buf *out) {
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

int nx_worker_main(int channel) {
    struct nx_buf in, out;
    nx_buf_init(&in, 2 * (size_t)NX_MAX_FRAME_BYTES);
    nx_buf_init(&out, 2 * (size_t)NX_MAX_FRAME_BYTES);
    // /proc/self belongs to root while the process is not dumpable, so the engine's view of its own
    // page tables is opened before that; no guest has run yet.
    if (prctl(PR_SET_DUMPABLE, 1) != 0 || nx_runner_init() != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) {
        return 1;
    }
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
