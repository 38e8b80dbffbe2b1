// SPDX-License-Identifier: Apache-2.0
// The store of keys, and who waits for their results.
//
//   (request) --> RUNNING --final result--> DONE --time, room, its panel closed--> gone
//                    `--nothing ran--> gone
//
// Everybody who waits for a RUNNING key is on its list, the first one included; the trigger reports
// to the key, so that it is remembered although its client may have gone.
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"

// Clients choose the keys: a keyed hash keeps them from choosing collisions.
static struct nx_siphash_key hash_key;
#define HASH_FUNCTION(data, len, out) ((out) = (unsigned)nx_siphash(&hash_key, (data), (len)))
#define HASH_NONFATAL_OOM             1
#define uthash_nonfatal_oom(element)  ((element)->unhashed = true)
#include "kernel/http_replay.h"

#include <uthash.h>

enum { BODY_HASH_BYTES = 32 };

struct panel_keys;

struct nx_replay {
    UT_hash_handle hh;
    bool unhashed;
    bool done, kept; // DONE, and its result was not too large
    struct nx_replays *all;
    struct panel_keys *owner;
    TAILQ_ENTRY(nx_replay) panel_link;
    TAILQ_ENTRY(nx_replay) done_link;
    struct nx_http_conn_list waiting;
    uint64_t done_ms; // of the loop's clock
    uint8_t body_hash[BODY_HASH_BYTES];
    char *result; // owned
    size_t result_len;
    size_t name_len;
    char name[]; // panel (its pointer), tool, subject, key
};
TAILQ_HEAD(nx_replay_list, nx_replay);

// The keys of one panel; exists while there are any.
struct panel_keys {
    UT_hash_handle hh;
    bool unhashed;
    const struct nx_panel *panel;
    struct nx_replay_list keys; // those that are DONE: oldest first
    size_t done, bytes;         // of those that are DONE
};

struct nx_replays {
    struct nx_http *http;
    struct nx_replay *by_name;
    struct panel_keys *by_panel;
    struct nx_replay_list done; // oldest first
    size_t bytes;               // of results
};

// ---- The store

static struct panel_keys *keys_of(struct nx_replays *all, const struct nx_panel *panel) {
    struct panel_keys *owner;
    HASH_FIND_PTR(all->by_panel, &panel, owner);
    if (owner)
        return owner;
    owner = calloc(1, sizeof *owner);
    if (!owner)
        return NULL;
    owner->panel = panel;
    TAILQ_INIT(&owner->keys);
    HASH_ADD_PTR(all->by_panel, panel, owner);
    if (!owner->unhashed)
        return owner;
    free(owner);
    return NULL;
}

static void leave_panel(struct nx_replays *all, struct panel_keys *owner) {
    if (!TAILQ_EMPTY(&owner->keys))
        return;
    HASH_DEL(all->by_panel, owner);
    free(owner);
}

static void drop(struct nx_replay *r) {
    struct nx_replays *all = r->all;
    HASH_DEL(all->by_name, r);
    TAILQ_REMOVE(&r->owner->keys, r, panel_link);
    r->owner->done -= r->done;
    r->owner->bytes -= r->result_len;
    leave_panel(all, r->owner);
    if (r->done)
        TAILQ_REMOVE(&all->done, r, done_link);
    all->bytes -= r->result_len;
    free(r->result);
    free(r);
}

// Room for one more key. False: all are RUNNING.
static bool make_room(struct nx_replays *all) {
    while (HASH_COUNT(all->by_name) >= NX_MAX_IDEMPOTENT_RESULTS && !TAILQ_EMPTY(&all->done))
        drop(TAILQ_FIRST(&all->done));
    return HASH_COUNT(all->by_name) < NX_MAX_IDEMPOTENT_RESULTS;
}

static struct nx_replay *add(struct nx_replays *all, const struct nx_panel *panel,
                             struct nx_span name, const uint8_t hash[BODY_HASH_BYTES]) {
    struct panel_keys *owner = make_room(all) ? keys_of(all, panel) : NULL;
    struct nx_replay *r = owner ? calloc(1, sizeof *r + name.len) : NULL;
    if (r) {
        r->all = all;
        r->owner = owner;
        TAILQ_INIT(&r->waiting);
        memcpy(r->body_hash, hash, sizeof r->body_hash);
        r->name_len = name.len;
        memcpy(r->name, name.data, name.len);
        HASH_ADD(hh, all->by_name, name, r->name_len, r);
    }
    if (r && !r->unhashed) {
        TAILQ_INSERT_TAIL(&owner->keys, r, panel_link);
        return r;
    }
    free(r);
    if (owner)
        leave_panel(all, owner);
    return NULL;
}

// Past its share a panel pushes out its own, before all together push out the oldest. Some are
// left: a share is larger than a result may be.
static void keep_to_share(struct panel_keys *owner) {
    while (owner->bytes > NX_MAX_PANEL_IDEMPOTENT_BYTES ||
           owner->done > NX_MAX_PANEL_IDEMPOTENT_KEYS) {
        struct nx_replay *r = TAILQ_FIRST(&owner->keys);
        while (!r->done) // what is at work came before, or with, few of the others
            r = TAILQ_NEXT(r, panel_link);
        drop(r);
    }
}

void nx_replays_expire(struct nx_replays *all) {
    uint64_t now = uv_now(all->http->loop);
    struct nx_replay *r;
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): dropping takes it off the list
    while ((r = TAILQ_FIRST(&all->done)) && now - r->done_ms >= NX_IDEMPOTENCY_MS)
        drop(r);
}

static void on_panel_closed(void *user, struct nx_panel *panel, const char *reason) {
    struct nx_replays *all = user;
    struct panel_keys *owner;
    (void)reason;
    HASH_FIND_PTR(all->by_panel, &panel, owner);
    size_t left = 0;
    struct nx_replay *r;
    if (owner)
        TAILQ_FOREACH(r, &owner->keys, panel_link)
    left++;
    // The last one takes `owner` along. None is RUNNING: a panel closes after its triggers.
    while (left-- > 0)
        drop(TAILQ_FIRST(&owner->keys));
}

int nx_replays_new(struct nx_replays **out, struct nx_http *http, struct nx_error *err) {
    struct nx_replays *all = calloc(1, sizeof *all);
    if (!all)
        return nx_error_set(err, NX_E_NOMEM, "out of memory");
    all->http = http;
    TAILQ_INIT(&all->done);
    // Without entropy the hash is one that can be prepared for; it still works.
    if (getrandom(&hash_key, sizeof hash_key, 0) < 0)
        hash_key.k0 = uv_hrtime();
    const struct nx_observer observer = {.user = all, .on_panel_closed = on_panel_closed};
    int rc = nx_runtime_observe(http->runtime, &observer);
    if (rc) {
        free(all);
        return nx_error_set(err, rc, "too many observers");
    }
    *out = all;
    return 0;
}

void nx_replays_free(struct nx_replays *all) {
    struct nx_replay *r, *next;
    if (!all)
        return;
    HASH_ITER(hh, all->by_name, r, next) {
        drop(r);
    }
    free(all);
}

// ---- Waiting and answering

void nx_replay_forget(struct nx_http_conn *conn) {
    if (conn->replay)
        TAILQ_REMOVE(&conn->replay->waiting, conn, replay_link);
    conn->replay = NULL;
}

// `again`: the connection's request did not run anything itself.
static void wait_for(struct nx_replay *r, struct nx_http_conn *conn, bool again) {
    conn->replay = r;
    conn->replay_again = again;
    TAILQ_INSERT_TAIL(&r->waiting, conn, replay_link);
}

static void send_kept(const struct nx_replay *r, struct nx_http_conn *conn) {
    if (!r->kept) {
        nx_http_fail(conn, 409, "IDEMPOTENCY_CONFLICT",
                     "the first request with this Idempotency-Key has run, but its result is not "
                     "kept");
        return;
    }
    nx_buf_append(nx_http_body(conn->http), r->result, r->result_len);
    nx_http_send(conn, &(struct nx_http_reply){.status = 200, .replayed = true});
}

// Tells those who wait, all or only those who prefer a first answer to the last one.
static void tell(struct nx_replay *r, int status, const struct nx_result *result) {
    struct nx_http_conn *conn, *next;
    for (conn = TAILQ_FIRST(&r->waiting); conn; conn = next) {
        next = TAILQ_NEXT(conn, replay_link);
        // An answer may close others for what they hold; what is closed is freed by the loop.
        if (conn->replay != r || (status == 202 && !conn->respond_async))
            continue;
        nx_replay_forget(conn);
        nx_result_render(nx_http_body(conn->http), result);
        nx_http_send(conn, &(struct nx_http_reply){.status = status,
                                                   .preference_applied = status == 202,
                                                   .replayed = conn->replay_again});
    }
}

// Keeps the result's text, unless that is too much.
static void keep(struct nx_replay *r, const struct nx_result *result) {
    struct nx_replays *all = r->all;
    struct nx_buf text;
    nx_buf_init(&text, NX_MAX_IDEMPOTENT_RESULT_BYTES);
    nx_result_render(&text, result);
    r->result = nx_buf_steal(&text, &r->result_len);
    nx_buf_free(&text);
    r->kept = r->result != NULL;
    if (!r->kept)
        r->result_len = 0;
    all->bytes += r->result_len;
    r->owner->bytes += r->result_len;
    r->owner->done++;
    r->done = true;
    r->done_ms = uv_now(all->http->loop);
    TAILQ_INSERT_TAIL(&all->done, r, done_link);
    // Its time begins now: of the panel's, too, it is the youngest.
    TAILQ_REMOVE(&r->owner->keys, r, panel_link);
    TAILQ_INSERT_TAIL(&r->owner->keys, r, panel_link);
}

static void on_result(void *user, struct nx_trigger *trigger, const struct nx_result *result) {
    struct nx_replay *r = user;
    struct nx_replays *all = r->all;
    (void)trigger;
    if (result->status == NX_EXEC_SUSPENDED) {
        tell(r, 202, result);
        return;
    }
    bool ran = result->metrics.segments > 0;
    if (ran)
        keep(r, result);
    tell(r, 200, result);
    if (ran)
        keep_to_share(r->owner);
    else
        drop(r);
    while (all->bytes > NX_MAX_IDEMPOTENT_BYTES)
        drop(TAILQ_FIRST(&all->done));
}

// ---- Requests

static bool key_valid(struct nx_span key) {
    for (size_t i = 0; i < key.len; i++)
        if (key.data[i] < ' ' || key.data[i] > '~')
            return false;
    return key.len > 0 && key.len <= NX_MAX_IDEMPOTENCY_KEY_BYTES;
}

// Tools and subjects come with their end: no name is another's beginning.
static void make_name(struct nx_buf *name, const struct nx_panel *panel,
                      const struct nx_trigger_request *trigger, struct nx_span key) {
    nx_buf_append(name, &panel, sizeof(const struct nx_panel *));
    nx_buf_append_span(name, trigger->tool);
    nx_buf_append_char(name, '\0');
    nx_buf_append_span(name, trigger->subject);
    nx_buf_append_char(name, '\0');
    nx_buf_append_span(name, key);
}

static void start(struct nx_http_conn *conn, struct nx_panel *panel,
                  const struct nx_trigger_request *trigger, struct nx_span name,
                  const uint8_t hash[BODY_HASH_BYTES]) {
    struct nx_error err = {0};
    struct nx_replay *r = add(conn->http->replays, panel, name, hash);
    if (!r) {
        nx_http_fail(conn, 503, "OVERLOADED", "no room for another Idempotency-Key");
        return;
    }
    if (nx_runtime_trigger(panel, trigger, on_result, r, NULL, &err)) {
        drop(r);
        nx_http_fail_error(conn, &err, "TOOL_NOT_FOUND");
        return;
    }
    wait_for(r, conn, false);
}

static void answer(struct nx_http_conn *conn, struct nx_panel *panel,
                   const struct nx_trigger_request *trigger, struct nx_span name,
                   const uint8_t hash[BODY_HASH_BYTES]) {
    struct nx_replays *all = conn->http->replays;
    struct nx_replay *r;
    nx_replays_expire(all);
    HASH_FIND(hh, all->by_name, name.data, name.len, r);
    if (!r)
        start(conn, panel, trigger, name, hash);
    else if (memcmp(r->body_hash, hash, sizeof r->body_hash) != 0)
        nx_http_fail(conn, 422, "IDEMPOTENCY_CONFLICT",
                     "this Idempotency-Key was used with another body");
    else if (r->done)
        send_kept(r, conn);
    else
        wait_for(r, conn, true);
}

void nx_replay_trigger(const struct nx_http_request *request, struct nx_panel *panel,
                       const struct nx_trigger_request *trigger) {
    struct nx_http_conn *conn = request->conn;
    struct nx_span key = request->head->headers[NX_HEADER_IDEMPOTENCY_KEY], body = request->body;
    uint8_t hash[BODY_HASH_BYTES];
    struct nx_buf name;
    if (!key_valid(key)) {
        nx_http_fail(conn, 400, "INVALID_REQUEST",
                     "Idempotency-Key must be 1 to %d printable ASCII characters",
                     NX_MAX_IDEMPOTENCY_KEY_BYTES);
        return;
    }
    nx_buf_init(&name, NX_HTTP_READ_BYTES);
    make_name(&name, panel, trigger, key);
    if (name.failed ||
        EVP_Digest(body.len ? body.data : "", body.len, hash, NULL, EVP_sha256(), NULL) != 1)
        nx_http_fail(conn, 503, "OVERLOADED", "out of memory");
    else
        answer(conn, panel, trigger, nx_buf_span(&name), hash);
    nx_buf_free(&name);
}
