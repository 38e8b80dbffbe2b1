// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
const a = new Float64Array(1 << 20).map((_, i) => i);
for (;;) a.reverse().sort();
