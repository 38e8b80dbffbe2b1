// SPDX-License-Identifier: Apache-2.0
// Which files the server may still open. A rule of Landlock is about the file or folder that is
// there when it is made, and all below it.
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/landlock.h"
#include "base/privileges.h"
#include "kernel/lockdown.h"

// Not an error: what is not there cannot be opened either.
static int allow_if_there(const struct nx_landlock *l, const char *path, unsigned rights,
                          struct nx_error *err) {
    const int status = nx_landlock_allow(l, path, rights, err);
    return status == NX_E_NOTFOUND ? 0 : status;
}

// Folders that hold much more than somebody means who names one file in them.
static bool is_shared(const char *folder) {
    static const char *const names[] = {"/",    "/etc", "/home", "/root", "/run", "/srv",
                                        "/tmp", "/usr", "/var",  "/opt",  "/proc"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(folder, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int allow_folder_of(const struct nx_landlock *l, const char *path, struct nx_error *err) {
    char folder[PATH_MAX], real[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t len = slash != NULL ? (size_t)(slash - path) + (slash == path) : 0;
    if (len >= sizeof(folder)) {
        return 0;
    }
    memcpy(folder, path, len);
    folder[len] = '\0';
    if (realpath(len != 0 ? folder : ".", real) == NULL || is_shared(real)) {
        return 0;
    }
    return allow_if_there(l, real, NX_LANDLOCK_READ_FILE, err);
}

// A file that is opened again later and is often replaced by another under its name, as editors,
// ConfigMaps (a symbolic link that changes) and network managers do: that means its folder, and the
// folder it really lies in. In a folder for everything it means the file that is there alone.
static int allow_replaceable(const struct nx_landlock *l, const char *path, struct nx_error *err) {
    char real[PATH_MAX];
    if (path == NULL) {
        return 0;
    }
    int status = allow_if_there(l, path, NX_LANDLOCK_READ_FILE, err);
    if (status == 0) {
        status = allow_folder_of(l, path, err);
    }
    if (status == 0 && realpath(path, real) != NULL) {
        status = allow_folder_of(l, real, err);
    }
    return status;
}

// What the C library reads to find a host's address, and OpenSSL to judge a certificate.
static int allow_http_client(const struct nx_landlock *l, const char *ca_file,
                             struct nx_error *err) {
    static const char *const files[] = {"/etc/hosts",     "/etc/nsswitch.conf",
                                        "/etc/host.conf", "/etc/gai.conf",
                                        "/etc/services",  "/etc/ssl/openssl.cnf"};
    static const char *const folders[] = {"/etc/ssl/certs", "/usr/share/ca-certificates",
                                          "/usr/local/share/ca-certificates"};
    int status = allow_replaceable(l, "/etc/resolv.conf", err);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && status == 0; i++) {
        status = allow_if_there(l, files[i], NX_LANDLOCK_READ_FILE, err);
    }
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && status == 0; i++) {
        status = allow_if_there(l, folders[i], NX_LANDLOCK_READ_FILE, err);
    }
    return status == 0 ? allow_replaceable(l, ca_file, err) : status;
}

static int allow_all(const struct nx_landlock *l, const struct nx_lockdown_needs *needs,
                     struct nx_error *err) {
    // Figures of workers and its own. What /proc shows of another process beyond its name and
    // counters takes the right to trace it, and Landlock limits that to its own domain.
    int status = nx_landlock_allow(l, "/proc", NX_LANDLOCK_READ_FILE, err);
    if (status == 0 && needs->panels_dir != NULL) {
        status = nx_landlock_allow(l, needs->panels_dir, NX_LANDLOCK_READ, err);
    }
    // A cache that does not work just now is no reason not to serve.
    if (status == 0 && needs->cache_dir != NULL) {
        status = allow_if_there(l, needs->cache_dir, NX_LANDLOCK_CHANGE, err);
    }
    for (size_t i = 0; i < sizeof(needs->reread) / sizeof(needs->reread[0]) && status == 0; i++) {
        status = allow_replaceable(l, needs->reread[i], err);
    }
    if (status == 0 && needs->http_client) {
        status = allow_http_client(l, needs->ca_file, err);
    }
    return status;
}

// No right to execute is given, not even nexus-sandbox: the launcher does that. Addresses are bound
// by now. Where a handler's request may lead is judged by address (ext/egress.h), which says more
// than ports do: with the http extension no port is ruled out here. Signals are not limited to the
// domain, because workers, which get them, are outside of it; the filter leaves no way to send one
// to anybody else.
int nx_lockdown_files(const struct nx_lockdown_needs *needs, struct nx_error *err) {
    struct nx_landlock landlock;
    const unsigned ports = NX_LANDLOCK_BIND | (needs->http_client ? 0 : NX_LANDLOCK_CONNECT);
    if (NX_SANITIZED) { // see privileges.h
        return nx_error_set(err, NX_E_NOTFOUND, "not in a build with sanitizers");
    }
    int status = nx_landlock_begin(&landlock, ports, NX_LANDLOCK_SOCKETS, err);
    if (status != 0) {
        return status;
    }
    status = allow_all(&landlock, needs, err);
    if (status != 0) {
        nx_landlock_drop(&landlock);
        return status == NX_E_NOTFOUND ? NX_E_IO : status;
    }
    return nx_landlock_enter(&landlock, err);
}
