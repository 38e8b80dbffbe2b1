// SPDX-License-Identifier: Apache-2.0
// The stand-in for nexus-sandbox; see fake_sandbox.h. It is strict about what the kernel sends: at
// the first frame that wire.h does not allow it complains and dies, and the test fails.
#include "fake_sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "guest/abi.h"
#include "guest_info.h"
#include "sandbox/wire.h"

extern char **environ;

static _Noreturn void complain(const char *what) {
    fprintf(stderr, "fake sandbox: %s\n", what);
    _exit(99);
}

static void send_frame(int channel, enum nx_frame_type type, uint32_t id, struct nx_span payload,
                       int fd) {
    struct nx_buf out;
    nx_buf_init(&out, NX_MAX_FRAME_BYTES + sizeof(struct nx_frame_header));
    const size_t start = nx_wire_begin(&out, type, id);
    nx_buf_append_span(&out, payload);
    if (nx_wire_end(&out, start) != 0) {
        complain("a frame that is too large");
    }
    if ((fd >= 0 ? nx_fd_send(channel, out.data, out.len, fd)
                 : nx_fd_write_all(channel, out.data, out.len)) != 0) {
        _exit(0); // the kernel has enough of it
    }
    nx_buf_free(&out);
}

// Reads a frame; the payload is the caller's to free. False at the end of the channel.
static bool read_frame(int channel, struct nx_frame_header *header, char **payload, int *fd) {
    const ssize_t got = nx_fd_recv(channel, header, sizeof(*header), fd);
    if (got <= 0) {
        return false;
    }
    if (got < (ssize_t)sizeof(*header) &&
        nx_fd_read_all(channel, (char *)header + got, sizeof(*header) - (size_t)got) != 0) {
        complain("half a header");
    }
    if (header->version != NX_WIRE_VERSION || header->zero != 0 ||
        header->payload_bytes > NX_MAX_FRAME_BYTES) {
        complain("a malformed header");
    }
    *payload = malloc((size_t)header->payload_bytes + 1);
    if (*payload == NULL || nx_fd_read_all(channel, *payload, header->payload_bytes) != 0) {
        complain("half a frame");
    }
    return true;
}

// ---- worker

struct execution {
    struct execution *next;
    uint32_t id;
    size_t at, len; // within program
    char program[];
};
static struct execution *executions;

struct slot {
    char *program;
    size_t len;
};
static struct slot slots[NX_WIRE_CODE_SLOTS];
static size_t code_bytes;
static bool said_slow; // and GO has not come
static bool dropping;  // as an honest worker does in that time

// A DONE segment without any effect.
static void send_done(int channel, uint32_t id, struct nx_span json) {
    struct nx_buf out;
    nx_buf_init(&out, NX_MAX_FRAME_BYTES);
    nx_wire_put_u8(&out, 0); // DONE
    nx_wire_put_u32(&out, 1);
    nx_wire_put_u64(&out, 1);
    nx_wire_put_u64(&out, 1);
    for (int i = 0; i < NX_RESET_KINDS + NX_HOST_CALL_COUNT + 6; i++) { // none of each
        nx_wire_put_u32(&out, 0);
    }
    nx_wire_put_bytes(&out, json);
    if (out.failed != 0) {
        complain("too much to return");
    }
    send_frame(channel, NX_FRAME_SEGMENT, id, nx_buf_span(&out), -1);
    nx_buf_free(&out);
}

static void echo(int channel, uint32_t id, struct nx_span frame) {
    struct nx_buf hex;
    nx_buf_init(&hex, NX_MAX_FRAME_BYTES);
    nx_buf_append_char(&hex, '"');
    for (size_t i = 0; i < frame.len; i++) {
        nx_buf_printf(&hex, "%02x", (unsigned char)frame.data[i]);
    }
    nx_buf_append_char(&hex, '"');
    send_done(channel, id, nx_buf_span(&hex));
    nx_buf_free(&hex);
}

static void count_suspended(int channel, uint32_t id) {
    char text[16];
    unsigned count = 0;
    for (const struct execution *exec = executions; exec != NULL; exec = exec->next) {
        count++;
    }
    snprintf(text, sizeof(text), "%u", count);
    send_done(channel, id, nx_span_str(text));
}

static void send_forged(int channel, uint32_t id, struct nx_wire_reader *r, bool with_fd) {
    const enum nx_frame_type type = (enum nx_frame_type)nx_wire_get_u8(r);
    const uint32_t added = nx_wire_get_u32(r);
    const struct nx_span payload = nx_wire_get_bytes(r);
    said_slow = said_slow || type == NX_FRAME_SLOW;
    NX_CLEANUP_FD int fd = with_fd ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    send_frame(channel, type, id + added, payload, fd);
}

static void send_raw(int channel, struct nx_span bytes, bool forever) {
    do {
        if (nx_fd_write_all(channel, bytes.data, bytes.len) != 0) {
            _exit(0);
        }
    } while (forever);
}

static void send_pieces(int channel, uint32_t id, struct nx_span payload) {
    struct nx_buf out;
    nx_buf_init(&out, NX_MAX_FRAME_BYTES);
    const size_t start = nx_wire_begin(&out, NX_FRAME_SEGMENT, id);
    nx_buf_append_span(&out, payload);
    (void)nx_wire_end(&out, start);
    for (size_t i = 0; i < out.len; i++) {
        send_raw(channel, nx_span_of(out.data + i, 1), false);
        usleep(200);
    }
    nx_buf_free(&out);
}

static _Noreturn void leave_an_orphan(void) {
    if (fork() == 0) {
        sleep(1);
    }
    _exit(0);
}

static _Noreturn void hang(bool busy) {
    for (;;) {
        (void)(busy || pause());
    }
}

// Carries out a program up to its end, true, or its next FAKE_WAIT, false.
static bool obey(int channel, uint32_t id, struct nx_wire_reader *r, struct nx_span frame) {
    while (!nx_wire_reader_done(r)) {
        const enum fake_order order = (enum fake_order)nx_wire_get_u8(r);
        switch (order) {
        case FAKE_FRAME:
        case FAKE_FRAME_FD:
            send_forged(channel, id, r, order == FAKE_FRAME_FD);
            break;
        case FAKE_RAW:
        case FAKE_FLOOD:
            send_raw(channel, nx_wire_get_bytes(r), order == FAKE_FLOOD);
            break;
        case FAKE_PIECES:
            send_pieces(channel, id, nx_wire_get_bytes(r));
            break;
        case FAKE_ECHO:
            echo(channel, id, frame);
            break;
        case FAKE_SLOW:
            send_frame(channel, NX_FRAME_SLOW, 0, (struct nx_span){0}, -1);
            said_slow = dropping = true;
            break;
        case FAKE_COUNT:
            count_suspended(channel, id);
            break;
        case FAKE_WAIT:
            return false;
        case FAKE_IGNORE:
            nx_wire_get_bytes(r);
            break;
        case FAKE_SLEEP:
            usleep(nx_wire_get_u32(r) * 1000);
            break;
        case FAKE_HANG:
        case FAKE_SPIN:
            hang(order == FAKE_SPIN);
        case FAKE_EXIT:
            _exit(nx_wire_get_u8(r));
        case FAKE_SIGNAL:
            raise(nx_wire_get_u8(r));
            break;
        case FAKE_ORPHAN:
            leave_an_orphan();
        default:
            complain("an order it does not know");
        }
        if (r->failed) {
            complain("a program cut short");
        }
    }
    return true;
}

static void carry_on(int channel, struct execution *exec, struct nx_span frame) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, nx_span_of(exec->program + exec->at, exec->len - exec->at));
    if (!obey(channel, exec->id, &r, frame)) {
        exec->at = (size_t)(r.at - exec->program);
        exec->next = executions;
        executions = exec;
    } else {
        free(exec);
    }
}

// Takes a suspended execution out of the list.
static struct execution *wake(uint32_t id) {
    for (struct execution **at = &executions; *at != NULL; at = &(*at)->next) {
        if ((*at)->id == id) {
            struct execution *exec = *at;
            *at = exec->next;
            return exec;
        }
    }
    complain("an execution that is not suspended");
}

static void unload(uint32_t slot) {
    if (slot >= NX_WIRE_CODE_SLOTS) {
        complain("a slot out of range");
    }
    code_bytes -= slots[slot].len;
    free(slots[slot].program);
    slots[slot] = (struct slot){0};
}

static void load(uint32_t slot, struct nx_span payload) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    const struct nx_span program = nx_wire_get_bytes(&r);
    unload(slot);
    slots[slot] = (struct slot){malloc(program.len + 1), program.len};
    if (!nx_wire_reader_done(&r) || slots[slot].program == NULL) {
        complain("a malformed LOAD");
    }
    if (program.len != 0) {
        memcpy(slots[slot].program, program.data, program.len);
    }
    code_bytes += program.len;
    if (code_bytes > NX_MAX_WORKER_CODE_BYTES) {
        complain("more code than a worker is to keep");
    }
}

static void run(int channel, uint32_t id, struct nx_span payload) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    const uint32_t slot = nx_wire_get_u32(&r);
    if (slot >= NX_WIRE_CODE_SLOTS || slots[slot].program == NULL) {
        complain("a RUN of an empty slot");
    }
    struct execution *exec = malloc(sizeof(*exec) + slots[slot].len);
    if (exec == NULL) {
        complain("no memory");
    }
    *exec = (struct execution){.id = id, .len = slots[slot].len};
    memcpy(exec->program, slots[slot].program, exec->len);
    carry_on(channel, exec, payload);
}

static void compile(int channel, uint32_t id, struct nx_span payload) {
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, payload);
    nx_wire_get_u8(&r);
    nx_wire_get_u32(&r);
    nx_wire_get_u32(&r);
    const struct nx_span program = nx_wire_get_bytes(&r);
    if (!nx_wire_reader_done(&r)) {
        complain("a malformed COMPILE");
    }
    nx_wire_reader_init(&r, program);
    obey(channel, id, &r, payload);
}

static void handle(int channel, const struct nx_frame_header *header, struct nx_span payload) {
    if (dropping && (header->type == NX_FRAME_RUN || header->type == NX_FRAME_COMPILE)) {
        return;
    }
    switch (header->type) {
    case NX_FRAME_GO:
        if (!said_slow) {
            complain("a GO without a SLOW");
        }
        said_slow = dropping = false;
        break;
    case NX_FRAME_LOAD:
        load(header->id, payload);
        break;
    case NX_FRAME_UNLOAD:
        unload(header->id);
        break;
    case NX_FRAME_RUN:
        run(channel, header->id, payload);
        break;
    case NX_FRAME_RESUME:
        carry_on(channel, wake(header->id), payload);
        break;
    case NX_FRAME_RELEASE:
        free(wake(header->id));
        break;
    case NX_FRAME_COMPILE:
        compile(channel, header->id, payload);
        break;
    default:
        complain("a frame that is not for workers");
    }
}

static _Noreturn void work(int channel) {
    struct nx_frame_header header;
    char *payload;
    int fd = -1;
    while (read_frame(channel, &header, &payload, &fd)) {
        if (fd >= 0) {
            complain("a descriptor for a worker");
        }
        handle(channel, &header, nx_span_of(payload, header.payload_bytes));
        free(payload);
    }
    _exit(0);
}

// ---- zygote

static void send_text(enum nx_frame_type type, const char *text) {
    struct nx_buf out;
    nx_buf_init(&out, 4096);
    nx_wire_put_bytes(&out, nx_span_str(text));
    send_frame(NX_WIRE_ZYGOTE_FD, type, 0, nx_buf_span(&out), -1);
    nx_buf_free(&out);
}

static _Noreturn void fail(const char *message) {
    send_text(NX_FRAME_FAILED, message);
    _exit(1);
}

static void spawn(enum fake_zygote behaviour, int channel, bool spare) {
    const pid_t zygote = getpid();
    sigset_t chld, before; // a worker that is dead already stays a zombie until its pidfd is open
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, &before);
    const pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != zygote ||
            behaviour == FAKE_WORKERS_DIE) {
            _exit(1);
        }
        close(NX_WIRE_ZYGOTE_FD);
        work(channel);
    }
    close(channel);
    setpriority(PRIO_PROCESS, (id_t)pid,
                getpriority(PRIO_PROCESS, 0) + (spare ? FAKE_SPARE_NICE : 0));
    NX_CLEANUP_FD int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0 || pidfd < 0) {
        fail("the fake cannot fork");
    }
    struct nx_buf out;
    nx_buf_init(&out, 64);
    const bool none = behaviour == FAKE_NO_WORKER; // it ends with its channel, unheard of
    nx_wire_put_u32(&out, none ? 0 : (uint32_t)pid);
    nx_wire_put_u32(&out, none ? FAKE_ZYGOTE_PROTECTIONS : FAKE_PROTECTIONS);
    send_frame(NX_WIRE_ZYGOTE_FD, NX_FRAME_SPAWNED, 0, nx_buf_span(&out),
               none || behaviour == FAKE_NO_PIDFD ? -1 : pidfd);
    nx_buf_free(&out);
}

// What the kernel owes its sandbox: nothing to inherit.
static void check_surroundings(void) {
    if (environ != NULL && environ[0] != NULL) {
        fail("an environment");
    }
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        fail("no /proc");
    }
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const int fd = (int)strtol(entry->d_name, NULL, 10);
        char target[64] = "";
        if (entry->d_name[0] == '.' || fd == dirfd(dir) || fd == STDERR_FILENO ||
            fd == NX_WIRE_ZYGOTE_FD) {
            continue;
        }
        if (fd > NX_WIRE_ZYGOTE_FD ||
            readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) < 0 ||
            strcmp(target, "/dev/null") != 0) {
            fail("an inherited descriptor");
        }
    }
    closedir(dir);
}

static enum fake_zygote read_config(void) {
    struct nx_frame_header header;
    char *payload;
    int fd = -1;
    if (!read_frame(NX_WIRE_ZYGOTE_FD, &header, &payload, &fd) || header.type != NX_FRAME_CONFIG ||
        fd >= 0) {
        fail("no CONFIG");
    }
    struct nx_wire_reader r;
    nx_wire_reader_init(&r, nx_span_of(payload, header.payload_bytes));
    const uint32_t memory = nx_wire_get_u32(&r), stack = nx_wire_get_u32(&r);
    const uint32_t spare = nx_wire_get_u32(&r);
    if (!nx_wire_reader_done(&r) || memory < FAKE_MEMORY_BYTES(FAKE_GOOD) ||
        stack != FAKE_STACK_BYTES || spare != 0) {
        fail("a malformed CONFIG");
    }
    free(payload);
    return (enum fake_zygote)((memory - FAKE_MEMORY_BYTES(FAKE_GOOD)) >> 16);
}

static void announce(enum fake_zygote behaviour) {
    switch (behaviour) {
    case FAKE_OTHER_BUILD:
        send_text(NX_FRAME_READY, "0000" NX_GUEST_BUILD_ID);
        break;
    case FAKE_FAILS:
        fail(FAKE_FAILURE);
    case FAKE_EXITS:
        _exit(3);
    case FAKE_NOT_READY:
        hang(false);
    case FAKE_GARBAGE:
        send_raw(NX_WIRE_ZYGOTE_FD, nx_span_str("HTTP/1.1 200 OK\r\n\r\n"), false);
        break;
    default:
        send_text(NX_FRAME_READY, NX_GUEST_BUILD_ID);
    }
}

static void reap(int signal_number) {
    (void)signal_number;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

int main(void) {
    const struct sigaction reaper = {.sa_handler = reap, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || sigaction(SIGCHLD, &reaper, NULL) != 0) {
        return 1;
    }
    check_surroundings();
    const enum fake_zygote behaviour = read_config();
    announce(behaviour);
    struct nx_frame_header header;
    char *payload;
    int channel = -1;
    for (int count = 0; read_frame(NX_WIRE_ZYGOTE_FD, &header, &payload, &channel); count++) {
        free(payload);
        if (header.type == NX_FRAME_LOWER && channel < 0) {
            setpriority(PRIO_PROCESS, header.id, getpriority(PRIO_PROCESS, 0) + FAKE_LOWERED_NICE);
            continue;
        }
        if (header.type != NX_FRAME_SPAWN || channel < 0) {
            fail("neither a SPAWN nor a LOWER");
        }
        if (behaviour == FAKE_ONE_SPAWN_LEFT && count > 0) {
            fail(FAKE_FAILURE);
        }
        const bool none = behaviour == FAKE_ONE_WORKER && count > 0;
        spawn(none ? FAKE_NO_WORKER : behaviour, channel, header.id == 1);
    }
    return 0;
}
