// SPDX-License-Identifier: Apache-2.0
// Lengths that, times the size of an element, exceed 32 bits: refused, not allocated too small.
// expect: success ["RangeError", "RangeError", "RangeError", "RangeError", "RangeError"]
const like = { length: 2 ** 29 + 10 };
const tries = [
  () => Array.prototype.toSorted.call(like), () => Array.prototype.toReversed.call(like),
  () => Array.prototype.with.call(like, 0, 1), () => Array.prototype.toSpliced.call(like, 0, 0),
  () => Reflect.ownKeys(new Proxy({}, { ownKeys: () => ({ length: 2 ** 31 + 1 }) })),
];
return tries.map((fn) => { try { return fn(); } catch (e) { return e.name; } });
