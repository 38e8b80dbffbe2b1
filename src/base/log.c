// SPDX-License-Identifier: Apache-2.0
// Log lines. A line is built on the stack: logging works when memory is exhausted.
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/limits.h"

static struct {
    int fd;
    enum nx_log_level min_level;
    bool pretty, is_pipe;
} config = {STDOUT_FILENO, NX_LOG_INFO, false, false};

static const char *const level_names[] = {
    [NX_LOG_DEBUG] = "debug",
    [NX_LOG_INFO] = "info",
    [NX_LOG_WARN] = "warn",
    [NX_LOG_ERROR] = "error",
};
enum { LEVELS = sizeof level_names / sizeof level_names[0] };

static const char json_end[] = "}\n", json_cut_end[] = ",\"truncated\":true}\n";
static const char pretty_end[] = "\n", pretty_cut_end[] = " truncated=true\n";

struct line {
    struct nx_buf text; // over `bytes`: its cap exceeds its maximum, so it never allocates
    bool cut;
    char bytes[NX_MAX_LOG_LINE_BYTES + 1];
};

void nx_log_configure(int fd, enum nx_log_level min_level, bool pretty) {
    config.fd = fd;
    config.min_level = min_level;
    config.pretty = pretty;
    struct stat about;
    config.is_pipe = fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode);
}

void nx_log_enlarge_pipe(void) {
    enum { DEFAULT_PIPE_BYTES = 64 * 1024 }; // pipe(7)
    if (config.is_pipe && fcntl(config.fd, F_GETPIPE_SZ) == DEFAULT_PIPE_BYTES)
        (void)fcntl(config.fd, F_SETPIPE_SZ, NX_LOG_PIPE_BYTES);
}

int nx_log_parse_level(const char *name, enum nx_log_level *level) {
    for (int i = 0; name && i < LEVELS; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum nx_log_level)i;
            return 0;
        }
    }
    return NX_E_INVALID;
}

bool nx_log_enabled(enum nx_log_level level) {
    return level >= config.min_level;
}

// Drops what was appended since `len`, also a failure.
static void rewind_to(struct nx_buf *b, size_t len) {
    b->len = len;
    b->failed = 0;
    b->data[len] = '\0';
}

// ---- Writing

// Who reads the lines may be slower than they come, or have stopped. Waiting is bounded, past that
// lines are lost and counted: a server that answers without a log is worth more than one that waits
// for its log's reader.
static struct {
    pthread_mutex_t lock;
    uint64_t window_ns; // when the time to wait was last given
    uint64_t wait_ns;   // what is left of it
    bool cut;           // a line was left unfinished
    uint64_t lost;
} out = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool ready(int wait_ms) {
    struct pollfd fd = {.fd = config.fd, .events = POLLOUT};
    return poll(&fd, 1, wait_ms) != 0; // also where it has failed: the write tells
}

static bool wait_for_reader(void) {
    enum { NS_PER_MS = 1000000 };
    if (ready(0))
        return true;
    uint64_t before_ns = nx_clock_monotonic_ns();
    if (out.window_ns == 0 ||
        before_ns - out.window_ns > (uint64_t)NX_LOG_WAIT_WINDOW_MS * NS_PER_MS) {
        out.window_ns = before_ns;
        out.wait_ns = (uint64_t)NX_LOG_WAIT_MS * NS_PER_MS;
    }
    bool got = out.wait_ns > 0 && ready((int)((out.wait_ns + NS_PER_MS - 1) / NS_PER_MS));
    // A reader that takes a little at a time ends each wait early: they add up all the same.
    uint64_t took_ns = nx_clock_monotonic_ns() - before_ns;
    out.wait_ns -= took_ns < out.wait_ns ? took_ns : out.wait_ns;
    return got;
}

// One write, but for pipes: one that is ready takes PIPE_BUF bytes without waiting, and no more.
// Where writing fails there is nowhere to say so.
static bool write_steps(const char *data, size_t len) {
    for (size_t done = 0, step; done < len; done += step) {
        step = config.is_pipe && len - done > PIPE_BUF ? PIPE_BUF : len - done;
        if (!wait_for_reader()) {
            out.cut = out.cut || done > 0;
            return false;
        }
        (void)nx_fd_write_all(config.fd, data + done, step);
    }
    return true;
}

// As many as were lost, where they are missing.
static bool tell_lost(void) {
    char time[25], line[256];
    nx_clock_rfc3339(nx_clock_wall_ms(), time);
    int len = snprintf(
        line, sizeof line,
        config.pretty ? "%s%s warn  log: \"lines lost: nobody read them\" count=%" PRIu64 "\n"
                      : "%s{\"time\":\"%s\",\"level\":\"warn\",\"msg\":\"lines lost: nobody read "
                        "them\",\"component\":\"log\",\"count\":%" PRIu64 "}\n",
        out.cut ? "\n" : "", time, out.lost);
    return write_steps(line, (size_t)len);
}

static void write_line(const char *data, size_t len) {
    if (config.fd < 0)
        return;
    pthread_mutex_lock(&out.lock);
    if (out.lost && tell_lost()) {
        out.lost = 0;
        out.cut = false;
    }
    if (out.lost || !write_steps(data, len))
        out.lost++;
    pthread_mutex_unlock(&out.lock);
}

// ---- Lines

// A key and its separators; in pretty mode a NULL key stands for the message.
static void put_key(struct nx_buf *b, const char *key) {
    if (!config.pretty)
        nx_json_append_key(b, key);
    else if (key)
        nx_buf_printf(b, " %s=", key);
    else
        nx_buf_append_char(b, ' ');
}

// Halves a text that is too long, without leaving part of a character.
static struct nx_span halve(struct nx_span text, size_t most) {
    size_t len = text.len / 2 < most ? text.len / 2 : most;
    while (len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80)
        len--;
    return nx_span_of(text.data, len);
}

// Adds a text member, as much of it as fits; nothing if not even its key does.
static void put_text(struct line *l, const char *key, const char *value) {
    struct nx_buf *b = &l->text;
    struct nx_span text = nx_span_str(value);
    size_t start = b->len;
    for (;;) {
        put_key(b, key);
        if (nx_json_append_string(b, text) == 0)
            return;
        rewind_to(b, start);
        l->cut = true;
        if (text.len == 0)
            return;
        text = halve(text, NX_MAX_LOG_LINE_BYTES);
    }
}

// Adds the message, which may fill half the line, so that the fields that place it stay.
static void put_message(struct line *l, const char *key, const char *msg) {
    size_t most = l->text.max_bytes;
    l->text.max_bytes = NX_MAX_LOG_LINE_BYTES / 2;
    put_text(l, key, msg);
    l->text.max_bytes = most;
}

static void put_number(struct line *l, const struct nx_log_field *f) {
    struct nx_buf *b = &l->text;
    size_t start = b->len;
    put_key(b, f->key);
    if (f->is_bool ? nx_buf_append_str(b, f->number ? "true" : "false") == 0
                   : nx_buf_printf(b, "%" PRId64, f->number) == 0)
        return;
    rewind_to(b, start);
    l->cut = true;
}

// TIME LEVEL component "message"
static void put_pretty_head(struct line *l, enum nx_log_level level, const char *component,
                            const char *msg, const char *time) {
    nx_buf_printf(&l->text, "%s %-5s", time, level_names[level]);
    if (component)
        nx_buf_printf(&l->text, " %.*s:", NX_MAX_IDENTIFIER_BYTES, component);
    put_message(l, NULL, msg);
}

static void put_json_head(struct line *l, enum nx_log_level level, const char *component,
                          const char *msg, const char *time) {
    nx_buf_append_char(&l->text, '{');
    put_text(l, "time", time);
    put_text(l, "level", level_names[level]);
    put_message(l, "msg", msg);
    if (component)
        put_text(l, "component", component);
}

void nx_log(enum nx_log_level level, const char *component, const char *msg,
            const struct nx_log_field *fields) {
    if ((unsigned)level >= LEVELS || !nx_log_enabled(level))
        return;
    int saved = errno;
    struct line l;
    size_t tail = config.pretty ? sizeof pretty_cut_end : sizeof json_cut_end;
    l.cut = false;
    l.text = (struct nx_buf){
        .data = l.bytes, .cap = sizeof l.bytes, .max_bytes = NX_MAX_LOG_LINE_BYTES - tail};
    char time[25];
    nx_clock_rfc3339(nx_clock_wall_ms(), time);
    (config.pretty ? put_pretty_head : put_json_head)(&l, level, component, msg ? msg : "", time);
    for (const struct nx_log_field *f = fields; f && f->key; f++) {
        if (f->text)
            put_text(&l, f->key, f->text);
        else
            put_number(&l, f);
    }
    l.text.max_bytes = NX_MAX_LOG_LINE_BYTES;
    if (config.pretty)
        nx_buf_append_str(&l.text, l.cut ? pretty_cut_end : pretty_end);
    else
        nx_buf_append_str(&l.text, l.cut ? json_cut_end : json_end);
    write_line(l.text.data, l.text.len);
    errno = saved;
}
