// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share. A target is one function over bytes,
// LLVMFuzzerTestOneInput; libFuzzer calls it with what it makes up, replay.c
// with the files of a corpus. A target checks more than that nothing crashes:
// FUZZ_CHECK is how it says what must hold.
#ifndef NX_TEST_FUZZ_H
#define NX_TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Ends the process with a message, also in a build without assertions.
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_fail(#condition, __FILE__, __LINE__);                                             \
    } while (0)

void fuzz_fail(const char *what, const char *file, int line) __attribute__((noreturn));

// An error must come with its code and with words, and no error with neither.
#define FUZZ_CHECK_ERROR(rc, err)                                                                  \
    FUZZ_CHECK((rc) == 0 ? (err)->code == 0 : (err)->code == (rc) && (err)->message[0] != '\0')

// The input, taken apart from its front. Reading past its end gives zeros and
// empty spans.
struct fuzz_input {
    const char *at;
    size_t left;
};

static inline struct fuzz_input fuzz_input(const uint8_t *data, size_t size) {
    return (struct fuzz_input){(const char *)data, size};
}

uint8_t fuzz_u8(struct fuzz_input *in);
uint32_t fuzz_u32(struct fuzz_input *in);
// At most `len` bytes.
struct nx_span fuzz_take(struct fuzz_input *in, size_t len);
// Up to the next `end`, which is taken off along with it, or all that is left.
struct nx_span fuzz_until(struct fuzz_input *in, char end);
struct nx_span fuzz_rest(struct fuzz_input *in);

static inline struct nx_span fuzz_nothing(void) {
    return (struct nx_span){NULL, 0};
}

// A copy on the heap of exactly these bytes, so that a sanitizer sees one read
// too many. For free().
struct nx_span fuzz_copy(struct nx_span s);
// The same with a NUL behind them; cut at a NUL inside.
char *fuzz_string(struct nx_span s);

// Whether `s` is UTF-8 (lone surrogates in three bytes allowed or not), read by
// the book: the reference that the product's own reader is held against.
bool fuzz_utf8(struct nx_span s, bool surrogates);

#endif
