// SPDX-License-Identifier: Apache-2.0
// Fills memory or runs out of time, whichever comes first.
// expect: error TIMEOUT|MEMORY_LIMIT
// timeout: 200
function* zeros() { for (;;) yield 0; }
return [...zeros()].length;
