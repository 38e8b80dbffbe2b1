// SPDX-License-Identifier: Apache-2.0
// The caps of what the server says to, and hears from, others: extensions, HTTP, WebSockets,
// access. A part of limits.h, which is what to include.
#ifndef NX_BASE_LIMITS_NET_H
#define NX_BASE_LIMITS_NET_H

// ---- Extensions
#define NX_MAX_EXTENSIONS              32
// The time extension's longest sleep: past the suspension limit it could never be answered.
#define NX_MAX_SLEEP_MS                NX_MAX_SUSPEND_TIMEOUT_MS
// A file of canned answers is written by hand.
#define NX_MAX_EXT_MOCK_BYTES          (4 * 1024 * 1024)

// ---- The http extension
// Requests on the wire for one panel, and the most the setting may ask for: each holds a descriptor
// and up to one response.
#define NX_DEFAULT_HTTP_EXT_CONCURRENT 10
#define NX_MAX_HTTP_EXT_CONCURRENT     64
// All panels together may have this many times one panel's requests on the wire, and as many again
// that are the only one of their panel: panels with many slow requests leave room for those with
// one. By default that still fits NX_HTTP_SPARE_FDS.
#define NX_HTTP_EXT_PANELS_FACTOR      4
#define NX_HTTP_EXT_FIRST_FACTOR       8
// Calls of one panel waiting for their turn, as many as one execution may have outstanding.
#define NX_MAX_HTTP_EXT_WAITING        NX_MAX_OUTSTANDING_CALLS
// Bytes of requests held, of one panel and of all together.
#define NX_MAX_HTTP_EXT_PANEL_BYTES    (8u * 1024 * 1024)
#define NX_MAX_HTTP_EXT_BYTES          (64u * 1024 * 1024)
// A call's whole time, its wait for a turn and redirects included; the most is what an execution
// may be suspended.
#define NX_DEFAULT_HTTP_EXT_TIMEOUT_MS 30000
#define NX_MAX_HTTP_EXT_TIMEOUT_MS     NX_MAX_SUSPEND_TIMEOUT_MS
// To a connected socket: well past any round trip, below the patience for a whole call.
#define NX_HTTP_EXT_CONNECT_TIMEOUT_MS 10000
// A name being looked up cannot be called back; its thread may live as long as the C library asks
// servers (two rounds of 5 s, up to three servers). So long the turn of a call given up stays
// taken.
#define NX_HTTP_EXT_LOOKUP_LINGER_MS   30000
// A response's body after decompression.
#define NX_DEFAULT_HTTP_EXT_KB         1024
#define NX_MAX_HTTP_EXT_KB             NX_MAX_EXECUTION_KB
// A response's header lines, those of interim responses and trailers included: what browsers take.
#define NX_MAX_HTTP_EXT_HEAD_BYTES     (64 * 1024)
#define NX_MAX_HTTP_EXT_HEADERS        256
// What a handler may send: headers as common servers accept them, and as much body as a value.
#define NX_MAX_HTTP_EXT_SENT_HEADERS   64
#define NX_MAX_HTTP_EXT_SENT_HEAD      (16 * 1024)
#define NX_MAX_HTTP_EXT_BODY_BYTES     (1024 * 1024)
#define NX_MAX_HTTP_EXT_URL_BYTES      8192
// Sites that redirect properly need two or three.
#define NX_MAX_HTTP_EXT_REDIRECTS      5
// A host name in DNS.
#define NX_MAX_HOST_BYTES              253
// Settings written by hand: about a thousand hosts, and a few services on the inside.
#define NX_MAX_ALLOWED_DOMAINS_BYTES   (32 * 1024)
#define NX_MAX_EGRESS_EXCEPTIONS       64
#define NX_MAX_HTTP_USER_AGENT_BYTES   256

// ---- HTTP
// A request's line and headers together: what common proxies allow. Past it: 431, or 414.
#define NX_MAX_HTTP_HEAD_BYTES         (16 * 1024)
#define NX_MAX_HTTP_TARGET_BYTES       8192
#define NX_MAX_HTTP_HEADERS            100
// An id that a client gives its request: it is echoed and logged.
#define NX_MAX_HTTP_REQUEST_ID_BYTES   128
// One read of a socket, and what is read ahead while a request is at work: past it reading pauses.
#define NX_HTTP_READ_BYTES             (64 * 1024)
#define NX_MAX_HTTP_AHEAD_BYTES        (64 * 1024)
// When so much of large bodies has been read in one turn of the loop, others wait for the next one:
// reading and keeping 64 KB takes some 40 us.
#define NX_HTTP_TURN_BYTES             (32 * 1024)
// What is read of each connection all the same: most requests and messages. And for how many turns
// a body waits at most.
#define NX_HTTP_LEAST_READ_BYTES       (4 * 1024)
#define NX_HTTP_PUT_OFF_TURNS          64
// What the requests that came at once on one connection may take of a turn, the first one aside: a
// single read holds some two thousand of the smallest.
#define NX_HTTP_TURN_NS                100000
// Connections accepted in a turn. Established ones come first: a storm of new ones would hold them
// up for milliseconds.
#define NX_HTTP_TURN_ACCEPTS           2
// Room in front of a reply's body for its head: fixed headers, a request id, a panel id and an
// origin fit.
#define NX_HTTP_HEAD_ROOM_BYTES        1536
// A reply's body: the largest result or state, its escapes and a little more.
#define NX_MAX_HTTP_REPLY_BYTES        (192u * 1024 * 1024)
// Half-received requests and unsent replies of all connections together; past it those that have
// held much for longest are closed.
#define NX_MAX_HTTP_BUFFERED_BYTES     (256u * 1024 * 1024)
#define NX_DEFAULT_BODY_LIMIT_BYTES    (1024 * 1024)
#define NX_MAX_BODY_LIMIT_BYTES        (16 * 1024 * 1024)
// Chunked framing may cost this many bytes for each byte of the body limit.
#define NX_HTTP_CHUNK_OVERHEAD         8
#define NX_DEFAULT_MAX_CLIENTS         10000
#define NX_MAX_CLIENTS                 1000000
// Descriptors kept free for files and extensions when connections are many; half of them are lent
// to connections that are told to go.
#define NX_HTTP_SPARE_FDS              128
// And, whatever the limit: those that the server is never without, and for each worker its channel
// and what stands for its process. With fewer left for clients than the last it does not start.
#define NX_OWN_FDS                     32
#define NX_WORKER_FDS                  2
#define NX_HTTP_LEAST_FDS              8
#define NX_HTTP_BACKLOG                511
// Descriptors that are not connections, at most: those of workers, extensions, listeners.
#define NX_OTHER_FDS                   4096
#define NX_MAX_PUBLIC_URL_BYTES        1024
// From the first byte of a request to the end of its head; to the end of its body; a connection
// without a request; a reply that the client does not take; reading on after a closing reply.
#define NX_HTTP_HEAD_TIMEOUT_MS        10000
#define NX_HTTP_BODY_TIMEOUT_MS        30000
#define NX_HTTP_IDLE_TIMEOUT_MS        75000
#define NX_HTTP_WRITE_TIMEOUT_MS       60000
#define NX_HTTP_LINGER_TIMEOUT_MS      2000
// How long unsent replies hold up the end of the server.
#define NX_HTTP_FLUSH_TIMEOUT_MS       1000
// ---- WebSocket
// What waits for a client that is slow to take it: about a second of a busy panel.
#define NX_MAX_WS_QUEUED_BYTES         (1024 * 1024)
#define NX_MAX_WS_QUEUED_MESSAGES      1000
#define NX_MAX_WS_PROGRESS_BYTES       ((size_t)256 * 1024) // all so far, at each suspension
// Frames, queues and half-received messages of all sockets together; past it those that have kept
// them waiting for longest are closed.
#define NX_MAX_WS_HELD_BYTES           ((size_t)256 * 1024 * 1024)
// What the system may hold for a socket, not yet sent: enough to keep a fast line busy.
#define NX_WS_UNSENT_BYTES             (128 * 1024)
// Frames written to one socket at once; and bytes, too, about. In one turn of the loop no socket is
// begun with after so much or so long: then whoever else waits for the loop comes first. So do they
// after a turn in which that much was queued, for it took a while itself.
#define NX_WS_BATCH_FRAMES             64
#define NX_WS_TURN_BYTES               (64 * 1024)
#define NX_WS_TURN_NS                  100000
// Triggers one socket may have under way.
#define NX_MAX_WS_CALLS                64
// Keys one socket may narrow its PATCHes to, and their bytes together: the sockets of the default
// MAX_CLIENTS then keep some 200 MB of them at most.
#define NX_MAX_WS_KEYS                 256
#define NX_MAX_WS_KEY_BYTES            (16 * 1024)
// Tickets that are out: of all, and of one subject, so that none takes them all; and how long each
// is good for.
#define NX_MAX_WS_TICKETS              10000
#define NX_MAX_BEARER_WS_TICKETS       100
#define NX_WS_TICKET_MS                30000
// A silent socket is asked whether it lives; then how long it has to answer. Shorter than what
// common proxies allow between two bytes.
#define NX_WS_PING_MS                  30000
#define NX_WS_PONG_TIMEOUT_MS          15000
// From saying goodbye to the end, if the client does not answer: so long a slow one has to get at
// the reason.
#define NX_WS_CLOSE_TIMEOUT_MS         5000
// Panels of one listing.
#define NX_DEFAULT_PANEL_LIST          100
#define NX_MAX_PANEL_LIST              1000

// ---- Access
// A token: identity providers stay well below, and what proxies allow of one header is about this.
#define NX_MAX_TOKEN_BYTES             8192
#define NX_MAX_TOKEN_KID_BYTES         256
// A "sub": it is copied into logs.
#define NX_MAX_SUBJECT_BYTES           256
// How far the clocks of issuer and server may be apart (API.md).
#define NX_TOKEN_LEEWAY_S              30
// Valid tokens remembered, so that a session's requests cost one verification; a few dozen bytes
// each. A power of two, at most 65536: places are the first bits of a hash.
#define NX_TOKEN_CACHE_ENTRIES         1024
// Tokens of `nexus token` live at most a year: they cannot be called back.
#define NX_DEFAULT_TOKEN_TTL_S         3600
#define NX_MAX_TOKEN_TTL_S             (366 * 86400)
// The key of HS256 has to be as long as its hash (RFC 7518, 3.2); more than a kilobyte is a
// mistake.
#define NX_MIN_SECRET_BYTES            32
#define NX_MAX_SECRET_BYTES            1024
// RFC 7518, 3.3 asks for 2048; verifying takes the cube of the length.
#define NX_MIN_RSA_BITS                2048
#define NX_MAX_RSA_BITS                8192
#define NX_MAX_KEY_FILE_BYTES          (16 * 1024)
// Origins that browsers may come from: a list somebody writes by hand. Schemes, host names (253
// bytes) and ports fit.
#define NX_MAX_ORIGINS                 64
#define NX_MAX_ORIGIN_BYTES            272
// A policy names kinds of panels, by hand as well.
#define NX_MAX_POLICY_BYTES            (1024 * 1024)
#define NX_MAX_POLICY_KINDS            1000
// Refused requests that are logged in a second; the others are counted.
#define NX_MAX_REFUSALS_LOGGED         20
// The same for capabilities denied, and for what AUDIT=all adds. A line costs a system call, and
// handlers decide how many there are.
#define NX_MAX_DENIALS_LOGGED          1000
#define NX_MAX_AUDIT_LOGGED            1000
// Panels that METRICS_PER_PANEL gives series of their own: each series costs the scraper memory for
// as long as it keeps its data.
#define NX_MAX_METRICS_PANELS          1000

// ---- Idempotency keys
// UUIDs and hashes fit well.
#define NX_MAX_IDEMPOTENCY_KEY_BYTES   255
// How long a result is given again: clients that retry do so within minutes.
#define NX_IDEMPOTENCY_MS              600000
// Results kept, and their bytes; the oldest go first. A larger one is not kept at all: its key is.
#define NX_MAX_IDEMPOTENT_RESULTS      100000
#define NX_MAX_IDEMPOTENT_BYTES        ((size_t)64 * 1024 * 1024)
#define NX_MAX_IDEMPOTENT_RESULT_BYTES ((size_t)4 * 1024 * 1024)
// One panel's share: past it its own oldest go, so that a busy one leaves the others' where they
// are.
#define NX_MAX_PANEL_IDEMPOTENT_KEYS   25000
#define NX_MAX_PANEL_IDEMPOTENT_BYTES  ((size_t)16 * 1024 * 1024)

// ---- nexus health
// A server on this machine that lives answers in milliseconds.
#define NX_HEALTH_TIMEOUT_MS           3000

// A file that holds the name of a log level, and a line break.
#define NX_MAX_LOG_LEVEL_BYTES         64
// Problems with settings that are listed; there are not many more settings.
// (and as many notes)
#define NX_MAX_CONFIG_PROBLEM_BYTES    (16 * 1024)
// Panel files loaded at start, and how long loading them may put off the first request.
#define NX_MAX_PANEL_FILES             10000
#define NX_PANEL_LOAD_TIMEOUT_MS       10000

#endif
