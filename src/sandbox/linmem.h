// SPDX-License-Identifier: Apache-2.0
// One instance's linear memory: how it is mapped, and how it becomes pristine again.
//
// Mapping. 8 GiB of addresses are reserved without access, so that any 32-bit address plus any
// 32-bit offset lands inside the reservation. The first `limit_bytes` are accessible: the image's
// pages are a private mapping of a sealed memfd, everything else is anonymous memory.
//
// Reset. A page that the guest writes becomes private to the instance, at the cost of one fault;
// from then on writing it costs nothing, so the set D of private pages only grows. Restoring the
// pages of D restores the memory. D is known to be complete if the thread has taken no fault since
// D was last computed (its fault counter has not moved); otherwise D is computed anew from the page
// tables. So a handler that touches the same pages as the time before is reset by a handful of
// copies.
//
// Invariants
//   1. At rest, memory equals the base: image plus delta.
//   2. Every private page is in D, or `unknown` is set, or the fault counter has moved since
//      `faults_seen`.
#ifndef NX_SANDBOX_LINMEM_H
#define NX_SANDBOX_LINMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { NX_PAGE_BYTES = 4096, NX_WASM_PAGE_BYTES = 65536 };

struct nx_image {
    int fd;                  // sealed memfd
    const uint8_t *bytes;    // read-only mapping of it
    uint32_t first_page;     // of NX_PAGE_BYTES; the image holds [first_page, end_page)
    uint32_t end_page;       // everything outside is zero
    uint32_t wasm_pages;     // size of linear memory
    uint32_t stack_pointer;  // value of the wasm global
    uint32_t shared_address; // of struct nx_guest_shared
};

// A run of pages and where their pristine content is (NULL: zeros).
struct nx_page_run {
    uint32_t first_page, count;
    const uint8_t *content;
};

// The difference between a memory and its image.
struct nx_delta {
    struct nx_page_run *runs;
    uint32_t run_count;
    uint32_t wasm_pages;
    size_t bytes;
    uint8_t *content; // owned; what the runs point into
};

struct nx_linmem {
    uint8_t *base;
    size_t limit_bytes;
    const struct nx_image *image; // NULL while an image is being made
    const struct nx_delta *delta; // NULL: the plain image
    struct nx_page_run *runs;     // D, with the content to restore
    uint32_t run_count;
    bool unknown; // D may be incomplete
};

// How D is computed. AUTO picks the best that works; the others are for tests.
enum nx_scan_method { NX_SCAN_AUTO, NX_SCAN_IOCTL, NX_SCAN_PAGEMAP, NX_SCAN_NONE };

// Opens this process's view of its page tables. Once per process, after fork. Never fails: without
// it every reset drops all pages. Returns the method in force.
enum nx_scan_method nx_linmem_open_scanner(enum nx_scan_method method);

// Reserves and maps a memory. `image` may be NULL: all zeros. 0, NX_E_NOMEM or NX_E_IO.
int nx_linmem_create(struct nx_linmem *m, const struct nx_image *image, size_t limit_bytes,
                     struct nx_error *err);
void nx_linmem_destroy(struct nx_linmem *m);

// Makes the sealed image of the first `wasm_pages` of `m` (which has none itself).
int nx_image_create(struct nx_image *image, const struct nx_linmem *m, uint32_t wasm_pages,
                    struct nx_error *err);

// Restores the base by copying, scanning first where needed.
void nx_linmem_reset(struct nx_linmem *m);
// Restores the base without trusting any bookkeeping: drops every page.
void nx_linmem_drop(struct nx_linmem *m);

// Takes the difference from the image. 0; NX_E_NOMEM; NX_E_LIMIT over NX_MAX_SNAPSHOT_BYTES.
int nx_linmem_capture(struct nx_linmem *m, uint32_t wasm_pages, struct nx_delta *delta);
void nx_delta_free(struct nx_delta *delta);

// Makes image + delta (NULL: image) the base and restores it.
void nx_linmem_bind(struct nx_linmem *m, const struct nx_delta *delta);

#endif
