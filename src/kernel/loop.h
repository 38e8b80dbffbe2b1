// SPDX-License-Identifier: Apache-2.0
// What libuv needs to be told so that memory running out does not end the process: it calls abort()
// where its table of watched descriptors cannot grow (uv__io_start, maybe_resize), and where it
// cannot have the few descriptors it lives on (uv__signal_global_init).
#ifndef NX_KERNEL_LOOP_H
#define NX_KERNEL_LOOP_H

#include <stdint.h>
#include <uv.h>

#include "base/error.h"

// To be called once, before anything of libuv's, which gets memory through functions of ours from
// then on: where it would abort, the process says that memory ran out and exits with NX_EXIT_FAULT.
// NX_E_IO: too few descriptors are left for libuv to set itself up.
int nx_loop_prepare(struct nx_error *err);

// Makes the loop's table large enough for descriptors below `count`, so that it never grows while
// the server runs. No more descriptors than the process may have are asked for.
// Errors: NX_E_IO. Memory running out ends the process, as above.
int nx_loop_reserve(uv_loop_t *loop, uint32_t count, struct nx_error *err);

#endif
