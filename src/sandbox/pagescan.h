// SPDX-License-Identifier: Apache-2.0
// Which pages of a mapping are private to this process (written since they were mapped), from the
// kernel's page tables.
#ifndef NX_SANDBOX_PAGESCAN_H
#define NX_SANDBOX_PAGESCAN_H

#include <stddef.h>
#include <stdint.h>

#include "sandbox/linmem.h"

// Opens /proc/self/pagemap and picks a method; see nx_linmem_open_scanner.
enum nx_scan_method nx_pagescan_open(enum nx_scan_method method);

// Calls `run` for every run of private pages in [base, base + bytes), in order of address, with
// page numbers relative to base. A page may be reported that is not private, never the reverse. 0,
// or NX_E_IO when it cannot be known.
int nx_pagescan_private(const uint8_t *base, size_t bytes,
                        void (*run)(void *user, uint32_t first_page, uint32_t count), void *user);

#endif
