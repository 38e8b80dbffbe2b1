// SPDX-License-Identifier: Apache-2.0
// CVE-2025-62492: an index that rounds to one past the end reads what lies behind the array.
// expect: success [0, -1, 2, -1, 1, -1]
const list = new Uint8Array([7, 8, 9]);
return [list.lastIndexOf(7, -1e-20), list.lastIndexOf(0, -1e-20), list.lastIndexOf(9, -0.5 + 3),
  list.lastIndexOf(0, -3.000001), list.lastIndexOf(8, -1.9), list.lastIndexOf(7, -Infinity)];
