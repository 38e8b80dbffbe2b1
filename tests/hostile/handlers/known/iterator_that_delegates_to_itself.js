// SPDX-License-Identifier: Apache-2.0
// A generator whose delegate becomes the generator itself.
// expect: success|error
let bad = { [Symbol.iterator]: () => ({ next: () => 8 }) };
function* g() { try { yield* bad; } catch { yield 1; } }
const it = g();
bad = g();
const other = g();
bad = it;
return [it.next().done, other.next().done];
