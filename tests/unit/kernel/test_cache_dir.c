// SPDX-License-Identifier: Apache-2.0
// The directory of the disk cache, on a real file system: what is trusted, what goes first.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "kernel/cache_dir.h"

enum { ROOM = 1 << 20, MAX_FILE = 1 << 16 };

static char folder[64];

static uint8_t *id_of(unsigned n) {
    static uint8_t ids[4][NX_CODE_ID_BYTES];
    static unsigned next;
    uint8_t *id = ids[next++ % 4];
    memset(id, 0, NX_CODE_ID_BYTES);
    memcpy(id, &n, sizeof n);
    return id;
}

// Where the file of `n` is; static.
static const char *path_of(unsigned n) {
    static char path[256];
    int len = snprintf(path, sizeof path, "%s/", folder);
    const uint8_t *id = id_of(n);
    for (int i = 0; i < NX_CODE_ID_BYTES; i++)
        len += snprintf(path + len, sizeof path - (size_t)len, "%02x", id[i]);
    snprintf(path + len, sizeof path - (size_t)len, ".nxc");
    return path;
}

static int set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/nx-cache-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command); // NOLINT(cert-env33-c): a name made above
}

static struct nx_cache_dir open_dir(size_t max_bytes) {
    struct nx_cache_dir dir;
    struct nx_error err = {0};
    if (nx_cache_dir_open(&dir, folder, max_bytes, &err))
        fail_msg("%s", err.message);
    return dir;
}

static int write_one(struct nx_cache_dir *dir, unsigned n, size_t len) {
    char *text = malloc(len);
    assert_non_null(text);
    memset(text, 'a' + (int)(n % 26), len);
    int rc = nx_cache_dir_write(dir, id_of(n), nx_span_of(text, len), NULL);
    free(text);
    return rc;
}

// 0 only if what comes back is what write_one wrote.
static int read_one(const struct nx_cache_dir *dir, unsigned n, struct nx_error *err) {
    struct nx_buf out;
    nx_buf_init(&out, MAX_FILE);
    int rc = nx_cache_dir_read(dir, id_of(n), &out, err);
    for (size_t i = 0; rc == 0 && i < out.len; i++)
        assert_int_equal(out.data[i], 'a' + (int)(n % 26));
    nx_buf_free(&out);
    return rc;
}

static unsigned count_files(void) {
    DIR *stream = opendir(folder);
    unsigned count = 0;
    assert_non_null(stream);
    for (struct dirent *e; (e = readdir(stream));)
        count += e->d_name[0] != '.';
    closedir(stream);
    return count;
}

static void set_age(const char *path, long seconds) {
    struct timespec now, times[2];
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec -= seconds;
    times[0] = times[1] = now;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

// ---- Reading and writing

static void what_is_written_is_read(void **state) {
    (void)state;
    struct nx_cache_dir dir = open_dir(ROOM);
    struct stat st;
    assert_int_equal(read_one(&dir, 1, NULL), NX_E_NOTFOUND);
    assert_int_equal(write_one(&dir, 1, 5000), 0);
    assert_int_equal(read_one(&dir, 1, NULL), 0);
    assert_int_equal(read_one(&dir, 2, NULL), NX_E_NOTFOUND);
    assert_int_equal(count_files(), 1); // nothing unfinished
    assert_int_equal(stat(path_of(1), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 5000);
    assert_int_equal(dir.bytes, 2 * NX_CACHE_BLOCK_BYTES);
    nx_cache_dir_close(&dir);
}

static void reading_marks_as_used(void **state) {
    (void)state;
    struct nx_cache_dir dir = open_dir(ROOM);
    struct stat before, after;
    assert_int_equal(write_one(&dir, 1, 10), 0);
    set_age(path_of(1), 3600);
    assert_int_equal(stat(path_of(1), &before), 0);
    assert_int_equal(read_one(&dir, 1, NULL), 0);
    assert_int_equal(stat(path_of(1), &after), 0);
    assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec + 3500);
    nx_cache_dir_close(&dir);
}

static void two_share_one_directory(void **state) {
    (void)state;
    struct nx_cache_dir one = open_dir(ROOM), two = open_dir(ROOM);
    assert_int_equal(write_one(&one, 1, 100), 0);
    assert_int_equal(read_one(&two, 1, NULL), 0);
    assert_int_equal(write_one(&two, 1, 200), 0);
    assert_int_equal(write_one(&one, 1, 300), 0);
    assert_int_equal(read_one(&two, 1, NULL), 0);
    assert_int_equal(count_files(), 1);
    nx_cache_dir_close(&one);
    nx_cache_dir_close(&two);
}

// ---- What is not trusted

// Refused as it is, replaced by the next write, read again then.
static void refused_and_replaced(const char *why) {
    struct nx_cache_dir dir = open_dir(ROOM);
    struct nx_error err = {0};
    int rc = read_one(&dir, 1, &err);
    if (rc != NX_E_INVALID || !strstr(err.message, why))
        fail_msg("%d, '%s', not '%s'", rc, err.message, why);
    assert_int_equal(write_one(&dir, 1, 100), 0);
    assert_int_equal(read_one(&dir, 1, &err), 0);
    nx_cache_dir_close(&dir);
}

static void write_plainly(const char *path, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    close(fd);
}

static void a_link_is_not_followed(void **state) {
    (void)state;
    char target[128];
    struct stat st;
    snprintf(target, sizeof target, "%s/secret", folder);
    write_plainly(target, 100);
    assert_int_equal(symlink(target, path_of(1)), 0);
    refused_and_replaced("not a regular file");
    assert_int_equal(lstat(path_of(1), &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_size, 100); // untouched
}

static void a_fifo_does_not_block(void **state) {
    (void)state;
    assert_int_equal(mkfifo(path_of(1), 0600), 0);
    refused_and_replaced("not a regular file");
}

static void a_socket_is_refused(void **state) {
    (void)state;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_in_range(snprintf(name.sun_path, sizeof name.sun_path, "%s", path_of(1)), 1,
                    sizeof name.sun_path - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    refused_and_replaced("not a regular file");
    close(fd);
}

static void a_huge_file_is_not_read(void **state) {
    (void)state;
    write_plainly(path_of(1), (size_t)1 << 40); // sparse
    refused_and_replaced("size");
}

static void an_empty_file_is_refused(void **state) {
    (void)state;
    write_plainly(path_of(1), 0);
    refused_and_replaced("size");
}

static void a_file_others_may_write_is_refused(void **state) {
    (void)state;
    write_plainly(path_of(1), 100);
    assert_int_equal(chmod(path_of(1), 0602), 0);
    refused_and_replaced("others may write");
}

static void a_file_of_another_user_is_refused(void **state) {
    (void)state;
    if (geteuid() != 0) {
        assert_null(getenv("NX_MUST_WORK"));
        skip();
    }
    write_plainly(path_of(1), 100);
    assert_int_equal(chown(path_of(1), 12345, 12345), 0);
    refused_and_replaced("another user");
}

// A directory in the place of a file can be neither read nor replaced, and nothing is left behind.
static void a_directory_in_the_way(void **state) {
    (void)state;
    struct nx_cache_dir dir = open_dir(ROOM);
    assert_int_equal(mkdir(path_of(1), 0700), 0);
    assert_int_equal(read_one(&dir, 1, NULL), NX_E_INVALID);
    assert_int_equal(write_one(&dir, 1, 10), NX_E_IO);
    assert_int_equal(count_files(), 1);
    assert_int_equal(write_one(&dir, 2, 10), 0);
    nx_cache_dir_close(&dir);
}

static void refuses_directory(const char *path, int code, const char *why) {
    struct nx_cache_dir dir;
    struct nx_error err = {0};
    int rc = nx_cache_dir_open(&dir, path, ROOM, &err);
    if (rc != code || !strstr(err.message, why))
        fail_msg("%s: %d, '%s', not '%s'", path, rc, err.message, why);
    assert_int_equal(dir.fd, -1);
}

static void directories(void **state) {
    (void)state;
    char path[128], link[128];
    struct nx_cache_dir dir;
    struct stat st;
    // Made if only the last part is missing, for nobody else.
    snprintf(path, sizeof path, "%s/made", folder);
    assert_int_equal(nx_cache_dir_open(&dir, path, ROOM, NULL), 0);
    nx_cache_dir_close(&dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    const mode_t bad[] = {0770, 0707, 0702, 01777};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(chmod(path, bad[i]), 0);
        refuses_directory(path, NX_E_INVALID, "others may write");
    }
    assert_int_equal(chmod(path, 0755), 0); // others may look
    assert_int_equal(nx_cache_dir_open(&dir, path, ROOM, NULL), 0);
    nx_cache_dir_close(&dir);
    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(symlink(path, link), 0);
    refuses_directory(link, NX_E_INVALID, "link");
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 12345), 0);
        refuses_directory(path, NX_E_INVALID, "another user");
    }
    snprintf(path, sizeof path, "%s/file", folder);
    write_plainly(path, 1);
    refuses_directory(path, NX_E_INVALID, "not a directory");
    snprintf(path, sizeof path, "%s/no/such", folder);
    refuses_directory(path, NX_E_INVALID, "No such file");
    refuses_directory("/proc/cache", NX_E_INVALID, "No such file");
}

// ---- Sizes

static void the_least_recently_used_go_first(void **state) {
    (void)state;
    struct nx_cache_dir dir = open_dir(16 * NX_CACHE_BLOCK_BYTES);
    for (unsigned n = 0; n < 16; n++) {
        assert_int_equal(write_one(&dir, n, 100), 0);
        set_age(path_of(n), 1000 - (long)n);
    }
    assert_int_equal(count_files(), 16);
    assert_int_equal(read_one(&dir, 0, NULL), 0); // the oldest is used once more
    assert_int_equal(write_one(&dir, 100, 100), 0);
    assert_int_equal(read_one(&dir, 0, NULL), 0);
    assert_int_equal(read_one(&dir, 100, NULL), 0);
    assert_int_equal(read_one(&dir, 15, NULL), 0);
    assert_int_equal(read_one(&dir, 1, NULL), NX_E_NOTFOUND);
    assert_int_equal(read_one(&dir, 2, NULL), NX_E_NOTFOUND);
    assert_int_equal(read_one(&dir, 4, NULL), 0); // down to 7/8, not further
    nx_cache_dir_close(&dir);
}

static void never_more_than_allowed(void **state) {
    (void)state;
    struct nx_cache_dir dir = open_dir(16 * NX_CACHE_BLOCK_BYTES);
    for (unsigned n = 0; n < 200; n++) {
        assert_int_equal(write_one(&dir, n, 1 + n * 97 % (3 * NX_CACHE_BLOCK_BYTES)), 0);
        assert_true(dir.bytes <= dir.max_bytes && count_files() <= 16);
        assert_int_equal(read_one(&dir, n, NULL), 0);
    }
    assert_int_equal(write_one(&dir, 1000, 16 * NX_CACHE_BLOCK_BYTES + 1), NX_E_LIMIT);
    assert_int_equal(read_one(&dir, 199, NULL), 0);
    nx_cache_dir_close(&dir);
}

// What the other process writes is noticed after an eighth of one's own.
static void another_writer_is_noticed(void **state) {
    (void)state;
    struct nx_cache_dir one = open_dir(64 * NX_CACHE_BLOCK_BYTES),
                        two = open_dir(64 * NX_CACHE_BLOCK_BYTES);
    for (unsigned n = 0; n < 300; n++)
        assert_int_equal(write_one(n % 3 ? &one : &two, n, 100), 0);
    assert_true(count_files() <= 64 + 2 * 9);
    nx_cache_dir_close(&one);
    nx_cache_dir_close(&two);
}

static void only_ones_own_is_swept(void **state) {
    (void)state;
    static const char *const kept[] = {"notes.txt", "tmp-short", "tmp-0123456789ABCDEF", "0123.nxc",
                                       "tmp-0123456789abcdef"};
    struct nx_cache_dir dir = open_dir(ROOM);
    char path[128];
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, kept[i]);
        write_plainly(path, 10);
        if (i < 4)
            set_age(path, 10 * NX_CACHE_TEMP_AGE_MS / 1000);
    }
    // Left behind by a process that died, as opposed to the last of those above.
    snprintf(path, sizeof path, "%s/tmp-fedcba9876543210", folder);
    write_plainly(path, 10);
    set_age(path, 2 * NX_CACHE_TEMP_AGE_MS / 1000);
    assert_int_equal(write_one(&dir, 1, 10), 0);
    write_plainly(path_of(2), (size_t)1 << 40); // no entry is that large: it pushes out nobody
    assert_int_equal(nx_cache_dir_sweep(&dir, ROOM, NULL), 0);
    assert_int_equal(access(path_of(2), F_OK), -1);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(count_files(), 6);
    assert_int_equal(nx_cache_dir_sweep(&dir, 0, NULL), 0);
    assert_int_equal(count_files(), 5);
    assert_int_equal(dir.bytes, 0);
    nx_cache_dir_close(&dir);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(reading_marks_as_used),
        TEST(two_share_one_directory),
        TEST(a_link_is_not_followed),
        TEST(a_fifo_does_not_block),
        TEST(a_socket_is_refused),
        TEST(a_huge_file_is_not_read),
        TEST(an_empty_file_is_refused),
        TEST(a_file_others_may_write_is_refused),
        TEST(a_file_of_another_user_is_refused),
        TEST(a_directory_in_the_way),
        TEST(directories),
        TEST(the_least_recently_used_go_first),
        TEST(never_more_than_allowed),
        TEST(another_writer_is_noticed),
        TEST(only_ones_own_is_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
