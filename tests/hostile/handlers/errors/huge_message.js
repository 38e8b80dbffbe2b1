// SPDX-License-Identifier: Apache-2.0
// Cut, not refused.
// expect: error EXECUTION_ERROR ^Error: x+
throw new Error('x'.repeat(1000000));
