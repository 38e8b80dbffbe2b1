// SPDX-License-Identifier: Apache-2.0
// Not endless: a comparator that contradicts itself neither hangs nor corrupts.
// expect: success 1000
let turn = 0;
const list = Array.from({ length: 1000 }, (_, i) => i);
list.sort(() => (turn++ % 3) - 1);
return new Set(list).size;
