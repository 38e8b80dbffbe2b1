// SPDX-License-Identifier: Apache-2.0
// Files of the disk cache. Nothing is flushed to the medium: a file torn by a power cut has a wrong
// tag, and is as good as none.
#include "kernel/cache_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/limits.h"
#include "kernel/cache_entry.h"

#define SUFFIX      ".nxc"
#define TEMP_PREFIX "tmp-"

enum {
    HEX_BYTES = 2 * NX_CODE_ID_BYTES,
    NAME_BYTES = HEX_BYTES + sizeof SUFFIX,
    TEMP_RANDOM_BYTES = 8,
    TEMP_NAME_BYTES = sizeof TEMP_PREFIX + 2 * TEMP_RANDOM_BYTES,
    // Sweeping down to 7/8 leaves room to write for a while; sweeping after writing 1/8 keeps count
    // of what other processes write.
    SWEEP_SHARE = 8,
};

// ---- Names

static char *put_hex(char *to, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        *to++ = "0123456789abcdef"[bytes[i] >> 4];
        *to++ = "0123456789abcdef"[bytes[i] & 15];
    }
    return to;
}

static void file_name(const uint8_t *id, char name[NAME_BYTES]) {
    memcpy(put_hex(name, id, NX_CODE_ID_BYTES), SUFFIX, sizeof SUFFIX);
}

static bool temp_name(char name[TEMP_NAME_BYTES]) {
    uint8_t bytes[TEMP_RANDOM_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    memcpy(name, TEMP_PREFIX, sizeof TEMP_PREFIX - 1);
    *put_hex(name + sizeof TEMP_PREFIX - 1, bytes, sizeof bytes) = '\0';
    return true;
}

static bool is_file_name(const char *name) {
    return strspn(name, "0123456789abcdef") == HEX_BYTES && strcmp(name + HEX_BYTES, SUFFIX) == 0;
}

static bool is_temp_name(const char *name) {
    size_t prefix = sizeof TEMP_PREFIX - 1;
    return strncmp(name, TEMP_PREFIX, prefix) == 0 && strlen(name) == TEMP_NAME_BYTES - 1 &&
           strspn(name + prefix, "0123456789abcdef") == TEMP_NAME_BYTES - 1 - prefix;
}

static size_t blocks_of(uintmax_t len) {
    uintmax_t blocks = len / NX_CACHE_BLOCK_BYTES + (len % NX_CACHE_BLOCK_BYTES != 0);
    return (size_t)(blocks ? blocks : 1) * NX_CACHE_BLOCK_BYTES;
}

// ---- Opening

static const char *why_not_ours(const struct stat *st) {
    if (st->st_uid != geteuid())
        return "belongs to another user";
    return st->st_mode & (S_IWGRP | S_IWOTH) ? "others may write to it" : NULL;
}

// What somebody has to put right, as opposed to a disk that does not work just now.
static int open_failed(const char *path, int error, struct nx_error *err) {
    errno = error;
    nx_error_errno(err, "%s", path);
    switch (error) {
    case ENOTDIR: // O_DIRECTORY says so of links as well
    case ELOOP:
        return nx_error_set(err, NX_E_INVALID, "%s: is not a directory, or a link to one", path);
    case EACCES:
    case ENOENT:
    case ENAMETOOLONG:
        return err ? err->code = NX_E_INVALID : NX_E_INVALID;
    default:
        return NX_E_IO;
    }
}

static int open_path(const char *path, struct nx_error *err) {
    int error = mkdir(path, 0700) ? errno : 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    // Not there although it was to be made: what kept it from being made is what counts.
    return open_failed(path, errno == ENOENT && error ? error : errno, err);
}

int nx_cache_dir_open(struct nx_cache_dir *dir, const char *path, size_t max_bytes,
                      struct nx_error *err) {
    struct stat st;
    struct statvfs fs;
    *dir = (struct nx_cache_dir){.fd = -1, .max_bytes = max_bytes};
    // Looked at through the descriptor that all further calls use: what was checked is what is
    // used.
    NX_CLEANUP_FD int fd = open_path(path, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) || fstatvfs(fd, &fs))
        return nx_error_errno(err, "%s", path);
    const char *fault = why_not_ours(&st);
    if (fault)
        return nx_error_set(err, NX_E_INVALID, "%s: %s", path, fault);
    // A small file system (a tmpfs) should not have to be full before old files go.
    uintmax_t whole = (uintmax_t)fs.f_blocks * fs.f_frsize;
    uintmax_t most = whole - whole / SWEEP_SHARE;
    if (whole && most < dir->max_bytes)
        dir->max_bytes = (size_t)most;
    dir->fd = nx_fd_take(&fd);
    return 0;
}

void nx_cache_dir_close(struct nx_cache_dir *dir) {
    nx_fd_close(&dir->fd);
}

// ---- Reading

// A file with our name that may be read: without waiting for it, and without following it.
static int open_entry(const struct nx_cache_dir *dir, const uint8_t *id, size_t max_bytes,
                      size_t *len, struct nx_error *err) {
    char name[NAME_BYTES];
    struct stat st;
    file_name(id, name);
    NX_CLEANUP_FD int fd =
        openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return nx_error_set(err, NX_E_NOTFOUND, "%s: not there", name);
    if (fd < 0 && (errno == ELOOP || errno == ENXIO)) // a link; a socket
        return nx_error_set(err, NX_E_INVALID, "%s: not a regular file", name);
    if (fd < 0 || fstat(fd, &st))
        return nx_error_errno(err, "%s", name);
    if (!S_ISREG(st.st_mode))
        return nx_error_set(err, NX_E_INVALID, "%s: not a regular file", name);
    const char *fault = why_not_ours(&st);
    if (fault)
        return nx_error_set(err, NX_E_INVALID, "%s: %s", name, fault);
    if (st.st_size <= 0 || (uintmax_t)st.st_size > max_bytes)
        return nx_error_set(err, NX_E_INVALID, "%s: its size is not that of an entry", name);
    *len = (size_t)st.st_size;
    return nx_fd_take(&fd);
}

int nx_cache_dir_read(const struct nx_cache_dir *dir, const uint8_t id[NX_CODE_ID_BYTES],
                      struct nx_buf *out, struct nx_error *err) {
    size_t len = 0;
    NX_CLEANUP_FD int fd = open_entry(dir, id, out->max_bytes - out->len, &len, err);
    if (fd < 0)
        return fd;
    char *to = nx_buf_reserve(out, len);
    if (!to)
        return nx_error_set(err, out->failed, "out of memory");
    int rc = nx_fd_read_all(fd, to, len);
    if (rc == NX_E_CLOSED)
        return nx_error_set(err, NX_E_INVALID, "it shrank while it was read");
    if (rc)
        return nx_error_errno(err, "read");
    out->len += len;
    // What is used stays. On a file system that takes no writes it need not.
    (void)futimens(fd, NULL);
    return 0;
}

// ---- Sweeping

struct found {
    int64_t used_ns; // by the time of its last change, which reading sets too
    size_t bytes;
    char name[NAME_BYTES];
};

struct sweep {
    struct found *files; // owned
    size_t count, capacity;
    size_t bytes;
    bool cut; // there were more than may be counted
};

static bool add_found(struct sweep *s, const char *name, const struct stat *st) {
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 256;
        struct found *files = realloc(s->files, capacity * sizeof *files);
        if (!files)
            return false;
        s->files = files;
        s->capacity = capacity;
    }
    struct found *f = &s->files[s->count++];
    f->used_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    f->bytes = blocks_of((uintmax_t)st->st_size);
    memcpy(f->name, name, NAME_BYTES);
    s->bytes += f->bytes;
    return true;
}

// False: no memory. Links and FIFOs that have names of ours are left for the next write to replace.
static bool look_at(struct nx_cache_dir *dir, struct sweep *s, const char *name, int64_t now_ms) {
    struct stat st;
    bool temp = is_temp_name(name);
    if (!temp && !is_file_name(name))
        return true;
    if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return true;
    if (!temp && st.st_size <= NX_CACHE_ENTRY_OVERHEAD_BYTES + NX_MAX_BYTECODE_BYTES)
        return add_found(s, name, &st);
    // What cannot be an entry must not push out others by its size.
    if (!temp || now_ms - st.st_mtim.tv_sec * 1000 > NX_CACHE_TEMP_AGE_MS)
        (void)unlinkat(dir->fd, name, 0);
    return true;
}

static int scan(struct nx_cache_dir *dir, struct sweep *s, struct nx_error *err) {
    // A descriptor of its own: the position in the directory belongs to it.
    int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        nx_fd_close(&fd);
        return nx_error_errno(err, "reading the directory");
    }
    const int64_t now_ms = nx_clock_wall_ms();
    struct dirent *entry;
    bool room = true;
    int seen = 0;
    while (room && s->count < NX_MAX_CACHE_FILES && seen < NX_MAX_CACHE_SCAN &&
           (entry = readdir(stream))) {
        seen++;
        room = look_at(dir, s, entry->d_name, now_ms);
    }
    s->cut = s->count == NX_MAX_CACHE_FILES;
    closedir(stream);
    return room ? 0 : nx_error_set(err, NX_E_NOMEM, "out of memory");
}

static int by_use(const void *a, const void *b) {
    const struct found *x = a, *y = b;
    return (x->used_ns > y->used_ns) - (x->used_ns < y->used_ns);
}

int nx_cache_dir_sweep(struct nx_cache_dir *dir, size_t most_bytes, struct nx_error *err) {
    struct sweep s = {0};
    int rc = scan(dir, &s, err);
    size_t keep_files = s.cut ? NX_MAX_CACHE_FILES - NX_MAX_CACHE_FILES / SWEEP_SHARE : s.count;
    if (rc == 0 && (s.bytes > most_bytes || s.count > keep_files))
        qsort(s.files, s.count, sizeof s.files[0], by_use);
    for (size_t i = 0; rc == 0 && i < s.count; i++) {
        if (s.bytes <= most_bytes && s.count - i <= keep_files)
            break;
        // One that another process has removed is gone all the same.
        if (unlinkat(dir->fd, s.files[i].name, 0) && errno != ENOENT)
            rc = nx_error_errno(err, "removing %s", s.files[i].name);
        else
            s.bytes -= s.files[i].bytes;
    }
    free(s.files);
    dir->bytes = s.bytes;
    dir->written = 0;
    return rc;
}

// ---- Writing

static int make_room(struct nx_cache_dir *dir, size_t bytes, struct nx_error *err) {
    if (bytes > dir->max_bytes)
        return nx_error_set(err, NX_E_LIMIT, "larger than the cache may be");
    bool full = dir->bytes > dir->max_bytes - bytes;
    if (!full && dir->written <= dir->max_bytes / SWEEP_SHARE)
        return 0;
    size_t most = dir->max_bytes - bytes;
    if (full && most > dir->max_bytes / SWEEP_SHARE)
        most -= dir->max_bytes / SWEEP_SHARE;
    return nx_cache_dir_sweep(dir, most, err);
}

static int write_temp(const struct nx_cache_dir *dir, const char *temp, struct nx_span file) {
    int fd = openat(dir->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return NX_E_IO;
    if (nx_fd_write_all(fd, file.data, file.len)) {
        nx_fd_close(&fd); // keeps errno
        return NX_E_IO;
    }
    // Some file systems say only here that there was no room.
    return close(fd) ? NX_E_IO : 0;
}

int nx_cache_dir_write(struct nx_cache_dir *dir, const uint8_t id[NX_CODE_ID_BYTES],
                       struct nx_span file, struct nx_error *err) {
    char name[NAME_BYTES], temp[TEMP_NAME_BYTES];
    size_t bytes = blocks_of(file.len);
    int rc = make_room(dir, bytes, err);
    if (rc)
        return rc;
    if (!temp_name(temp))
        return nx_error_errno(err, "getrandom");
    file_name(id, name);
    if (write_temp(dir, temp, file) || renameat(dir->fd, temp, dir->fd, name)) {
        nx_error_errno(err, "writing %s", name);
        (void)unlinkat(dir->fd, temp, 0);
        return NX_E_IO;
    }
    dir->bytes += bytes;
    dir->written += bytes;
    return 0;
}
