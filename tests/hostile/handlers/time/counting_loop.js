// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
// line: 6
let n = 0;
while (true) { n++; }
