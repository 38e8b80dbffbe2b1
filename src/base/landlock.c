// SPDX-License-Identifier: Apache-2.0
// Landlock by its three system calls; there is no library for it.
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

// From <linux/landlock.h> of Linux 6.12.
struct ruleset_attributes {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
struct path_beneath {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));
enum { VERSION_FLAG = 1, RULE_PATH_BENEATH = 1 };
enum {
    FILE_RIGHTS =
        NX_LANDLOCK_EXECUTE | NX_LANDLOCK_WRITE_FILE | NX_LANDLOCK_READ_FILE | NX_LANDLOCK_TRUNCATE
};

int nx_landlock_version(void) {
    const long version = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);
    return version > 0 ? (int)version : 0;
}

// What somebody in between (a container's filter) answers in place of the system is as if it had
// no Landlock.
static int fail(const char *what, struct nx_error *err) {
    const bool absent = errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM;
    const int status = nx_error_errno(err, "%s", what);
    if (absent && err != NULL) {
        err->code = NX_E_NOTFOUND;
    }
    return absent ? NX_E_NOTFOUND : status;
}

// How many rights to files each version of the interface knows; they are bits from 0 on.
static unsigned right_count(int version) {
    return version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
}

int nx_landlock_begin(struct nx_landlock *out, unsigned ports, unsigned scoped,
                      struct nx_error *err) {
    const int version = nx_landlock_version();
    *out = (struct nx_landlock){.ruleset = -1};
    if (version == 0) {
        return nx_error_set(err, NX_E_NOTFOUND, "the system has no Landlock");
    }
    const struct ruleset_attributes attributes = {
        .handled_access_fs = (1ULL << right_count(version)) - 1,
        .handled_access_net = version >= 4 ? ports : 0,
        .scoped = version >= 6 ? scoped : 0,
    };
    out->files = attributes.handled_access_fs;
    out->ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    return out->ruleset >= 0 ? 0 : fail("cannot make Landlock rules", err);
}

int nx_landlock_allow(const struct nx_landlock *landlock, const char *path, unsigned rights,
                      struct nx_error *err) {
    NX_CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES)) {
        return nx_error_set(err, NX_E_NOTFOUND, "%s: not there", path);
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        return nx_error_errno(err, "%s", path);
    }
    struct path_beneath rule = {.allowed_access = rights & landlock->files, .parent_fd = fd};
    if (!S_ISDIR(st.st_mode)) {
        rule.allowed_access &= FILE_RIGHTS;
    }
    return syscall(SYS_landlock_add_rule, landlock->ruleset, RULE_PATH_BENEATH, &rule, 0) == 0
               ? 0
               : nx_error_errno(err, "cannot make a Landlock rule for %s", path);
}

int nx_landlock_enter(struct nx_landlock *landlock, struct nx_error *err) {
    const int status = syscall(SYS_landlock_restrict_self, landlock->ruleset, 0) == 0
                           ? 0
                           : fail("cannot put the Landlock rules in force", err);
    nx_landlock_drop(landlock);
    return status;
}

void nx_landlock_drop(struct nx_landlock *landlock) {
    nx_fd_close(&landlock->ruleset);
}
