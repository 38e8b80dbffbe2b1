// SPDX-License-Identifier: Apache-2.0
// How an instance became pristine again: counted by workers, told to the kernel.
#ifndef NX_SANDBOX_RESETS_H
#define NX_SANDBOX_RESETS_H

enum nx_reset_kind {
    NX_RESET_COPIED,  // the pages it was known to have written were copied back
    NX_RESET_SCANNED, // the same, after looking up which those are
    NX_RESET_DROPPED, // all its memory was dropped
    NX_RESET_KINDS,
};

#endif
