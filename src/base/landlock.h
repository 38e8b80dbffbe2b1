// SPDX-License-Identifier: Apache-2.0
// Landlock: a process takes from itself the access to files, ports and sockets that it does not
// need. First the rules, then nx_landlock_enter. Whoever enters cannot leave, nor can what it
// forks or executes. The interface is versioned; what the running kernel does not know is not
// restricted.
#ifndef NX_BASE_LANDLOCK_H
#define NX_BASE_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

// Rights to files and folders, from <linux/landlock.h> of Linux 6.12: Debian 12's headers know
// fewer.
enum nx_landlock_right {
    NX_LANDLOCK_EXECUTE = 1 << 0,
    NX_LANDLOCK_WRITE_FILE = 1 << 1,
    NX_LANDLOCK_READ_FILE = 1 << 2,
    NX_LANDLOCK_READ_DIR = 1 << 3,
    NX_LANDLOCK_REMOVE_DIR = 1 << 4,
    NX_LANDLOCK_REMOVE_FILE = 1 << 5,
    NX_LANDLOCK_MAKE_DIR = 1 << 7,
    NX_LANDLOCK_MAKE_REG = 1 << 8,
    NX_LANDLOCK_REFER = 1 << 13,    // version 2: to move between folders
    NX_LANDLOCK_TRUNCATE = 1 << 14, // version 3
};
enum {
    NX_LANDLOCK_READ = NX_LANDLOCK_READ_FILE | NX_LANDLOCK_READ_DIR,
    NX_LANDLOCK_CHANGE = NX_LANDLOCK_READ | NX_LANDLOCK_WRITE_FILE | NX_LANDLOCK_REMOVE_DIR |
                         NX_LANDLOCK_REMOVE_FILE | NX_LANDLOCK_MAKE_DIR | NX_LANDLOCK_MAKE_REG |
                         NX_LANDLOCK_REFER | NX_LANDLOCK_TRUNCATE,
};

// TCP ports, version 4.
enum { NX_LANDLOCK_BIND = 1 << 0, NX_LANDLOCK_CONNECT = 1 << 1 };
// What lies outside of the domain, version 6: abstract sockets, and processes to signal.
enum { NX_LANDLOCK_SOCKETS = 1 << 0, NX_LANDLOCK_SIGNALS = 1 << 1 };

struct nx_landlock {
    int ruleset;    // -1: none
    uint64_t files; // handled rights
};

// The version that the running kernel has; 0: no Landlock.
int nx_landlock_version(void);

// Begins rules that deny every right to files that the kernel knows, and of `ports` and `scoped`
// what it knows. Ended by nx_landlock_enter or nx_landlock_drop. NX_E_NOTFOUND: there is no
// Landlock; NX_E_IO.
int nx_landlock_begin(struct nx_landlock *out, unsigned ports, unsigned scoped,
                      struct nx_error *err);

// Allows `rights` on `path`, or on everything below it if it is a folder. Rights that make no
// sense for a file are left out for one. The rule is about what is there now: what takes the
// path's place later is not meant by it. NX_E_NOTFOUND: nothing is there; NX_E_IO.
int nx_landlock_allow(const struct nx_landlock *landlock, const char *path, unsigned rights,
                      struct nx_error *err);

// Puts the rules in force for the calling thread and what it starts. Needs no_new_privs. Errors
// as of nx_landlock_begin. Ends `landlock` either way.
int nx_landlock_enter(struct nx_landlock *landlock, struct nx_error *err);
void nx_landlock_drop(struct nx_landlock *landlock);

#endif
