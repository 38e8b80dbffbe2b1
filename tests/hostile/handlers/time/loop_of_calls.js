// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
const f = () => g(), g = () => 1;
for (;;) f();
