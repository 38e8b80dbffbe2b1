// SPDX-License-Identifier: Apache-2.0
// CVE-2025-62494: `s += object`, where converting the object makes s something that is no string.
// expect: success ["aaaaaaaax", "aaaaaaaax", "aaaaaaaax", "aaaaaaaax"]
const tries = [];
for (const other of [1, { length: 2 ** 30 }, 2n ** 100n, null]) {
  let s = 'a'.repeat(8);
  s += { toString() { s = other; return 'x'; } };
  tries.push(s);
}
return tries;
