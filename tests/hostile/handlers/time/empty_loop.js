// SPDX-License-Identifier: Apache-2.0
// The plainest of endless loops; its place is known.
// expect: error TIMEOUT running time
// timeout: 100
// line: 6
for (;;) {}
