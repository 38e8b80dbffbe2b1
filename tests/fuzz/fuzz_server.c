// SPDX-License-Identifier: Apache-2.0
// The whole server with its sandbox, and one client that sends what it likes.
// Input: a first line that chooses, then
//   http  bytes for a connection; 0xff stands between what arrives in one piece
//   and the next ws    lines for a WebSocket of a panel: each is a text
//   message, but for `!` and what follows it:
//         b a binary message, p a ping, c a close, f a message in two
//         fragments, r bytes as they are
// Replies must be replies, and everything of a client is gone when it is.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "fuzz.h"
#include "kernel/http_conn.h"
#include "kernel/ws_session.h"

enum { REPLY_BYTES = 4 * 1024 * 1024, ROUNDS = 3, MAX_LINES = 40 };

static uv_loop_t loop;
static struct nx_runtime *runtime;
static struct nx_metrics *metrics;
static struct nx_http *http;
static struct nx_buf replies;

static const char panel[] = "{\"id\":\"p\",\"kind\":\"k\",\"title\":\"t\","
                            "\"capabilities\":[\"state:read:*\",\"state:write:"
                            "*\","
                            "\"events:emit:*\",\"view:update:*\",\"ext:time\"],"
                            "\"initialState\":{\"n\":1},\"tools\":["
                            "{\"name\":\"add\",\"args\":[{\"name\":\"by\","
                            "\"type\":\"number\",\"default\":1}],"
                            "\"handler\":\"$state.n += $args.by; "
                            "$emit('added', $args); return $state.n;\"},"
                            "{\"name\":\"wait\",\"handler\":\"$log('w'); await "
                            "$ext.time.sleep(5); return 1;\"},"
                            "{\"name\":\"fail\",\"handler\":\"$view.focus('x');"
                            " throw new Error('no');\"}]}";

// ---- The server

struct creation {
    bool ended, made;
};

static void on_created(void *user, struct nx_panel *made, const struct nx_result *mount,
                       const struct nx_panel_failure *failure) {
    struct creation *creation = user;
    (void)mount;
    (void)failure;
    *creation = (struct creation){.ended = true, .made = made};
}

// Makes the panel of the clients; while one that was deleted is ending, its id
// is taken.
static void create_panel(void) {
    struct nx_panel_request request = {.source = nx_span_str(panel)};
    for (struct creation creation = {0}; !creation.made;) {
        creation.ended = false;
        FUZZ_CHECK(nx_runtime_create_panel(runtime, &request, on_created, &creation, NULL) == 0);
        while (!creation.ended)
            uv_run(&loop, UV_RUN_ONCE);
    }
}

static void start(void) {
    struct nx_runtime_config config;
    struct nx_error err = {0};
    if (http)
        return;
    signal(SIGPIPE, SIG_IGN);
    nx_log_configure(open("/dev/null", O_WRONLY | O_CLOEXEC), NX_LOG_DEBUG, false);
    nx_runtime_config_default(&config);
    config.sandbox.workers = 1;
    config.limits.timeout_ms = 200;
    config.suspend_timeout_ms = 200;
    config.max_panels = 4;
    config.max_queue = 20;
    FUZZ_CHECK(uv_loop_init(&loop) == 0);
    FUZZ_CHECK(nx_runtime_start(&runtime, &loop, &config, &err) == 0);
    FUZZ_CHECK(nx_metrics_new(&metrics, runtime, true, &err) == 0);
    struct nx_http_config server = {.host = "127.0.0.1",
                                    .ws_port = -1,
                                    .metrics_port = -1,
                                    .body_limit_bytes = 4096,
                                    .max_clients = 100,
                                    .max_panels = 4,
                                    .audit_all = true,
                                    .metrics = metrics};
    FUZZ_CHECK(nx_http_new(&http, &loop, runtime, &server, &err) == 0);
    FUZZ_CHECK(nx_http_listen(http, &err) == 0);
    nx_http_set_ready(http);
    create_panel();
    nx_buf_init(&replies, REPLY_BYTES);
}

// ---- The client

static int client;

static void pump(int rounds) {
    for (int i = 0; i < rounds; i++) {
        char bytes[65536];
        ssize_t got;
        uv_run(&loop, UV_RUN_NOWAIT);
        while ((got = recv(client, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
            nx_buf_append(&replies, bytes, (size_t)got);
    }
}

static void say(struct nx_span bytes) {
    // What the server does not want to hear any more is lost.
    if (bytes.len)
        (void)!send(client, bytes.data, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    pump(ROUNDS);
}

static void connect_client(void) {
    const char *colon = strrchr(nx_http_url(http), ':');
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(client >= 0);
    // libFuzzer's alarm, every few seconds, may interrupt it; the connection comes all the same.
    struct pollfd connected = {.fd = client, .events = POLLOUT};
    if (connect(client, (struct sockaddr *)&address, sizeof address) != 0)
        FUZZ_CHECK(errno == EINTR);
    while (poll(&connected, 1, -1) != 1)
        FUZZ_CHECK(errno == EINTR);
    FUZZ_CHECK(connected.revents == POLLOUT);
    nx_buf_reset(&replies);
    pump(ROUNDS);
}

// The client goes without a word, and the server lets go of all that was its.
static void disconnect(void) {
    struct linger reset = {1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client);
    while (!TAILQ_EMPTY(&http->conns))
        uv_run(&loop, UV_RUN_ONCE);
    FUZZ_CHECK(http->conn_count == 0 && http->buffered_bytes == 0 && http->ws->count == 0);
}

// Panels that a request made go again: the next input finds what this one
// found.
static void tidy(void) {
    struct nx_panel *panels[8];
    size_t count = nx_runtime_list_panels(runtime, (struct nx_span){0}, panels, 8);
    for (size_t i = 0; i < count; i++)
        if (strcmp(nx_panel_id(panels[i]), "p") != 0)
            nx_runtime_delete_panel(panels[i], "tidy", NULL, NULL, NULL);
    if (!nx_runtime_find_panel(runtime, nx_span_str("p")))
        create_panel();
}

// Of the first reply.
static const char *end_of_head(void) {
    return replies.len ? memmem(replies.data, replies.len, "\r\n\r\n", 4) : NULL;
}

// ---- HTTP

static void check_http_replies(void) {
    struct nx_span text = nx_buf_span(&replies);
    if (text.len == 0)
        return;
    const char *end = end_of_head();
    FUZZ_CHECK(text.len > 12 && memcmp(text.data, "HTTP/1.1 ", 9) == 0 && end);
    FUZZ_CHECK(text.data[9] >= '1' && text.data[9] <= '5');
    for (const char *p = text.data; p < end; p++)
        FUZZ_CHECK((*p != '\n' || p[-1] == '\r') && *p != '\0');
    // The body of a first reply that says its length, and that it is JSON, is
    // JSON.
    const char *length = memmem(text.data, (size_t)(end - text.data), "Content-Length: ", 16);
    bool json = memmem(text.data, (size_t)(end - text.data), "application/json", 16);
    if (!length || !json)
        return;
    size_t bytes = strtoul(length + 16, NULL, 10), there = text.len - (size_t)(end + 4 - text.data);
    if (bytes > 0 && bytes == there)
        FUZZ_CHECK(nx_json_scan(nx_span_of(end + 4, bytes), NULL, NULL) == 0);
}

static void fuzz_http(struct fuzz_input *in) {
    while (in->left)
        say(fuzz_until(in, (char)0xff));
    pump(ROUNDS);
    check_http_replies();
}

// ---- WebSocket

static void put_frame(struct nx_buf *out, uint8_t first, struct nx_span payload) {
    nx_buf_append_char(out, (char)first);
    if (payload.len < 126) {
        nx_buf_append_char(out, (char)(0x80 | payload.len));
    } else {
        nx_buf_append_char(out, (char)(0x80 | 126));
        nx_buf_append_char(out, (char)(payload.len >> 8));
        nx_buf_append_char(out, (char)payload.len);
    }
    nx_buf_append(out, "\1\2\3\4", 4);
    for (size_t i = 0; i < payload.len; i++)
        nx_buf_append_char(out, (char)(payload.data[i] ^ (char)(1 + i % 4)));
}

static void say_line(struct nx_span line) {
    struct nx_buf out;
    nx_buf_init(&out, line.len + 64);
    char kind = line.len >= 2 && line.data[0] == '!' ? line.data[1] : 't';
    struct nx_span rest = kind == 't' ? line : nx_span_of(line.data + 2, line.len - 2);
    if (kind == 'r')
        nx_buf_append_span(&out, rest);
    else if (kind == 'f') {
        put_frame(&out, 0x01, nx_span_of(rest.data, rest.len / 2));
        put_frame(&out, 0x80, nx_span_of(rest.data + rest.len / 2, rest.len - rest.len / 2));
    } else {
        put_frame(&out, kind == 'b' ? 0x82 : kind == 'p' ? 0x89 : kind == 'c' ? 0x88 : 0x81, rest);
    }
    say(nx_buf_span(&out));
    nx_buf_free(&out);
}

static void check_message(struct nx_span text) {
    struct nx_span type;
    enum nx_json_kind kind;
    FUZZ_CHECK(nx_json_scan(text, &kind, NULL) == 0 && kind == NX_JSON_OBJECT);
    FUZZ_CHECK(fuzz_utf8(text, false));
    FUZZ_CHECK(nx_json_member(text, "type", &type) == 0 && type.data[0] == '"');
}

// What came after the upgrade: whole frames, unmasked, not fragmented.
static void check_frames(struct nx_span data) {
    while (data.len >= 2) {
        uint8_t first = (uint8_t)data.data[0], len = (uint8_t)data.data[1];
        size_t skip = len == 126 ? 4 : len == 127 ? 10 : 2, bytes = len;
        FUZZ_CHECK((first & 0xf0) == 0x80 && !(len & 0x80));
        if (data.len < skip)
            return;
        if (len >= 126) {
            bytes = 0;
            for (size_t i = 2; i < skip; i++)
                bytes = bytes << 8 | (uint8_t)data.data[i];
        }
        if (data.len - skip < bytes)
            return;
        struct nx_span payload = nx_span_of(data.data + skip, bytes);
        uint8_t opcode = first & 0x0f;
        FUZZ_CHECK(opcode == 1 || opcode == 8 || opcode == 9 || opcode == 10);
        FUZZ_CHECK(opcode == 1 || bytes <= 125);
        if (opcode == 1)
            check_message(payload);
        data = nx_span_of(payload.data + bytes, data.len - skip - bytes);
    }
}

static void fuzz_ws(struct fuzz_input *in) {
    say(nx_span_str("GET /panels/p/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));
    // A busy machine may bring the bytes later than they were sent.
    while (!end_of_head())
        pump(1);
    FUZZ_CHECK(memcmp(replies.data, "HTTP/1.1 101 ", 13) == 0);
    for (int i = 0; i < MAX_LINES && in->left; i++)
        say_line(fuzz_until(in, '\n'));
    pump(ROUNDS);
    size_t head = (size_t)(end_of_head() + 4 - replies.data);
    check_frames(nx_span_of(replies.data + head, replies.len - head));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = fuzz_input(data, size);
    start();
    connect_client();
    if (nx_span_eq(fuzz_until(&in, '\n'), nx_span_str("ws")))
        fuzz_ws(&in);
    else
        fuzz_http(&in);
    disconnect();
    tidy();
    return 0;
}
