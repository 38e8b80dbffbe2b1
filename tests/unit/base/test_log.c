// SPDX-License-Identifier: Apache-2.0
// Log lines as they arrive at the descriptor: shape, escaping, levels, length.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"

enum { ROOM = 2 * NX_MAX_LOG_LINE_BYTES };

// A datagram socket keeps writes apart, which shows that a line is one write.
static int pair[2];
static char line[ROOM];

static int open_pair(void **state) {
    (void)state;
    return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
}

static int close_pair(void **state) {
    (void)state;
    nx_fd_close(&pair[0]);
    nx_fd_close(&pair[1]);
    return 0;
}

// The bytes of the next write, NUL-terminated; 0 if there was none.
static size_t next_write(void) {
    ssize_t n = read(pair[1], line, sizeof line - 1);
    if (n < 0)
        n = 0;
    line[n] = '\0';
    return (size_t)n;
}

// The next line as a JSON object without its newline; fails the test if it is not exactly that.
static struct nx_span next_object(void) {
    size_t n = next_write();
    assert_true(n > 1 && n <= NX_MAX_LOG_LINE_BYTES);
    assert_int_equal(line[n - 1], '\n');
    assert_null(memchr(line, '\n', n - 1));
    struct nx_span object = {line, n - 1};
    enum nx_json_kind kind;
    struct nx_error err = {0};
    if (nx_json_scan(object, &kind, &err) != 0)
        fail_msg("%s: %s", err.message, line);
    assert_int_equal(kind, NX_JSON_OBJECT);
    return object;
}

static void assert_member(struct nx_span object, const char *key, const char *raw) {
    struct nx_span value;
    assert_int_equal(nx_json_member(object, key, &value), 0);
    if (!nx_span_eq(value, nx_span_str(raw)))
        fail_msg("%s is %.*s, not %s", key, (int)value.len, value.data, raw);
}

static void json_line_has_the_fixed_members(void **state) {
    (void)state;
    nx_log_configure(pair[0], NX_LOG_INFO, false);
    nx_log(NX_LOG_WARN, "http", "slow request",
           NX_LOG_FIELDS(NX_LOG_STR("requestId", "r1"), NX_LOG_INT("durationMs", -12),
                         NX_LOG_BOOL("audit", true), NX_LOG_BOOL("last", false)));
    struct nx_span object = next_object();
    struct nx_span time;
    assert_int_equal(nx_json_member(object, "time", &time), 0);
    assert_int_equal(time.len, 26);
    assert_int_equal(time.data[24], 'Z');
    assert_member(object, "level", "\"warn\"");
    assert_member(object, "msg", "\"slow request\"");
    assert_member(object, "component", "\"http\"");
    assert_member(object, "requestId", "\"r1\"");
    assert_member(object, "durationMs", "-12");
    assert_member(object, "audit", "true");
    assert_member(object, "last", "false");
    assert_int_equal(next_write(), 0);
}

static void missing_parts_are_left_out(void **state) {
    (void)state;
    nx_log_configure(pair[0], NX_LOG_INFO, false);
    nx_log(NX_LOG_INFO, NULL, NULL, NULL);
    struct nx_span object = next_object();
    struct nx_span value;
    assert_member(object, "msg", "\"\"");
    assert_int_equal(nx_json_member(object, "component", &value), NX_E_NOTFOUND);
    const char *none = NULL;
    nx_log(NX_LOG_INFO, "c", "m", NX_LOG_FIELDS(NX_LOG_STR("k", none)));
    assert_member(next_object(), "k", "\"\"");
}

static void levels_filter(void **state) {
    (void)state;
    for (int min = NX_LOG_DEBUG; min <= NX_LOG_ERROR; min++) {
        nx_log_configure(pair[0], (enum nx_log_level)min, false);
        for (int level = NX_LOG_DEBUG; level <= NX_LOG_ERROR; level++) {
            assert_int_equal(nx_log_enabled((enum nx_log_level)level), level >= min);
            nx_log((enum nx_log_level)level, "c", "m", NULL);
            assert_int_equal(next_write() > 0, level >= min);
        }
    }
}

static void levels_parse(void **state) {
    (void)state;
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (int i = 0; i < 4; i++) {
        enum nx_log_level level;
        assert_int_equal(nx_log_parse_level(names[i], &level), 0);
        assert_int_equal(level, i);
    }
    static const char *const wrong[] = {"", "Info", "warning", "info ", "err", NULL};
    for (int i = 0; i < 6; i++) {
        enum nx_log_level level = NX_LOG_WARN;
        assert_int_equal(nx_log_parse_level(wrong[i], &level), NX_E_INVALID);
        assert_int_equal(level, NX_LOG_WARN);
    }
}

static const char nasty[] = "a\"b\\c\nd\r\te\x1b[2J\x7f\xc2\x9b\xff\xed\xa0\x80}";

static void hostile_text_stays_one_valid_line(void **state) {
    (void)state;
    nx_log_configure(pair[0], NX_LOG_INFO, false);
    nx_log(NX_LOG_INFO, nasty, nasty, NX_LOG_FIELDS(NX_LOG_STR("k", nasty)));
    assert_member(next_object(), "k",
                  "\"a\\\"b\\\\c\\nd\\r\\te\\u001b[2J\\u007f\\u009b\xef\xbf\xbd\\ud800}\"");
}

static void pretty_lines_hold_no_control_characters(void **state) {
    (void)state;
    nx_log_configure(pair[0], NX_LOG_INFO, true);
    nx_log(NX_LOG_INFO, "http", nasty, NX_LOG_FIELDS(NX_LOG_STR("k", nasty), NX_LOG_INT("n", 5)));
    size_t n = next_write();
    assert_true(n > 0);
    for (size_t i = 0; i + 1 < n; i++)
        assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
    assert_non_null(strstr(line, " info  http: \"a\\\"b"));
    assert_non_null(strstr(line, " k=\"a\\\"b"));
    assert_string_equal(line + n - 5, " n=5\n");
}

// Texts of every kind of length around the limit, in both modes.
static void long_lines_are_cut_but_valid(void **state) {
    (void)state;
    static const char *const units[] = {"a", "\x01", "\xe2\x82\xac", "\xff"};
    char *text = malloc(100001);
    assert_non_null(text);
    for (size_t u = 0; u < 4; u++) {
        size_t unit = strlen(units[u]);
        for (size_t len = 2000; len < 100000; len += len < 20000 ? 97 : 9973) {
            for (size_t i = 0; i < len; i++)
                text[i] = units[u][i % unit];
            text[len - len % unit] = '\0';
            nx_log_configure(pair[0], NX_LOG_INFO, false);
            nx_log(NX_LOG_ERROR, "c", "m",
                   NX_LOG_FIELDS(NX_LOG_STR("k", text), NX_LOG_INT("n", 1)));
            struct nx_span object = next_object();
            struct nx_span value;
            bool cut = nx_json_member(object, "truncated", &value) == 0;
            assert_int_equal(nx_json_member(object, "k", &value), 0);
            assert_true(cut || value.len >= len - len % unit + 2);
            assert_true(!cut || value.len > NX_MAX_LOG_LINE_BYTES / 4);
            if (u == 2) // no character was cut in half
                assert_null(memmem(value.data, value.len, "\xef\xbf\xbd", 3));
            nx_log_configure(pair[0], NX_LOG_INFO, true);
            nx_log(NX_LOG_ERROR, "c", "m", NX_LOG_FIELDS(NX_LOG_STR("k", text)));
            size_t n = next_write();
            assert_true(n <= NX_MAX_LOG_LINE_BYTES);
            assert_int_equal(line[n - 1], '\n');
        }
    }
    free(text);
}

static void long_message_leaves_room_for_fields(void **state) {
    (void)state;
    char *text = malloc(NX_MAX_LOG_LINE_BYTES + 1);
    assert_non_null(text);
    memset(text, 'x', NX_MAX_LOG_LINE_BYTES);
    nx_log_configure(pair[0], NX_LOG_INFO, false);
    // Among them lengths that alone would leave no room for the members behind the message.
    for (size_t len = NX_MAX_LOG_LINE_BYTES - 400; len <= NX_MAX_LOG_LINE_BYTES; len++) {
        text[len] = '\0';
        nx_log(NX_LOG_INFO, "c", text, NX_LOG_FIELDS(NX_LOG_STR("requestId", "r1")));
        if (len < NX_MAX_LOG_LINE_BYTES)
            text[len] = 'x';
        struct nx_span object = next_object();
        assert_member(object, "requestId", "\"r1\"");
        assert_member(object, "component", "\"c\"");
        assert_member(object, "truncated", "true");
    }
    free(text);
}

static void too_many_fields_are_dropped(void **state) {
    (void)state;
    enum { FIELDS = 4000 };
    struct nx_log_field *fields = calloc(FIELDS + 1, sizeof *fields);
    assert_non_null(fields);
    for (int i = 0; i < FIELDS; i++)
        fields[i] = NX_LOG_INT("number", i);
    nx_log_configure(pair[0], NX_LOG_INFO, false);
    nx_log(NX_LOG_INFO, "c", "m", fields);
    assert_member(next_object(), "truncated", "true");
    free(fields);
}

static void failing_output_is_harmless(void **state) {
    (void)state;
    nx_log_configure(-1, NX_LOG_INFO, false);
    errno = ENOTTY;
    nx_log(NX_LOG_INFO, "c", "m", NULL);
    assert_int_equal(errno, ENOTTY);
    nx_log_configure(pair[0], NX_LOG_INFO, false);
    nx_log(NX_LOG_INFO, "c", "still here", NULL);
    assert_member(next_object(), "msg", "\"still here\"");
}

// In place of the C library's (whose header is not for those who define it): a log whose reader
// makes room for a line each time, after less than a millisecond. One that really reads would be
// held up by a busy machine.
static int slow_fd = -1, slow_waits;

struct pollfd {
    int fd;
    short events, revents;
};
int poll(struct pollfd *fds, unsigned long count, int timeout_ms);

int poll(struct pollfd *fds, unsigned long count, int timeout_ms) {
    const struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    if (fds->fd != slow_fd)
        return (int)syscall(SYS_ppoll, fds, count, timeout_ms < 0 ? NULL : &timeout, NULL, 0);
    if (timeout_ms == 0)
        return 0;
    slow_waits++;
    nanosleep(&(struct timespec){0, 300000}, NULL);
    return 1;
}

static void short_waits_add_up(void **state) {
    (void)state;
    enum { LINES = 500, WAITS = NX_LOG_WAIT_MS * 10 / 3 + 1 }; // of 0.3 ms and more, in one window
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    nx_log_configure(fd, NX_LOG_INFO, false);
    slow_fd = fd;
    uint64_t began_ns = nx_clock_monotonic_ns();
    for (int i = 0; i < LINES; i++)
        nx_log(NX_LOG_INFO, "c", "m", NULL);
    uint64_t windows = 2 + (nx_clock_monotonic_ns() - began_ns) / 1000000 / NX_LOG_WAIT_WINDOW_MS;
    slow_fd = -1;
    nx_log(NX_LOG_INFO, "c", "says how many were lost", NULL);
    nx_fd_close(&fd);
    assert_true(slow_waits > 0 && (uint64_t)slow_waits <= windows * WAITS);
}

// A pipe that is full and not read costs lines, not the caller's time, and a line says how many.
static void a_reader_that_stops_costs_lines(void **state) {
    (void)state;
    int ends[2];
    char fill[512];
    memset(fill, 'x', sizeof fill);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 16384) >= 0);
    while (write(ends[1], fill, sizeof fill) > 0) {
    }
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0); // a log's descriptor waits
    nx_log_configure(ends[1], NX_LOG_INFO, false);
    uint64_t began_ns = nx_clock_monotonic_ns();
    for (int i = 0; i < 1000; i++)
        nx_log(NX_LOG_INFO, "c", "unread", NULL);
    assert_true(nx_clock_monotonic_ns() - began_ns < 10 * NX_LOG_WAIT_WINDOW_MS * 1000000ull);
    while (read(ends[0], fill, sizeof fill) > 0) {
    }
    nx_log(NX_LOG_INFO, "c", "read again", NULL);
    ssize_t n = read(ends[0], line, sizeof line - 1);
    assert_true(n > 0);
    line[n] = '\0';
    assert_non_null(strstr(line, "\"count\":1000}\n{"));
    assert_non_null(strstr(line, "read again"));
    nx_log(NX_LOG_INFO, "c", "and no more", NULL);
    n = read(ends[0], line, sizeof line - 1);
    assert_true(n > 0);
    line[n] = '\0';
    assert_null(strstr(line, "count"));
    nx_fd_close(&ends[0]);
    nx_fd_close(&ends[1]);
}

static void pipes_of_the_default_size_are_enlarged(void **state) {
    (void)state;
    for (int chosen = 0; chosen < 2; chosen++) {
        int ends[2];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        if (chosen)
            assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 16384), 16384);
        nx_log_configure(ends[1], NX_LOG_INFO, false);
        nx_log_enlarge_pipe();
        assert_int_equal(fcntl(ends[1], F_GETPIPE_SZ), chosen ? 16384 : NX_LOG_PIPE_BYTES);
        nx_fd_close(&ends[0]);
        nx_fd_close(&ends[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_line_has_the_fixed_members),
        cmocka_unit_test(missing_parts_are_left_out),
        cmocka_unit_test(levels_filter),
        cmocka_unit_test(levels_parse),
        cmocka_unit_test(hostile_text_stays_one_valid_line),
        cmocka_unit_test(pretty_lines_hold_no_control_characters),
        cmocka_unit_test(long_lines_are_cut_but_valid),
        cmocka_unit_test(long_message_leaves_room_for_fields),
        cmocka_unit_test(too_many_fields_are_dropped),
        cmocka_unit_test(failing_output_is_harmless),
        cmocka_unit_test(short_waits_add_up),
        cmocka_unit_test(a_reader_that_stops_costs_lines),
        cmocka_unit_test(pipes_of_the_default_size_are_enlarged),
    };
    return cmocka_run_group_tests(tests, open_pair, close_pair);
}
