// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
function* numbers() { for (let i = 0; ; i++) yield i; }
let sum = 0;
for (const i of numbers()) sum += i;
