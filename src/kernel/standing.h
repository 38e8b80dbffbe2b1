// SPDX-License-Identifier: Apache-2.0
// Tools that something other than a call sets off: the clock, an event, a change of state. Part of
// the runtime's inside, see core.h.
//
//   standing.c   per panel: set up, stopped; whether a run may start; what was skipped
//   ticks.c      interval and cron: one timer for all of them
//   reactions.c  events and changes of state: noted at the commit, acted upon from the loop
//
// What holds
//   1. Nothing runs inside the commit that caused it: causes wait for the loop.
//   2. A run that was caused by another is one deeper. Deeper than NX_MAX_TRIGGER_DEPTH nothing is
//      set off.
//   3. Such runs have queues of their own as far as limits go: they never take a caller's place.
//   4. What is not run is counted and reported, not made up for.
#ifndef NX_KERNEL_STANDING_H
#define NX_KERNEL_STANDING_H

#include <sys/queue.h>

#include "kernel/runtime.h"
#include "kernel/schedule.h"

struct nx_handler;
struct nx_segment;

// Why something runs: shared by all the runs it sets off.
struct nx_cause {
    uint32_t refs;
    enum nx_trigger_kind kind;
    uint32_t depth;             // of the runs it sets off
    uint64_t number;            // rises through the whole runtime
    TAILQ_ENTRY(nx_cause) link; // an event, until its listeners are found
    size_t json_len, name_len;
    char bytes[]; // $scope.trigger as JSON, then the event's name
};

struct nx_event_name;

// One tool with a trigger of its own. Lives as long as its panel; acts from nx_standing_start to
// nx_standing_stop.
struct nx_standing {
    struct nx_panel *panel;
    struct nx_handler *handler;
    const struct nx_trigger_def *def;
    struct nx_trigger *last; // the newest run that has not ended
    union {
        struct nx_tick tick; // interval, cron
        struct {             // event
            TAILQ_ENTRY(nx_standing) link;
            struct nx_event_name *name; // NULL: listens by a glob, or not at all
            uint64_t since;             // takes causes with higher numbers only
            bool listens;
        } event;
        struct { // state
            TAILQ_ENTRY(nx_standing) link;
            uint32_t depth; // of the run that is due
            bool changed;   // by the commit at work
            bool due;       // listed
        } state;
    };
    struct { // runs that were skipped and not reported yet, and when some last were
        uint64_t count, reported_ms;
    } skipped[NX_SKIP_REASONS];
};
TAILQ_HEAD(nx_standing_list, nx_standing);

// ---- standing.c

TAILQ_HEAD(nx_cause_list, nx_cause);

// The runtime's part of it all.
struct nx_standings {
    struct nx_schedule *schedule; // owned
    uv_timer_t tick_timer, reaction_timer;
    uint64_t causes_made; // the last number of a cause
    size_t cause_bytes;   // of all causes alive
    // Who listens: by exact name, and by globs.
    struct nx_event_name *names;
    struct nx_standing_list globs;
    // Events whose listeners are to be found, and whom to try next for the first of them.
    struct nx_cause_list events;
    size_t event_count;
    struct nx_standing *next;
    bool in_globs;
    struct nx_standing_list due;     // their keys have changed
    uint64_t lost, lost_reported_ms; // events dropped and not reported yet
};

int nx_standings_new(struct nx_runtime *rt); // NX_E_NOMEM
void nx_standings_free(struct nx_runtime *rt);

// Makes and starts what the panel declares; from now on its tools are set off. NX_E_NOMEM: call
// nx_standing_stop.
int nx_standing_start(struct nx_panel *panel);
void nx_standing_stop(struct nx_panel *panel); // runs already made are not touched; may be repeated
void nx_standing_free(struct nx_panel *panel); // after its last trigger

// Makes a run, unless a limit or the previous run speaks against it. `cause` is borrowed.
void nx_standing_run(struct nx_standing *standing, struct nx_cause *cause);
// Counts runs that will not be, and reports them.
void nx_standing_skip(struct nx_standing *standing, enum nx_skip_reason reason, uint64_t count);

// Takes `json` (and `name`) as a new cause with one reference. NULL: no memory, or too many bytes
// of causes are held.
struct nx_cause *nx_cause_new(struct nx_runtime *rt, enum nx_trigger_kind kind, uint32_t depth,
                              const struct nx_buf *json, struct nx_span name);
void nx_cause_unref(struct nx_runtime *rt, struct nx_cause *cause); // NULL is fine

// ---- ticks.c, reactions.c: the loop's side

// Timers of the runtime. Halting stops them for good and forgets what is due.
enum { NX_STANDING_TIMERS = 2 };
void nx_standings_open(struct nx_runtime *rt);
void nx_standings_halt(struct nx_runtime *rt);
void nx_standings_close(struct nx_runtime *rt, uv_close_cb on_closed);

void nx_ticks_wind(struct nx_runtime *rt); // sets the timer to what is due next
int nx_ticks_start(struct nx_standing *standing);
void nx_ticks_stop(struct nx_standing *standing);

void nx_reactions_halt(struct nx_runtime *rt);
int nx_reactions_start(struct nx_standing *standing);
void nx_reactions_stop(struct nx_standing *standing);
// Around the commit of a segment: notes which keys change; acts on that and on its events once the
// store has taken it.
void nx_reactions_before(struct nx_panel *panel, const struct nx_segment *segment);
void nx_reactions_after(struct nx_trigger *t, const struct nx_segment *segment);

#endif
