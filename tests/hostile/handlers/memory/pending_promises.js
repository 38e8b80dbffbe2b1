// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT memory
const all = [];
for (;;) all.push(new Promise(() => {}));
