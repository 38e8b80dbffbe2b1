// SPDX-License-Identifier: Apache-2.0
// Structured logs: one JSON object a line. Values are escaped; secrets, tokens and argument values
// are never passed here. Lines longer than NX_MAX_LOG_LINE_BYTES are cut: texts are shortened, then
// fields dropped, and "truncated":true added, so the line stays valid JSON.
#ifndef NX_BASE_LOG_H
#define NX_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum nx_log_level { NX_LOG_DEBUG, NX_LOG_INFO, NX_LOG_WARN, NX_LOG_ERROR };

// One extra member of a line. Build with the helpers below; NX_LOG_FIELDS ends the list.
struct nx_log_field {
    const char *key;  // NULL ends the list
    const char *text; // a string value, or NULL for a number
    int64_t number;
    bool is_bool; // a number that is written as true or false
};
// A NULL text is logged as "".
static inline struct nx_log_field nx_log_str(const char *key, const char *text) {
    return (struct nx_log_field){key, text ? text : "", 0, false};
}
#define NX_LOG_STR(k, v)  nx_log_str((k), (v))
#define NX_LOG_INT(k, v)  ((struct nx_log_field){(k), 0, (v), false})
#define NX_LOG_BOOL(k, v) ((struct nx_log_field){(k), 0, (v), true})
#define NX_LOG_FIELDS(...)                                                                         \
    ((const struct nx_log_field[]){__VA_ARGS__, (struct nx_log_field){0, 0, 0, false}})

// Where lines go and from which level; `pretty` prints text for people instead of JSON.
// Defaults: stdout, info, JSON. `fd` is borrowed.
void nx_log_configure(int fd, enum nx_log_level min_level, bool pretty);

// Where lines go to a pipe of the system's default size: asks for NX_LOG_PIPE_BYTES, so that a
// reader may pause. Whoever chose a size keeps it, and where it is refused nothing changes.
void nx_log_enlarge_pipe(void);

// "debug", "info", "warn", "error" → level; 0 or NX_E_INVALID.
int nx_log_parse_level(const char *name, enum nx_log_level *level);

// Whether lines of `level` are written; spares building fields for those that are not.
bool nx_log_enabled(enum nx_log_level level);

// Writes {"time","level","msg","component", fields…} as one line. `fields` may be NULL. Keeps
// errno. Where the reader does not keep up it waits, for at most NX_LOG_WAIT_MS in each
// NX_LOG_WAIT_WINDOW_MS; lines are lost after that, and counted by a line when they are read again.
// A line that cannot be written (full disk, closed descriptor) is lost. May be called from several
// threads once configured.
void nx_log(enum nx_log_level level, const char *component, const char *msg,
            const struct nx_log_field *fields);

#endif
