// SPDX-License-Identifier: Apache-2.0
// Constructors whose prototype, length or elements run code while the array is made.
// expect: success true
const sizes = [];
for (const Type of [Uint8Array, Float64Array, BigInt64Array]) {
  const source = new Type(16);
  const target = new Proxy(function () {}, { get: (_, name) => { sizes.push(source.length); return Type.prototype[name]; } });
  for (const from of [source, source.buffer, { length: 9, get 0() { sizes.push(0); return 0; } }]) {
    try { sizes.push(Reflect.construct(Type, [from], target).length); } catch { sizes.push(-1); }
  }
  const odd = { valueOf() { source.fill(source[0]); return 1e9; } };
  sizes.push(source.subarray(odd, odd).length, source.slice(0, odd).length);
  try { source.set([1, odd], odd); } catch { sizes.push(-2); }
}
return sizes.every(Number.isInteger);
