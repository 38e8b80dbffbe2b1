// SPDX-License-Identifier: Apache-2.0
// The control: a long piece of work that stays within its limit.
// expect: success 499999500000
// timeout: 5000
let sum = 0;
for (let i = 0; i < 1000000; i++) sum += i;
return sum;
