// SPDX-License-Identifier: Apache-2.0
// Clocks. Durations use the monotonic clock only; the wall clock is for what people and handlers
// see.
#ifndef NX_BASE_CLOCK_H
#define NX_BASE_CLOCK_H

#include <stdint.h>
#include <sys/types.h>

// Nanoseconds of CLOCK_MONOTONIC.
uint64_t nx_clock_monotonic_ns(void);

// Nanoseconds of processor time that process `pid` has used, whosever it is; 0 if there is none of
// that number.
uint64_t nx_clock_process_ns(pid_t pid);

// Milliseconds since the Unix epoch of CLOCK_REALTIME.
int64_t nx_clock_wall_ms(void);

// Writes an RFC 3339 UTC time with milliseconds, e.g. 2026-01-31T12:00:00.123Z, into `out`
// (at least 25 bytes).
void nx_clock_rfc3339(int64_t wall_ms, char out[25]);

#endif
