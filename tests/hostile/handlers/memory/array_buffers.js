// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT memory
const a = [];
for (;;) a.push(new Uint8Array(1 << 20).fill(1));
