// SPDX-License-Identifier: Apache-2.0
// The disk cache as a tier: asked and told from the loop, which never waits for it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "kernel/cache_disk.h"

static uv_loop_t loop;
static char folder[64];
static unsigned news[3];
static char detail[256];

static int set_up(void **state) {
    (void)state;
    memset(news, 0, sizeof news);
    strcpy(folder, "/tmp/nx-disk-XXXXXX");
    return mkdtemp(folder) ? uv_loop_init(&loop) : -1;
}

static void remove_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): a name made above
}

static int tear_down(void **state) {
    (void)state;
    remove_folder();
    return uv_loop_close(&loop); // fails if a handle or job is left
}

static void on_news(void *user, enum nx_cache_news what, const char *text) {
    (void)user;
    news[what]++;
    snprintf(detail, sizeof detail, "%s", text);
}

static struct nx_cache_disk *open_disk(size_t max_bytes) {
    const struct nx_cache_disk_config config = {
        .path = folder, .max_bytes = max_bytes, .on_news = on_news};
    struct nx_cache_disk *disk;
    struct nx_error err = {0};
    if (nx_cache_disk_open(&disk, &loop, &config, &err))
        fail_msg("%s", err.message);
    return disk;
}

static void on_closed(void *user) {
    *(bool *)user = true;
}

static void close_disk(struct nx_cache_disk *disk) {
    bool closed = false;
    nx_cache_disk_close(disk, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
}

struct question {
    struct nx_cache_load load;
    size_t len;
    unsigned answers;
    char first;
};

static void on_answer(struct nx_cache_load *load, struct nx_span bytecode) {
    struct question *q = (struct question *)load;
    q->answers++;
    q->len = bytecode.len;
    q->first = bytecode.len ? bytecode.data[0] : 0;
}

static void id_of(unsigned n, uint8_t id[NX_CODE_ID_BYTES]) {
    memset(id, 0, NX_CODE_ID_BYTES);
    memcpy(id, &n, sizeof n);
}

static void save(struct nx_cache_disk *disk, unsigned n, size_t len) {
    const struct nx_cache_tier *tier = nx_cache_disk_tier(disk);
    uint8_t id[NX_CODE_ID_BYTES];
    char *text = malloc(len);
    assert_non_null(text);
    memset(text, 'a' + (int)(n % 26), len);
    id_of(n, id);
    struct nx_code *code = nx_code_new(id, nx_span_of(text, len));
    assert_non_null(code);
    tier->save(tier->user, code);
    nx_code_unref(code); // the tier holds its own
    free(text);
}

static bool ask(struct nx_cache_disk *disk, unsigned n, struct question *q) {
    const struct nx_cache_tier *tier = nx_cache_disk_tier(disk);
    uint8_t id[NX_CODE_ID_BYTES];
    id_of(n, id);
    *q = (struct question){.load = {.fn = on_answer}};
    return tier->load(tier->user, id, &q->load);
}

static uint64_t writes_ended(const struct nx_cache_disk *disk) {
    struct nx_cache_disk_stats s;
    nx_cache_disk_get_stats(disk, &s);
    return s.writes[0] + s.writes[1] + s.writes[2];
}

static void wait_for_writes(const struct nx_cache_disk *disk, uint64_t count) {
    while (writes_ended(disk) < count)
        uv_run(&loop, UV_RUN_ONCE);
}

static size_t answer_of(struct nx_cache_disk *disk, unsigned n) {
    struct question q;
    assert_true(ask(disk, n, &q));
    assert_int_equal(q.answers, 0); // never from inside the call
    while (!q.answers)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(q.answers, 1);
    if (q.len)
        assert_int_equal(q.first, 'a' + (int)(n % 26));
    return q.len;
}

static struct nx_cache_disk_stats stats_of(const struct nx_cache_disk *disk) {
    struct nx_cache_disk_stats stats;
    nx_cache_disk_get_stats(disk, &stats);
    return stats;
}

static void outlives_the_process(void **state) {
    (void)state;
    struct nx_cache_disk *disk = open_disk(1 << 20);
    assert_int_equal(answer_of(disk, 1), 0);
    for (unsigned n = 1; n <= 50; n++)
        save(disk, n, 100 + n);
    close_disk(disk); // writes what waits
    disk = open_disk(1 << 20);
    for (unsigned n = 1; n <= 50; n++)
        assert_int_equal(answer_of(disk, n), 100 + n);
    assert_int_equal(answer_of(disk, 51), 0);
    struct nx_cache_disk_stats s = stats_of(disk);
    assert_int_equal(s.reads[NX_CACHE_READ_HIT], 50);
    assert_int_equal(s.reads[NX_CACHE_READ_MISS], 1);
    assert_int_equal(s.bytes, 50 * NX_CACHE_BLOCK_BYTES);
    assert_int_equal(news[0] + news[1] + news[2], 0);
    close_disk(disk);
}

static void asked_all_at_once(void **state) {
    (void)state;
    enum { MANY = NX_MAX_CACHE_READS };
    static struct question questions[MANY + 1];
    struct nx_cache_disk *disk = open_disk(1 << 20);
    for (unsigned n = 0; n < 10; n++)
        save(disk, n, 10);
    wait_for_writes(disk, 10);
    for (unsigned n = 0; n < MANY; n++)
        assert_true(ask(disk, n % 20, &questions[n]));
    assert_false(ask(disk, 0, &questions[MANY])); // one too many: the compiler is asked
    struct nx_cache_disk_stats s;
    do {
        uv_run(&loop, UV_RUN_ONCE);
        s = stats_of(disk);
    } while (s.reads[NX_CACHE_READ_HIT] + s.reads[NX_CACHE_READ_MISS] +
                 s.reads[NX_CACHE_READ_FAILED] <
             MANY);
    for (unsigned n = 0; n < MANY; n++)
        assert_int_equal(questions[n].answers, 1);
    assert_true(ask(disk, 0, &questions[MANY]));
    while (!questions[MANY].answers)
        uv_run(&loop, UV_RUN_ONCE);
    close_disk(disk);
}

static void forgotten_questions_are_not_answered(void **state) {
    (void)state;
    struct question questions[8];
    struct nx_cache_disk *disk = open_disk(1 << 20);
    const struct nx_cache_tier *tier = nx_cache_disk_tier(disk);
    for (unsigned n = 0; n < 8; n++)
        assert_true(ask(disk, n, &questions[n]));
    for (unsigned n = 0; n < 8; n++) { // running ones, and waiting ones
        tier->forget(tier->user, &questions[n].load);
        tier->forget(tier->user, &questions[n].load); // harmless
    }
    assert_int_equal(answer_of(disk, 9), 0);
    for (unsigned n = 0; n < 8; n++)
        assert_int_equal(questions[n].answers, 0);
    close_disk(disk);
}

static void keys(void **state) {
    (void)state;
    const struct nx_cache_seal one = {.keyed = true, .key = {1}}, two = {.keyed = true, .key = {2}};
    struct nx_cache_disk *disk = open_disk(1 << 20);
    nx_cache_disk_set_seal(disk, &one);
    save(disk, 1, 10);
    wait_for_writes(disk, 1);
    assert_int_equal(answer_of(disk, 1), 10);
    nx_cache_disk_set_seal(disk, &two);
    assert_int_equal(answer_of(disk, 1), 0);
    assert_int_equal(stats_of(disk).reads[NX_CACHE_READ_REFUSED], 1);
    assert_int_equal(news[NX_CACHE_REFUSED], 1);
    assert_non_null(strstr(detail, "tag is wrong"));
    assert_int_equal(answer_of(disk, 1), 0);
    assert_int_equal(news[NX_CACHE_REFUSED], 1); // told once, counted twice
    assert_int_equal(stats_of(disk).reads[NX_CACHE_READ_REFUSED], 2);
    save(disk, 1, 20); // compiled anew, it takes the place
    wait_for_writes(disk, 2);
    assert_int_equal(answer_of(disk, 1), 20);
    close_disk(disk);
}

// One file in the place of another's: for instance an older handler's in that of its successor.
static void swapped_files(void **state) {
    (void)state;
    struct nx_cache_disk *disk = open_disk(1 << 20);
    char paths[2][256];
    save(disk, 1, 10);
    save(disk, 2, 10);
    wait_for_writes(disk, 2);
    for (int i = 0; i < 2; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%02x%062d.nxc", folder, i + 1, 0);
    assert_int_equal(rename(paths[0], paths[1]), 0);
    assert_int_equal(answer_of(disk, 2), 0);
    assert_int_equal(answer_of(disk, 1), 0);
    assert_int_equal(stats_of(disk).reads[NX_CACHE_READ_REFUSED], 1);
    assert_int_equal(stats_of(disk).reads[NX_CACHE_READ_MISS], 1);
    close_disk(disk);
}

// The directory goes away: told once, and everything goes on.
static void a_disk_that_fails(void **state) {
    (void)state;
    struct nx_cache_disk *disk = open_disk(1 << 20);
    save(disk, 1, 10);
    wait_for_writes(disk, 1);
    remove_folder();
    save(disk, 2, 10);
    save(disk, 3, 10);
    wait_for_writes(disk, 3);
    save(disk, 4, 10); // left alone for a while
    struct nx_cache_disk_stats s = stats_of(disk);
    assert_int_equal(s.writes[NX_CACHE_WRITE_STORED], 1);
    assert_int_equal(s.writes[NX_CACHE_WRITE_FAILED], 1);
    assert_int_equal(s.writes[NX_CACHE_WRITE_SKIPPED], 2);
    assert_int_equal(news[NX_CACHE_STOPPED], 1);
    assert_non_null(strstr(detail, "No such file"));
    assert_int_equal(answer_of(disk, 1), 0);
    assert_int_equal(news[NX_CACHE_STOPPED], 1);
    close_disk(disk);
}

// ---- A disk that hangs

enum { POOL_THREADS = 4 }; // libuv's

static uv_sem_t held;

static void hold(uv_work_t *work) {
    (void)work;
    uv_sem_wait(&held);
}

static void on_released(uv_work_t *work, int status) {
    (void)status;
    (*(unsigned *)work->data)--;
}

// With every thread of the pool held up, reads are as slow as on a network disk that is away.
static void a_disk_that_hangs(void **state) {
    (void)state;
    uv_work_t works[POOL_THREADS];
    unsigned holding = POOL_THREADS;
    struct question questions[4], more;
    struct nx_cache_disk *disk = open_disk(1 << 20);
    save(disk, 1, 10);
    wait_for_writes(disk, 1);
    assert_int_equal(uv_sem_init(&held, 0), 0);
    for (unsigned i = 0; i < POOL_THREADS; i++) {
        works[i].data = &holding;
        uv_queue_work(&loop, &works[i], hold, on_released);
    }
    for (unsigned n = 0; n < 4; n++)
        assert_true(ask(disk, 1, &questions[n]));
    while (!questions[3].answers) // told not to wait
        uv_run(&loop, UV_RUN_ONCE);
    for (unsigned n = 0; n < 4; n++) {
        assert_int_equal(questions[n].answers, 1);
        assert_int_equal(questions[n].len, 0);
    }
    assert_int_equal(stats_of(disk).reads[NX_CACHE_READ_FAILED], 4);
    assert_int_equal(news[NX_CACHE_STOPPED], 1);
    assert_false(ask(disk, 1, &more)); // and nobody else waits
    for (unsigned i = 0; i < POOL_THREADS; i++)
        uv_sem_post(&held);
    while (holding || !ask(disk, 1, &more)) // until those that hung have ended
        uv_run(&loop, UV_RUN_ONCE);
    while (!more.answers)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(more.len, 10);
    for (unsigned n = 0; n < 4; n++)
        assert_int_equal(questions[n].answers, 1);
    assert_int_equal(stats_of(disk).reads[NX_CACHE_READ_HIT], 1);
    close_disk(disk);
    uv_sem_destroy(&held);
}

static void a_queue_that_is_full(void **state) {
    (void)state;
    struct nx_cache_disk *disk = open_disk((size_t)256 << 20);
    const unsigned fit = (unsigned)(NX_MAX_CACHE_WRITE_BYTES / (1 << 20)), more = 10;
    for (unsigned n = 0; n < fit + more; n++)
        save(disk, n, 1 << 20);
    assert_in_range(stats_of(disk).writes[NX_CACHE_WRITE_SKIPPED], more, more + 1);
    close_disk(disk);
}

static void untrusted_directories(void **state) {
    (void)state;
    const struct nx_cache_disk_config config = {.path = folder, .max_bytes = 1 << 20};
    struct nx_cache_disk *disk;
    struct nx_error err = {0};
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(nx_cache_disk_open(&disk, &loop, &config, &err), NX_E_INVALID);
    assert_non_null(strstr(err.message, "others may write"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(outlives_the_process),
        TEST(asked_all_at_once),
        TEST(forgotten_questions_are_not_answered),
        TEST(keys),
        TEST(swapped_files),
        TEST(a_disk_that_fails),
        TEST(a_disk_that_hangs),
        TEST(a_queue_that_is_full),
        TEST(untrusted_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
