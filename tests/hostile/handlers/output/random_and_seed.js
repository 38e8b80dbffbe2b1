// SPDX-License-Identifier: Apache-2.0
// expect: success true
const seen = new Set();
for (let i = 0; i < 1000; i++) seen.add(Math.random());
return seen.size > 990;
