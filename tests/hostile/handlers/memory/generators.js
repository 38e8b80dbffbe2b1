// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT memory
const all = [];
function* g() { yield 'x'.repeat(100); }
for (;;) { const one = g(); one.next(); all.push(one); }
