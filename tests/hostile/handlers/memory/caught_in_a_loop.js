// SPDX-License-Identifier: Apache-2.0
// Catching it again and again ends at the time limit.
// expect: error TIMEOUT|MEMORY_LIMIT
// timeout: 150
const a = [];
for (;;) { try { a.push(new Uint8Array(1 << 16)); } catch { } }
