// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT memory
const a = [];
for (;;) a.push({ a: 1, b: [1, 2, 3] });
