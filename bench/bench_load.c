// SPDX-License-Identifier: Apache-2.0
// Load for the server over HTTP and WebSocket, on one thread.
//
//   bench_load http PORT CONNECTIONS PANELS RATE SECONDS     triggers over HTTP
//   bench_load ws PORT CONNECTIONS PANELS RATE SECONDS       triggers over WebSocket
//   bench_load fanout PORT SUBSCRIBERS SECONDS               one panel's PATCHes to all of them
//   bench_load idle PORT CONNECTIONS                         sockets that stay until stdin ends
//
// The panels are counter0, counter1, ... with the tool `increment`. Requests come due RATE times a
// second whether the server keeps up or not, and a latency is counted from when the request was
// due: a server that stalls is charged with everything that had to wait, not with one slow answer
// (cf. G. Tene on coordinated omission). RATE 0: each connection asks again as soon as it has its
// answer. Prints one line: RESULT, then done, failed, microseconds, and the 50th, 99th and largest
// latency in microseconds; of `fanout`, a latency is from the TRIGGER to the last PATCH.
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>
#include <wslay/wslay.h>

enum { IN_BYTES = 16384, MAX_SAMPLES = 16 * 1000 * 1000 };
enum mode { HTTP, WS, FANOUT, IDLE };

struct conn {
    uv_tcp_t tcp;
    uv_connect_t connecting;
    unsigned number;
    bool open; // it has taken part in the handshake, if there is one
    struct conn *next_free;
    uint64_t due_ns;                // of the request under way
    wslay_event_context_ptr frames; // NULL: HTTP
    size_t len, taken;
    char in[IN_BYTES];
};

static enum mode mode;
static int port;
static unsigned conn_count, panel_count, opened;
static double rate;
static uint64_t duration_ns;

static uv_loop_t *loop;
static struct conn *conns, *free_conns;
static int due_timer;
static uv_poll_t due_poll;
static uint64_t began_ns, ended_ns, sent, done, failed, patches;
static uint32_t *samples;
static char out[IN_BYTES]; // frames on their way to a connection
static size_t out_len;

static void die(const char *what, int rc) {
    fprintf(stderr, "bench_load: %s: %s\n", what, rc ? uv_strerror(rc) : "failed");
    exit(1);
}

// ---- Requests and answers

static bool is_paced(void) {
    return rate > 0;
}

static uint64_t due_at_ns(uint64_t number) {
    return began_ns + (uint64_t)((double)number / rate * 1e9);
}

static void write_all(struct conn *c, const void *data, size_t len) {
    uv_buf_t buf = uv_buf_init((char *)data, (unsigned)len);
    int rc = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (rc != (int)len) // requests are small, and an idle connection has room for one
        die("write", rc < 0 ? rc : 0);
}

// wslay hands out heads and payloads apart; a client sends both in one segment.
static void send_frames(struct conn *c) {
    out_len = 0;
    if (wslay_event_send(c->frames))
        die("frames", 0);
    if (out_len)
        write_all(c, out, out_len);
}

static void say(struct conn *c, const char *text) {
    struct wslay_event_msg message = {WSLAY_TEXT_FRAME, (const uint8_t *)text, strlen(text)};
    if (wslay_event_queue_msg(c->frames, &message))
        die("frame", 0);
    send_frames(c);
}

static void send_request(struct conn *c, uint64_t due_ns) {
    char text[256];
    c->due_ns = due_ns;
    if (mode != HTTP) {
        say(c, "{\"type\":\"TRIGGER\",\"tool\":\"increment\",\"requestId\":\"r\"}");
        return;
    }
    int len = snprintf(text, sizeof text,
                       "POST /panels/counter%u/trigger/increment HTTP/1.1\r\nHost: bench\r\n"
                       "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
                       (unsigned)(sent % panel_count));
    write_all(c, text, (size_t)len);
}

static void finish(void) {
    uv_stop(loop);
}

// Sends what is due, as far as connections are free.
static void send_due(void) {
    uint64_t now = uv_hrtime(), end = began_ns + duration_ns;
    while (free_conns) {
        uint64_t due = is_paced() ? due_at_ns(sent) : now;
        if (due >= end) {
            if (done + failed == sent)
                finish();
            return;
        }
        if (due > now) {
            struct itimerspec at = {
                .it_value = {(time_t)(due / 1000000000), (long)(due % 1000000000)}};
            timerfd_settime(due_timer, TFD_TIMER_ABSTIME, &at, NULL);
            return;
        }
        struct conn *c = free_conns;
        free_conns = c->next_free;
        send_request(c, due);
        sent++;
    }
}

static void on_due(uv_poll_t *poll, int status, int events) {
    uint64_t count;
    (void)poll, (void)status, (void)events;
    if (read(due_timer, &count, sizeof count) > 0)
        send_due();
}

static void sample(uint64_t from_ns) {
    uint64_t us = (uv_hrtime() - from_ns) / 1000;
    if (done < MAX_SAMPLES)
        samples[done] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    done++;
    ended_ns = uv_hrtime();
}

static void on_answer(struct conn *c, bool good) {
    if (good)
        sample(c->due_ns);
    else
        failed++;
    c->next_free = free_conns;
    free_conns = c;
    send_due();
}

// A round of `fanout` is over when every subscriber has its PATCH and the sender its RESULT.
static bool has_result;

static void on_fanned_out(void) {
    struct conn *sender = &conns[conn_count - 1];
    if (!has_result || patches < conn_count - 1)
        return;
    sample(sender->due_ns);
    has_result = false;
    patches = 0;
    if (uv_hrtime() - began_ns >= duration_ns)
        finish();
    else
        send_request(sender, uv_hrtime());
}

// ---- Connections

static void begin(void) {
    began_ns = uv_hrtime();
    if (mode == IDLE) {
        puts("OPEN");
        fflush(stdout);
    } else if (mode == FANOUT) {
        send_request(&conns[conn_count - 1], began_ns);
    } else {
        send_due();
    }
}

static void on_open(struct conn *c) {
    c->open = true;
    // Only subscribers hear of others; the last one of `fanout` is no subscriber.
    if (mode == WS || (mode == FANOUT && c->number == conn_count - 1))
        say(c, "{\"type\":\"UNSUBSCRIBE\",\"topics\":[\"state\",\"events\"]}");
    c->next_free = free_conns;
    free_conns = c;
    if (++opened == conn_count)
        begin();
}

static bool contains(const char *data, size_t len, const char *text) {
    return memmem(data, len, text, strlen(text)) != NULL;
}

static void on_message(wslay_event_context_ptr frames,
                       const struct wslay_event_on_msg_recv_arg *arg, void *user) {
    struct conn *c = user;
    const char *text = (const char *)arg->msg;
    (void)frames;
    if (arg->opcode != WSLAY_TEXT_FRAME)
        return;
    if (contains(text, arg->msg_length, "{\"type\":\"CONNECTED\"")) {
        on_open(c);
    } else if (mode == FANOUT) {
        bool good = contains(text, arg->msg_length, "\"status\":\"success\"");
        patches += contains(text, arg->msg_length, "{\"type\":\"PATCH\"");
        if (contains(text, arg->msg_length, "{\"type\":\"RESULT\""))
            has_result = true, failed += !good;
        on_fanned_out();
    } else if (mode == WS) {
        on_answer(c, contains(text, arg->msg_length, "\"status\":\"success\""));
    }
}

static ssize_t on_recv(wslay_event_context_ptr frames, uint8_t *data, size_t len, int flags,
                       void *user) {
    struct conn *c = user;
    (void)flags;
    size_t n = c->len - c->taken < len ? c->len - c->taken : len;
    if (n == 0) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(data, c->in + c->taken, n);
    c->taken += n;
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr frames, const uint8_t *data, size_t len, int flags,
                       void *user) {
    (void)frames, (void)flags, (void)user;
    if (len > sizeof out - out_len)
        die("too many frames at once", 0);
    memcpy(out + out_len, data, len);
    out_len += len;
    return (ssize_t)len;
}

static int on_mask(wslay_event_context_ptr frames, uint8_t *data, size_t len, void *user) {
    (void)frames, (void)user;
    memset(data, 0x5a, len); // a mask protects proxies, of which there are none
    return 0;
}

static void open_frames(struct conn *c) {
    const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                                    .send_callback = on_send,
                                                    .genmask_callback = on_mask,
                                                    .on_msg_recv_callback = on_message};
    if (wslay_event_context_client_init(&c->frames, &callbacks, c))
        die("frames", 0);
}

// The length of the head at the start of what came, or 0.
static size_t head_len(const struct conn *c) {
    const char *end = memmem(c->in, c->len, "\r\n\r\n", 4);
    return end ? (size_t)(end - c->in) + 4 : 0;
}

static void take_http(struct conn *c) {
    size_t head = head_len(c);
    const char *field = head ? memmem(c->in, head, "Content-Length: ", 16) : NULL;
    if (!field)
        return;
    size_t total = head + strtoul(field + 16, NULL, 10);
    if (total > IN_BYTES)
        die("an answer is too long", 0);
    if (c->len < total)
        return;
    bool good = contains(c->in, head, "HTTP/1.1 200 ") &&
                contains(c->in + head, total - head, "\"status\":\"success\"");
    c->len = 0; // one request at a time: nothing follows
    on_answer(c, good);
}

static void take_handshake(struct conn *c) {
    size_t head = head_len(c);
    if (!head)
        return;
    if (!contains(c->in, head, "HTTP/1.1 101 "))
        die("a socket was refused", 0);
    open_frames(c);
    c->taken = head;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    struct conn *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->in + c->len, (unsigned)(IN_BYTES - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct conn *c = stream->data;
    (void)buf;
    if (n < 0)
        die("the server closed a connection", (int)n);
    c->len += (size_t)n;
    if (mode == HTTP) {
        take_http(c);
        return;
    }
    if (!c->frames)
        take_handshake(c);
    if (!c->frames)
        return;
    if (wslay_event_recv(c->frames))
        die("frames", 0);
    send_frames(c);
    c->len = c->taken = 0;
}

static void open_next(void);

static void on_connected(uv_connect_t *connecting, int status) {
    struct conn *c = connecting->data;
    char text[256];
    if (status)
        die("connect", status);
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    open_next();
    if (mode == HTTP) {
        on_open(c);
        return;
    }
    int len = snprintf(text, sizeof text,
                       "GET /panels/counter%u/ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: YmVuY2ggYmVuY2ggYmVuYw==\r\n\r\n",
                       mode == WS ? c->number % panel_count : 0);
    write_all(c, text, (size_t)len);
}

// One after the other: a crowd would overflow the server's backlog.
static void open_next(void) {
    static unsigned begun;
    struct sockaddr_in address;
    if (begun == conn_count)
        return;
    struct conn *c = &conns[begun];
    c->number = begun++;
    c->tcp.data = c->connecting.data = c;
    uv_ip4_addr("127.0.0.1", port, &address);
    uv_tcp_init(loop, &c->tcp);
    int rc = uv_tcp_connect(&c->connecting, &c->tcp, (struct sockaddr *)&address, on_connected);
    if (rc)
        die("connect", rc);
}

// ---- All

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(void) {
    uint64_t n = done < MAX_SAMPLES ? done : MAX_SAMPLES;
    qsort(samples, n, sizeof *samples, by_value);
    printf("RESULT\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%u\t%u\t%u\n", done, failed,
           (ended_ns - began_ns) / 1000, n ? samples[n / 2] : 0, n ? samples[n * 99 / 100] : 0,
           n ? samples[n - 1] : 0);
}

static void on_stdin(uv_poll_t *poll, int status, int events) {
    char byte;
    (void)poll, (void)status, (void)events;
    if (read(STDIN_FILENO, &byte, 1) <= 0)
        finish();
}

static void watch_descriptors(void) {
    static uv_poll_t stdin_poll;
    due_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (due_timer < 0 || uv_poll_init(loop, &due_poll, due_timer) ||
        uv_poll_start(&due_poll, UV_READABLE, on_due))
        die("timer", 0);
    if (mode == IDLE && (uv_poll_init(loop, &stdin_poll, STDIN_FILENO) ||
                         uv_poll_start(&stdin_poll, UV_READABLE, on_stdin)))
        die("stdin", 0);
}

// A number of the command line that is at least `least`; anything else ends the program.
static double number(const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most)) {
        fprintf(stderr, "bench_load: not a number in range: %s\n", text);
        exit(2);
    }
    return value;
}

static bool parse(int argc, char **argv) {
    static const char *const names[] = {"http", "ws", "fanout", "idle"};
    static const int counts[] = {7, 7, 5, 4};
    unsigned at = 0;
    while (at < 4 && (argc < 2 || strcmp(argv[1], names[at]) != 0))
        at++;
    if (at == 4 || argc != counts[at])
        return false;
    mode = (enum mode)at;
    port = (int)number(argv[2], 1, 65535);
    conn_count = (unsigned)number(argv[3], 1, 1e6) + (mode == FANOUT);
    panel_count = mode <= WS ? (unsigned)number(argv[4], 1, 1e6) : 1;
    rate = mode <= WS ? number(argv[5], 0, 1e7) : 0;
    duration_ns = mode == IDLE ? 0 : (uint64_t)(number(argv[argc - 1], 0, 3600) * 1e9);
    return true;
}

int main(int argc, char **argv) {
    struct rlimit files;
    if (!parse(argc, argv)) {
        fputs("usage: bench_load http|ws PORT CONNECTIONS PANELS RATE SECONDS\n"
              "       bench_load fanout PORT SUBSCRIBERS SECONDS\n"
              "       bench_load idle PORT CONNECTIONS\n",
              stderr);
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    loop = uv_default_loop();
    conns = calloc(conn_count, sizeof *conns);
    samples = malloc(MAX_SAMPLES * sizeof *samples);
    if (!conns || !samples)
        die("out of memory", 0);
    watch_descriptors();
    open_next();
    uv_run(loop, UV_RUN_DEFAULT);
    if (mode != IDLE)
        report();
    return 0;
}
