// SPDX-License-Identifier: Apache-2.0
// The parts of the differential fuzzer of engines.
#ifndef NX_TEST_FUZZ_ENGINES_H
#define NX_TEST_FUZZ_ENGINES_H

#include "fuzz.h"

enum engines_outcome {
    ENGINES_DONE,  // `out` is what the script returned, as JSON
    ENGINES_ERROR, // it does not compile, or threw
    ENGINES_LIMIT, // time, memory or stack ran out: nothing to compare
};

// Writes the script that the input chooses: a handler's body.
void engines_write_script(struct fuzz_input *in, struct nx_buf *out);

// Runs it in native QuickJS, in a runtime of its own.
enum engines_outcome engines_run_native(struct nx_span script, struct nx_buf *out);

#endif
