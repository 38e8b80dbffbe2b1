// SPDX-License-Identifier: Apache-2.0
// CPUs from the affinity mask, memory from the cgroup: version 2, version 1, or both mounted.
#include "kernel/machine.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
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

// The number in `path`, or 0: no such file, or no limit.
static uint64_t read_limit(const char *path) {
    struct nx_buf text;
    uint64_t bytes = 0;
    if (nx_fd_read_file(path, MAX_CGROUP_BYTES, &text, NULL))
        return 0;
    if (text.len)
        bytes = strtoull(text.data, NULL, 10); // 0 for "max"
    nx_buf_free(&text);
    // Version 1 says "no limit" with a huge number.
    return bytes > INT64_MAX / 2 ? 0 : bytes;
}

// The least limit of `group` below `root` and of those above it: any of them limits. In a container
// `group` may be the host's name for it, which does not exist here; `root` is its own then.
static uint64_t least_upwards(const char *root, const char *group, const char *file) {
    char path[2 * PATH_MAX];
    uint64_t least = 0;
    for (size_t len = strlen(group);;) {
        snprintf(path, sizeof path, "%s%.*s/%s", root, (int)len, group, file);
        uint64_t bytes = read_limit(path);
        if (bytes && (least == 0 || bytes < least))
            least = bytes;
        if (len == 0)
            return least;
        while (--len > 0 && group[len] != '/') {
        }
    }
}

// Whether `name` is among the `len` bytes of a list separated by commas.
static bool lists(const char *list, size_t len, const char *name) {
    size_t name_len = strlen(name);
    for (size_t at = 0; at + name_len <= len; at++) {
        bool begins = at == 0 || list[at - 1] == ',';
        bool ends = at + name_len == len || list[at + name_len] == ',';
        if (begins && ends && memcmp(list + at, name, name_len) == 0)
            return true;
    }
    return false;
}

// The limit that one line of /proc/self/cgroup leads to: "0::/group" or "4:cpu,memory:/group".
static uint64_t limit_of_line(const char *line, size_t len, const char *mounts) {
    char group[PATH_MAX], root[PATH_MAX];
    const char *list = memchr(line, ':', len);
    const char *path = list ? memchr(list + 1, ':', len - (size_t)(list + 1 - line)) : NULL;
    size_t path_len = path ? len - (size_t)(path + 1 - line) : 0;
    if (!path || path_len == 0 || path_len >= sizeof group || path[1] != '/')
        return 0;
    list++;
    memcpy(group, path + 1, path_len);
    group[path_len] = '\0';
    if (path == list)
        return least_upwards(mounts, group, "memory.max");
    if (!lists(list, (size_t)(path - list), "memory"))
        return 0;
    snprintf(root, sizeof root, "%.1000s/memory", mounts);
    return least_upwards(root, group, "memory.limit_in_bytes");
}

uint64_t nx_machine_memory_limit_of(const char *groups, const char *mounts) {
    struct nx_buf text;
    uint64_t least = 0;
    if (nx_fd_read_file(groups, MAX_CGROUP_BYTES, &text, NULL))
        return 0;
    for (size_t at = 0; at < text.len;) {
        size_t len = strcspn(text.data + at, "\n");
        uint64_t bytes = limit_of_line(text.data + at, len, mounts);
        if (bytes && (least == 0 || bytes < least))
            least = bytes;
        at += len + 1;
    }
    nx_buf_free(&text);
    return least;
}

uint64_t nx_machine_memory_limit_mb(void) {
    uint64_t least = nx_machine_memory_limit_of("/proc/self/cgroup", "/sys/fs/cgroup");
    uint64_t mb = least / (1024 * 1024);
    return least && mb == 0 ? 1 : mb;
}
