// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|MEMORY_LIMIT
// timeout: 150
let o = { a: 1 };
for (;;) o = JSON.parse(JSON.stringify([o, o]));
