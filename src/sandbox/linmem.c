// SPDX-License-Identifier: Apache-2.0
// Linear memory: mapping and reset; see linmem.h for the method and its invariants. How the page
// tables are read is in pagescan.c.
#include "sandbox/linmem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"
#include "sandbox/engine.h"
#include "sandbox/pagescan.h"

struct nx_engine_counters nx_engine_counters;

static uint64_t faults_seen; // the thread's fault count when some D was last known complete

static const size_t reservation_bytes = (size_t)8 << 30;

static uint64_t fault_count(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
}

enum nx_scan_method nx_linmem_open_scanner(enum nx_scan_method method) {
    return nx_pagescan_open(method);
}

// Maps (or maps anew, dropping what is there) the accessible part.
static int map_content(struct nx_linmem *m) {
    const int rw = PROT_READ | PROT_WRITE;
    if (mmap(m->base, m->limit_bytes, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
             -1, 0) == MAP_FAILED) {
        return NX_E_NOMEM;
    }
    // Huge pages would make one write private to 2 MiB, and a reset copy as much.
    madvise(m->base, m->limit_bytes, MADV_NOHUGEPAGE);
    if (m->image == NULL) {
        return 0;
    }
    const size_t offset = (size_t)m->image->first_page * NX_PAGE_BYTES;
    const size_t bytes = (size_t)(m->image->end_page - m->image->first_page) * NX_PAGE_BYTES;
    if (mmap(m->base + offset, bytes, rw, MAP_PRIVATE | MAP_FIXED, m->image->fd, 0) == MAP_FAILED) {
        return NX_E_NOMEM;
    }
    return 0;
}

int nx_linmem_create(struct nx_linmem *m, const struct nx_image *image, size_t limit_bytes,
                     struct nx_error *err) {
    *m = (struct nx_linmem){.image = image, .limit_bytes = limit_bytes, .unknown = true};
    void *base = mmap(NULL, reservation_bytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return nx_error_errno(err, "cannot reserve 8 GiB of addresses for linear memory");
    }
    m->base = base;
    m->runs = calloc(NX_MAX_DIRTY_RUNS, sizeof(*m->runs));
    if (m->runs == NULL || map_content(m) != 0) {
        nx_linmem_destroy(m);
        return nx_error_set(err, NX_E_NOMEM, "cannot map linear memory");
    }
    return 0;
}

void nx_linmem_destroy(struct nx_linmem *m) {
    if (m->base != NULL) {
        munmap(m->base, reservation_bytes);
    }
    free(m->runs);
    *m = (struct nx_linmem){0};
}

static bool page_is_zero(const uint8_t *page) {
    uint64_t sum = 0;
    for (size_t i = 0; i < NX_PAGE_BYTES; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, page + i, sizeof(word));
        sum |= word;
    }
    return sum == 0;
}

int nx_image_create(struct nx_image *image, const struct nx_linmem *m, uint32_t wasm_pages,
                    struct nx_error *err) {
    uint32_t first = 0, end = wasm_pages * (NX_WASM_PAGE_BYTES / NX_PAGE_BYTES);
    while (first < end && page_is_zero(m->base + (size_t)first * NX_PAGE_BYTES)) {
        first++;
    }
    while (end > first && page_is_zero(m->base + (size_t)(end - 1) * NX_PAGE_BYTES)) {
        end--;
    }
    if (first == end) {
        return nx_error_set(err, NX_E_INVALID, "the memory to make an image of is empty");
    }
    const size_t bytes = (size_t)(end - first) * NX_PAGE_BYTES;
    const int fd = memfd_create("nexus-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) {
        return nx_error_errno(err, "cannot create the image");
    }
    void *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (copy == MAP_FAILED) {
        return nx_error_errno(err, "cannot map the image");
    }
    memcpy(copy, m->base + (size_t)first * NX_PAGE_BYTES, bytes);
    munmap(copy, bytes);
    // No worker can change what the others start from, not even through the descriptor.
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return nx_error_errno(err, "cannot seal the image");
    }
    // Private, though nobody writes to it: before Linux 6.7 a file sealed against writing cannot be
    // mapped shared at all, not even to be read. It is the same pages.
    void *view = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (view == MAP_FAILED) {
        return nx_error_errno(err, "cannot map the image");
    }
    *image = (struct nx_image){
        .fd = fd, .bytes = view, .first_page = first, .end_page = end, .wasm_pages = wasm_pages};
    return 0;
}

// ---- the page set

// Where the pristine content of `page` is, and in *count how many pages from there on lie together
// (at most what *count says).
static const uint8_t *pristine(const struct nx_linmem *m, uint32_t page, uint32_t *count) {
    if (m->delta != NULL) {
        for (uint32_t i = 0; i < m->delta->run_count; i++) {
            const struct nx_page_run *run = &m->delta->runs[i];
            if (page < run->first_page) { // up to the next page of the delta it is the image's
                *count = *count < run->first_page - page ? *count : run->first_page - page;
                break;
            }
            if (page < run->first_page + run->count) {
                const uint32_t left = run->first_page + run->count - page;
                *count = *count < left ? *count : left;
                return run->content + (size_t)(page - run->first_page) * NX_PAGE_BYTES;
            }
        }
    }
    const struct nx_image *image = m->image;
    if (image == NULL || page >= image->end_page) {
        return NULL;
    }
    if (page < image->first_page) {
        *count = *count < image->first_page - page ? *count : image->first_page - page;
        return NULL;
    }
    *count = *count < image->end_page - page ? *count : image->end_page - page;
    return image->bytes + (size_t)(page - image->first_page) * NX_PAGE_BYTES;
}

struct collect {
    struct nx_linmem *m;
    uint32_t pages;
    bool overflow;
};

static void collect_run(void *user, uint32_t first_page, uint32_t count) {
    struct collect *c = user;
    struct nx_linmem *m = c->m;
    c->pages += count;
    while (count > 0 && !c->overflow) {
        uint32_t part = count;
        const uint8_t *content = pristine(m, first_page, &part);
        if (m->run_count == NX_MAX_DIRTY_RUNS) {
            c->overflow = true;
            return;
        }
        m->runs[m->run_count++] = (struct nx_page_run){first_page, part, content};
        first_page += part;
        count -= part;
    }
}

// Computes D. False when it cannot be had, or is so large that dropping is better.
static bool scan(struct nx_linmem *m, uint32_t max_pages) {
    struct collect c = {.m = m};
    m->run_count = 0;
    if (nx_pagescan_private(m->base, m->limit_bytes, collect_run, &c) != 0) {
        return false;
    }
    return !c.overflow && c.pages <= max_pages;
}

static void restore(const struct nx_page_run *runs, uint32_t count, uint8_t *base) {
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *to = base + (size_t)runs[i].first_page * NX_PAGE_BYTES;
        const size_t bytes = (size_t)runs[i].count * NX_PAGE_BYTES;
        if (runs[i].content != NULL) {
            memcpy(to, runs[i].content, bytes);
        } else {
            memset(to, 0, bytes);
        }
    }
}

void nx_linmem_drop(struct nx_linmem *m) {
    nx_engine_counters.resets[NX_RESET_DROPPED]++;
    // Private pages of the image's part and anonymous pages alike go; the next access sees the
    // sealed image or zeros. A mapping that cannot be dropped must not be used again.
    if (madvise(m->base, m->limit_bytes, MADV_DONTNEED) != 0) {
        abort();
    }
    m->run_count = 0;
    m->unknown = true;
    if (m->delta != NULL) {
        restore(m->delta->runs, m->delta->run_count, m->base);
    }
}

static void reset(struct nx_linmem *m, uint32_t max_pages) {
    const uint64_t faults = fault_count();
    if (m->unknown || faults != faults_seen) {
        if (!scan(m, max_pages)) {
            nx_linmem_drop(m);
            return;
        }
        m->unknown = false;
        faults_seen = faults;
        nx_engine_counters.resets[NX_RESET_SCANNED]++;
    } else {
        nx_engine_counters.resets[NX_RESET_COPIED]++;
    }
    restore(m->runs, m->run_count, m->base);
}

void nx_linmem_reset(struct nx_linmem *m) {
    reset(m, NX_MAX_KEPT_PAGES);
}

void nx_linmem_bind(struct nx_linmem *m, const struct nx_delta *delta) {
    m->delta = delta;
    // A few pages that are private already stay so: a copy each, where dropping them would mean a
    // fault each. The delta's come first, so that the scan finds all of them private too.
    if (delta != NULL) {
        restore(delta->runs, delta->run_count, m->base);
    }
    m->unknown = true;
    reset(m, NX_MAX_REBOUND_PAGES);
}

// ---- deltas

int nx_linmem_capture(struct nx_linmem *m, uint32_t wasm_pages, struct nx_delta *delta) {
    *delta = (struct nx_delta){.wasm_pages = wasm_pages};
    struct collect c = {.m = m};
    m->run_count = 0;
    m->unknown = true; // the runs now describe the old base
    // Without a scanner every page of the memory is a candidate; equal ones are left out below.
    if (nx_pagescan_private(m->base, m->limit_bytes, collect_run, &c) != 0) {
        m->run_count = 0;
        collect_run(&c, 0, wasm_pages * (NX_WASM_PAGE_BYTES / NX_PAGE_BYTES));
    }
    if (c.overflow) {
        return NX_E_LIMIT;
    }
    delta->content = malloc(NX_MAX_SNAPSHOT_BYTES);
    delta->runs = calloc(NX_MAX_DIRTY_RUNS, sizeof(*delta->runs));
    int status = delta->content != NULL && delta->runs != NULL ? 0 : NX_E_NOMEM;
    for (uint32_t i = 0; status == 0 && i < m->run_count; i++) {
        for (uint32_t k = 0; status == 0 && k < m->runs[i].count; k++) {
            const uint32_t page = m->runs[i].first_page + k;
            const uint8_t *now = m->base + (size_t)page * NX_PAGE_BYTES;
            const uint8_t *old = m->runs[i].content;
            if (old != NULL ? memcmp(now, old + (size_t)k * NX_PAGE_BYTES, NX_PAGE_BYTES) == 0
                            : page_is_zero(now)) {
                continue;
            }
            if (delta->bytes + NX_PAGE_BYTES > NX_MAX_SNAPSHOT_BYTES ||
                delta->run_count == NX_MAX_DIRTY_RUNS) {
                status = NX_E_LIMIT;
                break;
            }
            uint8_t *kept = delta->content + delta->bytes;
            memcpy(kept, now, NX_PAGE_BYTES);
            delta->bytes += NX_PAGE_BYTES;
            struct nx_page_run *last =
                delta->run_count > 0 ? &delta->runs[delta->run_count - 1] : NULL;
            if (last != NULL && last->first_page + last->count == page) {
                last->count++;
            } else {
                delta->runs[delta->run_count++] = (struct nx_page_run){page, 1, kept};
            }
        }
    }
    if (status != 0) {
        nx_delta_free(delta);
        return status;
    }
    return 0;
}

void nx_delta_free(struct nx_delta *delta) {
    free(delta->content);
    free(delta->runs);
    *delta = (struct nx_delta){0};
}
