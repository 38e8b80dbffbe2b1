// SPDX-License-Identifier: Apache-2.0
// CPUs from the affinity mask, memory from the cgroup (version 2, and 1's common place).
#include "kernel/machine.h"

#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

enum { MAX_CGROUP_BYTES = 16384 };

uint32_t nx_machine_cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set))
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

// The number in `path`, or 0: no such file, or "max".
static uint64_t read_limit(const char *path) {
    struct nx_buf text;
    uint64_t bytes = 0;
    if (nx_fd_read_file(path, MAX_CGROUP_BYTES, &text, NULL))
        return 0;
    if (text.len)
        bytes = strtoull(text.data, NULL, 10);
    nx_buf_free(&text);
    return bytes;
}

// This process's path in the unified hierarchy: the line "0::/path". Empty in `out` if unknown.
static void own_cgroup(char out[PATH_MAX]) {
    struct nx_buf text;
    out[0] = '\0';
    if (nx_fd_read_file("/proc/self/cgroup", MAX_CGROUP_BYTES, &text, NULL))
        return;
    const char *line = text.len ? strstr(text.data, "0::/") : NULL;
    if (line && (line == text.data || line[-1] == '\n')) {
        size_t len = strcspn(line + 3, "\n");
        if (len < PATH_MAX) {
            memcpy(out, line + 3, len);
            out[len] = '\0';
        }
    }
    nx_buf_free(&text);
}

uint64_t nx_machine_memory_limit_mb(void) {
    char group[PATH_MAX], path[PATH_MAX + 64];
    // Version 1 says "no limit" with a huge number.
    uint64_t least = read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    if (least > INT64_MAX / 2)
        least = 0;
    own_cgroup(group);
    // Upwards to the root: any of them limits. In a container the root is the container's own.
    for (size_t len = strlen(group);; len--) {
        group[len] = '\0';
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
        uint64_t bytes = read_limit(path);
        if (bytes && (least == 0 || bytes < least))
            least = bytes;
        while (len > 0 && group[len - 1] != '/')
            len--;
        if (len == 0)
            break;
    }
    uint64_t mb = least / (1024 * 1024);
    return least && mb == 0 ? 1 : mb;
}
