// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT memory
const m = new Map();
for (let i = 0; ; i++) m.set(i, { i });
