// SPDX-License-Identifier: Apache-2.0
// Which pages of a mapping are private to this process (written since they were mapped), from the
// kernel's page tables.
#ifndef NX_SANDBOX_PAGESCAN_H
#define NX_SANDBOX_PAGESCAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "sandbox/linmem.h"

// From <linux/fs.h> of Linux 6.7; the headers of Debian 12 are older than that.
struct nx_pm_scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define NX_PAGEMAP_SCAN _IOWR('f', 16, struct nx_pm_scan_arg)

// Opens /proc/self/pagemap and picks a method; see nx_linmem_open_scanner.
enum nx_scan_method nx_pagescan_open(enum nx_scan_method method);

// Calls `run` for every run of private pages in [base, base + bytes), in order of address, with
// page numbers relative to base. A page may be reported that is not private, never the reverse. 0,
// or NX_E_IO when it cannot be known.
int nx_pagescan_private(const uint8_t *base, size_t bytes,
                        void (*run)(void *user, uint32_t first_page, uint32_t count), void *user);

#endif
