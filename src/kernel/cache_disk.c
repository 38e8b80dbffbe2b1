// SPDX-License-Identifier: Apache-2.0
// Jobs of the disk cache. A job belongs to the loop's thread, save while its work function runs on
// another: what that touches is its own, or the directory, which only one write at a time changes.
#include "kernel/cache_disk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/crypto.h>

#include "base/limits.h"
#include "kernel/cache_dir.h"

// Patience is counted in turns of the loop's timer, not read off a clock: after a turn that took
// long, answers that have arrived are seen to before the next tick.
enum { PATIENCE_TICKS = 4, TICK_MS = NX_CACHE_PATIENCE_MS / PATIENCE_TICKS };

struct job {
    uv_work_t work;
    TAILQ_ENTRY(job) link; // on reads, reading or writes
    struct nx_cache_disk *disk;
    uint8_t id[NX_CODE_ID_BYTES];
    struct nx_cache_load *load; // of a read: who asked; NULL: nobody any more
    struct nx_code *code;       // of a write: referenced; NULL: a sweep
    struct nx_cache_seal seal;
    uint32_t ticks;     // of the patience timer since it was asked
    bool running, late; // late: the asker was told not to wait
    int rc;
    struct nx_error err;
    struct nx_buf file;
    struct nx_span bytecode; // of a read: in `file`
};
TAILQ_HEAD(job_list, job);

struct nx_cache_disk {
    uv_loop_t *loop;
    struct nx_cache_disk_config config; // path is owned
    struct nx_cache_tier tier;
    struct nx_cache_dir dir;
    struct job_list reads, reading; // waiting; on libuv's threads
    struct job_list writes;         // the first one is on libuv's threads if `writing`
    size_t write_bytes;             // of bytecode
    uv_timer_t timer;               // patience with reads; when closing, with writes
    uv_timer_t first;               // the sweep when the loop begins
    uv_timer_t quiet;               // runs while reads are recent: writes wait
    uint64_t retry_at_ms, refusal_at_ms;
    struct nx_cache_disk_stats stats;
    void (*on_closed)(void *user);
    void *on_closed_user;
    uint32_t read_count, reading_count, late_count, write_count;
    int open_handles;
    bool usable; // the directory is open; never closed again before the end
    bool writing, failed, closing;
    struct nx_cache_seal seal;
};

// The analyzer believes that what was taken out of a tail queue is still in it.
// NOLINTBEGIN(clang-analyzer-unix.Malloc)

// ---- News

static void tell(struct nx_cache_disk *d, enum nx_cache_news news, const char *detail) {
    if (d->config.on_news)
        d->config.on_news(d->config.user, news, detail);
}

static void note_failure(struct nx_cache_disk *d, const struct nx_error *err) {
    bool again = d->failed;
    d->failed = true;
    d->retry_at_ms = uv_now(d->loop) + NX_CACHE_RETRY_MS;
    if (!again)
        tell(d, NX_CACHE_STOPPED, err->message);
}

static void note_success(struct nx_cache_disk *d) {
    bool before = d->failed;
    d->failed = false;
    if (before)
        tell(d, NX_CACHE_WORKS, "");
}

static void note_refusal(struct nx_cache_disk *d, const struct nx_error *err) {
    if (uv_now(d->loop) < d->refusal_at_ms)
        return;
    d->refusal_at_ms = uv_now(d->loop) + NX_CACHE_RETRY_MS;
    tell(d, NX_CACHE_REFUSED, err->message);
}

static bool left_alone(const struct nx_cache_disk *d) {
    return d->failed && uv_now(d->loop) < d->retry_at_ms;
}

// ---- Jobs

static struct job *new_job(struct nx_cache_disk *d, const uint8_t *id) {
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->disk = d;
    job->seal = d->seal;
    job->work.data = job;
    nx_buf_init(&job->file, NX_CACHE_ENTRY_OVERHEAD_BYTES + NX_MAX_BYTECODE_BYTES);
    if (id)
        memcpy(job->id, id, NX_CODE_ID_BYTES);
    return job;
}

static void free_job(struct job *job) {
    nx_code_unref(job->code);
    nx_buf_free(&job->file);
    OPENSSL_cleanse(&job->seal, sizeof job->seal);
    free(job);
}

static void check_closed(struct nx_cache_disk *d);

// ---- Reading

static void answer(struct job *job, struct nx_span bytecode) {
    struct nx_cache_load *load = job->load;
    job->load = NULL;
    if (!load)
        return;
    load->of_tier = NULL;
    load->fn(load, bytecode);
}

static void read_work(uv_work_t *work) {
    struct job *job = work->data;
    job->rc = nx_cache_dir_read(&job->disk->dir, job->id, &job->file, &job->err);
    if (job->rc == 0)
        job->rc = nx_cache_entry_open(&job->seal, job->id, nx_buf_span(&job->file), &job->bytecode,
                                      &job->err);
}

static enum nx_cache_read judge(const struct job *job) {
    if (job->late)
        return NX_CACHE_READS; // counted when it was given up
    if (job->rc == 0)
        return NX_CACHE_READ_HIT;
    return job->rc == NX_E_NOTFOUND  ? NX_CACHE_READ_MISS
           : job->rc == NX_E_INVALID ? NX_CACHE_READ_REFUSED
                                     : NX_CACHE_READ_FAILED;
}

static void start_reads(struct nx_cache_disk *d);
static void on_quiet(uv_timer_t *timer);

static void on_read(uv_work_t *work, int status) {
    struct job *job = work->data;
    struct nx_cache_disk *d = job->disk;
    enum nx_cache_read outcome = judge(job);
    (void)status; // never cancelled
    TAILQ_REMOVE(&d->reading, job, link);
    d->reading_count--;
    d->read_count--;
    d->late_count -= job->late;
    if (outcome < NX_CACHE_READS)
        d->stats.reads[outcome]++;
    if (outcome == NX_CACHE_READ_REFUSED)
        note_refusal(d, &job->err);
    else if (outcome == NX_CACHE_READ_FAILED)
        note_failure(d, &job->err);
    start_reads(d);
    answer(job, outcome == NX_CACHE_READ_HIT ? job->bytecode : (struct nx_span){0});
    free_job(job);
    check_closed(d);
}

static bool is_overdue(const struct job *job) {
    return !job->late && job->ticks > PATIENCE_TICKS;
}

static struct job *first_overdue(struct nx_cache_disk *d) {
    struct job *job;
    TAILQ_FOREACH(job, &d->reading, link) {
        if (is_overdue(job))
            return job;
    }
    job = TAILQ_FIRST(&d->reads); // the oldest
    return job && is_overdue(job) ? job : NULL;
}

// A disk that hangs must not take the server with it.
static void on_patience(uv_timer_t *timer) {
    struct nx_cache_disk *d = timer->data;
    const struct nx_error err = {.message = "it does not answer"};
    struct job *job;
    TAILQ_FOREACH(job, &d->reading, link) {
        job->ticks++;
    }
    TAILQ_FOREACH(job, &d->reads, link) {
        job->ticks++;
    }
    while ((job = first_overdue(d))) {
        d->stats.reads[NX_CACHE_READ_FAILED]++;
        note_failure(d, &err);
        job->late = true;
        d->late_count += job->running;
        if (!job->running) {
            TAILQ_REMOVE(&d->reads, job, link);
            d->read_count--;
        }
        answer(job, (struct nx_span){0});
        if (!job->running)
            free_job(job);
    }
    if (d->read_count == 0)
        uv_timer_stop(timer);
}

static void start_reads(struct nx_cache_disk *d) {
    struct job *job;
    while (d->reading_count < NX_MAX_CACHE_READS_AT_ONCE && (job = TAILQ_FIRST(&d->reads))) {
        TAILQ_REMOVE(&d->reads, job, link);
        TAILQ_INSERT_TAIL(&d->reading, job, link);
        d->reading_count++;
        job->running = true;
        uv_queue_work(d->loop, &job->work, read_work, on_read);
    }
}

static bool tier_load(void *user, const uint8_t id[NX_CODE_ID_BYTES], struct nx_cache_load *load) {
    struct nx_cache_disk *d = user;
    // While one hangs, others would wait for nothing.
    if (!d->usable || d->late_count || d->read_count >= NX_MAX_CACHE_READS)
        return false;
    struct job *job = new_job(d, id);
    if (!job)
        return false;
    job->load = load;
    load->of_tier = job;
    TAILQ_INSERT_TAIL(&d->reads, job, link);
    d->read_count++;
    start_reads(d);
    uv_timer_start(&d->quiet, on_quiet, NX_CACHE_QUIET_MS, 0);
    if (!uv_is_active((uv_handle_t *)&d->timer))
        uv_timer_start(&d->timer, on_patience, TICK_MS, TICK_MS);
    return true;
}

static void tier_forget(void *user, struct nx_cache_load *load) {
    struct nx_cache_disk *d = user;
    struct job *job = load->of_tier;
    if (!job)
        return;
    load->of_tier = NULL;
    job->load = NULL;
    if (job->running)
        return; // ends by itself
    TAILQ_REMOVE(&d->reads, job, link);
    d->read_count--;
    free_job(job);
}

// ---- Writing

static void write_work(uv_work_t *work) {
    struct job *job = work->data;
    struct nx_cache_disk *d = job->disk;
    job->rc = 0;
    if (d->dir.fd < 0)
        job->rc = nx_cache_dir_open(&d->dir, d->config.path, d->config.max_bytes, &job->err);
    if (job->rc == 0 && !job->code)
        job->rc = nx_cache_dir_sweep(&d->dir, d->dir.max_bytes, &job->err);
    if (job->rc || !job->code)
        return;
    job->rc = nx_cache_entry_seal(&job->seal, job->id, nx_code_bytecode(job->code), &job->file);
    if (job->rc)
        nx_error_set(&job->err, job->rc, "out of memory");
    else
        job->rc = nx_cache_dir_write(&d->dir, job->id, nx_buf_span(&job->file), &job->err);
}

static void start_write(struct nx_cache_disk *d);

static void drop_write(struct nx_cache_disk *d, struct job *job) {
    TAILQ_REMOVE(&d->writes, job, link);
    d->write_count--;
    d->write_bytes -= job->code ? nx_code_size_bytes(job->code) : 0;
    free_job(job);
}

static void count_write(struct nx_cache_disk *d, const struct job *job) {
    bool too_large = job->rc == NX_E_LIMIT; // no fault of the disk
    if (job->code)
        d->stats.writes[job->rc == 0 ? NX_CACHE_WRITE_STORED
                        : too_large  ? NX_CACHE_WRITE_SKIPPED
                                     : NX_CACHE_WRITE_FAILED]++;
    if (job->rc && !too_large)
        note_failure(d, &job->err);
    else if (job->code && job->rc == 0)
        note_success(d);
}

static void on_written(uv_work_t *work, int status) {
    struct job *job = work->data;
    struct nx_cache_disk *d = job->disk;
    (void)status; // never cancelled
    d->writing = false;
    d->usable = d->dir.fd >= 0;
    d->stats.bytes = d->dir.bytes;
    count_write(d, job);
    drop_write(d, job);
    // What waits was to be written to a disk that worked.
    while (left_alone(d) && (job = TAILQ_FIRST(&d->writes))) {
        d->stats.writes[NX_CACHE_WRITE_SKIPPED]++;
        drop_write(d, job);
    }
    start_write(d);
    check_closed(d);
}

static bool may_wait(const struct nx_cache_disk *d) {
    return uv_is_active((const uv_handle_t *)&d->quiet) && !d->closing &&
           d->write_count < NX_MAX_CACHE_WRITES / 2 &&
           d->write_bytes < NX_MAX_CACHE_WRITE_BYTES / 2;
}

static void start_write(struct nx_cache_disk *d) {
    struct job *job = TAILQ_FIRST(&d->writes);
    // A sweep disturbs no reads.
    if (d->writing || !job || (job->code && may_wait(d)))
        return;
    d->writing = true;
    uv_queue_work(d->loop, &job->work, write_work, on_written);
}

static void on_quiet(uv_timer_t *timer) {
    start_write(timer->data);
}

// A write if there is `code`, else a sweep. False: no room, or no memory.
static bool add_write(struct nx_cache_disk *d, struct nx_code *code) {
    size_t bytes = code ? nx_code_size_bytes(code) : 0;
    if (d->write_count >= NX_MAX_CACHE_WRITES || d->write_bytes + bytes > NX_MAX_CACHE_WRITE_BYTES)
        return false;
    struct job *job = new_job(d, code ? nx_code_id(code) : NULL);
    if (!job)
        return false;
    job->code = code ? nx_code_ref(code) : NULL;
    TAILQ_INSERT_TAIL(&d->writes, job, link);
    d->write_count++;
    d->write_bytes += bytes;
    start_write(d);
    return true;
}

static void tier_save(void *user, struct nx_code *code) {
    struct nx_cache_disk *d = user;
    if (left_alone(d) || !add_write(d, code))
        d->stats.writes[NX_CACHE_WRITE_SKIPPED]++;
}

// ---- Opening and closing

static void on_first(uv_timer_t *timer) {
    add_write(timer->data, NULL);
}

int nx_cache_disk_open(struct nx_cache_disk **out, uv_loop_t *loop,
                       const struct nx_cache_disk_config *config, struct nx_error *err) {
    struct nx_cache_disk *d = calloc(1, sizeof *d);
    char *path = strdup(config->path);
    struct nx_error why = {0};
    if (!d || !path) {
        free(d);
        free(path);
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    }
    d->loop = loop;
    d->config = *config;
    d->config.path = path;
    d->tier = (struct nx_cache_tier){d, tier_load, tier_forget, tier_save};
    TAILQ_INIT(&d->reads);
    TAILQ_INIT(&d->reading);
    TAILQ_INIT(&d->writes);
    int rc = nx_cache_dir_open(&d->dir, path, config->max_bytes, &why);
    if (rc == NX_E_INVALID) {
        free(path);
        free(d);
        return nx_error_set(err, rc, "%s", why.message);
    }
    uv_timer_init(loop, &d->timer);
    uv_timer_init(loop, &d->quiet);
    uv_timer_init(loop, &d->first);
    d->timer.data = d->quiet.data = d->first.data = d;
    d->open_handles = 3;
    d->usable = rc == 0;
    if (rc)
        note_failure(d, &why);
    else
        uv_timer_start(&d->first, on_first, 0, 0);
    *out = d;
    return 0;
}

void nx_cache_disk_set_seal(struct nx_cache_disk *disk, const struct nx_cache_seal *seal) {
    disk->seal = *seal;
}

const struct nx_cache_tier *nx_cache_disk_tier(struct nx_cache_disk *disk) {
    return &disk->tier;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct nx_cache_disk *d = handle->data;
    if (--d->open_handles > 0)
        return;
    void (*on_closed)(void *user) = d->on_closed;
    void *user = d->on_closed_user;
    nx_cache_dir_close(&d->dir);
    OPENSSL_cleanse(&d->seal, sizeof d->seal);
    free((char *)(uintptr_t)d->config.path);
    free(d);
    on_closed(user);
}

static void check_closed(struct nx_cache_disk *d) {
    if (d->closing && d->reading_count == 0 && !d->writing && TAILQ_EMPTY(&d->writes) &&
        !uv_is_closing((uv_handle_t *)&d->timer)) {
        uv_close((uv_handle_t *)&d->timer, on_timer_closed);
        uv_close((uv_handle_t *)&d->quiet, on_timer_closed);
        uv_close((uv_handle_t *)&d->first, on_timer_closed);
    }
}

static void on_flush_over(uv_timer_t *timer) {
    struct nx_cache_disk *d = timer->data;
    struct job *job = TAILQ_FIRST(&d->writes), *next;
    if (job && d->writing)
        job = TAILQ_NEXT(job, link);
    for (; job; job = next) {
        next = TAILQ_NEXT(job, link);
        drop_write(d, job);
    }
}

void nx_cache_disk_close(struct nx_cache_disk *disk, void (*on_closed)(void *user), void *user) {
    disk->closing = true;
    disk->on_closed = on_closed;
    disk->on_closed_user = user;
    uv_timer_start(&disk->timer, on_flush_over, NX_CACHE_FLUSH_MS, 0);
    start_write(disk);
    check_closed(disk);
}

// ---- Figures

void nx_cache_disk_get_stats(const struct nx_cache_disk *disk, struct nx_cache_disk_stats *out) {
    *out = disk->stats;
}

const char *nx_cache_read_name(enum nx_cache_read outcome) {
    static const char *const names[NX_CACHE_READS] = {"hit", "miss", "refused", "failed"};
    return (size_t)outcome < NX_CACHE_READS ? names[outcome] : "unknown";
}

const char *nx_cache_write_name(enum nx_cache_write outcome) {
    static const char *const names[NX_CACHE_WRITES] = {"stored", "skipped", "failed"};
    return (size_t)outcome < NX_CACHE_WRITES ? names[outcome] : "unknown";
}
// NOLINTEND(clang-analyzer-unix.Malloc)
