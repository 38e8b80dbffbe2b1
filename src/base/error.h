// SPDX-License-Identifier: Apache-2.0
// One error convention: functions return 0 or a negative NX_E_* code; the detail goes into a
// caller-supplied struct nx_error, and context is put in front of it as the error climbs.
// Library code returns errors; only the top level logs them.
#ifndef NX_BASE_ERROR_H
#define NX_BASE_ERROR_H

enum nx_status {
    NX_OK = 0,
    NX_E_NOMEM = -1,    // an allocation failed
    NX_E_INVALID = -2,  // malformed input or a bad argument
    NX_E_LIMIT = -3,    // a cap of limits.h or a setting was reached
    NX_E_IO = -4,       // a system call failed (the message holds strerror)
    NX_E_DENIED = -5,   // a capability or permission is missing
    NX_E_NOTFOUND = -6, // no such panel, tool, key, file
    NX_E_EXISTS = -7,   // already there
    NX_E_PROTOCOL = -8, // the peer broke the wire protocol
    NX_E_BUSY = -9,     // try again later
    NX_E_CLOSED = -10,  // the peer or the object is gone
};

enum { NX_ERROR_MESSAGE_BYTES = 512 };

struct nx_error {
    int code; // an nx_status; 0 while nothing failed
    char message[NX_ERROR_MESSAGE_BYTES];
};

// Records `code` and a formatted message (cut at the buffer's end) and returns `code`, so that
// callers can write `return nx_error_set(...)`. `err` may be NULL.
int nx_error_set(struct nx_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// Like nx_error_set, with ": strerror(errno)" appended; always NX_E_IO (NX_E_NOMEM for ENOMEM).
int nx_error_errno(struct nx_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

// Puts "context: " in front of the message already recorded; returns err->code
// (NX_E_INVALID if `err` is NULL: with no record, pass the code on yourself).
int nx_error_wrap(struct nx_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
