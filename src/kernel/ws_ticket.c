// SPDX-License-Identifier: Apache-2.0
// Tickets, found by their SHA-256: looking one up takes no time that depends on its text.
// Without memory for a table there is no ticket, instead of the process ended.
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((element)->unhashed = true)
#include "kernel/ws_ticket.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include <openssl/evp.h>
#include <uthash.h>

#include "base/error.h"
#include "base/limits.h"

enum { HASH_BYTES = 32 };

struct holder;

struct ticket {
    UT_hash_handle hh;
    bool unhashed;
    TAILQ_ENTRY(ticket) link, holder_link; // all live equally long: the first expires first
    struct holder *holder;
    unsigned char hash[HASH_BYTES];
    struct nx_identity *identity;
    uint64_t expires_ms;
    size_t panel_id_len;
    char panel_id[NX_MAX_PANEL_ID_BYTES];
};
TAILQ_HEAD(ticket_list, ticket);

// A subject with tickets, whichever of its tokens they are for.
struct holder {
    UT_hash_handle hh;
    bool unhashed;
    struct ticket_list tickets;
    unsigned count;
    char subject[];
};

struct nx_ws_tickets {
    struct ticket *by_hash;
    struct holder *holders;
    struct ticket_list all;
    unsigned count;
};

struct nx_ws_tickets *nx_ws_tickets_new(void) {
    struct nx_ws_tickets *tickets = calloc(1, sizeof *tickets);
    if (tickets)
        TAILQ_INIT(&tickets->all);
    return tickets;
}

static struct holder *find_or_add_holder(struct nx_ws_tickets *tickets, const char *subject) {
    struct holder *holder = NULL;
    size_t len = strlen(subject);
    HASH_FIND(hh, tickets->holders, subject, len, holder);
    if (holder)
        return holder;
    holder = calloc(1, sizeof *holder + len + 1);
    if (!holder)
        return NULL;
    memcpy(holder->subject, subject, len);
    TAILQ_INIT(&holder->tickets);
    HASH_ADD_KEYPTR(hh, tickets->holders, holder->subject, len, holder);
    if (!holder->unhashed)
        return holder;
    free(holder);
    return NULL;
}

static void forget_idle_holder(struct nx_ws_tickets *tickets, struct holder *holder) {
    if (holder->count > 0)
        return;
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc,clang-analyzer-core.NullDereference): uthash
    HASH_DEL(tickets->holders, holder);
    free(holder);
}

static void drop(struct nx_ws_tickets *tickets, struct ticket *ticket) {
    struct holder *holder = ticket->holder;
    TAILQ_REMOVE(&holder->tickets, ticket, holder_link);
    holder->count--;
    forget_idle_holder(tickets, holder);
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc,clang-analyzer-core.NullDereference): uthash
    HASH_DEL(tickets->by_hash, ticket);
    TAILQ_REMOVE(&tickets->all, ticket, link);
    tickets->count--;
    nx_identity_unref(ticket->identity);
    free(ticket);
}

void nx_ws_tickets_free(struct nx_ws_tickets *tickets) {
    if (!tickets)
        return;
    struct ticket *ticket, *next;
    for (ticket = TAILQ_FIRST(&tickets->all); ticket; ticket = next) {
        next = TAILQ_NEXT(ticket, link);
        drop(tickets, ticket);
    }
    free(tickets);
}

static void drop_expired(struct nx_ws_tickets *tickets, uint64_t now_ms) {
    struct ticket *ticket, *next;
    for (ticket = TAILQ_FIRST(&tickets->all); ticket && ticket->expires_ms <= now_ms;
         ticket = next) {
        next = TAILQ_NEXT(ticket, link);
        drop(tickets, ticket);
    }
}

static int hash_of(const char *text, size_t len, unsigned char hash[HASH_BYTES]) {
    return EVP_Digest(text, len, hash, NULL, EVP_sha256(), NULL) == 1 ? 0 : NX_E_NOMEM;
}

static int make_text(char text[NX_WS_TICKET_CHARS + 1]) {
    static const char hex[] = "0123456789abcdef";
    unsigned char random[NX_WS_TICKET_CHARS / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return NX_E_IO;
    for (size_t i = 0; i < sizeof random; i++) {
        text[2 * i] = hex[random[i] >> 4];
        text[2 * i + 1] = hex[random[i] & 15];
    }
    text[NX_WS_TICKET_CHARS] = '\0';
    return 0;
}

int nx_ws_ticket_issue(struct nx_ws_tickets *tickets, struct nx_identity *identity,
                       struct nx_span panel_id, uint64_t now_ms,
                       char text[NX_WS_TICKET_CHARS + 1]) {
    drop_expired(tickets, now_ms);
    int rc = make_text(text);
    if (rc)
        return rc;
    struct ticket *ticket = calloc(1, sizeof *ticket);
    if (!ticket || hash_of(text, NX_WS_TICKET_CHARS, ticket->hash)) {
        free(ticket);
        return NX_E_NOMEM;
    }
    struct holder *holder = find_or_add_holder(tickets, identity ? identity->subject : "");
    if (!holder || tickets->count == NX_MAX_WS_TICKETS) {
        if (holder)
            forget_idle_holder(tickets, holder);
        free(ticket);
        return holder ? NX_E_BUSY : NX_E_NOMEM;
    }
    HASH_ADD(hh, tickets->by_hash, hash, HASH_BYTES, ticket);
    if (ticket->unhashed) {
        forget_idle_holder(tickets, holder);
        free(ticket);
        return NX_E_NOMEM;
    }
    ticket->holder = holder;
    ticket->identity = identity ? nx_identity_ref(identity) : NULL;
    ticket->expires_ms = now_ms + NX_WS_TICKET_MS;
    ticket->panel_id_len = panel_id.len;
    memcpy(ticket->panel_id, panel_id.data, panel_id.len);
    TAILQ_INSERT_TAIL(&tickets->all, ticket, link);
    TAILQ_INSERT_TAIL(&holder->tickets, ticket, holder_link);
    tickets->count++;
    if (++holder->count > NX_MAX_BEARER_WS_TICKETS)
        drop(tickets, TAILQ_FIRST(&holder->tickets));
    return 0;
}

int nx_ws_ticket_redeem(struct nx_ws_tickets *tickets, struct nx_span text, struct nx_span panel_id,
                        uint64_t now_ms, struct nx_identity **identity) {
    unsigned char hash[HASH_BYTES];
    struct ticket *ticket = NULL;
    *identity = NULL;
    drop_expired(tickets, now_ms);
    if (text.len != NX_WS_TICKET_CHARS || hash_of(text.data, text.len, hash))
        return NX_E_NOTFOUND;
    HASH_FIND(hh, tickets->by_hash, hash, HASH_BYTES, ticket);
    if (!ticket)
        return NX_E_NOTFOUND;
    bool fits = nx_span_eq(panel_id, nx_span_of(ticket->panel_id, ticket->panel_id_len));
    if (fits && ticket->identity)
        *identity = nx_identity_ref(ticket->identity);
    drop(tickets, ticket);
    return fits ? 0 : NX_E_NOTFOUND;
}
