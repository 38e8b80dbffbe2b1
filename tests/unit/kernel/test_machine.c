// SPDX-License-Identifier: Apache-2.0
// The memory limit of a cgroup, of either version, as trees of files say it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel/machine.h"

static char folder[64], groups[96], mounts[96];

static int set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/nx-cgroup-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(groups, sizeof groups, "%s/self", folder);
    snprintf(mounts, sizeof mounts, "%s/mounts", folder);
    return mkdir(mounts, 0700);
}

static int tear_down(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command); // NOLINT(cert-env33-c): a name made above
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

// A file below the mounts, with the folders above it.
static void put(const char *name, const char *text) {
    char path[256];
    int len = snprintf(path, sizeof path, "%s/%s", mounts, name);
    for (char *slash = path + strlen(mounts) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    assert_true(len < (int)sizeof path);
    write_file(path, text);
}

static uint64_t limit(const char *self) {
    write_file(groups, self);
    return nx_machine_memory_limit_of(groups, mounts);
}

static void version_2(void **state) {
    (void)state;
    assert_int_equal(limit("0::/a/b\n"), 0); // nothing is mounted
    put("a/b/memory.max", "max\n");
    assert_int_equal(limit("0::/a/b\n"), 0);
    put("a/b/memory.max", "3000000\n");
    assert_int_equal(limit("0::/a/b\n"), 3000000);
    put("a/memory.max", "2000000\n"); // one above limits as well
    assert_int_equal(limit("0::/a/b\n"), 2000000);
    assert_int_equal(limit("0::/a/c/d\n"), 2000000); // not here: the host's name for it
    assert_int_equal(limit("0::/other\n"), 0);
    put("memory.max", "1000000\n"); // a container's own root
    assert_int_equal(limit("0::/\n"), 1000000);
    assert_int_equal(limit("0::/../../host\n"), 1000000);
}

static void version_1(void **state) {
    (void)state;
    const char *self = "9:name=systemd:/x\n4:cpu,memory:/docker/0123\n3:cpuset:/docker/0123\n";
    put("memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(limit(self), 0);
    put("memory/docker/0123/memory.limit_in_bytes", "5000000\n");
    assert_int_equal(limit(self), 5000000);
    assert_int_equal(limit("4:cpumemory:/docker/0123\n5:memory2,cpu:/docker/0123\n"), 0);
    assert_int_equal(limit("4:memory:/docker/0123"), 5000000); // without a line break
    put("memory/docker/memory.limit_in_bytes", "4000000\n");
    assert_int_equal(limit(self), 4000000);
}

static void both(void **state) {
    (void)state;
    put("memory/a/memory.limit_in_bytes", "5000000\n");
    put("b/memory.max", "6000000\n");
    assert_int_equal(limit("4:memory:/a\n0::/b\n"), 5000000);
    put("b/memory.max", "4000000\n");
    assert_int_equal(limit("4:memory:/a\n0::/b\n"), 4000000);
}

static void nonsense(void **state) {
    (void)state;
    static const char *const lines[] = {
        "", "\n\n", ":", "::", "0::", "0:", "0::a", "x\ny", "0::/a:b"};
    put("memory.max", "lots\n");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_int_equal(limit(lines[i]), 0);
    assert_int_equal(nx_machine_memory_limit_of("/no/such/file", mounts), 0);
}

static void this_machine(void **state) {
    (void)state;
    assert_true(nx_machine_cpus() >= 1);
    (void)nx_machine_memory_limit_mb(); // whatever it is
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(version_2), TEST(version_1), TEST(both), TEST(nonsense), TEST(this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
