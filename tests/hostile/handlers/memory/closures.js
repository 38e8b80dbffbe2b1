// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT memory
let f = () => 0;
for (;;) { const g = f; f = () => g; }
