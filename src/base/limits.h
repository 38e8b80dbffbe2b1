// SPDX-License-Identifier: Apache-2.0
// Every cap of the product with its reason. Settings may lower most of them at run time; nothing
// raises one past the maximum named here.
#ifndef NX_BASE_LIMITS_H
#define NX_BASE_LIMITS_H

#include "base/limits_net.h"

// ---- JSON and capabilities
// Deep enough for any real document, shallow enough that no later consumer recurses far.
#define NX_JSON_MAX_DEPTH              256
// A panel that needs more grants wants `*`; bounds the linear search of a set.
#define NX_MAX_CAPS                    256
// Keys up to 1 KiB keep their prefix; longer tokens are mistakes or attacks.
#define NX_MAX_CAP_TOKEN_BYTES         1200

// ---- The server's own memory
// What is kept at the end of its heap when nothing uses it.
#define NX_KEPT_HEAP_BYTES             (16 * 1024 * 1024)
// From here on an allocation is a mapping of its own, gone when it is freed: the largest states and
// replies, which are rare.
#define NX_MAPPED_ALLOCATION_BYTES     (4 * 1024 * 1024)

// ---- Logs
// Longest line common log shippers accept without splitting.
#define NX_MAX_LOG_LINE_BYTES          16384
// How long the server waits for the reader of its log, a twentieth of the time at most: everybody
// waits with it.
#define NX_LOG_WAIT_MS                 50
#define NX_LOG_WAIT_WINDOW_MS          1000
// What a pipe for the log is asked to hold meanwhile: Linux's default for the most that anybody may
// ask for, some 4,000 lines.
#define NX_LOG_PIPE_BYTES              (1024 * 1024)

// ---- Panels (NXML.md)
#define NX_MAX_PANEL_SOURCE_BYTES      (1024 * 1024)
#define NX_MAX_NXML_DEPTH              64
#define NX_MAX_NXML_ELEMENTS           10000
#define NX_MAX_NXML_ATTRIBUTES         256
// Identifiers of state keys, tools, args.
#define NX_MAX_IDENTIFIER_BYTES        64
#define NX_MAX_PANEL_ID_BYTES          128
// Characters (code points) of a panel's title and description.
#define NX_MAX_TITLE_CHARS             128
#define NX_MAX_DESCRIPTION_CHARS       1024
// A panel as JSON: escaping at most doubles ordinary NXML source.
#define NX_MAX_PANEL_JSON_BYTES        (2 * 1024 * 1024)
// The View as JSON text: escaping can make six bytes of one, and each node adds its frame.
#define NX_MAX_VIEW_JSON_BYTES         (8 * 1024 * 1024)
// People write and read argument lists; also one bit each in a word while binding.
#define NX_MAX_TOOL_ARGS               64
// Tools of a JSON panel: as many as the elements of NXML would allow with a handler each.
#define NX_MAX_PANEL_TOOLS             5000
// Shorter intervals would be a busy loop; longer ones are what cron is for (31 days).
#define NX_MIN_INTERVAL_MS             10
#define NX_MAX_INTERVAL_MS             2678400000u
// After this many diagnostics the rest is counted, not listed: enough for any author's screen.
#define NX_MAX_DIAGNOSTICS             200

// ---- Executions: defaults (API.md) and the most a setting may ask for
#define NX_DEFAULT_TIMEOUT_MS          5000
#define NX_MAX_TIMEOUT_MS              600000
#define NX_DEFAULT_SUSPEND_TIMEOUT_MS  30000
#define NX_MAX_SUSPEND_TIMEOUT_MS      3600000
#define NX_DEFAULT_MEMORY_LIMIT_MB     32
// wasm2c keeps a memory's size in 32 bits; 1 GiB leaves room and is far past any sane handler.
#define NX_MAX_MEMORY_LIMIT_MB         1024
#define NX_DEFAULT_STACK_LIMIT_KB      1024
#define NX_MAX_STACK_LIMIT_KB          4096
// The most that settings may allow one execution: past it a single one could fill the kernel.
#define NX_MAX_EXECUTION_COUNT         1000000
#define NX_MAX_EXECUTION_KB            16384
#define NX_DEFAULT_MAX_HOST_CALLS      1000
#define NX_DEFAULT_MAX_STATE_MUTATIONS 1000
#define NX_DEFAULT_MAX_EVENTS          100
#define NX_DEFAULT_MAX_LOG_KB          64
#define NX_DEFAULT_MAX_VALUE_KB        1024
#define NX_DEFAULT_MAX_STATE_KB        8192
// Extension calls one execution may have outstanding: each holds kernel resources.
#define NX_MAX_OUTSTANDING_CALLS       64
// A state key, event name, component id or log level from a handler.
#define NX_MAX_KEY_BYTES               1024
// An error message or stack reported by a handler; longer ones are cut.
#define NX_MAX_ERROR_TEXT_BYTES        8192

// ---- Sandbox
// A frame holds at most a panel's readable state, the arguments and a little more.
#define NX_MAX_FRAME_BYTES             (32u * 1024 * 1024)
#define NX_MAX_WORKERS                 256
#define NX_DEFAULT_MAX_INSTANCES       256
#define NX_DEFAULT_MIN_INSTANCES       2
#define NX_MAX_INSTANCES               4096
// Bytecode of one handler; QuickJS bytecode is about the size of its source.
#define NX_MAX_BYTECODE_BYTES          (4 * 1024 * 1024)
// Between asking the guest to stop and stopping it: enough for an ordinary loop to reach its next
// poll and say where it was, well inside the watchdog's grace.
#define NX_HARD_DEADLINE_GRACE_MS      10
// What loading a handler changes in linear memory: its bytecode, copied, and the heap around it.
#define NX_MAX_SNAPSHOT_BYTES          ((size_t)8 * 1024 * 1024)
// Runs of private pages remembered for one instance; more scattered ones are dropped, not copied.
#define NX_MAX_DIRTY_RUNS              1024
// Pages an instance at rest keeps for itself (2 MiB): copying more back costs as much as new
// faults.
#define NX_MAX_KEPT_PAGES              512
// Private pages an instance takes along to another handler, whose every reset then copies them.
#define NX_MAX_REBOUND_PAGES           32
// Instances at rest that a worker keeps for the next call, each with its private pages.
#define NX_MAX_IDLE_INSTANCES          64
// Native stack that must be left when a host call begins: what our own code may need.
#define NX_HOST_STACK_RESERVE_BYTES    (256 * 1024)
// Native stack of a worker. QuickJS's own limit counts the wasm stack (at most 4 MiB); the native
// frames of the same calls take several times that.
#define NX_WORKER_STACK_BYTES          (64 * 1024 * 1024)
// Replies a worker collects before it writes them.
#define NX_WORKER_BATCH_BYTES          (256 * 1024)
// The JavaScript stack needs at least this for any handler to run.
#define NX_MIN_STACK_LIMIT_KB          64
// The image alone takes 5 MiB of linear memory, most of it never touched.
#define NX_MIN_MEMORY_LIMIT_MB         8
// Different keys one segment may change; the most MAX_STATE_MUTATIONS can be set to.
#define NX_MAX_SEGMENT_CHANGES         10000
// Keys of a panel's state; each takes at least 8 bytes of a frame besides its own.
#define NX_MAX_STATE_ENTRIES           65536
// QuickJS compiles a megabyte in well under a second.
#define NX_COMPILE_TIMEOUT_MS          5000
// A worker that has not answered this long after its deadline is killed. It stops handlers by
// itself at the deadline.
#define NX_WATCHDOG_GRACE_MS           250
// But one that has had no more of a processor than its deadline's time and this, several times what
// stopping takes, may only be waiting for one: the machine is busy, its priority low, a quota used
// up. What is suspended in it would be lost with it, so it gets more time: this much in all.
#define NX_WATCHDOG_USED_MS            50
#define NX_WATCHDOG_STARVED_MS         2000
// How often the kernel looks after its workers while they work: for those past their deadline, and
// those that are to stand back.
#define NX_WATCHDOG_PERIOD_MS          10
// A worker that has nothing to do and uses this much of a processor all the same, many times what
// giving back suspended instances takes, is killed: nobody honest computes there. And how often it
// is looked after while nothing else is to be done.
#define NX_IDLE_USED_MS                1000
#define NX_IDLE_PERIOD_MS              1000
// A segment that runs this long no longer holds up what waits behind it: ten times what ordinary
// handlers take, and rare enough for its signal to cost nothing.
#define NX_SLOW_SEGMENT_US             1000
// One that has used this much processor time between two looks of the kernel has its worker stand
// back for good, and another take its place: more than starting one costs, so that it is worth
// that.
#define NX_STAND_BACK_US               5000
// Frames sent to a worker ahead of its answers: enough to keep it busy while the kernel does a
// round of its loop.
#define NX_MAX_IN_FLIGHT               32
// Executions of one panel that are sent before the first of them has answered: by then the panel
// is no longer what waits for the way to the worker and back.
#define NX_MAX_CHAIN                   16
// What such a chain may take: others wait behind it.
#define NX_MAX_CHAIN_US                NX_SLOW_SEGMENT_US
// A panel's share: a quarter of a processor, and what it may have at once; past that it is heavy
// until its account is even again. What it owes is capped, so that it is heavy no longer than half
// a minute.
#define NX_PANEL_SHARE_PERCENT         25
#define NX_PANEL_CREDIT_US             50000
#define NX_PANEL_MAX_DEBT_US           7500000
// How what takes long stands back: at nice 15 Linux gives a thread a thirtieth of the others'
// weight. With a tenth (nice 10) a busy processor gave it a whole tick so often that the 99th
// percentile of the others was a tick, too. And the slice that those who answer ask for, the least
// that Linux grants.
#define NX_HEAVY_NICE                  15
#define NX_SHORT_SLICE_NS              100000
// Spare workers that come with the first handler nobody knows: one for it and one to stay free.
#define NX_FIRST_SPARE_WORKERS         2
// What a handler is expected to take before it has ever run.
#define NX_UNKNOWN_SEGMENT_US          100
// State that a worker keeps for the next execution of a chain: copying it must stay cheap beside
// running it. And chains that one worker remembers.
#define NX_MAX_CHAIN_STATE_BYTES       ((size_t)32 * 1024)
#define NX_CHAIN_BASES                 16
// State from which on copying it takes long enough that other panels get in between.
#define NX_LARGE_STATE_BYTES           ((size_t)256 * 1024)
// Bytes waiting in the kernel for one worker's socket before it gets no further work.
#define NX_WORKER_FEED_BYTES           (1024 * 1024)
// One read of a worker's socket; and what a worker may take of a turn of the loop, about, reading
// its frames and sending to it: then the other sockets get theirs.
#define NX_WORKER_READ_BYTES           (64 * 1024)
#define NX_WORKER_TURN_READ_NS         50000
#define NX_WORKER_TURN_SENT_BYTES      (256 * 1024)
// Bytecode that one worker keeps warm; the least recently used goes first.
#define NX_MAX_WORKER_CODE_BYTES       ((size_t)64 * 1024 * 1024)
// Compilations waiting for a worker, all panels together.
#define NX_MAX_COMPILE_QUEUE           1024
// Resets that one answer of a worker may claim: a lie makes no metric useless. Between two answers
// there may be as many compilations, each with its reset.
#define NX_MAX_RESETS_TOLD             65536
// Times an execution that has not begun is sent anew because its worker died.
#define NX_MAX_REDISPATCH              2
// How long the sandbox may take to start, and to come back, before callers are told it is broken.
#define NX_SANDBOX_START_TIMEOUT_MS    10000
// How long the kernel waits for the launcher to start the zygote: a fork and an exec of a small
// program. Nothing else is done meanwhile, so it is short.
#define NX_LAUNCH_TIMEOUT_MS           2000
// How long the zygote waits for a worker to lock itself in, which takes milliseconds. One that
// hangs is killed: nobody else is started meanwhile. On a machine too busy for that a try is lost.
#define NX_WORKER_START_TIMEOUT_MS     2000
// Waits before a sandbox process that died young is started again: doubled each time.
#define NX_RESTART_MIN_MS              50
#define NX_RESTART_MAX_MS              5000

// ---- Kernel: queues and panels
#define NX_DEFAULT_MAX_PANELS          10000
#define NX_MAX_PANELS                  1000000
// Triggers waiting for their turn in one panel.
#define NX_DEFAULT_MAX_QUEUE           1000
#define NX_MAX_QUEUE                   100000
// All panels together may have this many times one panel's queue waiting: a single busy panel can
// never take the room its neighbours need.
#define NX_QUEUE_PANELS_FACTOR         8
// Argument bytes held for waiting triggers, all panels together, and the share of one panel.
#define NX_MAX_QUEUED_ARGS_BYTES       (64u * 1024 * 1024)
#define NX_MAX_PANEL_QUEUED_ARGS_BYTES (16u * 1024 * 1024)
// A panel may hold this many instances suspended at least, and a quarter of all at most, so that
// one panel full of sleepers leaves slots for the others.
#define NX_MIN_PANEL_INSTANCES         8
#define NX_PANEL_INSTANCE_SHARE        4
// Panels being compiled or mounted: each holds its definition and compile requests.
#define NX_MAX_CREATIONS               256
// Compilations one panel has under way: keeps a panel of many tools from filling the pool's queue.
#define NX_COMPILE_WINDOW              8
// The server's log, metrics, WebSockets, kept results, schedules, and some to spare.
#define NX_MAX_OBSERVERS               8
// A client's id for a request; UUIDs and trace ids fit well.
#define NX_MAX_REQUEST_ID_BYTES        256
// The header of W3C Trace Context, version 00: exactly this long.
#define NX_TRACEPARENT_BYTES           55
// What one execution's finished segments may have accumulated for its final result.
#define NX_MAX_RESULT_BYTES            (64u * 1024 * 1024)
// What suspended executions may have the kernel keep (results so far, calls, answers): all, one
// panel's (as much as one execution may come to), and each in any case.
#define NX_MAX_HELD_BYTES              (256u * 1024 * 1024)
#define NX_MAX_PANEL_HELD_BYTES        NX_MAX_RESULT_BYTES
#define NX_MIN_HELD_BYTES              (64u * 1024)
// Keys of one panel's state: each costs memory besides its bytes, which the byte cap does not see.
#define NX_MAX_STATE_KEYS              65536
// Source lines around an error shown with it, and the bytes kept of each.
#define NX_SNIPPET_CONTEXT_LINES       2
#define NX_MAX_SNIPPET_LINE_BYTES      200
// Bytecode kept in memory.
#define NX_DEFAULT_MAX_CACHE_MB        64
#define NX_MAX_CACHE_MB                4096
// The disk cache reckons with whole blocks: small files take one each.
#define NX_CACHE_BLOCK_BYTES           4096
// Files it keeps, and directory entries one sweep looks at: bounds what a sweep costs in memory (88
// bytes a file) and time.
#define NX_MAX_CACHE_FILES             65536
#define NX_MAX_CACHE_SCAN              (4 * NX_MAX_CACHE_FILES)
// A file still unfinished after this long was left behind by a process that died over it.
#define NX_CACHE_TEMP_AGE_MS           600000
// Reads on their way, and files waiting to be written; beyond, the compiler is asked at once, and
// bytecode is not kept on disk. Reads under way at once leave libuv's pool (4 threads) room.
#define NX_MAX_CACHE_READS             512
#define NX_MAX_CACHE_READS_AT_ONCE     2
#define NX_MAX_CACHE_WRITES            4096
#define NX_MAX_CACHE_WRITE_BYTES       ((size_t)64 * 1024 * 1024)
// A disk that has not answered by then is slower than any compilation: go on without it.
#define NX_CACHE_PATIENCE_MS           2000
// Writes wait until nothing was read for so long: both want the directory, and somebody waits for
// what is read. Once half of what may wait does, they go on regardless.
#define NX_CACHE_QUIET_MS              20
// How long a disk that failed is left alone, and how long a stop waits for what is to be written.
#define NX_CACHE_RETRY_MS              30000
#define NX_CACHE_FLUSH_MS              1000
// How long a stop waits for executions in flight unless told otherwise.
#define NX_DEFAULT_DRAIN_MS            10000

// ---- Kernel: tools that set themselves off
// Tools of one panel that interval, cron, event or state set off: more than anybody keeps in mind,
// few enough to look through at each commit.
#define NX_MAX_PANEL_STANDING          100
// Runs that such tools of one panel may have under way or waiting, twice what one segment's events
// ask for by default; and of all panels together, beyond the first of each panel.
#define NX_MAX_PANEL_SET_OFF           256
#define NX_MAX_SET_OFF                 10000
// What a run was set off by begets further runs: so many, one by another, then the chain is cut.
#define NX_MAX_TRIGGER_DEPTH           8
// Events that wait for their listeners to be found; bytes of payloads that waiting runs hold, of
// one panel and, along with those events, of all.
#define NX_MAX_CAUSES                  10000
#define NX_MAX_PANEL_CAUSE_BYTES       (8u * 1024 * 1024)
#define NX_MAX_CAUSE_BYTES             (64u * 1024 * 1024)
// Ticks taken, or listeners tried, before the loop sees to its sockets again: about a millisecond.
#define NX_STANDING_BATCH              500
// A cron tick this late is missed: its own minute is over.
#define NX_CRON_GRACE_MS               60000
// How soon a wall clock that was set is noticed.
#define NX_CLOCK_CHECK_MS              1000
// Runs that are skipped are reported once in so long for each tool and reason; all are counted.
#define NX_SKIP_REPORT_MS              60000

#endif
