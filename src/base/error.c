// SPDX-License-Identifier: Apache-2.0
// Recording and wrapping errors. Everything is formatted into a local buffer first, so that
// arguments may point into the very message that is being replaced.
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Puts `head`, and `tail` behind ": " if it is not NULL, into the message, cut at its end.
static void join(struct nx_error *err, const char *head, const char *tail) {
    char text[NX_ERROR_MESSAGE_BYTES];
    size_t len = strnlen(head, sizeof text - 1);
    memcpy(text, head, len);
    const char *const parts[] = {tail ? ": " : "", tail ? tail : ""};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strnlen(parts[i], sizeof text - 1 - len);
        memcpy(text + len, parts[i], n);
        len += n;
    }
    memcpy(err->message, text, len);
    err->message[len] = '\0';
}

int nx_error_set(struct nx_error *err, int code, const char *fmt, ...) {
    if (!err)
        return code;
    char text[NX_ERROR_MESSAGE_BYTES] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    join(err, text, NULL);
    err->code = code;
    return code;
}

int nx_error_errno(struct nx_error *err, const char *fmt, ...) {
    int saved = errno;
    int code = saved == ENOMEM ? NX_E_NOMEM : NX_E_IO;
    if (!err)
        return code;
    char text[NX_ERROR_MESSAGE_BYTES] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char reason[128];
    join(err, text, strerror_r(saved, reason, sizeof reason));
    err->code = code;
    return code;
}

int nx_error_wrap(struct nx_error *err, const char *fmt, ...) {
    if (!err)
        return NX_E_INVALID;
    char text[NX_ERROR_MESSAGE_BYTES] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    join(err, text, err->message);
    return err->code;
}
