// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT|EXECUTION_ERROR
let s = 'x';
for (;;) { s += s; s.charCodeAt(s.length - 1); }
