// SPDX-License-Identifier: Apache-2.0
// Two ways to ask for private pages: the PAGEMAP_SCAN ioctl (Linux 6.7) and, on older kernels,
// reading /proc/self/pagemap, whose flags an unprivileged process may see of itself. Both as
// described in the kernel's Documentation/admin-guide/mm/pagemap.rst.
#include "sandbox/pagescan.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"

// Also from <linux/fs.h> of Linux 6.7.
struct page_region {
    uint64_t start, end, categories;
};
enum {
    CATEGORY_FILE = 1 << 2, // page of the mapped file, not private
    CATEGORY_PRESENT = 1 << 3,
    CATEGORY_SWAPPED = 1 << 4,
    CATEGORY_PFNZERO = 1 << 5, // the shared zero page: read, never written
};

static int pagemap_fd = -1;
static enum nx_scan_method method_in_force = NX_SCAN_NONE;

static int scan_ioctl(const uint8_t *base, size_t bytes,
                      void (*run)(void *user, uint32_t first_page, uint32_t count), void *user) {
    struct page_region regions[64];
    struct nx_pm_scan_arg arg = {
        .size = sizeof(arg),
        .start = (uintptr_t)base,
        .end = (uintptr_t)base + bytes,
        .vec = (uintptr_t)regions,
        .vec_len = sizeof(regions) / sizeof(regions[0]),
        .category_inverted = CATEGORY_FILE | CATEGORY_PFNZERO,
        .category_mask = CATEGORY_FILE | CATEGORY_PFNZERO,
        .category_anyof_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED,
        .return_mask = CATEGORY_FILE, // the same for all, so that neighbours are one region
    };
    while (arg.start < arg.end) {
        const int found = ioctl(pagemap_fd, NX_PAGEMAP_SCAN, &arg);
        if (found < 0) {
            return NX_E_IO;
        }
        for (int i = 0; i < found; i++) {
            run(user, (uint32_t)((regions[i].start - (uintptr_t)base) / NX_PAGE_BYTES),
                (uint32_t)((regions[i].end - regions[i].start) / NX_PAGE_BYTES));
        }
        if (arg.walk_end <= arg.start) {
            return NX_E_IO; // no progress: a kernel that does not keep its contract
        }
        arg.start = arg.walk_end;
    }
    return 0;
}

static int scan_pagemap(const uint8_t *base, size_t bytes,
                        void (*run)(void *user, uint32_t first_page, uint32_t count), void *user) {
    const uint64_t present = 1ULL << 63, swapped = 1ULL << 62, file = 1ULL << 61;
    uint64_t entries[512];
    const size_t pages = bytes / NX_PAGE_BYTES;
    const size_t first = (uintptr_t)base / NX_PAGE_BYTES;
    size_t run_start = 0, run_len = 0;
    for (size_t at = 0; at < pages;) {
        const size_t want = pages - at < 512 ? pages - at : 512;
        const ssize_t got =
            pread(pagemap_fd, entries, want * sizeof(uint64_t), (off_t)((first + at) * 8));
        if (got <= 0) {
            return NX_E_IO;
        }
        const size_t count = (size_t)got / sizeof(uint64_t);
        for (size_t i = 0; i < count; i++) {
            if ((entries[i] & (present | swapped)) != 0 && (entries[i] & file) == 0) {
                run_start = run_len == 0 ? at + i : run_start;
                run_len++;
            } else if (run_len > 0) {
                run(user, (uint32_t)run_start, (uint32_t)run_len);
                run_len = 0;
            }
        }
        at += count;
    }
    if (run_len > 0) {
        run(user, (uint32_t)run_start, (uint32_t)run_len);
    }
    return 0;
}

static void ignore_run(void *user, uint32_t first_page, uint32_t count) {
    (void)user;
    (void)first_page;
    (void)count;
}

// Whether the method works here, tried on one page of our own.
static int try_method(enum nx_scan_method method) {
    static const uint8_t probe[2 * NX_PAGE_BYTES];
    const uint8_t *page =
        (const uint8_t *)(((uintptr_t)probe + NX_PAGE_BYTES - 1) & ~(uintptr_t)(NX_PAGE_BYTES - 1));
    return method == NX_SCAN_IOCTL ? scan_ioctl(page, NX_PAGE_BYTES, ignore_run, NULL)
                                   : scan_pagemap(page, NX_PAGE_BYTES, ignore_run, NULL);
}

enum nx_scan_method nx_pagescan_open(enum nx_scan_method method) {
    method_in_force = NX_SCAN_NONE;
    nx_fd_close(&pagemap_fd); // one inherited from the parent shows the parent's pages
    if (method == NX_SCAN_NONE) {
        return NX_SCAN_NONE;
    }
    pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap_fd < 0) {
        return NX_SCAN_NONE;
    }
    static const enum nx_scan_method order[] = {NX_SCAN_IOCTL, NX_SCAN_PAGEMAP};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if ((method == NX_SCAN_AUTO || method == order[i]) && try_method(order[i]) == 0) {
            method_in_force = order[i];
            break;
        }
    }
    return method_in_force;
}

int nx_pagescan_private(const uint8_t *base, size_t bytes,
                        void (*run)(void *user, uint32_t first_page, uint32_t count), void *user) {
    switch (method_in_force) {
    case NX_SCAN_IOCTL:
        return scan_ioctl(base, bytes, run, user);
    case NX_SCAN_PAGEMAP:
        return scan_pagemap(base, bytes, run, user);
    default:
        return NX_E_IO;
    }
}
